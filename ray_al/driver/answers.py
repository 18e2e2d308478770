"""Report answers that people gave and that no cycle uses, so nobody believes that they count."""

from collections.abc import Set

from ray_al.core.storage import Storage
from ray_al.core.types import RegionName
from ray_al.driver.pool import read_table
from ray_al.ledger import Journal, Query, State, fold
from ray_al.ledger.config import read_config


def ignored_answers(storage: Storage) -> list[str]:
    """Return one sentence for each thing that people gave and that is not used, such as a file.

    An answer is read once. It may be corrected until then, and comes too late once its query is
    closed.
    """
    state = fold(Journal(storage).events)
    queries = [query for query in state.queries if query.tasks is not None]
    if not queries:
        return []
    digests = _digests(storage, state)
    label, sentences = read_config(storage).label, []
    for query in queries:
        assert query.tasks is not None
        table = read_table(storage, query.file)
        late = _late(query, _names(storage, query), state, digests.keys())
        sentences += label.annotator.unused(
            storage, query.tasks, table, label, digests=digests, late=late
        )
    return sentences


def _names(storage: Storage, query: Query) -> set[RegionName]:
    rows = read_table(storage, query.file, ["image_id", "region"]).to_pylist()
    return {(row["image_id"], row["region"]) for row in rows}


def _late(
    query: Query, names: set[RegionName], state: State, labelled: Set[RegionName]
) -> set[RegionName]:
    """Return the regions of a closed query that nobody answered; refused ones had an answer."""
    if not query.closed:
        return set()
    return names - labelled - {refusal.name for refusal in state.refused}


def _digests(storage: Storage, state: State) -> dict[RegionName, str | None]:
    """Map each labelled region to the digest of its answer; None if its label has no digest."""
    known: dict[RegionName, str | None] = {}
    for ref in state.label_parts:
        for row in read_table(storage, ref).to_pylist():
            known[row["image_id"], row["region"]] = row.get("answer_sha256")
    return known
