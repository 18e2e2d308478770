"""What `ray-al doctor` finds wrong, each time with the remedy."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers.commands import invoke

from ray_al import doctor
from ray_al.core.config import parse_config
from ray_al.doctor import CheckResult


def test_an_old_python_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ray_al.doctor.sys", SimpleNamespace(version_info=(3, 10, 4), version="3.10.4 (main)")
    )
    assert doctor._python() == CheckResult(False, "3.10.4", "install Python 3.11 or newer")


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_a_missing_package_is_found(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    finding = doctor._torch()
    assert not finding.ok
    assert package in finding.found
    assert "pip install 'torch>=" in finding.remedy


@pytest.mark.parametrize(
    ("version", "ok"), [("2.59.9", False), ("2.60.0", True), ("3.0.0rc1", True), ("1.99.0", False)]
)
def test_an_old_ray_is_found(monkeypatch: pytest.MonkeyPatch, version: str, ok: bool) -> None:
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(__version__=version))
    finding = doctor._ray()
    assert (finding.ok, finding.found) == (ok, version)
    assert finding.remedy == "pip install 'ray[default,data,train,tune]>=2.60'"


def test_a_place_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    place = tmp_path / "runs"
    place.write_text("a file where run directories belong")
    finding = doctor._storage(str(place))
    assert not finding.ok
    assert finding.found == f"{place} is not a folder"
    assert finding.remedy


def test_a_configuration_whose_data_is_missing_is_found(tmp_path: Path) -> None:
    data = {"dataset": "camvid", "root": str(tmp_path / "nowhere")}
    finding = doctor._features(parse_config({"data": data}, source="c.yaml"), str(tmp_path))
    assert (finding.ok, finding.remedy) == (False, "correct the configuration")
    assert "nowhere" in finding.found


@pytest.mark.parametrize("as_json", [True, False])
def test_any_failure_ends_the_command_with_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, as_json: bool
) -> None:
    monkeypatch.setenv("RAY_AL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(doctor, "_torch", lambda: CheckResult(False, "no torch", "install it"))
    monkeypatch.setattr(doctor, "_ray", lambda: CheckResult(True, "9.9", "never shown"))
    result = invoke("doctor", *(["--json"] if as_json else []))
    assert result.exit_code == 1
    assert "never shown" not in result.output
    if as_json:
        (failed,) = [row for row in json.loads(result.output) if not row["ok"]]
        assert failed == {
            "check": "torch",
            "ok": False,
            "found": "no torch",
            "remedy": "install it",
        }
    else:
        (line,) = [line for line in result.output.splitlines() if "no torch" in line]
        assert "FAIL" in line and "install it" in result.output
