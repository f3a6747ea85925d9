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
    _compare_labels(answer, _rows_of_answers(rng, 4, 12))
    _compare_labels(answer, _rows_of_answers(rng, 1, 6))  # a batch of one
    ids, prompts, lengths = _rows_of_answers(rng, 5, 9)
    prompts[0], lengths[0] = 0, 9  # nothing but an answer
    prompts[2] = lengths[2] = 4  # no answer at all
    prompts[4], lengths[4] = 8, 9  # an answer of one token, in the last place
    ids[3, :2], ids[3, int(prompts[3])] = 0, 0  # 0 is the id of a token, END may come anywhere
    ids[1, int(prompts[1])] = ids[1, 0] = END
    _compare_labels(answer, (ids, prompts, lengths))
    # a prompt that fills its row, and a row of padding alone: nothing counts in either
    bare = torch.tensor([6, 0])
    _compare_labels(answer, (_ids(rng, 2, 6), bare, bare.clone()))


def _rows_of_answers(rng: torch.Generator, rows: int, T: int) -> tuple[Tensor, Tensor, Tensor]:
    """Ids (rows, T), and how many tokens of each row are the prompt's, and real."""
    prompts = torch.tensor([_whole(rng, 1, T // 3 + 1) for _ in range(rows)])
    lengths = prompts + torch.tensor([_whole(rng, 2, T // 2) for _ in range(rows)])
    lengths[rows // 4] = T  # one row is full
    ids = _ids(rng, rows, T)
    for i in range(rows):
        ids[i, lengths[i] - 1 :] = END
    return ids, prompts, lengths


def _compare_labels(answer: Callable[..., Any], given: tuple[Tensor, Tensor, Tensor]) -> None:
    ids, prompts, lengths = (value.clone() for value in given)
    result = answer(ids, prompts, lengths)
    if not torch.equal(ids, given[0]):
        raise Wrong("Your code changed `ids` in place: the model still reads them. Make a copy.")
    _whole_numbers(result)
    ids, prompts, lengths = given
    right = _labels(ids, prompts, lengths)
    mistakes = {m: v.double() for m, v in _label_mistakes(ids, prompts, lengths).items()}
    try:
        expect(result, right.double(), mistakes=mistakes)
    except Wrong as error:
        raise Wrong(
            _where(error, result, right, lambda i, j: _part(i, j, prompts, lengths))
        ) from error


def _part(i: int, j: int, prompts: Tensor, lengths: Tensor) -> str:
    """What stands at place j of row i."""
    prompt, length = int(prompts[i]), int(lengths[i])
    row = f"prompt_lengths[{i}] = {prompt}, lengths[{i}] = {length}"
    if j < prompt:
        return f"a token of the prompt ({row}), so it does not count"
    return f"padding ({row}), so it does not count" if j >= length else f"the answer's ({row})"


def _where(error: Wrong, result: Any, right: Tensor, what: Callable[[int, int], str]) -> str:
    """The message; where no mistake was named, the first place that differs and what it is."""
    if not str(error).startswith("Expected"):
        return str(error)
    i, j = (result.cpu() != right).nonzero()[0].tolist()
    return (
        f"Row {i}, place {j} is {what(i, j)}: it must be {int(right[i, j])}, and yours is "
        f"{int(result[i, j])}."
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
    T = 11
    # each row's part that counts: a long row and a short one, a prompt, and none at all
    for spans, size in (
        (((0, T), (3, 9), (T - 2, T)), 2.0),
        (((2, 8), (0, 7), (0, T), (0, 0)), 3.0),  # first labels count: they have no partner
        (((0, T),), 1.0),
        (((0, 1), (T - 1, T)), 1.0),  # one label counts in all
    ):
        _compare_loss(answer, *_scored(rng, spans, T, size))
    logits, labels = _scored(rng, ((0, T), (1, 9)), T, 400.0)
    _compare_loss(answer, logits, labels, large=True)


def _scored(
    rng: torch.Generator, spans: tuple[tuple[int, int], ...], T: int, size: float
) -> tuple[Tensor, Tensor]:
    """Logits (B, T, 13) of this size, and labels of which those within each row's span count."""
    B, V = len(spans), 13
    logits = (size * torch.randn(B, T, V, generator=rng, dtype=torch.float64)).float()
    labels = torch.randint(0, V, (B, T), generator=rng)
    labels[:, -2] = 0  # a label like any other
    for row, (start, end) in enumerate(spans):
        labels[row, :start], labels[row, end:] = LEFT_OUT, LEFT_OUT
    if (labels != LEFT_OUT).sum() > 3 * T // 2:
        labels[0, 4] = LEFT_OUT  # a gap
    return logits, labels


def _compare_loss(
    answer: Callable[..., Any], logits: Tensor, labels: Tensor, *, large: bool = False
) -> None:
    given = labels.clone()
    result = answer(logits.clone(), labels)
    if not torch.equal(labels, given):
        raise Wrong("Your code changed `labels` in place. Make a copy.")
    if isinstance(result, Tensor | float) and not torch.isfinite(torch.as_tensor(result)).all():
        raise Wrong(
            "This is not finite. "
            + (
                "exp of a logit of 400 overflows: use log_softmax, logsumexp or cross_entropy."
                if large
                else "Does a row without labels that count divide 0 by 0?"
            )
        )
    losses, counts = _losses(logits, labels, 1)
    right = float(losses.sum() / counts.sum())
    if isinstance(result, float | Tensor) and 2e-5 < abs(float(result) - right) / right < 1e-3:
        raise Wrong(
            f"Near, but not it: {right:.7g}, and yours is {float(result):.7g}. Was it rounded, "
            "computed in half precision, or is a small number added before the logarithm?"
        )
    expected, k = losses.sum() / counts.sum(), labels.shape[1]
    try:
        expect(result, expected, k=k)
    except Wrong:  # what the mistakes give takes longer than all else: only now
        case = f"over {int(counts.sum())} labels that count"
        if large:
            case += ", with logits of some hundreds: clamp nothing, and add nothing to a chance"
        mistakes = _loss_mistakes(logits, labels, losses, counts)
        expect(result, expected, k=k, mistakes=mistakes, case=case)


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


def _rolled(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss where the first label stands behind the last."""
    losses, counts = _losses(logits, labels.roll(-1, 1), 0)
    return losses.sum() / counts.sum()


def _joined(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss where all rows are one long row."""
    losses, counts = _losses(logits.flatten(0, 1)[None], labels.flatten()[None], 1)
    return losses.sum() / counts.sum()


def _loss_mistakes(
    logits: Tensor, labels: Tensor, losses: Tensor, counts: Tensor
) -> dict[str, Tensor]:
    def mean(ahead: int, code: int = LEFT_OUT) -> Tensor:
        other, count = _losses(logits, labels, ahead, code)
        return other.sum() / count.sum()

    total, n = losses.sum(), counts.sum()
    B, T = labels.shape
    chances = logits.double().softmax(-1)
    places, of_place = losses[:, : T - 1].sum(0), counts[:, : T - 1].sum(0)
    by_place = places / of_place.clamp(min=1)
    picked = losses - logits.double().logsumexp(-1) * counts  # minus the label's own logit
    along_batch = torch.nn.functional.cross_entropy(
        logits[:-1].double().flatten(0, 1), labels[1:].flatten()
    )
    own, own_counts = _losses(logits[:, :-1], labels[:, :-1], 0)
    reshaped = torch.nn.functional.cross_entropy(
        logits[:, :-1].double().reshape(B, -1, T - 1), labels[:, 1:]
    )
    return {
        "The last logits and the last label are cut off, so that place t is scored on label t. "
        "Cut off the first label: labels[:, 1:].": own.sum() / own_counts.sum(),
        "reshape and view do not exchange two dimensions: the numbers of one token come apart. "
        "Take transpose(1, 2), or flatten the first two dimensions.": reshaped,
        "The sum is right, but it is divided by the number of rows. Divide by the labels that "
        "count.": total / B,
        "The last label is not scored: the last logits but one predict it. Cut off one of the "
        "logits and one label, not two.": (losses[:, : T - 2].sum() / counts[:, : T - 2].sum()),
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
        "counts the same.": (losses.sum(1) / counts.sum(1).clamp(min=1)).mean(),
        "The mean of the rows' means counts a short answer as much as a long one, and leaves out a "
        "row without labels. Every label counts the same.": (
            (losses.sum(1) / counts.sum(1).clamp(min=1)).sum() / counts.any(1).sum()
        ),
        "The mean of the places' means counts a place that few rows have as much as one that all "
        "have. Every label counts the same.": by_place.mean(),
        "The mean of the places' means counts a place that few rows have as much as one that all "
        "have. Every label counts the same: one mean over all.": by_place[of_place > 0].mean(),
        "These are the labels' own logits, turned. A logit is no logarithm of a chance: subtract "
        "the logsumexp over the vocabulary first.": picked.sum() / n,
        "The last row is not scored. The mean is over the whole batch.": (
            losses[:-1].sum() / counts[:-1].sum().clamp(min=1)
        ),
        "The last row is not scored, and its labels are counted all the same.": (
            losses[:-1].sum() / n
        ),
        "This is the median of the losses. Return their mean.": losses[counts > 0].median(),
        "The largest loss of a label is returned, not the mean.": losses.max(),
        "Label 0 is a token like any other. Only -100 is left out.": (
            losses * (counts * (labels.roll(-1, 1) != 0))
        ).sum()
        / (counts * (labels.roll(-1, 1) != 0)).sum().clamp(min=1),
        "Only the first row is scored. The mean is over the whole batch.": (
            losses[0].sum() / counts[0].sum().clamp(min=1)
        ),
        "The first label came round to the end of its row, and the last place is scored on it. "
        "The last logits have no partner.": _rolled(logits, labels),
        "The rows were joined before the shift, so a row's last place is scored on the next row's "
        "first label. Shift each row by itself.": _joined(logits, labels),
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
    # the padding is above all ids: what is below it need not be -100
    for rows, T, start, pad in ((3, 8, 3, 50), (1, 1, 0, 0), (4, 6, 0, 9), (2, 5, 70, 1)):
        labels = _ids(rng, rows, T)
        for row, length in enumerate((T, 5, 3, 0)[:rows]):
            labels[row, length:] = LEFT_OUT
        if rows > 3:
            labels[0, 2] = LEFT_OUT  # a gap
            labels[1, 1] = 0  # an id like any other
        _compare_read(answer, labels, start, pad)


def _compare_read(answer: Callable[..., Any], labels: Tensor, start: int, pad: int) -> None:
    given = labels.clone()
    result = answer(labels, start, pad)
    if not torch.equal(labels, given):
        raise Wrong("Your code changed `labels` in place: the loss still needs them. Make a copy.")
    _whole_numbers(result)
    _not_the_wrong_way(result, labels)
    right = _read(labels, start, pad)
    mistakes = {m: v.double() for m, v in _shift_mistakes(labels, start, pad).items()}

    def what(i: int, j: int) -> str:
        if j == 0:
            return f"the first of its row, with start = {start}"
        label = int(labels[i, j - 1])
        return f"after the label {label}" + (f", with pad = {pad}" if label == LEFT_OUT else "")

    try:
        expect(result, right.double(), mistakes=mistakes)
    except Wrong as error:
        raise Wrong(_where(error, result, right, what)) from error


def _not_the_wrong_way(result: Any, labels: Tensor) -> None:
    """Name the wrong shifts, whatever was put at the rows' ends and in place of -100."""
    if not isinstance(result, Tensor) or result.shape != labels.shape or labels.shape[1] < 3:
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
