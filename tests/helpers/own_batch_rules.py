"""Batch rules and a start rule as a user writes them: in one file.

A configuration names them as `helpers.own_batch_rules:Class`.
"""

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import Field

from ray_al.core.families.batch import BatchRule, Moment
from ray_al.core.families.regions import Regions
from ray_al.core.families.start import StartRule
from ray_al.select.candidates import Candidates
from ray_al.select.merge import merge_topk
from ray_al.select.noise import uniform_rows
from ray_al.select.rules import CandidateRule, KeyedRule, with_reason
from ray_al.select.start import random_start


class SmallFirst(KeyedRule):
    """The highest scores per pixel to some power."""

    kind: str = "helpers.own_batch_rules:SmallFirst"
    paper: ClassVar[str] = "of our own"
    power: Annotated[float, Field(gt=0)] = 1.0

    def keys(self, part: pa.Table, moment: Moment) -> np.ndarray:
        return np.asarray(
            part["score"].to_numpy().astype(np.float64)
            / part["num_pixels"].to_numpy() ** self.power
        )


class Spread(CandidateRule):
    """Every n-th of the candidates by score."""

    kind: str = "helpers.own_batch_rules:Spread"
    paper: ClassVar[str] = "of our own"
    needs: ClassVar[str] = "of the best candidates: scores"
    reads_features: ClassVar[bool] = False
    depends_on_k: ClassVar[bool] = True

    def choose(self, candidates: Candidates, *, k: int, rng: np.random.Generator) -> np.ndarray:
        order = np.argsort(-candidates.keys, kind="stable")
        count = min(k, len(order))
        return order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]


class NoFill(BatchRule):
    """Not whole: it does not say how a query is filled."""

    kind: str = "helpers.own_batch_rules:NoFill"


class ReversedStart(StartRule):
    """A random ranking, backwards."""

    kind: str = "helpers.own_batch_rules:ReversedStart"
    paper: ClassVar[str] = "of our own"

    def rank(
        self,
        manifest: pa.Table,
        regions: Regions,
        *,
        k: int,
        seed: int,
        cycle: int,
        remaining: np.ndarray,
        allows: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> pa.Table:
        total = int(remaining.sum())
        ranked = random_start(
            manifest, regions, k=total, seed=seed, cycle=cycle, remaining=remaining, allows=allows
        )
        keys = -uniform_rows(ranked, "start set", seed, cycle)
        parts = ranked.drop_columns(["key", "reason"]).append_column("key", [keys])
        return with_reason(merge_topk([parts], k), "reversed")
