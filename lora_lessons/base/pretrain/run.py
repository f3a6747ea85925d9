"""One pretraining run, from the text to the finished model's folder."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ...seeding import generator, seed_everything
from ..text import Corpus, load_text
from ..tokens import blocks
from .batches import Batches
from .card import write_card
from .checkpoint import checkpoint_path, resume, save_checkpoint
from .loss import context_free_loss, measure, token_loss
from .models import add_dropout
from .objectives import OBJECTIVES, Batch, NextToken, Objective, SpanCorruption
from .order import order_gain
from .recipes import Recipe
from .step import TrainStep, fastest_step

VALIDATION_SEED = 0  # of the holes in the validation text: the same for every run


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up to `lr`, then half a cosine down to zero at the last step."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with decay on matrices only, not on biases and norms.

    T5's bias of attention, (buckets, heads), is a bias too.
    """
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        is_bias = "relative_attention_bias" in name or parameter.dim() < 2
        (others if is_bias else matrices).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    # the learning rate is a tensor, so that a captured step reads what it is filled with
    lr = torch.tensor(recipe.lr, device=device)
    on_gpu = device.type == "cuda"
    return torch.optim.AdamW(
        groups, lr=lr, betas=(0.9, 0.95), capturable=on_gpu, fused=on_gpu or None
    )


class Run:
    """One pretraining run: everything that a checkpoint must hold to go on exactly."""

    def __init__(self, recipe: Recipe, corpus: Corpus, out: Path, seed: int, device: str) -> None:
        self.recipe, self.out, self.seed = recipe, out, seed
        self.device = torch.device(device)
        seed_everything(seed)
        self.objective = self._objective(corpus.train)
        self.tokenizer = self.objective.tokenizer
        train, valid = self.objective.encode(corpus.train), self.objective.encode(corpus.valid)
        self.train_tokens, self.valid_tokens = len(train), len(valid)
        self.bytes_per_token = len(corpus.valid.encode()) / len(valid)
        self.batches = Batches(self.objective, train, recipe.batch_size, seed, device)
        self.valid = self.fixed_batch(valid)
        self.model = self.objective.build_model().to(device)
        add_dropout(self.model, recipe.dropout)
        self.optimizer = make_optimizer(self.model, recipe, self.device)
        self.step = 0
        self.seconds = 0.0
        self.evaluations: list[tuple[int, float]] = []
        self.best: dict[str, torch.Tensor] = {}

    def _objective(self, text: str) -> Objective:
        from transformers import AutoTokenizer

        kind = OBJECTIVES[self.recipe.objective]
        if (self.out / "tokenizer_config.json").exists():  # this run was stopped before
            tokenizer = AutoTokenizer.from_pretrained(self.out, local_files_only=True)
        else:
            tokenizer = kind.train_tokenizer(text, self.recipe.vocab_size)
            tokenizer.save_pretrained(self.out)
        return kind(self.recipe, tokenizer)

    def fixed_batch(self, ids: torch.Tensor) -> Batch:
        """All of a text as one batch to measure on, its holes always the same."""
        windows = blocks(ids, self.objective.window).to(self.device)
        return self.objective.batch(windows, generator(VALIDATION_SEED))

    @property
    def best_loss(self) -> float:
        """The lowest evaluated loss, in nats; infinity before the first."""
        return min((loss for _, loss in self.evaluations), default=math.inf)

    @property
    def over_fits(self) -> bool:
        """True when the last `patience` evaluations brought no new best."""
        losses = [loss for _, loss in self.evaluations]
        return len(losses) - 1 - losses.index(min(losses)) >= self.recipe.patience

    def evaluate(self) -> None:
        """Note the validation loss and keep the weights if it is the best so far."""
        loss, _ = measure(self.objective, self.model, self.valid)
        if loss < self.best_loss:
            state = self.model.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.evaluations.append((self.step, loss))

    def train(self, show: bool = True) -> None:
        """Train until the recipe's steps are done or the model starts to over-fit."""
        from tqdm.auto import tqdm

        self.model.train()
        plain_step = TrainStep(self.model, self.optimizer, partial(token_loss, self.objective))
        one_step = fastest_step(plain_step, self.batches.peek())
        started = time.perf_counter() - self.seconds
        with tqdm(total=self.recipe.steps, initial=self.step, disable=not show) as bar:
            while self.step < self.recipe.steps:
                for group in self.optimizer.param_groups:
                    group["lr"].fill_(learning_rate(self.recipe, self.step))
                loss = one_step(next(self.batches))
                self.step += 1
                bar.update()
                if self.step % self.recipe.eval_every == 0 or self.step == self.recipe.steps:
                    self.evaluate()
                    self.seconds = time.perf_counter() - started
                    bar.set_postfix(train=f"{loss:.3f}", valid=f"{self.evaluations[-1][1]:.3f}")
                    save_checkpoint(self)
                    if self.over_fits:
                        break

    def export(self, name: str, corpus: Corpus) -> None:
        """Write the best weights in the Hugging Face format, with the card; drop the checkpoint.

        Half precision halves the file; the loss on the card is that of the rounded weights.
        """
        half = {key: tensor.half() for key, tensor in self.best.items()}
        self.model.load_state_dict(half)
        report = {
            "name": name,
            "parameters": self.model.num_parameters(),
            **self._measurements(),
            "best_step": min(self.evaluations, key=lambda e: e[1])[0],
            "seconds": round(self.seconds, 1),
            "train_tokens": self.train_tokens,
            "valid_tokens": self.valid_tokens,
            "seed": self.seed,
            "data": {"corpus": corpus.name, "source": corpus.source, "licence": corpus.licence},
            "environment": _environment(self.device),
            "recipe": asdict(self.recipe),
            "evaluations": self.evaluations,
        }
        self.model.half().save_pretrained(self.out)
        (self.out / "training.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        write_card(self.out / "README.md", report)
        checkpoint_path(self).unlink(missing_ok=True)

    def _measurements(self) -> dict[str, float]:
        """The losses on the card: on the validation text, and on a novel never trained on."""
        elsewhere = self.fixed_batch(self.objective.encode(load_text("moby_dick").valid))
        nats, accuracy = measure(self.objective, self.model, self.valid)
        novel, _ = measure(self.objective, self.model, elsewhere)
        unit = self.objective.unit.replace(" ", "_")
        found = {f"valid_nats_per_{unit}": nats, "valid_accuracy": accuracy}
        found["valid_nats_without_context"] = context_free_loss(self.valid["labels"])
        if isinstance(self.objective, NextToken):  # the others see part of the text they predict
            found["valid_bits_per_byte"] = nats / math.log(2) / self.bytes_per_token
        if isinstance(self.objective, SpanCorruption):
            fixed = self.objective.is_mark(self.valid["input_ids"])
            noise = generator(VALIDATION_SEED)
            gain = order_gain(self.objective, self.model, self.valid, fixed, noise)
            found["valid_nats_for_order"] = gain
        found[f"moby_dick_nats_per_{unit}"] = novel
        return {key: round(value, 4) for key, value in found.items()}


def pretrain(
    name: str,
    recipe: Recipe,
    corpus: Corpus,
    out: str | Path,
    seed: int = 0,
    device: str = "cpu",
    show: bool = True,
) -> Run:
    """Pretrain, or go on with a stopped run in `out`, and leave the finished model there."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    head = slice(recipe.characters)
    corpus = replace(corpus, train=corpus.train[head], valid=corpus.valid[head])
    run = Run(recipe, corpus, out, seed, device)
    if resume(run) and show:
        print(f"going on from step {run.step}")
    run.train(show)
    run.export(name, corpus)
    return run


def _environment(device: torch.device) -> dict[str, str]:
    import platform

    import tokenizers
    import transformers

    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.machine() + " CPU",
        "precision": "bf16 autocast" if on_gpu else "float32",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
