"""Count the labels of images that cannot be used."""

from collections import Counter

from ray_al.core.parquet import read_parquet
from ray_al.core.storage import Storage
from ray_al.ledger import State


def labels_left_out(storage: Storage, state: State) -> dict[str, int]:
    """Return the number of labelled regions of each quarantined image that has any."""
    if not state.quarantined:
        return {}
    counts: Counter[str] = Counter()
    for ref in state.label_parts:
        names = read_parquet(storage.read_ref(ref), ["image_id"]).column("image_id").to_pylist()
        counts.update(name for name in names if name in state.quarantined)
    return dict(counts)
