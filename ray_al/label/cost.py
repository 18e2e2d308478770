"""The clicks that outlining a region's label takes."""

import numpy as np
from scipy import ndimage

from ray_al.label.polygon import boundary_clicks


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
    components = sum(
        int(ndimage.label((ids == value) & mask, structure=square)[1])
        for value in np.unique(ids[mask])
    )
    return components + sum(boundary_clicks(ids, region))
