"""Lesson 05, target modules: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_in_blocks, check_is_target, check_not_found
from .checks_linear import check_all_linear
from .checks_sizes import check_fused_update, check_rank_for_budget
from .own import MY_TARGETS

EXERCISES = [
    Exercise(
        name="is_target",
        title="5.1 What a name must be to match",
        points=2,
        minutes=6,
        hints=(
            "isinstance(targets, str) tells the two rules apart.",
            "For a list: the name is the entry, or it ends with a dot and the entry.",
            "A string: re.fullmatch(targets, name) is not None. A list: "
            'any(name == entry or name.endswith("." + entry) for entry in targets).',
        ),
        check=check_is_target,
        takes=("name", "targets"),
    ),
    Exercise(
        name="in_blocks",
        title="5.2 In which block",
        points=1,
        minutes=5,
        hints=(
            'name.split(".") gives the words between the dots.',
            "word.isdigit() is True for a word that is a whole number. Take the first such word.",
            'numbers = [int(word) for word in name.split(".") if word.isdigit()]; then ask whether '
            "there is a first one and whether it is in the list.",
        ),
        check=check_in_blocks,
        takes=("name", "blocks"),
    ),
    Exercise(
        name="all_linear",
        title="5.3 Every linear layer but one",
        points=2,
        minutes=5,
        hints=(
            "model.named_modules() gives every module with its full name.",
            "Ask the type, isinstance(module, torch.nn.Linear), not the name.",
            "Compare the module itself: `module is not model.get_output_embeddings()`.",
        ),
        check=check_all_linear,
        takes=("model",),
    ),
    Exercise(
        name="not_found",
        title="5.4 The entries that matched nothing",
        points=2,
        minutes=5,
        hints=(
            "Look for each entry by itself, in all the names.",
            "An entry is found if some name is the entry, or ends with a dot and the entry.",
            "[entry for entry in entries if not any(... for name in names)]",
        ),
        check=check_not_found,
        takes=("names", "entries"),
    ),
    Exercise(
        name="rank_for_budget",
        title="5.5 The rank for a budget",
        points=2,
        minutes=6,
        hints=(
            "What does one rank cost? Each layer adds in + out numbers for it.",
            "Add that up over all layers, divide the budget by it, and round to the nearest.",
            "cost = sum(out + in_ for out, in_ in shapes); max(1, round(budget / cost)).",
        ),
        check=check_rank_for_budget,
        takes=("shapes", "budget"),
        returns="int",
    ),
    Exercise(
        name="fused_update",
        title="5.6 A fused layer, part by part",
        points=3,
        minutes=8,
        hints=(
            "The update of the fused layer is the parts' updates, one below the other.",
            "A part without factors has an update of zeros, with as many rows as its size.",
            "Make a list of blocks in the order of sizes: scaling * B @ A, or zeros(size, in). "
            "torch.cat(blocks) puts them one below the other.",
        ),
        check=check_fused_update,
        takes=("sizes", "factors", "scaling"),
        dtype="input",
    ),
    MY_TARGETS,
]

WHY = {
    "typo": "PEFT asks only whether anything matched. An entry that matches nothing beside one "
    "that matches is not looked at, so the typo and the pattern pass without a word.",
    "best_targets": "The seeds do not tell all-linear from the MLP. Why layers of the MLP help "
    "more than those of the attention at one budget, these runs do not say.",
    "rank_one": "Two kinds of matrices at the lowest rank do more than one kind at a high one: v "
    "is worth more here than any rank of q.",
}

CARDS = [
    Card(
        'target_modules=["proj"]: which of q_proj, up_proj and proj get an adapter?',
        "proj alone. An entry of a list must be the full name or what follows a dot in it.",
    ),
    Card(
        "When is target_modules a regular expression?",
        "When it is one string, and it must fit the full name. Inside a list an entry is plain "
        "text: a pattern there matches nothing.",
    ),
    Card(
        'Which linear layer does "all-linear" leave out, and how is it found?',
        "The output layer of a language model. get_output_embeddings() finds it, not its name.",
    ),
    Card(
        "You misspell one of two target modules. What happens?",
        "In PEFT nothing: the other one trains, and the loss falls a little less. Here: an error "
        "with the nearest name. So read the report of what matched, or count what trains.",
    ),
    Card(
        "How are two choices of target modules compared fairly?",
        "At one number of trained parameters, r (in + out) summed over the layers, each at its own "
        "best learning rate, over several seeds.",
    ),
    Card(
        "What is special about LoRA on a fused qkv layer?",
        "A plain adapter shares its A among q, k and v. With an own A and a block of B for each, "
        "parts can have their own rank or none.",
    ),
]
