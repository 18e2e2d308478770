"""Compute the features among which a batch rule chooses."""

import time
from dataclasses import dataclass
from typing import Self

import numpy as np

from ray_al.core.config import RunConfig
from ray_al.core.run_dir import CycleDir
from ray_al.core.seeding import seed_of, uniform_of
from ray_al.driver.actions.action import Action
from ray_al.driver.context import Context
from ray_al.driver.cycles import needs_features, next_cycle
from ray_al.driver.pool import shard_numbers
from ray_al.driver.pool_pass import make_pass, run_pass
from ray_al.ledger import State
from ray_al.ledger.records import FeaturesExtracted, ShardsExtracted

MAX_LABELLED = 20_000
"""Maximum number of labelled regions whose features are compared with those of candidates.

If there are more, a deterministic sample of this size is used."""


@dataclass(frozen=True)
class Extract(Action):
    """Compute the features of the best candidates and of labelled regions to compare them with."""

    cycle: int

    @classmethod
    def due(cls, state: State, config: RunConfig) -> Self | None:
        """Extract features once a cycle, if its batch rule reads them."""
        cycle = next_cycle(state, config)
        is_due = needs_features(config, cycle) and cycle not in state.extracted
        return cls(cycle) if is_due else None

    def perform(self, context: Context) -> FeaturesExtracted:
        """Compute the features, shard by shard."""
        # Loads PyTorch, which deciding on actions does not need.
        from ray_al.driver.scored_pool import candidates_of

        start, cycle, pool = time.monotonic(), self.cycle, context.pool
        wanted = np.union1d(
            pool.numbers(candidates_of(context, cycle)), _labelled_numbers(context, cycle)
        )
        images = np.zeros(len(pool.manifest), dtype=bool)
        images[np.unique(np.searchsorted(pool.offsets, wanted, side="right") - 1)] = True
        tasks = make_pass(
            context,
            "features",
            cycle,
            images=images & ~pool.broken,
            regions_of=lambda first, last: shard_numbers(
                wanted, int(pool.offsets[first]), int(pool.offsets[last])
            ),
            done=context.state.features.get(cycle, {}).keys(),
            output=CycleDir(cycle).features,
        )
        totals = run_pass(
            context, tasks, "features", lambda parts: ShardsExtracted(cycle=cycle, parts=parts)
        )
        return FeaturesExtracted(
            cycle=cycle,
            num_regions=len(wanted),
            num_images=totals.num_images,
            seconds=time.monotonic() - start,
        )


def _labelled_numbers(context: Context, cycle: int) -> np.ndarray:
    """Return the flat numbers of at most `MAX_LABELLED` labelled regions: the lowest draws."""
    numbers = context.pool.labelled_numbers
    if len(numbers) > MAX_LABELLED:
        drawn = uniform_of(seed_of("labelled", context.config.seed, cycle), numbers)
        numbers = np.sort(numbers[np.argsort(drawn, kind="stable")[:MAX_LABELLED]])
    return numbers
