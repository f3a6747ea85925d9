"""The course's drawings of LoRA: the layer with W, A and B; the block with its seven layers."""

from __future__ import annotations

from collections.abc import Collection

from .drawing import FROZEN, PLAIN, TRAINS, Drawing, Part

LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def lora_layer(
    out_features: int | str = "out",
    in_features: int | str = "in",
    r: int | str = "r",
    *,
    scaling: str = "s",
    dropout: bool = False,
    bias: str | None = None,
    output: str = "h",
) -> Drawing:
    """h = W x + s B A x: W with A and B beside it, their shapes, and what trains.

    `scaling` is what the product is multiplied by ("alpha / r"); `dropout` puts the mask where it
    falls, on x before A and nowhere else, `bias` (TRAINS or FROZEN) draws W's bias. `output` is
    what the sum is called.
    """
    told = _told(out_features, in_features, r, scaling, dropout, bias, output)
    drawing = Drawing("A layer with LoRA", told, 820, 350)
    x = drawing.box(10, 135, 60, 56, ["x", f"({in_features})"])
    W = drawing.matrix(230, 10, 150, 120, "W", (out_features, in_features), FROZEN)
    A = drawing.matrix(230, 217, 150, 62, "A", (r, in_features), TRAINS)
    B = drawing.matrix(470, 188, 96, 120, "B", (out_features, r), TRAINS)
    factor = drawing.box(594, 230, 96, 36, [f"× {scaling}"])
    total = drawing.circle(712, 163, 15, "+")
    h = drawing.box(752, 135, 60, 56, [output, f"({out_features})"])
    fork = (105, x.right[1])
    drawing.arrow(x.right, fork, head=False)
    drawing.arrow(fork, (105, W.left[1]), W.left)
    _to_A(drawing, fork, A, dropout)
    drawing.arrow(A.right, B.left, label=f"{r} numbers")
    drawing.arrow(B.right, factor.left)
    drawing.arrow(factor.right, (total.middle[0], factor.right[1]), total.bottom)
    _from_W(drawing, W, total, bias)
    drawing.arrow(total.right, h.left)
    drawing.label(A.middle[0], 299, "starts random")
    drawing.label(B.middle[0], 328, "starts at zero")
    drawing.legend(10, 325)
    return drawing


def _to_A(drawing: Drawing, fork: tuple[float, float], A: Part, dropout: bool) -> None:
    if not dropout:
        drawing.arrow(fork, (fork[0], A.left[1]), A.left)
        return
    mask = drawing.box(125, A.left[1] - 24, 85, 48, ["dropout", "(training)"], round_by=12)
    drawing.arrow(fork, (fork[0], A.left[1]), mask.left)
    drawing.arrow(mask.right, A.left)


def _from_W(drawing: Drawing, W: Part, total: Part, bias: str | None) -> None:
    corner = (total.middle[0], W.right[1])
    if bias is None:
        drawing.arrow(W.right, corner, total.top)
        return
    b = drawing.box(470, W.right[1] - 28, 90, 56, ["+ bias", f"({bias})"], PLAIN)
    drawing.arrow(W.right, b.left)
    drawing.arrow(b.right, corner, total.top)


def _told(
    out: object,
    in_: object,
    r: object,
    scaling: str,
    dropout: bool,
    bias: str | None,
    output: str,
) -> str:
    mask = " through dropout, which is there in training alone," if dropout else ""
    added = f" A bias is added to it, {bias}." if bias else ""
    return (
        f"The input x, {in_} numbers, goes two ways. One way is W, ({out}, {in_}), frozen.{added} "
        f"The other way goes{mask} through A, ({r}, {in_}), which starts random, then through B, "
        f"({out}, {r}), which starts at zero; both train. That result is multiplied by {scaling} "
        f"and added to that of W. The sum is {output}, {out} numbers."
    )


def decoder_block(
    adapted: Collection[str] = ("q_proj", "v_proj"),
    *,
    biases: Collection[str] = (),
    title: str = "One block of a decoder",
) -> Drawing:
    """A block's seven linear layers in their order; those in `adapted` are hatched.

    A layer named in `biases` says "has a bias". Raises ValueError for a name that no layer has.
    """
    if strange := sorted({*adapted, *biases} - set(LAYERS)):
        raise ValueError(f"no layer is named {strange[0]!r}; there are {', '.join(LAYERS)}")
    drawing = Drawing(title, _block_told(adapted, biases), 830, 310)

    def layer(name: str, x: float, y: float) -> Part:
        words = [name, *(["has a bias"] if name in biases else [])]
        if name in adapted:
            return drawing.box(x, y, 110, 62, words, TRAINS, word="adapter trains")
        return drawing.box(x, y, 110, 62, words, FROZEN)

    q, k, v = (layer(name, 90, y) for name, y in zip(LAYERS[:3], (10, 90, 170), strict=True))
    attention = drawing.box(235, 82, 90, 78, ["attention", "softmax"])
    o = layer("o_proj", 350, 90)
    gate, up = layer("gate_proj", 530, 50), layer("up_proj", 530, 130)
    down = layer("down_proj", 710, 90)
    drawing.label(145, 262, "attention: 4 layers", bold=True)
    drawing.label(640, 262, "MLP: 3 layers", bold=True)
    x = drawing.box(10, 100, 44, 42, ["x"])
    for part in (q, k, v):
        drawing.arrow(x.right, (70, x.right[1]), (70, part.left[1]), part.left)
        drawing.arrow(part.right, (215, part.right[1]), (215, attention.left[1]), attention.left)
    drawing.arrow(attention.right, o.left)
    for part in (gate, up):
        drawing.arrow(o.right, (495, o.right[1]), (495, part.left[1]), part.left)
        drawing.arrow(part.right, (675, part.right[1]), (675, down.left[1]), down.left)
    drawing.label(478, 108, "+ x")
    drawing.legend(90, 285, "its A and B train, its W is frozen")
    return drawing


def _block_told(adapted: Collection[str], biases: Collection[str]) -> str:
    named = ", ".join(name for name in LAYERS if name in adapted) or "none"
    told = (
        "The input goes through q_proj, k_proj and v_proj, then the attention, then o_proj; the "
        "sum with the input goes through gate_proj and up_proj, then down_proj. "
        f"With an adapter that trains: {named}. Every W is frozen."
    )
    return told + (
        f" With a bias: {', '.join(n for n in LAYERS if n in biases)}." if biases else ""
    )
