"""The limit of labels that one call of a sweep may buy."""

from collections.abc import Mapping


class LabelLimit:
    """Counts the labels that one call of `ray-al sweep` buys.

    Trials report what they have spent since their own start, which may lie in an earlier call.

    Args:
        labels: number that may be bought; None for any number.
        before: what each trial had spent when the call began, by name. A trial that is still to be
            forked from a shared start has spent what the start cost.
        bought: labels that the shared starts of this call have bought already.
    """

    def __init__(self, labels: int | None, before: Mapping[str, int], bought: int = 0) -> None:
        self.labels, self.before, self.bought = labels, dict(before), bought
        self.spent: dict[str, int] = {}

    def begin(self, trial: str, spent: int) -> None:
        """Add a trial that was planned during this call, with what it begins with."""
        self.before[trial] = spent

    def report(self, trial: str, spent: int) -> None:
        """Note what a trial has spent since its start."""
        self.spent[trial] = spent

    @property
    def is_reached(self) -> bool:
        """Whether as many labels are bought as may be."""
        new = sum(max(0, spent - self.before.get(trial, 0)) for trial, spent in self.spent.items())
        return self.labels is not None and self.bought + new >= self.labels
