"""What is on disk: files written whole or not at all, checkpoints of long sums, batches that shrink."""
