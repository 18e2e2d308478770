"""Every view passes one suite, a user's own too.

Above all, labels that are painted into an image are found at the right feature cells of the view.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from helpers.own_variants import own
from PIL import Image
from pydantic import ValidationError

from ray_al.core.config import RunConfig, parse_config
from ray_al.core.errors import ConfigError
from ray_al.core.plain import load_yaml
from ray_al.core.variants import VIEWS, View
from ray_al.features.source import FeatureSource

STRIDE = 4
INSIDE, OUTSIDE = (180, 175, 170), (70, 60, 75)
"""Colours that no change of light drives to black or white, where values would be cut off."""
ROUNDING = 0.02
"""Tolerance of a cell's colour share: 8-bit pixels and bf16 maps, over the colours' distance."""
EDGE = 0.5 / STRIDE + 0.1
"""Of a cell's share, along one edge: the label of the nearest pixel ends up to half a pixel beside
the edge, and bilinear scaling by up to 2 blurs the edge into the cell beside it."""


@dataclass(frozen=True)
class UpsideDown:
    size: tuple[int, int]

    def apply(self, image):
        return np.ascontiguousarray(image[::-1])

    def source_index(self):
        return np.arange(np.prod(self.size), dtype=np.int32).reshape(self.size)[::-1]


class UpsideDownView(View):
    """A view of a user's own, with a change that the package does not know."""

    def draw(self, name, size):
        return UpsideDown(size)


OWN = f"{__name__}:UpsideDownView"
EVERY = {
    **{kind: {"kind": kind} for kind in [*VIEWS.kinds, OWN, *own("features.views")]},
    "geometry alone": {"kind": "crop", "contrast": 0, "shift": 0},
    "twice as large": {"kind": "crop", "scale": [2, 2], "mirror": False},
    "a cut that is no cut": {"kind": "crop", "scale": [1, 1]},
}
every_view = pytest.mark.parametrize("view", EVERY.values(), ids=EVERY)
NAMES = [f"image-{number}" for number in range(8)]


def source_of(folder, view, size) -> FeatureSource:
    config = parse_config(
        {
            "data": {"image_size": size, "normalize": "none"},
            "model": {
                "kind": "composed",
                "backbone": {"kind": "helpers.tiny_backbones:MeanBackbone", "stride": STRIDE},
            },
            "features": {"views": [view], "store": {"kind": "none"}},
        },
        source="test",
    )
    rows = [{"image_id": name, "uri": str(folder / f"{name}.png")} for name in NAMES]
    return FeatureSource(config, str(folder), "val", rows)


def paint(folder, size) -> np.ndarray:
    """Images with one block each; their labels, (N, H, W), 1 in the block."""
    labels = np.zeros((len(NAMES), *size), dtype=np.uint8)
    for number, name in enumerate(NAMES):
        top, left = 9 + number, 13 + number
        labels[number, top : top + 23, left : left + 31] = 1
        colors = np.where(labels[number][..., None] == 1, np.uint8(INSIDE), np.uint8(OUTSIDE))
        Image.fromarray(colors).save(folder / f"{name}.png")
    return labels


def cell_means(pixels: np.ndarray) -> np.ndarray:
    height, width = (side // STRIDE for side in pixels.shape)
    cells = pixels[: height * STRIDE, : width * STRIDE].reshape(height, STRIDE, width, STRIDE)
    return cells.mean((1, 3))


def shares_seen(source: FeatureSource, number: int, view: int, pure: np.ndarray) -> np.ndarray:
    """The share of each cell that shows the block, by the features.

    Args:
        pure: the share by labels, where that is 0 or 1 around a cell; else nan.
    """
    (maps,) = source.layout.unpack(source.records([number], view))
    values = maps[0].float().mean(0).numpy()
    inside, outside = np.median(values[pure == 1]), np.median(values[pure == 0])
    return (values - outside) / (inside - outside)


def pure_cells(labels: np.ndarray) -> np.ndarray:
    """0 or 1 of cells that have one label, with all pixels around them too; else nan.

    At the border of a view nobody sees what lies around a cell.
    """
    shifts = [(row, column) for row in (-2, 0, 2) for column in (-2, 0, 2)]
    shifted = [cell_means(np.roll(labels.astype(float), shift, (0, 1))) for shift in shifts]
    low, high = np.min(shifted, 0), np.max(shifted, 0)
    pure = np.full(low.shape, np.nan)
    pure[1:-1, 1:-1] = np.where(low == high, low, np.nan)[1:-1, 1:-1]
    return pure


def middle(shares: np.ndarray) -> np.ndarray:
    """Of the block, in pixels."""
    rows, columns = np.indices(shares.shape)
    return np.array([(shares * rows).sum(), (shares * columns).sum()]) / shares.sum() * STRIDE


@pytest.mark.parametrize("size", [(48, 64), (60, 80)], ids=str)
@every_view
def test_painted_labels_are_found_at_their_cells(tmp_path, view, size):
    labels, source = paint(tmp_path, size), source_of(tmp_path, view, size)
    offsets = []
    for number in range(len(NAMES)):
        gathered = labels[number].ravel()[source.draw(number, 1).source_index()]
        expected, pure = cell_means(gathered), pure_cells(gathered)
        if not (pure == 1).any() or not (pure == 0).any():
            continue  # the window shows the block alone, or none of it
        seen, known = shares_seen(source, number, 1, pure), ~np.isnan(pure)
        assert np.abs(seen - expected)[known].max() <= ROUNDING
        assert np.abs(seen - expected).max() <= 2 * EDGE + ROUNDING  # a corner lies on two edges
        offsets.append(middle(seen.clip(0, 1)) - middle(expected))
    assert len(offsets) >= 4
    assert np.abs(offsets).max() <= 0.6
    assert np.abs(np.mean(offsets, 0)).max() <= 0.25  # roundings cancel out; a shift would not


@pytest.mark.parametrize("view", ["mirror", "color", "a cut that is no cut", OWN])
def test_views_that_scale_nothing_are_exact(tmp_path, view):
    size = (48, 64)
    labels, source = paint(tmp_path, size), source_of(tmp_path, EVERY[view], size)
    for number in range(len(NAMES)):
        gathered = labels[number].ravel()[source.draw(number, 1).source_index()]
        seen = shares_seen(source, number, 1, pure_cells(gathered))
        assert np.abs(seen - cell_means(gathered)).max() <= ROUNDING


def test_the_image_itself_is_the_first_view(tmp_path):
    labels, source = paint(tmp_path, (48, 64)), source_of(tmp_path, EVERY["crop"], (48, 64))
    seen = shares_seen(source, 2, 0, pure_cells(labels[2]))
    assert np.abs(seen - cell_means(labels[2])).max() <= ROUNDING
    assert np.array_equal(source.draw(2, 0).source_index().ravel(), np.arange(48 * 64))


def seen_of(draw, image) -> tuple[np.ndarray, np.ndarray]:
    return draw.apply(image), draw.source_index()


@every_view
def test_draws_follow_from_the_name_the_size_and_the_settings_alone(view):
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for name in NAMES:
        one, again = (VIEWS.parse(view).draw(name, (12, 16)) for _ in range(2))
        assert all(map(np.array_equal, seen_of(one, image), seen_of(again, image)))


@every_view
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_view_has_the_shape_of_its_image_and_points_at_pixels_of_it(view, channels, dtype):
    image = np.random.default_rng(0).uniform(0, 255, (12, 17, channels)).astype(dtype)
    before = image.copy()
    shown, index = seen_of(VIEWS.parse(view).draw("image-0", (12, 17)), image)
    assert np.array_equal(image, before)
    assert (shown.shape, shown.dtype) == (image.shape, image.dtype)
    assert shown.min() >= 0 and shown.max() <= 255
    assert index.shape == (12, 17) and np.issubdtype(index.dtype, np.integer)
    assert index.min() >= 0 and index.max() < 12 * 17


@every_view
def test_a_configuration_comes_back_from_its_file(view):
    config = parse_config({"features": {"views": [view]}}, source="test")
    assert config.features.views == (VIEWS.parse(view),)
    assert parse_config(load_yaml(config.to_yaml(), source="test"), source="test") == config


def test_draws_differ_by_image_and_by_the_place_among_the_views(tmp_path):
    source = source_of(tmp_path, EVERY["crop"], (48, 64))
    again = FeatureSource(
        source.config.model_copy(update={"seed": 9}), "elsewhere", "val", source.rows
    )
    draws = [source.draw(number, 1) for number in range(len(NAMES))]
    assert draws == [again.draw(number, 1) for number in range(len(NAMES))]
    assert len(set(draws)) == len(draws)
    twice = source_of(tmp_path, EVERY["crop"], (48, 64)).config.features.model_copy(
        update={"views": source.config.features.views * 2}
    )
    both = FeatureSource(
        source.config.model_copy(update={"features": twice}), "elsewhere", "val", source.rows
    )
    assert both.draw(0, 1) != both.draw(0, 2)


@pytest.mark.parametrize(
    ("view", "words"),
    [
        ({"kind": "crops"}, "did you mean 'crop'"),
        ({"kind": "mirror", "scale": [1, 2]}, "scale"),
        ({"kind": "crop", "scale": [0.5, 1]}, "scale"),
        ({"kind": "color", "contrast": 1}, "contrast"),
        ({"kind": f"{__name__}:UpsideDown"}, "not a subclass of ray_al.core.variants.View"),
    ],
    ids=str,
)
def test_wrong_views_are_refused(view, words):
    with pytest.raises((ConfigError, ValidationError), match=words):
        parse_config(
            {**RunConfig().model_dump(mode="json"), "features": {"views": [view]}}, source="test"
        )
