"""From scores to a query. One table lists the batch rules."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.seeding import generator
from ray_al.core.strategy import BatchConfig
from ray_al.select.badge import badge
from ray_al.select.candidates import Candidates
from ray_al.select.centroids import centroids
from ray_al.select.class_split import class_split
from ray_al.select.clue import clue
from ray_al.select.cluster_best import cluster_best
from ray_al.select.kcenter import kcenter_positions
from ray_al.select.maxherding import maxherding
from ray_al.select.power import power_keys
from ray_al.select.redal import redal
from ray_al.select.softmax import softmax_keys
from ray_al.select.softrank import softrank_keys
from ray_al.select.topk import merge_topk, score_keys
from ray_al.select.two_stage import two_stage
from ray_al.select.typiclust import typiclust

Keys = Callable[[pa.Table, float, int, int], np.ndarray]
Choose = Callable[..., np.ndarray]


@dataclass(frozen=True, kw_only=True)
class BatchRule:
    """A row of the table.

    Attributes:
        paper: source.
        needs: `scores`: regions are taken in the order of their keys, which a stream of parts can give; `candidates`: the rule
            chooses among the best M regions, in memory; `covers`: it takes a stream of scores with the part of each region that each
            predicted class covers.
        features: whether it reads the candidates' features.
        classes: whether it reads class probabilities, or scores by class, of the candidates.
        depends_on_k: whether its answer for k regions does not begin with its answer for fewer.
        keys: of a rule on scores.
        rerank: its second step, if any: keys of the best M regions, best first.
        choose: of a rule on candidates: `rule(candidates, *, k, rng, **options)` gives positions.
        settings: keys of `strategy.batch` that `choose` takes as options.
    """

    paper: str
    needs: Literal["scores", "candidates", "covers"] = "scores"
    features: bool = False
    classes: bool = False
    depends_on_k: bool = False
    keys: Keys = score_keys
    rerank: Keys | None = None
    choose: Choose | None = None
    settings: tuple[str, ...] = ()


def _on_features(paper: str, choose: Choose, *, classes: bool = False, depends_on_k: bool = False, settings: tuple[str, ...] = ()) -> BatchRule:
    return BatchRule(paper=paper, needs="candidates", features=True, classes=classes, depends_on_k=depends_on_k, choose=choose, settings=settings)


BATCH_RULES: Mapping[str, BatchRule] = {
    "topk": BatchRule(paper="the highest scores, ties by region name", keys=score_keys),
    "power": BatchRule(paper="Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to score^beta", keys=power_keys),
    "softmax": BatchRule(paper="Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to exp(beta * score)", keys=softmax_keys),
    "softrank": BatchRule(paper="Kirsch et al., TMLR 2023 (arXiv 2106.12059): in proportion to rank^-beta", rerank=softrank_keys),
    "kcenter": _on_features("Sener and Savarese, ICLR 2018 (arXiv 1708.00489): k-center greedy on features", kcenter_positions),
    "badge": _on_features("Ash et al., ICLR 2020 (arXiv 1906.03671): k-means++ on gradients of the last layer", badge, classes=True),
    "clue": _on_features("Prabhu et al., ICCV 2021 (arXiv 2010.08666): nearest to entropy-weighted centroids", clue, classes=True, depends_on_k=True),
    "kmeans": _on_features("the highest score of each of k clusters of standardised features", cluster_best, depends_on_k=True),
    "maxherding": _on_features("Bae et al., ECCV 2024 (arXiv 2407.12212): greedy coverage under a kernel", maxherding),
    "redal": _on_features("Wu et al., ICCV 2021 (arXiv 2107.11769): each next region of a cluster counts 0.95 times", redal),
    "typiclust": _on_features("Hacohen et al., ICML 2022 (arXiv 2202.02794): most typical of the largest clusters", typiclust, depends_on_k=True),
    "centroids": _on_features(
        "DropQuery's second step: Gupte et al., TMLR 2024 (arXiv 2401.14555): of the highest scores those nearest to k-means centres",
        centroids,
        depends_on_k=True,
        settings=("factor", "components"),
    ),
    "two_stage": _on_features(
        "Kim et al., NeurIPS 2025 (arXiv 2510.22229): herding keeps a part, of which the highest scores", two_stage, settings=("keep",)
    ),
    "class_split": BatchRule(
        paper="ClaSP PE of nnActive, 2026: a share in equal parts to the classes, the rest by score",
        needs="candidates",
        classes=True,
        depends_on_k=True,
        choose=class_split,
    ),
    "stratified": BatchRule(
        paper="classes take turns, rarest first, each its highest score; after CBAL: Bengar et al., WACV 2022 (arXiv 2110.04543)", needs="covers"
    ),
}


def rank(
    parts: Iterable[pa.Table],
    *,
    k: int,
    batch: BatchConfig,
    seed: int,
    cycle: int,
    num_candidates: int = 100_000,
    allows: Callable[[pa.Table], np.ndarray] | None = None,
) -> pa.Table:
    """The best `k` regions of all parts in order; memory O(k + a part), for a rule with a second step O(k + M + a part).

    Args:
        num_candidates: M, the regions that a second step (softrank) looks at; at least k are taken.
        allows: rows -> bool (rows,), which of them may be chosen; default: all. A second step ranks the others too.

    Returns:
        SCORE_SCHEMA with `key` and `reason`.

    Raises:
        RayALError: a score is not a number.
        ConfigError: the rule chooses among candidates, see `choose`, or by classes, see `take_turns`.
    """
    rule = BATCH_RULES[batch.kind]
    if rule.needs == "covers":
        raise ConfigError(f"batch rule {batch.kind!r} needs the classes that cover regions and cannot rank scores alone; call take_turns()")
    if rule.needs != "scores":
        raise ConfigError(f"batch rule {batch.kind!r} needs {rule.needs} and cannot rank scores alone; collect candidates and call choose()")

    def with_keys() -> Iterable[pa.Table]:
        for part in parts:
            scores = part.column("score").to_numpy()
            if np.isnan(scores).any():
                raise RayALError(
                    f"{int(np.isnan(scores).sum())} scores are not numbers; the model of cycle {cycle} diverged, lower train.learning_rate"
                )
            if allows is not None and rule.rerank is None:
                part = part.filter(pa.array(allows(part)))
            yield part.append_column("key", pa.array(rule.keys(part, batch.beta, seed, cycle), pa.float64()))

    if rule.rerank is None:
        ranked = merge_topk(with_keys(), k)
    else:
        best = merge_topk(with_keys(), max(k, num_candidates))
        keys = pa.array(rule.rerank(best, batch.beta, seed, cycle), pa.float64())
        best = best.set_column(best.schema.get_field_index("key"), "key", keys)
        ranked = merge_topk([best if allows is None else best.filter(pa.array(allows(best)))], k)
    return ranked.append_column("reason", pa.array([batch.kind] * len(ranked), pa.string()))


def choose(candidates: Candidates, *, kind: str, k: int, seed: int, cycle: int, **options: Any) -> pa.Table:
    """At most `k` candidates by a rule on candidates, in order of choice; draws come from rule, seed and cycle.

    Returns:
        SCORE_SCHEMA with `key` and `reason`.

    Raises:
        ConfigError: the rule is not one on candidates.
    """
    rule = BATCH_RULES[kind]
    if rule.choose is None:
        raise ConfigError(f"batch rule {kind!r} ranks scores and chooses nothing among candidates; call rank()")
    positions = rule.choose(candidates, k=k, rng=generator(kind, seed, cycle), **options)
    chosen = candidates.table.append_column("key", pa.array(candidates.keys, pa.float64())).take(pa.array(positions, pa.int64()))
    return chosen.append_column("reason", pa.array([kind] * len(chosen), pa.string()))
