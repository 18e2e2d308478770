"""Labelling by people through a folder of tasks.

A task is `task-N.png` (the region with a margin of context), `task-N.proposal.png` (the current prediction, where there is a model),
`task-N.region.png` (255 on the region's pixels, where it does not fill its box) and an entry in `tasks.json`. The answer, made with any
tool, lies beside them: `task-N.mask.png`, an 8-bit greyscale PNG of class ids, 255 where nothing can be said, or an indexed one whose
palette holds the classes' colours, in the size of the region's box or of the whole picture with its margin; where classes are asked for,
`task-N.classes.json`, a list of class names or ids.
"""

import hashlib
import io
import json
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.families.labels import Classes, LabelKind, Place
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, LABEL_SCHEMA, Box
from ray_al.datasets.compose import encode_mask
from ray_al.label import Labels
from ray_al.regions import ImageRegions

VERSION = 2
MANIFEST = "tasks.json"
WRITTEN = ("png", "proposal.png", "region.png")
"""Endings of a task's own pictures."""
PEOPLE_SCHEMA = LABEL_SCHEMA.append(pa.field("answer_sha256", pa.string()))
"""Labels of people also hold the digest of the file that gave them, so that a later change to it is noticed."""


def write_tasks(
    storage: Storage,
    folder: str,
    query: pa.Table,
    *,
    read_image: Callable[[int], np.ndarray],
    regions_of: Callable[[int], ImageRegions],
    propose: Callable[[int], np.ndarray | None],
    classes: Classes,
    margin: int,
    label: LabelKind,
    leave_out: Set[tuple[str, int]] = frozenset(),
) -> int:
    """Write one task a region of `query` and, last, the manifest that lists them. Safe to repeat.

    Args:
        read_image: image_index -> uint8 (H, W, 3) in native pixels.
        regions_of: image_index -> its regions.
        propose: image_index -> predicted ids uint8 (H, W), or None without a model.
        label: what is asked.
        leave_out: (image_id, region) of what is not asked about. The others keep the numbers that they have in the whole query, by which
            `collect` knows their answers.

    Returns:
        The number of tasks.
    """
    tasks = []
    for name, row in tasks_of(query):
        if (row["image_id"], row["region"]) in leave_out:
            continue
        image, proposal, regions = read_image(row["image_index"]), propose(row["image_index"]), regions_of(row["image_index"])
        place = _place(regions, row["region"], (image.shape[0], image.shape[1]), margin)
        box, context, mask = place.box, place.context, place.region
        storage.replace(f"{folder}/{name}.png", _png(_crop(image, context)))
        if proposal is not None:
            storage.replace(f"{folder}/{name}.proposal.png", encode_mask(_crop(proposal, box)))
        if mask is not None:
            storage.replace(f"{folder}/{name}.region.png", encode_mask(mask * np.uint8(255)))
        places = {"box": list(box.as_tuple()), "context": list(context.as_tuple()), "region_mask": None if mask is None else f"{name}.region.png"}
        tasks.append({**row, "name": name, "kind": label.kind, **places, "answer": answer_name(name, label)})
    table = [{"id": i, "name": name, "color": list(color)} for i, (name, color) in enumerate(zip(classes.names, classes.colors, strict=True))]
    values = {"version": VERSION, "ignore_id": IGNORE_INDEX, "classes": table, "tasks": tasks}
    storage.replace(f"{folder}/{MANIFEST}", json.dumps(values, indent=1).encode())
    return len(tasks)


def collect(
    storage: Storage,
    folder: str,
    query: pa.Table,
    *,
    regions_of: Callable[[int], ImageRegions],
    size_of: Callable[[int], tuple[int, int]],
    taken: Set[tuple[str, int]],
    classes: Classes,
    margin: int,
    label: LabelKind,
) -> Labels:
    """Take in the answers that are there and not yet `taken` (image_id, region); a wrong one is refused with the reason.

    What a task asks for follows from the query, as when it was written. tasks.json is for people and their tools: it is not read.

    Args:
        size_of: image_index -> (height, width) in native pixels.
        margin, label: as of `write_tasks`.
    """
    present: dict[str, list[str]] = {}
    for name in storage.list(folder):
        present.setdefault(name.lower(), []).append(name)
    rows, refused = [], []
    for name, row in tasks_of(query):
        found = present.get(answer_name(name, label), [])
        if not found or (row["image_id"], row["region"]) in taken:
            continue
        place = _place(regions_of(row["image_index"]), row["region"], size_of(row["image_index"]), margin)
        try:
            data = _read_file(storage, folder, found)
            values = label.row(label.read(data, place, classes), place.box, place.region)
        except DataError as error:
            reason = f"{storage.uri(f'{folder}/{found[0]}')}: {error}"
            refused.append({"image_id": row["image_id"], "region": row["region"], "reason": reason, "final": False})
            continue
        digest = hashlib.sha256(data).hexdigest()
        rows.append({**row, **values, "annotator": "files", "seconds": None, "answer_sha256": digest})
    return Labels(table=pa.Table.from_pylist(rows, schema=PEOPLE_SCHEMA), refused=tuple(refused))


def tasks_of(query: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    """(name, row) of each region of a whole query, in the order of their numbers."""
    rows = query.select(["image_index", "image_id", "region", "rank"]).to_pylist()
    return [(f"task-{number:05d}", row) for number, row in enumerate(sorted(rows, key=lambda row: (row["image_index"], row["region"])))]


def answer_name(name: str, label: LabelKind) -> str:
    """The file that answers the task `name`, in lower case."""
    return f"{name}.{label.answer_ending}"


def _place(regions: ImageRegions, region: int, size: tuple[int, int], margin: int) -> Place:
    box = regions.box(region)
    return Place(box=box, context=_with_margin(box, margin, *size), region=regions.mask(region))


def _read_file(storage: Storage, folder: str, names: Sequence[str]) -> bytes:
    """The content of an answer.

    Raises:
        DataError: there are several (in capitals and small letters), or it is nothing that can be read.
    """
    if len(names) > 1:
        raise DataError(f"several files answer this task ({', '.join(names)}); leave one")
    path = f"{folder}/{names[0]}"
    if not storage.is_file(path):
        raise DataError("no file that can be read (a folder, a pipe, or a link that leads nowhere); put a file in its place")
    try:
        return storage.read(path)
    except PermissionError as error:
        raise DataError(f"cannot be read ({error}); give this user the right to read it") from None


def _with_margin(box: Box, margin: int, height: int, width: int) -> Box:
    return Box(
        top=max(0, box.top - margin), left=max(0, box.left - margin), bottom=min(height, box.bottom + margin), right=min(width, box.right + margin)
    )


def _crop(array: np.ndarray, box: Box) -> np.ndarray:
    return array[box.top : box.bottom, box.left : box.right]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
