"""What people put into the folders of tasks that no cycle takes in: it is said, so that nobody believes that it counts."""

import hashlib

from ray_al.core.storage import Storage
from ray_al.driver.loop import read_config
from ray_al.driver.pool import read_table
from ray_al.label.files import answer_name, tasks_of
from ray_al.ledger import Journal, Query, State, fold

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
    kind = read_config(storage).label.kind
    return [said for query in queries for said in _of_query(storage, query, kind, digests, refused)]


def _digests(storage: Storage, state: State) -> dict[Name, str | None]:
    """Of the answer to each labelled region; None in labels of earlier versions, which do not hold it."""
    known: dict[Name, str | None] = {}
    for ref in state.label_parts:
        for row in read_table(storage, ref).to_pylist():
            known[row["image_id"], row["region"]] = row.get("answer_sha256")
    return known


def _of_query(storage: Storage, query: Query, kind: str, digests: dict[Name, str | None], refused: set[Name]) -> list[str]:
    assert query.tasks is not None
    files: dict[str, dict[str, str]] = {}
    for file in storage.list(query.tasks):
        files.setdefault(file.split(".")[0].lower(), {})[file.lower()] = file
    said = []
    for task, row in tasks_of(read_table(storage, query.file)):
        name, expected = (row["image_id"], row["region"]), answer_name(task, kind)
        of_task = files.get(task, {})
        found = of_task.pop(expected, None)
        said += [_strange(storage, query, other, expected) for key, other in sorted(of_task.items()) if _resembles(key, task, expected)]
        if found is None:
            continue
        path = f"{query.tasks}/{found}"
        if name not in digests:
            if query.closed and name not in refused:
                said.append(f"{storage.uri(path)}: came after its query was closed and is not used")
        elif digests[name] is not None and storage.is_file(path) and hashlib.sha256(storage.read(path)).hexdigest() != digests[name]:
            said.append(f"{storage.uri(path)}: was changed after it had been taken in; the first answer counts")
    return said


def _resembles(name: str, task: str, expected: str) -> bool:
    """Whether a file (in small letters) was likely meant as an answer: a second one, or one of another format."""
    return name.startswith(f"{task}.{expected.split('.')[1]}")


def _strange(storage: Storage, query: Query, name: str, expected: str) -> str:
    shown = name if name.isprintable() else ascii(name)
    return f"{storage.uri(f'{query.tasks}/{shown}')}: is not read; the answer to this task is {expected}"
