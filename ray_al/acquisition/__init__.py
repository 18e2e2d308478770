"""Acquisition functions: one class per function, and one table that lists them."""

import difflib
from collections.abc import Mapping

from ray_al.acquisition.acquisition import (
    Acquisition,
    ClassStats,
    LogitsAcquisition,
    ViewsAcquisition,
)
from ray_al.acquisition.classes import class_maps, final_scores
from ray_al.acquisition.custom import check_pixel_output, class_of_function
from ray_al.core.errors import ConfigError
from ray_al.core.family import Family
from ray_al.core.imports import import_function
from ray_al.core.strategy import ACQUISITION_SETTINGS, StrategyConfig


class AcquisitionFamily(Family[Acquisition]):
    """The family of acquisition functions; a user's own may also be a plain function of logits."""

    def find(self, kind: str) -> type[Acquisition]:
        """Return the class of that name.

        Raises:
            ConfigError: there is none, with the nearest known name; or the user's own function
                cannot be imported or called.
        """
        if kind in self.kinds:
            return super().find(kind)
        if ":" not in kind:
            near = difflib.get_close_matches(kind, self.kinds, n=1, cutoff=0.4)
            known = ", ".join(self.kinds)
            hint = f"did you mean {near[0]!r}?" if near else f"known names: {known}"
            raise ConfigError(
                f"{self.key} {kind!r}: unknown acquisition function; {hint} "
                "(or package.module:function)"
            )
        found = import_function(
            self.key, kind, wanted="a function of (N, C, H, W) logits that returns (N, H, W) scores"
        )
        if isinstance(found, type) and issubclass(found, Acquisition):
            return super().find(kind)
        return class_of_function(kind, found)


_HERE = "ray_al.acquisition"
FUNCTIONS = AcquisitionFamily(
    "strategy.acquisition",
    Acquisition,
    {
        "random": f"{_HERE}.random:Random",
        "least_confidence": f"{_HERE}.uncertainty:LeastConfidence",
        "margin": f"{_HERE}.uncertainty:Margin",
        "entropy": f"{_HERE}.entropy:Entropy",
        "bvsb": f"{_HERE}.bvsb:BestVersusSecondBest",
        "one_vs_rest": f"{_HERE}.one_vs_rest:OneVsRest",
        "ripu": f"{_HERE}.ripu:RegionImpurity",
        "equal": f"{_HERE}.equal:EquAL",
        "disagreement": f"{_HERE}.mutual_information:Disagreement",
        "soft_vote_entropy": f"{_HERE}.mutual_information:SoftVoteEntropy",
        "bald": f"{_HERE}.mutual_information:Bald",
        "dropquery": f"{_HERE}.dropquery:DropQuery",
        "edald": f"{_HERE}.edald:EntropyAndDisagreement",
        "qbc_kl": f"{_HERE}.mutual_information:QbcKullbackLeibler",
        "vote_entropy": f"{_HERE}.votes:VoteEntropy",
        "variation_ratio": f"{_HERE}.votes:VariationRatio",
        "expected_entropy": f"{_HERE}.mutual_information:ExpectedEntropy",
        "balent": f"{_HERE}.balent:BalancedEntropy",
        "class_balanced": f"{_HERE}.class_weighted:ClassBalanced",
        "class_balanced_pixels": f"{_HERE}.class_weighted:ClassBalancedPixels",
        "pixbal": f"{_HERE}.class_weighted:PixBal",
        "validation_gap": f"{_HERE}.class_weighted:ValidationGap",
        "clasp": f"{_HERE}.class_weighted:ClaspEntropy",
    },
    takes_word=True,
)


def find_acquisition(name: str) -> Acquisition:
    """Return the function of that name with its default settings.

    Args:
        name: a name of the table, or `package.module:function` or `package.module:Class` for a
            user's own.

    Raises:
        ConfigError: there is none; the message gives the nearest known name, or the fault of the
            user's own.
    """
    return FUNCTIONS.find(name).model_validate({"kind": name})


def open_acquisition(strategy: StrategyConfig) -> Acquisition:
    """Return the function of a strategy with the settings that the strategy gives it.

    Raises:
        ConfigError: as `find_acquisition`.
    """
    given = {
        key: value for key in ACQUISITION_SETTINGS if (value := getattr(strategy, key)) is not None
    }
    return FUNCTIONS.find(strategy.acquisition).model_validate(
        {"kind": strategy.acquisition, **given}
    )


ACQUISITIONS: Mapping[str, Acquisition] = {kind: find_acquisition(kind) for kind in FUNCTIONS.kinds}
"""The built-in functions with their default settings, by name."""


def list_acquisitions() -> list[dict[str, str]]:
    """Return the name and source of every built-in acquisition function."""
    return [{"name": name, "paper": function.paper} for name, function in ACQUISITIONS.items()]


__all__ = [
    "ACQUISITIONS",
    "FUNCTIONS",
    "Acquisition",
    "ClassStats",
    "LogitsAcquisition",
    "ViewsAcquisition",
    "check_pixel_output",
    "class_maps",
    "final_scores",
    "find_acquisition",
    "list_acquisitions",
    "open_acquisition",
]
