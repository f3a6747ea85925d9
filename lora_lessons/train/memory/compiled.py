"""What a compiled block takes of memory, from its graph alone.

PyTorch's compiler, inductor, saves memory in two ways. It divides a block's graph into a forward
and a backward part so that little is kept in between, and computes the rest again: here PyTorch's
own partitioner does this too, on the same operations. And it writes elementwise operations into the
kernels that read their results, which are then never in memory. That is a model here: a result is
in memory if it is not elementwise, or if something reads it that must find it there: a matrix
product, attention, or who called. Memory is taken in the graph's order and given back after the
last reader. No code is generated and nothing is computed.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_map_only

from .meter import MemoryMeter

# computed where they are read, like the operations that PyTorch calls pointwise itself
INLINED = {
    *("aten::arange", "aten::cat", "aten::constant_pad_nd", "aten::full", "aten::gather"),
    *("aten::rand", "aten::scalar_tensor", "aten::slice_scatter", "prims::iota"),
    *("prims::inductor_lookup_seed", "prims::inductor_random"),
}
# their results are in memory, but elementwise operations before them are part of the kernel
REDUCTIONS = {
    *("aten::amax", "aten::amin", "aten::any", "aten::mean", "aten::prod", "aten::scatter"),
    *("aten::sum", "aten::var_mean"),
}


class MemoryOfGraph:
    """A graph as a function that takes and gives back the memory of its results, and no more.

    Operations that are not known (neither pointwise nor in the two lists) are counted with all that
    they read and write, so the count is rather too high than too low.
    """

    def __init__(self, module: fx.GraphModule) -> None:
        nodes = list(module.graph.nodes)
        self.inputs = [node for node in nodes if node.op == "placeholder"]
        self.constants = {n: getattr(module, n.target) for n in nodes if n.op == "get_attr"}
        self.results = nodes[-1].args[0]
        self.owner: dict[fx.Node, fx.Node] = {}  # whose memory a node's result lies in
        for node in nodes:
            source: Any = node.args[0] if node.args else None
            self.owner[node] = self.owner[source] if self._shares(node) else node
        self.stored = self._stored(nodes)
        own = [n for n in nodes if n.op == "call_function" and self.owner[n] is n]
        self.made = [node for node in own if node in self.stored]
        self.freed = self._freed(own)

    def _shares(self, node: fx.Node) -> bool:
        """Whether a result is a view, or a copy that changes nothing, which is left out."""
        target: Any = node.target
        read: Any = node.args[0] if node.args else None
        if target is operator.getitem:  # of views, or of an operation's several results
            return self.owner[read] is not read
        if name_of(node) == "aten::clone":
            return bool(node.meta["val"].stride() == read.meta["val"].stride())
        returns = target._schema.returns if name_of(node) else ()
        return any(one.alias_info is not None for one in returns)

    def _stored(self, nodes: list[fx.Node]) -> set[fx.Node]:
        """The nodes whose results are in memory."""
        stored = set()
        for node in nodes:
            if self.owner[node] is not node:
                continue
            if not is_elementwise(node):
                stored.add(node)
            if not (is_elementwise(node) or name_of(node) in REDUCTIONS):
                stored.update(self.owner[read] for read in node.all_input_nodes)
        return stored

    def _freed(self, nodes: list[fx.Node]) -> dict[fx.Node, list[fx.Node]]:
        """What can be given back after each node in memory: what it is the last to read."""
        reads: dict[fx.Node, set[fx.Node]] = {}
        last: dict[fx.Node, fx.Node] = {}
        for node in nodes:
            owners = {self.owner[read] for read in node.all_input_nodes}
            inlined = (reads[one] for one in owners - self.stored)
            reads[node] = (owners & self.stored).union(*inlined)
            if node in self.stored:
                last |= dict.fromkeys([node, *reads[node]], node)
        kept = {self.owner[node] for node in self.results if isinstance(node, fx.Node)}
        freed: dict[fx.Node, list[fx.Node]] = {node: [] for node in self.made}
        for node, reader in last.items():
            if node not in kept:
                freed[reader].append(node)
        return freed

    def __call__(self, arguments: list[Any]) -> list[Any]:
        """Tensors of the results' shapes; `arguments` is emptied, so that inputs can go too."""
        held = {**self.constants, **dict(zip(self.inputs, arguments, strict=True))}
        arguments.clear()
        for node in self.made:
            if node.target is operator.getitem:
                held[node] = held[node.args[0]][node.args[1]]
            else:
                held[node] = tree_map_only(Tensor, allocate, node.meta["val"])
            for done in self.freed[node]:
                del held[done]
        return [self._result(node, held) for node in self.results]

    def _result(self, node: Any, held: dict[fx.Node, Any]) -> Any:
        if not isinstance(node, fx.Node):
            return node  # None: an input that needs no gradient
        result, owner = node.meta["val"], self.owner[node]
        return (
            held[node] if node is owner else held[owner].as_strided(result.shape, result.stride())
        )


def name_of(node: fx.Node) -> str:
    """The name of an operation of PyTorch, such as aten::mm; empty for anything else."""
    target = node.target
    return target._schema.name if isinstance(target, torch._ops.OpOverload) else ""


def is_elementwise(node: fx.Node) -> bool:
    """Whether the compiler computes a result where it is read."""
    name, target = name_of(node), node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    return name in INLINED or torch.Tag.pointwise in target.tags


def allocate(like: Tensor) -> Tensor:
    """Memory for a result."""
    return torch.empty_strided(like.shape, like.stride(), dtype=like.dtype, device=like.device)


def backend_for(meter: MemoryMeter) -> Callable[..., Any]:
    """A backend of `torch.compile` whose code takes memory, seen by the meter, and no more."""

    def compiler(module: fx.GraphModule, inputs: Any) -> Callable[[list[Any]], list[Any]]:
        graph = MemoryOfGraph(module)

        def run(arguments: list[Any]) -> list[Any]:
            with meter:
                return graph(arguments)

        boxed: Any = run
        boxed._boxed_call = True  # PyTorch's word for: takes a list and may empty it
        return run

    def backend(module: fx.GraphModule, inputs: Any) -> Any:
        # as PyTorch's backend "aot_eager_decomp_partition"; the compiler takes seconds to import
        from functorch.compile import (  # type: ignore[import-untyped]
            min_cut_rematerialization_partition,
        )
        from torch._dynamo.backends.common import aot_autograd
        from torch._guards import detect_fake_mode
        from torch._inductor.decomposition import select_decomp_table
        from torch._inductor.fx_passes.joint_graph import joint_graph_passes
        from torch._inductor.virtualized import V

        def partition(joint: fx.GraphModule, inputs: Any, **settings: Any) -> Any:
            # as inductor does: random numbers by their seeds, so that they can be made again
            with V.set_fake_mode(detect_fake_mode(inputs)):
                joint_graph_passes(joint)
            return min_cut_rematerialization_partition(joint, inputs, **settings)

        return aot_autograd(
            fw_compiler=compiler,
            partition_fn=partition,
            decompositions=select_decomp_table(),
        )(module, inputs)

    return backend


@contextlib.contextmanager
def compiled_for_memory(meter: MemoryMeter) -> Iterator[None]:
    """Inside, and inside `with meter`, modules are compiled to code that takes memory alone."""
    backend = backend_for(meter)

    def block(module: nn.Module, *arguments: Any, **named: Any) -> Any:
        return module._call_impl(*arguments, **named)

    # the compiler keeps its results with the code: what is made here shall go with this copy of it
    block.__code__ = block.__code__.replace()

    def compile(module: nn.Module, **settings: Any) -> None:
        compiled = torch.compile(block, backend=backend, **settings)

        def call(*arguments: Any, **named: Any) -> Any:
            with meter.paused():
                return compiled(module, *arguments, **named)

        module._compiled_call_impl = call

    with mock.patch.object(nn.Module, "compile", compile):
        yield
