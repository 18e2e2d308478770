"""What status and report say of validation images that people label."""

from helpers.records import run_created

from ray_al.core.types import FileRef, Refusal
from ray_al.ledger import State
from ray_al.ledger.records import MaskFile, ValidationClosed
from ray_al.ledger.validation import ValidationLabels
from ray_al.report.validation import refused_lines, validation_facts, validation_lines

REFUSED = (
    Refusal(image_id="a.png", region=0, reason="all 255", final=True),
    Refusal(image_id="b.png", region=0, reason="a JPEG file", final=False),
)


def lines_of(labels: ValidationLabels | None) -> list[str]:
    state = State(created=run_created(class_names=["sky", "car"]), validation=labels)
    return list(validation_lines(validation_facts(state)))


def test_runs_without_such_images_say_nothing():
    assert lines_of(None) == []
    assert list(refused_lines(None)) == []


def test_what_is_missing_is_said():
    assert lines_of(ValidationLabels(num_images=4)) == [
        "validation: 0 of 4 images labelled by people, 4 missing"
    ]
    labels = ValidationLabels(
        num_images=4, answered=1, clicks=9, label_seconds=90.0, refused=REFUSED
    )
    assert lines_of(labels) == [
        "validation: 1 of 4 images labelled by people, 2 missing, 1 left out; "
        "9 clicks and 1.5 minutes, which the budget does not pay for"
    ]
    facts = validation_facts(State(validation=labels))
    assert list(refused_lines(facts)) == [
        "left out validation image a.png: all 255",
        "refused validation image b.png: a JPEG file",
    ]


def test_classes_without_a_validation_label_are_named():
    mask = MaskFile(image_id="c.png", file=FileRef.of("m", b""))
    closed = ValidationClosed(masks=(mask,), num_unanswered=3, class_pixels=(0, 7))
    labels = ValidationLabels(num_images=4, answered=1, clicks=2, closed=closed)
    assert lines_of(labels) == [
        "validation: 1 of 4 images labelled by people, 3 left out; 2 clicks, which the budget does "
        "not pay for",
        "no validation label by people of: sky",
    ]
