"""Check before a run that its strategy works with its regions, labels and model."""

import torch

from ray_al.acquisition import Acquisition, find_acquisition
from ray_al.acquisition.transforms import check_transform
from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.types import START_CYCLE
from ray_al.models import build_model
from ray_al.models.features import feature_layer


def check_strategy(config: RunConfig, num_classes: int) -> None:
    """Refuse combinations that would otherwise fail in the middle of a run.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    strategy, score = config.strategy, config.strategy.acquisition
    function = find_acquisition(score)
    for name in strategy.transforms:
        check_transform(name)
    if config.regions.is_sparse and function.attribution != "none":
        raise ConfigError(
            f"regions.kind={config.regions.kind!r}: {score!r} needs the classes of whole regions; "
            "use grid, image or superpixels"
        )
    check_scores(config, function)
    _check_offer(config, function)
    _check_label_time(config, num_classes)
    config.budget.start_rule.check(config)
    config.label.check(config, num_classes)
    _check_network(config, num_classes)


def check_scores(config: RunConfig, function: Acquisition) -> None:
    """Refuse a batch rule, an aggregation or a way of scoring that does not fit `function`.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    strategy, score = config.strategy, config.strategy.acquisition
    if problem := strategy.batch.why_not(score, function):
        raise ConfigError(problem)
    strategy.batch.check(config)
    if strategy.aggregation not in ("auto", "mean") and function.attribution in ("hard", "soft"):
        raise ConfigError(
            f"strategy.aggregation={strategy.aggregation!r}: {score!r} adds up means by class; "
            "leave it at auto"
        )
    if strategy.aggregation != "auto" and config.regions.is_sparse:
        raise ConfigError(
            f"strategy.aggregation={strategy.aggregation!r}: for regions.kind="
            f"{config.regions.kind!r} a score is the mean of the pixel or the window; "
            "leave it at auto"
        )
    if "plain" in function.wants and strategy.passes.are_models:
        raise ConfigError(
            f"strategy.passes.kind={strategy.passes.kind!r}: {score!r} compares passes with the "
            "plain prediction of one model; use features, noise or dropout"
        )
    if function.inputs == "passes":
        strategy.passes.check(config)
    if strategy.label_time is not None:
        _check_function_of_label_time(config, function)
    if strategy.lazy is not None and not function.needs_model:
        raise ConfigError(
            f"strategy.lazy: {score!r} looks at no image, there is nothing to save; leave lazy out"
        )
    if strategy.lazy is not None and function.weighs_classes:
        raise ConfigError(
            f"strategy.lazy: {score!r} weighs classes by what the model sees in the whole pool, "
            "of which lazy scoring sees a part; leave lazy out"
        )


def _check_function_of_label_time(config: RunConfig, function: Acquisition) -> None:
    """Refuse scores that cannot be divided by the time of labels."""
    score = config.strategy.acquisition
    if not function.needs_model:
        raise ConfigError(
            f"strategy.label_time: {score!r} looks at no image, and the time of a label is learnt "
            "from what a model predicts; leave label_time out, or score with a model"
        )
    if function.signed:
        raise ConfigError(
            f"strategy.label_time: scores of {score!r} may be below 0, and divided by a time they "
            "would favour slow labels; leave label_time out, or use another function"
        )
    if config.strategy.lazy is not None:
        raise ConfigError(
            "strategy.lazy: it picks images by scores that are not divided by the time of labels; "
            "leave lazy or strategy.label_time out"
        )


def _check_label_time(config: RunConfig, num_classes: int) -> None:
    """Refuse to divide by the time of labels where every label takes the same time."""
    if config.strategy.label_time is None:
        return
    if config.regions.is_sparse:
        raise ConfigError(
            f"strategy.label_time: with regions.kind={config.regions.kind!r} every label takes the "
            "same time; leave label_time out, or use grid, image or superpixels"
        )
    if config.label.most_clicks(2**20, num_classes) == 1:
        raise ConfigError(
            f"strategy.label_time: with label.kind={config.label.kind!r} every label takes one "
            "click; leave label_time out"
        )


def _check_offer(config: RunConfig, function: Acquisition) -> None:
    """Refuse a way of offering regions that the regions, the score or the model do not allow."""
    offer, passes = config.strategy.offer, config.strategy.passes
    if offer is None:
        return
    if not config.regions.is_sparse:
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r}: for regions.kind={config.regions.kind!r} every "
            "region is scored; leave offer out, or use pixels or windows"
        )
    if not function.needs_model:
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r}: {config.strategy.acquisition!r} looks at no "
            "image, and its regions are drawn from all; leave offer out, or score with a model"
        )
    changes_maps = function.inputs == "passes" and passes.changes_maps
    if offer.reads_features and not (config.model.is_frozen or changes_maps):
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r} compares the backbone's features, which are not "
            "computed here; set model.frozen=true, or strategy.passes.kind to noise or features "
            "with a score over passes"
        )
    if offer.reads_features and config.data.tile is not None:
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r} compares features of whole images, and data.tile="
            f"{list(config.data.tile)} divides images into tiles; use another offer"
        )


def _check_network(config: RunConfig, num_classes: int) -> None:
    """Refuse places and layers that the network does not have.

    Building the network takes a moment, so it is built only if a place or layer is named.
    """
    strategies = (config.strategy, config.strategy_at(START_CYCLE))
    layers = [strategy.feature_layer for strategy in strategies if strategy.batch.reads_features]
    passes = config.strategy.passes
    stochastic = (
        find_acquisition(config.strategy.acquisition).inputs == "passes" and not passes.are_models
    )
    if not layers and not stochastic:
        return
    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, num_classes, config.data.num_channels, load_weights=False)
    for layer in layers:
        feature_layer(model, layer)
    if stochastic:
        passes.check_network(model)
