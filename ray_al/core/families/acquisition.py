"""The table of acquisition functions: where each is, and which settings it reads.

Comparing runs and printing the state of a sweep need to know what a function reads. The functions'
classes would tell, but importing them loads torch, which takes seconds. A test checks that table
and classes agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Inputs = Literal["none", "logits", "transforms", "passes"]
"""What a function scores: nothing, the logits of one pass, or several predictions, either of
transforms of the image or of stochastic passes."""

READ_BY_INPUTS: Mapping[str, tuple[Inputs, ...]] = {
    "temperature": ("logits", "transforms", "passes"),
    "aggregation": ("logits", "transforms", "passes"),
    "top_share": ("logits", "transforms", "passes"),
    "transforms": ("transforms",),
    "passes": ("passes",),
}
"""Settings of `strategy` that functions share, with the kinds of input for which they count."""


@dataclass(frozen=True)
class FunctionEntry:
    """An acquisition function.

    Attributes:
        place: its class, as `package.module:Class`.
        inputs: what it scores.
        settings: those settings of `strategy` that are its own, with their default values.
    """

    place: str
    inputs: Inputs
    settings: Mapping[str, float] = field(default_factory=dict)

    @property
    def needs_model(self) -> bool:
        """Whether it looks at the predictions of a model."""
        return self.inputs != "none"

    def reads(self, key: str) -> bool:
        """Return whether a setting of `strategy` can change the scores of this function."""
        if key in READ_BY_INPUTS:
            return self.inputs in READ_BY_INPUTS[key]
        return key not in ACQUISITION_SETTINGS or key in self.settings


_HERE = "ray_al.acquisition"
ACQUISITION_ENTRIES: Mapping[str, FunctionEntry] = {
    "random": FunctionEntry(f"{_HERE}.random:Random", "none"),
    "least_confidence": FunctionEntry(f"{_HERE}.uncertainty:LeastConfidence", "logits"),
    "margin": FunctionEntry(f"{_HERE}.uncertainty:Margin", "logits"),
    "entropy": FunctionEntry(f"{_HERE}.entropy:Entropy", "logits"),
    "bvsb": FunctionEntry(f"{_HERE}.bvsb:BestVersusSecondBest", "logits"),
    "one_vs_rest": FunctionEntry(f"{_HERE}.one_vs_rest:OneVsRest", "logits"),
    "ripu": FunctionEntry(f"{_HERE}.ripu:RegionImpurity", "logits", {"radius": 1}),
    "equal": FunctionEntry(f"{_HERE}.equal:EquAL", "transforms"),
    "disagreement": FunctionEntry(f"{_HERE}.mutual_information:Disagreement", "transforms"),
    "soft_vote_entropy": FunctionEntry(f"{_HERE}.mutual_information:SoftVoteEntropy", "passes"),
    "bald": FunctionEntry(f"{_HERE}.mutual_information:Bald", "passes"),
    "dropquery": FunctionEntry(f"{_HERE}.dropquery:DropQuery", "passes"),
    "edald": FunctionEntry(f"{_HERE}.edald:EntropyAndDisagreement", "passes"),
    "qbc_kl": FunctionEntry(f"{_HERE}.mutual_information:QbcKullbackLeibler", "passes"),
    "vote_entropy": FunctionEntry(f"{_HERE}.votes:VoteEntropy", "passes"),
    "variation_ratio": FunctionEntry(f"{_HERE}.votes:VariationRatio", "passes"),
    "expected_entropy": FunctionEntry(f"{_HERE}.mutual_information:ExpectedEntropy", "passes"),
    "balent": FunctionEntry(f"{_HERE}.balent:BalancedEntropy", "passes"),
    "class_balanced": FunctionEntry(f"{_HERE}.class_weighted:ClassBalanced", "logits"),
    "class_balanced_pixels": FunctionEntry(f"{_HERE}.class_weighted:ClassBalancedPixels", "logits"),
    "pixbal": FunctionEntry(f"{_HERE}.class_weighted:PixBal", "logits", {"nu": 6.0}),
    "validation_gap": FunctionEntry(f"{_HERE}.class_weighted:ValidationGap", "logits"),
    "clasp": FunctionEntry(f"{_HERE}.class_weighted:ClaspEntropy", "logits"),
}
"""The built-in functions, by name."""


def _readers() -> dict[str, tuple[str, ...]]:
    """Map each setting that only some functions have to those functions."""
    readers: dict[str, tuple[str, ...]] = {}
    for name, entry in ACQUISITION_ENTRIES.items():
        for key in entry.settings:
            readers[key] = (*readers.get(key, ()), name)
    return readers


ACQUISITION_SETTINGS: Mapping[str, tuple[str, ...]] = _readers()
"""Settings of `strategy` that only some acquisition functions have, with those functions."""
