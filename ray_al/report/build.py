"""Write `curve.csv` and `report.html`, from the journal and the files that its events name."""

from collections.abc import Sequence

import numpy as np

from ray_al.core.run_dir import RunDir
from ray_al.core.storage import Storage
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.records import BrokenImage
from ray_al.report.data import Budget, MeasuredCycle, ReportData
from ray_al.report.extensions import extension_lines, next_cycles
from ray_al.report.html import render_report
from ray_al.report.left_out import labels_left_out
from ray_al.report.metrics import missing_labels, read_miou, read_result
from ray_al.report.panels import image_panels
from ray_al.report.rows import curve_rows, write_curve
from ray_al.report.validation import refused_lines, validation_facts, validation_lines


def write_report(run_uri: str, val_class_pixels: list[int]) -> str:
    """Write `curve.csv` and `report.html`, and return the path of the page.

    Args:
        val_class_pixels: pixels of each class in the validation masks, which the report compares
            with those of the labelled set.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    state = fold(events)
    write_curve(storage, state)
    page = render_report(_report_data(storage, state, next_cycles(events), val_class_pixels))
    storage.replace(RunDir.REPORT, page.encode())
    return storage.uri(RunDir.REPORT)


def _report_data(
    storage: Storage, state: State, extended: Sequence[int], val_class_pixels: list[int]
) -> ReportData:
    created, last, facts = state.created, state.last_trained, validation_facts(state)
    final = read_result(storage, "final")
    return ReportData(
        name=created.name,
        state=state.finished or "not finished",
        class_names=created.class_names,
        colors=created.colors,
        rows=curve_rows(state),
        budget=Budget(unit=created.unit, amount=state.amount, spent=state.spent),
        labelled_class_pixels=_padded(last.class_pixels if last else (), len(val_class_pixels)),
        val_class_pixels=val_class_pixels,
        unlabelled_classes=state.unlabelled_classes,
        only_class=state.only_class,
        images=image_panels(storage, state),
        config_yaml=storage.read(RunDir.CONFIG).decode(errors="replace"),
        quarantine=_quarantine(storage, state),
        validation=[*validation_lines(facts), *refused_lines(facts)],
        extensions=[
            f"before cycle {cycle}: {line}"
            for cycle, record in zip(extended, state.extensions, strict=True)
            for line in extension_lines(record, created.unit)
        ],
        extended=frozenset(extended),
        refused=state.refused,
        measured=[_measured_cycle(state, cycle) for cycle in sorted(state.measured)],
        final_miou=None if final is None else final.miou,
        final_labels=missing_labels(final, state.labelled_regions),
        full_miou=read_miou(storage, "upper_bound"),
    )


def _padded(counts: Sequence[float], num_classes: int) -> tuple[float, ...]:
    """Return the counts of all classes; those that were added after the last training have 0."""
    return (*counts, *(0,) * (num_classes - len(counts)))


def _measured_cycle(state: State, cycle: int) -> MeasuredCycle:
    record = state.measured[cycle]
    models = state.repeats[cycle].values()
    test = [model.metrics["test"].miou for model in models if "test" in model.metrics]
    return MeasuredCycle(
        cycle=cycle,
        budget=record.budget,
        mious=record.mious,
        miou=record.miou,
        spread=record.spread,
        test=float(np.mean(test)) if test else None,
    )


def _quarantine(storage: Storage, state: State) -> list[BrokenImage]:
    """Return the quarantined images; the error says how many of their labels are lost."""
    lost = labels_left_out(storage, state)
    images = []
    for image_id, error in state.quarantined.items():
        if image_id in lost:
            error += f"; {lost[image_id]} labelled regions of it are not trained on"
        images.append(BrokenImage(image_id=image_id, error=error))
    return images
