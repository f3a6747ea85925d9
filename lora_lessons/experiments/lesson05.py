"""The experiments of lesson 05: which layers get an adapter, and what the choice is worth.

Arms are compared at one budget of trained parameters, each at a learning rate of its own. The rate
is chosen with one seed, and the losses that are compared come from others, so that no arm gains by
having been tried more often.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import nn

from ..base.load import load_base
from ..base.text import load_text
from ..base.tokens import encode
from ..lora.config import LoraConfig
from ..lora.inject import plan_injection
from ..lora.model import get_peft_model
from ..seeding import seed_everything
from ..train.fast.sweep import Job
from ..train.history import History
from ..train.loop import fit
from .sweeps import Sweep, open_sweep
from .task import best_rate, last_tenth

SIZES: dict[str, dict[str, Any]] = {
    "quick": {"steps": 6, "batch": 2, "length": 32, "blocks": 8, "seeds": (0, 1)},
    "small": {"steps": 60, "batch": 4, "length": 64, "blocks": 48, "seeds": (0, 1, 2)},
    "full": {"steps": 300, "batch": 8, "length": 64, "blocks": 96, "seeds": (0, 1, 2, 3, 4)},
}
"""The size of the notebook's live runs for each preset (`ll.preset()`)."""

# --- 1. The arms -----------------------------------------------------------------------------


class Arm(NamedTuple):
    """One choice of targets with its rank. alpha is 2r unless it is given."""

    targets: list[str] | str
    r: int
    alpha: int | None = None
    dropout: float = 0.0
    rank_pattern: dict[str, int] = {}  # noqa: RUF012 (never changed)

    def config(self) -> LoraConfig:
        """The arm as a LoraConfig."""
        return LoraConfig(
            r=self.r,
            lora_alpha=self.alpha or 2 * self.r,
            lora_dropout=self.dropout,
            target_modules=self.targets,
            rank_pattern=dict(self.rank_pattern),
            alpha_pattern={name: 2 * r for name, r in self.rank_pattern.items()},
            task_type="CAUSAL_LM",
        )


QV, ATTENTION = ["q_proj", "v_proj"], ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]

NANO_ARMS = {
    "q, v": Arm(QV, 32),
    "q, k, v, o": Arm(ATTENTION, 16),
    # rank 12 alone is 3.6 % below the budget: one kind of layer takes a rank more
    "MLP": Arm(MLP, 12, rank_pattern={"down_proj": 13}),
    "all-linear": Arm("all-linear", 7),
}
"""Four choices on the nano model at one budget, 21,504 trained numbers, within 1 %."""

DECODER_ARMS = {
    "q": Arm(["q_proj"], 73),
    "k": Arm(["k_proj"], 97),
    "v": Arm(["v_proj"], 97),
    "o": Arm(["o_proj"], 73),
    "q, k": Arm(["q_proj", "k_proj"], 42),
    "q, v": Arm(QV, 42),
    "q, k, v, o": Arm(ATTENTION, 21),
    "MLP": Arm(MLP, 13),
    "all-linear": Arm("all-linear", 8),
}
"""The rows of the paper's table 5 and two more, at 224,256 trained numbers within 1 %."""

OTHER_CHOICES = {
    "r = 4": Arm("all-linear", 4),
    "r = 16": Arm("all-linear", 16),
    "alpha = 32": Arm("all-linear", 8, alpha=32),
    "dropout = 0.05": Arm("all-linear", 8, dropout=0.05),
    "dropout = 0.1": Arm("all-linear", 8, dropout=0.1),
}
"""The card's ranges of r, alpha and dropout, on the all-linear arm: the other knobs."""

SMOLLM2_ARMS = {
    "q": Arm(["q_proj"], 71),
    "v": Arm(["v_proj"], 106),
    "q, v": Arm(QV, 42),
    "q, k, v, o": Arm(ATTENTION, 21),
    # rank 13 alone is 1.2 % above the budget: ten layers take a rank less
    "MLP": Arm(MLP, 13, rank_pattern={r"layers\.[0-9]\.mlp\.down_proj": 12}),
    "all-linear": Arm("all-linear", 8),
    "r = 4": Arm("all-linear", 4),
    "r = 16": Arm("all-linear", 16),
}
"""Six choices on SmolLM2-135M at one budget, 2,442,240 trained numbers within 1 %; two of r."""

RANKS = (1, 2, 4, 8, 64)
RANK_CHOICES = {"q": ["q_proj"], "q, v": QV, "q, k, v, o": ATTENTION}
RANK_ARMS = {
    f"{choice}: r = {r}": Arm(targets, r)
    for r in RANKS  # like ranks stand together, so that adapters of one step need little padding
    for choice, targets in RANK_CHOICES.items()
}
"""The paper's table 6: three choices at five ranks, so not at one budget, as there."""

ARMS = {
    "nano": NANO_ARMS | RANK_ARMS,
    "decoder": DECODER_ARMS | OTHER_CHOICES | RANK_ARMS,
    "smollm2": SMOLLM2_ARMS,
}


def trained_parameters(model: nn.Module, config: LoraConfig) -> int:
    """The numbers that a config would train in a model: the sum of r (in + out)."""
    targets = plan_injection(model, config).targets
    return sum(t.r * (t.module.in_features + t.module.out_features) for t in targets)


# --- 2. Each arm at its own learning rate ----------------------------------------------------


def target_sweep(
    arms: Sequence[str] = tuple(NANO_ARMS),
    lrs: Sequence[float] = (3e-4, 1e-3, 3e-3),
    tuning_seed: int = 99,
    seeds: Sequence[int] = (0, 1, 2),
    **run: Any,
) -> dict[str, Any]:
    """Find each arm's learning rate with `tuning_seed`, then train it with all `seeds`.

    `run`: see `RunSettings`. Returns `before`, the loss of the base; `arms`: name -> r, parameters
    and the chosen lr; `tuning` and `runs`, one row a run: arm, lr, seed, the best and last
    validation loss and the mean training loss of the last tenth, in nats per token.
    """
    sweep = open_sweep(run, eval_every=20, jobs_at_once=40)
    _, tuning = _trained(sweep, list(product(arms, lrs, [tuning_seed])))
    chosen = {arm: best_rate(tuning, "best", arm=arm) for arm in arms}
    before, runs = _trained(sweep, [(arm, chosen[arm], seed) for arm in arms for seed in seeds])
    described = {arm: _described(sweep, arm) | {"lr": chosen[arm]} for arm in arms}
    return {"before": before, "arms": described, "tuning": tuning, "runs": runs}


def _trained(
    sweep: Sweep, plan: Sequence[tuple[str, float, int]]
) -> tuple[float, list[dict[str, Any]]]:
    """(the base's loss, one row for each arm, rate and seed of the plan)."""
    of = ARMS[sweep.at.base]
    results = sweep.train(Job(of[arm].config(), lr, seed) for arm, lr, seed in plan)
    rows = [_row(*one, result.history) for one, result in zip(plan, results, strict=True)]
    return results[0].history.eval_losses[0], rows


def _described(sweep: Sweep, name: str) -> dict[str, int]:
    arm = ARMS[sweep.at.base][name]
    return {"r": arm.r, "parameters": trained_parameters(sweep.model, arm.config())}


def _row(arm: str, lr: float, seed: int, history: History) -> dict[str, Any]:
    return {
        "arm": arm,
        "lr": lr,
        "seed": seed,
        "best": history.best,
        "last": history.last,
        "train": last_tenth(history.losses),
    }


# --- 3. Does each argument change anything? --------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "r": {"r": 8},
    "lora_alpha": {"lora_alpha": 32},
    "lora_dropout": {"lora_dropout": 0.1},
    "target_modules": {"target_modules": ["k_proj", "o_proj"]},
    "bias": {"bias": "all"},
    "task_type": {"task_type": None},
}
"""One argument changed at a time, from r=4, alpha=16, no dropout, q and v, bias none, CAUSAL_LM."""


def argument_effects(
    base: str = "nano",
    steps: int = 3,
    lr: float = 1e-2,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float64",
) -> list[dict[str, Any]]:
    """For each change of one argument: the wrapper's class, what trains, the loss after `steps`."""
    rows = []
    for argument, change in CHANGES.items():
        model, tokenizer = load_base(base, dtype=getattr(torch, dtype), device=device)
        ids = encode(tokenizer, load_text("moby_dick").train[:2000])
        first = {"r": 4, "lora_alpha": 16, "target_modules": QV, "task_type": "CAUSAL_LM"}
        seed_everything(seed)
        adapted = get_peft_model(model, LoraConfig(**first | change))
        batch = ids[: 4 * 32].view(4, 32).to(device)  # (4, 32) token ids
        batches = [{"input_ids": batch, "labels": batch}] * steps
        history = fit(adapted, batches, steps=steps, lr=lr, seed=seed, progress=False)
        rows.append(
            {
                "argument": argument,
                "wrapper": type(adapted).__name__,
                "trained": adapted.get_nb_trainable_parameters()[0],
                "loss": history.losses[-1],
            }
        )
    return rows


# --- 4. The same names elsewhere -------------------------------------------------------------


def toy_models() -> dict[str, nn.Module]:
    """Five architectures on the meta device: names and shapes, no numbers.

    SmolLM2-135M has its true size, the other three are small.
    """
    import transformers as hf

    makers = {
        "SmolLM2": lambda: hf.LlamaForCausalLM(
            hf.LlamaConfig(
                vocab_size=49_152,
                hidden_size=576,
                intermediate_size=1536,
                num_hidden_layers=30,
                num_attention_heads=9,
                num_key_value_heads=3,
                tie_word_embeddings=True,
            )
        ),
        "GPT-2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(n_layer=2, n_embd=256, n_head=8)),
        "BERT": lambda: hf.BertForMaskedLM(
            hf.BertConfig(
                hidden_size=256, num_hidden_layers=2, num_attention_heads=8, intermediate_size=704
            )
        ),
        "T5": lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(d_model=256, d_kv=32, d_ff=704, num_layers=2, num_heads=8)
        ),
    }
    with torch.device("meta"):
        toys = {name: make() for name, make in makers.items()}
    return {"decoder": load_base("decoder")[0].to("meta"), **toys}


_TINY_TASK = {"batch_size": 2, "length": 16, "valid_blocks": 4, "dtype": "float64"}

RECORDINGS = {
    "05_targets": (
        target_sweep,
        {
            "base": "decoder",
            "arms": [*DECODER_ARMS, *OTHER_CHOICES],
            "lrs": [3e-4, 1e-3, 3e-3, 1e-2],
            "seeds": [0, 1, 2, 3, 4],
            "steps": 200,
            "batch_size": 8,
            "length": 128,
            "eval_every": 100,
            "valid_blocks": 116,
            "jobs_at_once": 35,
            "device": "cuda",
        },
        {**_TINY_TASK, "base": "nano", "lrs": [1e-3, 1e-2], "seeds": [0], "steps": 4},
    ),
    "05_ranks": (
        target_sweep,
        {
            "base": "decoder",
            "arms": list(RANK_ARMS),
            "lrs": [1e-3, 3e-3, 1e-2],
            "seeds": [0, 1, 2],
            "steps": 90,
            "batch_size": 2,
            "length": 64,
            "eval_every": 90,
            "valid_blocks": 40,
            "jobs_at_once": 9,
            "device": "cpu",
        },
        {
            **_TINY_TASK,
            "base": "nano",
            "arms": ["q: r = 1", "q, v: r = 8"],
            "lrs": [1e-3, 1e-2],
            "seeds": [0],
            "steps": 4,
        },
    ),
}
"""Name -> (experiment, settings of the recorded run, settings of its fingerprint)."""
