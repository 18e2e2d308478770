"""The sections `data` and `features`: the images, and features that a frozen backbone computes."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ray_al.core.config.mask_values import MaskSuffix, MaskValues
from ray_al.core.config.pixels import (
    ChannelChoice,
    DisplayChannels,
    NoData,
    Normalize,
    ValueRange,
    check_display,
    check_normalize,
    number_of_channels,
    shown_positions,
)
from ray_al.core.config.tiles import check_tiles, seen_at_tile_size
from ray_al.core.config.values import (
    NO_VALIDATION,
    Byte,
    ClassName,
    Side,
    SplitName,
    ValSplit,
    parse_share,
)
from ray_al.core.families.layouts import LAYOUTS, Layout
from ray_al.core.section import Section, Seed
from ray_al.core.variants import STORES, VIEWS, Store, View


class DataConfig(Section):
    """The images and masks.

    The network sees images at `image_size`; labels stay in native pixels.
    """

    dataset: Annotated[Layout, LAYOUTS] = Field(default_factory=lambda: LAYOUTS.parse("synthetic"))
    """Layout of the files: camvid, cityscapes, voc, coco, labelme, folder, synthetic, or a class of
    your own.
    """
    root: Annotated[str, Field(min_length=1)] | None = None
    """Folder or URI of the images and masks; a relative path starts at the folder of the
    configuration file.
    """
    image_size: tuple[Side, Side] = (120, 160)
    """Height and width in pixels to which images are scaled for training and scoring."""
    tile: tuple[Side, Side] | None = None
    """Height and width in pixels of the tiles into which large images are divided; the network sees
    them at native size, and each is an image of the pool. `null` keeps images whole.
    """
    tile_overlap: Annotated[int, Field(ge=0, le=2**13)] | None = None
    """Least number of pixels that neighbouring tiles share, so that no prediction lies at a border;
    `null` takes an eighth of the shorter side of a tile.
    """
    channels: ChannelChoice = None
    """Channels of the files that the network sees: `all`, a list of numbers from 0, or `null` for
    greyscale and colour images. A number says how many channels `all` must find in every image.
    """
    value_range: ValueRange | None = None
    """Smallest and largest value of the files, which become black and white; `null` takes the
    range of the type, for integers of 8 and 16 bits. Values a little outside are clipped.
    """
    nodata: NoData | None = None
    """Value of pixels without data, or `nan`; labels of such pixels are ignored."""
    display_channels: DisplayChannels = None
    """Numbers of the one or three channels that people are shown; `null` takes the first three of
    `channels`, or the first one.
    """
    normalize: Normalize = "imagenet"
    """How channels are normalized: by ImageNet's mean and standard deviation, by a mean and a
    standard deviation of each channel (`{mean: [...], std: [...]}`, where 0 is black and 1 is
    white), by those `measured` on a sample of the pool when the run is made, or not at all
    (`none`).
    """
    class_names: Annotated[tuple[ClassName, ...], Field(min_length=1)] | None = None
    """Names of the classes, starting with class id 0; null takes those of the layout."""
    colors: Annotated[tuple[tuple[Byte, Byte, Byte], ...], Field(min_length=1)] | None = None
    """Red, green and blue of each class, in the order of the classes; null takes the layout's."""
    mask_values: MaskValues = None
    """What the values of masks mean: the name of a class, or `ignore`, for each id or colour; or a
    file with such a table below the root, such as CVAT's labelmap.txt.
    """
    mask_suffix: MaskSuffix | None = None
    """What the names of masks add to those of images, such as `_mask`, or a pattern such as
    `mask_{stem}`.
    """
    mask_encoding: Literal["ids", "colors"] = "ids"
    """Whether the pixels of masks hold class ids or colours."""
    ignore_ids: tuple[Byte, ...] = ()
    """Ids in masks that mean void: these pixels are neither trained on nor evaluated."""
    nearest_color: bool = False
    """Whether a colour that belongs to no class is read as the nearest class colour; for masks with
    lossy compression or smoothed edges.
    """
    allow: tuple[
        Literal["absent_class", "missing_class", "shared_images", "shifted_ids", "unmatched_names"],
        ...,
    ] = ()
    """Findings of `ray-al datasets check` that are intended and must not stop a run."""
    train_split: SplitName = "train"
    """Name of the split whose images form the pool."""
    val_split: ValSplit = "val"
    """Images on which models are evaluated in every cycle: the name of a split; a share of the
    pool's images with masks such as `10 %` (with `label.validation`, of all its images), which
    leaves the pool and is drawn by their names; or `none`, and nothing is evaluated.
    """
    test_split: SplitName = "test"
    """Name of the split on which measured models are also tested, if the data set has it."""
    cache_gb: Annotated[float, Field(ge=0, le=1e6)] = 1.0
    """Memory in GiB in which each process may keep decoded images and masks."""
    num_images: Annotated[int, Field(ge=1, le=1_000_000)] = 48
    """Number of images in the pool of the synthetic data set; a third as many are drawn for
    validation.
    """
    seed: Seed = 0
    """Seed of the synthetic scenes only; runs with different run seeds share the same data."""

    @model_validator(mode="before")
    @classmethod
    def _sees_tiles(cls, values: object) -> object:
        return seen_at_tile_size(values)

    @model_validator(mode="after")
    def _fits_the_tiles(self) -> "DataConfig":
        check_tiles(self.tile, self.tile_overlap, self.image_size)
        return self

    @model_validator(mode="after")
    def _fits_the_channels(self) -> "DataConfig":
        check_display(self.channels, self.display_channels)
        check_normalize(self.channels, self.normalize)
        return self

    @property
    def overlap(self) -> int:
        """The least number of pixels that neighbouring tiles share; 0 without tiles."""
        if self.tile is None:
            return 0
        return min(self.tile) // 8 if self.tile_overlap is None else self.tile_overlap

    @property
    def num_channels(self) -> int:
        """The number of channels that the network sees; `all` must have been counted before."""
        return number_of_channels(self.channels)

    @property
    def shown_positions(self) -> tuple[int, ...]:
        """Which of these channels people are shown: one position or three."""
        return shown_positions(self.channels, self.display_channels)

    @property
    def has_validation(self) -> bool:
        """Return whether models are evaluated on validation images."""
        return self.val_split != NO_VALIDATION

    @property
    def val_share(self) -> float | None:
        """Return the share of the pool that is drawn for validation; None if none is drawn."""
        if not self.val_split.endswith("%"):
            return None
        return parse_share(self.val_split, name="data.val_split")


class FeaturesConfig(Section):
    """Settings of the features that a frozen backbone computes once per image and view."""

    views: tuple[Annotated[View, VIEWS], ...] = Field(
        default_factory=lambda: tuple(
            VIEWS.parse({"kind": kind}) for kind in ("mirror", "crop", "crop")
        ),
        validate_default=False,
    )
    """Changed views of each image that are trained on in addition to the image itself; each is
    drawn once.
    """
    store: Annotated[Store, STORES] = Field(
        default_factory=lambda: STORES.parse({"kind": "files"}), validate_default=False
    )
    """Where computed features are kept."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 8
    """Number of images that pass through the backbone together."""
