"""From a `ModelConfig` to a network, and the checks before a run starts."""

import difflib
import inspect
import io
from typing import Any

import torch
from torch import nn

from ray_al.core.config import ComposedConfig, ModelConfig
from ray_al.core.errors import ConfigError
from ray_al.core.imports import import_function
from ray_al.core.reading import ABSENT, read_uri
from ray_al.models.composed import build_composed

TORCHVISION_NAMES = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fcn_resnet101",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
)


class Segmenter(nn.Module):
    """A network of torchvision's without its last interpolation and its auxiliary head."""

    def __init__(self, network: nn.Module, *, takes_all_features: bool) -> None:
        super().__init__()
        self.backbone = network.get_submodule("backbone")
        self.classifier = network.get_submodule("classifier")
        self.takes_all_features = takes_all_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, C, h, w) at the head's resolution, from images of shape (N, 3, H, W)."""
        features = self.backbone(images)
        return self.classifier(features if self.takes_all_features else features["out"])


class ForeignSegmenter(nn.Module):
    """A network of another package, its output reduced to the logits."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network = network
        self.name = name

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of shape (N, C, h, w), from images of shape (N, 3, H, W)."""
        return self.logits_of(self.network(images))

    def logits_of(self, output: Any) -> torch.Tensor:
        """The logits in an output of the network: a tensor, a dict with `out`, or an object with `logits`.

        Raises:
            ConfigError: none of these, or not of shape (N, C, h, w).
        """
        if isinstance(output, dict) and "out" in output:
            output = output["out"]
        elif not isinstance(output, torch.Tensor):
            output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 4:
            message = f"model.name {self.name!r}: its output is a {type(output).__name__}"
            raise ConfigError(f"{message}; give a (N, C, h, w) tensor, a dict with 'out', or .logits")
        return output


def list_models() -> tuple[str, ...]:
    """The names that need no package beside torchvision."""
    return TORCHVISION_NAMES


def build_model(model: ModelConfig | ComposedConfig, num_classes: int, *, load_weights: bool = True) -> nn.Module:
    """Build a network; the caller seeds torch first.

    Args:
        model: name, weights and arguments.
        num_classes: number of output channels.
        load_weights: False leaves out `model.weights`, for a network whose state dict is loaded next.

    Returns:
        A module whose forward turns (N, 3, H, W) images into (N, C, h, w) logits at the head's resolution.

    Raises:
        ConfigError: unknown name, function that cannot be imported or called, or weights that do not load.
    """
    if isinstance(model, ComposedConfig):
        return build_composed(model, num_classes, load_weights=load_weights)
    if ":" in model.name:
        network: nn.Module = _build_foreign(model, num_classes)
    else:
        _check_name(model.name)
        network = _build_torchvision(model, num_classes, load_weights)
    if load_weights and model.weights not in ("none", "backbone", "full"):
        _load_state(network, model.weights)
    return network


def check_model(model: ModelConfig | ComposedConfig, num_classes: int) -> None:
    """Find out before a run starts whether `build_model` will work, downloads included.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    if isinstance(model, ComposedConfig):
        build_composed(model, num_classes)
        return
    if ":" not in model.name and model.weights == "none":
        _check_name(model.name)
        return
    with torch.random.fork_rng(devices=[]):
        network = build_model(model, num_classes)
    if ":" in model.name:
        _check_output(network, model.name, num_classes)


def _check_output(network: nn.Module, name: str, num_classes: int) -> None:
    with torch.inference_mode():
        try:
            shape = tuple(network.eval()(torch.zeros(1, 3, 64, 64)).shape)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(f"model.name {name!r}: a 64 x 64 image does not pass through it: {error}; check model.args") from None
    if shape[1] != num_classes:
        message = f"model.name {name!r}: it gives {shape[1]} channels, the data set has {num_classes} classes"
        raise ConfigError(f"{message}; set its number of classes in model.args")


def _check_name(name: str) -> None:
    if name in TORCHVISION_NAMES:
        return
    near = difflib.get_close_matches(name, TORCHVISION_NAMES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "known names: " + ", ".join(TORCHVISION_NAMES)
    raise ConfigError(f"model.name {name!r}: unknown model; {hint} (or package.module:function)")


def _build_torchvision(model: ModelConfig, num_classes: int, load_weights: bool) -> Segmenter:
    from torchvision.models import get_model, get_model_weights

    full = load_weights and model.weights == "full"
    options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": num_classes, **model.args}
    try:
        if full:
            options["weights"] = get_model_weights(model.name).DEFAULT  # type: ignore[attr-defined]
            options.pop("num_classes")
        elif load_weights and model.weights == "backbone":
            options["weights_backbone"] = "DEFAULT"
        network = get_model(model.name, **options)
    except OSError as error:
        message = f"model.weights {model.weights!r}: download failed ({error}); fetch it where there is a network, or give a file's path, or 'none'"
        raise ConfigError(message) from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"model.args {model.args!r}: {model.name} cannot be built: {error}; correct model.args or model.weights") from None
    if full:
        _replace_last_convolutions(network.classifier, num_classes)
    return Segmenter(network, takes_all_features=model.name.startswith("lraspp"))


def _replace_last_convolutions(classifier: nn.Module, num_classes: int) -> None:
    names = ("low_classifier", "high_classifier") if hasattr(classifier, "low_classifier") else ("4",)
    for name in names:
        old = classifier.get_submodule(name)
        assert isinstance(old, nn.Conv2d)
        setattr(classifier, name, nn.Conv2d(old.in_channels, num_classes, 1))


def _build_foreign(model: ModelConfig, num_classes: int) -> ForeignSegmenter:
    if model.weights in ("backbone", "full"):
        raise ConfigError(f"model.weights {model.weights!r}: only for torchvision's names; set pretrained weights of {model.name} in model.args")
    function = import_function("model.name", model.name, wanted="a function or class that returns a torch module")
    arguments = dict(model.args)
    if "num_classes" in inspect.signature(function).parameters:
        arguments.setdefault("num_classes", num_classes)
    try:
        network = function(**arguments)
    except OSError as error:
        message = f"model.name {model.name!r}: a download or file failed ({error})"
        raise ConfigError(f"{message}; fetch it where there is a network, or change model.args") from None
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(f"model.args {model.args!r}: {model.name} refuses them: {error}") from None
    if not isinstance(network, nn.Module):
        raise ConfigError(f"model.name {model.name!r}: returned a {type(network).__name__}; it must return a torch module")
    return ForeignSegmenter(network, model.name)


def _load_state(network: nn.Module, uri: str) -> None:
    try:
        data = read_uri(uri)
    except ABSENT:
        raise ConfigError(f"model.weights {uri!r}: no such file; give the path of a state dict, or none, backbone, full") from None
    try:
        network.load_state_dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load answers a broken file with any error
        text = " ".join(str(error).split())[:300]
        message = f"model.weights {uri!r}: not a state dict of this model: {text}"
        raise ConfigError(f"{message}; save it with torch.save(model.state_dict(), path)") from None
