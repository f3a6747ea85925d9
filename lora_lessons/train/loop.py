"""`fit`: the training loop. It knows `step(batches) -> losses` and nothing of what a step does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import nn

from .capture import CapturedStep
from .history import History
from .loss import Batch, LossFunction, evaluate, require_labels, summed_loss
from .modes import evaluation_mode, random_state, training_mode, unchanged_random_state
from .optim import PRECISIONS, SCHEDULES, one_of, schedule_factor, trainable_parameters
from .step import training_step

__all__ = ["Step", "evaluate", "fit", "run"]


class Step(Protocol):
    """One update. Takes the micro-batches of the step, returns the losses, detached: (K,)."""

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor: ...

    def set_learning_rate(self, factor: float) -> None: ...


def fit(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    steps: int,
    lr: float,
    valid: torch.Tensor | Callable[[nn.Module], float] | None = None,
    eval_every: int = 0,
    weight_decay: float = 0.0,
    warmup: int = 0,
    schedule: str = "constant",
    clip: float | None = 1.0,
    accumulate: int = 1,
    precision: str = "auto",
    capture: str | bool = "auto",
    compile: str | bool = "auto",
    seed: int = 0,
    progress: bool = True,
    loss_fn: LossFunction | None = None,
) -> History:
    """Train whatever requires a gradient with AdamW, and return the history.

    Args:
        model: any module; adapters are float32, the frozen base may be of a lower precision.
        batches: dicts of tensors, drawn one by one (`accumulate` for each step). A list or a
            tuple is gone through again and again; another iterable must last.
        steps: number of updates.
        lr: learning rate after warm-up.
        valid: (n, T) blocks for `evaluate`, or a function of the model. Evaluated before the
            first step, every `eval_every` steps (0: never in between) and after the last.
        warmup, schedule: see `schedule_factor`.
        clip: largest norm of the gradient; None leaves it as it is.
        precision: "bf16" runs under autocast, "fp32" does not; "auto" is bf16 on CUDA.
        capture: "auto" replays the step as one CUDA graph where that works, False never does,
            True raises where it does not.
        compile: "auto" compiles the model's repeated block for a long run on CUDA, False never
            does, True does for any and raises where it cannot. It takes about 10 s, once.
        seed: of dropout. The caller's random state is as before afterwards.
        loss_fn: f(model, batch) -> (sum of losses, count), or a mean loss.

    An interrupt (KeyboardInterrupt) ends the run early and keeps the history; a loss that is not
    finite does too (`history.diverged`). The model's training mode is as before afterwards.
    """
    check_settings(steps, lr, accumulate, eval_every, warmup, schedule, precision, clip)
    device = trainable_parameters(model)[0].device
    source = stream(batches)

    def draw() -> list[Batch]:
        group = [next_batch(source) for _ in range(accumulate)]
        if loss_fn is None:
            require_labels(group[0])
        return [to_device(batch, device) for batch in group]

    def measure() -> list[float]:
        if not callable(valid):
            return [evaluate(model, valid, precision=precision)]
        with evaluation_mode(model), unchanged_random_state(device):
            return [float(valid(model))]

    history = History()
    how = {"lr": lr, "weight_decay": weight_decay, "clip": clip, "precision": precision}
    how |= {"capture": capture, "compile": compile, "loss_fn": loss_fn or summed_loss}
    with (
        training_mode(model),
        random_state(seed, device),
        training_step(model, steps=steps, **how) as step,
    ):
        run(
            step,
            draw,
            steps=steps,
            factor=lambda i: schedule_factor(i, steps, warmup, schedule),
            histories=[history],
            measure=None if valid is None else measure,
            eval_every=eval_every,
            progress=progress,
        )
    return history


def run(
    step: CapturedStep,
    draw: Callable[[], list[Batch]],
    *,
    steps: int,
    factor: Callable[[int], float],
    histories: list[History],
    measure: Callable[[], list[float]] | None,
    eval_every: int,
    progress: bool,
) -> None:
    """The loop itself, for K models in one step: one history each.

    Losses stay on the device and are read in groups: reading one makes the host wait for the
    device, and a small model's step is shorter than that wait.
    """
    from tqdm.auto import tqdm

    started = time.perf_counter()
    pending: list[torch.Tensor] = []  # (K,) losses of the steps not read yet
    done = 0

    def read() -> None:
        if not pending:
            return
        for i, row in enumerate(torch.stack(pending).tolist(), start=done - len(pending) + 1):
            for history, loss in zip(histories, row, strict=True):
                history.record(i, loss)
        pending.clear()
        bar.set_postfix(loss=f"{histories[0].losses[-1]:.3f}", refresh=False)

    def evaluation() -> None:
        if measure is not None:
            read()
            with step.blocks.as_written():
                losses = measure()
            step.refuse_changes()
            for history, loss in zip(histories, losses, strict=True):
                history.record_evaluation(done, loss)

    with tqdm(total=steps, disable=not progress, unit="step") as bar:
        try:
            evaluation()
            while done < steps and not all(history.diverged for history in histories):
                step.set_learning_rate(factor(done))
                pending.append(step(draw()))
                done += 1
                bar.update()
                if len(pending) >= read_every(pending[0].device):
                    read()
                if eval_every and done % eval_every == 0 and done < steps:
                    evaluation()
            read()
            evaluation()
        except KeyboardInterrupt:
            for history in histories:
                history.interrupted = True
        finally:
            read()
            for history in histories:
                history.seconds = time.perf_counter() - started
                history.captured, history.why_not_captured = step.captured, step.why_not
                history.compiled = step.blocks.compiled
                history.why_not_compiled = step.blocks.why_not
            step.close()


def read_every(device: torch.device) -> int:
    """How many losses to leave on the device before reading them."""
    return 25 if device.type == "cuda" else 1


def check_settings(
    steps: int,
    lr: float,
    accumulate: int,
    eval_every: int,
    warmup: int,
    schedule: str,
    precision: str,
    clip: float | None,
) -> None:
    """Raise for a setting that cannot be meant, before anything is changed."""
    one_of("schedule", schedule, SCHEDULES)
    one_of("precision", precision, PRECISIONS)
    for name, value, least in (
        ("steps", steps, 1),
        ("accumulate", accumulate, 1),
        ("eval_every", eval_every, 0),
        ("warmup", warmup, 0),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if not lr > 0:
        raise ValueError(f"lr must be above 0, got {lr!r}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0, or None for no clipping, got {clip!r}")


def stream(batches: Iterable[Batch]) -> Iterator[Batch]:
    """An iterator over `batches`; a list or tuple starts over at its end."""
    if isinstance(batches, dict) or not isinstance(batches, Iterable):
        raise TypeError(
            f"batches must be an iterable of dicts, got {type(batches).__name__}; "
            "for one batch again and again pass [batch]"
        )
    if isinstance(batches, (list, tuple)):
        if not batches:
            raise ValueError("batches is empty: nothing to train on")
        return _cycle(batches)
    return iter(batches)


def _cycle(batches: Sequence[Batch]) -> Iterator[Batch]:
    while True:
        yield from batches


def next_batch(source: Iterator[Batch]) -> Batch:
    """The next batch; an iterable that ends too early is an error that says what to do."""
    try:
        return next(source)
    except StopIteration:
        raise ValueError(
            "the batches ended before the last step; pass a list (it is repeated), an endless "
            "iterable such as TokenBatches, or fewer steps"
        ) from None


def to_device(batch: Batch, device: torch.device) -> dict[str, torch.Tensor]:
    """A copy of the batch whose tensors are on `device`."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in batch.items()
    }
