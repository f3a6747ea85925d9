"""Pretrain the course's own base models: `python -m lora_lessons.base.pretrain NAME --out FOLDER`.

A stopped run goes on from its last checkpoint when the same command is given again: bit for bit on
the CPU, and on a GPU with `--deterministic`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace

import torch

from ..text import load_text
from .recipes import RECIPES, Recipe
from .run import pretrain


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m lora_lessons.base.pretrain", description=__doc__
    )
    parser.add_argument("name", choices=RECIPES, help="which model")
    parser.add_argument("--out", required=True, help="folder for the model (and its checkpoint)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--deterministic", action="store_true", help="exact resume on a GPU")
    for field, kind in (("steps", int), ("lr", float), ("weight_decay", float),
                        ("dropout", float), ("batch_size", int), ("warmup", int),
                        ("length", int), ("eval_every", int), ("span", float)):  # fmt: skip
        parser.add_argument(f"--{field.replace('_', '-')}", type=kind)
    args = parser.parse_args(argv)
    if args.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        torch.use_deterministic_algorithms(True)
    given = {k: v for k, v in vars(args).items() if k in Recipe.__annotations__ and v is not None}
    recipe = replace(RECIPES[args.name], **given)
    corpus = load_text("pretraining")
    run = pretrain(args.name, recipe, corpus, args.out, args.seed, args.device)
    print(f"{args.name}: best validation loss {run.best_loss:.4f} nats per {run.objective.unit}")


if __name__ == "__main__":
    main()
