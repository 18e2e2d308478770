"""Passes, which make several predictions of one image for functions that compare them."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import Field

from ray_al.core.family import Family
from ray_al.core.section import Section

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ray_al.core.config import RunConfig


class PassNetwork(Protocol):
    """A network whose passes over one batch differ."""

    def prefix(self, given: "torch.Tensor | tuple[torch.Tensor, ...]") -> tuple[Any, ...]:
        """Compute the part that all passes over a batch share, to be handed to `suffix`.

        Args:
            given: images (N, 3, H, W), or the maps (N, c, h, w) of a frozen backbone.
        """

    def suffix(self, prefix: tuple[Any, ...], number: int | None) -> "torch.Tensor":
        """Return the logits (N, C, h, w) of one pass.

        It may be called any number of times, in any order, by several threads.

        Args:
            prefix: result of `prefix`.
            number: number of the pass; None for the network without changes.
        """


class PassKind(Section):
    """A way to make several predictions of one image.

    A kind derives from this class if the passes of one model differ, and from `ModelPasses` if each
    pass has a trained model of its own.
    """

    kind: str
    """Which kind of passes it is: a built-in kind, or `package.module:Class` for your own."""
    count: Annotated[int, Field(ge=2, le=1000)] = 10
    """Number of passes over each image."""

    paper: ClassVar[str] = ""
    """Paper that introduced the kind."""
    needs: ClassVar[str] = "one trained model"
    """What it needs in addition to the passes themselves."""
    are_models: ClassVar[bool] = False
    """Whether each pass has a trained model of its own."""
    changes_maps: ClassVar[bool] = False
    """Whether passes differ only behind the backbone.

    The shared part of the passes is then the backbone's maps, which offers may read.
    """

    @property
    def num_members(self) -> int:
        """Return the number of models that are trained in a cycle."""
        return 1

    @property
    def num_snapshots(self) -> int:
        """Return the number of states of a training kept for scoring; 0 keeps only the last."""
        return 0

    def check(self, config: "RunConfig") -> None:
        """Refuse a configuration with which these passes cannot work.

        Raises:
            ConfigError: with key, value and remedy.
        """

    def check_network(self, network: "nn.Module") -> None:
        """Refuse a network that cannot make these passes; it may be changed in place.

        Raises:
            ConfigError: with key, value and remedy.
        """

    @abstractmethod
    def open(
        self, network: "nn.Module", precision: Any, device: Any, *, seed: int, cycle: int
    ) -> PassNetwork:
        """Return a network that makes the passes.

        They follow only from seed, cycle and the number of the pass, and are the same for every
        image.

        Args:
            network: from `build_model`, with its weights, not yet prepared; it may be changed in
                place.
            precision: as `prepare_network` (scoring/prepare.py) takes it.
            device: device that computes.
            seed: seed of the run.
            cycle: cycle of the scores.

        Raises:
            ConfigError: as `check_network`.
        """
        raise NotImplementedError


class ModelPasses(PassKind):
    """Passes that each have a trained model of their own."""

    are_models: ClassVar[bool] = True

    def open(
        self, network: "nn.Module", precision: Any, device: Any, *, seed: int, cycle: int
    ) -> PassNetwork:
        """Never called: the models themselves are the passes."""
        raise NotImplementedError(f"passes of kind {self.kind!r} are models")


PASSES = Family(
    "strategy.passes",
    PassKind,
    {
        "dropout": "ray_al.scoring.passes.dropout:McDropout",
        "features": "ray_al.scoring.passes.features:FeatureDropout",
        "noise": "ray_al.scoring.passes.noise:FeatureNoise",
        "ensemble": "ray_al.scoring.passes.ensemble:Ensemble",
        "snapshots": "ray_al.scoring.passes.snapshots:Snapshots",
    },
    default="dropout",
)
