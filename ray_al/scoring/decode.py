"""Decode images, and keep them between cycles while they fit into memory."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.images import read_pool_image, resize_image
from ray_al.datasets.pixels import PixelRule

_cache: ByteCache | None = None
_cache_lock = threading.Lock()


def decode(row: Mapping[str, Any], config: RunConfig) -> np.ndarray:
    """Return the image of a manifest row at the size of scoring, (H, W, C)."""
    global _cache
    limit = int(config.data.cache_gb * 2**30)
    size = (row["height"], row["width"])
    rule = PixelRule.of(config.data)
    key = (row["uri"], size, config.data.image_size, rule)
    with _cache_lock:
        if _cache is None or _cache.limit_bytes != limit:
            _cache = ByteCache(limit)
        cache = _cache
        image = cache.get(key)
    if image is None:
        image = resize_image(read_pool_image(row["uri"], size, rule), config.data.image_size)
        with _cache_lock:
            cache.put(key, image)
    return image
