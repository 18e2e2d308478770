"""Measure what lazy scoring would have missed in finished runs that scored everything.

python jobs/bench_lazy.py RUN_DIR [RUN_DIR ...]

For each share of the pool, the stored scores say which images would have been scored. Recall is the
share of each cycle's query that lies in these images; the estimate is what the run itself would
have recorded.
"""

import argparse

import numpy as np
import pyarrow as pa

from ray_al.core.storage import Storage
from ray_al.core.strategy import LazyConfig
from ray_al.driver.pool import Pool, read_table
from ray_al.ledger import Journal, State, fold
from ray_al.ledger.config import read_config
from ray_al.select.lazy import estimate_recall, last_scores, pick_images

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def main() -> None:
    """Print cost and recall for each share of the pool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--check", type=float, default=0.05)
    options = parser.parse_args()
    print("share  check   scored of a full pass   recall mean   lowest   estimated")
    for share in SHARES:
        rows = [
            row
            for run in options.runs
            for row in follow(run, LazyConfig(share=share, check=options.check))
        ]
        cost, recall, estimate = (
            np.array([row[i] for row in rows], dtype=np.float64) for i in range(3)
        )
        print(
            f"{share:5.2f}  {options.check:5.2f}  {cost.mean():22.2f} {recall.mean():13.3f} "
            f"{recall.min():8.3f} {np.nanmean(estimate):11.3f}"
        )


def follow(run: str, lazy: LazyConfig) -> list[tuple[float, float, float]]:
    """Return one row per query after the first, had each cycle been scored lazily.

    A row is the share of the full pass, the recall, and the estimate of the recall.
    """
    storage = Storage(run)
    config, state = read_config(storage), fold(Journal(storage).events)
    pool = Pool(storage, State(created=state.created, map_parts=state.map_parts), config)
    known: list[pa.Table] = []  # what would have been scored, the latest cycle first
    rows = []
    for query in state.queries:
        chosen = read_table(storage, query.file)
        if query.cycle in state.scores and query.cycle >= 0:
            scores = pa.concat_tables(
                read_table(storage, ref)
                for ref in state.scores[query.cycle].values()
                if ref is not None
            )
            left, scored = pool.images_left(), pool.images_left()
            if known:
                earlier = ([part.filter(pa.array(~pool.is_chosen(part)))] for part in known)
                picked, check = pick_images(
                    last_scores(earlier, left), left, lazy, seed=config.seed, cycle=query.cycle
                )
                scored = picked | check
                images = chosen.column("image_index").to_numpy()
                among = scores.filter(
                    pa.array(scored[scores.column("image_index").to_numpy()])
                ).sort_by([("score", "descending")])
                estimate = estimate_recall(
                    among.slice(0, len(chosen)).column("image_index").to_numpy(),
                    picked,
                    check,
                    left,
                )
                rows.append(
                    (
                        scored.sum() / left.sum(),
                        float(scored[images].mean()),
                        float("nan") if estimate is None else estimate,
                    )
                )
            known.insert(
                0, scores.filter(pa.array(scored[scores.column("image_index").to_numpy()]))
            )
        pool.mark_queried(chosen)
    return rows


if __name__ == "__main__":
    main()
