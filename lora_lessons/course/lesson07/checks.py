"""The checks of lesson 07's losses: which labels count, the shift of one, the shift of the other.

Every expected value is found here place by place, by other means than the package's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

LEFT_OUT = -100
NO_CODE = -1  # no label has it, so none is left out
END = 2  # in 7.1 the padding has the same id as the end of an answer


def _whole(rng: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=rng))


def _ids(rng: torch.Generator, *shape: int) -> Tensor:
    """Ids that are all different, so that no two mistakes look alike by chance."""
    count = int(torch.tensor(shape).prod())
    return (torch.randperm(count, generator=rng) + 10).view(shape)


def _whole_numbers(result: Any) -> None:
    if isinstance(result, Tensor) and (result.is_floating_point() or result.dtype == torch.bool):
        raise Wrong(f"Return ids, which are whole numbers (int64); got {result.dtype}.")


# --- 7.1 Which labels count ------------------------------------------------------------------


def check_labels_for(answer: Callable[..., Any], rng: torch.Generator) -> None:
    rows, T = 4, 12
    prompts = torch.tensor([_whole(rng, 1, 5) for _ in range(rows)])
    lengths = prompts + torch.tensor([_whole(rng, 2, 6) for _ in range(rows)])
    lengths[1] = T  # one row is full
    ids = _ids(rng, rows, T)
    for i in range(rows):
        ids[i, lengths[i] - 1 :] = END
    given = ids.clone()
    result = answer(ids, prompts, lengths)
    if not torch.equal(ids, given):
        raise Wrong("Your code changed `ids` in place: the model still reads them. Make a copy.")
    _whole_numbers(result)
    expect(
        result,
        _labels(ids, prompts, lengths).double(),
        mistakes={m: v.double() for m, v in _label_mistakes(ids, prompts, lengths).items()},
    )


def _labels(ids: Tensor, prompts: Tensor, lengths: Tensor, first: int = 0, last: int = 0) -> Tensor:
    """The labels, place by place; `first` and `last` move the ends of what counts."""
    labels = torch.full_like(ids, LEFT_OUT)
    for i in range(len(ids)):
        for j in range(int(prompts[i]) + first, int(lengths[i]) + last):
            labels[i, j] = ids[i, j]
    return labels


def _label_mistakes(ids: Tensor, prompts: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    T = ids.shape[1]
    right, none = _labels(ids, prompts, lengths), torch.zeros_like(prompts)
    whole = torch.full_like(lengths, T)
    moved = torch.cat([right[:, 1:], torch.full((len(ids), 1), LEFT_OUT)], dim=1)
    outside = ids.masked_fill(right != LEFT_OUT, LEFT_OUT)
    return {
        "Nothing is left out: the prompt and the padding count too.": ids,
        "The prompt still counts. It is given, not predicted.": _labels(ids, none, lengths),
        "The padding still counts: after `lengths[i]` tokens a row has nothing to predict.": (
            _labels(ids, prompts, whole)
        ),
        "You shifted the labels. The loss shifts them itself, so they would be two places off.": (
            moved
        ),
        "The last real token, the end of the answer, is left out. It has the same id as the "
        "padding here, so go by `lengths`, not by the id.": _labels(ids, prompts, lengths, last=-1),
        "The first token of the answer is left out. The prompt's last token predicts it.": (
            _labels(ids, prompts, lengths, first=1)
        ),
        "The prompt's last token is counted here. It has place prompt_lengths[i] - 1.": (
            _labels(ids, prompts, lengths, first=-1)
        ),
        "The first token of the padding is counted here. The last that counts has place "
        "lengths[i] - 1.": _labels(ids, prompts, (lengths + 1).clamp(max=T)),
        "`lengths[i]` counts the prompt too. The padding begins at place lengths[i], not at "
        "prompt_lengths[i] + lengths[i].": _labels(ids, prompts, (prompts + lengths).clamp(max=T)),
        "Only the prompts count here. They are given; the answers count.": (
            _labels(ids, none, prompts)
        ),
        "What is left out is 0 here, and 0 is the id of a token. Use -100.": (
            right.masked_fill(right == LEFT_OUT, 0)
        ),
        "This is turned round: the prompt and the padding count, and the answer is left out.": (
            outside
        ),
    }


# --- 7.2 The loss of a causal model ----------------------------------------------------------


def check_causal_loss(answer: Callable[..., Any], rng: torch.Generator) -> None:
    B, T, V = 3, 11, 13
    logits = (2 * torch.randn(B, T, V, generator=rng, dtype=torch.float64)).float()
    labels = torch.randint(0, V, (B, T), generator=rng)
    for row, (start, end) in enumerate(((0, T), (3, 9), (T - 2, T))):  # a long row and a short one
        labels[row, :start], labels[row, end:] = LEFT_OUT, LEFT_OUT
    given = labels.clone()
    result = answer(logits, labels)
    if not torch.equal(labels, given):
        raise Wrong("Your code changed `labels` in place. Make a copy.")
    losses, counts = _losses(logits, labels, 1)
    expect(
        result,
        losses.sum() / counts.sum(),
        k=T,
        mistakes=_loss_mistakes(logits, labels, losses, counts),
    )


def _losses(logits: Tensor, labels: Tensor, ahead: int, code: int = LEFT_OUT) -> tuple:
    """(the loss of place j against label j + ahead, whether it counts), both (B, T)."""
    logits = logits.double()
    B, T = labels.shape
    losses, counts = torch.zeros(B, T, dtype=torch.float64), torch.zeros(B, T)
    for i in range(B):
        for j in range(max(0, -ahead), min(T, T - ahead)):
            label = int(labels[i, j + ahead])
            if label != code:
                losses[i, j] = logits[i, j].logsumexp(0) - logits[i, j, max(label, 0)]
                counts[i, j] = 1
    return losses, counts


def _loss_mistakes(
    logits: Tensor, labels: Tensor, losses: Tensor, counts: Tensor
) -> dict[str, Tensor]:
    def mean(ahead: int, code: int = LEFT_OUT) -> Tensor:
        other, count = _losses(logits, labels, ahead, code)
        return other.sum() / count.sum()

    total, n = losses.sum(), counts.sum()
    B, T = labels.shape
    chances = logits.double().softmax(-1)
    along_batch = torch.nn.functional.cross_entropy(
        logits[:-1].double().flatten(0, 1), labels[1:].flatten()
    )
    return {
        "Nothing is shifted: place t is scored on the token that the model has just read. It "
        "predicts the one after it.": mean(0),
        "This is shifted twice: place t predicts label t + 1, not t + 2.": mean(2),
        "This is shifted the wrong way: place t predicts label t + 1, not t - 1.": mean(-1),
        "The labels of -100 are counted as token 0. Leave them out.": mean(1, NO_CODE),
        "The sum is right, but it is divided by all places. Divide by the labels that count.": (
            total / (B * (T - 1))
        ),
        "The sum is right, but it is divided by B T. Divide by the labels that count.": (
            total / (B * T)
        ),
        "The sum is right, but it is divided by all labels that are not -100. The first label of "
        "a row is predicted by nothing.": total / (labels != LEFT_OUT).sum(),
        "The mean of the rows' means counts a short answer as much as a long one. Every label "
        "counts the same.": (losses.sum(1) / counts.sum(1)).mean(),
        "This is the sum. Divide it by the labels that count.": total,
        "The softmax was taken twice: cross-entropy takes it of the logits itself.": (
            _losses(chances, labels, 1)[0].sum() / n
        ),
        "The logarithm is missing: this is the mean probability, turned.": (
            -((-losses).exp() * counts).sum() / n
        ),
        "The softmax goes over the vocabulary, the last dimension.": (
            -sum(
                logits[i, :-1].double().log_softmax(0)[j, labels[i, j + 1]]
                for i in range(B)
                for j in range(T - 1)
                if labels[i, j + 1] != LEFT_OUT
            )
            / n
        ),
        "The shift goes along the rows of the batch. Shift along the places: logits[:, :-1].": (
            along_batch
        ),
        "The sign is turned: the loss is minus the logarithm.": -total / n,
        "This is in bits. Use the natural logarithm.": total / n / torch.tensor(2.0).log(),
        "This is the perplexity. The loss is its logarithm.": (total / n).exp(),
    }


# --- 7.3 What the decoder reads --------------------------------------------------------------


def check_shift_right(answer: Callable[..., Any], rng: torch.Generator) -> None:
    rows, T = 3, 8
    labels = _ids(rng, rows, T)
    for row, length in enumerate((T, 5, 3)):
        labels[row, length:] = LEFT_OUT
    start, pad = 3, 50  # above all ids: what is below the padding need not be -100
    given = labels.clone()
    result = answer(labels, start, pad)
    if not torch.equal(labels, given):
        raise Wrong("Your code changed `labels` in place: the loss still needs them. Make a copy.")
    _whole_numbers(result)
    _not_the_wrong_way(result, labels)
    expect(
        result,
        _read(labels, start, pad).double(),
        mistakes={m: v.double() for m, v in _shift_mistakes(labels, start, pad).items()},
    )


def _not_the_wrong_way(result: Any, labels: Tensor) -> None:
    """Name the wrong shifts, whatever was put at the rows' ends and in place of -100."""
    if not isinstance(result, Tensor) or result.shape != labels.shape:
        return
    result, real = result.cpu(), labels[:, 1:] != LEFT_OUT
    if (result[:, :-1] == labels[:, 1:])[real].all():
        raise Wrong(
            "This is shifted to the left: place t reads the token after the one that it is asked "
            "for. Shift to the right: the last label falls out, not the first."
        )
    if (result[:, :-1] == labels[:, :-1])[labels[:, :-1] != LEFT_OUT].all() and (
        result[:, -1] != labels[:, -1]
    ).any():
        raise Wrong(
            "Only the last label was replaced, and nothing is shifted: the decoder reads the very "
            "token that it is asked for. What is new stands in front."
        )
    asked_for = (result[:, 1:] == labels[:, 1:])[real].all()
    if asked_for and (result[:, 0] != labels[:, 0]).all():
        raise Wrong(
            "Only the first label was replaced, and nothing is shifted: from place 1 on the "
            "decoder reads the very token that it is asked for. The last label must fall out, not "
            "the first."
        )


def _read(labels: Tensor, start: int, pad: int, ahead: int = -1) -> Tensor:
    """Place j reads label j + ahead, or the start token where there is none."""
    B, T = labels.shape
    read = torch.full_like(labels, start)
    for i in range(B):
        for j in range(T):
            if 0 <= j + ahead < T:
                label = int(labels[i, j + ahead])
                read[i, j] = pad if label == LEFT_OUT else label
    return read


def _shift_mistakes(labels: Tensor, start: int, pad: int) -> dict[str, Tensor]:
    right = _read(labels, start, pad)
    raw, rolled = _read(labels, start, LEFT_OUT), labels.roll(1, 1)
    no_start = right.clone()
    no_start[:, 0] = pad
    return {
        "The decoder reads here the very token that it is asked for. Shift the labels to the "
        "right, so that place t reads label t - 1.": _read(labels, start, pad, ahead=0),
        "The decoder reads the labels as they are: the answer leaks, and -100 is no token.": labels,
        "-100 is still in it. It is no token: the decoder reads `pad` there.": raw,
        "The last label has come round to the front. The decoder begins with `start`.": (
            rolled.masked_fill(rolled == LEFT_OUT, pad)
        ),
        "The last label has come round to the front, and -100 is still in it.": rolled,
        "The decoder begins with `pad` here. It begins with `start`.": no_start,
        "Where the label is -100 the decoder reads `start` here. It reads `pad` there.": (
            _read(labels, start, start)
        ),
        "This is shifted by two places. Place t reads label t - 1.": (
            _read(labels, start, pad, ahead=-2)
        ),
    }
