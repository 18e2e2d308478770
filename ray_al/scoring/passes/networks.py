"""Run many stochastic passes over a batch, computing their common part once."""

import copy
import logging
from typing import Any, NamedTuple

import torch
from torch import fx, nn

from ray_al.core.errors import ConfigError
from ray_al.models.dropout import PassDropout, dropout_pass
from ray_al.models.feature_noise import MapChange, PassKey
from ray_al.models.foreign import ForeignSegmenter
from ray_al.models.layers import root_of, trace
from ray_al.models.split import Maps, SplitNetwork
from ray_al.scoring.inputs import NetworkInput
from ray_al.scoring.prepare import Resolved, prepare_network

logger = logging.getLogger(__name__)


class DropoutSplit(NamedTuple):
    """A graph cut at its dropout layers: `back(*front(input))` equals the whole."""

    front: fx.GraphModule
    back: fx.GraphModule
    back_writes: bool
    """Whether the back works in place, and so needs copies of its inputs."""


class FeaturePasses:
    """A network whose passes differ in the maps entering its head.

    Args:
        network: from `build_model`, with its weights, not yet prepared; it is changed in place.
        change: the change that a pass makes to the maps.
        precision: as for `prepare_network`.
        device: where to compute.
        seed: of the run.
        cycle: of the scores.
    """

    def __init__(
        self,
        network: SplitNetwork,
        change: MapChange,
        precision: Resolved,
        device: torch.device | str,
        *,
        seed: int,
        cycle: int,
    ) -> None:
        self.change, self.seed, self.cycle = change, seed, cycle
        self.backbone: nn.Module | None = None
        if not network.is_frozen:
            # A copy: a part that cannot be traced is prepared in place, and the head would be too.
            self.backbone = prepare_network(_Backbone(copy.deepcopy(network)), precision, device)
        self.head = prepare_network(network.head_network(), precision, device)

    def prefix(self, given: NetworkInput) -> Maps:
        """Return the maps (N, c, h, w) that all passes share; see `PassNetwork.prefix`."""
        if self.backbone is None:
            assert isinstance(given, tuple), "a frozen network is given maps"
            return given
        maps: Maps = self.backbone(given)
        return maps

    def suffix(self, prefix: Maps, number: int | None) -> torch.Tensor:
        """Return the logits of one pass; see `PassNetwork.suffix`."""
        # Copied if nothing is changed, as the head may work in place.
        key = None if number is None else PassKey(self.seed, self.cycle, number)
        logits: torch.Tensor = self.head(
            _copied(prefix) if key is None else self.change(prefix, key)
        )
        return logits


class _Backbone(nn.Module):
    """The part of a network from images (N, 3, H, W) to maps."""

    def __init__(self, network: SplitNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Maps:
        """Return the maps of images."""
        return self.network.maps(images)


class StochasticNetwork:
    """A network with `PassDropout` layers; the part before the first is computed once per batch.

    Args:
        network: with dropout (`with_dropout`), prepared (`prepare_network`) at any precision.
        seed: of the run.
        cycle: of the scores.

    Raises:
        ConfigError: the network has no `PassDropout` on the way from its input to the logits.
    """

    def __init__(self, network: nn.Module, seed: int, cycle: int) -> None:
        self.network, self.seed, self.cycle = network, seed, cycle
        if not any(isinstance(module, PassDropout) for module in network.modules()):
            raise ConfigError(
                "strategy.passes.kind=dropout: the network has no dropout layer to differ by; "
                "name layers in strategy.passes.places"
            )
        self.split = _dropout_split(root_of(network))

    def prefix(self, given: NetworkInput) -> tuple[Any, ...]:
        """Return the values that all passes share; see `PassNetwork.prefix`."""
        if self.split is None:
            return (given,)
        shared: tuple[Any, ...] = self.split.front(given)
        return shared

    def suffix(self, prefix: tuple[Any, ...], number: int | None) -> torch.Tensor:
        """Return the logits of one pass; see `PassNetwork.suffix`."""
        if self.split is None or self.split.back_writes:
            prefix = _copied(prefix)
        with dropout_pass(self.seed, self.cycle, number):
            output = self.network(*prefix) if self.split is None else self.split.back(*prefix)
        if self.split is not None and isinstance(self.network, ForeignSegmenter):
            return self.network.logits_of(output)
        logits: torch.Tensor = output
        return logits


def _copied(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_copied(part) for part in value)
    return value.clone() if isinstance(value, torch.Tensor) else value


def _dropout_split(root: nn.Module) -> DropoutSplit | None:
    try:
        traced = root if isinstance(root, fx.GraphModule) else trace(root)
    except Exception as error:  # for any reason: untraced passes are right, only slower
        logger.warning("every pass computes the whole network, it cannot be traced: %s", error)
        return None
    return split_at_dropout(traced)


def split_at_dropout(traced: fx.GraphModule) -> DropoutSplit:
    """Cut a graph so that nodes which depend on no dropout are computed in the front.

    If a node behind the first dropout works in place, only nodes before that dropout go to the
    front. Steps then keep their order, and no value is read after it was overwritten.

    Raises:
        ConfigError: no dropout layer is called.
    """
    modules = dict(traced.named_modules())
    nodes = list(traced.graph.nodes)
    positions = [position for position, node in enumerate(nodes) if _drops(node, modules)]
    if not positions:
        raise ConfigError(
            "strategy.passes.places: no dropout layer lies between images and logits; "
            "name another layer"
        )
    writes = any(_works_in_place(node, modules) for node in nodes[positions[0] :])
    behind: set[fx.Node] = set()
    for position, node in enumerate(nodes):
        depends = _drops(node, modules) or any(source in behind for source in node.all_input_nodes)
        if depends or node.op == "output" or (writes and position > positions[0]):
            behind.add(node)
    front = [node for node in nodes if node not in behind]
    shared = [node for node in front if not behind.isdisjoint(node.users)]
    return DropoutSplit(
        _front(traced, front, shared),
        _back(traced, [node for node in nodes if node in behind], shared),
        writes,
    )


def _front(traced: fx.GraphModule, nodes: list[fx.Node], shared: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in shared))
    return fx.GraphModule(traced, graph)


def _back(traced: fx.GraphModule, nodes: list[fx.Node], shared: list[fx.Node]) -> fx.GraphModule:
    graph = fx.Graph()
    copies = {node: graph.placeholder(node.name) for node in shared}
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    return fx.GraphModule(traced, graph)


def _drops(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and any(
        isinstance(module, PassDropout) for module in modules[str(node.target)].modules()
    )


def _works_in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_method":
        return str(node.target).endswith("_")
    # An operator such as += is traced as the one that does not work in place.
    name = getattr(node.target, "__name__", "")
    return (
        name.endswith("_") or bool(node.kwargs.get("inplace")) or node.kwargs.get("out") is not None
    )
