"""Lesson 07, task types: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_causal_loss, check_labels_for, check_shift_right
from .checks_tasks import check_edit_distance, check_fitting_arguments
from .own import MY_LOSS

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
        check=check_labels_for, takes=("ids", "prompt_lengths", "lengths"), dtype="input",
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
        check=check_causal_loss, takes=("logits", "labels"), returns="number",
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
        check=check_shift_right, takes=("labels", "start", "pad"), dtype="input",
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
        check=check_edit_distance, takes=("guess", "target"), returns="int",
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
        check=check_fitting_arguments, takes=("architecture", "new_modules", "saved_by"),
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

WHY = {
    "perplexity": "Each step teaches words and turns of phrase that occur on every page of the "
    "book. What is new in a chapter, its names and its plot, no adapter can know.",
    "fault": "English spelling says less about its vowels than about its consonants: one letter "
    "stands for many vowels.",
    "ablation": "The table is no linear layer, so all-linear does not reach it, and without it the "
    "encoder cannot know the letters' order, whatever A and B are.",
    "no_task": "The adapter learns to work with the random head that it was given. That head is "
    "not in the file, and the next process draws another one.",
}
