"""One cycle's training, the same on one process and on many."""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import BrokenImagesError, DataError, DivergedError, Interrupted
from ray_al.core.parquet import read_parquet
from ray_al.core.seeding import seed_of
from ray_al.core.storage import Storage
from ray_al.core.types import FileRef, Metrics, TrainPlan, TrainResult
from ray_al.datasets import open_dataset
from ray_al.datasets.cache import ByteCache
from ray_al.datasets.manifest import absolute_places
from ray_al.models import build_model, images_to_tensor, set_batch_norm_momentum
from ray_al.train.augment import augment
from ray_al.train.comm import Comm
from ray_al.train.evaluate import Evaluator
from ray_al.train.losses import Sums, consistency_loss, label_sums, mirror_pair, resize_logits
from ray_al.train.samples import LabelledImages, Probabilities
from ray_al.train.schedule import batch_indices, check_class_weights, num_steps, rate_factor
from ray_al.train.state import dump, make_optimizer, parse, seal, unseal

logger = logging.getLogger(__name__)
Wrap = Callable[[nn.Module], nn.Module]
Progress = Callable[[int, int], None]
LOSSES_KEPT = 100


class TrainStopped(Interrupted):
    """Training ended because it was asked to."""


class CycleTrainer:
    """Trains plans one after the other; decoded images are kept between them, nothing that changes a result is.

    Args:
        config: of the run.
        run_uri: the run directory.
        comm: the other workers.
        device: where to train.
    """

    def __init__(self, config: RunConfig, run_uri: str, comm: Comm, device: torch.device | str) -> None:
        self.config, self.comm, self.device = config, comm, torch.device(device)
        self.storage = Storage(run_uri)
        self.dataset = open_dataset(config.data)
        check_class_weights(config.train, self.dataset.num_classes)
        self.manifest = absolute_places(read_parquet(self.storage.read("manifest.parquet")), self.dataset.root)
        self.cache = ByteCache(int(config.data.cache_gb * 2**30))
        self.samples: LabelledImages | None = None

    def run(
        self,
        plan: TrainPlan,
        *,
        wrap: Wrap = lambda model: model,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> TrainResult:
        """Train, evaluate and write the checkpoint.

        Args:
            plan: of the cycle.
            wrap: makes the network one of many (DistributedDataParallel); its gradients are averages over the workers.
            progress: told (step, steps) on rank 0.
            should_stop: asked before each step; any worker's yes ends all.

        Returns:
            The answer; only rank 0's names files and class pixels.

        Raises:
            BrokenImagesError: labelled images cannot be used; it names all of them.
            DataError: nothing is labelled, or a validation image or mask cannot be used.
            DivergedError: a loss, a weight or a prediction on the splits is not finite; nothing was written.
            ReadError: a file could not be read just now.
            TrainStopped: `should_stop` said so.
        """
        started = time.perf_counter()
        torch.set_num_threads(self.config.train.threads)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        samples = self._samples(plan)
        config = self.config.with_recipe(plan.recipe)
        evaluator = Evaluator(config, self.dataset, self.cache, self.device)
        cycle = _Cycle(self, plan, samples, config.train)
        with _names_broken(samples):
            if plan.sieve is not None:
                samples.sieve(self._probabilities(plan.sieve))
            cycle.train(wrap, progress, should_stop)
        cycle.check_weights()
        trained = time.perf_counter()
        cycle.model.eval()
        splits = [split for split in plan.splits if cycle.total and self.dataset.splits.get(split)]
        metrics = {split: evaluator.evaluate(cycle.model, split, samples.image_size, self.comm) for split in splits}
        files = self._write(cycle, evaluator) if self.comm.rank == 0 else {}
        self.comm.barrier()
        return self._result(cycle, samples, metrics, files, trained - started, time.perf_counter() - trained)

    def _samples(self, plan: TrainPlan) -> LabelledImages:
        size = plan.recipe.image_size or self.config.data.image_size
        if self.samples is None or self.samples.image_size != size:
            partial = self.config.label.kind != "dense"
            scattered = self.config.regions.is_sparse
            self.samples = LabelledImages(self.storage, self.manifest, self.dataset, size, self.cache, partial=partial, scattered=scattered)
        self.samples.update(plan.label_parts, all_masks=plan.all_masks, left_out=plan.left_out)
        return self.samples

    def _probabilities(self, weights: FileRef) -> Probabilities:
        """Class probabilities of single images by an earlier model, at the size that came in."""
        model = build_model(self.config.model, self.dataset.num_classes, load_weights=False).to(self.device)
        model.load_state_dict(parse(self.storage.read_ref(weights)))
        model.eval()

        @torch.inference_mode()
        def predict(image: np.ndarray) -> np.ndarray:
            logits = model(images_to_tensor(image[None], self.config.data.normalize, self.device))
            probabilities: np.ndarray = resize_logits(logits, image.shape[:2])[0].softmax(0).cpu().numpy()
            return probabilities

        return predict

    def _write(self, cycle: "_Cycle", evaluator: Evaluator) -> dict[str, FileRef]:
        plan, samples = cycle.plan, cycle.samples
        if not plan.keeps_model:
            self.storage.remove(plan.progress)
            return {}
        contents = {"model.pt": dump(dict(cycle.model.state_dict()))}
        if cycle.config.policy == "continue":
            contents["optimizer.pt"] = dump(cycle.optimizer.state_dict())
        if plan.preview_images:
            contents["preview.npz"] = evaluator.previews(cycle.model, plan.preview_images, samples.image_size)
        contents.update(cycle.snapshots)
        files = {name: self.storage.put(f"{plan.output}/{name}", data, attempt=plan.attempt) for name, data in contents.items()}
        self.storage.remove(plan.progress)
        return files

    def _result(
        self,
        cycle: "_Cycle",
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
        )


@contextmanager
def _names_broken(samples: LabelledImages) -> Iterator[None]:
    """Where one labelled image turns out broken, look for all of them, so that the answer is the same from any worker."""
    try:
        yield
    except DataError as error:
        logger.warning("a labelled image cannot be used, the others are looked at: %s", error)
        if broken := samples.find_broken():
            raise BrokenImagesError(broken) from None
        raise


class _Cycle:
    """The state of one plan's training: network, optimizer, step and losses."""

    def __init__(self, trainer: CycleTrainer, plan: TrainPlan, samples: LabelledImages, config: TrainConfig) -> None:
        self.trainer, self.plan, self.samples = trainer, plan, samples
        self.config, self.comm, self.device = config, trainer.comm, trainer.device
        self.batch_size, self.rate = config.batch_size, config.learning_rate
        self.total = num_steps(plan, self.config, len(samples.indices), self.batch_size)
        if self.total and not samples.indices:
            message = f"cycle {plan.cycle}: no labelled region in {len(plan.label_parts)} label part(s)"
            message += f", {len(plan.left_out)} labelled images cannot be used" if plan.left_out else ""
            raise DataError(f"{message}; label at least one region before training")
        self.model = self._build()
        self.optimizer = make_optimizer(self.model, self.config, self.rate)
        if plan.init_optimizer is not None:
            self.optimizer.load_state_dict(parse(trainer.storage.read_ref(plan.init_optimizer)))
        weights = self.config.class_weights
        self.class_weights = None if weights is None else torch.tensor(weights, device=self.device)
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.snapshots: dict[str, bytes] = {}
        self.saved_at = time.monotonic()
        self._resume()

    def _build(self) -> nn.Module:
        plan, trainer = self.plan, self.trainer
        torch.manual_seed(seed_of("weights", plan.seed, plan.cycle))
        model = build_model(trainer.config.model, trainer.dataset.num_classes, load_weights=plan.init is None)
        if plan.init is not None:
            model.load_state_dict(parse(trainer.storage.read_ref(plan.init)))
        set_batch_norm_momentum(model, self.config.batch_norm.momentum)
        if self.config.batch_norm.sync and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(self.device)

    def train(self, wrap: Wrap, progress: Progress | None, should_stop: Callable[[], bool] | None) -> None:
        """Run the steps that are left, then settle the running statistics."""
        if not self.total:
            return
        model = wrap(self.model)
        model.train()
        while self.step < self.total:
            self._step(model, should_stop is not None and should_stop())
            self.step += 1
            if progress is not None and self.comm.rank == 0:
                progress(self.step, self.total)
            self._keep_snapshot()
            self._save()
        self._settle_batch_norm()

    def check_weights(self) -> None:
        """Refuse a network that the last step spoiled, which no later loss would tell.

        Raises:
            DivergedError: a weight or a running statistic is not finite. All workers hold the same, so all of them raise it.
        """
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise self._diverged(f"after {self.total} steps {name!r} holds values that are not finite")

    def _diverged(self, what: str) -> DivergedError:
        first = "" if self.step else "; no step was made yet, so look at model.weights and at the images too"
        return DivergedError(
            f"cycle {self.plan.cycle}: the model diverged: {what}; lower the learning rate ({self.rate:g} now, train.learning_rate or "
            f"train.warm_learning_rate), then start a new run{first}"
        )

    def _keep_snapshot(self) -> None:
        """Weights at equal steps through the second half of the training; the last one is the model itself."""
        count = self.plan.snapshots
        wanted = {self.total - (self.total // 2) * (count - number) // count: number for number in range(1, count)}
        if self.step in wanted and self.comm.rank == 0:
            self.snapshots[f"snapshot-{wanted[self.step]:02d}.pt"] = dump(dict(self.model.state_dict()))

    def _step(self, model: nn.Module, stop: bool) -> None:
        images, target = self._batch(self.step)
        torch.manual_seed(seed_of("step", self.plan.seed, self.plan.cycle, self.step, self.comm.rank))
        factor = rate_factor(self.config, self.config.schedule, self.step, self.total, len(self.samples.indices), self.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bf16"):
            own, consistency = self._losses(model, images, target)
        stopped = torch.tensor(float(stop), device=self.device)
        terms = [own.total.detach(), own.labelled, own.prototypes.detach(), own.pairs, consistency.detach() * len(images), stopped]
        sums = self.comm.sum(torch.stack([term.float() for term in terms]))
        if sums[5]:
            raise TrainStopped(f"cycle {self.plan.cycle}: training was stopped at step {self.step} of {self.total}")
        labelled, pairs = sums[1].clamp_min(1), sums[3].clamp_min(1)
        value = sums[0] / labelled + self.config.prototype * sums[2] / pairs + self.config.consistency * sums[4] / self.batch_size
        if not math.isfinite(known := float(value)):  # a sum over the workers, so all of them see it
            raise self._diverged(f"the loss is {known} at step {self.step} of {self.total}")
        share = len(images) / self.batch_size
        labels = own.total / labelled + self.config.prototype * own.prototypes / pairs
        loss = (labels + self.config.consistency * share * consistency) * self.comm.world_size
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.losses.append((self.step, known))

    def _losses(self, model: nn.Module, images: torch.Tensor, target: torch.Tensor) -> tuple[Sums, torch.Tensor]:
        """What the labels say, summed, and the consistency loss."""
        size = (target.shape[1], target.shape[2])
        zero = torch.zeros((), device=self.device)
        if not (self.config.mirror_loss or self.config.consistency):
            return label_sums(resize_logits(model(images), size), target, self.class_weights), zero
        a, b = (resize_logits(logits, size).float() for logits in mirror_pair(model, images))
        sums = label_sums(a, target, self.class_weights)
        if self.config.mirror_loss:
            mirrored = label_sums(b, target, self.class_weights)
            sums = sums._replace(total=sums.total + mirrored.total, prototypes=sums.prototypes + mirrored.prototypes)
        return sums, consistency_loss(a, b) if self.config.consistency else zero

    def _batch(self, step: int, *, augmented: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        plan, samples = self.plan, self.samples
        batch = batch_indices(samples.indices, plan.seed, plan.cycle, step, self.batch_size)
        pairs = []
        for position in range(self.comm.rank, self.batch_size, self.comm.world_size):
            index = batch[position]
            image, mask = samples.image(index), samples.mask(index)
            if augmented:
                regions = None if self.config.augment.scale is None else samples.regions(index)
                place = {"seed": plan.seed, "cycle": plan.cycle, "step": step, "position": position}
                image, mask = augment(image, mask, self.config.augment, regions=regions, **place)
            pairs.append((image, mask))
        images = images_to_tensor(np.stack([pair[0] for pair in pairs]), self.trainer.config.data.normalize, self.device)
        return images, torch.from_numpy(np.stack([pair[1] for pair in pairs])).to(self.device).long()

    def _settle_batch_norm(self) -> None:
        count = self.config.batch_norm.reestimate_batches
        layers = [module for module in self.model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if count:
            for layer in layers:
                layer.reset_running_stats()
            set_batch_norm_momentum(self.model, None)
            self.model.train()
            with torch.no_grad():
                for step in range(count):
                    torch.manual_seed(seed_of("settle", self.plan.seed, self.plan.cycle, step, self.comm.rank))
                    self.model(self._batch(step, augmented=False)[0])
            set_batch_norm_momentum(self.model, self.config.batch_norm.momentum)
        if self.comm.world_size > 1:
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    buffer.copy_(self.comm.sum(buffer) / self.comm.world_size)

    def _key(self) -> list[Any]:
        plan = self.plan
        parts = sorted(ref.sha256 for ref in plan.label_parts)
        images = list(plan.left_out)
        recipe = json.dumps(dict(plan.recipe.train), sort_keys=True)
        return [plan.cycle, plan.seed, parts, plan.all_masks, images, self.total, self.batch_size, list(self.samples.image_size), recipe]

    def _save(self) -> None:
        interval = self.config.checkpoint_interval_s
        if self.comm.rank or self.step == self.total or time.monotonic() - self.saved_at < interval:
            return
        state = {
            "key": self._key(),
            "step": self.step,
            "losses": self.losses,
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "snapshots": self.snapshots,
        }
        self.trainer.storage.replace(self.plan.progress, seal(dump(state)))
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        storage, name = self.trainer.storage, self.plan.progress
        sealed = storage.read_if_there(name) if self.comm.rank == 0 else None
        data = self.comm.broadcast(None if sealed is None else unseal(sealed))  # None too where it is damaged: the cycle is then trained anew
        if data is None:
            return
        state = parse(data)
        if state["key"] != self._key():
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.losses, self.snapshots = state["step"], [tuple(pair) for pair in state["losses"]], state["snapshots"]
