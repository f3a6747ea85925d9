"""Sweeps: many adapters on one frozen base and one text, trained some at a time.

All that a sweep's runs share is one `RunSettings`; what differs from run to run is a `Job`. An
experiment takes the settings by name, `rank_sweep(ranks=(1, 8), steps=50, device="cuda")`, with
its own usual values for those that are not given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import nearest_and_known
from ..train.fast.sweep import Job, JobResult, train_many
from .task import load_task


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What the runs of a sweep share: the base, how long it trains, on what, and where.

    Losses are measured before the first step, every `eval_every` steps (0: never) and after the
    last, on `valid_blocks` blocks (None: all). `train_tokens` cuts the training text to its first
    tokens (None: all of it). `jobs_at_once` adapters are trained in one step.
    """

    base: str = "nano"
    steps: int = 60
    batch_size: int = 4
    length: int = 64
    eval_every: int = 0
    train_tokens: int | None = None
    valid_blocks: int | None = None
    jobs_at_once: int = 64
    device: str | torch.device = "cpu"
    dtype: str = "float32"
    progress: bool = False

    @classmethod
    def of(cls, given: Mapping[str, Any], **usual: Any) -> RunSettings:
        """The settings given, else the usual ones. TypeError: there is no such setting."""
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise TypeError(f"there is no setting {name!r}{nearest_and_known(name, known)}")
        return cls(**{**usual, **given})


class Sweep(NamedTuple):
    """A base, its training ids (n,) and validation blocks (m, length), and how runs are made."""

    model: nn.Module
    train_ids: Tensor
    valid: Tensor
    at: RunSettings

    def train(self, jobs: Iterable[Job], **how: Any) -> list[JobResult]:
        """Train every job's adapter, in the order of the jobs; `how` is for `train_many`."""
        jobs, at, results = list(jobs), self.at, []
        for start in range(0, len(jobs), at.jobs_at_once):
            results += train_many(
                self.model,
                jobs[start : start + at.jobs_at_once],
                self.train_ids,
                steps=at.steps,
                batch_size=at.batch_size,
                length=at.length,
                valid=self.valid,
                eval_every=at.eval_every,
                progress=at.progress,
                **how,
            )
        return results


def open_sweep(given: Mapping[str, Any], **usual: Any) -> Sweep:
    """Load the base and Moby Dick for the settings given, else the usual ones."""
    at = RunSettings.of(given, **usual)
    dtype = getattr(torch, at.dtype)
    model, train, valid = load_task(at.base, at.length, at.device, dtype, at.valid_blocks)
    return Sweep(model, train[: at.train_tokens], valid, at)
