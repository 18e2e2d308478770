"""Compare every acquisition function and pooling with slow code in float64, pixel by pixel."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from ray_al.acquisition import (
    ACQUISITIONS,
    FUNCTIONS,
    Acquisition,
    ClassStats,
    LogitsAcquisition,
    ViewsAcquisition,
    check_pixel_output,
    class_maps,
    entry_of,
    final_scores,
    find_acquisition,
    list_acquisitions,
    open_acquisition,
)
from ray_al.acquisition.balent import beta_entropy
from ray_al.acquisition.ripu import ripu
from ray_al.acquisition.views import KINDS, PredictionStatistics
from ray_al.core.config import apply_setting
from ray_al.core.errors import ConfigError, RayALError
from ray_al.core.families.acquisition import ACQUISITION_ENTRIES, ACQUISITION_SETTINGS
from ray_al.core.strategy import StrategyConfig
from ray_al.core.validation import validate
from ray_al.scoring.pooling import BoxPooler


def softmax(logits):
    p = [math.exp(x - max(logits)) for x in logits]
    return [value / sum(p) for value in p]


def shannon(p):
    return -sum(value * math.log(value) for value in p if value > 0)


def reference(name, logits):
    p = sorted(softmax(logits), reverse=True)
    second = p[1] if len(p) > 1 else 0
    if name == "least_confidence":
        return 1 - p[0]
    if name == "margin":
        return 1 - (p[0] - second) if len(p) > 1 else 0
    if name in ("bvsb", "class_balanced", "class_balanced_pixels", "pixbal"):
        return second / p[0]
    if name == "one_vs_rest":
        return sum(shannon([value, 1 - value]) for value in p)
    return shannon(p)


CASES = {
    "random": np.random.default_rng(0).normal(0, 3, (6, 5, 4)),
    "uniform": np.zeros((6, 2, 2)),
    "one-hot": np.where(np.arange(6)[:, None, None] == 2, 1e4, 0.0) * np.ones((1, 3, 3)),
    "one class": np.full((1, 2, 3), 7.0),
    "one pixel": np.array([1.0, 2.0, -1.0]).reshape(3, 1, 1),
}
PIXEL = [name for name, row in ACQUISITIONS.items() if row.inputs == "logits" and name != "ripu"]
VIEWS = [name for name, row in ACQUISITIONS.items() if row.inputs in ("transforms", "passes")]


def to_tensor(logits):
    return torch.from_numpy(logits)[None].float()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PIXEL)
def test_pixel_scores(name, case):
    logits = CASES[case]
    values = ACQUISITIONS[name].score_logits(to_tensor(logits))[0]
    assert torch.isfinite(values).all()
    for y in range(logits.shape[1]):
        for x in range(logits.shape[2]):
            assert values[y, x].item() == pytest.approx(
                reference(name, logits[:, y, x].tolist()), abs=1e-5
            )


@pytest.mark.parametrize("radius", [0, 1, 4])
@pytest.mark.parametrize("case", CASES)
def test_ripu(case, radius):
    logits = CASES[case]
    num_classes, height, width = logits.shape
    values = ripu(to_tensor(logits), radius)[0]
    assert values.shape == (height, width)
    for y in range(height):
        for x in range(width):
            rows, columns = (
                range(max(0, y - radius), min(height, y + radius + 1)),
                range(max(0, x - radius), min(width, x + radius + 1)),
            )
            window = [logits[:, v, u].tolist() for v in rows for u in columns]
            votes = [pixel.index(max(pixel)) for pixel in window]
            impurity = shannon([votes.count(c) / len(votes) for c in range(num_classes)])
            uncertainty = sum(shannon(softmax(pixel)) for pixel in window) / len(window)
            expected = impurity * uncertainty / math.log(num_classes) ** 2 if num_classes > 1 else 0
            assert values[y, x].item() == pytest.approx(expected, abs=1e-5)


def test_ripu_by_hand():
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 1, 0, 2] = 1e4  # classes 0, 0, 1 with entropies ln 2, ln 2, 0
    values = ACQUISITIONS["ripu"].score_logits(logits)[0, 0]
    assert values.tolist() == pytest.approx([0, 0.918296 * 2 / 3, 0.5], abs=1e-5)


def passes_of(case, num_passes=4):
    """Return float64 (M, C, H, W): the case first, then noisy copies of it.

    So one-hot and uniform predictions meet others.
    """
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 2, (num_passes - 1, *CASES[case].shape))
    return np.concatenate([CASES[case][None], CASES[case][None] + noise])


def view_reference(name, passes):
    """The score of one pixel from its passes (M, C), the first of which is also the plain one."""
    p = np.array([softmax(logits.tolist()) for logits in passes])
    mean, entropies = p.mean(0), [shannon(row) for row in p]
    votes = np.bincount(passes.argmax(1), minlength=passes.shape[1]) / len(passes)
    if name == "equal":
        return sum(entropies)
    if name in (
        "disagreement",
        "bald",
        "qbc_kl",
        "edald",
    ):  # as the mean divergence from the consensus
        divergence = np.mean(
            [sum(a * math.log(a / b) for a, b in zip(row, mean, strict=True) if a > 0) for row in p]
        )
        return divergence + (entropies[0] if name == "edald" else 0)
    if name == "dropquery":
        return np.mean(passes.argmax(1) != passes[0].argmax())
    if name == "soft_vote_entropy":
        return shannon(mean)
    if name == "expected_entropy":
        return np.mean(entropies)
    return shannon(votes) if name == "vote_entropy" else 1 - max(votes)


def score_views(name, passes):
    """The first of the passes is also the plain one, where a function looks at it."""
    views = PredictionStatistics(ACQUISITIONS[name].wants)
    if "plain" in views.wants:
        views.add_plain(to_tensor(passes[0]))
    for logits in passes:
        views.add(to_tensor(logits))
    return ACQUISITIONS[name].score_views(views)[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", [name for name in VIEWS if name != "balent"])
def test_scores_of_passes(name, case):
    passes = passes_of(case)
    values = score_views(name, passes)
    for y in range(passes.shape[2]):
        for x in range(passes.shape[3]):
            assert values[y, x].item() == pytest.approx(
                view_reference(name, passes[:, :, y, x]), abs=2e-5
            )


@pytest.mark.parametrize("num_passes", [1, 2, 5])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", VIEWS)
def test_equal_passes_give_finite_scores(name, case, num_passes):
    values = score_views(name, [CASES[case]] * num_passes)
    assert torch.isfinite(values).all()
    if name in ("bald", "qbc_kl", "disagreement", "vote_entropy", "variation_ratio", "dropquery"):
        assert (values >= 0).all()
        assert (values < 1e-6).all()


def test_bald_is_never_negative():
    logits = np.random.default_rng(1).normal(0, 1, (6, 30, 30))
    assert (score_views("bald", [logits, logits + 1e-4, logits - 1e-4]) >= 0).all()


def test_bald_is_not_entropy_less_a_constant():
    sure, unsure = np.array([5.0, 0]).reshape(2, 1, 1), np.zeros((2, 1, 1))
    assert score_views("bald", [unsure, unsure]).item() < score_views("bald", [sure, -sure]).item()
    assert score_views(
        "bald", [np.array([1e4, 0]).reshape(2, 1, 1), np.array([0, 1e4]).reshape(2, 1, 1)]
    ).item() == pytest.approx(math.log(2))


def balent_reference(passes):
    p = np.array([softmax(logits.tolist()) for logits in passes])
    mean, variance = p.mean(0), p.var(0)
    a = mean**2 * (1 - mean) / variance - mean
    b = (1 / mean - 1) * a
    joint = sum(
        m * stats.beta(c + 1, d).entropy() for m, c, d in zip(mean, a, b, strict=True)
    ) + shannon(mean)
    value = (shannon(mean) + math.log(2)) / joint
    return min(max(value if value >= 0 else 1 / value, -10.0), 10.0)


@pytest.mark.parametrize("spread", [0.3, 1.0, 3.0])
def test_balent(spread):
    passes = np.random.default_rng(2).normal(0, spread, (6, 3, 4, 4))
    values = score_views("balent", passes)
    assert values.dtype == torch.float32
    for y in range(4):
        for x in range(4):
            assert values[y, x].item() == pytest.approx(
                balent_reference(passes[:, :, y, x]), rel=2e-3, abs=1e-4
            )


def test_balent_orders_the_extremes():
    one_hot, other = CASES["one-hot"], np.roll(CASES["one-hot"], 1, axis=0)
    sure = score_views("balent", [one_hot] * 4)
    uniform = score_views("balent", [np.zeros((6, 3, 3))] * 4)
    assert (sure < uniform).all()
    assert torch.isfinite(score_views("balent", [one_hot, other] * 2)).all()


def test_no_pixel_decides_the_balanced_entropy_of_a_region():
    """At a margin of 20 a value of its own would be -1,431; 99 undecided pixels outweigh it."""
    undecided, margin = np.zeros((2, 10, 10)), np.zeros((2, 10, 10))
    undecided[0, 0, 0] = 20
    margin[0] = 12
    assert (
        score_views("balent", [undecided] * 4).mean()
        > score_views("balent", [margin] * 4).mean() + 1
    )


@pytest.mark.parametrize(("a", "b"), [(1, 1), (2, 3), (0.5, 0.5), (1, 0.001), (1e4, 3e4)])
def test_entropy_of_a_beta_distribution(a, b):
    value = beta_entropy(
        torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    ).item()
    assert value == pytest.approx(stats.beta(a, b).entropy(), rel=1e-6, abs=1e-9)


def test_equal_is_today_the_sum_of_two_scores_bit_for_bit():
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 40, (4, 12, 30, 31))).float()
    entropy = ACQUISITIONS["entropy"].score_logits(logits)
    views = PredictionStatistics(ACQUISITIONS["equal"].wants)
    views.add(logits[:2])
    views.add(logits[2:])
    assert torch.equal(ACQUISITIONS["equal"].score_views(views), entropy[:2] + entropy[2:])


STATS = ClassStats(
    mean_probability=np.array([0.5, 0.3, 0.2]),
    dominant_regions=np.array([0.75, 0.25, 0.0]),
    dominant_pixels=np.array([0.5, 0.5, 0.0]),
    iou=np.array([0.9, np.nan, 0.3]),
    score_min=0.2,
    score_max=0.6,
)


def test_dominant_classes_weigh_rescaled_scores():
    scores, dominant = np.array([0.6, 0.4, 0.2, 0.6]), np.array([0, 1, 2, 2])
    values = final_scores(scores, dominant, None, STATS, ACQUISITIONS["class_balanced"])
    assert values == pytest.approx([math.exp(-0.75), 0.5 * math.exp(-0.25), 0, 1])
    assert values.dtype == np.float32
    values = final_scores(scores, dominant, None, STATS, ACQUISITIONS["class_balanced_pixels"])
    assert values == pytest.approx([math.exp(-0.5), 0.5 * math.exp(-0.5), 0, 1])


def test_classes_decide_where_all_scores_are_equal():
    stats = ClassStats(**{**STATS.__dict__, "score_max": 0.2})
    values = final_scores(
        np.array([0.2, 0.2]), np.array([0, 2]), None, stats, ACQUISITIONS["class_balanced"]
    )
    assert values == pytest.approx([math.exp(-0.75), 1])


def test_class_scores_are_added_by_weight():
    class_scores = np.array([[0.1, 0.2, 0.3], [1.0, 0.0, 0.0]])
    scores = class_scores.sum(1)
    values = final_scores(
        scores, None, class_scores, STATS, FUNCTIONS.parse({"kind": "pixbal", "nu": 2.0})
    )
    weights = [1 / (1 + 2 * q) ** 2 for q in (0.5, 0.3, 0.2)]
    assert values == pytest.approx(
        [0.1 * weights[0] + 0.2 * weights[1] + 0.3 * weights[2], weights[0]]
    )
    values = final_scores(scores, None, class_scores, STATS, ACQUISITIONS["validation_gap"])
    assert values == pytest.approx(
        [0.1 * 0.1 + 0.2 * 0.4 + 0.3 * 0.7, 0.1]
    )  # the unknown class takes the mean gap
    for name in ("clasp", "entropy"):
        assert final_scores(scores, None, class_scores, STATS, ACQUISITIONS[name]) == pytest.approx(
            scores
        )


def test_a_row_of_class_scores_does_not_depend_on_the_others():
    class_scores = np.random.default_rng(0).random((1000, 21))
    stats = ClassStats(
        **{**STATS.__dict__, "mean_probability": np.random.default_rng(1).dirichlet(np.ones(21))}
    )
    together = final_scores(
        class_scores.sum(1),
        None,
        np.asfortranarray(class_scores),
        stats,
        ACQUISITIONS["pixbal"],
    )
    alone = [
        final_scores(row.sum(1), None, row, stats, ACQUISITIONS["pixbal"])[0]
        for row in np.split(class_scores, 1000)
    ]
    assert together.tolist() == alone


def test_gap_is_the_whole_score_before_any_validation():
    stats = ClassStats(**{**STATS.__dict__, "iou": np.full(3, np.nan)})
    assert ACQUISITIONS["validation_gap"].class_weights(stats).tolist() == [1, 1, 1]


def test_scores_are_divided_among_classes():
    p = torch.tensor([[0.5, 0.1], [0.5, 0.2], [0.0, 0.7]]).reshape(1, 3, 1, 2)
    scores = torch.tensor([2.0, 3.0]).reshape(1, 1, 2)
    assert class_maps(scores, p, "hard")[0, :, 0].tolist() == [[2, 0], [0, 0], [0, 3]]
    assert class_maps(scores, p, "soft")[0, :, 0].T.tolist() == [
        pytest.approx([1, 1, 0]),
        pytest.approx([0.3, 0.6, 2.1]),
    ]


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_rows_are_whole(name):
    row = ACQUISITIONS[name]
    assert row.needs_model == (name != "random")
    assert isinstance(row, LogitsAcquisition) == (row.inputs == "logits")
    assert isinstance(row, ViewsAcquisition) == (row.inputs in ("transforms", "passes"))
    assert row.wants <= KINDS
    assert bool(row.wants) == isinstance(row, ViewsAcquisition)
    assert row.attribution != "none" or not row.weighs_classes
    assert row.aggregation == ("max" if name == "one_vs_rest" else "mean")
    assert row.paper
    assert find_acquisition(name) == row


def test_functions_that_configurations_name_are_all_there():
    listed = [row["name"] for row in list_acquisitions()]
    assert listed == [
        "random",
        "least_confidence",
        "margin",
        "entropy",
        "bvsb",
        "one_vs_rest",
        "ripu",
        "equal",
        "disagreement",
        "soft_vote_entropy",
        "bald",
        "dropquery",
        "edald",
        "qbc_kl",
        "vote_entropy",
        "variation_ratio",
        "expected_entropy",
        "balent",
        "class_balanced",
        "class_balanced_pixels",
        "pixbal",
        "validation_gap",
        "clasp",
    ]


@pytest.mark.parametrize("name", ACQUISITIONS)
def test_the_table_says_what_the_class_of_a_function_says(name):
    row, entry = ACQUISITIONS[name], ACQUISITION_ENTRIES[name]
    assert entry == replace(entry_of(row), place=entry.place)
    assert FUNCTIONS.find(name) is type(row)
    own = {key for key, readers in ACQUISITION_SETTINGS.items() if name in readers}
    assert type(row).model_fields.keys() - {"kind"} == own
    assert {key for key in ACQUISITION_SETTINGS if entry.reads(key)} == own
    assert entry.reads("per_image") and entry.reads("batch")
    assert entry.reads("temperature") == row.needs_model == entry.needs_model
    assert [entry.reads(key) for key in ("transforms", "passes")] == [
        row.inputs == key for key in ("transforms", "passes")
    ]


def test_own_settings_reach_their_function():
    logits = torch.randn(1, 3, 9, 9)
    wide = open_acquisition(StrategyConfig(acquisition="ripu", radius=3))
    assert torch.equal(wide.score_logits(logits), ripu(logits, 3))
    strong = open_acquisition(StrategyConfig(acquisition="pixbal", nu=2.0))
    assert strong.class_weights(STATS) == pytest.approx((1 + 2 * STATS.mean_probability) ** -2.0)
    for name, function in ACQUISITIONS.items():
        assert open_acquisition(StrategyConfig(acquisition=name)) == function


@pytest.mark.parametrize("name", [*ACQUISITIONS, f"{__name__}:negative_mean"])
@pytest.mark.parametrize(("key", "value"), [("radius", 2), ("nu", 3.5)])
def test_own_settings_are_refused_with_another_function(name, key, value):
    strategy = {"acquisition": name, key: value}
    if name in ACQUISITION_SETTINGS[key]:
        assert getattr(validate(StrategyConfig, strategy, source="run"), key) == value
        return
    with pytest.raises(ConfigError) as refused:
        validate(StrategyConfig, strategy, source="run")
    owner = ACQUISITION_SETTINGS[key][0]
    for part in (key, f"(value {value})", repr(name), repr(owner), "leave it out"):
        assert part in str(refused.value)
    assert validate(StrategyConfig, {**strategy, key: None}, source="run").acquisition == name


def test_another_function_leaves_settings_out_that_it_does_not_read():
    values = {"strategy": {"acquisition": "ripu", "radius": 3, "per_image": 2}}
    apply_setting(values, "strategy.acquisition", "entropy")
    assert values["strategy"] == {"acquisition": "entropy", "per_image": 2}
    apply_setting(values, "strategy", {"acquisition": "pixbal", "nu": 1.0})
    assert values["strategy"] == {"acquisition": "pixbal", "nu": 1.0, "per_image": 2}
    values = {
        "strategy": {"acquisition": "entropy", "radius": 3}
    }  # wrong before, and still to be refused
    apply_setting(values, "strategy.acquisition", "margin")
    assert values["strategy"]["radius"] == 3


def negative_mean(logits_NCHW):
    return -logits_NCHW.mean(1)


NOT_A_FUNCTION = 3


def test_a_users_own_function():
    row = find_acquisition(f"{__name__}:negative_mean")
    assert isinstance(row, Acquisition)
    assert row.inputs == "logits"
    assert row.needs_model
    assert torch.equal(row.score_logits(torch.ones(2, 3, 4, 5)), -torch.ones(2, 4, 5))


class VotesOfTwo(ViewsAcquisition):
    wants = frozenset({"votes"})

    def score_views(self, views):
        return views.votes[:, :2].sum(1)


def test_a_users_own_class():
    row = find_acquisition(f"{__name__}:VotesOfTwo")
    assert isinstance(row, VotesOfTwo)
    assert (row.inputs, row.wants) == ("passes", {"votes"})
    assert open_acquisition(StrategyConfig(acquisition=row.kind)) == row


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("entropi", "did you mean 'entropy'"),
        ("zzzz", "known names: random"),
        ("no_such_package:f", "cannot import 'no_such_package'"),
        (f"{__name__}:nothing", "has no 'nothing'"),
        (f"{__name__}:NOT_A_FUNCTION", "is a int and cannot be called"),
        (":f", "package.module:function"),
        ("math:", "package.module:function"),
    ],
)
def test_refuses_names(name, says):
    with pytest.raises(ConfigError, match=says):
        find_acquisition(name)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (torch.zeros(2, 3, 4, 5), r"shape \(2, 3, 4, 5\); it must be \(2, 4, 5\)"),
        (torch.full((2, 4, 5), float("nan")), "for 40 of 40 pixels"),
        (torch.full((2, 4, 5), float("inf")), "nan or infinity"),
        (np.zeros((2, 4, 5)), "returned a ndarray"),
    ],
)
def test_refuses_what_a_users_function_returns(values, says):
    with pytest.raises(RayALError, match=f"mine:score.*{says}"):
        check_pixel_output(values, torch.zeros(2, 3, 4, 5), "mine:score")


def test_pooling_counts_cells_by_their_area():
    rng = np.random.default_rng(0)
    height, width, rows, columns = 23, 31, 6, 8
    values = rng.normal(size=(rows, columns))
    fine = 12  # every native pixel as fine x fine samples of the cell below it
    ys = ((np.arange(height * fine) + 0.5) / fine * rows / height).astype(int)
    xs = ((np.arange(width * fine) + 0.5) / fine * columns / width).astype(int)
    dense = values[ys][:, xs]
    boxes = np.array([[0, 0, 23, 31], [0, 0, 5, 7], [7, 11, 12, 30], [22, 30, 23, 31]])
    pooled = BoxPooler(boxes, height, width).mean(torch.from_numpy(values)[None].float())[:, 0]
    for box, value in zip(boxes, pooled, strict=True):
        top, left, bottom, right = box * fine
        assert value.item() == pytest.approx(dense[top:bottom, left:right].mean(), abs=0.02)
    assert pooled[0].item() == pytest.approx(values.mean(), abs=1e-5)
