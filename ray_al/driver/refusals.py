"""Stop a run whose masks share a fault, before its budget is spent on what they leave."""

import re
from collections import Counter
from collections.abc import Iterable

from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Answers
from ray_al.ledger import State

SHOWN_REASONS = 5
MIN_ALIKE = 10
"""Number of regions refused for one kind of reason from which they are no accident."""
MAX_ALIKE_SHARE = 0.2
"""Share of all queried regions up to which such regions are refused one by one."""


def check_usable(state: State, labels: Answers) -> None:
    """Stop if no mask of a query can be used, or if many masks have the same fault.

    A single region may happen to have a bad mask. If all regions of a query have one, or those of
    two queries in a row, the masks share a fault; so they do if a reason of one kind recurs.

    Args:
        state: of the run, whose last query is being labelled.
        labels: the answers to it.

    Raises:
        RayALError: with the reasons; nothing was recorded, so a resume reads the masks again.
    """
    if not labels.refused:
        return
    queries, cycle = state.queries, state.queries[-1].cycle + 1
    new = [refusal.reason for refusal in labels.refused]
    repeated = len(new) > 1 or (len(queries) > 1 and not queries[-2].answered)
    if not len(labels.table) and repeated:
        raise RayALError(
            f"cycle {cycle}: not one of the {len(new)} queried regions has a mask that can be "
            f"used; mend the masks, then resume. {_listed(new)}"
        )
    kinds = Counter(map(_kind, new))
    kinds.update(kind for kind in map(_kind, _earlier(state)) if kind in kinds)
    kind, num = kinds.most_common(1)[0]
    num_queried = sum(query.num_regions for query in queries)
    if num >= MIN_ALIKE and num > MAX_ALIKE_SHARE * num_queried:
        alike = [reason for reason in new if _kind(reason) == kind]
        raise RayALError(
            f"cycle {cycle}: {num} of the {num_queried} regions queried so far cannot be labelled, "
            "all for the same kind of reason, so what is left would be a chance part of the pool; "
            f"mend the masks, then resume. {_listed(alike)}"
        )


def _earlier(state: State) -> Iterable[str]:
    return (refusal.reason for refusal in state.refused)


def _kind(reason: str) -> str:
    """Return what a reason has in common with others: no file, no numbers, no remedy."""
    _, _, words = reason.partition(": ")
    return re.sub(r"\d+", "#", words.partition(";")[0])


def _listed(reasons: Iterable[str]) -> str:
    reasons = list(dict.fromkeys(reasons))
    listed = "; ".join(reasons[:SHOWN_REASONS])
    more = len(reasons) - SHOWN_REASONS
    return f"{listed}; and {more} more" if more > 0 else listed
