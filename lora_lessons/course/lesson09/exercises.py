"""Lesson 09, save, merge and switch: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import (
    check_ExactMerge,
    check_file_tensors,
    check_load_strictly,
    check_merge_rounded,
)
from .checks_serving import check_serve_batch, check_weighted_sum
from .checks_tied import check_merge_into_head
from .own import MY_MERGE

EXERCISES = [
    Exercise(
        name="file_tensors",
        title="9.1 The adapter's file",
        points=2,
        minutes=5,
        hints=(
            "Go through state.items() and keep a name only if it ends in lora_A or lora_B, a dot, "
            "exactly this adapter's name, and .weight.",
            'end = f".lora_A.{adapter}.weight" says both which names to keep and what to take '
            "away: name.removesuffix(end). A name with another adapter does not end in it.",
            'found[f"base_model.model.{name.removesuffix(end)}.lora_A.weight"] = tensor, and the '
            "same for lora_B.",
        ),
        check=check_file_tensors,
        takes=("state", "adapter"),
    ),
    Exercise(
        name="load_strictly",
        title="9.2 Loading it strictly",
        points=3,
        minutes=8,
        hints=(
            "Two passes: the first only looks and collects faults in a list; the second copies.",
            "targets.keys() - given.keys() are missing, given.keys() - targets.keys() are extra. "
            "For those in both compare .shape, and ask given[key].isfinite().all().",
            "if faults: raise ValueError('; '.join(faults)). Then, under torch.no_grad(), "
            "targets[key].copy_(given[key]) for every key.",
        ),
        check=check_load_strictly,
        takes=("targets", "given"),
        mutates=("targets",),
    ),
    Exercise(
        name="merge_rounded",
        title="9.3 Merging, rounded once",
        points=2,
        minutes=6,
        hints=(
            "Compute the update in float32, add it to W in float32, and only then go to W's dtype.",
            "delta = scaling * (B @ A); merged = (W.float() + delta).to(W.dtype). No += here.",
            "unchanged: among the weights where delta != 0, the share with merged == W, that is "
            "(merged == W)[delta != 0].float().mean().item().",
        ),
        check=check_merge_rounded,
        takes=("W", "A", "B", "scaling"),
        because={
            "W": "A cell that runs twice would merge the update twice. (W.float() is W itself, no "
            "copy, when W is float32.)"
        },
    ),
    Exercise(
        name="ExactMerge",
        title="9.4 An exact way back",
        points=3,
        minutes=8,
        hints=(
            "What rounding took cannot be computed back. Something must be kept from before.",
            "self.kept = None in __init__. merge: if nothing is kept yet, keep "
            "self.linear.weight.detach().clone(). Then write the sum in place, under no_grad.",
            "unmerge: with torch.no_grad(): self.linear.weight.copy_(self.kept); then "
            "self.kept = None, so that the next merge takes a fresh copy.",
        ),
        check=check_ExactMerge,
        takes=("linear",),
        mutates=("linear.weight.values", "linear.attributes"),
    ),
    Exercise(
        name="serve_batch",
        title="9.5 Many adapters in one batch",
        points=2,
        minutes=7,
        hints=(
            "y = linear(x) once, for all rows. Then add to some rows of y, in place.",
            "For each adapter collect its row numbers: "
            "[i for i, name in enumerate(names) if name == adapter]. None is no adapter.",
            "for name, (A, B, s) in adapters.items(): rows = ...; "
            "y[rows] = y[rows] + s * (x[rows] @ A.T @ B.T).",
        ),
        check=check_serve_batch,
        takes=("x", "linear", "adapters", "names"),
        differentiable=("x",),
        dtype="input",
    ),
    Exercise(
        name="weighted_sum",
        title="9.6 The sum of adapters",
        points=2,
        minutes=7,
        hints=(
            "B1 A1 + B2 A2 is one product of two wider matrices. Which?",
            "[B1 B2] times [A1 over A2]: columns beside columns, rows below rows.",
            "A = torch.cat([A for A, _, _ in adapters]); B = torch.cat(scaled, dim=1), where "
            "scaled lists w * s * B for each adapter and its weight w.",
        ),
        check=check_weighted_sum,
        takes=("adapters", "weights"),
    ),
    Exercise(
        name="merge_into_head",
        title="9.7 Untie, then merge",
        points=2,
        minutes=5,
        hints=(
            "One weight under two names: what does `head.weight is embedding.weight` say?",
            "If they are one, the output layer needs a Parameter over memory of its own: "
            ".detach().clone() copies, .detach() alone does not. And the config must say so.",
            "head.weight = torch.nn.Parameter(head.weight.detach().clone()); "
            "model.config.tie_word_embeddings = False. Then, tied or not, under torch.no_grad(): "
            "head.weight += delta.",
        ),
        check=check_merge_into_head,
        takes=("model", "delta"),
        mutates=("model",),
    ),
    MY_MERGE,
]

CARDS = [
    Card(
        "What is in adapter_model.safetensors, and under which keys?",
        "A and B of each adapted layer (and modules_to_save, trained biases): base_model.model., "
        "the module's path, lora_A.weight. Neither the base nor the adapter's name.",
    ),
    Card(
        "Why must a loader look at all keys and shapes before it copies one?",
        "A skipped key leaves random A and zero B in a layer, without an error; a fault found half "
        "way leaves an adapter that nobody trained.",
    ),
    Card(
        "An update is 1 % of a bf16 weight's size. What does merging do to it?",
        "bf16 has 8 significant bits: a weight's neighbours are 0.4 to 0.8 % away. A fifth of the "
        "weights stay as they were, and the update is off by 17 %. In float16 it is 2 %.",
    ),
    Card(
        "Why does merged minus the update not give back W?",
        "The merge rounded W + update, and the difference is rounded again: some per cent of the "
        "weights differ, in every dtype. Only a copy gives all back, and it costs the size of the "
        "adapted weights.",
    ),
    Card(
        "How do two adapters serve one batch?",
        "The base runs once on all rows. Each adapter adds its branch to its own rows. Nothing is "
        "merged: a merged weight is the same for every row.",
    ),
    Card(
        "Why is the mean of two As and two Bs not the mean of two adapters?",
        "(B1 + B2)(A1 + A2) holds B1 A2 and B2 A1, which nobody trained. Stack the factors: the "
        "sum is exact, at the sum of the ranks.",
    ),
    Card(
        "A model's input embedding is its output layer too. What does merging into one of them do?",
        "It changes both, without an error: the loss may end above the base's. Untie first: a "
        "Parameter of its own for one, and tie_word_embeddings = False in the config.",
    ),
]

WHY = {
    "unchanged": "A weight moves only if its change is at least half the gap to its neighbour, and "
    "bfloat16's gap is between 1/256 and 1/128 of the weight: near an update of 1 %, many changes "
    "are below half a gap.",
    "back": "Where the sum lands in a higher binade its last bit is rounded away, and subtracting "
    "cannot know it. An update of 1 % lifts few weights that far; larger ones lift more.",
    "tied": "The same numbers are read on the way in. An update that was learnt for the logits "
    "moves every token's embedding too, and all blocks read inputs that they were not trained on.",
}
