"""What stands before ITK's readers."""
