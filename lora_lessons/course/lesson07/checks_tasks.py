"""The checks of lesson 07's tasks: a distance of words, the arguments that fit."""

from __future__ import annotations

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
    raise Wrong(f"For {guess} and {target} the distance is {right[i]}, not {found[i]}.")


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


def _place_by_place(guess: Sequence[str], target: Sequence[str]) -> int:
    different = sum(a != b for a, b in zip(guess, target, strict=False))
    return different + abs(len(guess) - len(target))


MISTAKES: dict[str, Callable[..., int]] = {
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
    "An exchange counts 2 here. It is one edit.": lambda g, t: _distance(g, t, 2),
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
            "frozen and come back random."
        )
    if more := [name for name in given if name not in new]:
        raise Wrong(
            f"{architecture}: {more[0]!r} in modules_to_save is not new. It would be trained whole "
            "and stored whole."
        )
