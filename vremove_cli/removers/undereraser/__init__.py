"""UnderEraser."""
