"""Who wrote it, Melville or a president? What is left of a classifier's head after a save."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import load_base
from ..base.tasks.rows import RowBatches, Rows
from ..base.tasks.spelling import spread_out
from ..base.text import load_text
from ..base.tokens import blocks, encode_lines
from ..errors import PeftWarning
from ..lora.files import get_peft_model_state_dict
from ..lora.model import PeftModel, get_peft_model
from ..seeding import seed_everything
from ..train.fast.attention import without_causal_mask
from ..train.loop import fit
from ..train.loss import unwrap
from ..train.modes import evaluation_mode
from ..train.optim import device_of
from .task import all_linear

WRITERS = ("a president", "Melville")
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ARMS: dict[str, dict[str, Any]] = {
    "no task_type": {},
    "a wrong task_type": {"task_type": "FEATURE_EXTRACTION"},
    "LoRA on the head": {"target_modules": [*TARGETS, "score"], "rank_pattern": {"score": 2}},
    "SEQ_CLS": {"task_type": "SEQ_CLS"},
    "modules_to_save": {"modules_to_save": ["score"]},
}
"""What the config says of the new head: nothing, a wrong task, a target, the task, or its name."""
ADDRESS = 3000  # characters of each address; a line that is shorter is a gloss
AT_ONCE = 128  # rows in one pass without gradients


def classifier(base: str, seed: int, device: str = "cpu", dtype: str = "float32") -> nn.Module:
    """The base's body with a new head of two classes, whose weights are random: by this seed."""
    seed_everything(seed)
    head: dict[str, Any] = {"head": "sequence_classification", "num_labels": len(WRITERS)}
    return load_base(base, dtype=getattr(torch, dtype), device=device, **head)[0]


def writer_rows(
    base: str, length: int = 32, train: int = 2000, valid: int = 200
) -> tuple[Rows, Rows]:
    """(training, validation): rows of `length` tokens, half of each writer, in turn.

    Validated is text of other chapters and other addresses than are trained. The rows are taken
    at equal distances, so from all the years; of an address the beginning alone.
    """
    _, tokenizer = load_base(base)
    whale, speech = load_text("moby_dick"), load_text("pretraining")
    addresses = [line for line in speech.train.splitlines() if len(line) > ADDRESS]
    beginnings = "\n".join(address[:ADDRESS] for address in addresses)
    parts = []
    for count, *both in (
        (train, beginnings, whale.train),
        (valid, speech.valid, whale.valid),
    ):
        rows = [
            torch.stack(spread_out(blocks(encode_lines(tokenizer, text), length), count // 2))
            for text in both
        ]
        n = min(map(len, rows))
        mixed = torch.stack([part[:n] for part in rows], dim=1).flatten(0, 1)  # (2n, T), in turn
        parts.append({"input_ids": mixed, "labels": torch.tensor([0, 1]).repeat(n)})
    return tuple(parts)


def class_loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """The loss of the model's class, over the row's last token."""
    with without_causal_mask(unwrap(model), ("input_ids",)):
        return model(**batch, use_cache=False).loss


def accuracy(model: nn.Module, rows: Rows) -> float:
    """The share of rows whose writer is found."""
    right, device = 0, device_of(model)
    with evaluation_mode(model):
        for start in range(0, len(rows["labels"]), AT_ONCE):
            batch = {name: v[start : start + AT_ONCE].to(device) for name, v in rows.items()}
            guess = model(input_ids=batch["input_ids"], use_cache=False).logits.argmax(-1)
            right += int((guess == batch["labels"]).sum())
    return right / len(rows["labels"])


def head_after_a_save(
    base: str = "nano",
    arms: Sequence[str] = tuple(ARMS),
    seeds: Sequence[int] = (0,),
    r: int = 8,
    lr: float = 3e-3,
    steps: int = 60,
    batch_size: int = 16,
    length: int = 32,
    train: int = 2000,
    valid: int = 200,
    capture: str | bool = "auto",
    device: str = "cpu",
    dtype: str = "float32",
) -> list[dict[str, Any]]:
    """Train a classifier, save its adapter, load it on the base again: one row for each arm, seed.

    The second time the head starts at random anew, as it does in another process. Returns the
    wrapper's class, the file's tensors that are no A or B, and the accuracy before and after.
    """
    rows, unseen = writer_rows(base, length, train, valid)
    where = {"device": device, "dtype": dtype}
    how: dict[str, Any] = {"steps": steps, "lr": lr, "capture": capture}
    table = []
    for arm in arms:
        for seed in seeds:
            model = _adapted(classifier(base, seed, **where), arm, r)
            batches = RowBatches(rows, batch_size, seed)
            history = fit(
                model, batches, seed=seed, compile=False, loss_fn=class_loss, progress=False, **how
            )
            again = _saved_and_loaded(model, classifier(base, seed + 1000, **where))
            found = {"arm": arm, "seed": seed, "wrapper": type(again).__name__}
            found |= {"saved": _saved_whole(model), "loss": history.losses[-1]}
            found |= {"trained": accuracy(model, unseen), "loaded": accuracy(again, unseen)}
            table.append(found)
    return table


def _saved_and_loaded(model: PeftModel, base: nn.Module) -> PeftModel:
    """What another base makes of the folder that the model saves."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return PeftModel.from_pretrained(base, folder)


def _saved_whole(model: PeftModel) -> list[str]:
    """The tensors of the adapter's file that are no A or B."""
    return [name for name in get_peft_model_state_dict(model) if "lora_" not in name]


def _adapted(model: nn.Module, arm: str, r: int) -> PeftModel:
    config = all_linear(r, **{"target_modules": TARGETS, "task_type": None} | ARMS[arm])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PeftWarning)  # of the forgotten task: it is shown
        return get_peft_model(model, config)
