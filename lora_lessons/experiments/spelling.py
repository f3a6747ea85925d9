"""Spelling to sound: an encoder-decoder learns to say a word, with an adapter or as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base, quiet_transformers
from ..base.tasks.rows import RowBatches, Rows
from ..base.tasks.spelling import SOUND_BYTES, Entry, encode, scores, split, spread_out
from ..errors import nearest_and_known
from ..lora.config import LoraConfig
from ..lora.model import get_peft_model
from ..seeding import seed_everything
from ..train.fast.attention import kernels_for
from ..train.history import History
from ..train.loop import fit
from ..train.loss import summed_loss, unwrap
from ..train.modes import evaluation_mode
from ..train.optim import device_of
from .letter_order import order_bias
from .task import all_linear, best_rate

AT_ONCE = 1024  # words in one pass without gradients
WARMUP = 20  # steps

TABLE = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"
"""The encoder's table of distances by its full name: the decoder has one of the same last name."""

ARMS: dict[str, list[str] | None] = {"LoRA": [], "LoRA + table": [TABLE], "full": None}
"""Arm -> what its adapter saves beside A and B; None is no adapter: the whole model trains."""


def spelling_config(r: int = 16, modules_to_save: Sequence[str] = ()) -> LoraConfig:
    """All linear layers of encoder and decoder, alpha = 2r."""
    saved = list(modules_to_save) or None
    return all_linear(r, modules_to_save=saved, task_type="SEQ_2_SEQ_LM")


def fresh_base(
    base: str, order: bool = True, device: str = "cpu", dtype: str = "float32"
) -> tuple[nn.Module, Any]:
    """(model, tokenizer); without `order` the encoder's table of distances is zero.

    The table is the one way for the order of the letters into T5's encoder.
    """
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
    if not order:
        nn.init.zeros_(order_bias(model))
    return model, tokenizer


def spelling_rows(
    tokenizer: Any, train: int | None = None, valid: int | None = None
) -> tuple[Rows, Rows, list[Entry]]:
    """(training rows, validation rows, the words that validate), spread over the alphabet."""
    known, unseen = (
        spread_out(part, len(part) if count is None else count)
        for part, count in zip(split(), (train, valid), strict=True)
    )
    return encode(tokenizer, known), encode(tokenizer, unseen), unseen


def seq2seq_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(sum of the model's own loss over the labels, their number).

    transformers asks of a mask (n, T) whether it is all ones, for which the host waits for the GPU,
    and such a step cannot be captured. A mask of four dimensions is taken as it is.
    """
    mask = batch["attention_mask"].bool()[:, None, None, :]  # (n, T) -> (n, 1, 1, T)
    return summed_loss(model, {**batch, "attention_mask": mask})


def mean_loss(model: nn.Module, rows: Rows) -> float:
    """Mean loss in nats per byte of the sounds, without gradients, in evaluation mode."""
    total, count = 0.0, 0
    with evaluation_mode(model):
        for batch in _parts(rows, device_of(model)):
            loss, labels = seq2seq_loss(model, batch)
            total, count = total + loss.double().item(), count + int(labels)
    return total / count


def say(model: nn.Module, tokenizer: Any, rows: Rows) -> list[str]:
    """What the model says to each word: greedy, byte by byte, up to the end token."""
    said, device = [], device_of(model)
    kernels = kernels_for(unwrap(model), device)
    with evaluation_mode(model), quiet_transformers(), kernels:
        for batch in _parts(rows, device):
            ids = model.generate(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                max_new_tokens=SOUND_BYTES + 1,
                do_sample=False,
                num_beams=1,
            )  # (n, at most 33): the start token, the bytes, the end token
            said += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return said


def _parts(rows: Rows, device: torch.device) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(rows["input_ids"]), AT_ONCE):
        yield {name: v[start : start + AT_ONCE].to(device) for name, v in rows.items()}


def measure(
    model: nn.Module, tokenizer: Any, rows: Rows, entries: Sequence[Entry]
) -> dict[str, float]:
    """Loss, exact match and sound error rate on words that were not trained."""
    return {"loss": mean_loss(model, rows), **scores(say(model, tokenizer, rows), entries)}


def train_spelling(
    base: str,
    lr: float,
    seed: int,
    steps: int,
    rows: Rows,
    valid: Rows,
    r: int = 16,
    arm: str = "LoRA",
    order: bool = True,
    batch_size: int = 256,
    eval_every: int = 0,
    capture: str | bool = "auto",
    device: str = "cpu",
    dtype: str = "float32",
    progress: bool = False,
) -> tuple[nn.Module, History]:
    """One of the `ARMS` on a fresh base, trained: an adapter of rank r, or the whole model.

    The learning rate rises over 20 steps and falls to zero at the end. For `order` see
    `fresh_base`. Raises ValueError for an arm that is not known.
    """
    model = _armed(base, arm, seed, r, order, device, dtype)
    history = fit(
        model,
        RowBatches(rows, batch_size, seed),
        steps=steps,
        lr=lr,
        valid=lambda model: mean_loss(model, valid),
        eval_every=eval_every,
        warmup=min(WARMUP, steps // 2),
        schedule="linear",
        capture=capture,
        compile=False,
        seed=seed,
        loss_fn=seq2seq_loss,
        progress=progress,
    )
    return model, history


def _armed(
    base: str, arm: str, seed: int, r: int, order: bool, device: str, dtype: str
) -> nn.Module:
    """A fresh base with what the arm trains set to train."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r}{nearest_and_known(arm, ARMS)}")
    model, _ = fresh_base(base, order, device, dtype)
    seed_everything(seed)
    saved = ARMS[arm]
    if saved is None:
        return model.requires_grad_(True)
    return get_peft_model(model, spelling_config(r, saved))


def one_run(
    base: str = "encoder_decoder",
    lr: float = 3e-3,
    seed: int = 0,
    steps: int = 40,
    batch_size: int = 32,
    train: int | None = 4000,
    valid: int = 48,
    shown: int = 8,
    device: str = "cpu",
    progress: bool = False,
) -> dict[str, Any]:
    """One adapter: the measures before and after, the loss of each step, and some words."""
    model, tokenizer = load_base(base, device=device)
    rows, unseen, entries = spelling_rows(tokenizer, train, valid)
    before, heard, words = _before(model, tokenizer, unseen, entries, shown)
    model, history = train_spelling(
        base, lr, seed, steps, rows, unseen, batch_size=batch_size, device=device,
        progress=progress,
    )  # fmt: skip
    after = measure(model, tokenizer, unseen, entries)
    words |= {"LoRA": say(model, tokenizer, heard)}
    return {"before": before, "after": after, "losses": history.losses, "words": words}


def _before(
    model: nn.Module, tokenizer: Any, rows: Rows, entries: Sequence[Entry], shown: int
) -> tuple[dict[str, float], Rows, dict[str, list[str]]]:
    """(the base's measures; the rows of some words from a to z; these words, and what it says)."""
    before = measure(model, tokenizer, rows, entries)
    some = spread_out(range(len(entries)), shown)
    heard = {name: v[some] for name, v in rows.items()}
    chosen = [entries[i] for i in some]
    words = {"word": [e.word for e in chosen], "sounds": [e.sounds[0] for e in chosen]}
    return before, heard, words | {"base": say(model, tokenizer, heard)}


def spelling_runs(
    base: str = "encoder_decoder",
    arms: Mapping[str, Sequence[float]] = MappingProxyType({"LoRA": (2e-3,)}),
    seeds: Sequence[int] = (0, 1, 2),
    tune_seed: int = 9,
    r: int = 16,
    steps: int = 800,
    tune_steps: int = 300,
    batch_size: int = 256,
    eval_every: int = 100,
    train_words: int | None = None,
    valid_words: int = 1024,
    shown: int = 12,
    order: bool = True,
    capture: str | bool = "auto",
    device: str = "cpu",
    dtype: str = "float32",
    progress: bool = False,
) -> dict[str, Any]:
    """Teach the base to say words: each arm at the best of its rates, over the seeds.

    `arms`: name of `ARMS` -> the rates tried, with another seed, `tune_steps` steps each. For
    `order` see `fresh_base`. Returns the measures before, the tuning, one row a run, and `words`.
    """
    model, tokenizer = fresh_base(base, order, device, dtype)
    rows, valid, entries = spelling_rows(tokenizer, train_words, valid_words)
    before, heard, words = _before(model, tokenizer, valid, entries, shown)
    how: dict[str, Any] = {"rows": rows, "valid": valid, "batch_size": batch_size, "r": r}
    how |= {"capture": capture, "order": order, "device": device, "dtype": dtype}
    trained = partial(train_spelling, base, progress=progress, **how)
    plan = [(arm, lr) for arm, lrs in arms.items() for lr in lrs]
    tuning = [_tuning_row(trained, arm, lr, tune_seed, tune_steps) for arm, lr in plan]
    runs: list[dict[str, Any]] = []
    for arm, seed in product(arms, seeds):
        lr = best_rate(tuning, arm=arm)
        model, history = trained(lr, seed, steps, arm=arm, eval_every=eval_every)
        words[arm] = words.get(arm) or say(model, tokenizer, heard)
        found = measure(model, tokenizer, valid, entries)
        runs.append({"arm": arm, "lr": lr, "seed": seed, **found, **_run_row(model, history)})
    return {"before": before, "tuning": tuning, "runs": runs, "words": words}


def _tuning_row(
    trained: Callable[..., Any], arm: str, lr: float, seed: int, steps: int
) -> dict[str, Any]:
    _, history = trained(lr, seed, steps, arm=arm)
    return {"arm": arm, "lr": lr, "loss": history.last}


def _run_row(model: nn.Module, history: History) -> dict[str, Any]:
    return {
        "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "steps": history.eval_steps,
        "losses": history.eval_losses,
        "captured": history.captured,
        "seconds": history.seconds,
    }
