"""The drawing of lesson 00: one step of training, from the text to the loss and back."""

from __future__ import annotations

from collections.abc import Sequence

from ..drawing import FROZEN, TRAINS, Drawing, Part

STEP = (
    "The text is cut into tokens, which are numbers. They go through the model. In each layer "
    "that the config names, what comes in goes two ways: through W, (out, in), which is frozen, "
    "and beside it through two thin matrices, A, (r, in), and then B, (out, r), which train. "
    "B's result is multiplied by alpha / r, and the two results are added. All else in the "
    "model is frozen too. At the end the model gives each possible next token a score; compared "
    "with the token that really comes next, the scores give the loss. From the loss the "
    "gradient goes back, and the step changes A and B, nothing else."
)


def one_step(text: str, ids: Sequence[int], modules: str) -> Drawing:
    """Text to tokens to the layers with W, A and B to the loss; dashed, what the step changes.

    `ids` are the tokens of `text`, `modules` names the layers that carry an adapter. Raises
    ValueError where one of them is too long for its place.
    """
    drawing = Drawing("One step of training", STEP, 820, 400)
    frame = drawing.box(170, 36, 474, 276)
    drawing.label(frame.middle[0], 24, f"in the model: {modules} of every block", bold=True)
    tokens = _tokens(drawing, text, ids)
    total, A, B = _layer(drawing, tokens)
    scores = drawing.box(670, 129, 140, 62, ["scores", "of next tokens"])
    loss = drawing.box(670, 240, 140, 62, ["loss", "against the text"])
    drawing.arrow(total.right, scores.left)
    drawing.arrow(scores.bottom, loss.top)
    _back(drawing, loss, A, B)
    drawing.legend(10, 374)
    return drawing


def _tokens(drawing: Drawing, text: str, ids: Sequence[int]) -> Part:
    words = drawing.box(4, 36, 148, 56, ["text", text])
    tokens = drawing.box(4, 132, 148, 56, ["tokens", " ".join(str(n) for n in ids)])
    drawing.arrow(words.bottom, tokens.top)
    return tokens


def _layer(drawing: Drawing, tokens: Part) -> tuple[Part, Part, Part]:
    """W with A and B beside it, in the frame -> the sum, A and B."""
    W = drawing.matrix(230, 54, 130, 84, "W", ("out", "in"), FROZEN)
    A = drawing.matrix(230, 206, 130, 62, "A", ("r", "in"), TRAINS)
    B = drawing.matrix(385, 186, 80, 102, "B", ("out", "r"), TRAINS)
    factor = drawing.box(482, 221, 92, 32, ["× alpha / r"])
    total = drawing.circle(602, tokens.right[1], 15, "+")
    fork = (200, tokens.right[1])
    drawing.arrow(tokens.right, fork, head=False)
    drawing.arrow(fork, (200, W.left[1]), W.left)
    drawing.arrow(fork, (200, A.left[1]), A.left)
    drawing.arrow(A.right, B.left)
    drawing.arrow(B.right, factor.left)
    drawing.arrow(factor.right, (602, factor.right[1]), total.bottom)
    drawing.arrow(W.right, (602, W.right[1]), total.top)
    drawing.label(490, 84, "no gradient of W")
    return total, A, B


def _back(drawing: Drawing, loss: Part, A: Part, B: Part) -> None:
    """The dashed way from the loss to what it changes."""
    low = 340
    drawing.arrow(loss.bottom, (loss.bottom[0], low), (A.bottom[0], low), A.bottom, dashed=True)
    drawing.arrow((B.bottom[0], low), B.bottom, dashed=True)
    drawing.label(582, low - 8, "gradient: the step changes A and B alone")
