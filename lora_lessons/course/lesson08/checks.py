"""The checks of lesson 08: new modules, labels on pieces, macro F1, spans, pooling.

Every expected value is found here by other means than the package's tasks use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

IGNORED = -100


def _whole(rng: torch.Generator, low: int, high: int) -> int:
    return int(torch.randint(low, high, (1,), generator=rng))


def _items(value: Any, what: str) -> list[Any]:
    """A list, a tuple, a set or a tensor as a list."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise Wrong(f"Return {what}; got {type(value).__name__}.")
    return list(value)


# --- 8.1 What is new -------------------------------------------------------------------------


def check_new_modules(answer: Callable[..., Any], rng: torch.Generator) -> None:
    layer = f"bert.encoder.layer.{_whole(rng, 0, 20)}.output.dense"
    body = ["bert.embeddings.word_embeddings.weight", f"{layer}.weight", f"{layer}.bias"]
    in_file = [*body, "cls.predictions.bias", "cls.predictions.transform.dense.weight"]
    pooler, head = "bert.pooler.dense", "classifier"
    cases = (
        ([*body, f"{head}.weight", f"{head}.bias"], {head}),
        (
            [*body, f"{pooler}.weight", f"{pooler}.bias", f"{head}.weight", f"{head}.bias"],
            {pooler, head},
        ),
        ([*body, "score.weight"], {"score"}),  # a head without a bias
        (body, set()),
        ([], set()),
    )
    for in_model, right in cases:
        _compare_modules(answer(list(in_model), list(in_file)), in_model, in_file, right)
    for in_model, in_file_too, right in _awkward_names(rng, layer):
        names, there = [*body, *in_model], [*in_file_too, *reversed(in_file)]  # in another order
        _compare_modules(answer(list(names), list(there)), names, there, right)
    no_bias = [name for name in in_file if name != f"{layer}.bias"]
    if set(_items(answer(list(body), no_bias), "a list of names of modules")) != {layer}:
        raise Wrong(
            f"A file that has {layer}.weight and not {layer}.bias leaves that bias new: compare "
            "the names of weights, then name their modules."
        )
    # a name of the file is longer in its last word, or differs in its first one alone
    names, there = (
        [*body, "head.weight", "out.fc.weight"],
        [*in_file, "head.weight_g", "b.fc.weight"],
    )
    _compare_modules(answer(list(names), list(there)), names, there, {"head", "out.fc"})


def _awkward_names(rng: torch.Generator, layer: str) -> list[tuple[list[str], list[str], set[str]]]:
    """(more in the model, more in the file, what is new): names that contain or end in others."""
    i = _whole(rng, 21, 40)
    return [
        # "weight" and "bias" within a name
        (
            ["head.weight_net.weight", "head.bias.bias", "head.weightless.bias.weight"],
            [],
            {"head.weight_net", "head.bias", "head.weightless.bias"},
        ),
        # the same end as a name of the file, or as one of the file's and longer
        (["output.dense.weight", f"head.{layer}.weight"], [], {"output.dense", f"head.{layer}"}),
        # the beginning of a name of the file, and a name of the file as the beginning
        (
            ["bert.pool.weight", "bert.pooler_2.weight"],
            ["bert.pooler.weight", "bert.pool.dense.weight"],
            {"bert.pool", "bert.pooler_2"},
        ),
        # other last words than weight and bias; parts of one module, and a module within it
        (
            ["norm.gamma", "norm.beta", "head.weight", "head.out.weight", f"head.{i}.weight"],
            [],
            {"norm", "head", "head.out", f"head.{i}"},
        ),
        # the model's own prefix before a name of the file; two modules whose parts alternate
        (
            ["bert.score.weight", "a.weight", "b.weight", "a.bias", "b.bias"],
            ["score.weight"],
            {"bert.score", "a", "b"},
        ),
    ]


def _compare_modules(value: Any, in_model: list[str], in_file: list[str], right: set[str]) -> None:
    found = _items(value, "a list of names of modules")
    parameters = {name for name in in_model if name.rpartition(".")[0] in right}
    if set(found) == right:
        if len(found) > len(right):
            raise Wrong("Name each module once: weight and bias belong to one module.")
        return
    if any(name.startswith("cls.") for name in found):
        raise Wrong(
            "These lie in the file and not in the model: they are left unused. Return what lies "
            "in the model and not in the file."
        )
    if parameters and set(found) == parameters:
        raise Wrong(
            "These are names of weights. Return modules: the name without its last word, "
            "`weight` or `bias`."
        )
    if set(found) == {name.split(".")[0] for name in right} != right:
        raise Wrong("Only the last word goes: not all of `bert` is new, `bert.pooler.dense` is.")
    if (set(found) - right) & {name.rpartition(".")[0] for name in in_file}:
        raise Wrong("This names modules whose weights are in the file.")
    if missing := sorted(right - set(found)):
        new = next(n for n in in_model if n.rpartition(".")[0] == missing[0] and n not in in_file)
        raise Wrong(
            f"{missing[0]!r} is new and it is missing: no name in the file is {new!r}, from its "
            "first word to its last."
        )
    raise Wrong(f"Expected {sorted(right)}; got {sorted(map(str, found))}.")


# --- 8.2 Labels on pieces --------------------------------------------------------------------


def check_label_pieces(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for padding in (0, 3):
        pieces = [1, 3, 1, 2, _whole(rng, 2, 5)]
        labels = [_whole(rng, 1, 5), 0, _whole(rng, 5, 9), 0, _whole(rng, 9, 12)]
        words = [word for word, count in enumerate(pieces) for _ in range(count)]
        word_ids = [None, *words, None, *[None] * padding]
        right = [IGNORED] * len(word_ids)
        for word, label in enumerate(labels):
            right[1 + sum(pieces[:word])] = label
        _compare_labels(answer(list(word_ids), list(labels)), word_ids, labels, right)
    for word_ids, labels, right in (
        # the row was cut: labels of words that are not there
        ([None, 0, 1, 1, None], [4, 5, 6], [-100, 4, 5, -100, -100]),
        # neighbours with one label, and a label of -100
        ([None, 0, 0, 1, 2, 2, 3, None], [7, 7, 7, -100], [-100, 7, -100, 7, 7, -100, -100, -100]),
        # no [CLS]; padding in front; a word without pieces; nothing at all
        ([0, 0, 1], [3, 5], [3, -100, 5]),
        ([None, None, None, 0, 1, 1], [2, 9], [-100, -100, -100, 2, 9, -100]),
        ([None, 0, 2, 2, 3], [1, 2, 3, 4], [-100, 1, 3, -100, 4]),
        ([None, None], [], [-100, -100]),
        ([], [], []),
        # one word alone: the first piece and the last are its own
        ([0], [3], [3]),
        ([0, 0, 0], [6], [6, -100, -100]),
    ):
        _compare_labels(answer(list(word_ids), list(labels)), word_ids, labels, right)


def _compare_labels(
    value: Any, word_ids: list[int | None], labels: list[int], right: list[int]
) -> None:
    found = _items(value, "a list of labels")
    if found == right:
        return
    if len(found) != len(word_ids):
        raise Wrong(
            f"Return one label for each piece, {len(word_ids)} here with [CLS], [SEP] and padding; "
            f"got {len(found)}."
        )
    every = [IGNORED if word is None else labels[word] for word in word_ids]
    last = [
        label if after != word else IGNORED
        for label, word, after in zip(every, word_ids, [*word_ids[1:], None], strict=True)
    ]
    shifted = [*right[1:], IGNORED]
    zeros = [0 if label == IGNORED else label for label in right]
    messages = {
        "Every piece of a word has the label here, so a word of three pieces counts three times. "
        "Label its first piece alone; the others get -100.": every,
        "The label is on the last piece of each word. Put it on the first.": last,
        "This is off by one: place 0 is [CLS], which has no label.": shifted,
        "Label 0 is a class of its own. What must not count, specials and later pieces, gets "
        "-100.": zeros,
        "[CLS], [SEP] and padding must get -100 too: 0 is a class.": [
            0 if word is None else label for word, label in zip(word_ids, right, strict=True)
        ],
        "Later pieces of a word must get -100: 0 is a class.": [
            0 if word is not None and label == IGNORED else label
            for word, label in zip(word_ids, right, strict=True)
        ],
    }
    if word_ids[0] is not None and found == [IGNORED, *right[1:]]:
        raise Wrong(
            f"For word_ids {word_ids}, place 0 must be {right[0]}; got -100. This row begins with "
            "a word, without [CLS]: before its first piece there is none. (In Python list[-1] is "
            "the last one.)"
        )
    for message, value in (messages | _other_labels(word_ids, labels, right)).items():
        if found == value:
            raise Wrong(message)
    first_lost = [
        IGNORED if word == 0 else label for word, label in zip(word_ids, right, strict=True)
    ]
    if found == first_lost:
        raise Wrong("Word 0 is a word too: ask whether word_ids is None, not whether it is 0.")
    place = next(i for i, (a, b) in enumerate(zip(found, right, strict=True)) if a != b)
    raise Wrong(
        f"For word_ids {word_ids} and labels {labels}, place {place} must be {right[place]}; got "
        f"{found[place]}."
    )


def _other_labels(
    word_ids: list[int | None], labels: list[int], right: list[int]
) -> dict[str, list[Any]]:
    """What more mistakes give: another label, another piece, another sign for "left out"."""
    own = [word for word in word_ids if word is not None]
    first = [label != IGNORED for label in right]
    turn = {word: i for i, word in enumerate(dict.fromkeys(own))}

    def on_first(label: Callable[[int], Any]) -> list[Any]:
        """label(word) on each first piece."""
        pairs = zip(word_ids, first, strict=True)
        return [
            label(word) if word is not None and is_first else IGNORED for word, is_first in pairs
        ]

    rest = "What does not count gets -100, which the loss leaves out; here it gets "
    every = [IGNORED if word is None else labels[word] for word in word_ids]
    found: dict[str, list[Any]] = {
        f"{rest}-1.": [
            label if is_first else -1 for label, is_first in zip(right, first, strict=True)
        ],
        f"{rest}None.": [
            label if is_first else None for label, is_first in zip(right, first, strict=True)
        ],
        "This is the word's number. `labels` holds its label, at that place.": on_first(
            lambda w: w
        ),
        "A word has the label of the next one here: word w has labels[w].": on_first(
            lambda w: labels[(w + 1) % len(labels)]
        ),
        "A word has the label of the one before here: word w has labels[w].": on_first(
            lambda w: labels[w - 1]
        ),
        "The labels are taken one after the other. Here a word has no piece (it was cut, or is "
        "empty), and its label is not the next word's: word w has labels[w].": on_first(
            lambda w: labels[turn[w]]
        ),
        "Words of several pieces have no label here. Their first piece has it.": on_first(
            lambda w: labels[w] if own.count(w) == 1 else IGNORED
        ),
        "Label 0 was taken for no label (`if label`, `label or -100`). It is a class.": on_first(
            lambda w: labels[w] or IGNORED
        ),
    }
    later = [
        labels[word] if word is not None and not is_first else IGNORED
        for word, is_first in zip(word_ids, first, strict=True)
    ]
    alike = [
        label if i == 0 or label != before else IGNORED
        for i, (label, before) in enumerate(zip(every, [None, *every], strict=False))
    ]
    found["Two neighbours with one label are two words: compare the words, not the labels."] = alike
    found["The label is on all pieces of a word but its first. It is the other way round."] = later
    return {m: v for m, v in found.items() if v != right}


# --- 8.3 Macro F1 ----------------------------------------------------------------------------


def check_table_macro_f1(answer: Callable[..., Any], rng: torch.Generator) -> None:
    for empty in (None, 2):  # class 2 is never predicted in the second table
        size = _whole(rng, 4, 7)
        table = torch.randint(1, 9, (size, size), generator=rng)
        table += torch.diag(torch.randint(5, 90, (size,), generator=rng))
        table[0] *= 12  # one class is far more common than the others
        if empty is not None:
            table[:, empty] = 0
        _compare_f1(answer(table.clone()), table)
    for counts in (
        [[5, 1, 0], [2, 7, 0], [0, 0, 0]],  # class 2 occurs nowhere
        [
            [0, 4, 0],
            [0, 7, 1],
            [0, 0, 3],
        ],  # class 0 is never hit, and class 2 is called once too often
        [[0, 0, 0], [2, 7, 1], [0, 3, 9]],  # class 0 never occurs, and is called
        [[0, 3], [5, 0]],  # no hit
        [[9, 0], [0, 0]],
        [[6]],
    ):
        table = torch.tensor(counts)
        _compare_f1(answer(table.clone()), table)


def _compare_f1(value: Any, table: Tensor) -> None:
    hits, true, said = table.diagonal().double(), table.sum(1).double(), table.sum(0).double()
    exact = [
        Fraction(2 * int(h), int(t + s)) if t + s else Fraction(0)
        for h, t, s in zip(hits, true, said, strict=True)
    ]
    f1 = torch.tensor([float(score) for score in exact], dtype=torch.float64)
    if isinstance(value, float | Tensor) and torch.as_tensor(value).isnan().any():
        raise Wrong(
            "This divides 0 by 0: a class that is never predicted, or that never occurs, has no "
            "hits. Its F1 is 0."
        )
    right = f1.mean()
    precision, recall = hits / said.clamp(min=1), hits / true.clamp(min=1)
    average = precision.mean() * recall.mean() * 2 / (precision.mean() + recall.mean())
    there = f1[f1 > 0] if (f1 > 0).any() else f1
    mistakes = {
        "This is the accuracy, or F1 from all counts together, which is the same number. Take F1 "
        "of each class, then the mean.": hits.sum() / table.sum(),
        "This weighs each class by how often it occurs. Macro F1 weighs all alike.": (
            (f1 * true).sum() / true.sum()
        ),
        "This is the mean precision. F1 is 2 TP / (2 TP + FP + FN) for each class.": (
            precision.mean()
        ),
        "This is the mean recall. F1 is 2 TP / (2 TP + FP + FN) for each class.": recall.mean(),
        "This averages precision and recall first. Take F1 of each class, then the mean.": average,
        "F1 is the harmonic mean of precision and recall, not (P + R) / 2.": (
            ((precision + recall) / 2).mean()
        ),
        "A class without hits has F1 0, and it counts: divide by the number of all classes.": (
            there.mean()
        ),
        "The 2 in 2 TP is missing, above the line, below it or both.": (
            hits / (true + said - hits).clamp(min=1)
        ).mean(),
        "The 2 in 2 TP is missing above the line.": right / 2,
        "This is F2, which counts recall more. F1 counts both alike.": (
            5 * precision * recall / (4 * precision + recall).clamp(min=1e-12)
        ).mean(),
        "This is the median of the classes' F1. Macro F1 is their mean.": f1.median(),
        "This is not the mean over all classes: the first one is left out.": f1[1:].mean()
        if len(f1) > 1
        else right,
        "1 is added below the line, or some other number against 0/0: where a class has counts it "
        "changes the score. Ask for zero instead.": (2 * hits / (true + said + 1)).mean(),
        "This is in percent: return a number from 0 to 1.": 100 * right,
        "This is the largest F1 of a class. Macro F1 is the mean.": f1.max(),
        "This is the smallest F1 of a class. Macro F1 is the mean.": f1.min(),
        "This is F1 of the second class alone. Take the mean over all classes.": (
            f1[1] if len(f1) > 1 else right
        ),
        "This is F1 of the first class alone. Take the mean over all classes.": f1[0],
        "TP is counted twice below the line: the sums of row and column hold it already.": (
            2 * hits / (2 * hits + true + said).clamp(min=1)
        ).mean(),
        "This is the sum over the classes. Divide by their number.": f1.sum(),
        "Precision and recall are joined by their geometric mean here. F1 is the harmonic one, "
        "2 P R / (P + R).": (precision * recall).sqrt().mean(),
        "This is not the mean over all classes: the last one is left out.": f1[:-1].mean(),
        "This looks at two classes alone. Take the mean over all of them.": f1[:2].mean(),
        "A class that never occurs and is never called has F1 0 here, not 1.": (
            f1.where(true + said > 0, 1.0).mean()
        ),
    }
    mistakes = {m: v for m, v in mistakes.items() if not abs(float(v - right)) <= 1e-4}
    case = f"for the table {table.tolist()}" if len(table) < 4 else ""
    expect(value, right, k=len(f1), mistakes=mistakes, case=case)


# --- 8.4 From characters to tokens -----------------------------------------------------------

PAGE = 7  # its first token: after [CLS], five of the question, and [SEP]


def check_answer_tokens(answer: Callable[..., Any], rng: torch.Generator) -> None:
    page = [_whole(rng, 2, 6) for _ in range(9)]
    page[4] = 1  # a comma, right after its word
    question = page[:5]  # the same offsets, so that a search in both texts finds it first
    offsets, sides = _pair_of_texts(question, page)
    # the page's first token, at character 0, and its last too
    spans = ((2, 1), (3, 1), (2, 2), (3, 4), (0, 1), (0, 3), (8, 1), (6, 3), (0, 9), (4, 1), (2, 3))
    for first, length in spans:
        a, b = PAGE + first, PAGE + first + length - 1
        start, end = offsets[a][0], offsets[b][1]
        _compare_span(answer(list(offsets), list(sides), start, end), (a, b), offsets, sides)
    cut = PAGE + 5  # the page was cut after five tokens
    start, end = offsets[cut - 1][0], offsets[cut][1]
    offsets, sides = [*offsets[:cut], (0, 0)], [*sides[:cut], None]
    if _pair(answer(list(offsets), list(sides), start, end)) != (0, 0):
        raise Wrong("The row was cut within the answer: return (0, 0), the place of [CLS].")
    if _pair(answer(list(offsets), list(sides), end + 90, end + 95)) != (0, 0):
        raise Wrong("The row was cut before the answer: return (0, 0), the place of [CLS].")
    both, of = _pair_of_texts(
        page[:6], page[:5]
    )  # cut, and the question ends where the answer does
    start, end = both[5][0], both[6][1]
    if _pair(answer(list(both), list(of), start, end)) != (0, 0):
        raise Wrong(
            "The page was cut within the answer, and a token of the question ends at the same "
            "character: ask for side 1 at the end too, and return (0, 0)."
        )
    late = [  # the page begins in the middle of the text: what came before was cut away
        (a + 40, b + 40) if side == 1 else (a, b)
        for (a, b), side in zip(offsets, sides, strict=True)
    ]
    # in the first two the question has what is looked for
    for start, end in ((0, offsets[1][1]), offsets[2], (3, late[PAGE + 2][1]), (2, 9)):
        if _pair(answer(list(late), list(sides), start, end)) != (0, 0):
            raise Wrong(
                f"The page's tokens here begin at character {late[PAGE][0]}, and the answer at "
                f"{start}: it was cut away. Return (0, 0), the place of [CLS]."
            )


def _pair_of_texts(
    question: list[int], page: list[int]
) -> tuple[list[tuple[int, int]], list[int | None]]:
    """Offsets and sides of [CLS] question [SEP] page [SEP] padding, from the pieces' lengths.

    Each text's second piece follows the first after a space, the third the second without one, as
    the full stop follows its word, and so on.
    """
    offsets: list[tuple[int, int]] = [(0, 0)]
    sides: list[int | None] = [None]
    for side, lengths in enumerate((question, page)):
        at = 0
        for place, length in enumerate(lengths):
            offsets.append((at, at + length))
            sides.append(side)
            at += length + (place % 2 == 0)
        offsets.append((0, 0))
        sides.append(None)
    return [*offsets, (0, 0), (0, 0)], [*sides, None, None]


def _pair(value: Any) -> tuple[int, int]:
    found = _items(value, "two places, the first and the last token")
    found = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in found]
    if len(found) != 2 or any(isinstance(v, bool) or not isinstance(v, Integral) for v in found):
        raise Wrong(f"Return two whole numbers, the first and the last token; got {value!r}.")
    return int(found[0]), int(found[1])


def _compare_span(
    value: Any,
    right: tuple[int, int],
    offsets: list[tuple[int, int]],
    sides: list[int | None],
) -> None:
    found = _pair(value)
    if found == right:
        return
    first, last = right
    if found == (0, 0):
        raise Wrong(
            f"The answer is the characters from {offsets[first][0]} to {offsets[last][1]}, whole "
            "on this page, and yours says (0, 0). Its first token begins at `start`, which may be "
            "0; its last ends at `end`, the first character after the answer, and may be the "
            "page's last token."
        )
    messages = {
        "These are the characters, `start` and `end`. Return the places of the two tokens.": (
            offsets[first][0],
            offsets[last][1],
        ),
        "The last token is one too far. `end` is the first character after the answer, so the "
        "last token is the one whose own end is `end`.": (first, last + 1),
        "The last token is one too early: it belongs to the answer, so return its own place.": (
            first,
            last - 1,
        ),
        "The first token is one too early.": (first - 1, last),
        "First the first token, then the last.": (last, first),
        "These places are counted from the page's first token. Count from [CLS].": (
            first - PAGE,
            last - PAGE,
        ),
    }
    for message, mistake in messages.items():
        if found == mistake:
            raise Wrong(message)
    if outside := [i for i in found if PAGE <= i < len(sides) and sides[i] is None]:
        raise Wrong(
            f"Place {outside[0]} is [SEP] or padding: its side is None, and its offset (0, 0) says "
            "nothing. Look only at tokens whose side is 1."
        )
    if min(found) < PAGE:
        raise Wrong(
            f"{found} reaches out of the page. The offsets of question and page both begin at "
            "character 0: look only at tokens whose side is 1."
        )
    raise Wrong(
        f"The answer is the characters from {offsets[first][0]} to {offsets[last][1]}: tokens "
        f"{right}; got {found}."
    )


# --- 8.5 The best span -----------------------------------------------------------------------


def check_best_span(answer: Callable[..., Any], rng: torch.Generator) -> None:
    page = torch.tensor([0] * 5 + [1] * 12 + [0] * 3, dtype=torch.bool)
    quiet = -5 + torch.rand(2, 20, generator=rng)  # all other logits are low
    a = _whole(rng, 7, 9)
    cases = (
        ({a: 4.0}, {a + 2: 4.0}, (a, a + 2), "take the pair with the largest sum of "
         "its start and its end logit"),
        ({a: 4.0}, {a: 4.0}, (a, a), "an answer of one token"),
        ({a: 4.0}, {a + 2: 6.0, a + 1: 3.0}, (a, a + 2), "the sum itself counts, and not the sum "
         "divided by the span's length"),
        ({a + 3: 5.0, a: 4.0}, {a + 1: 6.0, a + 4: 2.0}, (a, a + 1), "the largest start logit "
         "need not be in the best pair: compare all pairs by the sum of their logits"),
        ({a: 4.0, 1: 9.0}, {a + 1: 4.0, 3: 9.0}, (a, a + 1), "the question is no part of the "
         "page: its tokens, where `page` is False, are left out"),
        ({15: 4.0}, {16: 3.0, 17: 8.0}, (15, 16), "what follows the page, [SEP] and padding, is "
         "left out too"),
        ({4: 9.0, 6: 3.0}, {5: 6.0, 7: 4.0}, (6, 7), "a span must not begin before the page: its "
         "first token lies where `page` is True, as its last does"),
        ({5: 4.0}, {6: 4.0}, (5, 6), "the page's first token may begin the answer"),
        ({16: 4.0}, {16: 4.0}, (16, 16), "the page's last token may be the answer"),
        ({a: 4.0, a + 5: 3.0}, {a + 4: 6.0, a + 6: 4.5}, (a + 5, a + 6), "a span has `longest` "
         "tokens at most, first and last counted"),
        ({a: 4.0}, {a + 3: 6.0, a + 1: 3.0}, (a, a + 3), "a span of exactly `longest` tokens is "
         "allowed"),
        ({a: -1.0, a + 4: -3.0}, {a + 1: -1.0, a + 6: -3.0}, (a, a + 1), "logits may all be "
         "negative: add them, do not multiply"),
        ({a: 6.0, a + 1: 1.0}, {a + 7: 9.0, a + 2: 1.0, a + 8: 7.0}, None, "compare the pairs by "
         "the sum of their logits"),
    )  # fmt: skip
    for starts, ends, right, why in cases:
        start, end = quiet[0].clone(), quiet[1].clone()
        for place, logit in starts.items():
            start[place] = logit
        for place, logit in ends.items():
            end[place] = logit
        right = right or _by_search(start, end, page, 4)
        found = _pair(answer(start.clone(), end.clone(), page.clone(), 4))
        if why == cases[0][3]:
            _not_one_off(found, right)
        if found[1] < found[0]:
            raise Wrong(f"{found}: a span must not end before it starts. Compare only the others.")
        if found == (right[0] - 5, right[1] - 5):
            raise Wrong(f"Expected {right}, got {found}: count from the row's first place.")
        if found != right:
            raise Wrong(f"Expected {right}, got {found}: {why}.")
    _compare_random_spans(answer, rng)
    _compare_far_down(answer, rng)


def _not_one_off(found: tuple[int, int], right: tuple[int, int]) -> None:
    """Raise `Wrong` for places that are counted from 1, or a last one that is exclusive."""
    first, last = right
    if found == (first + 1, last + 1):
        raise Wrong(f"Expected {right}, got {found}: places are counted from 0.")
    if found == (first, last + 1):
        raise Wrong(
            f"Expected {right}, got {found}: the last place is the last token's own, not the one "
            "after it."
        )


def _compare_far_down(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """The best pair at either end of the row; and one of neither the best starts nor ends."""
    for T, peak, longest, why in (
        (7, (0, 1), 3, "the page begins in the row's first place here"),
        (7, (5, 6), 3, "the page ends in the row's last place here"),
        (7, (6, 6), 2, "the page's last place may be the start and the end"),
        (
            52,
            (25, 26),
            4,
            "neither is among the twenty largest of its kind here: compare all pairs",
        ),
    ):
        start, end = torch.rand(2, T, generator=rng)
        if T > 7:  # the large starts stand behind the large ends, farther than a span is long
            start[29:] += 5  # 23 of each: more than the twenty that scripts often look at
            end[:23] += 5
            start[:29] -= 3
            end[23:] -= 3
        start[peak[0]], end[peak[1]] = 3.0, 3.0
        page = torch.ones(T, dtype=torch.bool)
        found = _pair(answer(start.clone(), end.clone(), page, longest))
        if found != peak:
            raise Wrong(f"{_why_not(found, peak, start, end, page, longest)} ({why}.)")


def _compare_random_spans(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """Pages at a row's beginning and end, any `longest`, logits far below zero and far above."""
    for T, first, last, longest, size, middle in (
        (9, 0, 9, 1, 1.0, 0.0),
        (9, 0, 4, 3, 1.0, 0.0),
        (11, 6, 11, 40, 1.0, 0.0),
        (10, 3, 8, 2, 5.0, -1e4),
        (10, 3, 8, 3, 1e4, 0.0),
        (10, 2, 9, 4, 3.0, 500.0),
        (8, 4, 5, 5, 1.0, -50.0),
        (1, 0, 1, 1, 1.0, 0.0),
        (9, 0, 9, 3, 0.001, 0.25),
        (9, 2, 8, 3, 0.001, -7.25),
    ):
        page = torch.tensor([first <= i < last for i in range(T)])
        start, end = middle + size * torch.randn(2, T, generator=rng)
        if size < 1:  # all but equal, and the best is not the first: who rounds does not see it
            start[last - 1] = middle + 10 * size
        right = _by_search(start, end, page, longest)
        found = _pair(answer(start.clone(), end.clone(), page.clone(), longest))
        if found != right:
            why = _of_the_logits(size, middle)
            raise Wrong(_why_not(found, right, start, end, page, longest) + why)


def _of_the_logits(size: float, middle: float) -> str:
    """What is special about these logits, in brackets."""
    if size < 1:
        return " (They differ by thousandths here: round nothing.)"
    if abs(middle) > 100:
        return " (They are large here: exp of such a number overflows, or is 0. Add the logits.)"
    return ""


def _why_not(
    found: tuple[int, int],
    right: tuple[int, int],
    start: Tensor,
    end: Tensor,
    page: Tensor,
    longest: int,
) -> str:
    i, j = found
    said = f"Expected {right}, got {found}"
    if not (0 <= i < len(page) and 0 <= j < len(page)):
        return f"{said}: the row has the places 0 to {len(page) - 1}."
    if not (page[i] and page[j]):
        return (
            f"{said}: not on the page. The logits here lie between "
            f"{float(torch.stack([start, end]).min()):.0f} and "
            f"{float(torch.stack([start, end]).max()):.0f}: what is left out must be lower than "
            "any of them, as -inf is."
        )
    if j < i:
        return f"{said}: a span must not end before it starts."
    if j - i >= longest:
        return f"{said}: a span has {longest} tokens at most here, first and last counted."
    return (
        f"{said}, and start[{right[0]}] + end[{right[1]}] is larger than start[{i}] + end[{j}]. "
        "Compare all pairs on the page by the sum of their logits, which may all be negative."
    )


def _by_search(start: Tensor, end: Tensor, page: Tensor, longest: int) -> tuple[int, int]:
    places = [i for i in range(len(page)) if page[i]]
    pairs = [(i, j) for i in places for j in places if 0 <= j - i < longest]
    return max(pairs, key=lambda pair: float(start[pair[0]] + end[pair[1]]))


# --- 8.6 Mean pooling ------------------------------------------------------------------------


def check_masked_mean(answer: Callable[..., Any], rng: torch.Generator) -> None:
    T, lengths = 13, torch.tensor([3, 11, 7, 1])[:, None]
    place = torch.arange(T)
    right_padded, left_padded = place < lengths, place >= T - lengths
    gaps = (place % 3 != 1) & (place < lengths) | (place == 2)  # tokens that are left out, too
    for mask, h in (
        (right_padded, 5),
        (left_padded, 5),
        (gaps, 5),
        (right_padded[:1], 3),
        (left_padded, 1),
    ):
        hidden = torch.randn(*mask.shape, h, generator=rng) + 1.0
        _compare_means(answer, hidden, mask.long())
    _check_mean_gradient(answer, torch.randn(4, T, 5, generator=rng), gaps.long())
    full = torch.randn(2, 1, 3, generator=rng)  # texts of one token, nothing padded
    _compare_means(answer, full, torch.ones(2, 1, dtype=torch.long))


def _check_mean_gradient(answer: Callable[..., Any], hidden: Tensor, mask: Tensor) -> None:
    """Each token that counts has the gradient 1 / (number of tokens) of its row, padding none."""
    given = hidden.clone().requires_grad_()
    with torch.enable_grad():
        result = answer(given, mask.clone())
    if not isinstance(result, Tensor) or not result.requires_grad:
        return  # the contract says it better
    G = torch.arange(1.0, 1 + result.numel()).view_as(result)
    (found,) = torch.autograd.grad(result, given, G.to(result.dtype), allow_unused=True)
    right = mask[..., None] / mask.sum(1)[:, None, None] * G[:, None]
    if found is None or not (found - right).abs().max() <= 1e-4 * right.abs().max():
        raise Wrong(
            "The numbers are right, but the gradient of `hidden` is not theirs: a part of it is "
            "cut off, or flows to the padding. Leave out detach(), .data and no_grad."
        )


def _compare_means(answer: Callable[..., Any], hidden: Tensor, mask: Tensor) -> None:
    T, kept = hidden.shape[1], mask.bool()
    right = torch.stack(
        [row[of].double().mean(0) for row, of in zip(hidden, kept, strict=True)]
    )  # (n, h)
    x, m = hidden.double(), mask.double()
    sums, counts = torch.einsum("nth,nt->nh", x, m), mask.sum(1).tolist()
    n = torch.tensor(counts)[:, None]
    first = torch.stack([row[:c].mean(0) for row, c in zip(x, counts, strict=True)])
    expect(
        answer(hidden.clone(), mask.clone()),
        right,
        k=T,
        case=f"for texts of {', '.join(str(int(c)) for c in counts)} tokens",
        mistakes={
            "A text may have one token, and then its sum is divided by 1.": sums / n.clamp(min=2),
            "The first token that counts is left out. It is one of them.": (
                torch.stack(
                    [
                        row[of][1:].mean(0) if of.sum() > 1 else row[0] * 0
                        for row, of in zip(x, kept, strict=True)
                    ]
                )
            ),
            "This takes the first tokens of each row, as many as count. Padding may stand in "
            "front: go by the mask.": first,
            "Padding is in the mean. Only tokens whose mask is 1 count.": x.mean(1),
            "This sums the tokens that count and divides by the length of the row. Divide by "
            "their own number.": sums / T,
            "This divides by the longest text of the batch. Divide each row by its own number "
            "of tokens.": sums / max(counts),
            "This is the sum. Divide by the number of tokens.": sums,
            "This is the first token, [CLS], alone. Take the mean over all that count.": x[:, 0],
            "This divides by the mask's sum over the whole batch.": sums / m.sum(),
            "The mask must take padding out of the sum too, not only out of the number.": (
                x.sum(1) / m.sum(1, keepdim=True)
            ),
            "The mask is turned round: 1 stands for a token, 0 for padding.": (
                torch.einsum("nth,nt->nh", x, 1 - m) / (1 - m).sum(1, keepdim=True).clamp(min=1)
            ),
            "This is the last token alone. Take the mean over all that count.": torch.stack(
                [row[of][-1] for row, of in zip(x, kept, strict=True)]
            ),
            "This divides by one token too many.": sums / (n + 1),
            "This takes the last tokens of each row, as many as count: go by the mask.": (
                torch.stack([row[-c:].mean(0) for row, c in zip(x, counts, strict=True)])
            ),
            "This takes all from the first token that counts to the last. Some between may not "
            "count: go by the mask.": torch.stack(
                [
                    row[int(of.nonzero()[0]) : int(of.nonzero()[-1]) + 1].mean(0)
                    for row, of in zip(x, kept, strict=True)
                ]
            ),
            "This divides by the root of the number of tokens: divide by the number.": sums
            / n.sqrt(),
            "One mean over the tokens of the whole batch was given to every row. Each row has its "
            "own.": x[kept].mean(0).expand(len(x), -1),
            "The first row's mask was used for every row.": (
                torch.einsum("nth,t->nh", x, m[0]) / m[0].sum()
            ),
            "The last row's mask was used for every row.": (
                torch.einsum("nth,t->nh", x, m[-1]) / m[-1].sum()
            ),
            "It was brought to length 1: return the mean itself.": (
                right / right.norm(dim=1, keepdim=True)
            ),
            "This is the median, not the mean.": torch.stack(
                [row[of].median(0).values for row, of in zip(x, kept, strict=True)]
            ),
            "This is the largest of each feature, not the mean.": torch.stack(
                [row[of].max(0).values for row, of in zip(x, kept, strict=True)]
            ),
        },
    )
