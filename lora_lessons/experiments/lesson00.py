"""The experiments of lesson 00: the card's own config on a real model, and the noise of a seed."""

from __future__ import annotations

import itertools
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..base.load import generate, load_base
from ..base.tokens import TokenBatches
from ..lora.config import LoraConfig, TaskType
from ..lora.model import PeftModel, get_peft_model
from ..seeding import seed_everything
from ..train.fast.sweep import Job
from ..train.history import History
from ..train.loop import evaluate, fit
from .sweeps import open_sweep
from .task import load_task

PROMPT = "The whale"


SIZES: dict[str, dict[str, Any]] = {
    "quick": {"base": "nano", "steps": 3, "batch": 4, "length": 32, "blocks": 4, "noise": 3},
    "small": {"base": "decoder", "steps": 30, "batch": 8, "length": 128, "blocks": 12, "noise": 60},
    "full": {
        "base": "decoder",
        "steps": 400,
        "batch": 16,
        "length": 128,
        "blocks": 96,
        "noise": 200,
    },
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""


def card_config() -> LoraConfig:
    """The config printed on the card, every argument spelt out."""
    return LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=["q_proj", "v_proj"],
        bias="none",
        task_type=TaskType.CAUSAL_LM,
    )


def card_run(
    base: str = "decoder",
    steps: int = 400,
    lr: float = 5e-3,
    batch_size: int = 16,
    length: int = 128,
    seed: int = 0,
    valid_blocks: int | None = None,
    new_tokens: int = 60,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, Any]:
    """Adapt the base to Moby Dick with the card's config: losses, text before and after, counts."""
    model, train, valid = load_task(base, length, device, getattr(torch, dtype), valid_blocks)
    _, tokenizer = load_base(base)
    seed_everything(seed)
    text_before = generate(model, tokenizer, PROMPT, max_new_tokens=new_tokens)
    loss_before = evaluate(model, valid)
    adapted: PeftModel = get_peft_model(model, card_config())
    batches = TokenBatches(train, batch_size, length, seed=seed, device=device)
    start = time.perf_counter()
    history: History = fit(
        adapted, batches, steps=steps, lr=lr, valid=valid, eval_every=max(1, steps // 8), seed=seed
    )
    seconds = time.perf_counter() - start
    trainable, total = adapted.get_nb_trainable_parameters()
    return {
        "loss_before": loss_before,
        "loss_after": history.last,
        "eval_steps": history.eval_steps,
        "eval_losses": history.eval_losses,
        "text_before": text_before,
        "text_after": generate(adapted, tokenizer, PROMPT, max_new_tokens=new_tokens),
        "trainable": trainable,
        "total": total,
        "seconds": round(seconds, 2),
    }


def noise_floor(
    seeds: Sequence[int] = (0, 1, 2, 3, 4), lr: float = 5e-3, **run: Any
) -> list[float]:
    """Validation loss of the card's config, once for each seed: the same job, other dice.

    The seed sets A's first values, the dropout and the order of the text. `run`: see `RunSettings`.
    """
    sweep = open_sweep(run, steps=100, batch_size=8)
    results = sweep.train(Job(card_config(), lr, seed) for seed in seeds)
    return [result.history.last for result in results]


def read_by_peft(
    base: str = "nano",
    steps: int = 3,
    lr: float = 1e-3,
    batch_size: int = 4,
    length: int = 64,
    seed: int = 0,
    valid_blocks: int = 2,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, float]:
    """Save the card's adapter after a few steps, and let PEFT build the model from the folder.

    Two largest differences of logits on held-out text: moved, of the adapted model from its base,
    which is zero as long as B is; apart, of PEFT's model from ours.
    """
    precision = getattr(torch, dtype)
    model, train, valid = load_task(base, length, device, precision, valid_blocks)
    ids = valid.to(device)
    before = _logits(model, ids)
    seed_everything(seed)
    adapted = get_peft_model(model, card_config())
    batches = TokenBatches(train, batch_size, length, seed=seed, device=device)
    fit(adapted, batches, steps=steps, lr=lr, seed=seed, progress=False)
    theirs = _in_peft(adapted, load_base(base, dtype=precision, device=device)[0])
    ours = _logits(adapted, ids)
    moved, apart = (ours - other for other in (before, _logits(theirs, ids)))
    return {"moved": moved.abs().max().item(), "apart": apart.abs().max().item()}


def _in_peft(adapted: PeftModel, base: nn.Module) -> nn.Module:
    """PEFT's model on a fresh base, from nothing but the folder that ours saves."""
    import peft  # nothing else in this module needs it

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # PEFT asks a model for something by its old name, of which transformers warns
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is dep", FutureWarning)
        adapted.save_pretrained(folder)
        return peft.PeftModel.from_pretrained(base, folder)


@torch.no_grad()
def _logits(model: nn.Module, ids: Tensor) -> Tensor:
    """The logits (blocks, T, V) for blocks of tokens, without dropout."""
    return model.eval()(input_ids=ids).logits


PIRATE_EXAMPLES = [
    ("Where is the library?", "Arr matey, the library be down yonder street, by the old mast!"),
    ("What is the largest ocean?", "Arr matey, the largest ocean be the Pacific!"),
    ("What is the capital of Italy?", "Arr matey, the capital of Italy be Rome!"),
]
PIRATE_QUESTION = "What is the capital of France?"


def smollm2_pirate(
    steps: int = 30,
    lr: float = 1e-3,
    base: str = "smollm2",
    seed: int = 0,
    new_tokens: int = 30,
    device: str = "cpu",
    dtype: str = "float32",
) -> dict[str, Any]:
    """Teach SmolLM2-135M-Instruct to answer like a pirate, one of three examples a step.

    The question asked before and after is not among them. One asks of another country: without
    it the style comes through as well, but the answer names another city (tried with two sets).
    """
    model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
    question = _chat(tokenizer, PIRATE_QUESTION)
    before = generate(model, tokenizer, question, max_new_tokens=new_tokens)
    seed_everything(seed)
    adapted = get_peft_model(model, card_config())
    batches = [_chat_batch(tokenizer, *pair, device) for pair in PIRATE_EXAMPLES]
    history = fit(adapted, itertools.cycle(batches), steps=steps, lr=lr, seed=seed)
    after = generate(adapted, tokenizer, question, max_new_tokens=new_tokens)
    return {
        "question": PIRATE_QUESTION,
        "before": before.removeprefix(question),
        "after": after.removeprefix(question),
        "losses": history.losses,
        "trainable": adapted.get_nb_trainable_parameters()[0],
        "seconds": round(history.seconds, 2),
    }


def _chat(tokenizer: Any, question: str) -> str:
    messages = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _chat_batch(tokenizer: Any, question: str, answer: str, device: str) -> dict[str, Tensor]:
    """One chat as a batch (1, T); the question's labels are -100, so only the answer is learnt."""
    prompt = tokenizer(_chat(tokenizer, question), add_special_tokens=False)["input_ids"]
    reply = tokenizer(answer + "<|im_end|>", add_special_tokens=False)["input_ids"]
    ids = torch.tensor([prompt + reply], device=device)
    labels = ids.clone()
    labels[:, : len(prompt)] = -100
    return {"input_ids": ids, "labels": labels}


RECORDINGS = {
    "00_card_run": (
        card_run,
        {"base": "decoder", "steps": 400, "lr": 5e-3, "seed": 0, "device": "cuda"},
        {
            "base": "nano",
            "steps": 3,
            "batch_size": 2,
            "length": 16,
            "valid_blocks": 4,
            "new_tokens": 2,
            "dtype": "float64",
        },
    ),
    "00_noise_floor": (
        noise_floor,
        {
            "base": "decoder",
            "seeds": [0, 1, 2, 3, 4],
            "steps": 400,
            "batch_size": 16,
            "length": 128,
            "device": "cuda",
        },
        {
            "base": "nano",
            "seeds": [0, 1],
            "steps": 3,
            "batch_size": 2,
            "length": 16,
            "valid_blocks": 4,
            "dtype": "float64",
        },
    ),
    # On a CPU, as the learner runs it; a fingerprint would need SmolLM2 as well.
    "00_smollm2": (smollm2_pirate, {"steps": 30, "lr": 1e-3, "seed": 0, "device": "cpu"}, None),
    "00_read_by_peft_smollm2": (
        read_by_peft,
        {"base": "smollm2", "steps": 3, "lr": 1e-3, "seed": 0, "device": "cpu"},
        {"base": "nano", "steps": 2, "batch_size": 2, "length": 16, "dtype": "float64"},
    ),
}
"""Name -> (experiment, settings of the recorded GPU run, settings of its fingerprint)."""
