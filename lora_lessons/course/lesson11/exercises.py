"""Lesson 11, memory and speed: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_logits_bytes, check_state_bytes
from .checks_kept import check_kept_for_backward
from .checks_timing import check_median_ms
from .own import MY_STEP

EXERCISES = [
    Exercise(
        name="state_bytes",
        title="11.1 The states",
        points=1,
        minutes=4,
        hints=(
            "Go through the four things: weights, gradients, first moments, second moments. Which "
            "numbers have each?",
            "All numbers have a weight. Only trained ones have a gradient and two moments, and a "
            "moment takes 4 bytes.",
            "(frozen + trained) * weight + trained * (grad + 4 + 4).",
        ),
        check=check_state_bytes,
        takes=("frozen", "trained", "weight", "grad"),
        returns="number",
    ),
    Exercise(
        name="kept_for_backward",
        title="11.2 What is kept for the backward pass",
        points=3,
        minutes=9,
        hints=(
            "torch.autograd.graph.saved_tensors_hooks(pack, unpack): inside it, pack(tensor) is "
            "called with each tensor that autograd keeps. Run layer(x) inside, and look.",
            "Two tensors may share their numbers. tensor.untyped_storage() is where they lie: "
            "data_ptr() tells storages apart, nbytes() is the size. Use a dict.",
            "own = {t.untyped_storage().data_ptr() for t in [*layer.parameters(), "
            "*layer.buffers()]}; in pack: s = tensor.untyped_storage(); if s.data_ptr() not in "
            "own: kept[s.data_ptr()] = s.nbytes(); return tensor. Then sum(kept.values()).",
        ),
        check=check_kept_for_backward,
        takes=("layer", "x"),
        because={"layer": "What is kept depends on what trains.", "x": "Nothing is to be trained."},
        returns="number",
    ),
    Exercise(
        name="logits_bytes",
        title="11.3 The logits",
        points=2,
        minutes=6,
        hints=(
            "Logits have a number for each word of the vocabulary, at each token of each row. "
            "`copies` says how many bytes such a number has in each copy.",
            "Whole: batch * length * vocab * sum(copies). In pieces: the same with the rows of one "
            "piece, and there may be fewer rows than at_once.",
            "rows = batch * length; if at_once is None: rows * vocab * sum(copies); else "
            "min(at_once, rows) * vocab * sum(copies) + rows * hidden * 2.",
        ),
        check=check_logits_bytes,
        takes=("batch", "length", "hidden", "vocab", "copies", "at_once"),
        returns="number",
    ),
    Exercise(
        name="median_ms",
        title="11.4 A stopwatch that waits",
        points=2,
        minutes=7,
        hints=(
            "step() returns when the work is launched. sync() returns when it is done. Between "
            "which two moments is the time that you want?",
            "The device must be idle when the clock starts, and idle when it stops: sync() before "
            "each of the two. The warm-up comes first and is not timed.",
            "for _ in range(warm): step(). Then n times: sync(); start = clock(); step(); sync(); "
            "times.append(clock() - start). Return 1e3 * statistics.median(times).",
        ),
        check=check_median_ms,
        takes=("step", "sync", "n", "warm", "clock"),
        returns="number",
    ),
    MY_STEP,
]

WHY = {
    "saving": "On so small a model activations and logits are nearly all of a step. LoRA saves "
    "gradients and moments, and the loss behind a frozen head saves some logits.",
    "kept": "A's gradient needs its layer's input, as W's did. And what attention, the norms and "
    "the MLP's gate keep has nothing to do with weights.",
    "largest": "16,384 tokens leave activations in each of 16 blocks, and logits over 128,256 "
    "words in several copies. The 1.2 billion weights are small beside both.",
    "small_step": "Launched one by one, both steps wait for the host, and for LoRA the host has "
    "more to do: more modules and functions around the operations. Captured, that part is gone.",
    "flops": "Of 2 + 2 + 2 operations for each weight and token the last two, the gradient of the "
    "weights, are left out. The thin products add a little.",
}

CARDS = [
    Card(
        "Which parts of a step's memory does LoRA save?",
        "Gradients and optimizer states of the frozen weights. Not the weights, and hardly any of "
        "the activations: A's gradient needs its layer's input as W's did.",
    ),
    Card(
        "Why does LoRA save little on a small model and much on a large one?",
        "The states grow with the parameters, the activations with the batch. At 5 M and 2,048 "
        "tokens activations and logits are nearly all; at 8 B and one row of 2,048 the states are "
        "half.",
    ),
    Card(
        "What do logits take?",
        "batch x length x vocabulary numbers, in each of several copies. Behind a frozen head the "
        "loss can take them in pieces, so that they are never whole.",
    ),
    Card(
        "What does recomputing trade?",
        "Each block keeps its input alone and runs a second time in the backward pass: little "
        "memory for about one more forward pass.",
    ),
    Card(
        "6N against 4N: what are the operations?",
        "For each token and weight: 2 forward, 2 for the gradient of the inputs, 2 for the "
        "gradient of the weights. LoRA leaves out the last, so a step is at most 1.5 times as "
        "fast.",
    ),
    Card(
        "Why can a small LoRA step be slower than full fine-tuning?",
        "On a small model launching takes the host longer than the work takes the GPU, and LoRA "
        "gives the host more to launch. Captured in a CUDA graph the step is launched once.",
    ),
    Card(
        "How do you time a step honestly?",
        "Warm up, wait for the device before both clocks, take the median of several, and show the "
        "range. Without waiting you time the launches.",
    ),
    Card(
        "Out of memory at r = 8: what do you change first?",
        "The batch or the length, then recomputing and logits in pieces, then a 4-bit base. r "
        "last: its states are a thousandth of the step.",
    ),
]
