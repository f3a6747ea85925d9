"""What each base model is and how it is trained.

Why the encoder-decoder starts on its neighbours. Its decoder learns to predict from the bytes
before alone, and then next to no gradient tells the encoder what to read. The first one made (T5's
own start, rate 2e-3, 4,000 steps of 64 x 512 bytes) stayed there: given another text's bytes around
the holes, it lost 0.003 nats; given its own shuffled, 0.000. The gradient was right, only small.

Measured on a small one (hidden 64, 2 + 2 layers, 32 x 64 bytes, rate 2e-3, on a CPU): by how many
nats the loss rises when the bytes around the holes are shuffled, 0 for an encoder blind to order.

    start of the heads                    share  span   400 steps   800 steps
    T5's                                             2       0.00        0.00
    half of them on a neighbour each       98 %      2       0.06        0.65
    all of them on a neighbour each        98 %      2       0.07        0.66
    all of them on a neighbour each        50 %      2       0.01        0.39
    all of them on a neighbour each        98 %      4       0.10        0.32
    all of them on a neighbour each        98 %     20       0.11

The share is the neighbour's of a head's attention at the start. With 33 % (span 4, 16 x 128 bytes)
1,200 steps brought 0.00. Windows count: with half of the heads and span 4, 24 x 128 bytes bring
0.18 in 750 steps, 6 x 512 bytes 0.00 in 1,050. The rate decides too: at the shipped size, on
letters of which each tells the next (8 x 64, span 4), 160 steps bring 0.54 at 6e-4, 0.74 at 1e-3
and 0.00 at 2e-3. On the text with 4 + 4 layers (hidden 128, 24 x 64, span 4), 500 steps bring 0.12
at 6e-4 and 0.19 at 1e-3.

The recipe below in full (256 x 128, rate 1e-3, 12,000 steps, 198 s on an H200) brings 2.46: the
shipped encoder-decoder's loss is 0.731 nats with the bytes around the holes in order.
"""

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
    span: float = 20.0  # mean length of a hidden span, in tokens (the encoder-decoder)
    neighbours: bool = False  # its encoder's heads start on a neighbour each (models.py says why)


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
        384, 256, 4, 8, None, 512, steps=12_000, objective="span_corruption", batch_size=256,
        length=128, lr=1e-3, warmup=1000, dropout=0.1, eval_every=500, span=4.0, neighbours=True,
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
        warmup=2, eval_every=10, characters=20_000, span=4.0, neighbours=True,
    ),
}  # fmt: skip
