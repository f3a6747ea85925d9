"""Lesson 12, a base in 4 bits: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import (
    check_bits_per_weight,
    check_dequantize,
    check_nf4_table,
    check_quantize,
)
from .checks_product import check_frozen_product
from .own import MY_BLOCK

EXERCISES = [
    Exercise(
        name="nf4_table",
        title="12.1 The sixteen levels",
        points=2,
        minutes=6,
        hints=(
            "torch.special.ndtri(p) is the quantile of N(0, 1) at the probability p. Make the two "
            "sides on their own, then put zero between them.",
            "Above zero: probabilities torch.linspace(offset, 0.5, 9)[:-1], 8 of them without 0.5. "
            "Below: torch.linspace(offset, 0.5, 8)[:-1], 7 of them, with a minus in front.",
            "levels = torch.cat([-below, torch.zeros(1), above]).sort().values; then divide by "
            "levels.max(). Work in float64 until the end.",
        ),
        check=check_nf4_table,
        takes=("offset",),
    ),
    Exercise(
        name="quantize",
        title="12.2 Codes and scales",
        points=3,
        minutes=8,
        hints=(
            "Flatten W to float32, and cut it by .split(block): the last piece may be short. Each "
            "piece gives one scale and its codes.",
            "The nearest level: (piece[:, None] / scale - table).abs().argmin(1). Where the scale "
            "is 0, divide by 1. Or torch.bucketize with the middles between the levels.",
            "codes = torch.cat(codes).to(torch.uint8); packed = codes[0::2] * 16 + codes[1::2]; "
            "absmax = torch.stack(scales).",
        ),
        check=check_quantize,
        takes=("W", "table", "block"),
    ),
    Exercise(
        name="dequantize",
        title="12.3 Back to weights",
        points=2,
        minutes=5,
        hints=(
            "The other way round: bytes to codes, codes to levels, levels times scales, shape.",
            "packed >> 4 is the first code of each byte, packed & 15 the second. Stack them in a "
            "new last dimension and flatten; table[codes.long()] looks the levels up.",
            "scales = absmax.repeat_interleave(block)[: len(codes)]; then "
            "(table[codes.long()] * scales).view(shape).to(dtype).",
        ),
        check=check_dequantize,
        takes=("packed", "absmax", "table", "block", "shape", "dtype"),
    ),
    Exercise(
        name="bits_per_weight",
        title="12.4 Bits a weight",
        points=1,
        minutes=4,
        hints=(
            "The code is 4 bits. Then add each weight's share of what its block needs.",
            "Without double quantization a block has 32 bits of scale for `block` weights.",
            "With it: 8 bits for `block` weights, and 32 bits for block * second weights.",
        ),
        check=check_bits_per_weight,
        takes=("block", "double", "second"),
        returns="number",
    ),
    Exercise(
        name="frozen_product",
        title="12.5 Through the frozen weight",
        points=3,
        minutes=8,
        hints=(
            "A class Product(torch.autograd.Function) inside the function, with two static "
            "methods: forward(ctx, x, packed) and backward(ctx, g). Return Product.apply(x, "
            "packed).",
            "forward: ctx.save_for_backward(packed); return x @ decode(packed).T. Nothing else is "
            "kept.",
            "backward: (packed,) = ctx.saved_tensors; return g @ decode(packed), None. The None is "
            "for packed: codes have no gradient.",
        ),
        check=check_frozen_product,
        takes=("x", "packed", "decode"),
    ),
    MY_BLOCK,
]

WHY = {
    "order": "The error is one sum over all weights; the loss depends on where in the model they "
    "are wrong. So two ways with nearly the same error may come in either order.",
    "repaired": "An update of rank 8 cannot undo an error of full rank. But it need not: it is "
    "trained on the loss, and mends the error where it harms most.",
    "merge": "The adapter was trained beside W', errors and all, and part of it mends them. Beside "
    "the original W there is nothing to mend; coded again, it is rounded to a few levels.",
    "slower": "Each product decodes its weight first, forward and backward. That takes the same "
    "time for few tokens as for many: the more a step has, the smaller its share.",
}

CARDS = [
    Card(
        "Why are weights quantized in blocks, each with a scale of its own?",
        "A scale is the largest absolute value of its block. One outlier makes the steps coarse "
        "for "
        "all that share its scale: in a block that is 64 weights, in a tensor all of them.",
    ),
    Card(
        "What is double quantization, and what does it save?",
        "The scales themselves are stored in 8 bits, in blocks of 256, less their mean. A weight "
        "takes 4.127 bits in place of 4.5: 0.373 less.",
    ),
    Card(
        "What trains in QLoRA, and what do gradients flow through?",
        "A and B train, in 16 or 32 bits. Gradients flow through the decoded frozen weight, g "
        "W', on "
        "to the layers before. The codes get none: they never change.",
    ),
    Card(
        "Why decode W twice in a step, forward and backward?",
        "A kept W' is 16 bits a weight again, for all layers at once. Decoding again costs time; "
        "keeping would cost the memory that the 4 bits saved.",
    ),
    Card(
        "Why not merge an adapter into 4-bit codes?",
        "W' + s B A must be coded again. What the update moves by less than half a step is "
        "lost, and "
        "the rest is rounded anew. Merge into floats, or serve the adapter apart.",
    ),
    Card(
        "NF4 is called information-theoretically optimal. For what?",
        "For equal use of its 16 codes by normal weights, not for the least squared error. Even "
        "that "
        "is not met: blocks divided by their maxima use 3.88 of 4 bits.",
    ),
    Card(
        "When is QLoRA slower than LoRA, and when is it the only way?",
        "Slower wherever both fit: each product decodes its weight first. The only way where the "
        "16-bit base alone does not leave room for a step.",
    ),
]
