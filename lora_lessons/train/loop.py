"""`fit`: the training loop. It knows `step(batches) -> losses` and nothing of what a step does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from .checkpoint import Checkpoint
from .data import BatchStream, to_device
from .distributed import Processes, join
from .evaluation import evaluate
from .fast.capture import CapturedStep
from .history import History
from .loss import Batch, LossFunction, require_labels, require_targets, summed_loss
from .modes import (
    deterministic_algorithms,
    evaluation_mode,
    random_state,
    training_mode,
    unchanged_random_state,
)
from .optim import device_of, trainable_parameters
from .settings import FitSettings, require_unmerged
from .step import TrainStep, training_step
from .unreached import warn_of_unreached, without_gradient
from .vocabulary import Vocabulary

__all__ = ["Step", "evaluate", "fit", "run"]


class Step(Protocol):
    """One update. Takes the micro-batches of the step, returns the losses, detached: (K,)."""

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """Take one step."""

    def set_learning_rate(self, factor: float) -> None:
        """Multiply the rates of this step by `factor`."""


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    steps: int,
    lr: float,
    valid: torch.Tensor | Callable[[nn.Module], float] | None = None,
    eval_every: int = 0,
    lr_ratio: float = 1.0,
    weight_decay: float = 0.0,
    warmup: int = 0,
    schedule: str = "constant",
    clip: float | None = 1.0,
    accumulate: int = 1,
    precision: str = "auto",
    capture: str | bool = "auto",
    compile: str | bool = "auto",
    recompute: bool = False,
    fast_layers: bool = True,
    seed: int = 0,
    progress: bool = True,
    loss_fn: LossFunction | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 100,
    deterministic: bool = False,
) -> History:
    """Train whatever requires a gradient with AdamW, and return the history.

    Args:
        model: any module; adapters are float32, the frozen base may be of a lower precision.
        batches: dicts of tensors, drawn one by one (`accumulate` for each step). A list or a
            tuple is gone through again and again; another iterable must last.
        steps: number of updates.
        lr: learning rate after warm-up.
        lr_ratio: LoRA+: the factors B learn at lr_ratio · lr, all else at lr.
        valid: (n, T) blocks for `evaluate`, or a function of the model. Evaluated before the
            first step, every `eval_every` steps (0: never in between) and after the last.
        warmup, schedule: see `schedule_factor`.
        clip: largest norm of the gradient; None leaves it as it is.
        precision: "bf16" runs under autocast, "fp32" does not; "auto" is bf16 on CUDA.
        capture: "auto" replays the step as one CUDA graph where that works, False never does,
            True raises where it does not.
        compile: "auto" compiles the model's repeated block for a long run on CUDA, False never
            does, True does for any and raises where it cannot. It takes about 10 s, once.
        recompute: gradient checkpointing: the repeated blocks keep their inputs alone, and are
            computed a second time in the backward pass. Less memory, a third more work.
        fast_layers: True lets faster classes with the same function stand in for the LoRA layers
            meanwhile; False trains the very `Linear` that `lora/layer.py` shows, so that a print
            or a breakpoint there is reached.
        seed: of dropout. The caller's random state is as before afterwards.
        loss_fn: f(model, batch) -> (sum of losses, count), or a mean loss.
        checkpoint: a folder. Every `checkpoint_every` steps and at the end the run's state is
            written there. The same call, given again after the run was killed, goes on from there
            to the same losses. `batches` must be a list or have `state_dict`.
        deterministic: the same bits in every run on CUDA too, where that costs speed.

    An interrupt (KeyboardInterrupt) ends the run early and keeps the history; a loss that is not
    finite does too (`history.diverged`). The model's training mode is as before afterwards.

    Under `torchrun` the processes train together; see `distributed`.
    """
    settings = FitSettings(
        steps=steps,
        lr=lr,
        lr_ratio=lr_ratio,
        weight_decay=weight_decay,
        warmup=warmup,
        schedule=schedule,
        clip=clip,
        accumulate=accumulate,
        eval_every=eval_every,
        precision=precision,
        capture=capture,
        compile=compile,
        recompute=recompute,
        fast_layers=fast_layers,
        seed=seed,
        checkpoint_every=checkpoint_every,
        deterministic=deterministic,
    )
    require_unmerged(model)
    source = BatchStream(batches)
    if checkpoint is not None:
        source.require_place()
    measure = None if valid is None else partial(validation_loss, model, valid, precision)
    return train(model, source, settings, loss_fn, measure, checkpoint, progress)


def train(
    model: nn.Module,
    source: BatchStream,
    settings: FitSettings,
    loss_fn: LossFunction | None,
    measure: Callable[[], list[float]] | None,
    folder: str | Path | None,
    progress: bool,
) -> History:
    """`fit` with its settings made: the model's modes and random state, the step, the loop."""
    device = trainable_parameters(model)[0].device
    processes = join(device)
    with (
        training_mode(model),
        random_state(settings.seed + processes.rank, device),
        deterministic_algorithms(settings.deterministic),
        training_step(model, settings, loss_fn or summed_loss, processes) as step,
    ):
        history, kept = History(), None
        if folder is not None:
            of_result = settings.of_result(device, processes.count)
            kept = Checkpoint(folder, of_result, model, step.step, source, processes)
            history = kept.resume()
        history.fast_layers = settings.fast_layers
        draw = partial(next_batches, source, settings.accumulate, loss_fn is None, processes)
        run(
            step,
            partial(draw, device, Vocabulary(model)),
            settings,
            histories=[history],
            measure=measure,
            progress=progress and processes.rank == 0,
            save=None if kept is None else partial(kept.save, history),
            after_first=partial(note_unreached, model, step.step, processes, history),
        )
    return history


def note_unreached(
    model: nn.Module, step: TrainStep, processes: Processes, history: History
) -> None:
    """Note which adapters no process's gradient reached; the first process warns of them."""
    here, *others = processes.gather(without_gradient(model, step.unreached()))
    history.without_gradient = [n for n in here if all(n in names for names in others)]
    if processes.rank == 0:
        warn_of_unreached(history.without_gradient)


def next_batches(
    source: BatchStream,
    count: int,
    own_loss: bool,
    processes: Processes,
    device: torch.device,
    vocabulary: Vocabulary,
) -> list[Batch]:
    """The micro-batches of one step on the device; of several processes', this one's rows.

    own_loss: the loss is the model's own, which needs labels.
    """
    first = source.drawn == 0
    group = [source.draw() for _ in range(count)]
    if own_loss:
        require_labels(group[0])
    if own_loss and first:
        require_targets(group)
    for batch in group if own_loss else ():
        vocabulary.check(batch, first)
    if first:
        processes.require_same(group[0])
    return [to_device(processes.share(batch), device) for batch in group]


def validation_loss(
    model: nn.Module, valid: torch.Tensor | Callable[[nn.Module], float], precision: str
) -> list[float]:
    """The loss on `fit`'s `valid`, as the list of one that `run` takes."""
    if not callable(valid):
        return [evaluate(model, valid, precision=precision)]
    with evaluation_mode(model), unchanged_random_state(device_of(model)):
        return [float(valid(model))]


def run(
    step: CapturedStep,
    draw: Callable[[], list[Batch]],
    settings: FitSettings,
    *,
    histories: list[History],
    measure: Callable[[], list[float]] | None,
    progress: bool,
    save: Callable[[], None] | None = None,
    after_first: Callable[[], None] | None = None,
) -> None:
    """Train K models in one step, one history each, from where the histories end to the last step.

    `measure` evaluates the K models, `save` writes a checkpoint, `after_first` looks at the step
    when it has been taken once. An interrupt and a loss that is not finite end the run early.
    """
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    done, steps, eval_every = len(histories[0].steps), settings.steps, settings.eval_every
    with tqdm(total=steps, initial=done, disable=not progress, unit="step") as bar:
        loop = Loop(step, histories, measure, save, bar)
        try:
            if done == 0:
                loop.evaluate()
            while loop.done < steps and not all(history.diverged for history in histories):
                loop.take_step(draw, settings.factor)
                if loop.done == 1 and after_first is not None:
                    after_first()
                if loop.done < steps and eval_every and loop.done % eval_every == 0:
                    loop.evaluate()
                if loop.done < steps and loop.done % settings.checkpoint_every == 0:
                    loop.write_checkpoint()
            loop.evaluate()
            loop.write_checkpoint()
        except KeyboardInterrupt:
            for history in histories:
                history.interrupted = True
        finally:
            loop.finish()


class Loop:
    """A run's losses, evaluations and checkpoints, as they come.

    Losses stay on the device and are read in groups: reading one makes the host wait for the
    device, and a small model's step is shorter than that wait.
    """

    def __init__(
        self,
        step: CapturedStep,
        histories: list[History],
        measure: Callable[[], list[float]] | None,
        save: Callable[[], None] | None,
        bar: Any,
    ) -> None:
        self.step, self.histories, self.bar = step, histories, bar
        self.measure, self.save = measure, save
        self.started = time.perf_counter() - histories[0].seconds
        self.done = len(histories[0].steps)
        self.pending: list[torch.Tensor] = []  # (K,) losses of the steps not read yet

    def take_step(self, draw: Callable[[], list[Batch]], factor: Callable[[int], float]) -> None:
        """One update of all models."""
        self.step.set_learning_rate(factor(self.done))
        self.pending.append(self.step(draw()))
        self.done += 1
        self.bar.update()
        if len(self.pending) >= read_every(self.pending[0].device):
            self.read()

    def read(self) -> None:
        """Take the losses that wait on the device into the histories."""
        if not self.pending:
            return
        first = self.done - len(self.pending) + 1
        for i, row in enumerate(torch.stack(self.pending).tolist(), start=first):
            for history, loss in zip(self.histories, row, strict=True):
                history.record(i, loss)
        self.pending.clear()
        self.bar.set_postfix(loss=f"{self.histories[0].losses[-1]:.3f}", refresh=False)

    def evaluate(self) -> None:
        """Measure the models as they are now, unless they were at this very step."""
        if self.measure is None or self.histories[0].eval_steps[-1:] == [self.done]:
            return
        self.read()
        with self.step.blocks.as_written():
            losses = self.measure()
        self.step.refuse_changes()
        for history, loss in zip(self.histories, losses, strict=True):
            history.record_evaluation(self.done, loss)

    def write_checkpoint(self) -> None:
        """Save the state after the last step, if it is to be saved."""
        if self.save is not None:
            self.read()
            self._note_seconds()
            self.save()

    def finish(self) -> None:
        """Note in the histories how the run went, and free what the step holds."""
        self.read()
        self._note_seconds()
        for history in self.histories:
            history.captured, history.why_not_captured = self.step.captured, self.step.why_not
            history.compiled = self.step.blocks.compiled
            history.why_not_compiled = self.step.blocks.why_not
        self.step.close()

    def _note_seconds(self) -> None:
        for history in self.histories:
            history.seconds = time.perf_counter() - self.started


def read_every(device: torch.device) -> int:
    """How many losses to leave on the device before reading them."""
    return 25 if device.type == "cuda" else 1
