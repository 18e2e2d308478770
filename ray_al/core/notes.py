"""Small JSON files that are kept for convenience: what they say is used, and where they say nothing that can be read, work goes on without them."""

import json
import logging
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.storage import Storage

logger = logging.getLogger(__name__)


def read_note(storage: Storage, name: str) -> dict[str, Any]:
    """The mapping in a JSON file; empty where there is no such file, where it cannot be read now, and where it holds something else.

    A file that is damaged is named in a warning. What the values of the mapping are is for the caller to check.
    """
    try:
        data = storage.read_if_there(name)
        if data is None:
            return {}
        values = json.loads(data)
    except (StorageError, OSError, ValueError, RecursionError) as error:
        logger.warning("%s: passed over, as it cannot be read: %s", storage.uri(name), error)
        return {}
    if not isinstance(values, dict):
        logger.warning(
            "%s: passed over, as it holds %s where keys and values are expected",
            storage.uri(name),
            type(values).__name__,
        )
        return {}
    return values
