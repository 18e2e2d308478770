"""`ray-al config`: the reference of all settings."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ray_al.cli import main
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.reference import build_schema, reference_text, schema_of
from ray_al.sweep.config import SweepConfig


def test_a_setting_is_shown_with_type_range_and_default() -> None:
    text = reference_text(RunConfig, "features.batch_size")
    assert text.splitlines() == [
        "features.batch_size",
        "  whole number from 1 to 4096; default: 8",
        "  Images that pass the backbone together.",
    ]


def test_variants_are_listed_below_their_key_with_their_own_settings() -> None:
    lines = [line.strip() for line in reference_text(RunConfig, "regions").splitlines()]
    assert lines.index("regions: {kind: grid}") < lines.index("regions.rows")
    assert lines.index("regions: {kind: superpixels}") < lines.index("regions.compactness")
    assert lines[1].startswith("kind: grid, image, superpixels, pixels, windows, or package.module")


def test_a_setting_that_variants_share_is_shown_for_each() -> None:
    text = reference_text(RunConfig, "model.head.maps")
    assert text.count("model.head.maps\n") == 2  # of lraspp and of linear


def test_the_whole_reference_names_every_section_and_no_line_is_long() -> None:
    text = reference_text(RunConfig)
    for name in RunConfig.model_fields:
        assert f"\n{name}\n" in f"\n{text}\n"
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("key, near", [("modl", "model"), ("train.stepss", "train.steps")])
def test_an_unknown_key_is_refused_with_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{near}'"):
        reference_text(RunConfig, key)
    result = CliRunner().invoke(main, ["config", key])
    assert result.exit_code == 2 and near in result.output


def test_the_schema_holds_defaults_that_a_factory_makes() -> None:
    properties = build_schema(RunConfig)["properties"]
    assert properties["regions"]["default"] == {"kind": "grid", "rows": 5, "columns": 5}
    assert schema_of(RunConfig, "train.batch_size")["maximum"] == 65_536


def test_a_sweep_file_has_a_reference_too() -> None:
    result = CliRunner().invoke(main, ["config", "--sweep", "limits.hours"])
    assert result.exit_code == 0 and result.output.startswith("limits.hours\n")
    facts = json.loads(CliRunner().invoke(main, ["config", "--sweep", "--json"]).output)
    assert facts["properties"].keys() == SweepConfig.model_fields.keys()


def test_the_command_does_not_import_ray() -> None:
    code = "import sys; from ray_al.cli import main; main(['config', '--json'], standalone_mode=False); assert 'ray' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
