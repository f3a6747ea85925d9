"""The experiments of lesson 06: which biases train, and what training them is worth.

The pieces of the first part stand in for a learner's unsolved exercises. `bias_sweep` chooses each
arm's learning rate with one seed; the losses that are compared come from others, which give all
arms the same batches, so that two arms can be compared seed by seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import TokenBatches, blocks, encode
from ..lora.config import LoraConfig
from ..lora.model import PeftModel, get_peft_model
from ..lora.more.adapters.biases import bias_bank, trained_biases
from ..lora.tuner_layer import adapter_parameters
from ..seeding import seed_everything
from ..train.history import History
from ..train.loop import evaluate, fit
from ..train.loss import is_causal_lm
from .masked_words import masked_batches, masked_loss, masked_rows, objective, word_ids
from .progress import each
from .sweeps import RunSettings
from .task import best_rate

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "batch": 2, "length": 32, "blocks": 8, "seeds": (0, 1)},
    "small": {"steps": 40, "batch": 16, "length": 32, "blocks": 128, "seeds": (0, 1, 2)},
    "full": {"steps": 200, "batch": 8, "length": 64, "blocks": 128, "seeds": (0, 1, 2, 3, 4)},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

# --- 1. Stand-ins for the exercises ----------------------------------------------------------


def biases_that_train(model: nn.Module, wrapped: Iterable[str], mode: str) -> set[str]:
    """The names of the biases that a mode trains in a model whose layers `wrapped` get LoRA."""
    if mode not in ("none", "lora_only", "all"):
        raise ValueError(f'bias is "none", "lora_only" or "all", not {mode!r}')
    names = {name for name, _ in model.named_parameters() if name.split(".")[-1] == "bias"}
    of_wrapped = {f"{layer}.bias" for layer in wrapped}
    return {"none": set(), "lora_only": names & of_wrapped, "all": names}[mode]


def adapter_contents(model: nn.Module, biases: Iterable[str]) -> dict[str, Tensor]:
    """Copies of the factors and of the named biases; `base_layer.` is no part of a bias's name."""
    wanted = set(biases)
    return {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if {"lora_A", "lora_B"} & set(name.split("."))
        or name.replace(".base_layer.", ".") in wanted
    }


def measure_base(
    model: nn.Module, start: Mapping[str, Tensor], measure: Callable[[nn.Module], Any]
) -> Any:
    """measure(model) with the branches off and the biases `start` in place; then all as before."""
    layers = [module for module in model.modules() if hasattr(module, "branch_on")]
    was_on = [layer.branch_on for layer in layers]
    parameters = dict(model.named_parameters())
    trained = {name: parameters[name].detach().clone() for name in start}
    try:
        _switch(layers, [False] * len(layers), parameters, start)
        return measure(model)
    finally:
        _switch(layers, was_on, parameters, trained)


@torch.no_grad()
def _switch(
    layers: Sequence[Any],
    on: Sequence[bool],
    parameters: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
) -> None:
    for layer, state in zip(layers, on, strict=True):
        layer.branch_on = state
    for name, value in values.items():
        parameters[name].copy_(value)


def fewer_biases(
    b_q: Tensor, b_k: Tensor, b_v: Tensor, W_o: Tensor, b_o: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Biases of q, k, v and o with k's and v's zero, for the same attention as before."""
    return b_q, torch.zeros_like(b_k), torch.zeros_like(b_v), b_o + W_o @ b_v


# --- 2. The models and their text ------------------------------------------------------------


class Family(NamedTuple):
    """What differs between an encoder and a decoder: the names of q and v, and the wider rank."""

    targets: list[str]
    wider: int  # the rank at which factors alone are as many numbers as r = 8 with all biases
    task_type: str | None


FAMILIES = {
    "bert": Family(["query", "value"], 12, None),
    "qwen2": Family(["q_proj", "v_proj"], 9, "CAUSAL_LM"),
}
"""By the `model_type` of the model's config."""


def family(model: nn.Module) -> Family:
    """The names and ranks for a model."""
    return FAMILIES[model.config.model_type]


class Task(NamedTuple):
    """A base, its training text as ids (n,), and what measures it on the validation text."""

    model: nn.Module
    batches: Callable[[int], Iterable[dict[str, Tensor]]]  # seed -> endless batches
    loss: Callable[[nn.Module], float]


def load_task(
    base: str,
    batch_size: int,
    length: int,
    valid_blocks: int | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Task:
    """Moby Dick for a base: the next token for a decoder, hidden tokens for an encoder."""
    model, tokenizer = load_base(base, dtype=dtype, device=device)
    corpus = load_text("moby_dick")
    if is_causal_lm(model):
        train, valid = encode(tokenizer, corpus.train), encode(tokenizer, corpus.valid)
        held_out = blocks(valid, length)[:valid_blocks]
        return Task(
            model,
            lambda seed: TokenBatches(train, batch_size, length, seed=seed, device=device),
            lambda model: evaluate(model, held_out),
        )
    masked = objective(tokenizer, length)
    train, valid = word_ids(masked, corpus.train), word_ids(masked, corpus.valid)
    rows = masked_rows(masked, valid, valid_blocks)
    return Task(
        model,
        lambda seed: masked_batches(masked, train, batch_size, seed, device),
        lambda model: masked_loss(model, rows),
    )


# --- 3. Each mode at its own learning rate ---------------------------------------------------


class Arm(NamedTuple):
    """A bias mode with the rank of its factors; without `factors` they stay as they start, at zero.

    Biases alone want larger steps: the arm's learning rates are `faster` times the others'.
    """

    mode: str
    wider: bool = False
    factors: bool = True
    faster: float = 1.0

    def config(self, model: nn.Module) -> LoraConfig:
        """The arm as a LoraConfig for this model: q and v, alpha = 2r."""
        about = family(model)
        r = about.wider if self.wider else 8
        return LoraConfig(
            r=r,
            lora_alpha=2 * r,
            target_modules=about.targets,
            bias=self.mode,
            task_type=about.task_type,
        )


ARMS = {
    "none": Arm("none"),
    "lora_only": Arm("lora_only"),
    "all": Arm("all"),
    "none, wider": Arm("none", wider=True),
    "biases alone": Arm("all", factors=False, faster=3.0),
}
"""The three modes at r = 8; a rank whose factors alone are as many numbers as "all" trains; and
all biases without factors (BitFit, Ben Zaken et al. 2021)."""


def adapt(model: nn.Module, arm: Arm, seed: int = 0) -> PeftModel:
    """Put an arm's adapter into the model; the factors start from `seed`."""
    seed_everything(seed)
    adapted = get_peft_model(model, arm.config(model))
    if not arm.factors:
        for _, parameter in adapter_parameters(adapted):
            parameter.requires_grad_(False)
    return adapted


def bias_sweep(
    arms: Sequence[str] = tuple(ARMS),
    lrs: Sequence[float] = (1e-3, 3e-3, 1e-2),
    tuning_seed: int = 99,
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> dict[str, Any]:
    """Find each arm's learning rate with `tuning_seed`, then train it with all `seeds`.

    `run`: see `RunSettings`. Returns `before`, the loss of the base; `arms`: name -> trained
    numbers, those of them in biases, and the chosen lr; `tuning` and `runs`, one row a run: arm,
    lr, seed, the validation loss half-way (`half`) and at the end (`last`), the lower of the two
    (`best`), in nats per token; and `kinds`, what the biases did in the last run of "all" (see
    `by_kind`).
    """
    at = RunSettings.of(run, base="nano_encoder", batch_size=8, length=32)
    dtype = getattr(torch, at.dtype)
    task = load_task(at.base, at.batch_size, at.length, at.valid_blocks, at.device, dtype)
    result: dict[str, Any] = {"before": task.loss(task.model), "arms": {}, "tuning": [], "runs": []}
    for name in each(arms, "arms", at.progress):
        for lr in lrs:
            adapted, row = train_arm(task, name, lr * ARMS[name].faster, tuning_seed, at.steps)
            adapted.unload()
            result["tuning"].append(row)
        lr = best_rate(result["tuning"], "best", arm=name)
        for seed in seeds:
            adapted, row = train_arm(task, name, lr, seed, at.steps)
            result["runs"].append(row)
            result["arms"][name] = {**counts(adapted), "lr": lr}
            if name == "all" and seed == seeds[-1]:
                result["kinds"] = by_kind(task, row["last"])
            adapted.unload()  # the base is as it was, biases too
    return result


def train_arm(
    task: Task, name: str, lr: float, seed: int, steps: int
) -> tuple[PeftModel, dict[str, Any]]:
    """The task's model with one arm's adapter, trained; and the run's row."""
    adapted = adapt(task.model, ARMS[name], seed)
    history = fit(
        adapted,
        task.batches(seed),
        steps=steps,
        lr=lr,
        valid=task.loss,
        eval_every=max(1, steps // 2),
        seed=seed,
        progress=False,
    )
    return adapted, _row(name, lr, seed, history)


def counts(adapted: PeftModel) -> dict[str, int]:
    """The numbers that train, and how many of them are biases of the base."""
    trained = [(n, p.numel()) for n, p in adapted.named_parameters() if p.requires_grad]
    return {
        "parameters": sum(size for _, size in trained),
        "biases": sum(size for name, size in trained if name.endswith(".bias")),
    }


@torch.no_grad()
def by_kind(task: Task, loss: float) -> dict[str, dict[str, float]]:
    """What each kind of bias did in the task's model, as trained under "all".

    Kind -> `moved`, the mean change of its entries in length; `worth`, how much the validation
    loss, `loss` now, rises when these biases alone are put back to the base's values.
    """
    start, now = bias_bank(task.model).base, trained_biases(task.model, "all")
    groups: dict[str, list[str]] = {}
    first_names = {id(bias): name for name, bias in reversed(now.items())}  # one may have two
    for name in now:
        if first_names[id(now[name])] == name:
            groups.setdefault(kind(name), []).append(name)
    result = {}
    for group, names in groups.items():
        trained = {name: now[name].detach().clone() for name in names}
        moved = torch.cat([(trained[name] - start[name]).abs() for name in names])
        _switch([], [], now, {name: start[name] for name in names})
        result[group] = {"moved": moved.mean().item(), "worth": task.loss(task.model) - loss}
        _switch([], [], now, trained)
    return result


def sizes_by_kind(model: nn.Module) -> dict[str, int]:
    """Kind of bias -> how many numbers all its biases hold."""
    sizes: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            sizes[kind(name)] = sizes.get(kind(name), 0) + parameter.numel()
    return sizes


def kind(name: str) -> str:
    """A parameter's name without the way to its block: "attention.self.key", "self_attn.k_proj"."""
    return re.sub(r"^.*\.\d+\.|^bert\.|^model\.", "", name).removesuffix(".bias")


def _row(arm: str, lr: float, seed: int, history: History) -> dict[str, Any]:
    half, last = history.eval_losses[-2:]
    return {
        "arm": arm,
        "lr": lr,
        "seed": seed,
        "half": half,
        "last": last,
        "best": min(half, last),
    }


_SWEEP = {
    "lrs": [1e-3, 3e-3, 1e-2],
    "seeds": [0, 1, 2, 3, 4],
    "steps": 200,
    "batch_size": 8,
    "length": 64,
    "device": "cuda",
}
_TINY = {
    "arms": ["all", "none, wider", "biases alone"],
    "lrs": [1e-3, 1e-2],
    "seeds": [0],
    "steps": 4,
    "batch_size": 2,
    "length": 16,
    "valid_blocks": 8,
    "dtype": "float64",
}

RECORDINGS = {
    "06_bias_modes_encoder": (
        bias_sweep,
        {"base": "encoder", "arms": list(ARMS), **_SWEEP},
        {"base": "nano_encoder", **_TINY},
    ),
    "06_bias_modes_decoder": (
        bias_sweep,
        {"base": "decoder", "arms": ["none", "lora_only", "all", "biases alone"], **_SWEEP},
        {"base": "nano", **_TINY},
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
