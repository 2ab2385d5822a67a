"""One registration from files to files."""
