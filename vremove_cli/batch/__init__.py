"""Many clips with one command: which jobs there are, and how they are done one after the other or at the same time."""
