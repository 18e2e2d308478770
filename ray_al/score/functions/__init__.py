"""Acquisition functions: pure, tensors in, one score a pixel out; higher is more worth labelling. One table lists them."""

import difflib
from collections.abc import Callable, Mapping

import torch

from ray_al.core.errors import ConfigError
from ray_al.score.functions.acquisition import Acquisition, ClassStats, PixelScore, ScoreOptions
from ray_al.score.functions.balent import balanced_entropy
from ray_al.score.functions.bvsb import bvsb
from ray_al.score.functions.class_weights import (
    iou_gap,
    pixel_balance,
    probability_balance,
    region_balance,
)
from ray_al.score.functions.classes import class_maps, final_scores
from ray_al.score.functions.custom import check_pixel_output, import_acquisition
from ray_al.score.functions.dropquery import dropquery
from ray_al.score.functions.edald import entropy_and_disagreement
from ray_al.score.functions.equal import summed_entropy
from ray_al.score.functions.mutual_information import (
    expected_entropy,
    mutual_information,
    soft_vote_entropy,
)
from ray_al.score.functions.one_vs_rest import one_vs_rest
from ray_al.score.functions.ripu import ripu
from ray_al.score.functions.uncertainty import least_confidence, margin
from ray_al.score.functions.votes import variation_ratio, vote_entropy
from ray_al.score.shannon import entropy


def _plain(score: Callable[[torch.Tensor], torch.Tensor]) -> PixelScore:
    """A kernel that has no settings, as a row takes it."""
    return lambda logits_NCHW, options: score(logits_NCHW)


MEAN_P, MEAN_ENTROPY, VOTES = (
    frozenset({"mean_p"}),
    frozenset({"mean_entropy"}),
    frozenset({"votes"}),
)

ACQUISITIONS: Mapping[str, Acquisition] = {
    "random": Acquisition(paper="uniform, drawn from seed, cycle and region name", inputs="none"),
    "least_confidence": Acquisition(paper="Lewis and Gale, SIGIR 1994", inputs="logits", pixel=_plain(least_confidence)),
    "margin": Acquisition(paper="Scheffer et al., IDA 2001", inputs="logits", pixel=_plain(margin)),
    "entropy": Acquisition(paper="Shannon, 1948; Settles, 2009", inputs="logits", pixel=_plain(entropy)),
    "bvsb": Acquisition(paper="best versus second best: Cai et al., CVPR 2021", inputs="logits", pixel=_plain(bvsb)),
    "one_vs_rest": Acquisition(paper="OREAL: Wu et al., WACV 2025", inputs="logits", pixel=_plain(one_vs_rest), aggregation="max"),
    "ripu": Acquisition(
        paper="RIPU: Xie et al., CVPR 2022", inputs="logits", pixel=lambda logits, options: ripu(logits, options.radius), windowed=True,
        settings=("radius",),
    ),
    "equal": Acquisition(paper="EquAL: Golestaneh and Kitani, BMVC 2020", inputs="transforms", views=summed_entropy, wants=MEAN_ENTROPY),
    "disagreement": Acquisition(
        paper="mutual information over transforms, an extension of EquAL",
        inputs="transforms", views=mutual_information, wants=MEAN_P | MEAN_ENTROPY,
    ),
    "soft_vote_entropy": Acquisition(
        paper="entropy of the mean of passes: Gal et al., ICML 2017", inputs="passes", views=soft_vote_entropy, wants=MEAN_P
    ),
    "bald": Acquisition(
        paper="Houlsby et al., 2011; Gal et al., ICML 2017", inputs="passes", views=mutual_information, wants=MEAN_P | MEAN_ENTROPY
    ),
    "dropquery": Acquisition(
        paper="DropQuery: Gupte et al., TMLR 2024 (arXiv 2401.14555)", inputs="passes", views=dropquery, wants=VOTES | {"plain"}
    ),
    "edald": Acquisition(
        paper="eDALD: Kim et al., NeurIPS 2025 (arXiv 2510.22229)",
        inputs="passes", views=entropy_and_disagreement, wants=MEAN_P | MEAN_ENTROPY | {"plain"},
    ),
    "qbc_kl": Acquisition(
        paper="McCallum and Nigam, ICML 1998; equals bald", inputs="passes", views=mutual_information, wants=MEAN_P | MEAN_ENTROPY
    ),
    "vote_entropy": Acquisition(paper="Dagan and Engelson, ICML 1995", inputs="passes", views=vote_entropy, wants=VOTES),
    "variation_ratio": Acquisition(paper="Freeman, 1965; Gal et al., ICML 2017", inputs="passes", views=variation_ratio, wants=VOTES),
    "expected_entropy": Acquisition(paper="mean entropy of passes", inputs="passes", views=expected_entropy, wants=MEAN_ENTROPY),
    "balent": Acquisition(
        paper="BalEntAcq: Woo, ICLR 2023", inputs="passes", views=balanced_entropy, wants=frozenset({"mean_p", "var_p"}), signed=True
    ),
    "class_balanced": Acquisition(
        paper="RevSpx: Cai et al., CVPR 2021", inputs="logits", pixel=_plain(bvsb), attribution="dominant", weights=region_balance
    ),
    "class_balanced_pixels": Acquisition(
        paper="ASAL: Kim et al., ICCV 2023", inputs="logits", pixel=_plain(bvsb), attribution="dominant", weights=pixel_balance
    ),
    "pixbal": Acquisition(
        paper="MulActSeg: Hwang et al., NeurIPS 2023", inputs="logits", pixel=_plain(bvsb), attribution="hard", weights=probability_balance,
        settings=("nu",),
    ),
    "validation_gap": Acquisition(
        paper="DCAU-AL, 2026 (arXiv 2604.08965)", inputs="logits", pixel=_plain(entropy), attribution="hard", weights=iou_gap
    ),
    "clasp": Acquisition(paper="ClaSP PE of nnActive, 2026", inputs="logits", pixel=_plain(entropy), attribution="soft"),
}  # fmt: skip


def list_acquisitions() -> list[dict[str, str]]:
    """Name and source of every acquisition function."""
    return [{"name": name, "paper": row.paper} for name, row in ACQUISITIONS.items()]


def find_acquisition(name: str) -> Acquisition:
    """The function of that name: of the table, or the user's own `package.module:function`.

    Raises:
        ConfigError: there is none; the nearest known name is given, or what is wrong with the user's.
    """
    if ":" in name:
        return import_acquisition(name)
    if name in ACQUISITIONS:
        return ACQUISITIONS[name]
    near = difflib.get_close_matches(name, ACQUISITIONS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "known names: " + ", ".join(ACQUISITIONS)
    raise ConfigError(
        f"strategy.score {name!r}: unknown acquisition function; {hint} (or package.module:function)"
    )


__all__ = [
    "ACQUISITIONS",
    "Acquisition",
    "ClassStats",
    "ScoreOptions",
    "check_pixel_output",
    "class_maps",
    "final_scores",
    "find_acquisition",
    "list_acquisitions",
]
