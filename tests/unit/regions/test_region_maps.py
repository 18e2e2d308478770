import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.seeding import generator
from ray_al.regions.maps import MAP_SCHEMA, MapPart, MapRegions, decode_map, encode_map, maps_table


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (40, 31)])
@pytest.mark.parametrize("high", [1, 300, 65536])
def test_a_map_comes_back_from_its_bytes(size, high):
    region_map = generator(size, high).integers(0, high, size, dtype=np.int32)
    region_map[-1, -1] = high - 1
    back = decode_map(encode_map(region_map))
    assert back.dtype == np.int32
    assert (back == region_map).all()
    assert encode_map(back) == encode_map(region_map)


@pytest.mark.parametrize("value", [-1, 65536])
def test_ids_that_do_not_fit_are_refused(value):
    with pytest.raises(DataError, match=str(value)):
        encode_map(np.array([[0, value]], dtype=np.int32))


def test_other_bytes_are_refused():
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(buffer, format="PNG")
    with pytest.raises(DataError, match="mode L"):
        decode_map(buffer.getvalue())
    for data in (
        b"",
        b"abc",
        encode_map(generator("cut").integers(0, 99, (50, 50), dtype=np.int32))[:300],
    ):
        with pytest.raises(DataError, match="cannot be read"):
            decode_map(data)


def test_regions_of_a_map_by_hand():
    regions = MapRegions(np.array([[0, 0, 1], [2, 0, 1], [2, 2, 1]], dtype=np.int32))
    assert regions.boxes.tolist() == [[0, 0, 2, 2], [0, 2, 3, 3], [1, 0, 3, 2]]
    assert regions.num_pixels.tolist() == [3, 3, 3]
    assert regions.mask(0).tolist() == [[True, True], [False, True]]
    assert regions.mask(1) is None


@pytest.mark.parametrize(
    "region_map, message", [([[0, 2]], "none of its pixels is 1"), ([[-1, 0]], "holds id -1")]
)
def test_ids_with_gaps_are_refused(region_map, message):
    with pytest.raises(DataError, match=message):
        MapRegions(np.array(region_map, dtype=np.int32))


def test_a_part_gives_any_of_its_maps():
    region_map = {
        index: (np.arange(12, dtype=np.int32).reshape(3, 4) // (index + 1)) for index in (5, 2, 9)
    }
    table = maps_table((index, f"i{index}.png", values) for index, values in region_map.items())
    assert table.schema == MAP_SCHEMA
    assert table.column("image_id").to_pylist() == ["i5.png", "i2.png", "i9.png"]
    assert table.column("num_regions").to_pylist() == [2, 4, 2]
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    part = MapPart(buffer.getvalue())
    for index, values in region_map.items():
        assert (decode_map(part.map(index)) == values).all()
    with pytest.raises(DataError, match="image 3 has no map among the 3"):
        part.map(3)


def test_an_empty_part():
    assert maps_table([]).schema == MAP_SCHEMA
    assert len(maps_table([])) == 0
