"""Extend a run: check everything, write the new manifest, then the event."""

import logging
from dataclasses import asdict, replace
from typing import Any

from ray_al.core.storage import Storage
from ray_al.driver.asking import announce_classes
from ray_al.driver.extend.plan import Plan, make_plan
from ray_al.driver.extend.wanted import Wanted
from ray_al.driver.lease import Lease
from ray_al.driver.settings import settle_config
from ray_al.ledger import Journal, fold
from ray_al.ledger.config import read_config
from ray_al.report.extensions import extension_lines

logger = logging.getLogger(__name__)


def extend_run(run_uri: str, wanted: Wanted, *, dry_run: bool = False) -> dict[str, Any]:
    """Take the images that lie in the data set now into the pool, and make all wanted changes.

    The manifest is written first, then the event, then `config.yaml`. If a session ends in between,
    the run is as before until the event is there, and the next session writes the file.

    Args:
        run_uri: path or URI of the run directory.
        wanted: what changes besides the images.
        dry_run: whether to check and tell only; nothing is written.

    Returns:
        What changes: `changed`, `lines` for people, and the fields of the event as JSON.

    Raises:
        ConfigError: something cannot change, or cannot work; nothing was written.
        RunHeldError: a living driver holds the run.
    """
    storage = Storage(run_uri)
    events = Journal(storage).events
    plan = make_plan(storage, events, wanted)
    _warn_of_unread(plan)
    if dry_run or plan.is_empty:
        return _facts(plan, dry_run=dry_run)
    lease = Lease(storage).acquire()
    try:
        journal = Journal(storage)
        if len(journal.events) != len(events):
            plan = make_plan(storage, journal.events, wanted)
        record = plan.record
        if plan.manifest is not None:
            assert record.manifest is not None
            ref = storage.put(record.manifest.path, plan.manifest, attempt=plan.state.attempt)
            record = replace(record, manifest=ref)
        journal.append(record)
        settle_config(storage, journal.events)
        announce_classes(storage, fold(journal.events), read_config(storage, journal.events))
    finally:
        lease.release()
    return _facts(plan, dry_run=False)


def _warn_of_unread(plan: Plan) -> None:
    """Log that labels of new images will be asked for although they exist."""
    takes_existing = plan.before.budget.start_rule.takes_existing
    is_read = plan.before.label.annotator.reads_masks and not takes_existing
    if plan.pool.num_masked and not is_read:
        logger.warning(
            "%d of the %d added images have masks; labels that exist are taken in only when a run "
            "begins, so these regions are asked for, and paid, like all others; to begin with "
            "them, start a new run with budget.start_rule=existing",
            plan.pool.num_masked,
            plan.pool.num_added,
        )


def _facts(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    record = plan.record
    return {
        "changed": not plan.is_empty,
        "dry_run": dry_run,
        "added": plan.pool.added,
        "removed": list(record.removed),
        "returned": list(record.returned),
        "broken": {image.image_id: image.error for image in record.broken},
        "gone": {image.image_id: image.error for image in record.gone},
        "refused": [asdict(refusal) for refusal in record.refused],
        "added_classes": list(record.added_classes),
        "renamed_classes": dict(record.renamed_classes or {}),
        "amount": record.amount,
        "changes": dict(record.changes),
        "sizes": asdict(record.sizes),
        "lines": list(extension_lines(record, plan.state.created.unit)),
    }
