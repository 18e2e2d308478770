"""The guide for contributors names what is there, and every family of variants."""

import importlib
import re

import pytest
from helpers import own_variants
from helpers.paths import ROOT

from ray_al.core.family import Family

GUIDE = (ROOT / "ray_al" / "README.md").read_text()
GUIDES = [
    path
    for folder in (".", "jobs", "tests", "ray_al", "ray_al/*")
    for path in sorted(ROOT.glob(f"{folder}/*.md"))
]
ROWS = [re.findall(r"`([^`]+)`", line) for line in GUIDE.splitlines() if line.startswith("| `")]
FAMILY_ROWS = [row for row in ROWS if len(row) == 4]
DECLARED = [
    "ray_al.core.variants",
    *(
        f"ray_al.core.families.{path.stem}"
        for path in (ROOT / "ray_al/core/families").glob("[!_]*.py")
    ),
]


def test_places_that_the_guide_names_are_there():
    places = re.findall(r"`((?:ray_al|tests)/[^`]+)`", GUIDE)
    assert len(places) >= 3 * len(FAMILY_ROWS) > 0
    assert [place for place in places if not (ROOT / place).exists()] == []
    links = re.findall(r"\]\(([^)]+)\)", GUIDE)
    assert [link for link in links if not (ROOT / "ray_al" / link).exists()] == []


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_every_guide_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


def test_every_family_has_a_row():
    modules = [importlib.import_module(name) for name in DECLARED]
    keys = {
        one.key for module in modules for one in vars(module).values() if isinstance(one, Family)
    }
    trackers = {key for key in keys if key.startswith("tracking.")}
    assert {*(keys - trackers), "tracking", "strategy.acquisition"} == {
        row[0] for row in FAMILY_ROWS
    }


def test_every_family_has_a_contract_suite_that_takes_own_classes():
    for setting, _, _, suite in FAMILY_ROWS:
        assert suite.startswith("tests/contract/")
        if setting != "tracking":
            assert setting in own_variants.SETTINGS
            assert f'own("{setting}")' in (ROOT / suite).read_text()


def test_decisions_have_a_heading_each_with_context_decision_and_consequence():
    text = (ROOT / "ray_al" / "DESIGN.md").read_text()
    decisions = text.split("\n### ")[1:]
    assert len(decisions) > 50
    for decision in decisions:
        marks = re.findall(r"^\*\*(\w+)\.\*\*", decision, re.MULTILINE)
        assert marks == ["Context", "Decision", "Consequence"], decision.splitlines()[0]
    assert max(map(len, text.splitlines())) <= 100


def test_lines_of_templates_are_short():
    templates = sorted((ROOT / "ray_al").glob("*/*.j2"))
    lines = [line for path in templates for line in path.read_text().splitlines()]
    assert len(templates) == 2
    assert [line for line in lines if len(line) > 100] == []
