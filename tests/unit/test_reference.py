"""`ray-al config`: the reference of all settings."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from helpers.paths import ROOT

from ray_al.cli import main
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.family import Family
from ray_al.core.section import Section
from ray_al.reference import build_schema, reference_text, schema_of
from ray_al.sweep.config import SweepConfig

JOBS = ROOT / "jobs"


def test_a_setting_is_shown_with_type_range_and_default() -> None:
    text = reference_text(RunConfig, "features.batch_size")
    assert text.splitlines() == [
        "features.batch_size",
        "  whole number from 1 to 4096; default: 8",
        "  Number of images that pass through the backbone together.",
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


def _sections(schema: Any) -> Iterator[dict[str, Any]]:
    """All sections and variants inside a schema, itself included."""
    if isinstance(schema, list):
        for one in schema:
            yield from _sections(one)
    elif isinstance(schema, dict):
        own_class = "pattern" in schema.get("properties", {}).get("kind", {})
        if isinstance(schema.get("properties"), dict) and not own_class:
            yield schema
        for one in schema.values():
            yield from _sections(one)


@pytest.mark.parametrize("model", [RunConfig, SweepConfig])
def test_every_setting_and_every_variant_is_described(model: type[Section]) -> None:
    missing = []
    for section in _sections(build_schema(model)):
        for key, schema in section["properties"].items():
            # What the kind of a variant means is the description of the variant.
            described = section if key == "kind" and "const" in schema else schema
            if not described.get("description"):
                missing.append(f"{section['title']}.{key}")
    assert not missing


def test_every_kind_of_every_family_is_in_the_schema() -> None:
    modules = [module for name, module in sys.modules.items() if name.startswith("ray_al.core")]
    values = itertools.chain.from_iterable(vars(module).values() for module in modules)
    families = [value for value in values if isinstance(value, Family)]
    titles = {section["title"] for section in _sections(build_schema(RunConfig))}
    assert len({family.key for family in families}) >= 15
    for family in families:
        assert {family.find(kind).__name__ for kind in family.kinds} <= titles, family.key
        assert family.base.model_fields["kind"].description, family.key


@pytest.mark.parametrize("path", sorted(JOBS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_files_of_jobs_fit_the_schema(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema comes with Ray")
    values = yaml.safe_load(path.read_text())
    model = SweepConfig if "space" in values or "base" in values else RunConfig
    jsonschema.Draft202012Validator(build_schema(model)).validate(values)
