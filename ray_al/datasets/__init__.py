"""Data sets as they lie on disks and in buckets."""

from ray_al.datasets.catalog import Dataset, open_dataset
from ray_al.datasets.check import check_start

__all__ = ["Dataset", "check_start", "open_dataset"]
