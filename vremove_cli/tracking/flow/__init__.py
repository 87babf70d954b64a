"""A tracker without weights: optical flow, colour histograms and a background model."""
