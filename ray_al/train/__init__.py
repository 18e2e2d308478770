"""Training: from labels to a checkpoint and its metrics."""
