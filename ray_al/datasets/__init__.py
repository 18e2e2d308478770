"""Data sets as they lie on disks and in buckets."""

from ray_al.datasets.catalog import Dataset, check_start, open_dataset

__all__ = ["Dataset", "check_start", "open_dataset"]
