"""Training: from labels to a checkpoint and its metrics."""

from ray_al.train.schedule import check_train

__all__ = ["check_train"]
