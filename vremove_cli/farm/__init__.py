"""Many machines: what a scheduler is told about planned jobs, and how Ray runs them."""
