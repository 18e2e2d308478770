"""The scorer of one process: it turns batches into maps of scores, probabilities or features."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ray_al.acquisition import Acquisition, open_acquisition
from ray_al.acquisition.transforms import add_transformed
from ray_al.acquisition.views import PredictionStatistics
from ray_al.core.config import RunConfig
from ray_al.core.errors import DivergedError
from ray_al.core.families.passes import PassNetwork
from ray_al.core.memory import keep_freed_memory
from ray_al.core.strategy import StrategyConfig
from ray_al.models import build_model, load_trained
from ray_al.models.features import FeatureNetwork, feature_layer
from ray_al.models.split import BACKBONE_MAPS, SplitNetwork, trained_part
from ray_al.scoring.backbone_maps import MapsNetwork
from ray_al.scoring.inputs import InputFormat, Inputs, NetworkInput
from ray_al.scoring.prepare import prepare_network, resolve_precision

LARGE_SIDE = 160
"""Shorter side of the input from which logits are scored at a quarter of its size; below it, at
half. Measured on CamVid in fp32, the top 12 % overlap with those at full resolution by 0.995 at a
quarter (360x480 and 180x240) and 0.997 at half (120x160), but only 0.989 at a quarter of 120x160.
"""


@dataclass(frozen=True)
class Maps:
    """Maps of a batch at the resolution of scoring, in main memory.

    Attributes:
        values: (N, h, w) scores.
        probabilities: (N, C, h, w) if classes matter, else None.
        classes: int64 (N, h, w), predicted classes if the offer, the batch rule or the time of
            labels depends on them, else None.
        features: maps of the backbone (N, c, h', w') if the offer reads them.
    """

    values: torch.Tensor
    probabilities: torch.Tensor | None
    classes: torch.Tensor | None = None
    features: tuple[torch.Tensor, ...] = ()

    def cpu(self) -> "Maps":
        """Return the maps in main memory, moved in one go.

        A transfer for each image would wait for the GPU each time.
        """
        probabilities = None if self.probabilities is None else self.probabilities.cpu()
        classes = None if self.classes is None else self.classes.cpu()
        return Maps(
            self.values.cpu(),
            probabilities,
            classes,
            tuple(values.cpu() for values in self.features),
        )


GPU_WORKER_THREADS = 2
"""Concurrent batches on a GPU: one is computed while the values of the other are pooled."""


class Scorer:
    """Computes maps of one strategy's pixel scores; any number of threads may share it.

    On a CPU, each batch is to be computed by one thread, with `worker_threads` threads in parallel
    (`batches.map_batches`). That keeps the cores busy, whereas several threads on one small network
    wait for each other. No value depends on their number.

    Args:
        config: of the run.
        strategy: of the cycle.
        num_classes: channels of the network.
        weights: state dicts as written by `torch.save`, one per model (several for an ensemble or
            snapshots); empty for an untrained network.
        seed: of the run; with `cycle`, it determines what dropout drops.
        cycle: of the model; named in the error if its outputs are not finite.
        device: where to compute.
    """

    def __init__(
        self,
        config: RunConfig,
        strategy: StrategyConfig,
        num_classes: int,
        weights: Sequence[bytes],
        *,
        seed: int = 0,
        cycle: int = 0,
        device: str = "cpu",
    ) -> None:
        keep_freed_memory()
        self.config = config
        self.strategy = strategy
        self.device = device
        self.cycle = cycle
        self.seed = seed
        offer = strategy.offer
        self.gives_classes = (
            strategy.batch.reads_covers
            or strategy.label_time is not None
            or (offer is not None and offer.reads_classes)
        )
        self.gives_features = offer is not None and offer.reads_features
        self.acquisition: Acquisition = open_acquisition(strategy)
        self.num_classes = num_classes
        self.precision = resolve_precision(config.scoring.precision)
        self.worker_threads = config.scoring.threads if device == "cpu" else GPU_WORKER_THREADS
        self.batch_size = (
            config.scoring.batch_size if isinstance(config.scoring.batch_size, int) else 4
        )
        states: Sequence[bytes | None] = weights or [None]
        self.networks: list[nn.Module] = []
        self.passes: PassNetwork | None = None
        if self.is_stochastic:
            self.passes = self._passes(num_classes, states[0])
        else:
            self.networks = [self._network(num_classes, state) for state in states]

    @property
    def is_stochastic(self) -> bool:
        """Whether passes of one model differ."""
        return self.acquisition.inputs == "passes" and not self.strategy.passes.are_models

    @property
    def transforms(self) -> tuple[str, ...]:
        """Transforms of images that the function compares with the images themselves."""
        return self.strategy.transforms if self.acquisition.inputs == "transforms" else ()

    @property
    def form(self) -> InputFormat:
        """The form in which its networks want their input."""
        layout = torch.contiguous_format if self.precision == "reference" else torch.channels_last
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return InputFormat(device=self.device, memory_format=layout, dtype=dtype)

    def _network(self, num_classes: int, weights: bytes | None) -> nn.Module:
        return prepare_network(
            trained_part(self._loaded(num_classes, weights)), self.precision, self.device
        )

    def _passes(self, num_classes: int, weights: bytes | None) -> PassNetwork:
        model = self._loaded(num_classes, weights)
        return self.strategy.passes.open(
            model, self.precision, self.device, seed=self.seed, cycle=self.cycle
        )

    def _loaded(self, num_classes: int, weights: bytes | None) -> nn.Module:
        num_channels = self.config.data.num_channels
        model = build_model(self.config.model, num_classes, num_channels, load_weights=False)
        if weights is not None:
            load_trained(
                model, torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
            )
        return model

    @torch.inference_mode()
    def maps(self, inputs: Inputs) -> Maps:
        """Score a batch of images; each value depends only on its own image."""
        function, plain = self.acquisition, inputs.plain()
        features = self._features(plain) if self.gives_features else ()
        if function.inputs == "logits":
            logits = self._scaled(self.networks[0], plain)
            probabilities = logits.softmax(1) if function.attribution != "none" else None
            classes = logits.argmax(1) if self.gives_classes else None
            scores = function.score_logits(logits)
            return Maps(scores, probabilities, classes, features).cpu()
        views = self.views(inputs, plain)
        classes = views.mean_p.argmax(1) if self.gives_classes else None
        return Maps(function.score_views(views), None, classes, features).cpu()

    def _features(self, plain: NetworkInput) -> tuple[torch.Tensor, ...]:
        """Return the backbone's maps: the input of a frozen network, or what the passes share."""
        maps = (
            self.passes.prefix(plain)
            if self.passes is not None and self.strategy.passes.changes_maps
            else plain
        )
        assert isinstance(maps, tuple), "check_strategy refuses offers without maps to look at"
        return maps

    def views(self, inputs: Inputs, plain: NetworkInput) -> PredictionStatistics:
        """Return the statistics of all passes over a batch; `plain` is the batch as it is."""
        wants = (
            self.acquisition.wants | {"mean_p"} if self.gives_classes else self.acquisition.wants
        )
        views = PredictionStatistics(wants)
        if self.acquisition.inputs == "transforms":
            views.add(self._scaled(self.networks[0], plain))
            for name in self.transforms:
                add_transformed(
                    views,
                    name,
                    self._scaled(self.networks[0], inputs.transformed(name)),
                    self.score_size,
                )
        elif self.passes is not None:
            prefix = self.passes.prefix(plain)
            if "plain" in views.wants:
                views.add_plain(self._resized(self.passes.suffix(prefix, None), self.score_size))
            for number in range(self.strategy.passes.count):
                views.add(self._resized(self.passes.suffix(prefix, number), self.score_size))
        else:
            for network in self.networks:
                views.add(self._scaled(network, plain))
        return views

    def _scaled(self, network: nn.Module, given: NetworkInput) -> torch.Tensor:
        return self._resized(network(given), self.score_size)

    def _resized(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Return logits resized to `size` and divided by the temperature.

        Raises:
            DivergedError: a logit is not finite. Scores that count votes would hide it.
        """
        self._check_finite(logits, "logits")
        resized = logits.float()
        if tuple(logits.shape[-2:]) != size:
            resized = torch.nn.functional.interpolate(
                resized, size=size, mode="bilinear", align_corners=False
            )
        return resized if self.strategy.temperature == 1 else resized / self.strategy.temperature

    def _check_finite(self, values: torch.Tensor, what: str) -> None:
        # A finite sum means that all values are finite, and takes a fifth of the time of a test of
        # each value. An overflowing sum is followed by that test.
        if not torch.isfinite(values.sum(dtype=torch.float32)) and not torch.isfinite(values).all():
            raise DivergedError(
                f"cycle {self.cycle}: the model diverged: its {what} are not finite on an image of "
                "the pool; lower train.learning_rate, then start a new run "
                "(with scoring.precision=bf16 try fp32 first)"
            )

    @property
    def score_size(self) -> tuple[int, int]:
        """Height and width of the logits that are scored.

        They are a quarter or half of the images' (`LARGE_SIDE`), or equal to it for `reference`.
        """
        height, width = self.config.data.image_size
        factor = 4 if min(height, width) >= LARGE_SIDE else 2
        if self.precision == "reference":
            factor = 1
        return max(1, height // factor), max(1, width // factor)


class FeatureScorer(Scorer):
    """Computes class probabilities and features of a named layer, in one pass for any function."""

    is_stochastic = False

    def _network(self, num_classes: int, weights: bytes | None) -> nn.Module:
        model = self._loaded(num_classes, weights)
        layer = feature_layer(model, self.strategy.feature_layer)
        if layer == BACKBONE_MAPS:
            assert isinstance(model, SplitNetwork), "feature_layer refuses other networks"
            return MapsNetwork(model, self.precision, self.device)
        return prepare_network(
            FeatureNetwork(trained_part(model), layer), self.precision, self.device
        )

    @property
    def groups(self) -> tuple[int, ...]:
        """Sizes of the groups of features with equal weight in distances; empty for one group."""
        network = self.networks[0]
        return network.groups if isinstance(network, MapsNetwork) else ()

    @torch.inference_mode()
    def feature_maps(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Return probabilities (N, C, h, w) and features (N, D, h, w), float32.

        Both have the resolution of the layer.
        """
        logits, features = self.networks[0](inputs.plain())
        self._check_finite(features, "features")
        height, width = features.shape[-2:]
        return self._resized(logits, (height, width)).softmax(1), features.float()
