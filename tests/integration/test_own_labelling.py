"""A run with a user's own layout, label kind, annotator and unit, as `package.module:Class`."""

import json
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from click.testing import CliRunner
from helpers.run_reading import state_of
from helpers.small_runs import configure

from ray_al.cli import main
from ray_al.core.errors import RayALError
from ray_al.core.families.annotators import Annotator, Answers, LabelRequest
from ray_al.core.families.labels import LabelKind
from ray_al.core.families.layouts import Layout, Split
from ray_al.core.families.units import Received, Unit
from ray_al.core.storage import Storage
from ray_al.core.types import LABEL_SCHEMA
from ray_al.datasets.listing import Files, match
from ray_al.driver.create import create_run
from ray_al.driver.loop import run_loop
from ray_al.driver.verify import verify

PNG = frozenset({".png"})


class Scenes(Layout):
    """Images of `<split>/`, masks of `<split><ending>/`."""

    ending: str = "annot"
    class_names: ClassVar[tuple[str, ...]] = ("sky", "ground", "building", "tree", "car", "sign")

    def list_split(self, root: str, split: str) -> Split:
        return match(Files(root, split, PNG), Files(root, f"{split}{self.ending}", PNG))


class Board(Annotator):
    """One who ticks the tasks that are done on a board, and who then knows their labels."""

    reads_masks: ClassVar[bool] = True

    def request(self, asked: LabelRequest) -> int:
        asked.storage.replace(f"{asked.folder}/open", b"")
        return len(asked.query)

    def collect(self, asked: LabelRequest) -> Answers:
        done = json.loads(asked.storage.read_if_there(f"{asked.folder}/done.json") or b"0")
        rows = []
        for row in asked.query.select(["image_index", "image_id", "region"]).to_pylist()[:done]:
            if (row["image_id"], row["region"]) not in asked.taken:
                truth = asked.truth(row["image_index"], row["region"])
                label = asked.label.of_truth(truth.ids, truth.region)
                values = asked.label.row(label, truth.box, truth.region)
                rows.append({**row, **values, "annotator": self.kind, "seconds": 1.0})
        return Answers(table=pa.Table.from_pylist(rows, schema=LABEL_SCHEMA))

    def close(self, asked: LabelRequest) -> None:
        asked.storage.remove(f"{asked.folder}/open")


class Hasty(Board):
    """Answers at once, and leaves out the last region of a query."""

    answers_at_once: ClassVar[bool] = True

    def collect(self, asked: LabelRequest) -> Answers:
        done = str(len(asked.query) - 1).encode()
        asked.storage.replace(f"{asked.folder}/done.json", done)
        return super().collect(asked)


class Seconds(Unit):
    """A region takes at most `look` seconds in addition to its clicks, which count twice."""

    look: int = 4
    shows_late: ClassVar[bool] = True

    def most(self, num_pixels: int, label: LabelKind, num_classes: int) -> int:
        return self.look + label.most_clicks(num_pixels, num_classes)

    def cost(self, received: Received) -> int:
        return 2 * received.clicks


def own(name: str, **settings: Any) -> Any:
    return {"kind": f"{__name__}:{name}", **settings}


def test_a_run_of_own_variants_waits_goes_on_and_verifies(root):
    label = {"kind": "helpers.own_labels:RarestLabel", "at_most": 1, "annotator": own("Board")}
    budget = {"unit": own("Seconds", look=2), "start": 9, "per_cycle": 6, "amount": 15}
    config = configure(root, data={"dataset": own("Scenes")}, label=label, budget=budget)
    run_dir = create_run(config, str(root / "run"))
    storage = Storage(run_dir)
    waits = 0
    while (outcome := run_loop(run_dir)).kind == "waiting":
        waits += 1
        query = state_of(run_dir).queries[-1]
        assert storage.exists(f"{query.tasks}/open")
        done = b"1" if query.answered == 0 else json.dumps(query.num_regions).encode()
        storage.replace(f"{query.tasks}/done.json", done)
    assert outcome.kind == "finished"
    state = state_of(run_dir)
    assert waits > len(state.queries) >= 2
    assert all(query.received_cost == 2 * query.answered for query in state.queries)
    assert not any(storage.exists(f"{query.tasks}/open") for query in state.queries)
    assert state.created.unit == f"{__name__}:Seconds"
    assert verify(run_dir)["labelled_regions"] == state.spent // 2
    for command in ("status", "resume"):
        assert CliRunner().invoke(main, [command, run_dir]).exit_code == 0


def test_who_answers_at_once_must_answer_everything(root):
    """Otherwise the query would be asked for again without end."""
    config = configure(root, label={"annotator": own("Hasty")})
    run_dir = create_run(config, str(root / "hasty"))
    with pytest.raises(RayALError, match="says nothing of 1 of 4 regions .* such as region"):
        run_loop(run_dir)
    assert state_of(run_dir).queries[-1].answered == 0
