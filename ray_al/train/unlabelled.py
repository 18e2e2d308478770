"""The loss on pixels that nobody labelled: the network's own prediction for them, where it is believed."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ray_al.core.seeding import generator
from ray_al.core.types import IGNORE_INDEX, TrainPlan
from ray_al.core.variants import Semi
from ray_al.train.comm import Comm
from ray_al.train.inputs import Batch, BatchMaker, Places, as_float
from ray_al.train.targets import labelled_pixels, sample_logits


class Unlabelled:
    """Draws pixels without a label, has the network label them in the image as it is, and compares with the drawn view.

    Args:
        semi: which predictions are believed.
        plan: what is trained.
        batches: what makes its batches.
        comm: the other workers.
        batch_size: images of the global batch.
    """

    def __init__(
        self, semi: Semi, plan: TrainPlan, batches: BatchMaker, comm: Comm, batch_size: int
    ) -> None:
        self.semi, self.plan, self.batches, self.comm = semi, plan, batches, comm
        self.share = -(-semi.pixels // batch_size)
        """Pixels that each image gives."""

    def sums(
        self, model: nn.Module, logits: torch.Tensor, batch: Batch, places: Places, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cross entropy summed over the pixels whose prediction is believed, and the number of pixels drawn, two scalars.

        The loss is a mean over all that were drawn, labelled ones and those of no believed prediction among them: where
        nearly all pixels have a label, the few others (void) count for little. No class weights: thresholds by class balance
        the classes already, and wrong predictions of a rare class would weigh most.

        Args:
            model: the network itself.
            logits: (N, C, h, w), of the batch.
            batch: a drawn one.
            places: its images.
            step: number of the step.
        """
        size = (batch.labels.shape[1], batch.labels.shape[2])
        images, pixels, origins = self._draw(batch, places, step)
        where = [torch.from_numpy(one).to(logits.device) for one in (images, pixels, origins)]
        is_training = model.training
        model.eval()
        with torch.no_grad():
            teacher = model(as_float(self.batches.plain(places).inputs))
            probabilities = sample_logits(teacher, where[0], where[2], size).softmax(1)
            labels = self.semi.label(probabilities, self.comm.sum)
        model.train(is_training)
        values = sample_logits(logits, where[0], where[1], size)
        total = F.cross_entropy(values, labels, ignore_index=IGNORE_INDEX, reduction="sum")
        return total, torch.tensor(float(len(places) * self.share), device=logits.device)

    def _draw(
        self, batch: Batch, places: Places, step: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the drawn pixels those without a label: image of the batch, flat number in the view, flat number in the image."""
        images, pixels, origins = [], [], []
        count = batch.labels.shape[1] * batch.labels.shape[2]
        for row, (place, labelled) in enumerate(
            zip(places, labelled_pixels(batch.labels), strict=True)
        ):
            rng = generator("unlabelled", self.plan.seed, self.plan.cycle, step, place)
            drawn = np.setdiff1d(rng.integers(count, size=self.share), labelled)
            origin = batch.origins[row]
            images.append(np.full(len(drawn), row))
            pixels.append(drawn)
            origins.append(drawn if origin is None else origin.ravel()[drawn].astype(np.int64))
        return np.concatenate(images), np.concatenate(pixels), np.concatenate(origins)
