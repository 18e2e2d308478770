"""Train and evaluate one plan after the other, in one process or in many."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from ray_al.core.config import RunConfig
from ray_al.core.errors import BrokenImagesError, DataError
from ray_al.core.memory import keep_freed_memory
from ray_al.core.parquet import read_parquet
from ray_al.core.run_dir import MODEL, OPTIMIZER, PREVIEW, RunDir
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, ImageFile, Metrics, TrainPlan, TrainResult
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.manifest import absolute_places, with_tiles
from ray_al.datasets.whole import forget_files
from ray_al.models import build_model
from ray_al.models.state import load_trained, trained_state
from ray_al.train.callbacks import ProgressCallback, StopCallback
from ray_al.train.class_weights import check_class_weights
from ray_al.train.comm import Comm
from ray_al.train.cycle import Cycle, TrainStopped, Wrap
from ray_al.train.evaluate import Evaluator
from ray_al.train.feed import FeatureFeed, Feed, ImageFeed
from ray_al.train.losses import resize_logits
from ray_al.train.samples import LabelledImages, Probabilities
from ray_al.train.state import dump, parse

__all__ = ["CycleTrainer", "TrainStopped"]

logger = logging.getLogger(__name__)
LOSSES_KEPT = 100
"""Number of losses in a result, evenly spaced over the steps."""


class CycleTrainer:
    """Trains plans one after the other.

    Decoded images are kept from plan to plan, but nothing that could change a result.

    Args:
        config: configuration of the run.
        run_uri: path or URI of the run directory.
        comm: communication with the other workers.
        device: device that trains.
    """

    def __init__(
        self, config: RunConfig, run_uri: str, comm: Comm, device: torch.device | str
    ) -> None:
        self.config = config
        self.comm = comm
        self.device = torch.device(device)
        self.storage = Storage(run_uri)
        self.dataset = with_tiles(open_dataset(config.data, self.storage), config.data)
        check_class_weights(config.train, self.dataset.num_classes)
        self.manifest: pa.Table
        self.cache = ByteCache.of_process(int(config.data.cache_gb * 2**30))
        self.samples: LabelledImages | None = None
        self.feed: Feed

    def run(
        self,
        plan: TrainPlan,
        *,
        wrap: Wrap = lambda model: model,
        progress: ProgressCallback | None = None,
        should_stop: StopCallback | None = None,
    ) -> TrainResult:
        """Train, evaluate and write the checkpoint.

        Args:
            plan: plan to train.
            wrap: wraps the network for several workers (DistributedDataParallel); the wrapper must
                average gradients over the workers.
            progress: called on rank 0 after each step.
            should_stop: called before each step; training stops if any worker's returns true.

        Returns:
            The result. Only that of rank 0 names files and class pixels.

        Raises:
            BrokenImagesError: labelled images cannot be used; the error names all of them.
            DataError: nothing is labelled, or a validation image or mask cannot be used.
            DivergedError: a loss, a weight or a prediction is not finite; nothing is written.
            ReadError: a file cannot be read at the moment.
            TrainStopped: a stop was requested.
        """
        started = time.perf_counter()
        torch.set_num_threads(self.config.train.threads)
        keep_freed_memory()
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        self._add_masks(plan)
        samples = self._samples(plan)
        config = self.config.with_recipe(plan.recipe)
        evaluator = Evaluator(config, self.dataset, self.cache, self.device)
        cycle = Cycle(
            self,
            plan,
            samples,
            self.feed.batches(plan),
            config.train,
            lambda model: evaluator.evaluate(model, "val", self.feed, self.comm).miou,
        )
        with _names_broken(samples):
            if plan.sieve is not None:
                samples.sieve(self._probabilities(plan.sieve, samples))
            cycle.train(wrap, progress, should_stop)
        cycle.check_weights()
        trained = time.perf_counter()
        cycle.model.eval()
        splits = [split for split in plan.splits if cycle.total and self.dataset.splits.get(split)]
        metrics = {
            split: evaluator.evaluate(cycle.model, split, self.feed, self.comm) for split in splits
        }
        files = self._write(cycle, evaluator) if self.comm.rank == 0 else {}
        self.comm.barrier()
        result = self._result(
            cycle, samples, metrics, files, trained - started, time.perf_counter() - trained
        )
        forget_files()
        return result

    def _add_masks(self, plan: TrainPlan) -> None:
        """Take over the masks of validation images that people made, the same in every plan."""
        masks = {image_id: self.storage.uri(ref.path) for image_id, ref in plan.validation}
        if self.dataset.labelled != masks.keys():
            self.dataset = self.dataset.with_masks(masks)

    def _samples(self, plan: TrainPlan) -> LabelledImages:
        size = plan.recipe.image_size or self.config.data.image_size
        if self.samples is None:  # a host trains all of its plans on the same pool
            name = plan.manifest.path if plan.manifest else RunDir.MANIFEST
            stored = read_parquet(self.storage.read(name))
            self.manifest = absolute_places(stored, self.dataset.root)
        if self.samples is None or self.samples.image_size != size:
            self.samples = LabelledImages(
                self.storage,
                self.manifest,
                self.dataset,
                size,
                self.cache,
                partial=self.config.label.is_partial,
                scattered=self.config.regions.is_sparse,
            )
            self.feed = self._feed(self.samples)
        self.samples.update(plan.label_parts, all_masks=plan.all_masks, left_out=plan.left_out)
        return self.samples

    def _feed(self, samples: LabelledImages) -> Feed:
        if self.config.model.is_frozen:
            return FeatureFeed(
                self.config, self.storage.root, self.manifest, self.dataset, samples, self.device
            )
        return ImageFeed(self.config, self.dataset, samples, self.cache, self.device)

    def _probabilities(self, weights: FileRef, samples: LabelledImages) -> Probabilities:
        """Return a function that predicts single images with an earlier model."""
        network = build_model(
            self.config.model,
            self.dataset.num_classes,
            self.config.data.num_channels,
            load_weights=False,
        )
        model = network.to(self.device)
        load_trained(model, parse(self.storage.read_ref(weights)))
        model.eval()

        @torch.inference_mode()
        def predict(index: int) -> np.ndarray:
            logits = resize_logits(model(next(self.feed.pool([index]))), samples.image_size)
            probabilities: np.ndarray = logits[0].softmax(0).cpu().numpy()
            return probabilities

        return predict

    def _write(self, cycle: Cycle, evaluator: Evaluator) -> dict[str, FileRef]:
        """Write the checkpoint of a finished training, and remove its partial one."""
        plan, samples = cycle.plan, cycle.samples
        if not plan.keeps_model:
            self.storage.remove(plan.partial_checkpoint)
            return {}
        contents = {MODEL: dump(trained_state(cycle.model))}
        if cycle.config.policy == "continue":
            contents[OPTIMIZER] = dump(cycle.optimizer.state_dict())
        if plan.preview_images:
            contents[PREVIEW] = evaluator.previews(
                cycle.model, self._numbers(plan.preview_images), samples, self.feed
            )
        contents.update(cycle.snapshots)
        files = {
            name: self.storage.put(f"{plan.output}/{name}", data, attempt=plan.attempt)
            for name, data in contents.items()
        }
        self.storage.remove(plan.partial_checkpoint)
        return files

    def _numbers(self, files: Sequence[ImageFile]) -> dict[str, int]:
        """Return image_id -> number in the manifest."""
        ids = [file.image_id for file in files]
        numbers = pc.index_in(
            pa.array(ids, pa.string()), value_set=self.manifest.column("image_id")
        ).to_pylist()
        return dict(zip(ids, numbers, strict=True))

    def _result(
        self,
        cycle: Cycle,
        samples: LabelledImages,
        metrics: dict[str, Metrics],
        files: dict[str, FileRef],
        train_seconds: float,
        evaluate_seconds: float,
    ) -> TrainResult:
        every = max(1, -(-len(cycle.losses) // LOSSES_KEPT))
        return TrainResult(
            cycle=cycle.plan.cycle,
            attempt=cycle.plan.attempt,
            files=files,
            metrics=metrics,
            num_steps=cycle.total,
            losses=tuple(cycle.losses[every - 1 :: every]),
            class_pixels=samples.class_pixels() if self.comm.rank == 0 else (),
            train_seconds=train_seconds,
            evaluate_seconds=evaluate_seconds,
            num_images=len(samples.indices),
            kept_step=None if cycle.keeper is None else cycle.keeper.best.step,
            evaluations=() if cycle.keeper is None else tuple(cycle.keeper.best.evaluations),
        )


@contextmanager
def _names_broken(samples: LabelledImages) -> Iterator[None]:
    """Turn the error of one broken image into one that names all of them.

    The first broken image depends on the number of workers; the list of all does not.
    """
    try:
        yield
    except DataError as error:
        logger.warning("a labelled image cannot be used; checking all others: %s", error)
        if broken := samples.find_broken():
            raise BrokenImagesError(broken) from None
        raise
