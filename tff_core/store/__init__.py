"""What is on disk: files written whole or not at all, checkpoints of sums and trainings, smaller batches."""
