"""Lesson 08, task heads: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import (
    check_answer_tokens,
    check_best_span,
    check_label_pieces,
    check_masked_mean,
    check_new_modules,
    check_table_macro_f1,
)
from .own import MY_CLASSIFIER

EXERCISES = [
    Exercise(
        name="new_modules",
        title="8.1 Which modules start at random",
        points=2,
        minutes=5,
        hints=(
            "Go through the names of the model, and keep those that the file does not have.",
            'name.rpartition(".")[0] is the name without its last word. A set keeps each once.',
            'sorted({name.rpartition(".")[0] for name in in_model if name not in in_file})',
        ),
        check=check_new_modules,
        takes=("in_model", "in_file"),
    ),
    Exercise(
        name="label_pieces",
        title="8.2 A label for each piece",
        points=2,
        minutes=6,
        hints=(
            "word_ids tells for each piece which word it is of, None for [CLS], [SEP] and padding.",
            "A piece is its word's first if the piece before it has another word_id.",
            "Keep `before = None`. For each word in word_ids: append labels[word] if word is not "
            "None and word != before, else -100; then before = word.",
        ),
        check=check_label_pieces,
        takes=("word_ids", "labels"),
    ),
    Exercise(
        name="table_macro_f1",
        title="8.3 Macro F1 from a table of counts",
        points=2,
        minutes=6,
        hints=(
            "Of class c, TP is table[c, c]. TP + FN is the sum of row c, TP + FP that of column c.",
            "So F1 is 2 TP / (row sum + column sum). Take it for each class, then the mean.",
            "2 * table.diagonal() / (table.sum(0) + table.sum(1)).clamp(min=1), then .mean(). "
            "The clamp makes 0 / 1 of 0 / 0.",
        ),
        check=check_table_macro_f1,
        takes=("table",),
        returns="number",
    ),
    Exercise(
        name="answer_tokens",
        title="8.4 From characters to tokens",
        points=2,
        minutes=6,
        hints=(
            "Look only at the places whose side is 1: they are the page.",
            "The first token is the one whose offset begins at `start`, the last the one whose "
            "offset ends at `end`.",
            "Collect firsts = [i for i, (a, b) in enumerate(offsets) if sides[i] == 1 and "
            "a == start], and lasts with b == end. If one is empty, return (0, 0).",
        ),
        check=check_answer_tokens,
        takes=("offsets", "sides", "start", "end"),
    ),
    Exercise(
        name="best_span",
        title="8.5 The best span",
        points=3,
        minutes=7,
        hints=(
            "The two largest logits may be in the wrong order. Compare pairs.",
            "Two loops: first over the tokens of the page; last from first on, `longest` tokens "
            "at most, and only tokens of the page.",
            "pairs = [(i, j) for i in range(T) for j in range(i, min(i + longest, T)) if page[i] "
            "and page[j]]; return the one with the largest start[i] + end[j].",
        ),
        check=check_best_span,
        takes=("start", "end", "page", "longest"),
    ),
    Exercise(
        name="masked_mean",
        title="8.6 The mean without the padding",
        points=2,
        minutes=5,
        hints=(
            "Multiply the hidden states by the mask, so that padding adds nothing to the sum.",
            "mask[..., None] has the shape (n, T, 1) and spreads over the features. Divide by the "
            "number of tokens of each row.",
            "(hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
        ),
        check=check_masked_mean,
        takes=("hidden", "mask"),
        differentiable=("hidden",),
        dtype="input",
    ),
    MY_CLASSIFIER,
]

CARDS = [
    Card(
        "Which modules of a BertForSequenceClassification start at random when it is loaded from "
        "a model pretrained on masked words?",
        "The classifier, and the pooler below it. The task type saves the classifier alone.",
    ),
    Card(
        "A new head: modules_to_save or target_modules?",
        "modules_to_save: it is trained whole and saved. With target_modules the file holds B A "
        "and not the random weight under it, which is another one after a reload.",
    ),
    Card(
        "A word is cut into three pieces. How many labels count?",
        "One, on the first piece. The others, [CLS], [SEP] and padding have -100.",
    ),
    Card(
        "Accuracy is 0.9 and macro F1 is 0.5. What does that say?",
        "The common classes are found, the rare ones are not: macro F1 weighs all classes alike.",
    ),
    Card(
        "Why not take the argmax of the start logits and that of the end logits?",
        "The end may lie before the start, or in the question. Compare pairs on the page by the "
        "sum of their logits.",
    ),
    Card(
        "A new head on a frozen body finds 4 % of the spans, LoRA 95 %. Why?",
        "A linear head reads each token's state by itself. What was asked is not in the state of "
        "the answer's tokens until the body is adapted.",
    ),
    Card(
        "Each page has two entries, and the loss of finding spans stops at ln 2. What does the "
        "model know, and what not?",
        "Where an answer may begin and end, but not which entry was asked for: its exact match is "
        "no better than that of picking one at random.",
    ),
    Card(
        "What goes wrong with a plain mean over the tokens of a padded batch?",
        "Padding is in it: the embedding of a text depends on the longest text beside it.",
    ),
    Card(
        "Which head does FEATURE_EXTRACTION save?",
        "None: there is none. The pooler of a bare BertModel may be random: pool the hidden "
        "states yourself.",
    ),
]

WHY = {
    "furthest": "The list sees one word. Names are written large wherever they stand, so it is "
    "good at capitals already; where a sentence ends, only the words around can tell.",
    "reload": "Only what is in the file comes back. All-linear has at least its update of the "
    "pooler there. The other two have nothing of it: the random pooler is drawn again with other "
    "numbers, and what learnt to work with it fits no more.",
    "exact_match": "What an answer looks like is learnt first. Which entry was asked for takes far "
    "more steps, so the score stays near that of a random pick.",
    "untrained": "The body was trained to guess words from their neighbours, so texts that share "
    "words and themes already have states that lie close.",
    "head_only": "Features that were made to guess masked words sort most things already; what "
    "they lack a linear layer cannot add.",
}
