"""Build networks from a `ModelConfig`, and check before a run that this will work."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ray_al.core.errors import ConfigError
from ray_al.core.imports import import_function
from ray_al.core.model import WEIGHTS, ComposedConfig, ModelConfig
from ray_al.core.seeding import seed_of
from ray_al.models.channels import RGB, takes, widen
from ray_al.models.composed import build_composed, build_composed_backbone, check_composed
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.segmenter import Segmenter, SegmenterBackbone
from ray_al.models.weights import load_state, read_state

TORCHVISION_NAMES = (
    "deeplabv3_mobilenet_v3_large",
    "deeplabv3_resnet101",
    "deeplabv3_resnet50",
    "fcn_resnet101",
    "fcn_resnet50",
    "lraspp_mobilenet_v3_large",
)
PROBE_SIZE = (64, 64)
"""Height and width, in pixels, of the image that checks a network if no size is given."""


def build_model(
    model: ModelConfig | ComposedConfig,
    num_classes: int,
    num_channels: int = RGB,
    *,
    load_weights: bool = True,
) -> nn.Module:
    """Build a network; the caller seeds torch first.

    Args:
        model: name, weights and arguments.
        num_classes: number of output channels.
        num_channels: number of channels of the images; see `models.channels.widen`.
        load_weights: False leaves out `model.weights`, for a network whose state dict is loaded
            next. A frozen backbone gets its weights nevertheless, as no checkpoint holds them.

    Returns:
        A module whose forward turns (N, num_channels, H, W) images into (N, C, h, w) logits at the
        resolution of its head.

    Raises:
        ConfigError: an unknown name, a function that cannot be imported or called, or weights that
            do not load.
    """
    if isinstance(model, ComposedConfig):
        return build_composed(model, num_classes, num_channels, load_weights=load_weights)
    if ":" in model.name:
        network: nn.Module = _build_foreign(model, num_classes, num_channels)
        if load_weights and model.weights not in WEIGHTS:
            load_state(network, model.weights)
        return network
    _check_name(model.name)
    network = _build_torchvision(model, num_classes, load_weights)
    _load_and_widen(network, model, num_channels, load_weights=load_weights)
    if model.is_frozen:
        backbone = build_backbone(model, num_channels).get_submodule("backbone")
        network.backbone.load_state_dict(backbone.state_dict())
    return network


def _load_and_widen(
    network: nn.Module, model: ModelConfig, num_channels: int, *, load_weights: bool
) -> None:
    """Load a file of weights, which may be of a network of three or of `num_channels` channels."""
    is_file = load_weights and model.weights not in WEIGHTS
    pretrained = load_weights and model.weights != "none"
    if is_file and num_channels != RGB and takes(network, read_state(model.weights)) != RGB:
        widen(network, num_channels, pretrained=False)
    if is_file:
        load_state(network, model.weights)
    widen(network, num_channels, pretrained=pretrained)


def build_backbone(model: ModelConfig | ComposedConfig, num_channels: int = RGB) -> nn.Module:
    """Build the backbone of a frozen model, with its weights.

    Without pretrained weights it is random, and follows from its settings alone.

    Returns:
        A module whose forward turns images (N, num_channels, H, W) into a tuple of maps, from fine
        to coarse.

    Raises:
        ConfigError: as `build_model`.
    """
    if isinstance(model, ComposedConfig):
        return build_composed_backbone(model, num_channels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of("backbone", model.name, sorted(model.args.items())))
        network = _build_torchvision(model, 2, load_weights=True)
        if num_channels != RGB:
            _load_and_widen_backbone(network, model, num_channels)
        elif model.weights not in WEIGHTS:
            load_state(network.backbone, model.weights, prefix="backbone.")
    return SegmenterBackbone(network.backbone, network.keys)


def _load_and_widen_backbone(network: Segmenter, model: ModelConfig, num_channels: int) -> None:
    """Do for a backbone alone what `_load_and_widen` does for a network."""
    backbone, is_file = network.backbone, model.weights not in WEIGHTS
    if is_file and takes(network, read_state(model.weights)) != RGB:
        widen(backbone, num_channels, pretrained=False)
    if is_file:
        load_state(backbone, model.weights, prefix="backbone.")
    widen(backbone, num_channels, pretrained=model.weights != "none")


def check_model(
    model: ModelConfig | ComposedConfig,
    num_classes: int,
    size: tuple[int, int] = PROBE_SIZE,
    num_channels: int = RGB,
) -> None:
    """Check before a run that `build_model` will work, downloads included.

    Args:
        model: as for `build_model`.
        num_classes: of the data set.
        size: height and width of the run's images; they must pass through a composed network.
        num_channels: number of their channels.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    with torch.random.fork_rng(devices=[]):
        if isinstance(model, ComposedConfig):
            check_composed(model, num_classes, size, num_channels)
            return
        if ":" not in model.name and model.weights == "none" and num_channels == RGB:
            _check_name(model.name)
            return
        network = build_model(model, num_classes, num_channels)
    if ":" in model.name:
        _check_output(network, model.name, num_classes, num_channels)


def _check_output(network: nn.Module, name: str, num_classes: int, num_channels: int) -> None:
    """Refuse a network that an image does not pass through, or that gives other classes."""
    height, width = PROBE_SIZE
    channels = "" if num_channels == RGB else f" of {num_channels} channels (data.channels)"
    with torch.inference_mode():
        try:
            image = torch.zeros(1, num_channels, height, width)
            image = image.to(memory_format=torch.channels_last)  # as training and scoring give it
            shape = tuple(network.eval()(image).shape)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ConfigError(
                f"model.name {name!r}: a {height} x {width} image{channels} does not pass "
                f"through it: "
                f"{error}; check model.args"
            ) from None
    if shape[1] != num_classes:
        raise ConfigError(
            f"model.name {name!r}: it gives {shape[1]} channels, the data set has {num_classes} "
            "classes; set its number of classes in model.args"
        )


def _check_name(name: str) -> None:
    if name in TORCHVISION_NAMES:
        return
    near = difflib.get_close_matches(name, TORCHVISION_NAMES, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "known names: " + ", ".join(TORCHVISION_NAMES)
    raise ConfigError(f"model.name {name!r}: unknown model; {hint} (or package.module:function)")


def _build_torchvision(model: ModelConfig, num_classes: int, load_weights: bool) -> Segmenter:
    # Its datasets, video and detection code take a second that other models need not wait for.
    from torchvision.models import get_model, get_model_builder, get_model_weights

    _check_arguments(model, get_model_builder(model.name))
    full = load_weights and model.weights == "full"
    options: dict[str, Any] = {  # keyword arguments of any builder of torchvision
        "weights": None,
        "weights_backbone": None,
        "num_classes": num_classes,
        **model.args,
    }
    try:
        if full:
            options["weights"] = get_model_weights(model.name).DEFAULT
            options.pop("num_classes")
        elif load_weights and model.weights == "backbone":
            options["weights_backbone"] = "DEFAULT"
        network = get_model(model.name, **options)
    except OSError as error:
        raise ConfigError(
            f"model.weights {model.weights!r}: download failed ({error}); download it where there "
            "is a network, or give a file's path, or 'none'"
        ) from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"model.args {model.args!r}: {model.name} cannot be built: {error}; correct model.args "
            "or model.weights"
        ) from None
    if full:
        _replace_last_convolutions(network.classifier, num_classes)
    return Segmenter(
        network, takes_all_features=model.name.startswith("lraspp"), is_frozen=model.is_frozen
    )


def _check_arguments(model: ModelConfig, builder: Callable[..., nn.Module]) -> None:
    """Refuse arguments that a builder of torchvision takes in `**kwargs`, and never looks at."""
    kinds = {name: value.kind for name, value in inspect.signature(builder).parameters.items()}
    known = [name for name, kind in kinds.items() if kind != inspect.Parameter.VAR_KEYWORD]
    for name in model.args:
        if name not in known:
            raise ConfigError(
                f"model.args {model.args!r}: {model.name} has no argument {name!r}; it has "
                f"{', '.join(known)}"
            )


def _replace_last_convolutions(classifier: nn.Module, num_classes: int) -> None:
    """Replace the layers that give logits of the classes that torchvision trained for."""
    is_lraspp = hasattr(classifier, "low_classifier")
    for name in ("low_classifier", "high_classifier") if is_lraspp else ("4",):
        old = classifier.get_submodule(name)
        assert isinstance(old, nn.Conv2d)
        setattr(classifier, name, nn.Conv2d(old.in_channels, num_classes, 1))


def _build_foreign(model: ModelConfig, num_classes: int, num_channels: int) -> ForeignSegmenter:
    """Call the function or class that `model.name` names."""
    if model.is_frozen:
        raise ConfigError(
            f"model.frozen: {model.name} is a whole network of another package, whose backbone is "
            "not known; set it to false, or give a backbone of your own (model.kind=composed, "
            "model.backbone.kind=package.module:Class)"
        )
    if model.weights in ("backbone", "full"):
        raise ConfigError(
            f"model.weights {model.weights!r}: only for torchvision's names; set pretrained "
            f"weights of {model.name} in model.args"
        )
    function = import_function(
        "model.name", model.name, wanted="a function or class that returns a torch module"
    )
    arguments = dict(model.args)
    parameters = inspect.signature(function).parameters
    if "num_classes" in parameters:
        arguments.setdefault("num_classes", num_classes)
    for name in ("in_channels", "in_chans"):
        if num_channels != RGB and name in parameters:
            arguments.setdefault(name, num_channels)
    try:
        network = function(**arguments)
    except OSError as error:
        raise ConfigError(
            f"model.name {model.name!r}: a download or file failed ({error}); get it "
            "where there is a network, or change model.args"
        ) from None
    except (TypeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"model.args {model.args!r}: {model.name} refuses them: {error}; correct model.args"
        ) from None
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"model.name {model.name!r}: returned a {type(network).__name__}; it must return a "
            "torch module"
        )
    return ForeignSegmenter(network, model.name)
