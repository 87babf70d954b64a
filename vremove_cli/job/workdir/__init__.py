"""The work folder of a job: its files, its leases, and the typed results of its tasks."""
