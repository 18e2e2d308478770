"""What people gave and no cycle takes in: it is said, so that nobody believes that it counts."""

from collections.abc import Set

from ray_al.core.families.annotators import Name
from ray_al.core.storage import Storage
from ray_al.driver.loop import read_config
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, Query, State, fold


def ignored_answers(storage: Storage) -> list[str]:
    """A sentence for each thing that people gave and that is not used, such as a file's name.

    An answer is taken in once; it may be put right until then, and comes too late once its query is
    closed.
    """
    state = fold(Journal(storage).events)
    queries = [query for query in state.queries if query.tasks is not None]
    if not queries:
        return []
    digests = _digests(storage, state)
    label, said = read_config(storage).label, []
    for query in queries:
        assert query.tasks is not None
        table = read_table(storage, query.file)
        late = _late(query, _names(storage, query), state, digests.keys())
        said += label.annotator.unused(
            storage, query.tasks, table, label, digests=digests, late=late
        )
    return said


def _names(storage: Storage, query: Query) -> set[Name]:
    rows = read_table(storage, query.file, ["image_id", "region"]).to_pylist()
    return {(row["image_id"], row["region"]) for row in rows}


def _late(query: Query, names: set[Name], state: State, labelled: Set[Name]) -> set[Name]:
    """Regions of a closed query that have no label; those that were refused had an answer."""
    if not query.closed:
        return set()
    return names - labelled - {refusal.name for refusal in state.refused}


def _digests(storage: Storage, state: State) -> dict[Name, str | None]:
    """Of the answer to each labelled region; None where its label does not hold it."""
    known: dict[Name, str | None] = {}
    for ref in state.label_parts:
        for row in read_table(storage, ref).to_pylist():
            known[row["image_id"], row["region"]] = row.get("answer_sha256")
    return known
