"""The experiments of lesson 07: two tasks with their losses, and the head that is not saved.

The pieces of the first part stand in for a learner's unsolved exercises. The runs are in
`spelling` and `random_head`; that of the style is here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..base.tasks.spelling import edit_distance
from ..train.fast.sweep import Job
from ..train.history import History
from ..train.loss import IGNORED
from ..train.modes import evaluation_mode
from .random_head import head_after_a_save
from .spelling import spelling_runs
from .sweeps import open_sweep
from .task import all_linear, best_rate

SIZES: dict[str, dict[str, Any]] = {
    "quick": {
        "style": {"seeds": (0,), "steps": 4, "batch_size": 4, "length": 32, "valid_blocks": 4},
        "spelling": {"steps": 2, "batch_size": 4, "train": 64, "valid": 8},
        "head": {"steps": 4, "train": 40, "valid": 20, "arms": ("no task_type", "SEQ_CLS")},
    },
    "small": {
        "style": {"seeds": (0, 1, 2), "steps": 60, "batch_size": 8, "length": 64,
                  "valid_blocks": 32},
        "spelling": {"steps": 30, "batch_size": 16, "train": 2000, "valid": 32},
        "head": {"steps": 60},
    },
    "full": {
        "style": {"seeds": (0, 1, 2), "steps": 200, "batch_size": 16, "length": 128,
                  "valid_blocks": 96},
        "spelling": {"steps": 400, "batch_size": 256, "train": None, "valid": 512},
        "head": {"steps": 100},
    },
}  # fmt: skip
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

# --- 1. What counts in a loss ----------------------------------------------------------------


def labels_for(ids: Tensor, prompt_lengths: Tensor, lengths: Tensor) -> Tensor:
    """ids (B, T) with -100 over each row's prompt and after its `lengths` tokens; not shifted."""
    place = torch.arange(ids.shape[1])  # (T,)
    counts = (place >= prompt_lengths[:, None]) & (place < lengths[:, None])  # (B, T)
    return ids.where(counts, IGNORED)


def causal_loss(logits: Tensor, labels: Tensor) -> float:
    """Mean loss in nats of logits (B, T, V) against the labels (B, T) one place on."""
    targets = labels[:, 1:]
    logp = logits[:, :-1].log_softmax(-1)  # (B, T - 1, V)
    losses = -logp.gather(-1, targets.clamp(min=0)[..., None])[..., 0]  # (B, T - 1)
    return losses[targets != IGNORED].mean().item()


def shift_right(labels: Tensor, start: int, pad: int) -> Tensor:
    """What the decoder reads: start, then the labels but the last; -100 becomes pad: (B, T)."""
    first = labels.new_full((len(labels), 1), start)
    read = torch.cat([first, labels[:, :-1]], dim=1)
    return read.masked_fill(read == IGNORED, pad)


def fitting_arguments(
    architecture: str, new_modules: Sequence[str], saved_by: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """{"task_type", "modules_to_save"} for a model's class, so that every new module is saved."""
    ends = {
        "ForCausalLM": "CAUSAL_LM",
        "ForConditionalGeneration": "SEQ_2_SEQ_LM",
        "ForSequenceClassification": "SEQ_CLS",
        "ForTokenClassification": "TOKEN_CLS",
        "ForQuestionAnswering": "QUESTION_ANS",
        "Model": "FEATURE_EXTRACTION",
    }
    task = next(task for end, task in ends.items() if architecture.endswith(end))
    rest = [name for name in new_modules if name not in saved_by[task]]
    return {"task_type": task, "modules_to_save": rest}


class Prompted(NamedTuple):
    """Prompts with their answers, padded to one length: ids (n, T), and two lengths (n,)."""

    ids: Tensor
    prompt_lengths: Tensor
    lengths: Tensor
    words: list[list[str]]


ENTRIES = (
    ("whale:", " any of the larger cetacean mammals"),
    ("ship:", " a vessel that carries passengers or freight"),
    ("captain:", " an officer in the navy"),
    ("law:", " the collection of rules imposed by authority"),
)
"""What WordNet says of four words: the prompt, and the answer that is to be learnt."""


def prompted(tokenizer: Any, entries: Sequence[tuple[str, str]] = ENTRIES) -> Prompted:
    """Encode prompts and answers, a line's end after each answer, padding on the right.

    The line's end is where the base learnt that a definition ends.
    """
    rows, prompts = [], []
    for prompt, answer in entries:
        first = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        rest = tokenizer(answer + "\n", add_special_tokens=False)["input_ids"]
        rows.append([*first, *rest])
        prompts.append(len(first))
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    words = [[tokenizer.decode([i]) for i in row] for row in ids.tolist()]
    return Prompted(ids, torch.tensor(prompts), torch.tensor([len(row) for row in rows]), words)


def logits_of(model: nn.Module, ids: Tensor) -> Tensor:
    """The logits (B, T, V) of a causal language model in float64, without gradients."""
    with evaluation_mode(model):
        return model(input_ids=ids, use_cache=False).logits.double()


# --- 2. A new style --------------------------------------------------------------------------


def style_runs(
    lrs: Sequence[float] = (3e-3,),
    seeds: Sequence[int] = (0, 1, 2),
    tune_seed: int = 9,
    r: int = 8,
    **run: Any,
) -> dict[str, Any]:
    """Train adapters on Moby Dick and measure the loss on chapters that were left out.

    The best of `lrs` is found with `tune_seed`, and only the runs with `seeds` are returned as
    rows. Losses are in nats per token; the perplexity is their exponential. `run`: see
    `RunSettings`.
    """
    sweep = open_sweep(run, batch_size=8)

    def trained(plan: Sequence[tuple[float, int]]) -> list[History]:
        results = sweep.train(Job(all_linear(r), lr, seed) for lr, seed in plan)
        return [result.history for result in results]

    tried = trained([(lr, tune_seed) for lr in lrs]) if len(lrs) > 1 else []
    tuning = [{"lr": lr, "loss": one.last} for lr, one in zip(lrs, tried, strict=False)]
    best = best_rate(tuning) if tuning else lrs[0]
    runs = trained([(best, seed) for seed in seeds])
    return {
        "before": runs[0].eval_losses[0],
        "tuning": tuning,
        "lr": best,
        "rows": [{"seed": seed, "loss": one.last} for seed, one in zip(seeds, runs, strict=True)],
    }


_SPELLING = {
    "base": "encoder_decoder",
    "seeds": [0, 1, 2],
    "tune_seed": 9,
    "r": 16,
    "steps": 4000,
    "tune_steps": 1000,
    "batch_size": 128,
    "eval_every": 1000,
    "valid_words": 1024,
    "shown": 16,
    "capture": True,
    "device": "cuda",
}
_TINY_SPELLING = {
    "base": "encoder_decoder",
    "seeds": [0],
    "r": 2,
    "steps": 2,
    "tune_steps": 2,
    "batch_size": 2,
    "eval_every": 1,
    "train_words": 20,
    "valid_words": 4,
    "shown": 1,
    "dtype": "float64",
}

RECORDINGS = {
    "07_style": (
        style_runs,
        {
            "base": "decoder",
            "lrs": [1e-3, 2e-3, 5e-3],
            "seeds": [0, 1, 2, 3, 4],
            "tune_seed": 9,
            "r": 8,
            "steps": 300,
            "batch_size": 16,
            "length": 128,
            "device": "cuda",
        },
        {
            "base": "nano",
            "lrs": [1e-3, 2e-3],
            "seeds": [0],
            "r": 2,
            "steps": 3,
            "batch_size": 2,
            "length": 16,
            "valid_blocks": 4,
            "dtype": "float64",
        },
    ),
    "07_spelling": (
        spelling_runs,
        {
            **_SPELLING,
            "arms": {"LoRA": [1e-3, 3e-3, 1e-2], "full": [5e-4, 1e-3, 2e-3, 5e-3]},
        },
        {**_TINY_SPELLING, "arms": {"LoRA": [1e-3], "full": [1e-3]}},
    ),
    "07_spelling_no_order": (
        spelling_runs,
        {
            **_SPELLING,
            "arms": {"LoRA": [1e-3, 3e-3], "LoRA + table": [1e-3, 3e-3], "full": [5e-4, 1e-3]},
            "order": False,
        },
        {
            **_TINY_SPELLING,
            "arms": {"LoRA": [1e-3], "LoRA + table": [1e-3], "full": [1e-3]},
            "order": False,
        },
    ),
    "07_head": (
        head_after_a_save,
        {
            "base": "decoder",
            "arms": ["no task_type", "LoRA on the head", "SEQ_CLS"],
            "seeds": [0, 1, 2, 3, 4],
            "r": 8,
            "lr": 1e-3,
            "steps": 80,
            "batch_size": 32,
            "length": 32,
            "train": 4000,
            "valid": 1000,
            "capture": True,
            "device": "cuda",
        },
        {
            "base": "nano",
            "arms": ["no task_type", "SEQ_CLS"],
            "seeds": [0],
            "r": 2,
            "steps": 2,
            "batch_size": 2,
            "length": 8,
            "train": 20,
            "valid": 10,
            "dtype": "float64",
        },
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""

__all__ = [
    "ENTRIES", "RECORDINGS", "SIZES", "Prompted", "causal_loss", "edit_distance",
    "fitting_arguments", "head_after_a_save", "labels_for", "logits_of", "prompted",
    "shift_right", "spelling_runs", "style_runs",
]  # fmt: skip
