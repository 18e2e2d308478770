"""Files that are damaged after a run was created: labels stay, and what is lost is said."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.extended_runs import configure_five, done, stop_after
from helpers.run_reading import state_of
from PIL import Image

from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def write_text(file: Path) -> None:
    file.write_text("not a picture")


def shrink(file: Path) -> None:
    with Image.open(file) as image:
        image.load()
    image.resize((image.width // 2, image.height // 2)).save(file)


DAMAGE = {"cut": cut, "gone": Path.unlink, "text": write_text, "smaller": shrink}
QUICK = {("train", "cut"), ("trainannot", "gone"), ("valannot", "smaller")}
SAID = {
    "train": "of 8 pool images, which cannot be used",
    "trainannot": "refused train/",
    "val": "error: ",
    "valannot": "error: ",
}


def combinations() -> Iterator[object]:
    """Yield each kind of file with each kind of damage; most of them are slow tests."""
    for folder in SAID:
        for name in DAMAGE:
            marks = () if (folder, name) in QUICK else pytest.mark.slow
            yield pytest.param(folder, DAMAGE[name], marks=marks, id=f"{folder} {name}")


@pytest.mark.parametrize(("folder", "damage"), combinations())
def test_what_was_labelled_stays_and_what_is_lost_is_said(
    folder: str, damage: Callable[[Path], None], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = {"max_quarantined": 0.5}
    run = create_run(configure_five(root, scoring=scoring), str(root / "run"))
    stop_after(9, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        run_loop(run)
    monkeypatch.undo()
    files = sorted((root / "data" / folder).iterdir())[1:4]
    kept = {file: file.read_bytes() for file in files}
    for file in files:
        damage(file)
    is_validation = folder.startswith("val")
    code = (2 if damage is Path.unlink else 1) if is_validation else 0
    assert SAID[folder] in done("resume", run, code=code)
    done("verify", run)
    assert state_of(run).labelled_regions >= 4
    for file, content in kept.items():
        file.write_bytes(content)
    assert "finished" in done("resume", run)
    done("verify", run)
    assert state_of(run).labelled_regions == 12
