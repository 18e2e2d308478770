import numpy as np
import pytest
from PIL import Image

from ray_al.core.errors import DataError
from ray_al.core.types import Box
from ray_al.datasets.compose import compose_mask, encode_mask
from ray_al.datasets.images import read_image, read_image_size
from ray_al.datasets.masks import MaskDecoder, read_mask, read_mask_size

IDS = np.array([[0, 1, 2], [2, 255, 1]], np.uint8)
PLAIN = MaskDecoder(num_classes=3)


def test_ids_in_every_form(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "l.png")
    palette = Image.fromarray(IDS).convert("P")
    palette.putdata(IDS.ravel().tolist())
    palette.putpalette([200, 10, 10] * 256)
    palette.save(tmp_path / "p.png")
    Image.fromarray(IDS.astype(np.uint16)).save(tmp_path / "i16.png")
    Image.fromarray(IDS).save(tmp_path / "l.tif")
    Image.fromarray(IDS).save(tmp_path / "l.bmp")
    np.save(tmp_path / "n.npy", IDS)
    for name in ("l.png", "p.png", "i16.png", "l.tif", "l.bmp", "n.npy"):
        assert read_mask(str(tmp_path / name), PLAIN).tolist() == IDS.tolist(), name
        assert read_mask_size(str(tmp_path / name)) == (2, 3)


def test_one_bit(tmp_path):
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "b.png")
    assert read_mask(str(tmp_path / "b.png"), PLAIN).tolist() == [[1, 0]]


def test_colours(tmp_path):
    colors = ((0, 0, 0), (255, 0, 0))
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 0], [1, 0, 0]]], np.uint8)).save(
        tmp_path / "c.png"
    )
    decoder = MaskDecoder(num_classes=2, encoding="colors", colors=colors)
    with pytest.raises(DataError, match=r"c.png: colour \(1, 0, 0\) on 1 pixels"):
        read_mask(str(tmp_path / "c.png"), decoder)
    nearest = MaskDecoder(num_classes=2, encoding="colors", colors=colors, nearest_color=True)
    assert read_mask(str(tmp_path / "c.png"), nearest).tolist() == [[1, 0, 0]]


def test_unknown_id_names_file_value_and_count_and_a_box_sees_only_itself(tmp_path):
    Image.fromarray(np.array([[0, 9], [1, 9]], np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(DataError, match="m.png: id 9 on 2 pixels"):
        read_mask(str(tmp_path / "m.png"), PLAIN)
    assert read_mask(
        str(tmp_path / "m.png"), PLAIN, box=Box(top=0, left=0, bottom=2, right=1)
    ).tolist() == [[0], [1]]


def test_jpeg_masks_are_refused(tmp_path):
    Image.fromarray(IDS).save(tmp_path / "m.jpg")
    with pytest.raises(DataError, match="lossy JPEG"):
        read_mask(str(tmp_path / "m.jpg"), PLAIN)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P"])
def test_images_of_every_mode_are_rgb(tmp_path, mode):
    path = tmp_path / ("i.tif" if mode == "CMYK" else "i.png")
    Image.new("RGB", (5, 4), (10, 200, 30)).convert(mode).save(path)
    assert read_image(str(path)).shape == (4, 5, 3)


def test_exif_rotation(tmp_path):
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "r.jpg", exif=exif)
    assert read_image_size(str(tmp_path / "r.jpg")) == (6, 4)
    assert read_image(str(tmp_path / "r.jpg")).shape == (6, 4, 3)


def test_a_cut_off_image_is_named(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50, 3), np.uint8)).save(
        tmp_path / "x.png"
    )
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:500])
    with pytest.raises(DataError, match=r"x\.png"):
        read_image(str(tmp_path / "x.png"))


def test_a_label_is_never_overwritten_by_no_label():
    box = Box(top=0, left=0, bottom=1, right=2)
    parts = [
        (box, encode_mask(np.array([[1, 2]], np.uint8))),
        (box, encode_mask(np.array([[255, 0]], np.uint8))),
    ]
    assert compose_mask(parts, 2, 2).tolist() == [[1, 0], [255, 255]]
