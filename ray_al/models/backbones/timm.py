"""Networks of the package timm."""

import difflib
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from ray_al.core.errors import ConfigError
from ray_al.core.variants import Backbone
from ray_al.models.messages import shortened

if TYPE_CHECKING:
    from torch import nn

FINEST_STRIDE = 4
"""Smallest stride of the maps that are taken if none are named: finer ones are large and see
little."""


class TimmBackbone(Backbone):
    """Any network of timm that gives features.

    That are convolutional ones, and vision transformers such as DINOv2 (Oquab et al., "DINOv2:
    Learning Robust Visual Features without Supervision", TMLR 2024).
    """

    kind: Literal["timm"] = "timm"
    probe_side: ClassVar[int] = 224  # patches of 14 and of 16 pixels divide it
    name: str = "tf_efficientnet_lite0"
    """Name of a network of timm."""
    maps: (
        Annotated[tuple[Annotated[int, Field(ge=0, le=1000)], ...], Field(min_length=1)] | None
    ) = None
    """Numbers of the stages (of a transformer: blocks) that give the maps, from fine to coarse;
    null takes the last map of each stride of 4 or more, or what timm chooses from the last blocks
    of a transformer.
    """
    args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of `timm.create_model`."""

    def build(self, weights: str) -> "nn.Module":
        """Build the network; see `Backbone.build`.

        Transformers take any size that their patches divide.
        """
        # These import torch, which settings alone do not need.
        from ray_al.models.networks.timm import ChosenMaps
        from ray_al.models.weights import load_backbone_state

        network = self._network(pretrained=weights == "backbone")
        if weights not in ("none", "backbone"):
            load_backbone_state(network, weights)
        strides = network.feature_info.reduction()
        chosen = [
            number
            for number, stride in enumerate(strides)
            if self.maps is not None or stride >= FINEST_STRIDE
        ]
        return ChosenMaps(network, chosen)

    def _network(self, *, pretrained: bool) -> Any:  # timm gives its networks no type
        timm = self._package()
        options = {
            "pretrained": pretrained,
            "features_only": True,
            **({} if self.maps is None else {"out_indices": self.maps}),
            **self.args,
        }
        try:
            try:
                return timm.create_model(self.name, **{"dynamic_img_size": True, **options})
            except TypeError:  # not a transformer: any size passes through it
                return timm.create_model(self.name, **options)
        except (TypeError, AssertionError, AttributeError, IndexError, KeyError) as error:
            raise ConfigError(
                f"model.backbone: timm's {self.name} gives no such maps (maps={self.maps}, "
                f"args={self.args}): {shortened(error) or type(error).__name__}; correct "
                "model.backbone.maps or args, or choose another network"
            ) from None
        except Exception as error:  # a download fails with errors of several packages
            if not pretrained:
                raise
            raise ConfigError(
                f"model.weights 'backbone': download failed ({type(error).__name__}: "
                f"{shortened(error)}); download it where there is a network, or give a file's "
                "path, or 'none'"
            ) from None

    def _package(self) -> ModuleType:
        """Return timm, once it is known that it has the network."""
        try:
            import timm  # an optional package
        except ImportError:
            raise ConfigError(
                "model.backbone.kind 'timm': the package timm is missing; install ray_al[models]"
            ) from None
        if not timm.is_model(self.name):
            near = difflib.get_close_matches(self.name, timm.list_models(), n=3, cutoff=0.4)
            names = ", ".join(near or ["resnet18", "tf_efficientnet_lite0"])
            raise ConfigError(
                f"model.backbone.name {self.name!r}: timm has no such network; name one of it, "
                f"such as {names}"
            )
        package: ModuleType = timm
        return package
