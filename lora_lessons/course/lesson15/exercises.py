"""Lesson 15, the capstone: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_by_ending, check_mini_lora, check_split_by_stem
from .own import MY_FLAW

EXERCISES = [
    Exercise(
        name="mini_lora",
        title="15.1 LoRA from a blank file",
        points=6,
        minutes=90,
        hints=(
            "Write in this order, and test after each: the layer (A random, B zero, alpha / r), "
            "add_lora (find all names first, then exchange), merge and unmerge (keep a "
            "copy), save, "
            "load. `lora-lessons capstone FILE` lists every test.",
            "PEFT's keys are base_model.model.NAME.lora_A.weight and ...lora_B.weight, NAME as the "
            "base has it. Its config needs peft_type, r, lora_alpha, lora_dropout, bias and "
            "target_modules. safetensors.torch has save_file and load_file.",
            "In load: from the config and the base alone, work out which keys and shapes must be "
            "there; compare with the file; only then call add_lora, and copy.",
        ),
        check=check_mini_lora,
    ),
    Exercise(
        name="split_by_stem",
        title="15.2 A split that does not leak",
        points=2,
        minutes=7,
        hints=(
            "Gather the words by stem first: {stem: [its words]}. What is then shuffled are stems.",
            "names = list(kin); random.Random(seed).shuffle(names). Go through them, and give all "
            "words of a stem to one part.",
            "for name in names: (asked if len(asked) < valid else train).extend(kin[name])",
        ),
        check=check_split_by_stem,
        takes=("words", "stem", "valid", "seed"),
    ),
    Exercise(
        name="by_ending",
        title="15.3 A rule without a model",
        points=2,
        minutes=7,
        hints=(
            "From the training words count, for each ending of 0 to `longest` letters, how often "
            "each class comes. collections.Counter counts.",
            "The ending of n letters is word[len(word) - n:], for n = 0 too. A word of two letters "
            "has no ending of three.",
            "For a word asked go down from min(longest, len(word)) to 0, and take the first ending "
            "that was seen; of its classes min(counts, key=lambda kind: (-counts[kind], kind)).",
        ),
        check=check_by_ending,
        takes=("train", "asked", "longest"),
    ),
    MY_FLAW,
]

WHY = {
    "leak": "In the random split nearly every word asked has kin among the training words, and kin "
    "are stressed alike: the model looks the stem up. By stem there is nothing to look up.",
    "rank": "One rank an adapter is little for this task. From 4 on the seeds differ more than the "
    "ranks do, so the smaller adapter ties, and ties are for the cheaper.",
}

CARDS = [
    Card(
        "Words of one family are in the training and in the test part. What does the score mean?",
        "How well the model looks the family up. Split by what the words share, here the stem, and "
        "the score means how well it does on words that are new.",
    ),
    Card(
        "Which bars belong beside an accuracy?",
        "The commonest class for all, and the best simple rule you can think of. A model that is "
        "above the first and not above the second has learnt the rule.",
    ),
    Card(
        "Name six flaws of a comparison that you look for first.",
        "A leak between the parts; a rate at the edge of its grid; one seed; unequal budgets; a "
        "choice made on the test part; the best of one arm against the last of the other.",
    ),
    Card(
        "Two arms cannot be told apart. What do you ship?",
        "The cheaper one, and you say that they tie: the interval of their difference, and "
        "how many "
        "seeds it rests on.",
    ),
    Card(
        "A file that does not fit is loaded. In which order do you work?",
        "First read, and compare all keys and shapes with what must be there. Then change "
        "the model. "
        "An error must leave it as it was.",
    ),
    Card(
        "Which four tests would find most mistakes in a LoRA layer?",
        "The base's output at step 0; an output with random A and B by hand, r not a divisor of "
        "alpha; the base's bits after some steps; merging twice, and back.",
    ),
]
