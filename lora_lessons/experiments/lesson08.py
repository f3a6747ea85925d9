"""The experiments of lesson 08: four heads on their real tasks, and what happens to a new head.

Each arm tries its learning rates with one seed; the best rate is run with other seeds, and only
those runs are compared.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from ..base.load import load_base
from ..base.tasks.rows import RowBatches, Rows
from ..errors import PeftWarning
from ..lora.config import LoraConfig
from ..lora.model import PeftModel, get_peft_model
from ..seeding import generator, seed_everything
from ..train.history import History
from ..train.loop import fit
from .heads import TASKS
from .progress import each
from .task import best_rate, last_tenth

_FEW = {"punctuation": 50, "definitions": 25, "spans": 200, "neighbours": 30}
SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": dict.fromkeys(TASKS, 4), "batch": 4, "train": 64, "valid": 40},
    "small": {"steps": _FEW, "batch": 16, "train": 4000, "valid": 200},
    "full": {"steps": dict.fromkeys(TASKS, 300), "batch": 32, "train": 12_000, "valid": 1000},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`); steps by task."""
LIVE_ROWS: dict[str, dict[str, int]] = {
    "punctuation": {"length": 56, "words": 32},
    "definitions": {"length": 24},
    "spans": {"length": 96, "entries": 2},
    "neighbours": {"length": 24},
}
"""Rows for the live runs: on the encoder, which learns in some dozens of steps, but for the spans,
which take far more, on the nano encoder. A third of the definitions is longer and is cut."""

TARGETS = ["query", "key", "value", "intermediate.dense", "output.dense"]
"""All linear layers of the encoder's blocks; "all-linear" would take a new head's layers too."""
LORA, HEAD_ONLY, FULL, RANDOM = "LoRA", "head only", "full fine-tuning", "LoRA, head left random"


def lora_config(task: str, r: int = 8, **change: Any) -> LoraConfig:
    """LoRA on the blocks. The task type saves the head; a new pooler must be named beside it."""
    known = TASKS[task]
    pooler = ["pooler"] if "bert.pooler" in known.new else None
    settings = {"task_type": known.task_type, "modules_to_save": pooler, "target_modules": TARGETS}
    return LoraConfig(r=r, lora_alpha=2 * r, **settings | change)


def new_model(
    task: str,
    base: str = "nano_encoder",
    seed: int = 0,
    dtype: str = "float32",
    device: str | torch.device = "cpu",
) -> tuple[nn.Module, Any]:
    """The base with the task's head, drawn with `seed` alone, and the tokenizer."""
    known = TASKS[task]
    how = {"head": known.head, "num_labels": known.classes}
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), **how)
    if known.head is None:
        model = model.base_model  # the body, without the head for masked words
    draw_head(model, known.new, seed)
    return model.to(device), tokenizer


@torch.no_grad()
def draw_head(model: nn.Module, new: Sequence[str], seed: int) -> None:
    """Draw the new modules again as BERT does: weights N(0, 0.02²), biases 0."""
    gen = generator(seed)
    for name in new:
        for parameter in model.get_submodule(name).parameters():
            drawn = torch.randn(parameter.shape, generator=gen, dtype=torch.float64)
            parameter.copy_(0.02 * drawn if parameter.ndim > 1 else torch.zeros_like(drawn))


def arm_model(task: str, arm: str, seed: int, r: int = 8, **where: Any) -> tuple[nn.Module, Any]:
    """The model of one arm, with what trains in it set to require a gradient."""
    model, tokenizer = new_model(task, seed=seed, **where)
    if arm in (HEAD_ONLY, FULL):
        model.requires_grad_(arm == FULL)
        for name in TASKS[task].new:
            model.get_submodule(name).requires_grad_()
        return model, tokenizer
    change = {"task_type": None, "modules_to_save": None} if arm == RANDOM else {}
    seed_everything(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)  # of the head that is left random on purpose
        return get_peft_model(model, lora_config(task, r, **change)), tokenizer


def train(
    task: str,
    model: nn.Module,
    rows: Rows,
    *,
    steps: int,
    batch_size: int,
    lr: float,
    seed: int = 0,
    progress: bool = False,
) -> History:
    """Train what requires a gradient on one task; the rate rises, then falls to zero."""
    batches = RowBatches(rows, batch_size, seed)
    how = {"warmup": steps // 10, "schedule": "linear", "loss_fn": TASKS[task].loss}
    return fit(model, batches, steps=steps, lr=lr, seed=seed, progress=progress, **how)


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What all runs on a task share: the base, the rows of the task, and how long runs train.

    `rows` says how long a task's rows are; those of the live runs where it is None.
    """

    base: str = "nano_encoder"
    steps: int = 100
    batch_size: int = 16
    train_rows: int = 4000
    valid_rows: int = 300
    rows: Mapping[str, int] | None = None
    r: int = 8
    dtype: str = "float32"
    device: str | torch.device = "cpu"

    @property
    def where(self) -> dict[str, Any]:
        """What `new_model` and `arm_model` ask for."""
        return {"base": self.base, "dtype": self.dtype, "device": self.device}

    def load(self, task: str) -> tuple[nn.Module, tuple[Rows, Rows]]:
        """A new model of seed 0, and the task's training and validation rows."""
        model, tokenizer = new_model(task, **self.where)
        size = self.rows or LIVE_ROWS[task]
        return model, TASKS[task].rows(tokenizer, self.train_rows, self.valid_rows, **size)

    def train(self, task: str, model: nn.Module, rows: Rows, lr: float, seed: int) -> History:
        """`train` for as long as the settings say."""
        how = {"steps": self.steps, "batch_size": self.batch_size, "lr": lr, "seed": seed}
        return train(task, model, rows, **how)


def head_sweep(
    task: str,
    arms: Mapping[str, Sequence[float]],
    tuning_seed: int = 99,
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> dict[str, Any]:
    """Each arm at the best of its learning rates: name -> rates to try. `run`: `TaskSettings`.

    Returns `untrained` and `baseline`, the scores before training and without a model; `arms`:
    name -> trained parameters and chosen lr; `tuning` and `runs`, one row a run: arm, lr, seed,
    the last losses' mean and the scores on the validation part.
    """
    at, known = TaskSettings(**run), TASKS[task]
    model, parts = at.load(task)
    untrained = known.scores(model, parts[1])
    sizes: dict[str, int] = {}

    def trained(plan: list[tuple[str, float, int]]) -> list[dict[str, Any]]:
        rows = []
        for arm, lr, seed in plan:
            sizes[arm], row = _run(at, task, parts, arm, lr, seed)
            rows.append({"arm": arm, "lr": lr, "seed": seed, **row})
        return rows

    tuning = trained([(arm, lr, tuning_seed) for arm, lrs in arms.items() for lr in lrs])
    chosen = {arm: best_rate(tuning, known.metric, highest=True, arm=arm) for arm in arms}
    runs = trained([(arm, chosen[arm], seed) for arm in arms for seed in seeds])
    return {
        "untrained": untrained,
        "baseline": known.baseline(*parts),
        "arms": {arm: {"parameters": sizes[arm], "lr": chosen[arm]} for arm in arms},
        "tuning": tuning,
        "runs": runs,
    }


def _run(
    at: TaskSettings, task: str, parts: tuple[Rows, Rows], arm: str, lr: float, seed: int
) -> tuple[int, dict[str, float]]:
    """(numbers that train, the last losses' mean and the scores on the validation rows)."""
    model, _ = arm_model(task, arm, seed, at.r, **at.where)
    losses = at.train(task, model, parts[0], lr, seed).losses
    found = {"loss": last_tenth(losses), **TASKS[task].scores(model, parts[1])}
    return sum(p.numel() for p in model.parameters() if p.requires_grad), found


# --- What is saved, and what a reload gives back -------------------------------------------------

CHOICES: dict[str, dict[str, Any]] = {
    "task type and pooler": {},
    "task type alone": {"modules_to_save": None},
    "task type, all-linear": {"modules_to_save": None, "target_modules": "all-linear"},
    "no task type": {"modules_to_save": None, "task_type": None},
}
"""Four configs for a classifier whose pooler and head are new; all-linear adapts the pooler."""


def reload_table(
    choices: Sequence[str] = tuple(CHOICES),
    seeds: Sequence[int] = (0,),
    lr: float = 3e-3,
    progress: bool = False,
    **run: Any,
) -> list[dict[str, Any]]:
    """Train the definitions with each config, save it, and load it on a base built anew.

    The new base's own new modules are drawn with another seed, as in a new process. One row for
    each choice and seed: what trained, the modules that were saved whole, `before` and `after`, the
    macro F1 of the trained and of the reloaded model. `run`: see `TaskSettings`.
    """
    at = TaskSettings(**run)
    _, parts = at.load("definitions")
    return [
        {"choice": choice, "seed": seed, **_reloaded(at, parts, choice, lr, seed)}
        for choice in each(choices, "configs", progress)
        for seed in seeds
    ]


def _reloaded(
    at: TaskSettings, parts: tuple[Rows, Rows], choice: str, lr: float, seed: int
) -> dict[str, Any]:
    """One config of `CHOICES`, trained, saved and read again by a base of another seed."""
    task, known = "definitions", TASKS["definitions"]
    base_model, _ = new_model(task, seed=seed, **at.where)
    seed_everything(seed)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)
        model = get_peft_model(base_model, lora_config(task, at.r, **CHOICES[choice]))
        at.train(task, model, parts[0], lr, seed)
        model.save_pretrained(folder)
        again, _ = new_model(task, seed=seed + 1000, **at.where)
        again = PeftModel.from_pretrained(again, folder)
        return {
            "parameters": model.get_nb_trainable_parameters()[0],
            "saved": saved_modules(folder),
            "before": known.scores(model, parts[1])[known.metric],
            "after": known.scores(again, parts[1])[known.metric],
        }


def saved_modules(folder: str) -> list[str]:
    """The modules that an adapter's file holds whole, LoRA's own factors left out."""
    with safe_open(f"{folder}/adapter_model.safetensors", "pt") as file:
        names = [name.removeprefix("base_model.model.") for name in file.keys()]  # noqa: SIM118
    return sorted({name.rpartition(".")[0] for name in names if ".lora_" not in name})


_RATES = {
    LORA: [3e-4, 1e-3, 3e-3, 1e-2],
    HEAD_ONLY: [3e-3, 1e-2, 3e-2, 1e-1],
    FULL: [3e-5, 1e-4, 3e-4, 1e-3],
    RANDOM: [3e-4, 1e-3, 3e-3, 1e-2],
}
_FULL_SIZE = {
    "base": "encoder",
    "seeds": [0, 1, 2],
    "steps": 300,
    "batch_size": 32,
    "train_rows": 12_000,
    "valid_rows": 1000,
    "device": "cuda",
}
_TINY = {
    "base": "nano_encoder",
    "seeds": [0],
    "steps": 2,
    "batch_size": 4,
    "train_rows": 40,
    "valid_rows": 24,
    "r": 2,
    "dtype": "float64",
}


def _recording(
    task: str,
    rows: dict[str, int],
    *arms: str,
    tiny_rows: dict[str, int],
    **change: int,
) -> tuple:
    """head_sweep at full size, and tiny for the fingerprint: one rate for each arm."""
    rates = {arm: _RATES[arm] for arm in arms}
    tiny = {arm: lrs[-1:] for arm, lrs in rates.items()}
    return (
        head_sweep,
        {"task": task, "arms": rates, "rows": rows, **_FULL_SIZE, **change},
        {"task": task, "arms": tiny, "rows": tiny_rows, **_TINY},
    )


def _on_minilm(task: str, rows: dict[str, int]) -> tuple:
    """head_sweep on MiniLM, a public model of 22.7 M, small enough for a CPU; no fingerprint."""
    size = {"seeds": [0, 1, 2], "steps": 120, "batch_size": 16}
    size |= {"train_rows": 4000, "valid_rows": 500, "device": "cpu"}
    arms = {LORA: [1e-3, 3e-3], FULL: [1e-4, 3e-4]}
    return head_sweep, {"task": task, "arms": arms, "rows": rows, "base": "minilm", **size}, None


RECORDINGS = {
    "08_punctuation": _recording(
        "punctuation",
        {"length": 56, "words": 32},
        *(LORA, HEAD_ONLY, FULL),
        tiny_rows={"length": 48, "words": 16},
        train_rows=40_000,
        steps=600,
        batch_size=64,
    ),
    "08_definitions": _recording(
        "definitions",
        {"length": 40},
        *(LORA, HEAD_ONLY, FULL, RANDOM),
        tiny_rows={"length": 32},
    ),
    "08_spans": _recording(
        "spans",
        {"length": 112, "entries": 4},
        *(LORA, HEAD_ONLY, FULL),
        tiny_rows={"length": 96, "entries": 2},
        train_rows=40_000,
        steps=1200,
        batch_size=64,
    ),
    "08_neighbours": _recording("neighbours", {"length": 32}, LORA, FULL, tiny_rows={"length": 32}),
    "08_definitions_minilm": _on_minilm("definitions", {"length": 40}),
    "08_neighbours_minilm": _on_minilm("neighbours", {"length": 32}),
    "08_neighbours_among_500": (  # our encoder on MiniLM's rows, not trained
        head_sweep,
        {"task": "neighbours", "arms": {}, "rows": {"length": 32}, "base": "encoder"}
        | {"train_rows": 1, "valid_rows": 500, "device": "cpu"},
        {"task": "neighbours", "arms": {}, "rows": {"length": 32}, **_TINY},
    ),
    "08_reload": (
        reload_table,
        {"rows": {"length": 40}, "lr": 3e-3, **_FULL_SIZE},
        {**_TINY, "rows": {"length": 32}, "lr": 3e-3},
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
