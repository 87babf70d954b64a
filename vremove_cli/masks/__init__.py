"""Mask files, and what is done to masks after tracking."""
