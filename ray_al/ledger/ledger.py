"""Hold the state of a run while its events are appended."""

from collections.abc import Callable

from ray_al.ledger.events import Event
from ray_al.ledger.fold import fold
from ray_al.ledger.journal import Journal
from ray_al.ledger.records import Record
from ray_al.ledger.state import State


class Ledger:
    """Holds the state of a run; the only object that appends to a run and refreshes its state.

    Args:
        state: the state after all events so far.
        record: appends an event with the record that it is given, and returns it.

    Attributes:
        state: the state after the last event that was appended.
    """

    def __init__(self, state: State, record: Callable[[Record], Event]) -> None:
        self.state, self._record = state, record

    @staticmethod
    def of(journal: Journal) -> "Ledger":
        """Return the ledger that continues a journal."""
        return Ledger(fold(journal.events), journal.append)

    def append(self, record: Record) -> None:
        """Record a fact.

        Raises:
            RunHeldError: another driver appended in the meantime; nothing was written.
        """
        self.state = fold([self._record(record)], self.state)
