"""The durable record of a run: events, their fold, and the journal that holds them."""

from ray_al.ledger.events import Event
from ray_al.ledger.fold import fold
from ray_al.ledger.journal import RUN, Journal
from ray_al.ledger.ledger import Ledger
from ray_al.ledger.state import NOT_CREATED, Query, State

__all__ = ["NOT_CREATED", "RUN", "Event", "Journal", "Ledger", "Query", "State", "fold"]
