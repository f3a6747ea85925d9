"""Primary stress from spelling: training runs for the choices, and for the leak between splits."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.load import load_base
from ..base.tasks import stress
from ..base.tasks.rows import RowBatches, Rows
from ..base.tasks.stress import Word
from ..errors import nearest_and_known
from ..lora.config import LoraConfig
from ..lora.model import get_peft_model
from ..seeding import seed_everything
from ..train.loop import fit
from .heads import model_loss, predicted_classes
from .lesson08 import TARGETS, draw_head
from .progress import each
from .task import best_rate

NEW = ("bert.pooler", "classifier")
"""What pretraining left no weights for: it is drawn anew, trained whole, and saved."""


class Arm(NamedTuple):
    """What trains beside the new head: an adapter (r, alpha, targets), all, or nothing."""

    r: int | None = None
    alpha: int = 16
    targets: tuple[str, ...] = tuple(TARGETS)
    full: bool = False


LORA, FULL, HEAD_ALONE = "LoRA, r = 8", "full", "head alone"
ARMS: dict[str, Arm] = {
    LORA: Arm(8),
    "LoRA, r = 1": Arm(1),
    "LoRA, r = 4": Arm(4),
    "LoRA, r = 8, query and value": Arm(8, targets=("query", "value")),
    FULL: Arm(full=True),
    HEAD_ALONE: Arm(),
}
"""Arm -> what trains; lora_alpha is 16 in all of them."""
SPLITS = {"at random": stress.split_at_random, "by stem": stress.split_by_stem}


def arm_config(arm: Arm) -> LoraConfig:
    """The config of an arm with an adapter: the head and the pooler are trained and saved."""
    return LoraConfig(
        r=arm.r,
        lora_alpha=arm.alpha,
        target_modules=list(arm.targets),
        modules_to_save=["pooler"],
        task_type="SEQ_CLS",
    )


def stress_model(
    arm: str | Arm, seed: int, base: str = "nano_encoder", dtype: str = "float32"
) -> tuple[nn.Module, Any]:
    """(model, tokenizer): the base with a new head, and what the arm trains set to train.

    Head, pooler and A are drawn with `seed`. Raises ValueError for an arm that is not known.
    """
    if isinstance(arm, str):
        if arm not in ARMS:
            raise ValueError(f"no arm {arm!r}{nearest_and_known(arm, ARMS)}")
        arm = ARMS[arm]
    seed_everything(seed)
    head: dict[str, Any] = {"head": "sequence_classification", "num_labels": len(stress.CLASSES)}
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), **head)
    draw_head(model, NEW, seed)
    seed_everything(seed)
    if arm.r is not None:
        return get_peft_model(model, arm_config(arm)), tokenizer
    model.requires_grad_(arm.full)
    for name in NEW:
        model.get_submodule(name).requires_grad_()
    return model, tokenizer


def train_stress(
    arm: str | Arm,
    lr: float,
    seed: int,
    train: Rows,
    asked: Rows,
    steps: int = 600,
    batch_size: int = 32,
    eval_every: int = 0,
    base: str = "nano_encoder",
    dtype: str = "float32",
    progress: bool = False,
) -> dict[str, Any]:
    """One run: its scores on the words `asked` at the end, and its accuracy along the way.

    The rate rises over the first tenth of the steps and then falls to zero in a straight line.
    """
    model, _ = stress_model(arm, seed, base, dtype)
    true = asked["labels"]
    history = fit(
        model,
        RowBatches(train, batch_size, seed),
        steps=steps,
        lr=lr,
        valid=lambda model: stress.scores(predicted_classes(model, asked), true)["accuracy"],
        eval_every=eval_every,
        warmup=steps // 10,
        schedule="linear",
        seed=seed,
        loss_fn=model_loss,
        progress=progress,
    )
    return {
        **stress.scores(predicted_classes(model, asked), true),
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": history.eval_steps,
        "curve": history.eval_losses,
        "seconds": history.seconds,
    }


def baselines(train: Sequence[Word], asked: Sequence[Word]) -> dict[str, dict[str, float]]:
    """The scores of two rules without a model: the commonest class, and the ending's."""
    true = [word.kind for word in asked]
    rules = {"majority": stress.by_majority, "ending": stress.by_ending}
    return {name: stress.scores(rule(train, asked), true) for name, rule in rules.items()}


def choices(
    rates: Mapping[str, Sequence[float]],
    tuning_seeds: Sequence[int] = (10, 11),
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    steps: int = 600,
    batch_size: int = 32,
    eval_every: int = 100,
    words: Sequence[int] = (16_000, 2_000, 2_000),
    base: str = "nano_encoder",
    dtype: str = "float32",
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """Each arm at the best of its rates: chosen on validation words, reported on test words.

    No stem is in two of the three parts. Returns the baselines, `tuning` and `runs` (a row a run)
    and the `chosen` rates. It runs on a CPU.
    """
    parts = stress.study_words(*words)
    _, tokenizer = load_base(base)
    train, valid, test = (stress.encode(tokenizer, part) for part in parts)
    how: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "base": base, "dtype": dtype}

    def run(arm: str, lr: float, seed: int, asked: Rows, **more: Any) -> dict[str, Any]:
        found = train_stress(arm, lr, seed, train, asked, **how, **more)
        return {"arm": arm, "lr": lr, "seed": seed, **found}

    wanted = [(arm, lr, s) for arm, lrs in rates.items() for lr in lrs for s in tuning_seeds]
    tuning = [run(*one, valid) for one in each(wanted, "tuning runs", progress)]
    chosen = {arm: best_rate(tuning, "accuracy", highest=True, arm=arm) for arm in rates}
    wanted = [(arm, chosen[arm], seed) for arm in rates for seed in seeds]
    runs = [run(*one, test, eval_every=eval_every) for one in each(wanted, "runs", progress)]
    return {
        "baselines": baselines(parts[0], parts[2]),
        "words": [len(part) for part in parts],
        "tuning": tuning,
        "chosen": chosen,
        "runs": runs,
    }


def leak(
    families: int = 700,
    valid: int = 600,
    arm: str = LORA,
    lr: float = 3e-3,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    steps: int = 600,
    batch_size: int = 32,
    eval_every: int = 100,
    base: str = "nano_encoder",
    dtype: str = "float32",
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """The same words split at random and by stem: how much of the accuracy is the kin's.

    The seed draws the split too. One row for each split and seed, with the share of the words asked
    whose stem was trained, and the accuracy of the ending rule. It runs on a CPU.
    """
    examples = stress.some_families(families)
    _, tokenizer = load_base(base)
    how: dict[str, Any] = {"steps": steps, "batch_size": batch_size, "eval_every": eval_every}
    how |= {"base": base, "dtype": dtype}
    wanted = [(split, seed) for split in SPLITS for seed in seeds]
    rows = []
    for split, seed in each(wanted, "runs", progress):
        parts = SPLITS[split](examples, valid, seed)
        train, asked = (stress.encode(tokenizer, part) for part in parts)
        known = {word.stem for word in parts[0]}
        rows.append(
            {
                "split": split,
                "seed": seed,
                "kin": mean(float(word.stem in known) for word in parts[1]),
                "ending": baselines(*parts)["ending"]["accuracy"],
                **train_stress(arm, lr, seed, train, asked, **how),
            }
        )
    return {"words": len(examples), "runs": rows}


def read_by_peft(
    train: Sequence[Word], asked: Sequence[Word], arm: str = "LoRA, r = 4", steps: int = 20
) -> dict[str, float]:
    """Train an adapter, save it, and let PEFT read it onto a new base, head and pooler included.

    Returns the share of the words asked that get the same class, the largest difference between
    the two models' logits, and the bytes of the file.
    """
    import peft

    model, tokenizer = stress_model(arm, seed=0)
    rows = stress.encode(tokenizer, train)
    fit(
        model, RowBatches(rows, min(32, len(train)), 0), steps=steps, lr=3e-3, seed=0,
        loss_fn=model_loss, progress=False,
    )  # fmt: skip
    words = stress.encode(tokenizer, asked)
    inputs = {name: words[name] for name in ("input_ids", "attention_mask")}
    base, _ = stress_model(Arm(full=True), seed=1)  # another head: the file's must replace it
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        size = (Path(folder) / "adapter_model.safetensors").stat().st_size
        with warnings.catch_warnings():  # PEFT asks transformers by a name that goes
            warnings.simplefilter("ignore", FutureWarning)
            theirs = peft.PeftModel.from_pretrained(base, folder)
        with torch.no_grad():
            mine, other = (one.eval()(**inputs).logits for one in (model, theirs))
    same = (mine.argmax(-1) == other.argmax(-1)).double().mean().item()
    return {"same": same, "apart": (mine - other).abs().max().item(), "bytes": size}
