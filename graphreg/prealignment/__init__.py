"""Stage 0: where the search starts from."""
