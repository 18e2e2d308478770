"""The training of one plan: network, optimizer, steps."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import DataError, DivergedError, Interrupted
from ray_al.core.run_dir import SNAPSHOT
from ray_al.core.seeding import generator, seed_of
from ray_al.core.storage import Storage
from ray_al.core.types import TrainPlan
from ray_al.datasets import Dataset
from ray_al.models import build_model, set_batch_norm_momentum
from ray_al.models.state import load_trained, trained_state
from ray_al.train.ahead import BatchesAhead
from ray_al.train.class_weights import class_weights
from ray_al.train.comm import Comm
from ray_al.train.inputs import Batch, BatchMaker, Places, as_float
from ray_al.train.length import Length, num_steps, rate_factor
from ray_al.train.losses import Sums, consistency_loss, split_pair
from ray_al.train.samples import LabelledImages
from ray_al.train.schedule import batch_indices
from ray_al.train.state import dump, make_optimizer, parse, seal, unseal
from ray_al.train.targets import AllPixels, DrawnPixels, Targets, labelled_pixels, share_out
from ray_al.train.unlabelled import Unlabelled

Wrap = Callable[[nn.Module], nn.Module]
Progress = Callable[[int, int], None]


class TrainStopped(Interrupted):
    """Training ended because it was asked to."""


class Part(NamedTuple):
    """One part of a loss: `weight` * `total` / `number`, where the last two are sums over the batch, scalars."""

    weight: float
    total: torch.Tensor
    number: torch.Tensor


class Workplace(Protocol):
    """What the plans of a run have in common."""

    config: RunConfig
    storage: Storage
    dataset: Dataset
    comm: Comm
    device: torch.device


class Cycle:
    """The state of one plan's training: network, optimizer, step and losses.

    Args:
        workplace: of the run.
        plan: what is trained.
        samples: its labels.
        batches: what makes its batches.
        config: the settings of training, the plan's recipe among them.
    """

    def __init__(
        self,
        workplace: Workplace,
        plan: TrainPlan,
        samples: LabelledImages,
        batches: BatchMaker,
        config: TrainConfig,
    ) -> None:
        self.workplace, self.plan, self.samples, self.batches = workplace, plan, samples, batches
        self.config = config
        self.comm, self.device = workplace.comm, workplace.device
        self.batch_size, self.rate = self.config.batch_size, self.config.learning_rate
        self.is_paired = self.config.mirror_loss or self.config.consistency > 0
        asked = num_steps(plan, self.config, len(samples.indices), self.batch_size)
        self.length = Length(asked, workplace.dataset.num_classes)
        if self.total and not samples.indices:
            raise self._nothing_labelled()
        self.model = self._build()
        self.optimizer = make_optimizer(self.model, self.config, self.rate)
        if plan.init_optimizer is not None:
            self.optimizer.load_state_dict(parse(workplace.storage.read_ref(plan.init_optimizer)))
        self.class_weights: torch.Tensor | None = None
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.label_losses: list[float] = []
        self.snapshots: dict[str, bytes] = {}
        self.saved_at = time.monotonic()
        self._resume()

    @property
    def total(self) -> int:
        """Steps of the training; the most there can be, as long as it is not known."""
        return self.length.total

    def _nothing_labelled(self) -> DataError:
        plan = self.plan
        message = f"cycle {plan.cycle}: no labelled region in {len(plan.label_parts)} label part(s)"
        message += f", {len(plan.left_out)} labelled images cannot be used" if plan.left_out else ""
        return DataError(f"{message}; label at least one region before training")

    def _build(self) -> nn.Module:
        plan, workplace = self.plan, self.workplace
        torch.manual_seed(seed_of("weights", plan.seed, plan.cycle))
        model_config, num_classes = workplace.config.model, workplace.dataset.num_classes
        model = build_model(model_config, num_classes, load_weights=plan.init is None)
        if plan.init is not None:
            load_trained(model, parse(workplace.storage.read_ref(plan.init)))
        set_batch_norm_momentum(model, self.config.batch_norm.momentum)
        if self.config.batch_norm.sync and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(self.device)

    def train(
        self, wrap: Wrap, progress: Progress | None, should_stop: Callable[[], bool] | None
    ) -> None:
        """Run the steps that are left, then settle the running statistics."""
        if not self.total:
            return
        self.class_weights = class_weights(self.config, self.samples, self.comm, self.device)
        self.batches.prepare(
            self._steps_left(), paired=self.is_paired, plain=self.config.semi is not None
        )
        model = wrap(self.model)
        model.train()
        with BatchesAhead(self._make, self.device) as ahead:
            while self.step < self.total:
                batch = ahead.get(self.step, self.total)
                self._step(model, batch, should_stop is not None and should_stop())
                self.step += 1
                self.length.look(self.label_losses)
                if progress is not None and self.comm.rank == 0:
                    progress(self.step, self.total)
                self._keep_snapshot()
                self._save()
        self._settle_batch_norm()

    def check_weights(self) -> None:
        """Refuse a network that the last step spoiled, which no later loss would tell.

        Raises:
            DivergedError: a weight or a running statistic is not finite. All workers hold the same,
                so all of them raise it.
        """
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                what = f"after {self.total} steps {name!r} holds values that are not finite"
                raise self._diverged(what)

    def _diverged(self, what: str) -> DivergedError:
        first = "; no step was made yet, so look at model.weights and at the images too"
        return DivergedError(
            f"cycle {self.plan.cycle}: the model diverged: {what}; lower the learning rate "
            f"({self.rate:g} now, train.learning_rate or train.warm_learning_rate), "
            f"then start a new run{'' if self.step else first}"
        )

    def _keep_snapshot(self) -> None:
        """Weights at equal steps through the last part of the training; the last one is the model itself."""
        count, span = self.plan.snapshots, self.length.snapshot_span
        wanted = {
            self.total - span * (count - number) // count: number for number in range(1, count)
        }
        if self.step in wanted and self.comm.rank == 0:
            name = f"{SNAPSHOT}{wanted[self.step]:02d}.pt"
            self.snapshots[name] = dump(trained_state(self.model))

    def _step(self, model: nn.Module, batch: Batch, stop: bool) -> None:
        targets = self._targets(batch, self.step)
        torch.manual_seed(
            seed_of("step", self.plan.seed, self.plan.cycle, self.step, self.comm.rank)
        )
        num_images = len(self.samples.indices)
        factor = rate_factor(self.config, self.length, self.step, num_images, self.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        with self._autocast():
            parts = self._losses(model, batch, targets)
        loss = self._joined(parts, stop)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.clip_gradients is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradients)
        self.optimizer.step()

    def _autocast(self) -> torch.autocast:
        is_bf16 = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_bf16)

    def _joined(self, parts: Sequence[Part], stop: bool) -> torch.Tensor:
        """The loss of the global batch, by this worker's share; its gradients are averaged over the workers.

        Raises:
            DivergedError: it is not finite. A sum over the workers, so all of them see it.
            TrainStopped: a worker said so.
        """
        own = [term.detach().float() for part in parts for term in (part.total, part.number)]
        sums = self.comm.sum(torch.stack([*own, torch.tensor(float(stop), device=self.device)]))
        if sums[-1]:
            message = f"training was stopped at step {self.step} of {self.total}"
            raise TrainStopped(f"cycle {self.plan.cycle}: {message}")
        totals, counts = sums[:-1:2], sums[1::2].clamp_min(1)
        known = float(
            sum(
                part.weight * total / count
                for part, total, count in zip(parts, totals, counts, strict=True)
            )
        )
        if not math.isfinite(known):
            raise self._diverged(f"the loss is {known} at step {self.step} of {self.total}")
        self.losses.append((self.step, known))
        self.label_losses.append(
            float(totals[0] / counts[0]) / (2 if self.config.mirror_loss else 1)
        )
        loss = sum(
            (part.weight * part.total / count for part, count in zip(parts, counts, strict=True)),
            torch.zeros((), device=self.device),
        )
        return loss * self.comm.world_size

    def _losses(self, model: nn.Module, batch: Batch, targets: Targets) -> list[Part]:
        """What the labels say, how far the predictions of a pair differ, and what unlabelled pixels give."""
        config, num_images = self.config, torch.tensor(float(len(batch.labels)), device=self.device)
        logits = model(batch.inputs if config.precision == "bf16" else as_float(batch.inputs))
        if not self.is_paired:
            parts = _label_parts(targets.sums(logits, self.class_weights), config.prototype)
            return parts + self._unlabelled(logits, batch)
        a, b = split_pair(logits)
        sums = targets.sums(a, self.class_weights)
        if config.mirror_loss:
            mirrored = targets.sums(b, self.class_weights)
            prototypes = sums.prototypes + mirrored.prototypes
            sums = sums._replace(total=sums.total + mirrored.total, prototypes=prototypes)
        parts = _label_parts(sums, config.prototype)
        if config.consistency:
            differences = consistency_loss(targets.dense(a), targets.dense(b)) * num_images
            parts.append(Part(config.consistency, differences, num_images))
        return parts

    def _unlabelled(self, logits: torch.Tensor, batch: Batch) -> list[Part]:
        semi = self.config.semi
        if semi is None or not semi.is_active(self.length.done(self.step)):
            return []
        unlabelled = Unlabelled(semi, self.plan, self.batches, self.comm, self.batch_size)
        sums = unlabelled.sums(self.model, logits, batch, self._places(self.step), self.step)
        return [Part(semi.weight, *sums)]

    def _steps_left(self) -> Iterator[tuple[int, Places]]:
        return ((step, self._places(step)) for step in range(self.step, self.total))

    def _places(self, step: int) -> Places:
        """This worker's places in the global batch of a step, and their images."""
        plan, comm = self.plan, self.comm
        batch = batch_indices(self.samples.indices, plan.seed, plan.cycle, step, self.batch_size)
        return {place: batch[place] for place in range(comm.rank, self.batch_size, comm.world_size)}

    def _make(self, step: int) -> Batch:
        make = self.batches.paired if self.is_paired else self.batches.drawn
        return make(self._places(step), step)

    def _targets(self, batch: Batch, step: int) -> Targets:
        limit = self.config.pixels_per_step
        if limit is None:
            return AllPixels(torch.from_numpy(batch.labels).to(self.device).long())
        drawn = self._draw_pixels(batch.labels, self._places(step), step, limit)
        return DrawnPixels(batch.labels, drawn, self.device)

    def _draw_pixels(
        self, labels: np.ndarray, places: Places, step: int, limit: int
    ) -> list[np.ndarray]:
        """Of each image some labelled pixels, the same ones whatever the number of workers."""
        labelled = labelled_pixels(labels)
        own = list(places)
        counts = torch.zeros(self.batch_size, dtype=torch.int64)
        counts[own] = torch.tensor([len(one) for one in labelled])
        shares = share_out(self.comm.sum(counts.to(self.device)).cpu().numpy(), limit)
        drawn = []
        for place, pixels in zip(own, labelled, strict=True):
            if shares[place] < len(pixels):
                rng = generator("pixels", self.plan.seed, self.plan.cycle, step, place)
                pixels = rng.choice(pixels, shares[place], replace=False, shuffle=False)
            drawn.append(pixels)
        return drawn

    def _settle_batch_norm(self) -> None:
        count = self.config.batch_norm.reestimate_batches
        if count:
            self.model.train()
            for (
                module
            ) in self.model.modules():  # those of a frozen backbone stay in evaluation mode
                if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
                    module.reset_running_stats()
            set_batch_norm_momentum(self.model, None)
            with torch.no_grad():
                for step in range(count):
                    plan = self.plan
                    torch.manual_seed(
                        seed_of("settle", plan.seed, plan.cycle, step, self.comm.rank)
                    )
                    batch = self.batches.plain(self._places(step))
                    self.model(as_float(batch.inputs))
            set_batch_norm_momentum(self.model, self.config.batch_norm.momentum)
        if self.comm.world_size > 1:
            trained = trained_state(self.model)
            for name, buffer in self.model.named_buffers():
                if buffer.is_floating_point() and name in trained:
                    buffer.copy_(self.comm.sum(buffer) / self.comm.world_size)

    def _key(self) -> list[Any]:
        plan = self.plan
        parts = sorted(ref.sha256 for ref in plan.label_parts)
        images = list(plan.left_out)
        lengths = [self.length.asked, self.batch_size, list(self.samples.image_size)]
        recipe = json.dumps(dict(plan.recipe.train), sort_keys=True)
        return [plan.cycle, plan.seed, parts, plan.all_masks, images, *lengths, recipe]

    def _save(self) -> None:
        interval = self.config.checkpoint_interval_s
        is_early = time.monotonic() - self.saved_at < interval
        if self.comm.rank or self.step == self.total or is_early:
            return
        state = {
            "key": self._key(),
            "step": self.step,
            "losses": self.losses,
            "label_losses": self.label_losses,
            "settled": self.length.settled,
            "model": trained_state(self.model),
            "optimizer": self.optimizer.state_dict(),
            "snapshots": self.snapshots,
        }
        self.workplace.storage.replace(self.plan.progress, seal(dump(state)))
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        storage, name = self.workplace.storage, self.plan.progress
        sealed = storage.read_if_there(name) if self.comm.rank == 0 else None
        # None too where it is damaged: the cycle is then trained anew
        data = self.comm.broadcast(None if sealed is None else unseal(sealed))
        if data is None:
            return
        state = parse(data)
        if state["key"] != self._key():
            return
        load_trained(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.snapshots = state["step"], state["snapshots"]
        self.losses = [tuple(pair) for pair in state["losses"]]
        self.label_losses = state["label_losses"]
        if state["settled"] is not None:
            self.length.settle(state["settled"])


def _label_parts(sums: Sums, prototype: float) -> list[Part]:
    return [Part(1.0, sums.total, sums.labelled), Part(prototype, sums.prototypes, sums.pairs)]
