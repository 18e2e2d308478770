"""Decode images, and keep them between cycles while they fit into memory."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_seen
from ray_al.datasets.pixels import PixelRule

_cache: ByteCache | None = None
_cache_lock = threading.Lock()


def decode(row: Mapping[str, Any], config: RunConfig) -> np.ndarray:
    """Return what the network sees of the image of a manifest row, (H, W, C)."""
    global _cache
    limit = int(config.data.cache_gb * 2**30)
    size = (row["height"], row["width"])
    rule = PixelRule.of(config.data)
    key = (row["uri"], size, config.data.image_size, rule)
    with _cache_lock:
        if _cache is None or _cache.limit_bytes != limit:
            _cache = ByteCache.of_process(limit)
        cache = _cache
        image = cache.get(key)
    if image is None:
        image = read_seen(row["uri"], config.data.image_size, rule, size)
        with _cache_lock:
            cache.put(key, image)
    return image
