"""Write a run's model to a file that is used without ray_al, and check the file."""

import posixpath
from typing import Any

import numpy as np
import torch

from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.places import before_work
from ray_al.core.seeding import generator
from ray_al.core.storage import Storage, check_writable
from ray_al.datasets.images import resize_image
from ray_al.datasets.pixels import PixelRule
from ray_al.datasets.synthetic import draw_scene
from ray_al.predict.choose import TakenModel, choose_model
from ray_al.predict.exported import ExportedNetwork
from ray_al.predict.formats import FORMATS
from ray_al.predict.formats.base import Format
from ray_al.predict.inputs import check_apart
from ray_al.predict.network import Predictor, load_network
from ray_al.predict.output import describe

TOLERANCE = 1e-3
"""Largest difference of a logit of the file from that of the network, as a share of the largest
logit."""
NUM_SCENES = 3
"""Drawn scenes that the file is checked with, in addition to as many images of noise."""


def export_model(
    run_uri: str, out: str, format_name: str, *, cycle: int | None = None
) -> dict[str, Any]:
    """Write a model of a run to a file; the file appears whole and checked, or not at all.

    The file takes images of the size that the model was trained at, any number at a time. It
    computes in float32, in one pass, whatever the precision of training and `train.mirror_test`.

    Args:
        run_uri: path or URI of the run directory, which is only read.
        out: path or URI of the file.
        format_name: of `FORMATS`.
        cycle: whose model is exported; None for the final model, or else that of the last cycle.

    Returns:
        The metadata of the file, and `out`, `bytes`, `largest_difference` (of a logit, from the
        network's own), `tolerance` and `same_classes_as_predict` (the share of pixels of drawn
        scenes with the class that `ray-al predict` gives).

    Raises:
        ConfigError: there is no such model, a package is missing, the file exists already or cannot
            be written, or the network cannot be exported.
        RayALError: the file computes other logits than the network.
    """
    kind = FORMATS[format_name]
    kind.check_packages()
    storage, name = _open_place(out, kind, run_uri)
    model = choose_model(run_uri, cycle)
    data = model.config.data
    network = ExportedNetwork(load_network(model), data.normalize, data.num_channels).eval()
    scenes, noise = _scenes(model), _noise(model)
    facts = _metadata(model, kind)
    content = _encode(kind, network, scenes, facts)
    difference = max(
        _check(kind, content, network, images) for images in (scenes, noise, scenes[:1])
    )
    class_ids = kind.outputs(content, scenes)[1]
    storage.replace(name, content)
    return {
        **facts,
        "out": out,
        "bytes": len(content),
        "largest_difference": difference,
        "tolerance": TOLERANCE,
        "same_classes_as_predict": _share_alike(model, scenes, class_ids),
    }


@before_work("--out")
def _open_place(out: str, kind: Format, run_uri: str) -> tuple[Storage, str]:
    """Return the storage and the name of the new file."""
    if not out.endswith(kind.suffix):
        raise ConfigError(
            f"--out {out!r}: files of --format {kind.name} are named *{kind.suffix}; "
            "give such a name"
        )
    check_apart(out, run_uri, ())
    folder, _, name = out.rpartition("/")
    folder = folder or ("/" if out.startswith("/") else ".")
    check_writable(folder, key="--out")
    storage = Storage(folder)
    if storage.exists(name):
        raise ConfigError(f"--out {out!r}: exists already; remove it, or give another name")
    return storage, name


def _metadata(model: TakenModel, kind: Format) -> dict[str, Any]:
    """Return what a user of the file must know."""
    described = describe(model)
    height, width = model.size
    return {
        **described,
        "run": posixpath.basename(model.run_uri.rstrip("/")),
        "class_names": list(model.class_names),
        "colors": [list(color) for color in model.colors],
        "format": kind.name,
        "input": (
            f"images: {np.dtype(_input_type(model))} (batch, {height}, {width}, "
            f"{model.config.data.num_channels}), {_scaled(model)}; {_resized(model)}"
        ),
        "normalize": (
            f"{model.config.data.normalize}, within the model: give pixels as they are read"
        ),
        "output": (
            f"logits: float32 (batch, {len(model.class_names)}, {height}, {width}); class_ids: "
            f"uint8 (batch, {height}, {width}); for another size, scale the logits bilinearly and "
            "take the class of the highest"
        ),
        "made_by": "ray_al",
    }


def _resized(model: TakenModel) -> str:
    """Return what is to be done with images of other sizes."""
    data = model.config.data
    if data.tile is None:
        return "scale other sizes to this one, bilinearly with antialiasing"
    return (
        f"cut larger images into tiles of this size that share at least {data.overlap} pixels, do "
        "not scale them, and use of each tile's output the part nearest to its middle"
    )


def _encode(
    kind: Format, network: ExportedNetwork, example: np.ndarray, facts: dict[str, Any]
) -> bytes:
    try:
        return kind.encode(network, torch.from_numpy(example), facts)
    except Exception as error:  # exporters raise nearly every kind of exception over a network
        text = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"--format {kind.name}: PyTorch cannot export this network "
            f"({type(error).__name__}: {text}); try another format"
        ) from error


def _check(kind: Format, data: bytes, network: ExportedNetwork, images: np.ndarray) -> float:
    """Return the largest difference of a logit, as a share of the largest logit.

    Raises:
        RayALError: it is above `TOLERANCE`, or classes differ where logits are not nearly equal.
    """
    with torch.inference_mode():
        expected = network(torch.from_numpy(images))[0].numpy()
    logits, class_ids = kind.outputs(data, images)
    scale = max(1.0, float(np.abs(expected).max()))
    difference = float(np.abs(logits - expected).max()) / scale
    chosen = np.take_along_axis(expected, class_ids[:, None].astype(np.int64), axis=1)[:, 0]
    lost = float((expected.max(axis=1) - chosen).max()) / scale
    if not max(difference, lost) <= TOLERANCE:  # nan must not pass
        raise RayALError(
            f"--format {kind.name}: the exported file gives logits that differ from the network's "
            f"by {max(difference, lost):.2g} of the largest, {TOLERANCE:g} is allowed; "
            "nothing was written; try another format"
        )
    return difference


def _input_type(model: TakenModel) -> type[np.generic]:
    """Return the type of the pixels that the file takes: bytes for photographs."""
    return np.uint8 if PixelRule.of(model.config.data).is_plain else np.float32


def _scaled(model: TakenModel) -> str:
    """Return what the channels are, and how the values of files become the input."""
    rule = PixelRule.of(model.config.data)
    if rule.is_plain:
        return "red first, 0 to 255"
    low, high = rule.value_range or ("the least", "the greatest value of the file's type")
    chosen = rule.channels if isinstance(rule.channels, tuple) else "all"
    return f"0 to 255 (channels {chosen} of the file; {low} becomes 0 and {high} becomes 255)"


def _scenes(model: TakenModel) -> np.ndarray:
    """Return drawn scenes, (N, H, W, K); they have edges and even areas, as photos do."""
    drawn = (draw_scene(0, "val", number)[0] for number in range(NUM_SCENES))
    scenes = np.stack([resize_image(image, model.size) for image in drawn])
    channels = np.arange(model.config.data.num_channels) % scenes.shape[3]
    return np.ascontiguousarray(scenes[..., channels].astype(_input_type(model)))


def _noise(model: TakenModel) -> np.ndarray:
    rng = generator("images of noise")
    shape = (NUM_SCENES, *model.size, model.config.data.num_channels)
    return rng.integers(0, 256, shape, dtype=np.uint8).astype(_input_type(model))


def _share_alike(model: TakenModel, images: np.ndarray, class_ids: np.ndarray) -> float:
    """Return the share of pixels whose class is the one that `ray-al predict` gives."""
    predictor = Predictor(model)
    own = [predictor.class_ids(predictor.scores([image])[0], model.size) for image in images]
    return float(np.mean(np.stack(own) == class_ids))
