"""Stage 2: what is compared."""
