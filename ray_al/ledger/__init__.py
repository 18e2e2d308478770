"""The durable record of a run: events, their fold, and the journal that holds them.

The journal is the list of events on the storage. The ledger is the journal together with the state
that its events amount to, which is why the package has that name.
"""

from ray_al.ledger.events import Event
from ray_al.ledger.fold import fold
from ray_al.ledger.journal import RUN, Journal
from ray_al.ledger.ledger import Ledger
from ray_al.ledger.state import NOT_CREATED, Query, State

__all__ = ["NOT_CREATED", "RUN", "Event", "Journal", "Ledger", "Query", "State", "fold"]
