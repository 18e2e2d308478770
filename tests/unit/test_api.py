"""The Python door: names are exported lazily, and mistakes are refused as by the commands."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT

import ray_al
from ray_al import api
from ray_al.core.errors import ConfigError, RayALError

README = ROOT / "README.md"


def in_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_package_exports_the_door_and_the_errors() -> None:
    for name in ray_al.__all__:
        exported = getattr(ray_al, name)
        if isinstance(exported, type) and issubclass(exported, Exception):
            assert issubclass(exported, RayALError)
        else:
            assert exported is getattr(api, name)
    assert set(ray_al.__all__) <= set(dir(ray_al))


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'ray_al' has no attribute 'runn'"):
        ray_al.runn  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_loads_nothing_and_takes_little_time() -> None:
    code = (
        "import time, sys; before = time.process_time(); import ray_al; "
        "heavy = {'torch', 'ray', 'numpy', 'pydantic', 'ray_al.api'} & set(sys.modules); "
        "print(time.process_time() - before, sorted(heavy))"
    )
    seconds, loaded = zip(*(in_new_process(code).split(maxsplit=1) for _ in range(3)), strict=True)
    assert set(loaded) == {"[]"}
    assert min(map(float, seconds)) < 0.1


def test_a_configuration_is_read_from_a_file_or_from_keys_and_values(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("{regions: {rows: 3}, train: {steps: 7}}")
    expected = api.load_config(tmp_path / "c.yaml", ["train.batch_size=4"])
    values = {"regions.rows": 3, "train": {"steps": 7}}
    assert api.load_config(values, ["train.batch_size=4"]) == expected
    assert values == {"regions.rows": 3, "train": {"steps": 7}}


def test_relative_paths_of_keys_and_values_start_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert api.load_config({"data": {"root": "pool"}}).data.root == str(tmp_path / "pool")


def test_a_wrong_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="steps"):
        api.load_config({"train": {"stepz": 7}})


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a run directory"):
        api.open_run(str(tmp_path / "none"))
    (tmp_path / "sweep.yaml").write_text("name: s")
    with pytest.raises(ConfigError, match="a sweep directory"):
        api.open_run(str(tmp_path))


@pytest.mark.parametrize(
    "options, word", [({"allow": ["train.stepz"]}, "train.steps"), ({"out": "file/x"}, "file")]
)
def test_a_comparison_refuses_what_it_cannot_use(
    options: dict[str, object], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=word):
        api.compare_runs(["runs"], **{"out": "new", **options})  # type: ignore[arg-type]


def test_the_readme_uses_names_that_exist() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    nodes = [node for block in blocks for node in ast.walk(ast.parse(block))]
    used = [node for node in nodes if isinstance(node, ast.Attribute)]
    places = [(node.value.id, node.attr) for node in used if isinstance(node.value, ast.Name)]
    assert ("ray_al", "run") in places
    for name, attribute in places:
        if name == "ray_al":
            assert attribute in ray_al.__all__
        elif name == "run":
            assert attribute in {*dir(api.Run), *api.Run.__dataclass_fields__}
        elif name == "sweep":
            assert attribute in {*dir(api.Sweep), *api.Sweep.__dataclass_fields__}
