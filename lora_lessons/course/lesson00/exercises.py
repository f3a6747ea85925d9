"""Lesson 00, start here: the exercises with their hints, the self-test, the review cards."""

from __future__ import annotations

from ..cards import Card
from ..checks.core import Exercise
from ..quiz import Question
from .checks import check_perplexity, check_trainable_share
from .checks_numbers import check_adapter_bytes, check_interval
from .own import MY_ADAPTER_BYTES

EXERCISES = [
    Exercise(
        name="perplexity",
        title="0.1 Perplexity",
        points=1,
        minutes=6,
        hints=(
            "First find the mean loss of one token. The last batch is smaller than the others.",
            "loss * tokens is the summed loss of a batch. Add these, divide by all tokens.",
            "math.exp(total_loss / total_tokens)",
        ),
        check=check_perplexity,
        takes=("batch_losses", "batch_tokens"),
        returns="number",
    ),
    Exercise(
        name="trainable_share",
        title="0.2 The share that trains",
        points=2,
        minutes=5,
        hints=(
            "model.parameters() gives every tensor once; p.requires_grad says whether it trains.",
            "p.numel() is how many numbers a tensor holds.",
            "Add p.numel() over those that require a gradient; divide by the sum over all.",
        ),
        check=check_trainable_share,
        takes=("model",),
        returns="number",
    ),
    Exercise(
        name="adapter_bytes",
        title="0.3 The bytes of the adapter",
        points=1,
        minutes=6,
        hints=(
            "For one layer: how many numbers are in A of shape (r, in), how many in B (out, r)?",
            "Together r * (in + out). Add over the layers.",
            "Multiply the sum by bytes_per_number.",
        ),
        check=check_adapter_bytes,
        takes=("shapes", "r", "bytes_per_number"),
        returns="number",
    ),
    Exercise(
        name="interval",
        title="0.4 An interval from five runs",
        points=1,
        minutes=8,
        hints=(
            "You need the mean, the sample standard deviation and the root of n.",
            "The sample standard deviation divides the summed squares by n - 1.",
            "half = t * s / math.sqrt(n); return mean - half, mean + half.",
        ),
        check=check_interval,
        takes=("values", "t"),
    ),
    MY_ADAPTER_BYTES,
]

# question, options, index of the right one, and where to read up on it
QUIZ = [
    Question(
        "What does model.named_modules() give?",
        (
            ("The weights with their names", "Those are named_parameters()."),
            ("Every layer with its dotted name", "The model itself too, under the empty name."),
            ("The names of the model's inputs", "Those are the arguments of forward()."),
        ),
        1,
        "PyTorch documentation: torch.nn.Module.named_modules. LoRA finds targets by these names.",
    ),
    Question(
        "p.requires_grad is False for a weight. What follows?",
        (
            (
                "No gradient flows through its layer",
                "The gradient by the layer's input needs the weight's value, and it is there.",
            ),
            (
                "The weight gets no gradient, layers below still do",
                "Backward goes through the layer and only leaves out the gradient by the weight.",
            ),
            (
                "The weight is left out of the forward pass",
                "Forward uses it as before: the setting is about gradients alone.",
            ),
        ),
        1,
        "PyTorch notes: Autograd mechanics, 'Setting requires_grad'.",
    ),
    Question(
        "In attention, which two projections decide where a token looks?",
        (
            ("q and k", "Their products are the scores that softmax turns into shares."),
            ("q and v", "v is what is carried over once it is decided where to look."),
            ("v and o", "They carry and mix what is found; the scores are made before."),
        ),
        0,
        "Vaswani and others, Attention Is All You Need, section 3.2.",
    ),
    Question(
        "The mean loss is 3.0 nats per token. What is the perplexity?",
        (
            ("8", "That is 2 to the power of 3: right for bits, and these are nats."),
            ("about 20", "It is e to the power of 3."),
            ("3", "That is the loss itself."),
        ),
        1,
        "Exercise 0.1 of this lesson: perplexity is e to the power of the loss.",
    ),
    Question(
        "W = U S V^T. What do the numbers in S say?",
        (
            (
                "How much W stretches along each of its directions",
                "A row of V^T is a direction of the input, the column of U where it goes.",
            ),
            (
                "The eigenvalues of W",
                "Only for a symmetric W without negative ones are they the same.",
            ),
            ("The row sums of W", "A sum depends on signs and order of columns; S does not."),
        ),
        0,
        "Any linear algebra text on the singular value decomposition; lesson 01 draws it.",
    ),
    Question(
        "Why does Adam keep two numbers for each trained weight?",
        (
            (
                "A copy of the weight and its gradient",
                "The gradient is there anyway; no copy is kept.",
            ),
            (
                "Running means of the gradient and of its square",
                "A step is the first divided by the root of the second.",
            ),
            ("The lowest and highest value seen", "No extreme is kept."),
        ),
        1,
        "Kingma and Ba, Adam, algorithm 1. They are why training needs memory beside the weights.",
    ),
    Question(
        "bfloat16 has 8 bits of precision. What is 1 + 0.001 in it?",
        (
            ("1.001", "Float32 has that; here the next number after 1 is 1.0078."),
            ("1", "The next number is 1/128 away, so 0.001 is rounded off."),
            ("0", "Small numbers exist in bfloat16; it is their sum with 1 that is rounded."),
        ),
        1,
        "PyTorch documentation: torch.finfo(torch.bfloat16). Lesson 09 meets this when it merges.",
    ),
]

WHY = {
    "share": "q and v at rank 8 add 8 (in + out) numbers each, few beside a width of 256. The "
    "share falls as the width grows, so a large model trains less of itself.",
}

CARDS = [
    Card(
        "Name the steps of a LoRA fine-tune in order.",
        "Base model, LoraConfig, injection, training of what requires a gradient, saving or "
        "merging the adapter.",
    ),
    Card(
        "Does LoRA always train less than 1 % of the weights?",
        "No. It depends on the width and the targets: q and v at r = 8 are 0.78 % of the course's "
        "decoder, all linear layers about 4 %.",
    ),
    Card(
        "Two configs differ by less than two seeds of the same config do. What have you learnt?",
        "Nothing about the configs. The difference is below the noise floor.",
    ),
    Card(
        "Five runs have the standard deviation s. How far may two single runs be apart?",
        "t times the root of 2 times s: about three times the half-width of the mean's interval.",
    ),
    Card(
        "Five runs: which factor replaces 1.96 in the 95 % interval?",
        "2.776, Student's t for four degrees of freedom.",
    ),
]
