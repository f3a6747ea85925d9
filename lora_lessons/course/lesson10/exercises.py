"""Lesson 10, choosing parameters: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_pick
from .checks_curves import check_forgetting_at
from .checks_intervals import check_paired_interval
from .own import MY_CHOICE

EXERCISES = [
    Exercise(
        name="pick",
        title="10.1 Choose on some seeds, report on others",
        points=3,
        minutes=8,
        hints=(
            "Collect the losses of each rate on the tuning seeds, a nan as math.inf, and average "
            "them. The rate with the lowest average is chosen.",
            "Only then look at the fresh seeds: the mean loss of that one rate. It is at the edge "
            "if it is the lowest or the highest of the rates.",
            "def average(lr, seeds): mean of math.inf if math.isnan(loss) else loss, for each run "
            "with that lr and a seed in seeds. best = min(rates, key=lambda lr: average(lr, "
            "tuning)).",
        ),
        check=check_pick,
        takes=("runs", "tuning", "fresh"),
    ),
    Exercise(
        name="paired_interval",
        title="10.2 The interval of a difference",
        points=2,
        minutes=6,
        hints=(
            "Both arms ran the same seeds. Which one number for each seed says how far apart they "
            "are?",
            "gaps = [a[seed] - b[seed] for seed in a]. The spread of their mean is "
            "statistics.stdev(gaps) / sqrt(n).",
            "With n gaps there are n - 1 degrees of freedom: return mean(gaps), "
            "t[n - 1] * stdev(gaps) / math.sqrt(n).",
        ),
        check=check_paired_interval,
        takes=("a", "b", "t"),
    ),
    Exercise(
        name="forgetting_at",
        title="10.3 What was forgotten when the goal was reached",
        points=3,
        minutes=8,
        hints=(
            "Go through the measurements in order. Stop at the first whose target loss is at or "
            "below the goal.",
            "It lies between that measurement and the one before. Which share of the way down had "
            "the target gone when it met the goal? Go the same share along the base loss.",
            "share = (target[i - 1] - goal) / (target[i - 1] - target[i]); base[i - 1] + share * "
            "(base[i] - base[i - 1]). If i is 0: base[0]. After the loop: None.",
        ),
        check=check_forgetting_at,
        takes=("target", "base", "goal"),
    ),
    MY_CHOICE,
]

CARDS = [
    Card(
        "In which order are LoRA's parameters tuned?",
        "Learning rate first, then targets, rank, alpha, dropout, and the rate again at the end: "
        "what moves the loss most comes first.",
    ),
    Card(
        "Why are the seeds that report a choice not those that made it?",
        "The best of many is partly the luckiest. On fresh seeds the luck is gone.",
    ),
    Card(
        "The best rate tried is the highest. What do you do?",
        "Try higher ones until the best lies inside. An edge says only where you stopped looking.",
    ),
    Card(
        "When is the best learning rate nearly free of r?",
        "With alpha fixed and the scaling alpha / r, under AdamW. With alpha = 2r it falls as r "
        "rises.",
    ),
    Card(
        '"LoRA learns less and forgets less." At equal what?',
        "Equal steps, each at its own best rate. At an equal target loss it is another question, "
        "and the rates decide much of the answer.",
    ),
    Card(
        "Two arms' intervals overlap. Are they equal?",
        "That is no test. Take the interval of the differences, seed by seed. If it holds zero, "
        "the order is not settled; equal is more than these runs can say.",
    ),
    Card(
        "LoRA came out worse than full fine-tuning. What do you check first?",
        "Its learning rate (is the best inside the grid?), its targets (all linear layers?), then "
        "its rank against the amount of data.",
    ),
]

WHY = {
    "order": "A rate ten times too low or too high spoils a run whatever else is right, and the "
    "targets decide which weights can move at all. The rest are finer choices.",
    "ratio": "B starts at zero and the update is alpha / r times B A, so LoRA needs larger steps "
    "for the same change of W. How much larger depends on alpha, the optimizer and the length.",
    "equal_steps": "A run that has changed its weights less has learnt less and forgotten less. "
    "Equal steps are not equal learning.",
    "equal_target": "Full fine-tuning is stopped after 72 steps on average, LoRA goes on to 336. "
    "After equal steps full fine-tuning had forgotten more; at the goal it has not yet.",
    "gentle": "A lower rate forgets less on the way to the goal. Full fine-tuning gets there in "
    "the same steps at four of its rates; LoRA, r = 8, at its best rate only.",
    "overfit": "What is learnt first serves both texts, what comes later only the one that is "
    "learnt by heart. Past that point LoRA pays more for each further step down. Why is not "
    "measured here.",
    "cells": "Alpha is nearly a learning rate, so a rate of its own undoes most of a bad alpha. "
    "Low rank and high dropout change more than the step's size. High rank depends on alpha, which "
    "is raised along here: see below.",
    "batch": "Both arms raise their rate with the batch, and LoRA still falls further behind. "
    "Tinker's primer puts it down to the product B A; here only the gap is measured.",
}
"""Why each prediction came out as it did; shown after the comparison."""
