"""Lung CT registration from sparse keypoints."""

__version__ = "0.1.0"
