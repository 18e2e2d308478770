"""Predictions: which images are found, how files are named, what the forms hold."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image

from ray_al.cli.predict import FORM_NAMES, FORMAT_NAMES
from ray_al.core.errors import ConfigError
from ray_al.core.types import FileRef
from ray_al.predict.choose import TakenModel
from ray_al.predict.formats import FORMATS
from ray_al.predict.forms import FORMS, Prediction, overlay
from ray_al.predict.inputs import Source, assign_names, check_apart, find_images
from ray_al.predict.network import highest
from ray_al.predict.output import Output

COLORS = ((10, 20, 30), (200, 100, 0), (0, 255, 255))


def model(digest: str = "ab") -> TakenModel:
    return TakenModel(
        run_uri="/runs/first",
        origin="cycle 3",
        weights=FileRef(path="cycles/0003/checkpoint/model.pt", size=1, sha256=digest),
        config_json='{"data": {"image_size": [16, 24]}}',
        class_names=("sky", "road", "car"),
        colors=COLORS,
        miou=0.5,
    )


def prediction() -> Prediction:
    ids = np.array([[0, 1, 1], [2, 2, 1]], dtype=np.uint8)
    probabilities = torch.nn.functional.one_hot(torch.from_numpy(ids).long()).permute(2, 0, 1)
    image = np.full((2, 3, 3), 100, dtype=np.uint8)
    return Prediction(image=image, class_ids=ids, probabilities=probabilities.float())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.png", "b.JPG", "deep/a.png", ".hidden.png", "notes.txt"):
        file = tmp_path / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not looked at")
    return tmp_path / "photos"


def test_the_command_offers_every_form_and_format() -> None:
    assert tuple(FORMS) == FORM_NAMES
    assert tuple(FORMATS) == FORMAT_NAMES


def test_a_folder_stands_for_the_pictures_below_it(photos: Path) -> None:
    found = find_images([str(photos)])
    assert [one.wish for one in found] == ["a", "b", "deep/a"]
    assert [one.uri for one in found] == [
        str(photos / name) for name in ("a.png", "b.JPG", "deep/a.png")
    ]


def test_links_that_lead_round_in_a_circle_end(photos: Path) -> None:
    (photos / "self").symlink_to(photos)
    (photos / "deep" / "up").symlink_to("..")
    (photos / "me.png").symlink_to("me.png")
    assert [one.wish for one in find_images([str(photos)])] == ["a", "b", "deep/a", "me"]


def test_patterns_and_files_are_found_and_each_image_counts_once(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    by_pattern = find_images([str(photos / "**" / "*.png")])
    assert sorted(one.wish for one in by_pattern) == ["a", "deep/a"]
    twice = find_images(["deep/a.png", str(photos / "deep"), "notes.txt"])
    assert [one.uri for one in twice] == [str(photos / "deep/a.png"), str(photos / "notes.txt")]


def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "x[1].png").write_bytes(b"1")
    (tmp_path / "x1.png").write_bytes(b"1")
    assert [one.wish for one in find_images([str(tmp_path / "x[1].png")])] == ["x[1]"]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("none.png", "no such file"),
        ("empty", "no image is in this folder"),
        ("*.tif", "no file matches"),
        ("nosuch://bucket/a.png", "unknown protocol"),
    ],
)
def test_places_without_images_are_refused(tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    given = place if "://" in place else str(tmp_path / place)
    with pytest.raises(ConfigError, match=words):
        find_images([given])


def test_images_in_a_bucket_are_found(photos: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/predict-bucket/in/../up/x.png", b"1")
    memory.pipe("/predict-bucket/in/y.png", b"1")
    try:
        assert [one.wish for one in find_images(["memory://predict-bucket/in"])] == ["_/up/x", "y"]
        one = find_images(["memory://predict-bucket/in/y*.png"])
        assert [(one.uri, one.wish) for one in one] == [("memory://predict-bucket/in/y.png", "y")]
    finally:
        memory.rm("/predict-bucket", recursive=True)


def test_equal_names_stay_apart_and_names_stay_as_they_were() -> None:
    first, second = Source(uri="/a/x.png", wish="x"), Source(uri="/b/x.png", wish="x")
    both = assign_names([first, second], {})
    assert both["/a/x.png"] == "x"
    assert both["/b/x.png"].startswith("x-")
    assert assign_names([second, first], both) == both
    later = assign_names([second], {"/a/x.png": "x"})
    assert later["/b/x.png"] == both["/b/x.png"]


def test_names_that_leave_no_room_for_suffixes_are_cut() -> None:
    wishes = ["deep/" + "ü" * 120 + end for end in "ab"]
    sources = [Source(uri=f"/{wish}.png", wish=wish) for wish in wishes]
    names = list(assign_names(sources, {}).values())
    assert len(set(names)) == 2
    assert all(name.startswith("deep/üü") and len(name.encode()) < 180 for name in names)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_classes_are_those_of_all_scores_resized_together(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 7, 9, 12).contiguous(memory_format=layout)
    scores[:, 5] = scores[:, 2]  # equal scores
    for size in ((9, 12), (31, 50), (4, 5)):
        resized = torch.nn.functional.interpolate(
            scores, size=size, mode="bilinear", align_corners=False
        )
        assert torch.equal(highest(scores[0], size), resized[0].argmax(0).to(torch.uint8))


@pytest.mark.parametrize(
    ("out", "place", "words"),
    [
        ("run/predictions", "photos", "run directory"),
        ("photos/out", "photos", "take predictions for images"),
        ("photos/out", "photos/*.png", "take predictions for images"),
        ("photos/deep/../out", "photos/deep/../*.png", "take predictions for images"),
        ("out", "out/overlay", "where predictions are written"),
        ("out", "out/ids/a.png", "where predictions are written"),
    ],
)
def test_outputs_in_inputs_are_refused(photos: Path, out: str, place: str, words: str) -> None:
    root = photos.parent
    with pytest.raises(ConfigError, match=words):
        check_apart(str(root / out), str(root / "run"), [str(root / place)])


def test_a_folder_next_to_an_image_may_be_the_output(photos: Path) -> None:
    (photos / "x[1].png").write_bytes(b"1")
    places = [str(photos / name) for name in ("a.png", "x[1].png")]
    check_apart(str(photos / "out"), "/runs/first", places)
    with pytest.raises(ConfigError, match="run directory"):
        check_apart(f"file://{photos}/out", str(photos), places)


def test_ids_and_colors_hold_the_class_ids() -> None:
    ids = Image.open(io.BytesIO(FORMS["ids"].encode(prediction(), model())))
    assert ids.mode == "L"
    assert np.array_equal(np.array(ids), prediction().class_ids)
    colors = Image.open(io.BytesIO(FORMS["colors"].encode(prediction(), model())))
    assert colors.mode == "P"
    assert np.array_equal(np.array(colors), prediction().class_ids)
    shown = np.array(colors.convert("RGB"))
    assert np.array_equal(shown, np.array(COLORS, dtype=np.uint8)[prediction().class_ids])


def test_probabilities_are_an_archive_of_halves() -> None:
    archive = np.load(io.BytesIO(FORMS["probabilities"].encode(prediction(), model())))
    assert archive["probabilities"].dtype == np.float16
    assert np.array_equal(archive["probabilities"].argmax(0), prediction().class_ids)
    assert list(archive["class_names"]) == ["sky", "road", "car"]


def test_an_overlay_mixes_image_and_colours_and_darkens_borders() -> None:
    mixed = overlay(prediction().image, prediction().class_ids, COLORS)
    assert mixed[1, 2].tolist() == [150, 100, 50]
    assert mixed[0, 0].max() < 40
    picture = Image.open(io.BytesIO(FORMS["overlay"].encode(prediction(), model())))
    assert (picture.format, picture.size) == ("JPEG", (3, 2))


def test_the_output_remembers_names_that_no_table_would_expect(tmp_path: Path) -> None:
    output = Output.open(str(tmp_path / "out"), model())
    names = {'/a/"x",\n.png': 'x",', "/b/\udcff.png": "\udcff"}
    output.begin(model(), names)
    assert Output.open(str(tmp_path / "out"), model()).names() == names


def test_a_prediction_is_done_once_all_its_forms_are_written(tmp_path: Path) -> None:
    output = Output.open(str(tmp_path / "out"), model())
    output.write("ids", "deep/a", b"1")
    output.write("ids", "b", b"1")
    output.write("overlay", "deep/a", b"1")
    assert output.done(["ids"]) == {"deep/a", "b"}
    assert output.done(["ids", "overlay"]) == {"deep/a"}
    assert output.done(["probabilities"]) == set()


def test_folders_of_others_are_no_output(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="has not made"):
        Output.open(str(tmp_path), model())
    Output.open(str(tmp_path / "out"), model()).begin(model(), {})
    with pytest.raises(ConfigError, match="another model \\(cycle 3 of /runs/first\\)"):
        Output.open(str(tmp_path / "out"), model("cd"))
    (tmp_path / "out" / "model.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        Output.open(str(tmp_path / "out"), model())


def test_an_overlay_is_scaled_down_to_what_jpeg_can_hold() -> None:
    prediction = Prediction(
        image=np.zeros((4, 70_000, 3), np.uint8),
        class_ids=np.zeros((4, 70_000), np.uint8),
        probabilities=None,
    )
    model = cast(TakenModel, SimpleNamespace(colors=((1, 2, 3),)))
    with Image.open(io.BytesIO(FORMS["overlay"].encode(prediction, model))) as picture:
        assert picture.size == (35_000, 2)
