"""The network: a whole one by its name, or one that is composed of a backbone and a head."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from ray_al.core.family import Family
from ray_al.core.variants import BACKBONES, HEADS, Backbone, Head, Model

WEIGHTS = ("none", "backbone", "full")
"""Values of `model.weights` that are no place."""


class ModelConfig(Model):
    """A whole segmentation network by its name."""

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
    """Whether the backbone of a torchvision network keeps its weights, so that its features are computed once."""

    @property
    def is_frozen(self) -> bool:
        """As `Model.is_frozen`."""
        return self.frozen

    @property
    def min_images(self) -> int:
        """As `Model.min_images`: batch norm in DeepLab's pooling branch sees one value of an image and channel."""
        return 2 if "deeplab" in self.name.lower() else 1


def _all_or_stages(value: Any) -> bool | int:
    if isinstance(value, int) and value >= 0:
        return value if value else False
    raise ValueError("give true, false, or the number of stages that keep their weights")


class ComposedConfig(Model):
    """A backbone that gives feature maps, and a head that makes logits of them."""

    kind: Literal["composed"] = "composed"
    backbone: Annotated[Backbone, BACKBONES]
    """The network that gives feature maps."""
    head: Annotated[Head, HEADS] = Field(
        default_factory=lambda: HEADS.parse({"kind": "fpn"}), validate_default=False
    )
    """What turns feature maps into logits."""
    weights: Annotated[str, Field(min_length=1)] = "none"
    """Initial weights of the backbone: `none`, `backbone` (its package's pretrained ones), or the
    path or URI of a state dict.
    """
    frozen: Annotated[bool | int, BeforeValidator(_all_or_stages)] = True
    """`true` keeps all weights of the backbone, so that its features are computed once; a number
    keeps those of its first stages.
    """

    @field_validator("weights")
    @classmethod
    def _of_the_backbone_alone(cls, weights: str) -> str:
        if weights == "full":
            raise ValueError(
                "nobody has published weights of a composed network as a whole; give backbone, none or a file"
            )
        return weights

    @property
    def is_frozen(self) -> bool:
        """As `Model.is_frozen`."""
        return self.frozen is True

    @property
    def min_images(self) -> int:
        """As `Model.min_images`."""
        return self.head.min_images


MODELS = Family(
    "model",
    Model,
    {"network": "ray_al.core.model:ModelConfig", "composed": "ray_al.core.model:ComposedConfig"},
    default="network",
)
