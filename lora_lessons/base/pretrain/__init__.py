"""Pretrain the course's own bases: `python -m lora_lessons.base.pretrain decoder --out FOLDER`.

There are three kinds, each small enough that a learner's laptop fine-tunes it, and trained on text
that ships with the package: a decoder (Qwen2), which predicts the next token; an encoder (BERT),
which predicts masked tokens; and an encoder-decoder (T5), which predicts hidden spans.

`recipes` says what each model is, `objectives` what it learns to predict, `run` trains one.
"""

from __future__ import annotations

from .recipes import RECIPES, Recipe
from .run import Run, pretrain

__all__ = ["RECIPES", "Recipe", "Run", "pretrain"]
