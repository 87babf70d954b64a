"""Tools that several removers share."""
