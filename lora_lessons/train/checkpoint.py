"""Interrupt and resume: one file holds all that a step changes.

A run that was killed and goes on must not show it. So the checkpoint holds the trained weights, the
optimizer's moments and step count, the losses so far, the random state that dropout draws from, and
the place in the batches. The learning rate needs no entry: it is a function of the step.

The file is safetensors: tensors, and JSON in its header. Neither can run code when it is read, as
a pickle can.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..storage import write_whole
from .data import BatchStream
from .distributed import Processes
from .history import History
from .loss import is_sharded
from .modes import random_state_of, set_random_state
from .step import TrainStep

FILE = "checkpoint.safetensors"
BEFORE_0_2 = {"fast_layers": True, "lr_ratio": 1.0}  # what files of 0.1 do not say
MARK = "$tensor"  # in the JSON, in a tensor's place: {MARK: the tensor's name}


class Checkpoint:
    """The checkpoint of one `fit` in `folder`, written by the first process alone."""

    def __init__(
        self,
        folder: str | Path,
        settings: dict[str, Any],
        model: nn.Module,
        step: TrainStep,
        stream: BatchStream,
        processes: Processes,
    ) -> None:
        if is_sharded(model):
            raise ValueError("a checkpoint cannot hold a sharded model: leave out checkpoint=")
        self.path = Path(folder) / FILE
        self.model, self.step, self.stream, self.processes = model, step, stream, processes
        self.settings = json.loads(json.dumps(settings | adapter_settings(model)))
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]

    def save(self, history: History) -> None:
        """Write the state after the history's last step, whole or not at all."""
        random = self.processes.gather(random_state_of(self.step.device))
        if self.processes.rank > 0:
            return
        state = {
            "settings": self.settings,
            "weights": dict(zip(self.names, self.step.weights, strict=True)),
            "buffers": dict(self.model.named_buffers()),
            "optimizer": self._optimizer_state(),
            "random": random,
            "batches": self.stream.state_dict(),
            "history": history.to_dict(),
        }
        write(self.path, state)

    def resume(self) -> History:
        """Put everything back, if there is a checkpoint, and return its history, else a new one.

        Raises ValueError, before anything is changed, if it is of another run.
        """
        if not self.path.exists():
            return History()
        state = read(self.path)
        self._require_same_run(state)
        with torch.no_grad():
            for name, parameter in zip(self.names, self.step.weights, strict=True):
                parameter.copy_(state["weights"][name])
            for name, buffer in self.model.named_buffers():
                buffer.copy_(state["buffers"][name])
        self.step.refresh()
        self._restore_optimizer(state["optimizer"])
        self.stream.load_state_dict(state["batches"])
        set_random_state(state["random"][self.processes.rank], self.step.device)
        return History.from_dict(state["history"])

    def _optimizer_state(self) -> dict[str, dict[str, torch.Tensor]]:
        state = self.step.optimizer.state
        return {str(i): state[p] for i, p in enumerate(self.step.updated) if p in state}

    def _restore_optimizer(self, kept: dict[str, dict[str, torch.Tensor]]) -> None:
        if any(int(i) >= len(self.step.updated) for i in kept):  # each was updated by itself there
            masters: Any = self.step.masters  # packed ones, which alone can be split
            masters.split(self.step.optimizer)
        for i, parameter in enumerate(self.step.updated):
            self.step.optimizer.state[parameter] = {
                key: value.to(parameter.device) for key, value in kept.get(str(i), {}).items()
            }

    def _require_same_run(self, state: dict[str, Any]) -> None:
        advice = "Give the same again, choose another folder, or delete the file to start afresh."
        there, here = BEFORE_0_2 | state["settings"], self.settings
        changed = [
            f"{name}={here.get(name)!r} (there {there.get(name)!r})"
            for name in sorted({*there, *here})
            if there.get(name) != here.get(name)
        ]
        if changed:
            raise ValueError(f"{self.path} is of another run: {', '.join(changed)}. {advice}")
        mine = dict(zip(self.names, (p.shape for p in self.step.weights), strict=True))
        kept = {name: value.shape for name, value in state["weights"].items()}
        if mine != kept:
            names = sorted(n for n in {*mine, *kept} if mine.get(n) != kept.get(n))
            raise ValueError(
                f"{self.path} is of another model: {len(names)} trained parameters differ in name "
                f"or shape, the first is {names[0]!r}. {advice}"
            )


def adapter_settings(model: nn.Module) -> dict[str, Any]:
    """The adapters' settings by name: a lora_alpha that changed would not show in the shapes."""
    settings = {}
    for adapter, config in getattr(model, "peft_config", {}).items():
        for name, value in config.to_dict().items():
            settings[f"{adapter}.{name}"] = plain(value)
    return settings


def plain(value: Any) -> Any:
    """A setting as JSON can hold it, and the same in every process: sets have no order."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value if isinstance(value, (str, int, float, type(None))) else str(value)


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a nested state of tensors and plain values, whole or not at all."""
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(take_out(state, "", tensors))
    write_whole({path: lambda draft: save_file(tensors, draft, metadata={"state": text})})


def read(path: Path) -> dict[str, Any]:
    """The state that `write` wrote, on the CPU. Raises ValueError for a file that is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return put_back(json.loads(file.metadata()["state"]), file.get_tensor)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is no whole checkpoint ({error}): delete it to start afresh"
        ) from error


def take_out(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A copy of a nested value with its tensors moved to `tensors`, ready for JSON."""
    if isinstance(value, torch.Tensor):
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {MARK: name}
    if isinstance(value, Mapping):
        return {key: take_out(one, f"{name}/{key}", tensors) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [take_out(one, f"{name}/{i}", tensors) for i, one in enumerate(value)]
    if not isinstance(value, (str, int, float, type(None))):
        raise TypeError(f"a checkpoint holds tensors and plain values; {name} is a {type(value)}")
    return value


def put_back(value: Any, tensor: Any) -> Any:
    """The inverse of `take_out`; `tensor` is a function from name to tensor."""
    if isinstance(value, dict):
        if MARK in value:
            return tensor(value[MARK])
        return {key: put_back(one, tensor) for key, one in value.items()}
    return [put_back(one, tensor) for one in value] if isinstance(value, list) else value
