"""The clicks of drawing a region's label: crossings of its outline, and vertices inside.

Pixels are unit squares. A *label edge* is the side of unit length between two neighbouring pixels
of the region whose labels differ; its ends are lattice points (y, x), the corners of pixels. A
lattice point is inside if all four pixels around it belong to the region, otherwise it lies on the
outline. Void is a label like any other: people draw its boundary too.
"""

from collections import defaultdict

import numpy as np

Point = tuple[int, int]
"""(y, x) of a lattice point."""
Graph = dict[Point, list[Point]]
"""Lattice point -> the other ends of its label edges."""

TOLERANCE = 2**0.5
"""Largest distance, in pixels, of a boundary from its polygon.

The lattice points along a straight line lie within half of it on either side. So it is the least
tolerance with which a straight line has no vertices of its own, and with which the vertices of a
mask that was drawn as polygons are found again. It is not calibrated against the clicks of people.
"""


def boundary_clicks(ids: np.ndarray, region: np.ndarray | None = None) -> tuple[int, int]:
    """Count the crossings and vertices of the label's boundaries.

    Args:
        ids: uint8 (h, w), class ids of the region's box.
        region: bool (h, w), or None if the region fills its box.

    Returns:
        The number of points of the outline that a label boundary reaches, and the number of polygon
        vertices strictly inside. Two neighbours share the vertices of their common boundary; a
        point at which three or more boundaries meet is one vertex; a closed boundary has at least
        three.
    """
    mask = np.ones(ids.shape, dtype=bool) if region is None else region
    graph = _label_edges(ids, mask)
    around = np.pad(mask, 1)
    inside = around[:-1, :-1] & around[:-1, 1:] & around[1:, :-1] & around[1:, 1:]
    crossings = [point for point in graph if not inside[point]]
    junctions = [point for point in graph if inside[point] and len(graph[point]) > 2]
    return len(crossings), len(junctions) + _chain_vertices(graph, {*crossings, *junctions})


def _label_edges(ids: np.ndarray, mask: np.ndarray) -> Graph:
    """Return the graph of label edges, in a fixed order."""
    graph: Graph = defaultdict(list)
    upright = (ids[:, 1:] != ids[:, :-1]) & mask[:, 1:] & mask[:, :-1]
    level = (ids[1:] != ids[:-1]) & mask[1:] & mask[:-1]
    edges = [((y, x + 1), (y + 1, x + 1)) for y, x in np.argwhere(upright).tolist()]
    edges += [((y + 1, x), (y + 1, x + 1)) for y, x in np.argwhere(level).tolist()]
    for a, b in sorted(edges):
        graph[a].append(b)
        graph[b].append(a)
    return dict(graph)


def _chain_vertices(graph: Graph, ends: set[Point]) -> int:
    """Count the vertices of all boundaries, open and closed.

    Open boundaries run between two of `ends`, which are not counted; closed ones have no end.
    """
    used: set[frozenset[Point]] = set()
    total = 0
    for start in [*sorted(ends), *sorted(graph.keys() - ends)]:
        for following in graph[start]:
            if frozenset((start, following)) in used:
                continue
            chain = _trace(graph, ends, start, following)
            used.update(map(frozenset, zip(chain, chain[1:], strict=False)))
            kept = _num_kept(np.array(chain, dtype=np.float64))
            is_closed = chain[-1] == start
            total += max(kept, 2) if is_closed else kept
            if start not in ends:
                total += 1
    return total


def _trace(graph: Graph, ends: set[Point], start: Point, following: Point) -> list[Point]:
    """Return the boundary from `start` through `following` to the next end, or back to `start`."""
    chain = [start, following]
    while chain[-1] not in ends and chain[-1] != start:
        a, b = graph[chain[-1]]
        chain.append(b if a == chain[-2] else a)
    return chain


def _num_kept(points: np.ndarray) -> int:
    """Count the points that Douglas and Peucker (1973) keep at TOLERANCE, without the two ends.

    It is written out here because no required dependency simplifies polygons. OpenCV, which is
    optional, has `approxPolyDP`; on smooth random masks its counts differ for about one boundary in
    seven, so labels would cost other numbers of clicks.

    Args:
        points: float (n, 2), along the boundary.
    """
    kept = 0
    stack = [(0, len(points) - 1)]
    while stack:
        first, last = stack.pop()
        if last - first < 2:
            continue
        distances = _distances(points[first + 1 : last], points[first], points[last])
        farthest = int(distances.argmax())
        if distances[farthest] > TOLERANCE + 1e-9:
            kept += 1
            middle = first + 1 + farthest
            stack += [(first, middle), (middle, last)]
    return kept


def _distances(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance, float (n,), of each point, float (n, 2), from a segment.

    The ends `a` and `b` of the segment may be one point.
    """
    along = b - a
    length = max(float(along @ along), 1e-12)
    share = ((points - a) @ along / length).clip(0, 1)
    distances: np.ndarray = np.linalg.norm(points - a - share[:, None] * along, axis=1)
    return distances
