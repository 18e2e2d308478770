"""A user's own variant of each family, one file each, in a folder outside the package."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from helpers.paths import ROOT, TESTS, python_path
from helpers.run_reading import state_of
from helpers.small_runs import configure

from ray_al.core.storage import Storage
from ray_al.datasets.synthetic import write_synthetic
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.pool import read_table
from ray_al.driver.verify import verify

FILES = {
    "data.dataset": (
        "own_layout:Scenes",
        '''
from typing import ClassVar

from ray_al.core.families.layouts import Layout, Split
from ray_al.datasets.listing import Files, match
from ray_al.datasets.synthetic import write_synthetic

PNG = frozenset({".png"})


class Scenes(Layout):
    """Images of `<split>/`, and masks of `<split><ending>/`."""

    ending: str = "annot"
    class_names: ClassVar[tuple[str, ...]] = ("sky", "ground", "building", "tree", "car", "sign")

    def list_split(self, root: str, split: str) -> Split:
        return match(Files(root, split, PNG), Files(root, f"{split}{self.ending}", PNG))


def write_example(root):
    """Write what the contract suite lists."""
    root.rmdir()
    write_synthetic(str(root), num_images=3, seed=0)
''',
    ),
    "regions": (
        "own_regions:Stripes",
        '''
from typing import Annotated

import numpy as np
from pydantic import Field

from ray_al.core.families.regions import Regions
from ray_al.regions.maps import MapRegions


class Stripes(Regions):
    """Horizontal stripes, each at most so many rows high."""

    rows: Annotated[int, Field(ge=1)] = 8

    def of_image(self, height, width, data=None):
        stripe = np.arange(height, dtype=np.int32) // self.rows
        return MapRegions(np.repeat(stripe[:, None], width, axis=1))
''',
    ),
    "label": (
        "own_label:Rarest",
        '''
from typing import ClassVar

import numpy as np

from ray_al.label.kinds.sets import SetLabel


class Rarest(SetLabel):
    """The class with the fewest pixels, for a fixed number of clicks."""

    looks: int = 2
    paper: ClassVar[str] = "our own"

    def of_truth(self, ids, region):
        inside = ids if region is None else ids[region]
        known, counts = np.unique(inside[inside != 255], return_counts=True)
        return int(known[counts.argmin()]) if len(known) else 255

    def of_ids(self, ids, place):
        return ids[0] if ids else 255

    def most_clicks(self, num_pixels, num_classes):
        return self.looks

    def clicks(self, label, region):
        return self.looks
''',
    ),
    "label.annotator": (
        "own_annotator:Board",
        '''
import json
from typing import ClassVar

import pyarrow as pa

from ray_al.core.families.annotators import Annotator, Answers
from ray_al.core.types import LABEL_SCHEMA


class Board(Annotator):
    """One who ticks off the tasks on a board, and who then knows their labels."""

    reads_masks: ClassVar[bool] = True

    def request(self, asked):
        names = zip(asked.query["image_id"].to_pylist(), asked.query["region"].to_pylist())
        tasks = [name for name in names if name not in asked.left_out]
        asked.storage.replace(f"{asked.folder}/tasks.json", json.dumps(tasks).encode())
        return len(tasks)

    def collect(self, asked):
        done = json.loads(asked.storage.read_if_there(f"{asked.folder}/done.json") or b"[]")
        rows = []
        for row in asked.query.select(["image_index", "image_id", "region"]).to_pylist():
            name = row["image_id"], row["region"]
            if list(name) in done and name not in asked.taken | asked.left_out:
                truth = asked.truth(row["image_index"], row["region"])
                label = asked.label.of_truth(truth.ids, truth.region)
                values = asked.label.row(label, truth.box, truth.region)
                rows.append({**row, **values, "annotator": self.kind, "seconds": 1.0})
        return Answers(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))

    def close(self, asked):
        asked.storage.remove(f"{asked.folder}/tasks.json")


def answer_example(annotator, asked):
    """Tick off all tasks."""
    tasks = asked.storage.read(f"{asked.folder}/tasks.json")
    asked.storage.replace(f"{asked.folder}/done.json", tasks)
''',
    ),
    "budget.unit": (
        "own_unit:Seconds",
        '''
from typing import ClassVar

from ray_al.core.families.units import Unit


class Seconds(Unit):
    """Some seconds for a region, and one more for each click."""

    look: int = 3
    shows_late: ClassVar[bool] = True

    def most(self, num_pixels, label, num_classes):
        return self.look + label.most_clicks(num_pixels, num_classes)

    def cost(self, received):
        return received.reserved
''',
    ),
    "budget.start_rule": (
        "own_start:Reversed",
        '''
from typing import ClassVar

from ray_al.core.families.start import StartRule
from ray_al.select.merge import merge_topk
from ray_al.select.noise import uniform_rows
from ray_al.select.rules import with_reason
from ray_al.select.start import random_start


class Reversed(StartRule):
    """The random ranking, backwards."""

    paper: ClassVar[str] = "our own"

    def rank(self, manifest, regions, *, k, seed, cycle, remaining, allows=None):
        total = int(remaining.sum())
        ranked = random_start(
            manifest, regions, k=total, seed=seed, cycle=cycle, remaining=remaining, allows=allows
        )
        keys = -uniform_rows(ranked, "start set", seed, cycle)
        table = ranked.drop_columns(["key", "reason"]).append_column("key", [keys])
        return with_reason(merge_topk([table], k), "reversed")
''',
    ),
    "strategy.acquisition": (
        "own_acquisition:Variance",
        '''
from typing import ClassVar

from ray_al.acquisition import ViewsAcquisition


class Variance(ViewsAcquisition):
    """How far the passes lie apart, summed over the classes."""

    wants: ClassVar[frozenset[str]] = frozenset({"var_p"})

    def score_views(self, views):
        return views.var_p.sum(dim=1)
''',
    ),
    "strategy.passes": (
        "own_passes:Tempered",
        '''
from ray_al.core.families.passes import PassKind
from ray_al.core.seeding import generator
from ray_al.models.split import trained_part


class Tempered(PassKind):
    """Passes whose logits are divided by a random temperature each."""

    spread: float = 0.5

    def open(self, network, precision, device, *, seed, cycle):
        return Network(trained_part(network).to(device).eval(), self.spread, seed, cycle)


class Network:
    def __init__(self, network, spread, seed, cycle):
        self.network, self.spread, self.key = network, spread, (seed, cycle)

    def prefix(self, given):
        return (self.network(given),)

    def suffix(self, prefix, number):
        if number is None:
            return prefix[0]
        drawn = generator("temperature", *self.key, number).random()
        return prefix[0] / (1 + self.spread * drawn)
''',
    ),
    "strategy.batch": (
        "own_batch:EverySecond",
        '''
from typing import ClassVar

import numpy as np

from ray_al.select.rules import CandidateRule


class EverySecond(CandidateRule):
    """Every second candidate by score, then the others."""

    paper: ClassVar[str] = "our own"
    needs: ClassVar[str] = "of the best candidates: scores"
    reads_features: ClassVar[bool] = False

    def choose(self, candidates, *, k, rng):
        order = np.argsort(-candidates.keys, kind="stable")
        return np.concatenate([order[::2], order[1::2]])[:k]
''',
    ),
}
NAMES = {setting: name for setting, (name, _) in FILES.items()}
SUITES = {
    "data.dataset": "layouts",
    "regions": "region_kinds",
    "label": "label_kinds_contract",
    "label.annotator": "annotators",
    "budget.unit": "units",
    "budget.start_rule": "start_rules_as_objects",
    "strategy.acquisition": "acquisition",
    "strategy.passes": "passes_kinds",
    "strategy.batch": "batch_rules_as_objects",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the variants."""
    folder = tmp_path_factory.mktemp("mine")
    for name, text in FILES.values():
        (folder / f"{name.split(':')[0]}.py").write_text(text.lstrip())
    return folder


@pytest.mark.slow
def test_each_passes_the_suite_of_its_family(folder: Path) -> None:
    """As a user tests own variants: in a process of its own, with the folder on its path."""
    options = [f"--own={setting}={name}" for setting, name in NAMES.items()]
    chosen = " or ".join(name.split(":")[0] for name in NAMES.values())
    suites = [str(TESTS / "contract" / f"test_{suite}.py") for suite in SUITES.values()]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *options, "-k", chosen, *suites],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{python_path()}"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    for setting, name in NAMES.items():
        of_suite = [line for line in passed if f"test_{SUITES[setting]}.py" in line]
        assert sum(name in line for line in of_suite) >= 3, setting


def test_a_run_uses_them_all(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder))
    write_synthetic(str(folder / "data"), num_images=6, seed=0)
    own = {setting: {"kind": name} for setting, name in NAMES.items()}
    config = configure(
        folder,
        data={"dataset": own["data.dataset"]},
        model={"name": "helpers.networks:tiny_with_dropout"},
        regions={**own["regions"], "rows": 24},
        label={**own["label"], "annotator": own["label.annotator"]},
        budget={
            "unit": {**own["budget.unit"], "look": 4},
            "start_rule": own["budget.start_rule"],
            "start": 24,
            "per_cycle": 12,
            "amount": 36,
        },
        strategy={
            "acquisition": NAMES["strategy.acquisition"],
            "passes": own["strategy.passes"],
            "batch": own["strategy.batch"],
        },
    )
    run_dir = create_run(config, str(folder / "run"))
    storage = Storage(run_dir)
    waits = 0
    while (outcome := run_loop(run_dir)).kind == "waiting":
        waits += 1
        tasks = state_of(run_dir).queries[-1].tasks
        storage.replace(f"{tasks}/done.json", storage.read(f"{tasks}/tasks.json"))
    assert (outcome.kind, waits) == ("finished", 2)
    state = state_of(run_dir)
    assert (state.spent, state.created.unit) == (36, NAMES["budget.unit"])
    assert verify(run_dir)["labelled_regions"] == 6
    chosen = [read_table(storage, query.file) for query in state.queries]
    assert [set(query["reason"].to_pylist()) for query in chosen] == [
        {"reversed"},
        {NAMES["strategy.batch"]},
    ]
    labels = pa.concat_tables([read_table(storage, part) for part in state.label_parts])
    assert set(labels["annotator"].to_pylist()) == {NAMES["label.annotator"]}
    assert all(len(classes) == 1 for classes in labels["classes"].to_pylist())
