"""Read what a run recorded."""

from ray_al.core.storage import Storage
from ray_al.ledger import Journal, fold


def state_of(run_dir):
    return fold(Journal(Storage(run_dir)).events)


def queries(run_dir):
    return [Storage(run_dir).read(query.file.path) for query in state_of(run_dir).queries]


def events_of(run, kind):
    return [event.data for event in Journal(Storage(run)).events if event.kind == kind]
