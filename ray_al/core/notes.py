"""Small JSON files that are kept for convenience: work continues without them."""

import json
import logging
from typing import Any

from ray_al.core.errors import StorageError
from ray_al.core.storage import Storage

logger = logging.getLogger(__name__)


def read_note(storage: Storage, name: str) -> dict[str, Any]:
    """Return the mapping in a JSON file.

    It is empty if the file does not exist, cannot be read now, or holds something else; a damaged
    file is named in a warning. The caller checks the values of the mapping.
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
            "%s: passed over, as it holds %s instead of keys and values",
            storage.uri(name),
            type(values).__name__,
        )
        return {}
    return values
