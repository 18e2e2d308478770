"""The one place that acts. Every action is safe to repeat: bulk is written first, then one event names it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from ray_al.core.config import RunConfig
from ray_al.core.errors import DataError, RayALError
from ray_al.core.storage import Storage
from ray_al.core.types import START_CYCLE, FileRef, ImageFile, TrainPlan
from ray_al.datasets import open_dataset
from ray_al.datasets.images import read_image
from ray_al.driver import decide as actions
from ray_al.driver.budget import query_size
from ray_al.driver.pool import Pool, read_table, table_bytes
from ray_al.label import Labels, files, simulated
from ray_al.ledger import Query, State
from ray_al.regions import open_regions
from ray_al.score.runner import run_shards
from ray_al.score.shards import ShardResult, make_tasks
from ray_al.select import rank
from ray_al.select.budget import take_within
from ray_al.select.start import random_start
from ray_al.train.trainer import open_trainer

Append = Callable[[str, Mapping[str, Any]], State]
Note = Callable[[str, int, int], None]


class Performer:
    """Carries out actions for one host of one run.

    Args:
        append: records an event and returns the new state.
        note: tells (stage, done, total) for progress.
        should_stop: whether somebody asked for a clean end.
    """

    def __init__(self, storage: Storage, config: RunConfig, state: State, append: Append, note: Note, should_stop: Callable[[], bool]) -> None:
        self.storage, self.config, self.state = storage, config, state
        self.append, self.note, self.should_stop = append, note, should_stop
        self.dataset = open_dataset(config.data)
        self.regions = open_regions(config.regions)
        self.pool = Pool(storage, state)
        self.truth = simulated.ground_truth(self.pool.manifest, self.regions, self.dataset.decoder)
        self._trainer: Any = None

    def perform(self, action: actions.Action, state: State) -> tuple[str, Mapping[str, Any]]:
        """Do what `action` says and return the event that records it."""
        self.state = state
        table: Mapping[type, Callable[[Any], tuple[str, Mapping[str, Any]]]] = {
            actions.Label: self._label,
            actions.Collect: self._collect,
            actions.Close: self._close,
            actions.Train: self._train,
            actions.Score: self._score,
            actions.Select: self._select,
            actions.Finish: self._finish,
        }
        return table[type(action)](action)

    def close(self) -> None:
        """End the training workers."""
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None

    def _select(self, action: actions.Select) -> tuple[str, Mapping[str, Any]]:
        start = time.monotonic()
        self.note("select", 0, 1)
        budget, cycle = self.config.budget, action.cycle
        total = self.state.created["num_regions" if budget.unit == "regions" else "num_pixels"]
        amount = query_size(budget, total, cycle, self.state.remaining)
        query = self._choose(cycle, amount)
        if len(query) == 0:
            return "run_finished", {"reason": "nothing left that fits the budget"}
        name = "cycles/0000/start.parquet" if cycle == START_CYCLE else f"cycles/{cycle:04d}/query.parquet"
        ref = self.storage.put(name, table_bytes(query), attempt=self.state.term)
        self.pool.choose(query)
        return "query_selected", {
            "cycle": cycle,
            "query": ref.as_dict(),
            "num_regions": len(query),
            "num_pixels": sum(query.column("num_pixels").to_pylist()),
            "cost": sum(query.column("cost").to_pylist()),
            "seconds": time.monotonic() - start,
        }

    def _choose(self, cycle: int, amount: int) -> pa.Table:
        """Rank more and more candidates until the amount is spent: the void filter and pixel budgets drop some."""
        unit, num_left = self.config.budget.unit, int(self.pool.remaining.sum())
        skip = self._skip(cycle)
        k = amount if unit == "regions" else min(num_left, amount // max(1, self._smallest_region()) + 1)
        while True:
            ranked = self._ranked(cycle, min(k, num_left))
            query = take_within(ranked, amount=amount, unit=unit, skip=skip)
            if k >= num_left or skip is None or sum(query.column("cost").to_pylist()) >= amount:
                return query
            k *= 4

    def _skip(self, cycle: int) -> Callable[[dict[str, Any]], bool] | None:
        """Regions to pass over: void ones by EquAL's filter, and those of broken images where no scorer has opened them yet."""
        unopened = self.config.strategy.score == "random" or (cycle == START_CYCLE and self.config.budget.start_rule == "random")
        uris = self.pool.manifest.column("uri")
        readable: dict[int, bool] = {}

        def is_broken(row: dict[str, Any]) -> bool:
            index = row["image_index"]
            if index not in readable:
                try:
                    read_image(uris[index].as_py())
                    readable[index] = True
                except DataError as error:
                    readable[index] = False
                    self._quarantine([{"image_id": row["image_id"], "error": str(error)}])
            return not readable[index]

        def is_void(row: dict[str, Any]) -> bool:
            return simulated.is_void(self.truth, row["image_index"], row["region"])

        checks = [*([is_broken] if unopened else []), *([is_void] if self.config.strategy.skip_void_by_ground_truth else [])]
        return (lambda row: any(check(row) for check in checks)) if checks else None

    def _quarantine(self, broken: list[dict[str, str]]) -> None:
        self.state = self.append("images_quarantined", {"images": broken})
        self.pool.quarantine(image["image_id"] for image in broken)
        check_quarantine(self.state, self.config, len(self.pool.manifest))

    def _ranked(self, cycle: int, k: int) -> pa.Table:
        if cycle == START_CYCLE and self.config.budget.start_rule == "random":
            return random_start(self.pool.manifest, self.regions, k=k, seed=self.config.seed, remaining=self.pool.remaining)
        refs = [ref for _, ref in sorted(self.state.scores[cycle].items()) if ref is not None]
        num_regions = self.pool.num_regions
        return rank(
            (read_table(self.storage, ref) for ref in refs),
            k=k,
            batch=self.config.strategy.batch,
            seed=self.config.seed,
            cycle=cycle,
            num_regions_of=lambda index: int(num_regions[index]),
        )

    def _smallest_region(self) -> int:
        sizes = set(zip(self.pool.manifest.column("height").to_pylist(), self.pool.manifest.column("width").to_pylist(), strict=True))
        return min((int(self.regions.num_pixels(*size).min()) for size in sizes if self.regions.num_regions(*size)), default=1)

    def _label(self, action: actions.Label) -> tuple[str, Mapping[str, Any]]:
        start = time.monotonic()
        query = self.state.queries[-1]
        table = read_table(self.storage, query.file)
        self.note("label", 0, len(table))
        if self.config.label.annotator == "files":
            return self._request(query, table)
        return self._received(query, simulated.annotate(table, self.truth), table, time.monotonic() - start)

    def _request(self, query: Query, table: pa.Table) -> tuple[str, Mapping[str, Any]]:
        folder = f"cycles/{query.cycle + 1:04d}/tasks"
        uris, sizes = self.pool.manifest.column("uri"), (self.pool.manifest.column("height"), self.pool.manifest.column("width"))
        num_tasks = files.write_tasks(
            self.storage,
            folder,
            table,
            read_image=lambda index: read_image(uris[index].as_py()),
            box_of=lambda index, region: self.regions.box(region, sizes[0][index].as_py(), sizes[1][index].as_py()),
            propose=self._proposer(query.cycle),
            class_names=self.dataset.class_names,
            colors=self.dataset.colors,
            margin=self.config.label.margin,
        )
        return "labels_requested", {"cycle": query.cycle, "tasks": folder, "num_tasks": num_tasks}

    def _proposer(self, cycle: int) -> Callable[[int], Any]:
        if cycle not in self.state.trained or cycle == START_CYCLE:
            return lambda index: None
        from ray_al.driver.proposals import Predictor

        weights = self.storage.read_ref(FileRef.from_dict(self.state.trained[cycle]["files"]["model.pt"]))
        predictor = Predictor(self.config, self.dataset.num_classes, weights)
        uris = self.pool.manifest.column("uri")
        return lambda index: predictor(read_image(uris[index].as_py()))

    def _collect(self, action: actions.Collect) -> tuple[str, Mapping[str, Any]]:
        start = time.monotonic()
        query = self.state.queries[-1]
        assert query.tasks is not None
        table = read_table(self.storage, query.file)
        taken = {
            (row["image_id"], row["region"])
            for ref in self.state.label_parts
            for row in read_table(self.storage, ref, ["image_id", "region"]).to_pylist()
        }
        labels = files.collect(self.storage, query.tasks, taken=taken, num_classes=self.dataset.num_classes)
        return self._received(query, labels, table, time.monotonic() - start)

    def _received(self, query: Query, labels: Labels, table: pa.Table, seconds: float) -> tuple[str, Mapping[str, Any]]:
        names = zip(table.column("image_id").to_pylist(), table.column("region").to_pylist(), strict=True)
        costs = dict(zip(names, zip(table.column("cost").to_pylist(), table.column("num_pixels").to_pylist(), strict=True), strict=True))
        given = [costs[row["image_id"], row["region"]] for row in labels.table.select(["image_id", "region"]).to_pylist()]
        ref = None
        if given:
            name = f"cycles/{query.cycle + 1:04d}/labels/part-{len(self.state.label_parts):05d}.parquet"
            ref = self.storage.put(name, table_bytes(labels.table), attempt=self.state.term)
            self.pool.label(labels.table)
        return "labels_received", {
            "cycle": query.cycle,
            "part": ref.as_dict() if ref else None,
            "num_regions": len(given),
            "cost": sum(cost for cost, _ in given),
            "num_pixels": sum(pixels for _, pixels in given),
            "refused": list(labels.refused),
            "seconds": seconds,
            "term": self.state.term,
        }

    def _close(self, action: actions.Close) -> tuple[str, Mapping[str, Any]]:
        query = self.state.queries[-1]
        unanswered = query.num_regions - query.answered
        return "query_closed", {"cycle": query.cycle, "num_unanswered": unanswered, "refunded": query.cost - query.received_cost}

    def _train(self, action: actions.Train) -> tuple[str, Mapping[str, Any]]:
        cycle, train = action.cycle, self.config.train
        if cycle != START_CYCLE and not self.state.label_parts:
            raise RayALError(f"cycle {cycle}: not one label of the start set could be used; see the refused ones with `ray-al status`")
        previous = self.state.trained.get(cycle - 1, {}).get("files", {}) if train.policy != "reset" else {}
        folder = "start" if cycle == START_CYCLE else f"{cycle:04d}"
        plan = TrainPlan(
            cycle=cycle,
            attempt=self.state.term,
            seed=self.config.seed,
            label_parts=self.state.label_parts,
            output=f"cycles/{folder}/checkpoint",
            progress=f"cycles/{folder}/progress.pt",
            init=FileRef.from_dict(previous["model.pt"]) if "model.pt" in previous else None,
            init_optimizer=FileRef.from_dict(previous["optimizer.pt"]) if "optimizer.pt" in previous and train.policy == "continue" else None,
            preview_images=self._preview_images() if cycle != START_CYCLE else (),
            extra_epochs=train.extra_epochs if self._is_extra(cycle) else None,
            steps=0 if cycle == START_CYCLE else None,
        )
        if self._trainer is None:
            self._trainer = open_trainer(self.config, self.storage.root, self.state.term)
        result = self._trainer.train(plan, progress=lambda done, total: self.note("train", done, total), should_stop=self.should_stop)
        self.storage.remove(plan.progress)
        self._drop_old_checkpoints(cycle)
        state = self.state
        return "cycle_trained", {
            "cycle": cycle,
            "files": {name: ref.as_dict() for name, ref in result.files.items()},
            "metrics": {split: metrics.as_dict() for split, metrics in result.metrics.items()},
            "labelled": {
                "regions": state.labelled_regions,
                "pixels": state.labelled_pixels,
                "images": int(self.pool.labelled_images.sum()),
                "cost": state.spent,
            },
            "class_pixels": list(result.class_pixels),
            "losses": [list(pair) for pair in result.losses],
            "num_steps": result.num_steps,
            "num_images": result.num_images,
            "train_seconds": result.train_seconds,
            "evaluate_seconds": result.evaluate_seconds,
        }

    def _preview_images(self) -> tuple[ImageFile, ...]:
        """The images with most regions in the start set: what the report follows."""
        start = read_table(self.storage, self.state.queries[0].file, ["image_id"]).column("image_id").to_pylist()
        counts = {image_id: start.count(image_id) for image_id in set(start)}
        chosen = sorted(counts, key=lambda image_id: (-counts[image_id], image_id))[: self.config.report.num_images]
        uris = self.pool.manifest.column("uri")
        return tuple(ImageFile(image_id=image_id, uri=uris[self.pool.index_of[image_id]].as_py()) for image_id in chosen)

    def _is_extra(self, cycle: int) -> bool:
        """Whether spending crossed another n-th of the budget since the last cycle (EquAL's extra epochs)."""
        every = self.config.train.extra_every
        if every is None or cycle == START_CYCLE:
            return False
        before = self.state.trained.get(cycle - 1, {}).get("labelled", {}).get("cost", 0)
        return int(self.state.spent / self.state.amount / every) > int(before / self.state.amount / every)

    def _drop_old_checkpoints(self, cycle: int) -> None:
        for old, data in self.state.trained.items():
            if old <= cycle - self.config.cluster.keep_checkpoints:
                for name in ("model.pt", "optimizer.pt"):
                    if name in data["files"]:
                        self.storage.remove(data["files"][name]["path"])

    def _score(self, action: actions.Score) -> tuple[str, Mapping[str, Any]]:
        start = time.monotonic()
        cycle = action.cycle
        weights = None
        if self.config.strategy.score != "random":
            weights = FileRef.from_dict(self.state.trained[cycle]["files"]["model.pt"])
        done = self.state.scores.get(cycle, {})
        tasks = list(
            make_tasks(
                self.config,
                self.pool.manifest,
                self.pool.remaining,
                done=set(done),
                cycle=cycle,
                seed=self.config.seed,
                run_uri=self.storage.root,
                weights=weights,
                output=f"cycles/{'start' if cycle == START_CYCLE else f'{cycle:04d}'}/scores",
                attempt=self.state.term,
            )
        )
        num_images = num_done = 0
        work_seconds = 0.0
        self.note("score", 0, len(tasks))

        def on_results(results: list[ShardResult]) -> None:
            nonlocal num_images, num_done, work_seconds
            work_seconds += sum(result.seconds for result in results)
            num_images += sum(result.num_images for result in results)
            num_done += len(results)
            self._record_shards(cycle, results)
            self.note("score", num_done, len(tasks))

        run_shards(tasks, self.config, on_results, should_stop=self.should_stop)
        return "pool_scored", {"cycle": cycle, "num_images": num_images, "seconds": time.monotonic() - start, "work_seconds": work_seconds}

    def _record_shards(self, cycle: int, results: list[ShardResult]) -> None:
        broken = [{"image_id": image_id, "error": error} for result in results for image_id, error in result.quarantined]
        parts = [{"shard": r.shard, "file": r.file.as_dict() if r.file else None, "num_rows": r.num_rows} for r in results]
        self.state = self.append("shards_scored", {"cycle": cycle, "parts": parts})
        if broken:
            self._quarantine(broken)

    def _finish(self, action: actions.Finish) -> tuple[str, Mapping[str, Any]]:
        return "run_finished", {"reason": action.reason}


def check_quarantine(state: State, config: RunConfig, num_images: int) -> None:
    """Stop where more images are broken than `score.max_quarantined` allows.

    Raises:
        RayALError: with the list.
    """
    limit = config.score.max_quarantined * num_images
    if len(state.quarantined) > limit:
        listed = "; ".join(f"{image_id}: {error}" for image_id, error in list(state.quarantined.items())[:20])
        raise RayALError(
            f"{len(state.quarantined)} of {num_images} pool images cannot be read, more than score.max_quarantined="
            f"{config.score.max_quarantined} allows; mend them or raise it. {listed}"
        )
