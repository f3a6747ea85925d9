"""What each base model is and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A model's shape and how it is trained."""

    vocab_size: int
    hidden: int
    layers: int  # of the encoder and of the decoder each, where there are both
    heads: int
    kv_heads: int | None  # fewer than heads in the decoder; None: as many
    feed_forward: int
    steps: int
    objective: str = "next_token"  # a name of objectives.OBJECTIVES; it decides the architecture
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
    "encoder": Recipe(
        4096, 256, 6, 8, None, 1024, steps=10_000, objective="masked", batch_size=128, length=128,
        lr=6e-4, warmup=1000, dropout=0.1, eval_every=500,
    ),
    "nano_encoder": Recipe(
        512, 64, 3, 4, None, 128, steps=12_000, objective="masked", batch_size=128, length=128,
        lr=2e-3, warmup=1000, weight_decay=0.05, eval_every=500,
    ),
    "encoder_decoder": Recipe(
        384, 256, 4, 8, None, 512, steps=4000, objective="span_corruption", length=512,
        warmup=500, dropout=0.1, eval_every=500,
    ),
    # these run in seconds, to try the command out
    "tiny": Recipe(
        300, 16, 1, 2, 1, 32, steps=20, batch_size=4, length=32, warmup=2, eval_every=10,
        characters=60_000,
    ),
    "tiny_encoder": Recipe(
        300, 16, 1, 2, None, 32, steps=20, objective="masked", batch_size=4, length=32, warmup=2,
        eval_every=10, characters=60_000,
    ),
    "tiny_encoder_decoder": Recipe(
        384, 16, 1, 2, None, 32, steps=20, objective="span_corruption", batch_size=4, length=64,
        warmup=2, eval_every=10, characters=20_000,
    ),
}  # fmt: skip
