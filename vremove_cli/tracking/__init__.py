"""Trackers: from prompts on some frames to a mask on every frame."""
