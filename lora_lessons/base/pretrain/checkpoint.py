"""The checkpoint of a pretraining run: all that it takes to go on as if it had not stopped."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...storage import write_whole
from ..undisturbed import random_state_of, set_random_state

if TYPE_CHECKING:
    from .run import Run


def checkpoint_path(run: Run) -> Path:
    """Where the run keeps its checkpoint until it is finished."""
    return run.out / "checkpoint.pt"


def save_checkpoint(run: Run) -> None:
    """Write everything that a step changes, whole or not at all."""
    state = {
        "settings": _settings(run),
        "model": run.model.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "batches": run.batches.state_dict(),
        "random": random_state_of(run.device),
        "step": run.step,
        "seconds": run.seconds,
        "evaluations": run.evaluations,
        "best": run.best,
    }
    write_whole({checkpoint_path(run): lambda path: torch.save(state, path)})


def resume(run: Run) -> bool:
    """Go on from the checkpoint, if there is one. Raises ValueError if it is another run's."""
    path = checkpoint_path(run)
    if not path.exists():
        return False
    state = torch.load(path, map_location=run.device, weights_only=True)
    mine = _settings(run)
    changed = [name for name in mine if state["settings"].get(name) != mine[name]]
    if changed:
        raise ValueError(
            f"{path} was made with another {', '.join(changed)}:"
            " give the same settings again, or delete it to start afresh"
        )
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.batches.load_state_dict(state["batches"])
    set_random_state(state["random"], run.device)
    run.step, run.seconds = state["step"], state["seconds"]
    run.evaluations, run.best = state["evaluations"], state["best"]
    return True


def _settings(run: Run) -> dict[str, Any]:
    return {**asdict(run.recipe), "seed": run.seed}
