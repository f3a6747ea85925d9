"""Pretrain the course's own base models: `python -m lora_lessons.pretrain decoder --out FOLDER`.

The decoder has the Qwen2 architecture (RMSNorm, rotary positions, grouped key-value heads, SwiGLU,
biases on q, k and v), small enough that a learner's laptop fine-tunes it, and is trained on text
that ships with the package. A stopped run goes on from its last checkpoint when the same command
is given again: bit for bit on the CPU, and on a GPU with `--deterministic`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from .model_card import write_card
from .pretrain_checkpoint import checkpoint_path, resume, save_checkpoint
from .pretrain_step import CapturedStep, TrainStep, next_token_loss
from .seeding import seed_everything
from .text import Corpus, load_text
from .tokens import TokenBatches, blocks, encode_lines, train_tokenizer

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM, Qwen2Tokenizer


@dataclass(frozen=True)
class Recipe:
    """A model's shape and how it is trained."""

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    steps: int
    batch_size: int = 64
    length: int = 256  # tokens in a window
    lr: float = 2e-3  # the peak; warmed up, then a cosine down to zero
    warmup: int = 200
    weight_decay: float = 0.1
    dropout: float = 0.0
    eval_every: int = 250
    patience: int = 4  # evaluations without a new best before it stops
    characters: int | None = None  # use the head of the text only


RECIPES = {
    "decoder": Recipe(4096, 256, 6, 8, 4, 704, steps=6000, dropout=0.1),
    "nano": Recipe(512, 64, 3, 4, 2, 128, steps=8000, lr=5e-3, weight_decay=0.05),
    # runs in seconds, to try the command out
    "tiny": Recipe(
        300, 16, 1, 2, 1, 32, steps=20, batch_size=4, length=32, warmup=2, eval_every=10,
        characters=60_000,
    ),
}  # fmt: skip


def build_model(recipe: Recipe, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """A Qwen2 causal language model with random weights from the global generator."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        max_position_embeddings=recipe.length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def add_dropout(model: nn.Module, p: float) -> None:
    """Dropout on the embeddings and on what each block adds to the residual stream (GPT-2).

    Qwen2 has none. Several epochs over little text need it; it is a hook, so the saved model
    does not know of it.
    """

    def drop(module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return F.dropout(output, p, module.training)

    for name, module in model.named_modules():
        if name.endswith(("embed_tokens", "o_proj", "down_proj")):
            module.register_forward_hook(drop)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up to `lr`, then half a cosine down to zero at the last step."""
    if step < recipe.warmup:
        return recipe.lr * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) with decay on matrices only, not on biases and norms."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    # the learning rate is a tensor, so that a captured step reads what it is filled with
    lr = torch.tensor(recipe.lr, device=device)
    on_gpu = device.type == "cuda"
    return torch.optim.AdamW(
        groups, lr=lr, betas=(0.9, 0.95), capturable=on_gpu, fused=on_gpu or None
    )


@torch.no_grad()
def mean_loss(model: nn.Module, data: torch.Tensor, batch_size: int = 64) -> float:
    """Mean loss in nats per predicted token over (n, T) blocks, the model in eval mode."""
    was_training = model.training
    model.eval()
    total = sum(next_token_loss(model, ids).item() * len(ids) for ids in data.split(batch_size))
    model.train(was_training)
    return total / len(data)


class Run:
    """One pretraining run: everything that a checkpoint must hold to go on exactly."""

    def __init__(self, recipe: Recipe, corpus: Corpus, out: Path, seed: int, device: str) -> None:
        self.recipe, self.out, self.seed = recipe, out, seed
        self.device = torch.device(device)
        seed_everything(seed)
        self.tokenizer = self._tokenizer(corpus.train)
        train = encode_lines(self.tokenizer, corpus.train)
        valid = encode_lines(self.tokenizer, corpus.valid)
        self.train_tokens, self.valid_tokens = len(train), len(valid)
        self.bytes_per_token = len(corpus.valid.encode()) / len(valid)
        self.batches = TokenBatches(train, recipe.batch_size, recipe.length, seed, device)
        self.valid = blocks(valid, recipe.length).to(device)
        self.model = build_model(recipe, self.tokenizer).to(device)
        add_dropout(self.model, recipe.dropout)
        self.optimizer = make_optimizer(self.model, recipe, self.device)
        self.step = 0
        self.seconds = 0.0
        self.evaluations: list[tuple[int, float]] = []
        self.best: dict[str, torch.Tensor] = {}

    def _tokenizer(self, text: str) -> Qwen2Tokenizer:
        from transformers import AutoTokenizer

        if (self.out / "tokenizer.json").exists():  # this run was stopped before
            return AutoTokenizer.from_pretrained(self.out, local_files_only=True)
        tokenizer = train_tokenizer(text.splitlines(keepends=True), self.recipe.vocab_size)
        tokenizer.save_pretrained(self.out)
        return tokenizer

    @property
    def best_loss(self) -> float:
        return min((loss for _, loss in self.evaluations), default=math.inf)

    @property
    def over_fits(self) -> bool:
        """True when the last `patience` evaluations brought no new best."""
        losses = [loss for _, loss in self.evaluations]
        return len(losses) - 1 - losses.index(min(losses)) >= self.recipe.patience

    def evaluate(self) -> None:
        """Note the validation loss and keep the weights if it is the best so far."""
        loss = mean_loss(self.model, self.valid)
        if loss < self.best_loss:
            state = self.model.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in state.items()}
        self.evaluations.append((self.step, loss))

    def train(self, show: bool = True) -> None:
        """Train until the recipe's steps are done or the model starts to over-fit."""
        from tqdm.auto import tqdm

        self.model.train()
        one_step = TrainStep(self.model, self.optimizer)
        if self.device.type == "cuda":
            one_step = CapturedStep(one_step, (self.recipe.batch_size, self.recipe.length))
        started = time.perf_counter() - self.seconds
        with tqdm(total=self.recipe.steps, initial=self.step, disable=not show) as bar:
            while self.step < self.recipe.steps:
                for group in self.optimizer.param_groups:
                    group["lr"].fill_(learning_rate(self.recipe, self.step))
                loss = one_step(next(self.batches)["input_ids"])
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
        final = mean_loss(self.model, self.valid)
        elsewhere = encode_lines(self.tokenizer, load_text("moby_dick").valid)
        report = {
            "name": name,
            "parameters": self.model.num_parameters(),
            "valid_nats_per_token": round(final, 4),
            "valid_bits_per_byte": round(final / math.log(2) / self.bytes_per_token, 4),
            "moby_dick_nats_per_token": round(
                mean_loss(self.model, blocks(elsewhere, self.recipe.length).to(self.device)), 4
            ),
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
        (self.out / "training.json").write_text(json.dumps(report, indent=1) + "\n")
        write_card(self.out / "README.md", report)
        checkpoint_path(self).unlink(missing_ok=True)


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


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m lora_lessons.pretrain", description=__doc__)
    parser.add_argument("name", choices=RECIPES, help="which model")
    parser.add_argument("--out", required=True, help="folder for the model (and its checkpoint)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--deterministic", action="store_true", help="exact resume on a GPU")
    for field, kind in (("steps", int), ("lr", float), ("weight_decay", float),
                        ("dropout", float), ("batch_size", int), ("warmup", int)):  # fmt: skip
        parser.add_argument(f"--{field.replace('_', '-')}", type=kind)
    args = parser.parse_args(argv)
    if args.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    given = {k: v for k, v in vars(args).items() if k in Recipe.__annotations__ and v is not None}
    recipe = replace(RECIPES[args.name], **given)
    corpus = load_text("pretraining")
    run = pretrain(args.name, recipe, corpus, args.out, args.seed, args.device)
    print(f"{args.name}: best validation loss {run.best_loss:.4f} nats per token")


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


if __name__ == "__main__":
    main()
