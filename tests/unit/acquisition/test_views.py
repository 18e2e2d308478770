"""Running sums over passes against the passes themselves in float64."""

import numpy as np
import pytest
import torch

from ray_al.acquisition.views import KINDS, PredictionStatistics
from ray_al.core.errors import RayALError


def views_of(passes, wants=KINDS):
    views = PredictionStatistics(wants)
    for logits in passes:
        views.add(logits)
    return views


@pytest.mark.parametrize("num_passes", [1, 2, 7])
def test_sums_equal_those_of_all_passes_at_once(num_passes):
    passes = torch.from_numpy(
        np.random.default_rng(num_passes).normal(0, 3, (num_passes, 2, 4, 3, 5))
    ).float()
    views = views_of(passes)
    p = passes.double().softmax(2)
    votes = torch.nn.functional.one_hot(passes.argmax(2), 4).movedim(-1, 2).double()
    assert views.count == num_passes
    assert torch.allclose(views.mean_p.double(), p.mean(0), atol=1e-6)
    assert torch.allclose(views.var_p.double(), p.var(0, unbiased=False), atol=1e-6)
    assert torch.allclose(views.mean_entropy.double(), -(p * p.log()).sum(2).mean(0), atol=1e-5)
    assert torch.allclose(views.votes.double(), votes.mean(0), atol=1e-6)


def test_equal_passes_have_no_variance_even_far_from_zero():
    logits = torch.tensor([12.0, 0.1, -3.0]).reshape(1, 3, 1, 1)
    views = views_of([logits] * 50)
    assert (views.var_p == 0).all()
    assert (views.mean_p == logits.softmax(1)).all()


def test_variance_of_two_one_hot_passes():
    views = views_of(
        [torch.tensor([1e4, 0.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 1e4]).reshape(1, 2, 1, 1)]
    )
    assert views.mean_p.flatten().tolist() == [0.5, 0.5]
    assert views.var_p.flatten().tolist() == [0.25, 0.25]
    assert views.mean_entropy.item() == 0
    assert views.votes.flatten().tolist() == [0.5, 0.5]


def test_equal_logits_vote_for_the_lowest_class():
    assert views_of([torch.zeros(1, 3, 1, 1)]).votes.flatten().tolist() == [1, 0, 0]


def test_half_precision_is_added_up_in_float32():
    assert (
        views_of([torch.zeros(1, 3, 1, 1, dtype=torch.bfloat16)] * 3).mean_p.dtype == torch.float32
    )


def test_the_passes_logits_stay_as_they_are():
    passes = torch.randn(3, 1, 4, 2, 2)
    before = passes.clone()
    views_of(passes)
    assert (passes == before).all()


@pytest.mark.parametrize("kind", sorted(KINDS - {"plain"}))
def test_only_what_is_wanted_is_kept(kind):
    views = views_of([torch.zeros(1, 3, 2, 2)] * 2, frozenset({kind}))
    getattr(views, kind)
    for other in KINDS - {kind}:
        with pytest.raises(RayALError, match=f"hold no {other}"):
            getattr(views, other)


def test_refuses_what_is_not_known_and_what_is_not_there_yet():
    with pytest.raises(RayALError, match="max_p"):
        PredictionStatistics(frozenset({"max_p"}))
    with pytest.raises(RayALError, match="0 passes"):
        _ = PredictionStatistics(KINDS).votes


def test_the_plain_pass_is_none_of_the_passes():
    views = PredictionStatistics(frozenset({"plain", "votes"}))
    views.add_plain(torch.tensor([0.0, 5.0]).view(1, 2, 1, 1))
    views.add(torch.tensor([5.0, 0.0]).view(1, 2, 1, 1))
    assert views.count == 1 and views.votes.flatten().tolist() == [1.0, 0.0]
    assert views.plain.flatten().tolist() == [0.0, 5.0]
