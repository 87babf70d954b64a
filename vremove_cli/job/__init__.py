"""One job: what the user asks for, the plan, its tasks on files, and the result."""
