"""Whether a strategy can work with a run's regions, labels and model; found out before the run starts."""

from ray_al.core.config import RunConfig
from ray_al.core.errors import ConfigError
from ray_al.core.strategy import START_RULES_ON_FEATURES
from ray_al.core.types import START_CYCLE
from ray_al.models import build_model
from ray_al.models.dropout import with_dropout
from ray_al.models.feature_noise import map_change
from ray_al.models.features import feature_layer
from ray_al.models.split import SplitNetwork
from ray_al.score.functions import Acquisition, find_acquisition
from ray_al.score.transforms import check_transform
from ray_al.select import BATCH_RULES
from ray_al.train.length import least_span


def check_strategy(config: RunConfig, num_classes: int) -> None:
    """Refuse combinations that fail only once a cycle is far.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    strategy, score = config.strategy, config.strategy.score
    function = find_acquisition(score)
    for name in strategy.transforms:
        check_transform(name)
    if config.regions.is_sparse and function.attribution != "none":
        raise ConfigError(f"regions.kind={config.regions.kind!r}: {score!r} needs the classes of whole regions; use grid, image or superpixels")
    check_scores(config, function)
    _check_offer(config, function)
    _check_start(config)
    config.label.check(config, num_classes)
    _check_network(config, num_classes)


def goes_with(function: Acquisition, rule: str) -> bool:
    """Whether a batch rule can take what a function scores."""
    if rule == "class_split":
        return function.attribution in ("hard", "soft")
    if BATCH_RULES[rule].needs == "covers":
        return function.needs_model
    return not (rule == "power" and function.signed)


def check_scores(config: RunConfig, function: Acquisition) -> None:
    """Refuse a batch rule, an aggregation or a way of scoring that does not go with what `function` scores.

    Raises:
        ConfigError: naming the key, the value and the remedy.
    """
    strategy, score = config.strategy, config.strategy.score
    if not goes_with(function, strategy.batch.kind):
        if strategy.batch.kind == "power":
            raise ConfigError(f"strategy.batch.kind='power': scores of {score!r} may be below 0 and have no power; use softmax or softrank")
        if BATCH_RULES[strategy.batch.kind].needs == "covers":
            raise ConfigError(
                f"strategy.batch.kind={strategy.batch.kind!r} looks at predicted classes, and {score!r} asks no model; use bvsb or entropy"
            )
        raise ConfigError(f"strategy.batch.kind={strategy.batch.kind!r} shares a query out by classes, which {score!r} does not score; use clasp")
    _check_covers(config)
    if strategy.aggregation not in ("auto", "mean") and function.attribution in ("hard", "soft"):
        raise ConfigError(f"strategy.aggregation={strategy.aggregation!r}: {score!r} adds up means by class; leave it at auto")
    if strategy.aggregation != "auto" and config.regions.is_sparse:
        raise ConfigError(
            f"strategy.aggregation={strategy.aggregation!r}: of regions.kind={config.regions.kind!r} a score is the pixel's or the window's mean; "
            "leave it at auto"
        )
    if "plain" in function.wants and strategy.passes.are_models:
        raise ConfigError(
            f"strategy.passes.kind={strategy.passes.kind!r}: {score!r} compares passes with the plain prediction of one model; "
            "use features, noise or dropout"
        )
    _check_snapshots(config, function)
    if strategy.lazy is not None and not function.needs_model:
        raise ConfigError(f"strategy.lazy: {score!r} looks at no image, there is nothing to save; leave lazy out")
    if strategy.lazy is not None and function.weights is not None:
        raise ConfigError(
            f"strategy.lazy: {score!r} weighs classes by what the model sees in the whole pool, of which lazy scoring sees a part; leave lazy out"
        )


def _check_covers(config: RunConfig) -> None:
    """Whether a batch rule that looks at the classes which cover regions can know them."""
    batch = config.strategy.batch
    if BATCH_RULES[batch.kind].needs != "covers":
        return
    if config.regions.is_sparse:
        raise ConfigError(
            f"strategy.batch.kind={batch.kind!r}: of regions.kind={config.regions.kind!r} an image offers its best candidates alone; "
            "use grid, image or superpixels, or another batch rule"
        )
    if config.strategy.lazy is not None:
        raise ConfigError(
            f"strategy.lazy: {batch.kind!r} ranks classes by what the model predicts for the whole pool, of which lazy scoring sees a part; "
            "leave lazy out"
        )


def _check_snapshots(config: RunConfig, function: Acquisition) -> None:
    passes, steps = config.strategy.passes, config.train.steps
    if function.inputs != "passes" or passes.kind != "snapshots":
        return
    if steps is not None and passes.count - 1 > (span := least_span(steps)):
        raise ConfigError(
            f"strategy.passes.count={passes.count}: snapshots are taken in the last part of a training, which has {span} or more steps of "
            f"train.steps={steps}; lower the count or raise the steps"
        )
    if config.budget.start_rule == "scored":
        raise ConfigError("budget.start_rule='scored': an untrained model has no snapshots to disagree; use another start rule, or dropout")


def _check_offer(config: RunConfig, function: Acquisition) -> None:
    offer, passes = config.strategy.offer, config.strategy.passes
    if offer is None:
        return
    if not config.regions.is_sparse:
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r}: of regions.kind={config.regions.kind!r} every region is scored; "
            "leave offer out, or use pixels or windows"
        )
    if not function.needs_model:
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r}: {config.strategy.score!r} looks at no image, and its regions are drawn "
            "from all; leave offer out, or score with a model"
        )
    changes_maps = function.inputs == "passes" and map_change(passes) is not None
    if offer.reads_features and not (config.model.is_frozen or changes_maps):
        raise ConfigError(
            f"strategy.offer.kind={offer.kind!r} compares the backbone's features, which are not at hand here; "
            "set model.frozen=true, or strategy.passes.kind to noise or features with a score over passes"
        )


def _check_start(config: RunConfig) -> None:
    rule = config.budget.start_rule
    if rule == "class_aware" and config.regions.is_sparse:
        raise ConfigError(f"budget.start_rule={rule!r}: regions.kind={config.regions.kind!r} has a region at every pixel; use random")
    if rule == "equal_per_image" and config.regions.kind not in ("grid", "image"):
        raise ConfigError(
            f"budget.start_rule={rule!r} needs regions of which an image's size tells all; regions.kind={config.regions.kind!r}: use random"
        )
    if rule in START_RULES_ON_FEATURES and config.model.weights == "none":
        raise ConfigError(
            f"budget.start_rule={rule!r} compares features of the untrained model, and model.weights is 'none'; set weights to 'backbone' or a file"
        )


def _check_network(config: RunConfig, num_classes: int) -> None:
    """Named places and layers exist; building the network takes a moment, so only where one is named or needed."""
    strategies = (config.strategy, config.strategy_at(START_CYCLE))
    layers = [strategy.feature_layer for strategy in strategies if BATCH_RULES[strategy.batch.kind].features]
    passes = config.strategy.passes
    stochastic = find_acquisition(config.strategy.score).inputs == "passes" and not passes.are_models
    if not layers and not stochastic:
        return
    import torch

    with torch.random.fork_rng(devices=[]):
        model = build_model(config.model, num_classes, load_weights=False)
    for layer in layers:
        feature_layer(model, layer)
    if not stochastic:
        return
    if map_change(passes) is None:
        with_dropout(model, passes.places, passes.probability)
    elif not isinstance(model, SplitNetwork):
        raise ConfigError(
            f"strategy.passes.kind={passes.kind!r}: the backbone of this model "
            "is not known; use dropout with strategy.passes.places, or model.kind=composed"
        )
