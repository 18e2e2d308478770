"""The clicks that outlining a region's label takes."""

import numpy as np
from scipy import ndimage

from ray_al.label.polygon import boundary_clicks


def polygon_clicks(ids: np.ndarray, region: np.ndarray | None = None) -> int:
    """Return the clicks of a label by "rectangle + polygon" (RevSpx: Cai et al., CVPR 2021).

    The cost is c_c + c_i + c_p:

    - c_c: connected components of the label, including void ones, with diagonal neighbours
      connected. Each takes a click for its class.
    - c_i: crossings of label boundaries with the region's outline.
    - c_p: polygon vertices strictly inside the region.

    Confirmed from RevSpx's code: the sum, the neighbourhood, that void is counted, and that
    vertices on the outline are not. Two things differ. In c_p, RevSpx counts the vertices of the
    data set's own polygons, separately for each object; masks have none, so here they are
    approximated (`polygon.TOLERANCE`), and neighbours share them. In c_i, RevSpx leaves out the
    first pair of pixels of each side of the box; here every pair counts, and the outline of a
    region that is not a rectangle replaces the box. Not confirmed: what the paper says about void
    and about shared vertices.

    Args:
        ids: uint8 (h, w), class ids of the region's box, 255 for void.
        region: bool (h, w), or None if the region fills its box.
    """
    mask = np.ones(ids.shape, dtype=bool) if region is None else region
    square = np.ones((3, 3), dtype=bool)
    components = sum(
        int(ndimage.label((ids == value) & mask, structure=square)[1])
        for value in np.unique(ids[mask])
    )
    return components + sum(boundary_clicks(ids, region))
