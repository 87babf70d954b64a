"""The stages of a job: how each kind of task is done, what its result is, and what that depends on."""
