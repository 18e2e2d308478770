"""The schedules against torch's, which differ from them in the last bits only."""

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, PolynomialLR, StepLR

from ray_al.core.config import TrainConfig
from ray_al.train.length import POLY_POWER, STEP_FACTOR, Length, rate_factor

STEPS, NUM_IMAGES, BATCH_SIZE = 200, 10, 2  # epochs of five steps

SCHEDULERS = {
    "poly": lambda optimizer: PolynomialLR(optimizer, STEPS, POLY_POWER),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, STEPS),
    "step": lambda optimizer: StepLR(optimizer, 4 * 5, STEP_FACTOR),
}


@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_rates_are_those_of_torch(schedule):
    train = TrainConfig(steps=STEPS, schedule=schedule, schedule_step=4)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = SCHEDULERS[schedule](optimizer)
    for step in range(STEPS):
        factor = rate_factor(train, Length(STEPS, guess=1.0), step, NUM_IMAGES, BATCH_SIZE)
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        scheduler.step()
