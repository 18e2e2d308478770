"""Labelling by people through a folder of tasks.

A task is an entry in `tasks.json` with up to three pictures: `task-N.png` (the region with a margin
of context), `task-N.proposal.png` (the current prediction, if there is a model) and
`task-N.region.png` (255 on the region's pixels, if the region does not fill its box).

The answer, made with any tool, is put next to them. If a mask is asked for, the answer is
`task-N.mask.png`, in the size of the region's box or of the whole picture with its margin: an 8-bit
greyscale PNG of class ids, 255 for unknown, or an indexed or RGB one in exactly the classes'
colours. If classes are asked for, it is `task-N.classes.json`, a list of class names or ids.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from PIL import Image, UnidentifiedImageError
from pydantic import Field

from ray_al.core.errors import DataError
from ray_al.core.families.annotators import Annotator, Answers, LabelRequest
from ray_al.core.families.label_parts import Classes, Place
from ray_al.core.families.labels import LabelKind
from ray_al.core.section import Number
from ray_al.core.storage import Storage
from ray_al.core.types import IGNORE_INDEX, LABEL_SCHEMA, Box, Refusal, RegionName
from ray_al.datasets.compose import encode_mask

VERSION = 2
"""Version of the format of `tasks.json`."""
TASKS_FILE = "tasks.json"
WRITTEN = ("png", "proposal.png", "region.png")
"""Endings of a task's own pictures."""
MEANT = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".npy", ".json")
"""Endings of files that people may mean as answers, unlike project files of their tools."""
PEOPLE_SCHEMA = LABEL_SCHEMA.append(pa.field("answer_sha256", pa.string()))
"""Labels of people, with the digest of the answer's file, as that may be changed later."""


class FilesAnnotator(Annotator):
    """People who put files, made with any tool, into a folder."""

    kind: Literal["files"] = "files"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a query that people must answer before the run continues."""
    margin: Number = 32
    """Number of pixels of context around a region in a labelling task."""

    changeable: ClassVar[tuple[str, ...]] = ("share", "margin")

    @property
    def quorum(self) -> float:
        """Return `share`; see `Annotator.quorum`."""
        return self.share

    def request(self, asked: LabelRequest) -> int:
        """Write one task per region and, last, the manifest that lists them.

        Regions that are left out keep their numbers, by which `collect` recognizes the answers.
        """
        tasks = [
            self._write(asked, name, row)
            for name, row in tasks_of(asked.query)
            if (row["image_id"], row["region"]) not in asked.left_out
        ]
        values = {
            "version": VERSION,
            "ignore_id": IGNORE_INDEX,
            "classes": _class_table(asked.classes),
            "tasks": tasks,
        }
        asked.storage.replace(f"{asked.folder}/{TASKS_FILE}", json.dumps(values, indent=1).encode())
        return len(tasks)

    def _write(self, asked: LabelRequest, name: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Write the pictures of a task, and return its entry in the manifest."""
        index = row["image_index"]
        folder = asked.folder
        image = asked.read_image(index)
        proposal = asked.propose(index)
        place = asked.place(index, row["region"], self.margin)
        asked.storage.replace(f"{folder}/{name}.png", _png(_crop(image, place.context)))
        if proposal is not None:
            data = encode_mask(_crop(proposal, place.box))
            asked.storage.replace(f"{folder}/{name}.proposal.png", data)
        if place.region is not None:
            data = encode_mask(place.region * np.uint8(255))
            asked.storage.replace(f"{folder}/{name}.region.png", data)
        return {
            **row,
            "name": name,
            "kind": asked.label.kind,
            "box": list(place.box.as_tuple()),
            "context": list(place.context.as_tuple()),
            "region_mask": None if place.region is None else f"{name}.region.png",
            "answer": answer_name(name, asked.label),
        }

    def collect(self, asked: LabelRequest) -> Answers:
        """Take in the answers in the folder; an unusable one is refused until it is corrected.

        Tasks follow from the query, as when they were written; `tasks.json` is for people and their
        tools, and is not read.
        """
        present: dict[str, list[str]] = {}
        for name in asked.storage.list(asked.folder):
            present.setdefault(name.lower(), []).append(name)
        rows: list[dict[str, Any]] = []
        refused: list[Refusal] = []
        for name, row in tasks_of(asked.query):
            found = present.get(answer_name(name, asked.label), [])
            if not found or (row["image_id"], row["region"]) in asked.taken:
                continue
            try:
                rows.append({**row, **self._read(asked, name, row, found)})
            except DataError as error:
                reason = f"{asked.storage.uri(f'{asked.folder}/{found[0]}')}: {error}"
                refused.append(
                    Refusal(
                        image_id=row["image_id"], region=row["region"], reason=reason, final=False
                    )
                )
        table = pa.Table.from_pylist(rows, schema=PEOPLE_SCHEMA)
        return Answers(table=table, refused=tuple(refused))

    def _read(
        self, asked: LabelRequest, task: str, row: Mapping[str, Any], names: Sequence[str]
    ) -> dict[str, Any]:
        """Return the columns of LABEL_SCHEMA that the answer to a task gives.

        Raises:
            DataError: the answer cannot be used.
        """
        place = asked.place(row["image_index"], row["region"], self.margin)
        data = _read_file(asked.storage, asked.folder, names)
        try:
            label = asked.label.read(data, place, asked.classes)
        except DataError:
            # The margin may have been another one when the task was handed out.
            shown = _place_shown(asked, task, row)
            if shown is None or shown.context == place.context:
                raise
            label, place = asked.label.read(data, shown, asked.classes), shown
        return {
            **asked.label.row(label, place.box, place.region),
            "annotator": self.kind,
            "seconds": None,
            "answer_sha256": hashlib.sha256(data).hexdigest(),
        }

    def announce_classes(self, storage: Storage, folder: str, classes: Classes) -> None:
        """Write the classes into `tasks.json`; see `Annotator.announce_classes`."""
        name = f"{folder}/{TASKS_FILE}"
        data = storage.read_if_there(name)
        if data is None:
            return
        values = json.loads(data)
        if values["classes"] != _class_table(classes):
            values["classes"] = _class_table(classes)
            storage.replace(name, json.dumps(values, indent=1).encode())

    def unused(
        self,
        storage: Storage,
        folder: str,
        query: pa.Table,
        label: LabelKind,
        *,
        digests: Mapping[RegionName, str | None],
        late: Set[RegionName],
    ) -> list[str]:
        """Return sentences about unread, late and changed files; see `Annotator.unused`."""
        files = {name.lower(): name for name in storage.list(folder)}
        tasks = tasks_of(query)
        sentences = [
            f"{storage.uri(folder)}/{name}: is not read; {_remedy(name, tasks, label)}"
            for name in _strange(files, tasks, label)
        ]
        for task, row in tasks:
            name = (row["image_id"], row["region"])
            found = files.get(answer_name(task, label))
            if found is None:
                continue
            path = f"{folder}/{found}"
            if name in late:
                sentences.append(
                    f"{storage.uri(path)}: came after its query was closed and is not used"
                )
            elif _has_changed(storage, path, digests.get(name)):
                sentences.append(
                    f"{storage.uri(path)}: was changed after it had been taken in; "
                    "the first answer counts"
                )
        return sentences


def tasks_of(query: pa.Table) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, row) of each region of a whole query, in the order of their numbers."""
    rows = query.select(["image_index", "image_id", "region", "rank"]).to_pylist()
    rows.sort(key=lambda row: (row["image_index"], row["region"]))
    return [(f"task-{number:05d}", row) for number, row in enumerate(rows)]


def answer_name(name: str, label: LabelKind) -> str:
    """Return the name of the file that answers the task `name`, in lower case."""
    return f"{name}.{label.answer_ending}"


def _class_table(classes: Classes) -> list[dict[str, Any]]:
    """Return the classes as `tasks.json` lists them."""
    named = enumerate(zip(classes.names, classes.colors, strict=True))
    return [{"id": number, "name": name, "color": list(color)} for number, (name, color) in named]


def _read_file(storage: Storage, folder: str, names: Sequence[str]) -> bytes:
    """Return the content of an answer.

    Raises:
        DataError: several files answer the task (in capitals and small letters), or the file cannot
            be read.
    """
    if len(names) > 1:
        raise DataError(f"several files answer this task ({', '.join(names)}); leave one")
    path = f"{folder}/{names[0]}"
    if not storage.is_file(path):
        raise DataError(
            "no file that can be read (a folder, a pipe, or a link that leads nowhere); "
            "put a file in its place"
        )
    try:
        return storage.read(path)
    except PermissionError as error:
        raise DataError(f"cannot be read ({error}); give this user the right to read it") from None


def _place_shown(asked: LabelRequest, task: str, row: Mapping[str, Any]) -> Place | None:
    """Return the place that the picture of a task shows; None if there is no such picture."""
    data = asked.storage.read_if_there(f"{asked.folder}/{task}.png")
    if data is None:
        return None
    try:
        width, height = Image.open(io.BytesIO(data)).size
    except (UnidentifiedImageError, OSError):
        return None
    return asked.place_in_picture(row["image_index"], row["region"], (height, width))


def _has_changed(storage: Storage, path: str, digest: str | None) -> bool:
    """Return whether a file is no longer the one whose digest was recorded."""
    if digest is None or not storage.is_file(path):
        return False
    return hashlib.sha256(storage.read(path)).hexdigest() != digest


def _strange(
    files: Mapping[str, str], tasks: Sequence[tuple[str, Any]], label: LabelKind
) -> Iterator[str]:
    """Yield names of files that were likely meant as answers, but are not read as such.

    They are second answers, answers in another format, or answers to tasks that do not exist.
    """
    ours: set[str] = set()
    for task, _ in tasks:
        ours.add(answer_name(task, label))
        ours.update(f"{task}.{ending}" for ending in WRITTEN)
    for key, name in sorted(files.items()):
        if "task-" in key and key.endswith(MEANT) and key not in ours:
            yield name if name.isprintable() else ascii(name)


def _remedy(name: str, tasks: Sequence[tuple[str, Any]], label: LabelKind) -> str:
    """Return how a file would have to be named to be read as an answer."""
    task = next((task for task, _ in tasks if task in name.lower()), None)
    if task is None:
        return f"answers are named like {answer_name(tasks[0][0], label)}"
    return (
        f"the one answer to this task is {answer_name(task, label)}; if several people answered, "
        "let them agree on one"
    )


def _crop(array: np.ndarray, box: Box) -> np.ndarray:
    return array[box.top : box.bottom, box.left : box.right]


def _png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()
