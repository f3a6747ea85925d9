"""One training step as one CUDA graph, replayed on new batches.

A small model's step is hundreds of short kernels, and launching them takes the host longer than
running them takes the GPU. A CUDA graph records the kernels of one step (forward, backward,
clipping, update) and launches all of them at once. It replays fixed addresses: so batches, learning
rates and losses live in tensors that stay where they are and are filled or copied.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ...seeding import leave_capture
from ..loss import Batch
from ..modes import unchanged_random_state
from .blocks import CompiledBlocks, compiler_settings

WARMUP_STEPS = 3  # lets libraries set themselves up and autograd allocate, which cannot be captured
FEWEST_STEPS = 8  # below this the warm-up costs more than replaying saves


class CapturedStep:
    """A step that is captured at its first call and replayed at the following ones.

    It takes an eager step (`model`, `parameters`, `optimizer`, `gradients`, `refresh`, ...) and
    behaves like it. Where capturing does not work it stays eager, and `why_not` says why. A batch
    of other shapes than the first is trained on eagerly: the weights and moments are the same
    tensors. Call `close` at the end, in `finally`: the graph holds its memory until then.
    """

    def __init__(self, step: Any, blocks: CompiledBlocks, required: bool = False) -> None:
        self.step, self.device, self.required = step, step.device, required
        self.blocks, self._compiler_tried = blocks, not blocks.compiled
        self.graph: torch.cuda.CUDAGraph | None = None
        self.why_not = ""
        self._batches: list[dict[str, torch.Tensor]] = []
        self._losses: Any = None  # a Tensor (K,) once the step is captured
        self._signature: tuple[Any, ...] = ()

    @property
    def captured(self) -> bool:
        """Whether steps are replayed."""
        return self.graph is not None

    def set_learning_rate(self, factor: float) -> None:
        """Fill the learning rates that the graph reads."""
        self.step.set_learning_rate(factor)

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One update, replayed where it was captured; returns the losses, (K,)."""
        if not self._compiler_tried:
            self._try_compiler(batches)
        if self.graph is None and not self.why_not:
            self._try_to_capture(batches)
            if self.required and self.why_not:
                raise RuntimeError(f"the step cannot be captured: {self.why_not}")
        if self.graph is None or not self._fits(batches):
            return self.step(batches)
        for held, batch in zip(self._batches, batches, strict=True):
            for name, value in batch.items():
                held[name].copy_(value, non_blocking=True)
        self.graph.replay()
        return self._losses.clone()  # the next replay writes over it

    def _try_compiler(self, batches: Sequence[Batch]) -> None:
        """Compile by one forward and backward pass, which changes nothing but gradients."""
        self._compiler_tried = True
        with unchanged_random_state(self.device), compiler_settings(), self._aside():
            try:
                self.step.gradients(batches)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.blocks.give_up(first_line(error))

    def _fits(self, batches: Sequence[Batch]) -> bool:
        return shapes(batches) == shapes(self._batches)

    def _try_to_capture(self, batches: Sequence[Batch]) -> None:
        self.why_not = why_not_batches(batches)
        if self.why_not:
            return
        self._batches = [{name: v.clone() for name, v in batch.items()} for batch in batches]
        before = Snapshot(self.step)
        try:
            self._warm_up()
        except RuntimeError as error:
            self.why_not = f"the step waits for the GPU: {first_line(error)}"
        before.restore()
        self.why_not = self.why_not or self.step.why_not_captured()
        if not self.why_not:
            try:
                self._capture()
            except RuntimeError as error:
                self.graph = None
                # what ends the capture speaks of an error before it: that one says why
                self.why_not = f"capturing failed: {first_line(error.__context__ or error)}"
                before.restore()
            except BaseException:  # such as an interrupt: as before the warm-up
                before.restore()
                raise
        if self.why_not:
            self._batches = []

    def _warm_up(self) -> None:
        """Some eager steps on a stream of their own, as CUDA graphs ask for.

        All but the first raise if the host waits for the GPU (`.item()` in a model): a wait cannot
        be captured, and an error here, unlike one while capturing, does no harm.
        """
        with self._aside():
            try:
                for i in range(WARMUP_STEPS):
                    forbid_waiting(i > 0)
                    self.step(self._batches)
            finally:
                forbid_waiting(False)

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Inside, work goes to the warm-up's stream, if this step may be captured.

        What autograd keeps of work on the current stream could not become part of a graph.
        """
        if self.why_not:
            yield
            return
        side, current = warm_up_stream(self.device), torch.cuda.current_stream(self.device)
        side.wait_stream(current)
        try:
            with torch.cuda.stream(side):
                yield
        finally:
            current.wait_stream(side)

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            with (
                warnings.catch_warnings(),
                torch.cuda.stream(torch.cuda.current_stream(self.device)),  # to come back to
                # thread_local: another thread of the notebook may use CUDA meanwhile
                torch.cuda.graph(graph, capture_error_mode="thread_local"),
            ):
                # after an error in the first lines PyTorch would warn of it, instead of raising it
                warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
                self._losses = self.step(self._batches)
        except BaseException:  # an interrupt too
            leave_capture(self.device)
            raise
        self.graph = graph
        self._signature = signature(self.step.model)

    def refuse_changes(self) -> None:
        """Raise if the model was changed in a way that the graph cannot follow."""
        if self.graph is not None and signature(self.step.model) != self._signature:
            raise RuntimeError(
                "the model was changed during fit (adapters switched, merged or disabled, "
                "parameters frozen or replaced, or a mode changed), which the captured step "
                "cannot follow: undo the change, or call fit(..., capture=False)"
            )

    def close(self) -> None:
        """Free the graph's memory, even while an error's traceback still holds this object."""
        self.step.optimizer.zero_grad(set_to_none=True)  # gradients lie in the graph's memory
        self.step.optimizer.state.clear()
        self._losses, self._batches = None, []
        if self.graph is not None:
            torch.cuda.synchronize(self.device)
            self.graph.reset()
            self.graph = None
            torch.cuda.empty_cache()


@functools.cache
def warm_up_stream(device: torch.device) -> torch.cuda.Stream:
    """One stream for all warm-ups: cuBLAS keeps 66 MB for each stream that it has been used on."""
    return torch.cuda.Stream(device)


class Snapshot:
    """Weights, optimizer state and random state, to be put back after the warm-up.

    They wait on the host: the GPU's memory shall suffice for the step alone.
    """

    def __init__(self, step: Any) -> None:
        self.step = step
        self.weights = [p.detach().to("cpu", copy=True) for p in step.parameters]
        self.state = {
            p: {name: value.to("cpu", copy=True) for name, value in values.items()}
            for p, values in step.optimizer.state.items()
        }
        self.random = torch.cuda.get_rng_state(step.device)

    @torch.no_grad()
    def restore(self) -> None:
        """Copy back in place. Optimizer state that did not exist is zero, as AdamW starts it."""
        for parameter, weight in zip(self.step.parameters, self.weights, strict=True):
            parameter.copy_(weight)
        for parameter, values in self.step.optimizer.state.items():
            for name, value in values.items():
                kept = self.state.get(parameter, {}).get(name)
                value.zero_() if kept is None else value.copy_(kept)
        self.step.refresh()
        self.step.optimizer.zero_grad(set_to_none=True)
        torch.cuda.set_rng_state(self.random, self.step.device)


def prepare(
    step: Any, capture: str | bool, steps: int, blocks: CompiledBlocks, why_not_else: str = ""
) -> CapturedStep:
    """The step wrapped for capturing; `why_not` is set if it is known already that it stays eager.

    capture: "auto", False (never) or True (raise instead of staying eager). `why_not_else` is what
    the caller knows to speak against it.
    """
    wrapped = CapturedStep(step, blocks, required=capture is True)
    wrapped.why_not = "capture=False" if capture is False else why_not_else
    wrapped.why_not = wrapped.why_not or why_not(step, steps, capture)
    if capture is True and wrapped.why_not:
        raise RuntimeError(f"the step cannot be captured: {wrapped.why_not}")
    return wrapped


def why_not(step: Any, steps: int, capture: str | bool = "auto") -> str:
    """Why a step cannot be captured, or should not be; empty if nothing speaks against it."""
    if step.device.type != "cuda":
        return f"the model is on {step.device.type}; only CUDA captures"
    if step.processes.count > 1 and not step.at_once:
        return "the processes exchange their gradients during the backward pass"
    if step.processes.count > 1 and not step.processes.by_nccl:
        return "the processes exchange their gradients by the host"
    if any(type(p).__name__ == "DTensor" for p in step.parameters):
        return "FSDP gathers parameters during the step"
    if any(getattr(m, "gradient_checkpointing", False) for m in step.model.modules()):
        return "gradient checkpointing saves and restores random states on the host"
    if capture == "auto" and steps < FEWEST_STEPS:
        return f"fewer than {FEWEST_STEPS} steps"
    return ""


def why_not_batches(batches: Sequence[Batch]) -> str:
    """Why these batches cannot be copied into a graph's tensors."""
    for batch in batches:
        for name, value in batch.items():
            if not isinstance(value, torch.Tensor):
                return f"the batch's {name!r} is a {type(value).__name__}, not a tensor"
    return ""


def shapes(batches: Sequence[Batch]) -> list[dict[str, tuple[Any, ...]]]:
    """What a replay needs to be alike."""
    return [{name: (v.shape, v.dtype) for name, v in batch.items()} for batch in batches]


def signature(model: nn.Module) -> tuple[Any, ...]:
    """What a captured step relies on: which tensors are trained, and every module's state."""
    parameters = tuple((p.data_ptr(), p.requires_grad) for p in model.parameters())
    states = tuple(
        (
            module.training,
            str(getattr(module, "active_adapters", "")),
            str(getattr(module, "merged_adapters", "")),
            str(getattr(module, "disable_adapters", "")),
        )
        for module in model.modules()
    )
    return parameters, states


def forbid_waiting(forbid: bool) -> None:
    """Whether an operation that makes the host wait for the GPU is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that the mode does not find every wait
        torch.cuda.set_sync_debug_mode("error" if forbid else "default")


def first_line(error: BaseException) -> str:
    """An error's message without the hints below it."""
    return str(error).strip().split("\n")[0]
