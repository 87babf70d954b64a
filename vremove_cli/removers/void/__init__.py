"""VOID."""
