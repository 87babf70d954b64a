"""ROSE."""
