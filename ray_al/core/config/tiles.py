"""Check the settings of tiles, `data.tile` and `data.tile_overlap`."""

from collections.abc import Mapping


def seen_at_tile_size(values: object) -> object:
    """Return the section `data` with the size of tiles for `image_size`, unless that is set."""
    if not isinstance(values, Mapping) or values.get("tile") is None:
        return values
    return {"image_size": values["tile"], **values}


def check_tiles(
    tile: tuple[int, int] | None, overlap: int | None, image_size: tuple[int, int]
) -> None:
    """Refuse settings of tiles that contradict each other.

    Raises:
        ValueError: with what to change.
    """
    if tile is None:
        if overlap is not None:
            raise ValueError(
                f"tile_overlap={overlap}: images are not divided into tiles; set "
                "data.tile=[HEIGHT, WIDTH], or leave tile_overlap out"
            )
        return
    if image_size != tile:
        raise ValueError(
            f"image_size={list(image_size)}: the network sees tiles at native size, and data.tile "
            f"is {list(tile)}; leave image_size out"
        )
    if overlap is not None and 2 * overlap > min(tile):
        raise ValueError(
            f"tile_overlap={overlap}: is more than half of a tile ({list(tile)} pixels); lower it"
        )
