"""The drawings of lesson 12: how a block is stored, and the layer with its weight in 4 bits."""

from __future__ import annotations

from ..drawing import FROZEN, TRAINS, Drawing


def storage() -> Drawing:
    """64 weights become 32 bytes of codes and a scale; 256 scales share one of their own."""
    drawing = Drawing(
        "A block of 64 weights in 4 bits",
        "64 weights, 128 bytes in bfloat16, become two things. One is their codes: 4 bits each, "
        "two "
        "in a byte, 32 bytes. The other is their scale, the largest absolute value: one float32. "
        "With double quantization the scale is an 8-bit code, and 256 scales, those of 256 blocks, "
        "share one float32; the mean of all scales is kept once.",
        820,
        250,
    )
    weights = drawing.box(10, 85, 170, 76, ["64 weights", "bfloat16: 128 bytes"], round_by=0)
    codes = drawing.box(290, 20, 210, 76, ["64 codes", "4 bits each: 32 bytes"], round_by=0)
    scale = drawing.box(290, 150, 210, 76, ["1 scale, absmax", "float32: 4 bytes"], round_by=0)
    small = drawing.box(590, 105, 220, 76, ["its code", "8 bits: 1 byte"], round_by=0)
    second = drawing.box(590, 190, 220, 56, ["scale of 256 scales", "float32: 4 bytes"], round_by=0)
    drawing.arrow(weights.right, codes.left)
    drawing.arrow(weights.right, scale.left)
    drawing.arrow(scale.right, small.left)
    drawing.arrow(scale.right, second.left)
    drawing.label(700, 92, "double quantization")
    return drawing


def four_bit_layer() -> Drawing:
    """h = x W'ᵀ + s B A x: codes are decoded for each product, and thrown away after."""
    drawing = Drawing(
        "A layer of QLoRA",
        "The input x goes two ways. One way is W', decoded from 4-bit codes for this product and "
        "thrown away after; the codes are frozen. The other way goes through A and then B, in "
        "16 "
        "or 32 bits, which train. The two results are added to h. The gradient comes back from "
        "h by "
        "the same two ways: through W', decoded once more, on to x, and to A and B. None goes to "
        "the codes.",
        820,
        330,
    )
    codes = drawing.box(230, 10, 170, 74, ["codes", "4 bits"], FROZEN, round_by=0)
    decoded = drawing.box(230, 120, 170, 74, ["W' (out, in)", "for this product"], round_by=0)
    x = drawing.box(20, 129, 60, 56, ["x", "(in)"])
    A = drawing.matrix(230, 240, 170, 62, "A", ("r", "in"), TRAINS)
    B = drawing.matrix(480, 225, 110, 92, "B", ("out", "r"), TRAINS)
    total = drawing.circle(680, 157, 15, "+")
    h = drawing.box(740, 129, 60, 56, ["h", "(out)"])
    fork = (120, x.right[1])
    drawing.arrow(x.right, decoded.left)
    drawing.arrow(fork, (120, A.left[1]), A.left)
    drawing.arrow(codes.bottom, decoded.top)
    drawing.label(decoded.middle[0] + 95, 106, "decode, twice a step", anchor="start")
    drawing.arrow(decoded.right, total.left)
    drawing.arrow(A.right, B.left, label="r numbers")
    drawing.arrow(B.right, (total.middle[0], B.right[1]), total.bottom)
    drawing.arrow(total.right, h.left)
    drawing.arrow((640, 140), (430, 140), label="gradient: g W'", dashed=True)
    return drawing
