"""Recover the background behind an object from other frames: the weightless clean plate."""
