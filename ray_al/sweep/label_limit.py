"""How many labels one call of a sweep may buy."""

from collections.abc import Mapping


class LabelLimit:
    """The labels that one call of `ray-al sweep` may buy. Trials report what they spent since their own start, however long ago that was.

    Args:
        labels: how many may be bought; None for any number.
        before: what each trial had spent when the call began, by name. A trial that is still to be forked from a shared start has
            spent what the start cost.
        bought: labels that the shared starts of this call have bought already.
    """

    def __init__(self, labels: int | None, before: Mapping[str, int], bought: int = 0) -> None:
        self.labels, self.before, self.bought = labels, dict(before), bought
        self.spent: dict[str, int] = {}

    def begin(self, trial: str, spent: int) -> None:
        """A trial that was thought of in this call, and what it begins with."""
        self.before[trial] = spent

    def report(self, trial: str, spent: int) -> None:
        self.spent[trial] = spent

    @property
    def is_reached(self) -> bool:
        new = sum(max(0, spent - self.before.get(trial, 0)) for trial, spent in self.spent.items())
        return self.labels is not None and self.bought + new >= self.labels
