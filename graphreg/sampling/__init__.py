"""Stage 1: where to look."""
