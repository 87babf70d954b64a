"""The commands: one module each. They parse, call the job, and print."""
