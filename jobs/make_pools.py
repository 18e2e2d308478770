r"""Make pools to try strategies on from an existing data set.

python jobs/make_pools.py redundant --set data.dataset=camvid --set data.root=/data/camvid \
    --out /data/redundant
python jobs/make_pools.py hold-out --set data.dataset=camvid --set data.root=/data/camvid \
    --out /data/tune

`redundant` writes a pool in which images repeat, as they do in pools from video. A tenth of the
training images (`--once`), drawn at random, occur once, and every other one four times
(`--copies`): unchanged, and in small crops under other light. A strategy that pays for the same
thing four times loses there. Masks are cropped like their images. Validation and test images stay
as they were.

`hold-out` splits the training images: every fourth one (`--every`) becomes a validation image, the
others are the pool. Settings tuned there have seen nothing of the validation set that is reported.
Images are links to the files of the data set, which therefore has to stay in its place.

Both write a data set of kind `folder`, with masks of class ids (255: no label), and print the
section `data` that reads it. The same seed gives the same pool.
"""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ray_al.core.config import DataConfig, apply_setting, parse_config, parse_override
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.types import IGNORE_INDEX, ImageFile
from ray_al.datasets import Dataset, open_dataset
from ray_al.datasets.images import read_image
from ray_al.datasets.masks import read_mask


def main(arguments: list[str] | None = None) -> None:
    """Write the pool that the command line names, and print its section `data`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    redundant = commands.add_parser(
        "redundant", help="images that repeat in small crops and other light"
    )
    redundant.add_argument(
        "--copies", type=int, default=4, help="of an image that repeats, itself included"
    )
    redundant.add_argument(
        "--once", type=float, default=0.1, help="share of the images that do not repeat"
    )
    redundant.add_argument(
        "--crop", type=float, default=0.85, help="least share of each side that a crop keeps"
    )
    redundant.add_argument(
        "--light", type=float, default=0.2, help="largest change of brightness and contrast"
    )
    redundant.add_argument(
        "--images", type=int, help="training images to make it from, drawn at random (all)"
    )
    redundant.add_argument("--seed", type=int, default=0)
    hold_out = commands.add_parser(
        "hold-out", help="every fourth training image becomes a validation image"
    )
    hold_out.add_argument("--every", type=int, default=4)
    for command in (redundant, hold_out):
        command.add_argument(
            "--set", action="append", default=[], metavar="data.KEY=VALUE", dest="settings"
        )
        command.add_argument(
            "--out", type=Path, required=True, help="a folder that does not exist yet"
        )
    options = parser.parse_args(arguments)
    try:
        data = (
            write_redundant(options) if options.command == "redundant" else write_hold_out(options)
        )
    except RayALError as error:
        parser.error(str(error))
    print("data:", json.dumps(data))


def _open(options: argparse.Namespace) -> Dataset:
    """The data set that the pool is made from, once it is sure that `--out` is free."""
    if options.out.exists():
        raise ConfigError(f"--out {options.out}: exists; give a folder that does not")
    values: dict[str, object] = {"data": {}}
    for text in options.settings:
        keys, value = parse_override(text)
        apply_setting(values, ".".join(keys), value, folder=os.getcwd())
    return open_dataset(parse_config(values, source="--set").data)


def write_redundant(options: argparse.Namespace) -> dict[str, object]:
    """Write the pool in which images repeat; what the section `data` of a run on it holds.

    Raises:
        ConfigError: a number that makes no pool, or a folder that is there.
    """
    if options.copies < 2:
        raise ConfigError(f"--copies {options.copies}: an image that repeats occurs at least twice")
    if not (0 <= options.once <= 1 and 0 < options.crop <= 1 and 0 <= options.light < 1):
        raise ConfigError(
            f"--once {options.once}, --crop {options.crop}, --light {options.light}: "
            "give shares from 0 to 1"
        )
    dataset = _open(options)
    images = dataset.splits["train"]
    names = _names(images)
    rng = np.random.default_rng(options.seed)
    count = len(images) if options.images is None else options.images
    if not 1 <= count <= len(images):
        raise ConfigError(f"--images {count}: the training split has {len(images)}")
    drawn = np.sort(rng.permutation(len(images))[:count])
    single = set(rng.permutation(drawn)[: round(count * options.once)].tolist())
    for index in drawn.tolist():
        image, mask = read_image(images[index].uri), _mask(dataset, images[index])
        _write(options.out, "train", names[index], image, mask)
        for copy in range(1, 1 if index in single else options.copies):
            own = np.random.default_rng([options.seed, index, copy])
            changed = change(image, mask, own, crop=options.crop, light=options.light)
            _write(options.out, "train", f"{names[index]}-copy{copy}", *changed)
    for split in set(dataset.splits) - {"train"}:
        others = dataset.splits[split]
        for name, file in zip(_names(others), others, strict=True):
            _write(options.out, split, name, read_image(file.uri), _mask(dataset, file))
    return _section(dataset, options.out)


def change(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, *, crop: float, light: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a random part of an image and of its mask, enlarged to the image's size.

    The image is put under other light as well.

    Args:
        image: uint8 (height, width, 3).
        mask: uint8 (height, width).
        crop: least share of each side that is kept.
        light: contrast (around the image's mean) and brightness are multiplied by up to
            1 +- `light`.
    """
    height, width = mask.shape
    kept = rng.uniform(crop, 1)
    rows, columns = max(1, round(kept * height)), max(1, round(kept * width))
    top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
    contrast, brightness = rng.uniform(1 - light, 1 + light, 2)
    part = image[top : top + rows, left : left + columns].astype(np.float64)
    lit = ((part - part.mean()) * contrast + part.mean()) * brightness
    lit_image = Image.fromarray(np.clip(np.rint(lit), 0, 255).astype(np.uint8))
    part_of_mask = Image.fromarray(mask[top : top + rows, left : left + columns])
    return (
        np.asarray(lit_image.resize((width, height), Image.Resampling.BILINEAR)),
        np.asarray(part_of_mask.resize((width, height), Image.Resampling.NEAREST)),
    )


def write_hold_out(options: argparse.Namespace) -> dict[str, object]:
    """Write the data set in which every `--every`th training image is a validation image.

    Returns:
        The section `data` that reads it.

    Raises:
        ConfigError: too few images, images that are on no disk, or a folder that is there.
    """
    if options.every < 2:
        raise ConfigError(f"--every {options.every}: give 2 or more to leave a pool")
    dataset = _open(options)
    images = dataset.splits["train"]
    if len(images) < options.every:
        raise ConfigError(
            f"--every {options.every}: the training split has {len(images)} images only; lower it"
        )
    lines: dict[str, list[str]] = {"train": [], "val": []}
    for index, (name, file) in enumerate(zip(_names(images), images, strict=True)):
        if not os.path.exists(file.uri):
            raise ConfigError(
                f"{file.uri}: is no file on a disk, to which a link could lead; "
                "copy the data set first"
            )
        link = options.out / "images" / f"{name}{Path(file.uri).suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.abspath(file.uri))
        _write_mask(options.out / "masks" / f"{name}.png", _mask(dataset, file))
        lines["val" if index % options.every == options.every - 1 else "train"].append(name)
    for split, names in lines.items():
        (options.out / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return _section(dataset, options.out)


def _names(files: Sequence[ImageFile]) -> list[str]:
    """Return a name for each image of a split that is unique in one folder.

    The name is the path below the common folder of all images, without suffix.

    Raises:
        ConfigError: two would have the same name.
    """
    common = os.path.commonpath([os.path.dirname(file.image_id) for file in files])
    names = [
        os.path.splitext(os.path.relpath(file.image_id, common))[0].replace(os.sep, "_")
        for file in files
    ]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"two images would both be called {twice[0]!r} in one folder; rename one of them"
        )
    return names


def _mask(dataset: Dataset, file: ImageFile) -> np.ndarray:
    if file.mask_uri is None:
        raise ConfigError(
            f"{file.uri}: has no mask; a pool to try strategies on needs one for each image"
        )
    return read_mask(file.mask_uri, dataset.decoder)


def _write(root: Path, split: str, name: str, image: np.ndarray, mask: np.ndarray) -> None:
    path = root / "images" / split / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    _write_mask(root / "masks" / split / f"{name}.png", mask)


def _write_mask(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)


def _section(dataset: Dataset, out: Path) -> dict[str, object]:
    """The keys of `data` by which a run reads what was written to `out`."""
    values: dict[str, object] = {
        "dataset": "folder",
        "root": str(out),
        "class_names": list(dataset.class_names),
    }
    values["colors"] = [list(color) for color in dataset.colors]
    values["ignore_ids"] = [IGNORE_INDEX]
    return DataConfig.model_validate(values).model_dump(mode="json", include=set(values))


if __name__ == "__main__":
    main()
