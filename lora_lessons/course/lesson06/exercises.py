"""Lesson 06, the bias modes: the exercises with their hints, and the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from .checks import check_bias_numbers, check_biases_that_train
from .checks_attention import check_fewer_biases
from .checks_base import check_measure_base
from .checks_checkpoints import check_run_blocks
from .checks_contents import check_adapter_contents
from .own import MY_FILE

EXERCISES = [
    Exercise(
        name="biases_that_train",
        title="6.1 What trains",
        points=2,
        minutes=7,
        hints=(
            "model.named_parameters() gives all names. Which of them are biases? Look at the last "
            "word only.",
            'The bias of a wrapped layer is called f"{layer}.bias". Not every wrapped layer has '
            "one: keep only names that the model has.",
            'names = {n for n, _ in model.named_parameters() if n.split(".")[-1] == "bias"}; '
            '"lora_only": names & {f"{layer}.bias" for layer in wrapped}. Anything but the three '
            "modes: raise ValueError(...).",
        ),
        check=check_biases_that_train,
        takes=("model", "wrapped", "mode"),
    ),
    Exercise(
        name="bias_numbers",
        title="6.2 How many numbers",
        points=1,
        minutes=5,
        hints=(
            "A bias has one number for each output of its layer.",
            "q has `hidden` outputs; k and v have kv_heads heads of hidden // heads numbers.",
            'sizes = {"q_proj": hidden, "k_proj": narrow, "v_proj": narrow}; add up the sizes of '
            "the layers that count in this mode, and multiply by blocks.",
        ),
        check=check_bias_numbers,
        takes=("hidden", "heads", "kv_heads", "blocks", "wrapped", "mode"),
        returns="int",
    ),
    Exercise(
        name="adapter_contents",
        title="6.3 What the file must hold",
        points=2,
        minutes=6,
        hints=(
            "Go through model.named_parameters(). Two kinds of names stay: factors, and the biases "
            "that were trained.",
            'A factor has the word lora_A or lora_B in its name: name.split("."). For a bias, '
            'take "base_layer." out of the name before you look it up in `biases`.',
            'Keep name if {"lora_A", "lora_B"} & set(name.split(".")) or '
            'name.replace("base_layer.", "") in biases; the value is '
            "parameter.detach().clone().",
        ),
        check=check_adapter_contents,
        takes=("model", "biases"),
    ),
    Exercise(
        name="measure_base",
        title="6.4 What disabling must give back",
        points=3,
        minutes=9,
        hints=(
            "Before: note each branch_on, and clone the trained biases. Then switch and copy. "
            "After: undo both.",
            "What is undone must be undone even if `measure` fails: try and finally. Copy values "
            "with parameter.copy_(value), inside torch.no_grad().",
            "was_on = [(m, m.branch_on) for m in model.modules() if hasattr(m, 'branch_on')]; "
            "trained = {name: parameters[name].detach().clone() for name in start}; then switch "
            "off, copy start, try: return measure(model), finally: copy trained, restore was_on.",
        ),
        check=check_measure_base,
        takes=("model", "start", "measure"),
        because={"start": "Copy its values into the parameters."},
    ),
    Exercise(
        name="fewer_biases",
        title="6.5 Fewer biases, the same function",
        points=2,
        minutes=6,
        hints=(
            "Write out a score: (q + b_q) . (k_j + b_k). Which terms depend on j?",
            "b_k adds the same number to all scores of a row: the softmax cancels it. b_v is "
            "averaged with weights that sum to 1: it comes out whole.",
            "Behind the weights comes o: W_o (mix + b_v) + b_o = W_o mix + (b_o + W_o b_v).",
        ),
        check=check_fewer_biases,
        takes=("b_q", "b_k", "b_v", "W_o", "b_o"),
        dtype="input",
    ),
    Exercise(
        name="run_blocks",
        title="6.6 The gradient that checkpointing loses",
        points=2,
        minutes=8,
        hints=(
            "A checkpoint of the reentrant kind records a block only if the block's input requires "
            "a gradient. Look at what the embedding returns: hidden.requires_grad.",
            "If hidden requires none, let it: hidden.requires_grad_() sets the flag of the tensor "
            "and leaves the embedding's weight frozen. The blocks after the first need nothing.",
            "hidden = embed(ids); if not hidden.requires_grad: hidden.requires_grad_(); for each "
            "block: hidden = torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=True).",
        ),
        check=check_run_blocks,
        takes=("embed", "blocks", "ids"),
    ),
    MY_FILE,
]

WHY = {
    "no_gradient": "The key's bias adds the same number to every score of a row, and the softmax "
    "cancels it.",
    "checkpointed": "Under \"all\" the bias of the embedding's norm trains, so the first block's "
    "input requires a gradient. In the other modes nothing before the blocks trains.",
    "best_mode": "As many numbers in a wider rank gain as well as in the biases, and five seeds do "
    "not tell the two apart.",
    "disable": "disable_adapter() switches the branch B A off. The biases were trained in place, "
    "in the base's own layers, and PEFT keeps no copy of the old ones.",
}

CARDS = [
    Card(
        'What do bias="none", "lora_only" and "all" train?',
        "No bias of the base; the biases of the layers that have LoRA; every bias of the model, "
        "those of the norms and of the head too.",
    ),
    Card(
        'Is bias=None the same as bias="none"?',
        "No. The mode is a text. Here None is an error when the config is made; PEFT fails later, "
        "at injection, with an AttributeError.",
    ),
    Card(
        'What is the difference between bias="lora_only" and lora_bias=True?',
        "lora_only trains the base's own biases of the wrapped layers. lora_bias gives each B a "
        "new bias, which belongs to the adapter.",
    ),
    Card(
        "The biases were trained. What must be in the adapter's file?",
        "The factors and exactly the biases that trained. A file of the factors alone is refused "
        "here; with strict=False, and in PEFT, it loads and another model comes out.",
    ),
    Card(
        'After training with bias="all", does disable_adapter() give back the base?',
        "In PEFT not: it warns, and the trained biases stay. To get the base back, its biases must "
        "have been kept and be put back, as this package does.",
    ),
    Card(
        "Why has BERT's key bias no gradient, and why has Qwen2's?",
        "It adds the same number to every score of a row, and the softmax cancels that. Rotary "
        "positions turn it differently at each key, so there it counts.",
    ),
    Card(
        "Why may LoRA learn nothing under gradient checkpointing, and what mends it?",
        "A reentrant checkpoint records a block only if its input requires a gradient, and the "
        "output of a frozen embedding does not. Make that output require one, or take "
        "use_reentrant=False.",
    ),
    Card(
        'What does bias="all" add on a model like Llama or SmolLM2?',
        "Nothing: such models have no biases.",
    ),
]
