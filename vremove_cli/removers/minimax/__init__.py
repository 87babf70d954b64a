"""MiniMax-Remover."""
