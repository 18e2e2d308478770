"""The scorer of one process: batches in, maps of scores (and class probabilities, or features) out."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ray_al.core.config import RunConfig
from ray_al.core.errors import DivergedError
from ray_al.core.families.passes import PassNetwork
from ray_al.core.strategy import StrategyConfig
from ray_al.models import build_model, load_trained
from ray_al.models.features import FeatureNetwork, feature_layer
from ray_al.models.split import BACKBONE_MAPS, SplitNetwork, trained_part
from ray_al.score.backbone_maps import MapsNetwork
from ray_al.score.functions import Acquisition, open_acquisition
from ray_al.score.inputs import Form, Inputs, NetworkInput
from ray_al.score.prepare import prepare_network, resolve_precision
from ray_al.score.transforms import add_transformed
from ray_al.score.views import Views

LARGE_SIDE = 160
"""Logits are scored at a quarter of the input where its shorter side is at least this long, else at half: measured on CamVid with
fp32, the top 12 % then overlap with full resolution by 0.995 (360x480 and 180x240 at a quarter) and 0.997 (120x160 at half); a quarter
of 120x160: 0.989."""


@dataclass(frozen=True)
class Maps:
    """Of a batch, at the resolution of scoring, in the processor's memory.

    Attributes:
        values: (N, h, w).
        probabilities: (N, C, h, w) where classes count, else None.
        classes: int64 (N, h, w), the predicted ones, where the offer or the batch rule reads them, else None.
        features: the backbone's maps (N, c, h', w') where the offer reads them.
    """

    values: torch.Tensor
    probabilities: torch.Tensor | None
    classes: torch.Tensor | None = None
    features: tuple[torch.Tensor, ...] = ()

    def cpu(self) -> "Maps":
        """Moved there in one go: a transfer for each image would have it wait for the GPU each time."""
        probabilities = None if self.probabilities is None else self.probabilities.cpu()
        classes = None if self.classes is None else self.classes.cpu()
        return Maps(
            self.values.cpu(), probabilities, classes, tuple(one.cpu() for one in self.features)
        )


GPU_LANES = 2
"""Batches on a GPU at a time: one computes while the other's values are pooled."""


class Scorer:
    """Maps of one strategy's pixel scores; any number of threads may share it.

    On a CPU each batch is to be computed by one thread, with `lanes` of them beside each other (`batches.map_batches`): that keeps cores
    busy where several threads on one small network wait for each other, and no value depends on their number.

    Args:
        config: of the run.
        strategy: of the cycle.
        num_classes: channels of the network.
        weights: state dicts as `torch.save` wrote them, one a model (several: an ensemble or snapshots); empty for an untrained network.
        seed: of the run; with `cycle` it settles what dropout drops.
        cycle: whose model it is; named where its outputs are not finite.
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
        self.config, self.strategy, self.device, self.cycle, self.seed = (
            config,
            strategy,
            device,
            cycle,
            seed,
        )
        offer = strategy.offer
        self.gives_classes = strategy.batch.reads_covers or (
            offer is not None and offer.reads_classes
        )
        self.gives_features = offer is not None and offer.reads_features
        self.acquisition: Acquisition = open_acquisition(strategy)
        self.num_classes = num_classes
        self.precision = resolve_precision(config.score.precision)
        self.lanes = config.score.threads if device == "cpu" else GPU_LANES
        self.batch_size = config.score.batch_size if isinstance(config.score.batch_size, int) else 4
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
        """Of images, that the function looks at beside the images themselves."""
        return self.strategy.transforms if self.acquisition.inputs == "transforms" else ()

    @property
    def form(self) -> Form:
        """How its networks want their input."""
        layout = torch.contiguous_format if self.precision == "reference" else torch.channels_last
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return Form(device=self.device, memory_format=layout, dtype=dtype)

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
        model = build_model(self.config.model, num_classes, load_weights=False)
        if weights is not None:
            load_trained(
                model, torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
            )
        return model

    @torch.inference_mode()
    def maps(self, inputs: Inputs) -> Maps:
        """Scores of a batch of images; a value depends on its own image alone."""
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
        """The backbone's maps: of a frozen network what it is given, else what passes over changed maps share."""
        maps = (
            self.passes.prefix(plain)
            if self.passes is not None and self.strategy.passes.changes_maps
            else plain
        )
        assert isinstance(maps, tuple), "check_strategy refuses offers without maps to look at"
        return maps

    def views(self, inputs: Inputs, plain: NetworkInput) -> Views:
        """What the passes over the batch say together; `plain` is the batch as it is."""
        wants = (
            self.acquisition.wants | {"mean_p"} if self.gives_classes else self.acquisition.wants
        )
        views = Views(wants)
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
        """As large as `size`, divided by the temperature.

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
        # A sum is finite only if all values are, and takes a fifth of the time of looking at each.
        if not torch.isfinite(values.sum(dtype=torch.float32)) and not torch.isfinite(values).all():
            raise DivergedError(
                f"cycle {self.cycle}: the model diverged: its {what} are not finite on an image of the pool; lower train.learning_rate, "
                "then start a new run (with score.precision=bf16 try fp32 first)"
            )

    @property
    def score_size(self) -> tuple[int, int]:
        """A quarter or half of the images' size (`reference`: all of it)."""
        height, width = self.config.data.image_size
        factor = 4 if min(height, width) >= LARGE_SIDE else 2
        if self.precision == "reference":
            factor = 1
        return max(1, height // factor), max(1, width // factor)


class FeatureScorer(Scorer):
    """Class probabilities and the features of a named layer, of one pass whatever the score looks at."""

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
        """Sizes of the groups in which features lie, which are to weigh alike in distances; empty where they are of one kind."""
        network = self.networks[0]
        return network.groups if isinstance(network, MapsNetwork) else ()

    @torch.inference_mode()
    def feature_maps(self, inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (N, C, h, w) and features (N, D, h, w), float32, at the layer's own resolution."""
        logits, features = self.networks[0](inputs.plain())
        self._check_finite(features, "features")
        height, width = features.shape[-2:]
        return self._resized(logits, (height, width)).softmax(1), features.float()
