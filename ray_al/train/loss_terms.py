"""The terms of a training loss, and their combination over the workers."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ray_al.core.families.losses import Loss
from ray_al.train.comm import Comm


class LossTerm(NamedTuple):
    """One term of the loss.

    Attributes:
        sums: sums over this worker's part of the batch, one axis.
        value: returns the weighted term, a scalar, that follows from the sums of all workers.
    """

    sums: torch.Tensor
    value: Callable[[torch.Tensor], torch.Tensor]


class GlobalLoss(NamedTuple):
    """The loss of a global batch.

    Attributes:
        own: the loss as a function of this worker's part, to be differentiated. It is scaled by the
            number of workers, as gradients are averaged over them.
        value: loss of the global batch.
        first: first term of the global batch.
        is_stopped: whether a worker requested a stop.
    """

    own: torch.Tensor
    value: float
    first: float
    is_stopped: bool


def label_term(
    loss: Loss, sums: torch.Tensor, class_weights: torch.Tensor | None, *, copies: int = 1
) -> LossTerm:
    """Return the term of the labels.

    Args:
        loss: loss of the labels.
        sums: its sums, over all copies of the images.
        class_weights: shape (C,), or None.
        copies: number of copies of each image that were summed; the term is the sum of their
            losses, not the mean.
    """
    return LossTerm(sums, lambda total: copies * loss.value(total, class_weights))


def mean_term(weight: float, total: torch.Tensor, number: torch.Tensor) -> LossTerm:
    """Return a term weight * total / number.

    Args:
        weight: weight of the term.
        total: losses summed over this worker's part of the batch, a scalar.
        number: number of summed losses, a scalar.
    """
    sums = torch.stack([total, number.to(total)])
    return LossTerm(sums, lambda both: weight * both[0] / both[1].clamp_min(1))


def join_terms(terms: Sequence[LossTerm], comm: Comm, *, stop: bool) -> GlobalLoss:
    """Combine the terms of all workers with one collective sum.

    Each worker computes the terms of the global batch, and differentiates them by its own sums
    alone; the average over the workers, times their number, is the gradient of the global batch.

    Args:
        terms: this worker's terms; all workers give the same ones in the same order.
        comm: communication with the other workers.
        stop: whether this worker requests a stop.
    """
    device = terms[0].sums.device
    values = [term.sums.detach().float() for term in terms]
    flat = comm.sum(torch.cat([*values, torch.tensor([float(stop)], device=device)]))
    *sums, stopped = flat.split([*map(len, values), 1])
    known = [term.value(total) for term, total in zip(terms, sums, strict=True)]
    own = sum(
        (
            term.value(total + (term.sums - term.sums.detach()))
            for term, total in zip(terms, sums, strict=True)
        ),
        torch.zeros((), device=device),
    )
    total = sum(known, torch.zeros((), device=device))
    value, first, stops = torch.stack([total, known[0], stopped[0]]).tolist()  # one wait for a GPU
    return GlobalLoss(own=own * comm.world_size, value=value, first=first, is_stopped=bool(stops))
