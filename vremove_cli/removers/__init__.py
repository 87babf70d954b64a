"""Removers: they generate the pixels that no frame of the clip shows."""
