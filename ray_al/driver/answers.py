"""Report answers that people gave and that no cycle uses, so nobody believes that they count."""

from collections.abc import Sequence, Set

from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, RegionName
from ray_al.driver.asking import names_of
from ray_al.driver.pool import read_table
from ray_al.driver.validation_labels import mask_question, request_table
from ray_al.ledger import Journal, Query, State, fold
from ray_al.ledger.config import read_config


def ignored_answers(storage: Storage) -> list[str]:
    """Return one sentence for each thing that people gave and that is not used, such as a file.

    An answer is read once. It may be corrected until then, and comes too late once its query is
    closed.
    """
    state = fold(Journal(storage).events)
    queries = [query for query in state.queries if query.tasks is not None]
    sentences = _of_validation(storage, state)
    if not queries:
        return sentences
    digests = _digests(storage, state.label_parts)
    label = read_config(storage).label
    for query in queries:
        assert query.tasks is not None
        table = read_table(storage, query.file)
        late = _late(query, _names(storage, query), state, digests.keys())
        sentences += label.annotator.unused(
            storage, query.tasks, table, label, digests=digests, late=late
        )
    return sentences


def _of_validation(storage: Storage, state: State) -> list[str]:
    """Return sentences about what people gave for validation images, as `ignored_answers`."""
    asked, known = state.created.unlabelled_validation, state.validation
    if asked is None or known is None or known.tasks is None:
        return []
    config = read_config(storage)
    table = request_table(read_table(storage, asked.manifest))
    digests = _digests(storage, known.parts)
    refused = {refusal.name for refusal in known.refused}
    late = names_of(table) - digests.keys() - refused if known.closed else set[RegionName]()
    return config.label.annotator.unused(
        storage, known.tasks, table, mask_question(config), digests=digests, late=late
    )


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


def _digests(storage: Storage, parts: Sequence[FileRef]) -> dict[RegionName, str | None]:
    """Map each labelled region to the digest of its answer; None if its label has no digest."""
    known: dict[RegionName, str | None] = {}
    for ref in parts:
        for row in read_table(storage, ref).to_pylist():
            known[row["image_id"], row["region"]] = row.get("answer_sha256")
    return known
