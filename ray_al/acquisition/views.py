"""Accumulate statistics over passes of one batch; memory does not grow with their number."""

from collections.abc import Callable

import torch

from ray_al.acquisition.shannon import entropy
from ray_al.core.errors import RayALError

KINDS = frozenset({"mean_p", "mean_entropy", "votes", "var_p", "plain"})
"""Statistics that can be kept."""


class PredictionStatistics:
    """Statistics of M predictions of the same images; only those in `wants` are kept.

    Args:
        wants: any of `mean_p`, `mean_entropy`, `votes`, `var_p` and `plain`.

    Attributes:
        count: M, the number of passes added so far.

    Raises:
        RayALError: `wants` has another name, or a statistic is read that was not wanted.
    """

    def __init__(self, wants: frozenset[str]) -> None:
        if wants - KINDS:
            raise RayALError(
                f"views of {sorted(wants - KINDS)}: not known; name some of {sorted(KINDS)}"
            )
        self.wants, self.count = wants, 0
        self._kept: dict[str, torch.Tensor] = {}

    def add(
        self, logits_NCHW: torch.Tensor, undo: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> None:
        """Add a pass.

        Args:
            logits_NCHW: in any floating-point type; computed with in float32.
            undo: turns maps (N, ?, h, w) of flipped or turned images back, if the logits are still
                those of these images. Entropies are computed before it: the rounding of their sum
                over classes depends on where in memory a pixel lies, and they stay, bit for bit,
                the entropies of the transformed images.
        """
        logits = logits_NCHW.float()
        self.count += 1
        if "mean_entropy" in self.wants:
            values = entropy(logits)
            self._sum("mean_entropy", values if undo is None else undo(values[:, None])[:, 0])
        logits = logits if undo is None else undo(logits)
        if self.wants & {"mean_p", "var_p"}:
            self._add_moments(logits.softmax(1))
        if "votes" in self.wants:
            self._sum(
                "votes", torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)
            )

    def add_plain(self, logits_NCHW: torch.Tensor) -> None:
        """Keep the logits of the unchanged pass, which is not among the M passes."""
        self._kept["plain"] = logits_NCHW.float()

    @property
    def plain(self) -> torch.Tensor:
        """Logits of the unchanged pass, (N, C, H, W), given by `add_plain`."""
        return self._read("plain")

    @property
    def mean_p(self) -> torch.Tensor:
        """Mean of p_c over the passes, (N, C, H, W)."""
        return self._read("mean_p")

    @property
    def mean_entropy(self) -> torch.Tensor:
        """Mean of H(p) over the passes in nats, (N, H, W)."""
        return self.sum_entropy / self.count

    @property
    def sum_entropy(self) -> torch.Tensor:
        """Sum of H(p) over the passes in nats, (N, H, W); wanted as `mean_entropy`."""
        return self._read("mean_entropy")

    @property
    def votes(self) -> torch.Tensor:
        """Share of passes that predict each class, (N, C, H, W); the lowest class among equals."""
        return self._read("votes") / self.count

    @property
    def var_p(self) -> torch.Tensor:
        """Population variance of p_c over the passes, (N, C, H, W)."""
        return self._read("var_p") / self.count

    def _add_moments(self, p_NCHW: torch.Tensor) -> None:
        """Update Welford's running mean and sum of squared deviations.

        It is exact for equal passes and subtracts no large sums.
        """
        if self.count == 1:
            self._kept["mean_p"] = p_NCHW
            if "var_p" in self.wants:
                self._kept["var_p"] = torch.zeros_like(p_NCHW)
            return
        step = p_NCHW - self._kept["mean_p"]
        self._kept["mean_p"] = self._kept["mean_p"] + step / self.count
        if "var_p" in self.wants:
            self._kept["var_p"] += step * (p_NCHW - self._kept["mean_p"])

    def _sum(self, name: str, values: torch.Tensor) -> None:
        self._kept[name] = self._kept[name] + values if name in self._kept else values

    def _read(self, name: str) -> torch.Tensor:
        if name not in self.wants or not self.count:
            raise RayALError(
                f"views hold no {name}: they keep {sorted(self.wants)} of {self.count} passes; "
                "name it in `wants`, and add a pass"
            )
        return self._kept[name]
