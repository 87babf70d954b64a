"""Measure and follow motion: homographies, optical flow, traces, warps."""
