"""Describe in words which validation images people labelled."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ray_al.ledger import State


def validation_facts(state: State) -> dict[str, Any] | None:
    """Return the facts about validation images that people label; None if there are none.

    Returns:
        `num_images` that had no mask; those `labelled`, `left_out` and still `missing`; the
        `clicks` and `label_seconds` of their labels, which the budget does not pay for; whether
        they are `closed`; the `refused` answers; and the `absent_classes`, of which the masks of
        people have no pixel.
    """
    known = state.validation
    if known is None:
        return None
    counts = known.closed.class_pixels if known.closed else ()
    names = state.created.class_names[: len(counts)]
    return {
        "num_images": known.num_images,
        "labelled": known.answered,
        "left_out": known.num_images - known.answered - known.missing,
        "missing": known.missing,
        "clicks": known.clicks,
        "label_seconds": known.label_seconds,
        "closed": known.closed is not None,
        "refused": [asdict(refusal) for refusal in known.refused],
        "absent_classes": [name for name, count in zip(names, counts, strict=True) if not count],
    }


def validation_lines(facts: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield sentences about validation images that people label.

    Args:
        facts: as `validation_facts` returns them.
    """
    if facts is None:
        return
    counts = [f"{facts['labelled']} of {facts['num_images']} images labelled by people"]
    counts += [f"{facts[key]} {word}" for key, word in _COUNTS.items() if facts[key]]
    yield f"validation: {', '.join(counts)}{_cost_text(facts)}"
    if facts["absent_classes"]:
        yield f"no validation label by people of: {', '.join(facts['absent_classes'])}"


_COUNTS = {"missing": "missing", "left_out": "left out"}
"""Words for the images without a label, by the fact that counts them."""


def _cost_text(facts: Mapping[str, Any]) -> str:
    """Return what the labels took; empty before the first one."""
    if not facts["labelled"]:
        return ""
    seconds = facts["label_seconds"]
    time = "" if seconds is None else f" and {seconds / 60:.1f} minutes"
    return f"; {facts['clicks']} clicks{time}, which the budget does not pay for"


def refused_lines(facts: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield a sentence for each validation image whose answer could not be used.

    Args:
        facts: as `validation_facts` returns them.
    """
    for row in facts["refused"] if facts else ():
        what = "left out" if row["final"] else "refused"
        yield f"{what} validation image {row['image_id']}: {row['reason']}"
