"""RORem: still pictures and keyframes, and a score of success."""
