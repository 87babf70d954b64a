"""The common part of the removers on Wan 2.1."""
