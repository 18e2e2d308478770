"""Reports and comparisons with any number of classes and any names."""

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.legend import Legend
from PIL import Image

from ray_al.compare.charts import charts
from ray_al.compare.facts import Comparison, GroupFacts, MeanCurve
from ray_al.compare.output import latex_table
from ray_al.compare.saved import Saved, SavedCurve
from ray_al.compare.significance import StrategyTests
from ray_al.compare.stats import Interval
from ray_al.core.types import Box
from ray_al.datasets.compose import Part, compose_targets, encode_mask
from ray_al.datasets.images import resize_scattered
from ray_al.report.data import Budget, CycleView, ImagePanel, ReportData
from ray_al.report.html import render_report
from ray_al.report.panels import shown_labels
from ray_al.report.pictures import ids_uri, shown, shown_in_legend, striped_ids

ODD = [
    r"cost $\foo$",
    "$",
    "_hidden",
    "a_b^c",
    "<b>&amp;</b>",
    "道路 🚗",
    "x" * 5000,
    "line\nbreak\x00\x1b",
    "=1+1",
    "%d {name}",
    r"\frac{",
]


def row(cycle, names, **changes):
    stages = {
        f"{stage}_seconds": 1.0
        for stage in ("train", "evaluate", "score", "select", "label", "cycle")
    }
    return {
        "cycle": cycle,
        "labelled_fraction": 0.1,
        "cost": 4,
        "miou": 0.5,
        "final_miou": None,
        **{f"iou_{name}": 0.5 for name in names},
        **stages,
        **changes,
    }


def page(names, *, rows=2, panels=(), **changes):
    values = {
        "name": "run",
        "state": "finished",
        "class_names": tuple(names),
        "colors": tuple((i % 256, 7, 9) for i in range(len(names))),
        "rows": [row(cycle, names) for cycle in range(rows)],
        "budget": Budget(unit="regions", amount=8, spent=4),
        "labelled_class_pixels": list(range(len(names))),
        "val_class_pixels": [3] * len(names),
        "unlabelled_classes": list(names[:1]),
        "images": list(panels),
        "config_yaml": "",
        "quarantine": [],
        "validation": [],
        "extensions": [],
        "extended": frozenset(),
        "refused": [],
        "measured": [],
        "final_miou": None,
        "final_labels": "",
        "full_miou": None,
        "only_class": None,
        **changes,
    }
    return render_report(ReportData(**values))


def parts(num_classes, side=8):
    """Dense parts over every class and void, in cells of `side` pixels."""
    ids = np.arange(num_classes + 1, dtype=np.uint8)
    ids[-1] = 255
    boxes = [Box(top=0, left=side * i, bottom=side, right=side * (i + 1)) for i in range(len(ids))]
    return [
        Part(box=box, mask=encode_mask(np.full((side, side), value, np.uint8)))
        for box, value in zip(boxes, ids, strict=True)
    ]


@pytest.mark.parametrize("num_classes", [2, 63, 64, 150, 255])
def test_dense_labels_of_any_number_of_classes_are_shown(num_classes):
    ids = shown_labels(parts(num_classes), (8, 8 * (num_classes + 1)), (4, 4 * (num_classes + 1)))
    assert ids[0, ::4].tolist() == [*range(num_classes), 255]
    photo = np.zeros((*ids.shape, 3), np.uint8)
    assert len(ids_uri(ids, [(i, 7, 9) for i in range(num_classes)], photo)) > 100


def test_dense_labels_are_shown_as_sets_of_one_class_were():
    rng = np.random.default_rng(0)
    several = []
    for _ in range(30):
        top, left = (int(value) for value in rng.integers(0, 30, 2))
        mask = rng.choice(np.array([0, 5, 62, 255], np.uint8), (3, 2))
        several.append(
            Part(
                box=Box(top=top, left=left, bottom=top + 3, right=left + 2), mask=encode_mask(mask)
            )
        )
    native = compose_targets(several, 40, 40)
    expected = striped_ids(resize_scattered(native, (9, 13), native[..., 0] != 0)[..., 0])
    assert (shown_labels(several, (40, 40), (9, 13)) == expected).all()
    assert (shown_labels([], (40, 40), (9, 13)) == 255).all()


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_with_any_signs_are_drawn():
    photo = np.zeros((2, 3, 3), np.uint8)
    frame = CycleView(
        cycle=0,
        photo=photo,
        prediction=photo[..., 0],
        entropy=photo[..., 0],
        labels=photo[..., 0],
        outlines=[],
    )
    text = page(ODD, panels=[ImagePanel(image_id="a", frames=[frame])])
    assert "No label so far of: cost $\\foo$" in text
    assert "cost $\\foo$" in text
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in text
    for start in (
        position for position in range(len(text)) if text.startswith("<svg xmlns", position)
    ):
        ElementTree.fromstring(text[start : text.index("</svg>", start) + 6])


def test_a_report_without_a_trained_cycle():
    text = page(["a", "b"], rows=0, full_miou=0.7, unlabelled_classes=[])
    assert "0 cycles" in text
    assert "all labels, same recipe: 0.7000" in text


def test_a_final_model_of_fewer_labels_is_not_what_is_compared_with_all_of_them():
    last = row(1, ["a", "b"])["miou"]
    text = page(["a", "b"], final_miou=0.9, final_labels="4 of 8 labelled regions", full_miou=1.0)
    assert "trained on\n4 of 8 labelled regions" in text and f"{100 * last:.1f} %" in text
    assert "90.0 %" in page(["a", "b"], final_miou=0.9, full_miou=1.0)


def test_the_first_model_after_an_extension_is_marked():
    words = "first model after an extension"
    assert words in page(["a", "b"], extended=frozenset({1}))
    assert words not in page(["a", "b"], extended=frozenset({2}))  # it is not trained yet


def test_names_in_pictures_are_short_and_stay_in_legends():
    assert shown("road") == "road"
    assert shown("x" * 41) == "x" * 39 + "…"
    assert not shown("_a").startswith("_")
    assert shown("a\nb\x00") == "a\ufffdb\ufffd"


def test_long_names_in_legends_take_more_lines():
    name = "edald-noise-count5-herding-two_stage pixels (n=3)"
    assert shown_in_legend(name) == "edald-noise-count5-herding-two_stage\npixels (n=3)"
    assert shown_in_legend("_road") == "\N{ZERO WIDTH SPACE}_road"
    assert [len(line) for line in shown_in_legend("x" * 200).split("\n")] == [40, 40, 40]
    assert shown_in_legend("x" * 200).endswith("…")


def facts(labels):
    curve = MeanCurve(x=(0.02, 0.04), mean=(0.3, 0.4), low=(0.2, 0.3), high=(0.4, 0.5))
    saved = Saved(
        value=0.1,
        low=0.0,
        high=0.2,
        target=0.4,
        forward=False,
        costs={},
        points=(),
        curve=SavedCurve(miou=(0.3, 0.4), saved=(0.1, 0.2)),
    )
    number = Interval(mean=0.5, low=0.4, high=0.6)
    groups = [
        GroupFacts(
            label=label,
            setting={},
            seeds=(0, 1),
            runs=("a", "b"),
            curves=dict.fromkeys(("share", "clicks"), curve),
            aubc=number,
            aubc_log=number,
            aubc_by_seed=(0.4, 0.6),
            at=(),
            final=number,
            full_own=None,
            full_best=None,
            saved=saved,
            classes={},
            rare_miou=None,
            labelled_classes={},
            pixels=1.0,
            images=1.0,
            clicks=1.0,
            minutes=None,
            seconds=1.0,
        )
        for label in labels
    ]
    size = len(labels)
    tests = StrategyTests(
        labels=tuple(labels),
        wins=((0.0,) * size,) * size,
        num_tests=1,
        loss_rate=(0.0,) * size,
        ranks=tuple(range(1, size + 1)),
        critical=1.5,
        friedman_p=None,
        pairs=(),
    )
    return Comparison(
        keys=(),
        axis="share",
        measure="miou",
        apart=(),
        reference=labels[0],
        class_names=(),
        rare_classes=(),
        grid=(0.02, 0.04),
        groups=tuple(groups),
        seeds=(0, 1),
        tests=tests,
        too_few=None,
    )


@pytest.mark.filterwarnings("ignore:Glyph")
def test_strategies_of_any_names_are_compared():
    labels = ODD[:6] + ["y" * 5000]
    drawn = list(charts(facts(labels)))
    assert {name for name, _, _ in drawn} >= {"curve_share", "labels_saved", "penalties", "ranks"}
    for _, _, figure in drawn:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=40)
        assert max(Image.open(buffer).size) < 4000
    saved = next(figure for name, _, figure in drawn if name == "labels_saved")
    (legend,) = saved.findobj(Legend)
    assert [text.get_text() for text in legend.get_texts()] == [
        shown_in_legend(label) for label in labels
    ]


@pytest.mark.parametrize(
    ("axis", "budgets", "texts"),
    [
        ("share", (0.0000058, 0.00012, 0.05), ["0.00058", "0.012", "5"]),
        ("clicks", (737, 2948, 2948.4, 36847), ["737", "2948", "36847"]),
    ],
)
def test_ticks_of_a_logarithmic_axis_stand_at_the_budgets(axis, budgets, texts):
    comparison = facts(["random"])
    mious = tuple(np.linspace(0.3, 0.5, len(budgets)))
    curve = MeanCurve(x=budgets, mean=mious, low=mious, high=mious)
    group = replace(comparison.groups[0], curves={axis: curve})
    drawn = charts(replace(comparison, axis=axis, groups=(group,)))
    log = next(figure for name, _, figure in drawn if name == f"curve_{axis}_log")
    ticks = log.axes[0].xaxis.get_major_ticks()
    assert [tick.label1.get_text() for tick in ticks] == texts
    first = 100 * budgets[0] if axis == "share" else budgets[0]
    assert ticks[0].get_loc() == pytest.approx(first)


def test_names_in_a_latex_table_are_no_commands():
    assert r"a\_b \& 50\% \#1 \$x\$ \textbackslash{}foo\{\}" in latex_table(
        facts([r"a_b & 50% #1 $x$ \foo{}"])
    )
