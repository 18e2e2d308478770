"""What people put into the folders of tasks that no cycle takes in: it is said, so that nobody believes that it counts."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ray_al.core.families.labels import LabelKind
from ray_al.core.storage import Storage
from ray_al.driver.loop import read_config
from ray_al.driver.pool import read_table
from ray_al.label.files import WRITTEN, answer_name, tasks_of
from ray_al.ledger import Journal, Query, State, fold

MEANT = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".npy", ".json")
"""Endings of what people may take for an answer; project files of their tools are none."""
Name = tuple[str, int]


def ignored_answers(storage: Storage) -> list[str]:
    """A sentence for each file that looks like an answer and is not used.

    An answer is taken in once; it may be put right until then, and comes too late once its query is closed.
    """
    state = fold(Journal(storage).events)
    queries = [query for query in state.queries if query.tasks is not None]
    if not queries:
        return []
    digests = _digests(storage, state)
    refused = {(row["image_id"], row["region"]) for row in state.refused}
    label = read_config(storage).label
    return [said for query in queries for said in _of_query(storage, query, label, digests, refused)]


def _digests(storage: Storage, state: State) -> dict[Name, str | None]:
    """Of the answer to each labelled region; None in labels of earlier versions, which do not hold it."""
    known: dict[Name, str | None] = {}
    for ref in state.label_parts:
        for row in read_table(storage, ref).to_pylist():
            known[row["image_id"], row["region"]] = row.get("answer_sha256")
    return known


def _of_query(storage: Storage, query: Query, label: LabelKind, digests: dict[Name, str | None], refused: set[Name]) -> list[str]:
    assert query.tasks is not None
    files = {name.lower(): name for name in storage.list(query.tasks)}
    tasks = tasks_of(read_table(storage, query.file))
    said = [
        f"{storage.uri(query.tasks)}/{name}: is not read; answers are named like {answer_name(tasks[0][0], label)}"
        for name in _strange(files, tasks, label)
    ]
    for task, row in tasks:
        name, found = (row["image_id"], row["region"]), files.get(answer_name(task, label))
        if found is None:
            continue
        path = f"{query.tasks}/{found}"
        if name not in digests:
            if query.closed and name not in refused:
                said.append(f"{storage.uri(path)}: came after its query was closed and is not used")
        elif digests[name] is not None and storage.is_file(path) and hashlib.sha256(storage.read(path)).hexdigest() != digests[name]:
            said.append(f"{storage.uri(path)}: was changed after it had been taken in; the first answer counts")
    return said


def _strange(files: Mapping[str, str], tasks: Sequence[tuple[str, Any]], label: LabelKind) -> list[str]:
    """Files that were likely meant as answers: second ones, ones of another format, ones to tasks that are not there."""
    ours = {name for task, _ in tasks for name in (answer_name(task, label), *(f"{task}.{ending}" for ending in WRITTEN))}
    names = [name for key, name in sorted(files.items()) if key.startswith("task-") and key.endswith(MEANT) and key not in ours]
    return [name if name.isprintable() else ascii(name) for name in names]
