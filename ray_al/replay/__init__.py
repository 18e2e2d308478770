"""Replay a run with another strategy: choose again from its scores, without training."""
