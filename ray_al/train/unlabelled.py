"""The loss on unlabelled pixels, whose targets are predictions of the network itself."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ray_al.core.seeding import generator
from ray_al.core.types import IGNORE_INDEX, TrainPlan
from ray_al.core.variants import Semi
from ray_al.train.comm import Comm
from ray_al.train.inputs import Batch, BatchMaker, Places, as_float
from ray_al.train.sampled_logits import sample_logits
from ray_al.train.targets import labelled_pixels


class Unlabelled:
    """Compares the predictions for drawn views with those for the unchanged images.

    Pixels without a label are drawn; the prediction for the unchanged image becomes their label if
    it is confident.

    Args:
        semi: decides which predictions are confident.
        plan: plan of the training.
        batches: makes the batches of the plan.
        comm: communication with the other workers.
        batch_size: number of images in the global batch.
    """

    def __init__(
        self, semi: Semi, plan: TrainPlan, batches: BatchMaker, comm: Comm, batch_size: int
    ) -> None:
        self.semi = semi
        self.plan = plan
        self.batches = batches
        self.comm = comm
        self.pixels_per_image = -(-semi.pixels // batch_size)

    def sums(
        self, model: nn.Module, logits: torch.Tensor, batch: Batch, places: Places, step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Sum the cross entropy over the drawn pixels with a confident prediction.

        The number of drawn pixels, by which the sum is to be divided, includes labelled pixels and
        pixels without a confident prediction. So if nearly all pixels are labelled, the few others
        (void) have little influence. There are no class weights: thresholds for each class balance
        the classes already, and wrong predictions of a rare class would get the largest weight.

        Args:
            model: the network, not wrapped; its mode is restored.
            logits: shape (N, C, h, w), predictions for `batch`.
            batch: a batch of drawn views.
            places: images of the batch.
            step: number of the step.

        Returns:
            The sum and the number of drawn pixels, two scalars.
        """
        size = (batch.labels.shape[1], batch.labels.shape[2])
        images, pixels, origins = (
            torch.from_numpy(numbers).to(logits.device)
            for numbers in self._draw(batch, places, step)
        )
        is_training = model.training
        model.eval()
        with torch.no_grad():
            teacher = model(as_float(self.batches.plain(places).inputs))
            probabilities = sample_logits(teacher, images, origins, size).softmax(1)
            labels = self.semi.label(probabilities, self.comm.sum)
        model.train(is_training)
        values = sample_logits(logits, images, pixels, size)
        total = F.cross_entropy(values, labels, ignore_index=IGNORE_INDEX, reduction="sum")
        return total, torch.tensor(float(len(places) * self.pixels_per_image), device=logits.device)

    def _draw(
        self, batch: Batch, places: Places, step: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draw pixels of each image, and keep those without a label.

        Returns:
            For each pixel its image in the batch, its flat index in the view, and its flat index in
            the image; three int64 arrays of the same length.
        """
        images: list[np.ndarray] = []
        pixels: list[np.ndarray] = []
        origins: list[np.ndarray] = []
        count = batch.labels.shape[1] * batch.labels.shape[2]
        rows = zip(places, labelled_pixels(batch.labels), strict=True)
        for row, (place, labelled) in enumerate(rows):
            rng = generator("unlabelled", self.plan.seed, self.plan.cycle, step, place)
            drawn = np.setdiff1d(rng.integers(count, size=self.pixels_per_image), labelled)
            origin = batch.origins[row]
            images.append(np.full(len(drawn), row))
            pixels.append(drawn)
            origins.append(drawn if origin is None else origin().ravel()[drawn].astype(np.int64))
        return np.concatenate(images), np.concatenate(pixels), np.concatenate(origins)
