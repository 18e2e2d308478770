"""The terms of a training loss, and their combination over the workers."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ray_al.train.comm import Comm
from ray_al.train.losses import Sums


class LossTerm(NamedTuple):
    """One term of the loss, weight * total / number.

    Attributes:
        weight: weight of the term.
        total: losses summed over this worker's part of the batch, a scalar.
        number: number of summed losses, a scalar.
    """

    weight: float
    total: torch.Tensor
    number: torch.Tensor


class GlobalLoss(NamedTuple):
    """The loss of a global batch.

    Attributes:
        own: this worker's part, to be differentiated. It is scaled by the number of workers, as
            gradients are averaged over them.
        value: loss of the global batch.
        first: first term of the global batch, without its weight.
        is_stopped: whether a worker requested a stop.
    """

    own: torch.Tensor
    value: float
    first: float
    is_stopped: bool


def label_terms(sums: Sums, prototype: float) -> list[LossTerm]:
    """Return the terms of the labels; `prototype` weighs the prototypical pixel loss."""
    return [
        LossTerm(1.0, sums.total, sums.labelled),
        LossTerm(prototype, sums.prototypes, sums.pairs),
    ]


def join_terms(terms: Sequence[LossTerm], comm: Comm, *, stop: bool) -> GlobalLoss:
    """Combine the terms of all workers with one collective sum.

    Args:
        terms: this worker's terms; all workers give the same ones in the same order.
        comm: communication with the other workers.
        stop: whether this worker requests a stop.
    """
    device = terms[0].total.device
    values = [value.detach().float() for term in terms for value in (term.total, term.number)]
    sums = comm.sum(torch.stack([*values, torch.tensor(float(stop), device=device)]))
    totals, counts = sums[:-1:2], sums[1::2].clamp_min(1)
    value = sum(
        term.weight * total / count
        for term, total, count in zip(terms, totals, counts, strict=True)
    )
    own = sum(
        (term.weight * term.total / count for term, count in zip(terms, counts, strict=True)),
        torch.zeros((), device=device),
    )
    return GlobalLoss(
        own=own * comm.world_size,
        value=float(value),
        first=float(totals[0] / counts[0]),
        is_stopped=bool(sums[-1]),
    )
