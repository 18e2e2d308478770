"""Which validation images people are asked for, and what is refused before a run begins."""

import logging

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from helpers.people import truth_of, validating, write_masks, write_pool
from PIL import Image

from ray_al.cli import main
from ray_al.core.config import parse_config
from ray_al.core.errors import ConfigError, DataError
from ray_al.core.types import LABEL_SCHEMA, ImageFile
from ray_al.datasets import check_start, open_dataset
from ray_al.datasets.compose import encode_mask
from ray_al.datasets.masks import read_mask
from ray_al.datasets.validation import draw_validation
from ray_al.driver.check_validation import check_validation_labels
from ray_al.driver.checks import check_config
from ray_al.driver.validation_labels import composed, mask_question, says_nothing


@pytest.fixture
def bare_pool(tmp_path):
    write_pool(tmp_path)
    return tmp_path


def opened(config):
    return open_dataset(config.data, asks_people=config.label.validation)


def image_ids(images):
    return [image.image_id for image in images]


def test_images_without_masks_are_drawn_if_people_are_asked():
    images = [ImageFile(image_id=f"{number}.png", uri=f"{number}.png") for number in range(300)]
    _, drawn = draw_validation(images, 0.3, "30 %", asks_people=True)
    masked = [ImageFile(image_id=one.image_id, uri=one.uri, mask_uri="m") for one in images]
    assert image_ids(drawn) == image_ids(draw_validation(masked, 0.3, "30 %")[1])
    with pytest.raises(ConfigError, match=r"set label\.validation=true to have people label"):
        draw_validation(images, 0.3, "30 %")
    with pytest.raises(ConfigError, match=r"of 300 images, drawn by their names, is none; raise"):
        draw_validation(images, 1e-9, "0 %", asks_people=True)


def test_only_images_without_masks_are_asked_for(bare_pool, caplog):
    config = validating(bare_pool)
    dataset = opened(config)
    drawn = image_ids(dataset.splits["val"])
    assert dataset.unlabelled == set(drawn)
    assert not set(drawn) & set(image_ids(dataset.splits["train"]))
    check_start(dataset)
    write_masks(bare_pool, drawn[:1])
    assert opened(config).unlabelled == set(drawn[1:])
    assert opened(config).digest("val") == dataset.digest("val")
    write_masks(bare_pool, drawn)
    assert opened(config).unlabelled == frozenset()
    with caplog.at_level(logging.WARNING):
        check_config(config)
    assert f"nobody is asked, because all {len(drawn)} validation images have masks" in caplog.text


def test_a_split_of_its_own_can_be_labelled_by_people(bare_pool):
    (bare_pool / "data/images/val").mkdir()
    for number in (30, 31):
        name = f"im{number}.png"
        photo = np.full((24, 32, 3), number, np.uint8)
        Image.fromarray(photo).save(bare_pool / "data/images/val" / name)
    config = validating(bare_pool, data={"val_split": "val"})
    dataset = opened(config)
    assert dataset.unlabelled == {"images/val/im30.png", "images/val/im31.png"}
    check_start(dataset)
    bare = validating(bare_pool, data={"val_split": "val"}, label={"validation": False})
    with pytest.raises(ConfigError, match=r"has no mask; add it, set label\.validation=true"):
        check_start(opened(bare))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"label": {"validation": True}}, r"label\.annotator=simulated only reads masks"),
        (
            {
                "label": {"validation": True, "annotator": "files"},
                "data": {"val_split": "none"},
            },
            r"data\.val_split is none; draw some from the pool",
        ),
    ],
)
def test_settings_that_ask_nobody_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        check_validation_labels(parse_config(settings, source="test"))


def test_the_check_of_a_data_set_knows_that_people_will_label(bare_pool):
    values = {
        "data": {
            "dataset": "folder",
            "root": str(bare_pool / "data"),
            "class_names": ["sky", "road", "grass"],
            "val_split": "30 %",
        },
        "label": {"annotator": "files", "validation": True},
    }
    config = bare_pool / "run.yaml"
    config.write_text(yaml.safe_dump(values))
    result = CliRunner().invoke(main, ["datasets", "check", str(config), "--json"])
    assert result.exit_code == 0, result.output
    setting = "label.validation=false"
    result = CliRunner().invoke(main, ["datasets", "check", str(config), "--set", setting])
    assert result.exit_code == 2 and "label.validation=true" in result.output
    assert "Traceback" not in result.output


def test_masks_of_people_are_read_by_class_id(bare_pool, tmp_path):
    """Whatever the data set's own masks would mean by the same values."""
    config = validating(bare_pool, data={"mask_values": {7: "sky", 8: "road", 9: "grass"}})
    dataset = opened(config)
    image = dataset.splits["val"][0]
    path = tmp_path / "mask.png"
    Image.fromarray(truth_of(image.image_id)).save(path)
    with pytest.raises(DataError):
        read_mask(str(path), dataset.decoder_of(image))
    labelled = dataset.with_masks({image.image_id: str(path)})
    (again,) = [one for one in labelled.splits["val"] if one.mask_uri]
    ids = read_mask(str(again.mask_uri), labelled.decoder_of(again))
    assert np.array_equal(ids, truth_of(image.image_id))


def test_the_question_is_a_mask_with_all_of_its_clicks():
    config = parse_config({"label": {"kind": "dominant", "annotator": "files"}}, source="test")
    question = mask_question(config)
    assert (question.kind, question.answer_ending) == ("dense", "mask.png")
    checks = np.indices((40, 40)).sum(0).astype(np.uint8) % 2
    assert question.clicks(checks, None) > 500


def row_of(ids: np.ndarray, **changes):
    values = dict.fromkeys((field.name for field in LABEL_SCHEMA), None)
    return {**values, "box": [0, 0, 4, 6], "mask": encode_mask(ids), **changes}


def test_only_masks_of_whole_images_are_taken():
    mask = np.full((4, 6), 255, np.uint8)
    assert says_nothing(composed(row_of(mask), 4, 6))
    mask[0, 0] = 2
    assert np.array_equal(composed(row_of(mask), 4, 6), mask)
    for changes in ({"box": [0, 0, 2, 6]}, {"mask": None}, {"classes": [1]}):
        with pytest.raises(DataError, match="not a mask of the box"):
            composed(row_of(mask, **changes), 4, 6)
    with pytest.raises(DataError, match="not a mask of the box"):
        composed(row_of(mask[:2]), 4, 6)
