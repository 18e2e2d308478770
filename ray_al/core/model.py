"""The section `model`: a whole network by its name, or a backbone with a head."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ray_al.core.family import Family
from ray_al.core.variants import BACKBONES, HEADS, Backbone, Head, Model

WEIGHTS = ("none", "backbone", "full")
"""Values of `model.weights` that are not a path or URI."""


class ModelConfig(Model):
    """A whole segmentation network, given by its name."""

    kind: Literal["network"] = "network"
    name: str = "lraspp_mobilenet_v3_large"
    """Name of a torchvision segmentation network, or `package.module:function` that builds one."""
    weights: Annotated[str, Field(min_length=1)] = "none"
    """Initial weights: `none`, `backbone` or `full` (torchvision's), or the path or URI of a state
    dict.
    """
    args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the function that builds the network."""
    frozen: bool = False
    """Whether the backbone of a torchvision network keeps its weights, so its features are computed
    only once.
    """

    @property
    def is_frozen(self) -> bool:
        """Return `frozen`, as `Model.is_frozen` asks."""
        return self.frozen

    @property
    def min_images(self) -> int:
        """Return 2 for DeepLab and 1 for other networks; see `Model.min_images`.

        DeepLab's pooling branch gives batch norm one value per image and channel.
        """
        return 2 if "deeplab" in self.name.lower() else 1


def _all_or_stages(value: object) -> bool | int:
    """Return whether all stages are frozen (a bool), or how many of the first are (an int)."""
    if isinstance(value, int) and value >= 0:
        return value if value else False
    raise ValueError("give true, false, or the number of stages that keep their weights")


class ComposedConfig(Model):
    """A backbone that gives feature maps, and a head that turns them into logits."""

    kind: Literal["composed"] = "composed"
    backbone: Annotated[Backbone, BACKBONES]
    """The network that gives feature maps."""
    head: Annotated[Head, HEADS] = Field(
        default_factory=lambda: HEADS.parse({"kind": "fpn"}), validate_default=False
    )
    """The module that turns feature maps into logits."""
    weights: Annotated[str, Field(min_length=1)] = "none"
    """Initial weights of the backbone: `none`, `backbone` (its package's pretrained ones), or the
    path or URI of a state dict.
    """
    frozen: Annotated[bool | int, BeforeValidator(_all_or_stages)] = True
    """`true` keeps all weights of the backbone, so its features are computed only once; a number
    keeps those of its first stages.
    """

    @field_validator("weights")
    @classmethod
    def _of_the_backbone_alone(cls, weights: str) -> str:
        if weights == "full":
            raise ValueError(
                "nobody has published weights of a composed network as a whole; "
                "give backbone, none or a file"
            )
        return weights

    @property
    def is_frozen(self) -> bool:
        """Return whether all stages are frozen, as `Model.is_frozen` asks."""
        return self.frozen is True

    @property
    def min_images(self) -> int:
        """Return the number that the head needs, as `Model.min_images` asks."""
        return self.head.min_images


MODELS = Family(
    "model",
    Model,
    {"network": "ray_al.core.model:ModelConfig", "composed": "ray_al.core.model:ComposedConfig"},
    default="network",
)
