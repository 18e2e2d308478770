"""What a label costs, in each unit that a budget may have.

A query is paid for twice: `upper_bound` is reserved when the region is chosen and nobody has seen its label, `actual` is spent when the
label is there, and the rest refunded. actual <= upper_bound always.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ray_al.label.kinds import Label
from ray_al.label.polygon import boundary_clicks


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A region that is asked about, before its label is known.

    Attributes:
        kind: kind of label, a key of KINDS.
        num_pixels: native pixels of the region, void included.
        num_classes: classes of the data set.
        cap: most clicks of a dense label (label.max_clicks).
        image_index: its image.
        opened: images of which a region was asked about before, in this query or an earlier one.
    """

    kind: str
    num_pixels: int
    num_classes: int
    cap: int
    image_index: int
    opened: Set[int]


def regions(asked: Asked) -> int:
    """1."""
    return 1


def pixels(asked: Asked) -> int:
    """Native pixels of the region, void included."""
    return asked.num_pixels


def images(asked: Asked) -> int:
    """1 for the first region of an image that is ever asked about, 0 for every other."""
    return int(asked.image_index not in asked.opened)


def clicks_upper_bound(kind: str, num_pixels: int, num_classes: int, cap: int) -> int:
    """The most clicks that a label of `kind` can cost.

    A dense label of n pixels has at most n components, and its n pixels at most 2n - 2 pairs of neighbours, so that the ends of label
    edges, 4n - 4, are no fewer than crossings and vertices together: 5n - 4 clicks, a bound for the smallest regions only.
    """
    if kind == "dominant":
        return 1
    return min(num_classes, num_pixels) if kind == "classes" else min(cap, 5 * num_pixels - 4)


def clicks(kind: str, label: Label, region: np.ndarray | None, cap: int) -> int:
    """The clicks that a label cost.

    `dominant`: 1. `classes`: one a class present (MulActSeg, `fair_counting` in its code), and 1 for "nothing here". `dense`: RevSpx's
    polygon cost, at most `cap`.

    Args:
        kind: a key of KINDS.
        label: the label, as that kind gives it.
        region: bool (h, w), or None where the region fills its box; looked at for a dense label only.
        cap: most clicks of a dense label: there an annotator stops. What lies beyond is a label that nobody paid for, so that a curve
            against clicks flatters dense labels where many regions reach the cap.
    """
    if isinstance(label, np.ndarray):
        return min(cap, polygon_clicks(label, region))
    return max(1, len(label)) if isinstance(label, tuple) else 1


def polygon_clicks(ids: np.ndarray, region: np.ndarray | None = None) -> int:
    """c_c + c_i + c_p of "rectangle + polygon" (RevSpx: Cai et al., CVPR 2021), in clicks.

    c_c: connected components of the label, diagonal neighbours together, void components too: a click each for the class. c_i: crossings
    of label boundaries and the region's outline. c_p: polygon vertices strictly inside.

    Confirmed from RevSpx's code: the sum, the neighbourhood, that void is counted, that vertices on the outline are not. There c_p counts
    the vertices of the data set's own polygons, of each object's anew; masks have none, so here they are approximated (`polygon.TOLERANCE`)
    and neighbours share them. There c_i leaves out the first pair of pixels of each side of the box; here every pair counts, and for a
    region that is no rectangle its outline takes the place of the box. Not confirmed: what the paper says of void and of shared vertices.

    Args:
        ids: uint8 (h, w), class ids of the region's box, 255 for void.
        region: bool (h, w), or None where the region fills its box.
    """
    mask = np.ones(ids.shape, dtype=bool) if region is None else region
    square = np.ones((3, 3), dtype=bool)
    components = sum(int(ndimage.label((ids == value) & mask, structure=square)[1]) for value in np.unique(ids[mask]))
    return components + sum(boundary_clicks(ids, region))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A row of the table: `actual` takes the region, its label and its mask (None where it fills its box)."""

    paper: str
    upper_bound: Callable[[Asked], int]
    actual: Callable[[Asked, Label, np.ndarray | None], int]


def _known(cost: Callable[[Asked], int], paper: str) -> Cost:
    return Cost(paper=paper, upper_bound=cost, actual=lambda asked, label, region: cost(asked))


COSTS: Mapping[str, Cost] = {
    "regions": _known(regions, "EquAL: Golestaneh and Kitani, BMVC 2020"),
    "pixels": _known(pixels, "ViewAL: Siddiqui et al., CVPR 2020"),
    "images": _known(images, "whole images; DEAL: Xie et al., ACCV 2020"),
    "clicks": Cost(
        paper="RevSpx: Cai et al., CVPR 2021; MulActSeg: Hwang et al., NeurIPS 2023",
        upper_bound=lambda asked: clicks_upper_bound(asked.kind, asked.num_pixels, asked.num_classes, asked.cap),
        actual=lambda asked, label, region: clicks(asked.kind, label, region, asked.cap),
    ),
}
