"""What is on disk: files written completely or not at all, checkpoints of long sums, batches that shrink."""
