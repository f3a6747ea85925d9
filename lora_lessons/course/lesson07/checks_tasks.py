"""The checks of lesson 07's tasks: a distance of words, the arguments that fit."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from numbers import Integral
from typing import Any

import torch

from ..checks.core import Wrong

# --- 7.4 The distance ------------------------------------------------------------------------

SOUNDS = ("AA", "AE", "AH", "K", "S", "SH", "T", "TH")  # some are the beginning of another
PAIRS = (
    (("K", "AE", "T"), ("K", "AE", "T")),
    (("K", "AE", "T"), ("K", "AH", "T")),
    (("K", "AE", "T"), ("SH", "K", "AE", "T")),
    (("K", "AE", "T", "S"), ("AE", "T", "S")),
    (("T", "AA", "K"), ("S", "T", "AA", "K", "S")),
    (("AE", "T"), ("T", "AE")),
    (("SH", "AE"), ("S", "AH")),
    ((), ("K", "AE")),
    (("K", "AE"), ()),
    ((), ()),
    (("T",), ("T", "T", "T")),  # the same sound again
    (("S", "AE", "S", "AE", "S"), ("AE", "S", "AE")),
    (("K", "AE", "T"), ("k", "ae", "t")),
    (tuple("ABCDEFGHIJ"), tuple("BCDEFGHIJA")),  # all places differ, and two edits do
    (tuple("KITTEN"), tuple("SITTING")),
    (tuple("KKBAB"), tuple("BKABB")),  # to keep the longest common part costs one edit more
    (tuple("AABBAA"), tuple("BB")),
    (("K",), tuple("ABCDEFG")),  # one is much longer, and nothing is kept
    (tuple("ABCDEFG"), ("K",)),
    (("T", "AH0"), ("T", "AH1")),  # the stress is part of a sound's name
)


def check_edit_distance(answer: Callable[..., Any], rng: torch.Generator) -> None:
    pairs = [*PAIRS, *((_word(rng), _word(rng)) for _ in range(8))]
    found = []
    for guess, target in pairs:
        mine, theirs = list(guess), list(target)
        distance = answer(mine, theirs)
        if mine != list(guess) or theirs != list(target):
            raise Wrong("Your code changed the lists that it was given. Make copies.")
        if isinstance(distance, bool) or not isinstance(distance, Integral):
            raise Wrong(f"Return a whole number (int); got {type(distance).__name__}.")
        found.append(distance)
    right = [_distance(guess, target) for guess, target in pairs]
    if found == right:
        return
    for message, mistaken in MISTAKES.items():
        if found == [mistaken(guess, target) for guess, target in pairs]:
            raise Wrong(message)
    i = [a == b for a, b in zip(found, right, strict=True)].index(False)
    guess, target = map(list, pairs[i])
    raise Wrong(
        f"For {guess} and {target} the distance is {right[i]}, not {found[i]}: "
        f"{_edits(tuple(guess), tuple(target))}."
    )


def _word(rng: torch.Generator) -> tuple[str, ...]:
    length = int(torch.randint(1, 7, (1,), generator=rng))
    return tuple(SOUNDS[int(i)] for i in torch.randint(0, len(SOUNDS), (length,), generator=rng))


@cache
def _distance(guess: Sequence[str], target: Sequence[str], exchange: int = 1) -> int:
    """By its definition: the last items are kept, exchanged, or one of them is left out."""
    if not guess or not target:
        return len(guess) + len(target)
    cost = 0 if guess[-1] == target[-1] else exchange
    return min(
        _distance(guess[:-1], target[:-1], exchange) + cost,
        _distance(guess[:-1], target, exchange) + 1,
        _distance(guess, target[:-1], exchange) + 1,
    )


def _edits(guess: tuple[str, ...], target: tuple[str, ...]) -> str:
    """One shortest way from `guess` to `target`, in words."""
    if guess == target:
        return "the two are the same, and nothing is to do"
    steps: list[str] = []
    while guess or target:
        here = _distance(guess, target)
        if guess and target and guess[-1] == target[-1]:
            guess, target = guess[:-1], target[:-1]
        elif guess and target and _distance(guess[:-1], target[:-1]) == here - 1:
            steps.append(f"exchange {guess[-1]} for {target[-1]}")
            guess, target = guess[:-1], target[:-1]
        elif guess and _distance(guess[:-1], target) == here - 1:
            steps.append(f"leave out {guess[-1]}")
            guess = guess[:-1]
        else:
            steps.append(f"insert {target[-1]}")
            target = target[:-1]
    return f"for example, from the end, {', '.join(steps)}"


def _place_by_place(guess: Sequence[str], target: Sequence[str]) -> int:
    different = sum(a != b for a, b in zip(guess, target, strict=False))
    return different + abs(len(guess) - len(target))


def _row_by_row(
    guess: Sequence[str],
    target: Sequence[str],
    *,
    insert: bool = True,
    leave_out: bool = True,
    top: int = 1,
    left: int = 1,
    exchange: Callable[[str, str], int] = lambda a, b: int(a != b),
    in_place: bool = False,
    best: bool = False,
) -> int:
    """The rows of the text, with one thing left out or done otherwise."""
    row = [top * j for j in range(len(target) + 1)]
    for i, a in enumerate(guess, 1):
        before = row if in_place else list(row)
        row[0] = left * i
        for j, b in enumerate(target, 1):
            ways = [before[j - 1] + exchange(a, b)]
            ways += [row[j - 1] + 1] * insert + [before[j] + 1] * leave_out
            row[j] = min(ways)
    return min(row) if best else row[-1]


def _with_swaps(guess: Sequence[str], target: Sequence[str]) -> int:
    """A swap of two neighbours counts one."""

    @cache
    def ways(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        found = min(
            ways(i - 1, j) + 1,
            ways(i, j - 1) + 1,
            ways(i - 1, j - 1) + (guess[i - 1] != target[j - 1]),
        )
        if i > 1 and j > 1 and guess[i - 2 : i] == target[j - 2 : j][::-1]:
            found = min(found, ways(i - 2, j - 2) + 1)
        return found

    return ways(len(guess), len(target))


def _not_in_common(guess: Sequence[str], target: Sequence[str]) -> int:
    """The longer one less the longest common subsequence."""
    most = len(guess) + len(target)
    return max(len(guess), len(target)) - (most - _distance(guess, target, 2)) // 2


def _as_bags(guess: Sequence[str], target: Sequence[str]) -> int:
    a, b = Counter(guess), Counter(target)
    return max((a - b).total(), (b - a).total())


def _longest_blocks(guess: Sequence[str], target: Sequence[str]) -> int:
    found = difflib.SequenceMatcher(None, guess, target, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for kind, a, b, c, d in found if kind != "equal")


MISTAKES: dict[str, Callable[..., int]] = {
    "A sound that is the same in both costs nothing: here it costs an exchange.": (
        lambda g, t: _row_by_row(g, t, exchange=lambda a, b: 1)
    ),
    "An insertion is not among the three ways to a cell: the one from the left, in the same row.": (
        lambda g, t: _row_by_row(g, t, insert=False)
    ),
    "Leaving a sound out is not among the three ways to a cell: the one from above.": (
        lambda g, t: _row_by_row(g, t, leave_out=False)
    ),
    "The first row is zero here. From no sound read to the first j of `target` it takes j "
    "insertions.": lambda g, t: _row_by_row(g, t, top=0),
    "A row begins with zero here. From i sounds read to none of `target` it takes i.": (
        lambda g, t: _row_by_row(g, t, left=0)
    ),
    "The first row and the first column are zero here: sounds in front cost nothing. Each is one "
    "edit.": lambda g, t: _row_by_row(g, t, top=0, left=0),
    "The least of the last row is returned. The whole of `target` is its last place.": (
        lambda g, t: _row_by_row(g, t, best=True)
    ),
    "The least of the last row is returned, and the first row is zero: both ends are free.": (
        lambda g, t: _row_by_row(g, t, best=True, top=0)
    ),
    "The row is overwritten while the one before is still read: row[j - 1] is the new row's "
    "already. Keep the old value, or make a new list.": (
        lambda g, t: _row_by_row(g, t, in_place=True)
    ),
    "The last sound of `guess` is not read.": lambda g, t: _distance(tuple(g[:-1]), tuple(t)),
    "The last sound of `target` is not asked for.": lambda g, t: _distance(tuple(g), tuple(t[:-1])),
    "Small letters count as large ones here. A name is a sound: compare it as it is.": (
        lambda g, t: _row_by_row(g, t, exchange=lambda a, b: int(a.lower() != b.lower()))
    ),
    "The digit of a vowel, its stress, is left out of account. AH0 and AH1 are two sounds here.": (
        lambda g, t: _row_by_row(
            g, t, exchange=lambda a, b: int(a.rstrip("012") != b.rstrip("012"))
        )
    ),
    "Two neighbours that changed places count as one edit here. They are two.": _with_swaps,
    "Where one list is empty the distance is the length of the other, not 0.": (
        lambda g, t: _distance(g, t) if g and t else 0
    ),
    "The order is lost: this counts how often each sound occurs.": _as_bags,
    "This is the longer length less the longest common part. Not all of the rest can be exchanged "
    "one for one.": _not_in_common,
    "This keeps the longest equal piece first. That need not lie on a shortest way: try all three "
    "ways at each place.": _longest_blocks,
    "An exchange counts 2 here. It is one edit.": lambda g, t: _distance(g, t, 2),
    "This counts letters. The lists hold sounds: SH for S is one exchange.": (
        lambda g, t: _distance("".join(g), "".join(t))
    ),
    "This counts letters and spaces. The lists hold sounds: SH for S is one exchange.": (
        lambda g, t: _distance(" ".join(g), " ".join(t))
    ),
    "This compares place by place: after one sound too many, everything counts as wrong.": (
        _place_by_place
    ),
    "This compares place by place and forgets the sounds that are left over.": (
        lambda g, t: sum(a != b for a, b in zip(g, t, strict=False))
    ),
    "This compares the two as sets: order and repetition are lost.": (
        lambda g, t: len(set(g) ^ set(t))
    ),
    "This is the difference in length alone.": lambda g, t: abs(len(g) - len(t)),
    "This says only whether they differ.": lambda g, t: int(g != t),
}


# --- 7.5 The arguments that fit --------------------------------------------------------------

ENDS = {
    "ForCausalLM": "CAUSAL_LM",
    "ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
    "Model": "FEATURE_EXTRACTION",
}


# The last two are nobody's: in them another end of the table stands further in front.
TASKS = {
    "LlamaForCausalLM": "CAUSAL_LM",
    "T5ForConditionalGeneration": "SEQ_2_SEQ_LM",
    "Qwen2ForSequenceClassification": "SEQ_CLS",
    "BertForSequenceClassification": "SEQ_CLS",
    "DistilBertForSequenceClassification": "SEQ_CLS",
    "TinyForSequenceClassification": "SEQ_CLS",
    "BertForTokenClassification": "TOKEN_CLS",
    "BertForQuestionAnswering": "QUESTION_ANS",
    "BertModel": "FEATURE_EXTRACTION",
    "TinyModel": "FEATURE_EXTRACTION",
    "TinyModelForSequenceClassification": "SEQ_CLS",
    "TinyForCausalLMForTokenClassification": "TOKEN_CLS",
    "TinyModelForCausalLM": "CAUSAL_LM",
}

NEW = {
    "LlamaForCausalLM": [],
    "T5ForConditionalGeneration": ["gate"],
    "Qwen2ForSequenceClassification": ["score"],
    "BertForSequenceClassification": ["pooler", "classifier"],
    "DistilBertForSequenceClassification": ["pre_classifier", "classifier"],
    "TinyForSequenceClassification": ["class", "classifier.dense", "gate", "scorer"],
    "BertForTokenClassification": ["classifier"],
    "BertForQuestionAnswering": ["qa_outputs", "classifier"],
    "BertModel": ["pooler"],
    "TinyModel": ["pooler", "gate", "score"],
    "TinyModelForCausalLM": ["lm_head", "gate", "pooler"],
    "TinyModelForSequenceClassification": ["score"],
    "TinyForCausalLMForTokenClassification": ["score"],
}

SAVED_BY = {
    "CAUSAL_LM": (),
    "SEQ_2_SEQ_LM": (),
    "SEQ_CLS": ("classifier", "score"),
    "TOKEN_CLS": ("classifier", "score"),
    "QUESTION_ANS": ("qa_outputs",),
    "FEATURE_EXTRACTION": (),
}


def check_fitting_arguments(answer: Callable[..., Any], rng: torch.Generator) -> None:
    extra = f"gate_{int(torch.randint(0, 99, (1,), generator=rng))}"
    # the last: what a task type saves is told by `saved_by`, and may be other than PEFT's
    other = SAVED_BY | {"CAUSAL_LM": ("lm_head",), "SEQ_CLS": ("pooler",), "TOKEN_CLS": ()}
    cases = [(*case, SAVED_BY) for case in TASKS.items()]
    cases += [(*case, other) for case in TASKS.items() if case[1] in ("CAUSAL_LM", "SEQ_CLS")]
    for architecture, task, saved_by in cases:
        new = [extra if name == "gate" else name for name in NEW[architecture]]
        arguments = answer(architecture, list(new), dict(saved_by))
        if not isinstance(arguments, dict):
            raise Wrong(f"Return a dict of arguments; got {type(arguments).__name__}.")
        _check_keys(arguments)
        _check_task(architecture, task, arguments.get("task_type"))
        _check_modules(architecture, task, new, arguments.get("modules_to_save"), saved_by[task])


def _check_keys(arguments: dict[Any, Any]) -> None:
    if "target_modules" in arguments:
        raise Wrong(
            "A head in target_modules gets A and B only. Its random weight is not saved: name it "
            "in modules_to_save."
        )
    if wrong := sorted(map(str, set(arguments) - {"task_type", "modules_to_save"})):
        raise Wrong(f"{wrong[0]!r} is not asked for: return task_type and modules_to_save.")


def _check_task(architecture: str, task: str, given: Any) -> None:
    given = getattr(given, "value", given)
    if given is None:
        raise Wrong(f"{architecture} gets no task_type. Here it is {task}.")
    if within := [end for end, of in ENDS.items() if of == given != task and end in architecture]:
        right = next(end for end, of in ENDS.items() if of == task)
        raise Wrong(
            f"{architecture} ends in {right}, so it is a model for {task}. {within[0]} stands "
            "further in front: ask for the end alone, with endswith."
        )
    if given != task:
        raise Wrong(f"{architecture} is no model for {given}: its head and loss are for {task}.")


def _why_lost(name: str, given: list[Any], by_itself: tuple[str, ...]) -> str:
    """What may have hidden this name: a name like it, or another task's list."""
    if alike := [saved for saved in by_itself if saved in name or name in saved]:
        return f" It is not {alike[0]!r}, which is saved: compare whole names."
    if given and set(given) <= set(by_itself):
        return " What is named here is saved by itself: name the rest."
    if given:
        return f" {given[0]!r} alone is named: name each that is not saved by itself."
    if others := [task for task, names in SAVED_BY.items() if name in names]:
        return f" It is {others[0]} that saves it by itself: ask this task's own list alone."
    return ""


def _check_modules(
    architecture: str, task: str, new: list[str], given: Any, by_itself: tuple[str, ...]
) -> None:
    if isinstance(given, str):
        raise Wrong("modules_to_save is a list of names, not one text.")
    given = [] if given is None else given
    if not isinstance(given, list | tuple | set | frozenset):
        raise Wrong(f"modules_to_save is a list of names; got {type(given).__name__}.")
    saved = {*given, *by_itself}
    if lost := [name for name in new if name not in saved]:
        raise Wrong(
            f"{architecture}: {lost[0]!r} is new, and {task} does not save it. It would stay "
            f"frozen and come back random.{_why_lost(lost[0], list(given), by_itself)}"
        )
    if more := [name for name in given if name not in new]:
        raise Wrong(
            f"{architecture}: {more[0]!r} in modules_to_save is not new. It would be trained whole "
            "and stored whole."
        )
