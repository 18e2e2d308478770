"""Train one plan: build the network and the optimizer, run the steps."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import nn

from ray_al.core.config import RunConfig, TrainConfig
from ray_al.core.errors import DataError, DivergedError, Interrupted
from ray_al.core.run_dir import SNAPSHOT
from ray_al.core.seeding import seed_of
from ray_al.core.storage import Storage
from ray_al.core.types import TrainPlan
from ray_al.datasets import Dataset
from ray_al.models import build_model, set_batch_norm_momentum
from ray_al.models.state import add_outputs, load_trained, trained_state
from ray_al.train.ahead import BatchesAhead
from ray_al.train.batch_norm import average_buffers, reestimate_statistics
from ray_al.train.best import Best, BestKeeper, Evaluate
from ray_al.train.callbacks import ProgressCallback, StopCallback
from ray_al.train.class_weights import class_weights
from ray_al.train.comm import Comm
from ray_al.train.inputs import Batch, BatchMaker, Inputs, Places, as_float
from ray_al.train.length import Length, num_steps, rate_factor
from ray_al.train.loss_terms import GlobalLoss, LossTerm, join_terms, label_term, mean_term
from ray_al.train.losses import Sums, consistency_loss, split_pair
from ray_al.train.order import batch_indices
from ray_al.train.partial_checkpoint import Key, PartialCheckpoint, PartialState
from ray_al.train.samples import LabelledImages
from ray_al.train.state import dump, make_optimizer, parse
from ray_al.train.targets import AllPixels, PixelLimit, Targets
from ray_al.train.unlabelled import Unlabelled

Wrap = Callable[[nn.Module], nn.Module]
"""Wraps a network for training with several workers, as DistributedDataParallel does."""


class TrainStopped(Interrupted):
    """Training ended early because a stop was requested."""


class Workplace(Protocol):
    """What all trainings of a run share."""

    config: RunConfig
    storage: Storage
    dataset: Dataset
    comm: Comm
    device: torch.device


class Cycle:
    """The training of one plan, with its network, optimizer, current step and losses.

    A partial checkpoint of the same training is continued.

    Args:
        workplace: what the trainings of the run share.
        plan: plan of the training.
        samples: labelled images.
        batches: makes the batches of the plan.
        config: training settings with the recipe of the plan applied.
        evaluate: measures the network on the way, for `train.keep: best`.
    """

    def __init__(
        self,
        workplace: Workplace,
        plan: TrainPlan,
        samples: LabelledImages,
        batches: BatchMaker,
        config: TrainConfig,
        evaluate: Evaluate,
    ) -> None:
        self.workplace = workplace
        self.plan = plan
        self.samples = samples
        self.batches = batches
        self.config = config
        self.comm = workplace.comm
        self.device = workplace.device
        self.batch_size = config.batch_size
        self.rate = config.learning_rate
        self.is_paired = self.config.mirror_loss or self.config.consistency > 0
        asked = num_steps(plan, self.config, len(samples.indices), self.batch_size)
        self.length = Length(asked, config.loss.of_guess(workplace.dataset.num_classes))
        if self.total and not samples.indices:
            raise self._nothing_labelled()
        self.model = self._build()
        self.optimizer = make_optimizer(self.model, self.config, self.rate)
        if plan.init_optimizer is not None:
            self.optimizer.load_state_dict(parse(workplace.storage.read_ref(plan.init_optimizer)))
            add_outputs(self.optimizer)
        self.class_weights: torch.Tensor | None = None
        self.step = 0
        self.losses: list[tuple[int, float]] = []
        self.label_losses: list[float] = []
        self.snapshots: dict[str, bytes] = {}
        self.checkpoint = PartialCheckpoint(
            workplace.storage, plan.partial_checkpoint, self.comm, self.config.checkpoint_interval_s
        )
        self.keeper = (
            BestKeeper(evaluate, self._settle_batch_norm, config, self.length)
            if config.keep == "best" and self.total
            else None
        )
        self._resume()

    @property
    def total(self) -> int:
        """Number of steps of the training; the upper limit as long as the number is unknown."""
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
        num_channels = workplace.config.data.num_channels
        model = build_model(model_config, num_classes, num_channels, load_weights=plan.init is None)
        if plan.init is not None:
            init = parse(workplace.storage.read_ref(plan.init))
            load_trained(model, init, learns_classes=True)
        set_batch_norm_momentum(model, self.config.batch_norm.momentum)
        if self.config.batch_norm.sync and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return model.to(self.device)

    def train(
        self, wrap: Wrap, progress: ProgressCallback | None, should_stop: StopCallback | None
    ) -> None:
        """Run the remaining steps, then settle the statistics of batch normalisation.

        Args:
            wrap: wraps the network for several workers.
            progress: called on rank 0 after each step.
            should_stop: called before each step; training stops if any worker's returns true.

        Raises:
            DivergedError: the loss is not finite.
            TrainStopped: a stop was requested.
        """
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
                if self.step < self.total:
                    if self.keeper is not None:
                        self.keeper.look(self.model, self.step)
                    self.checkpoint.save_if_due(self._state)
        self._settle_batch_norm()
        if self.keeper is not None:
            self.keeper.finish(self.model, self.total)

    def check_weights(self) -> None:
        """Check that the weights are finite. No later loss would reveal a faulty last step.

        Raises:
            DivergedError: a weight or a running statistic is not finite. It is raised on all
                workers, because all have the same values.
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
        """Keep the weights if a snapshot is due.

        Snapshots are evenly spaced over the last part of the training. The last of them is the
        model itself, which is stored anyway.
        """
        count, span = self.plan.snapshots, self.length.snapshot_span
        wanted = {
            self.total - span * (count - number) // count: number for number in range(1, count)
        }
        if self.step in wanted and self.comm.rank == 0:
            name = f"{SNAPSHOT}{wanted[self.step]:02d}.pt"
            self.snapshots[name] = dump(trained_state(self.model))

    def _step(self, model: nn.Module, batch: Batch, stop: bool) -> None:
        targets, plan = self._targets(batch, self.step), self.plan
        torch.manual_seed(seed_of("step", plan.seed, plan.cycle, self.step, self.comm.rank))
        num_images = len(self.samples.indices)
        factor = rate_factor(self.config, self.length, self.step, num_images, self.batch_size)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        with self._autocast():
            terms = self._losses(model, batch, targets)
        loss = join_terms(terms, self.comm, stop=stop)
        self._record(loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.own.backward()
        if self.config.clip_gradients is not None:
            trained = self.optimizer.param_groups[0]["params"]  # found once, without the backbone
            nn.utils.clip_grad_norm_(trained, self.config.clip_gradients)
        self.optimizer.step()

    def _autocast(self) -> torch.autocast:
        is_bf16 = self.config.precision == "bf16"
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=is_bf16)

    def _record(self, loss: GlobalLoss) -> None:
        """Keep the loss of a step.

        Raises:
            DivergedError: the loss of the global batch is not finite. All workers raise it.
            TrainStopped: a stop was requested on any worker. All workers raise it.
        """
        if loss.is_stopped:
            message = f"training was stopped at step {self.step} of {self.total}"
            raise TrainStopped(f"cycle {self.plan.cycle}: {message}")
        if not math.isfinite(loss.value):
            raise self._diverged(f"the loss is {loss.value} at step {self.step} of {self.total}")
        self.losses.append((self.step, loss.value))
        self.label_losses.append(loss.first / (2 if self.config.mirror_loss else 1))

    def _losses(self, model: nn.Module, batch: Batch, targets: Targets) -> list[LossTerm]:
        """Compute the terms of the loss: of labels, pairs and unlabelled pixels, as configured."""
        config = self.config
        num_images = torch.tensor(float(len(batch.labels)), device=self.device)
        logits = model(batch.inputs if config.precision == "bf16" else as_float(batch.inputs))
        if not self.is_paired:
            sums = targets.sums(config.loss, logits, self.class_weights)
            return self._label_terms(sums) + self._unlabelled(logits, batch)
        a, b = split_pair(logits)
        sums, copies = targets.sums(config.loss, a, self.class_weights), 1
        if config.mirror_loss:
            mirrored, copies = targets.sums(config.loss, b, self.class_weights), 2
            prototypes = sums.prototypes + mirrored.prototypes
            sums = Sums(sums.labels + mirrored.labels, prototypes, sums.pairs)
        terms = self._label_terms(sums, copies)
        if config.consistency:
            differences = consistency_loss(targets.dense(a), targets.dense(b)) * num_images
            terms.append(mean_term(config.consistency, differences, num_images))
        return terms

    def _label_terms(self, sums: Sums, copies: int = 1) -> list[LossTerm]:
        config = self.config
        return [
            label_term(config.loss, sums.labels, self.class_weights, copies=copies),
            mean_term(config.prototype, sums.prototypes, sums.pairs),
        ]

    def _unlabelled(self, logits: torch.Tensor, batch: Batch) -> list[LossTerm]:
        semi = self.config.semi
        if semi is None or not semi.is_active(self.length.done(self.step)):
            return []
        unlabelled = Unlabelled(semi, self.plan, self.batches, self.comm, self.batch_size)
        sums = unlabelled.sums(self.model, logits, batch, self._places(self.step), self.step)
        return [mean_term(semi.weight, *sums)]

    def _steps_left(self) -> Iterator[tuple[int, Places]]:
        return ((step, self._places(step)) for step in range(self.step, self.total))

    def _places(self, step: int) -> Places:
        """Return this worker's positions in the global batch of a step, with their images."""
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
        pixels = PixelLimit(limit, self.batch_size, self.plan, self.comm)
        return pixels.draw(batch.labels, self._places(step), step, self.device)

    def _settle_batch_norm(self) -> None:
        settings = self.config.batch_norm
        if settings.reestimate_batches:
            inputs = (self._settling_inputs(step) for step in range(settings.reestimate_batches))
            reestimate_statistics(self.model, inputs, settings.momentum)
        average_buffers(self.model, self.comm)

    def _settling_inputs(self, step: int) -> Inputs:
        torch.manual_seed(seed_of("settle", self.plan.seed, self.plan.cycle, step, self.comm.rank))
        return self.batches.plain(self._places(step)).inputs

    def _key(self) -> Key:
        """Return what identifies the training: an equal key means equal steps."""
        plan = self.plan
        parts = sorted(ref.sha256 for ref in plan.label_parts)
        images = list(plan.left_out)
        lengths = [self.length.asked, self.batch_size, list(self.samples.image_size)]
        lengths.append(self.workplace.dataset.num_classes)
        recipe = json.dumps(dict(plan.recipe.train), sort_keys=True)
        return [plan.cycle, plan.seed, parts, plan.all_masks, images, *lengths, recipe]

    def _state(self) -> PartialState:
        return PartialState(
            key=self._key(),
            step=self.step,
            losses=self.losses,
            label_losses=self.label_losses,
            settled=self.length.settled,
            model=trained_state(self.model),
            optimizer=self.optimizer.state_dict(),
            snapshots=self.snapshots,
            best=None if self.keeper is None else dict(vars(self.keeper.best)),
        )

    def _resume(self) -> None:
        state = self.checkpoint.load(self._key())
        if state is None:
            return
        load_trained(self.model, state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self.step = state.step
        self.snapshots = state.snapshots
        self.losses = state.losses
        self.label_losses = state.label_losses
        if state.settled is not None:
            self.length.settle(state.settled)
        if self.keeper is not None and state.best is not None:
            self.keeper.best = Best(**state.best)
