"""Lesson 07, task types: exercises with their hints, and the review cards.

The checks of the losses are in `checks.lesson07`; those of the distance and the config are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from numbers import Integral
from typing import Any

import torch

from ..cards import Card
from ..checks.core import Exercise, Wrong
from .checks import check_causal_loss, check_labels_for, check_shift_right
from .own import MY_LOSS

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
    "BertForTokenClassification": "TOKEN_CLS",
    "BertForQuestionAnswering": "QUESTION_ANS",
    "BertModel": "FEATURE_EXTRACTION",
    "TinyModelForSequenceClassification": "SEQ_CLS",
    "TinyForCausalLMForTokenClassification": "TOKEN_CLS",
}
NEW = {
    "LlamaForCausalLM": [],
    "T5ForConditionalGeneration": ["gate"],
    "Qwen2ForSequenceClassification": ["score"],
    "BertForSequenceClassification": ["pooler", "classifier"],
    "BertForTokenClassification": ["classifier"],
    "BertForQuestionAnswering": ["qa_outputs", "classifier"],
    "BertModel": ["pooler"],
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
    for architecture, task in TASKS.items():
        new = [extra if name == "gate" else name for name in NEW[architecture]]
        arguments = answer(architecture, list(new), dict(SAVED_BY))
        if not isinstance(arguments, dict):
            raise Wrong(f"Return a dict of arguments; got {type(arguments).__name__}.")
        _check_keys(arguments)
        _check_task(architecture, task, arguments.get("task_type"))
        _check_modules(architecture, task, new, arguments.get("modules_to_save"))


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


def _check_modules(architecture: str, task: str, new: list[str], given: Any) -> None:
    if isinstance(given, str):
        raise Wrong("modules_to_save is a list of names, not one text.")
    given = list(given or [])
    saved = {*given, *SAVED_BY[task]}
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


EXERCISES = [
    Exercise(
        name="labels_for",
        title="7.1 Which labels count",
        points=2,
        minutes=6,
        hints=(
            "A place counts if it is not before the answer and not after it: two conditions on "
            "the place's number.",
            "place = torch.arange(ids.shape[1]). Compare it with prompt_lengths[:, None] and "
            "lengths[:, None]: both give (B, T).",
            "counts = (place >= prompt_lengths[:, None]) & (place < lengths[:, None]); "
            "ids.where(counts, -100).",
        ),
        check=check_labels_for,
    ),
    Exercise(
        name="causal_loss",
        title="7.2 The loss of a causal model",
        points=2,
        minutes=7,
        hints=(
            "The logits at place t are the guess for the label at place t + 1. So the last logits "
            "and the first label have no partner.",
            "logits[:, :-1] against labels[:, 1:]. torch.nn.functional.cross_entropy wants "
            "(n, V) and (n,): flatten the first two dimensions.",
            "cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), "
            "ignore_index=-100).item()",
        ),
        check=check_causal_loss,
    ),
    Exercise(
        name="shift_right",
        title="7.3 What the decoder reads",
        points=2,
        minutes=6,
        hints=(
            "At place t the decoder may know the labels before t only. What does it know at "
            "place 0?",
            "A column of `start`, then labels[:, :-1]. torch.cat puts them side by side.",
            "first = labels.new_full((len(labels), 1), start); read = torch.cat([first, "
            "labels[:, :-1]], dim=1); read.masked_fill(read == -100, pad).",
        ),
        check=check_shift_right,
    ),
    Exercise(
        name="edit_distance",
        title="7.4 How far from right",
        points=2,
        minutes=10,
        hints=(
            "Let row[j] be the distance from what you have read of `guess` to target[:j]. Before "
            "reading anything it is j: insert them all.",
            "Reading one more sound, the new row[j] is the least of three: old row[j] + 1 (leave "
            "the sound out), new row[j - 1] + 1 (insert target[j - 1]), old row[j - 1] plus 0 or "
            "1 (keep or exchange).",
            "row = list(range(len(target) + 1)); for each sound of guess: before, row = row, "
            "[before[0] + 1]; for each j append min(before[j] + 1, row[-1] + 1, before[j - 1] + "
            "(sound != target[j - 1])). At the end return row[-1].",
        ),
        check=check_edit_distance,
    ),
    Exercise(
        name="fitting_arguments",
        title="7.5 The arguments that fit a model",
        points=3,
        minutes=8,
        hints=(
            "The end of the class's name says the task: architecture.endswith(...). Then ask which "
            "of the new modules saved_by[task] does not name.",
            "A dict from ends to tasks saves six ifs: ForCausalLM, ForConditionalGeneration, "
            "ForSequenceClassification, ForTokenClassification, ForQuestionAnswering, Model.",
            'task = next(t for end, t in ends.items() if architecture.endswith(end)); return '
            '{"task_type": task, "modules_to_save": [m for m in new_modules if m not in '
            "saved_by[task]]}.",
        ),
        check=check_fitting_arguments,
        allowed=("lora_lessons.__getattr__",),  # ll.TaskType
    ),
    MY_LOSS,
]  # fmt: skip

CARDS = [
    Card(
        "What does task_type do?",
        "It picks the wrapper's class, and with it the heads that are trained and saved whole. It "
        "gives the model no head and no loss: those belong to the model's class.",
    ),
    Card(
        "Labels equal to input_ids: why does a causal model not just copy?",
        "The loss is shifted: the logits at place t are scored on label t + 1. Shift the labels "
        "yourself as well, and the model learns to skip a token.",
    ),
    Card(
        "What is -100?",
        "A label that counts for nothing: of a prompt, which is given, and of padding. It is no "
        "token, so it must never be read as an id.",
    ),
    Card(
        "What does a T5 decoder read while it trains?",
        "The labels shifted right: the start token, then all labels but the last, with the padding "
        "token where a label is -100. Read unshifted, the answer leaks: the loss falls to zero and "
        "the model can write nothing.",
    ),
    Card(
        "A classifier scored 90 % in training and 50 % after loading. What first?",
        "The saved file: is the head in it? Without a fitting task_type or modules_to_save it is "
        "not, and it comes back random.",
    ),
    Card(
        "Exact match or edit distance?",
        "Both. Exact match is what a user sees; the edit distance still moves where hardly a word "
        "is right as a whole.",
    ),
    Card(
        "An adapter on all linear layers does not learn what the base lacks. Raise r?",
        "First ask whether the targets reach it. An embedding or a norm is no linear layer: name "
        "it in modules_to_save, and it is trained and saved whole.",
    ),
]
