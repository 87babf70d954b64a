"""Models: the catalogue, the Hub's cache, pins, and strict loading."""
