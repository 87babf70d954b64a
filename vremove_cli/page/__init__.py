"""A page in the browser to point at things, look at masks, correct them, and compare results."""
