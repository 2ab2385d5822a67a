"""What is known of an organ, and nowhere else."""
