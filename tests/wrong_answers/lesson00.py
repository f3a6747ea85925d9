"""Wrong answers that learners really give in lesson 00, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .fresh00 import FRESH

WRONG = {
    "perplexity": [
        WrongAnswer(
            "mean of the batches' perplexities",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    return sum(math.exp(l) for l in batch_losses) / len(batch_losses)\n",
            "perplexities were averaged",
        ),
        WrongAnswer(
            "mean over batches",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    return math.exp(sum(batch_losses) / len(batch_losses))\n",
            "over batches",
        ),
        WrongAnswer(
            "adds the means",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    return math.exp(sum(batch_losses) / sum(batch_tokens))\n",
            "multiply it by its tokens",
        ),
        WrongAnswer(
            "base two",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    total = sum(l * n for l, n in zip(batch_losses, batch_tokens))\n"
            "    return 2 ** (total / sum(batch_tokens))\n",
            "nats",
        ),
        WrongAnswer(
            "the loss, not the perplexity",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    total = sum(l * n for l, n in zip(batch_losses, batch_tokens))\n"
            "    return total / sum(batch_tokens)\n",
            "exponential",
        ),
        WrongAnswer(
            "weighted mean of perplexities",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    total = sum(math.exp(l) * n for l, n in zip(batch_losses, batch_tokens))\n"
            "    return total / sum(batch_tokens)\n",
            "perplexities were averaged",
        ),
        WrongAnswer(
            "divides by the number of batches",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    total = sum(l * n for l, n in zip(batch_losses, batch_tokens))\n"
            "    return math.exp(total / len(batch_losses))\n",
            "divide the sum by the number of all tokens",
        ),
        WrongAnswer(
            "divides by nothing, in tensors",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    return (torch.tensor(batch_losses) @ torch.tensor(batch_tokens).float()).exp()\n",
            "divide the sum by the number of all tokens",
        ),
        WrongAnswer(
            "a minus in the exponent",
            "def perplexity(batch_losses, batch_tokens):\n"
            "    total = sum(l * n for l, n in zip(batch_losses, batch_tokens))\n"
            "    return math.exp(-total / sum(batch_tokens))\n",
            "without a minus",
        ),
    ],
    "trainable_share": [
        WrongAnswer(
            "over the frozen ones only",
            "def trainable_share(model):\n"
            "    t = sum(p.numel() for p in model.parameters() if p.requires_grad)\n"
            "    f = sum(p.numel() for p in model.parameters() if not p.requires_grad)\n"
            "    return t / f\n",
            "frozen",
        ),
        WrongAnswer(
            "goes by the names",
            "def trainable_share(model):\n"
            "    t = sum(p.numel() for n, p in model.named_parameters() if 'lora_' in n)\n"
            "    return t / sum(p.numel() for p in model.parameters())\n",
            "A name does not tell",
        ),
        WrongAnswer(
            "counts tensors",
            "def trainable_share(model):\n"
            "    ps = list(model.parameters())\n"
            "    return sum(p.requires_grad for p in ps) / len(ps)\n",
            "tensors",
        ),
        WrongAnswer(
            "counts a shared tensor twice",
            "def trainable_share(model):\n"
            "    ps = [p for _, p in model.named_parameters(remove_duplicate=False)]\n"
            "    t = sum(p.numel() for p in ps if p.requires_grad)\n"
            "    return t / sum(p.numel() for p in ps)\n",
            "twice",
        ),
        WrongAnswer(
            "a percentage",
            "def trainable_share(model):\n"
            "    ps = list(model.parameters())\n"
            "    t = sum(p.numel() for p in ps if p.requires_grad)\n"
            "    return 100 * t / sum(p.numel() for p in ps)\n",
            "percent",
        ),
        WrongAnswer(
            "counts rows",
            "def trainable_share(model):\n"
            "    ps = list(model.parameters())\n"
            "    return sum(len(p) for p in ps if p.requires_grad) / sum(len(p) for p in ps)\n",
            "rows",
        ),
        WrongAnswer(
            "a count",
            "def trainable_share(model):\n"
            "    return sum(p.numel() for p in model.parameters() if p.requires_grad)\n",
            "This is a count",
        ),
    ],
    "adapter_bytes": [
        WrongAnswer(
            "every layer as a square",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(2 * r * in_ for out, in_ in shapes) * bytes_per_number\n",
            "square",
        ),
        WrongAnswer(
            "always two bytes",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(r * (out + in_) for out, in_ in shapes) * 2\n",
            "bytes_per_number",
        ),
        WrongAnswer(
            "counts W",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    n = sum(out * in_ + r * (out + in_) for out, in_ in shapes)\n"
            "    return n * bytes_per_number\n",
            "frozen",
        ),
        WrongAnswer(
            "numbers, not bytes",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(r * (out + in_) for out, in_ in shapes)\n",
            "numbers, not bytes",
        ),
        WrongAnswer(
            "the product of the sides",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(r * out * in_ for out, in_ in shapes) * bytes_per_number\n",
            "product",
        ),
        WrongAnswer(
            "returns inside the loop",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    for out, in_ in shapes:\n"
            "        return r * (out + in_) * bytes_per_number\n",
            "inside the loop",
        ),
        WrongAnswer(
            "each shape once",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(r * (out + in_) for out, in_ in set(shapes)) * bytes_per_number\n",
            "counted as one",
        ),
        WrongAnswer(
            "no rank",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(out + in_ for out, in_ in shapes) * bytes_per_number\n",
            "rank is missing",
        ),
        WrongAnswer(
            "W in place of A and B",
            "def adapter_bytes(shapes, r, bytes_per_number=4):\n"
            "    return sum(out * in_ for out, in_ in shapes) * bytes_per_number\n",
            "Only A and B",
        ),
    ],
    "interval": [
        WrongAnswer(
            "1.96",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5\n"
            "    return mean - 1.96 * s / n**0.5, mean + 1.96 * s / n**0.5\n",
            "1.96",
        ),
        WrongAnswer(
            "divides by n",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = (sum((v - mean) ** 2 for v in values) / n) ** 0.5\n"
            "    return mean - t * s / n**0.5, mean + t * s / n**0.5\n",
            "n - 1",
        ),
        WrongAnswer(
            "no square root of n",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5\n"
            "    return mean - t * s, mean + t * s\n",
            "root of n",
        ),
        WrongAnswer(
            "t of five runs for any number",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5\n"
            "    return mean - 2.776 * s / n**0.5, mean + 2.776 * s / n**0.5\n",
            "five runs alone",
        ),
        WrongAnswer(
            "high before low",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = (sum((v - mean) ** 2 for v in values) / (n - 1)) ** 0.5\n"
            "    return mean + t * s / n**0.5, mean - t * s / n**0.5\n",
            "wrong way round",
        ),
        WrongAnswer(
            "smallest and largest value",
            "def interval(values, t):\n    return min(values), max(values)\n",
            "smallest and the largest",
        ),
        WrongAnswer(
            "variance for the deviation",
            "def interval(values, t):\n"
            "    n, mean = len(values), sum(values) / len(values)\n"
            "    s = sum((v - mean) ** 2 for v in values) / (n - 1)\n"
            "    return mean - t * s / n**0.5, mean + t * s / n**0.5\n",
            "variance",
        ),
        WrongAnswer(
            "no t",
            "def interval(values, t):\n"
            "    v = torch.tensor(values, dtype=torch.float64)\n"
            "    half = v.std() / math.sqrt(len(v))\n"
            "    return v.mean() - half, v.mean() + half\n",
            "t is missing",
        ),
        WrongAnswer(
            "mean and half-width",
            "def interval(values, t):\n"
            "    v = torch.tensor(values, dtype=torch.float64)\n"
            "    return v.mean(), t * v.std() / math.sqrt(len(v))\n",
            "the mean and the half-width",
        ),
        WrongAnswer(
            "around zero",
            "def interval(values, t):\n"
            "    v = torch.tensor(values, dtype=torch.float64)\n"
            "    half = t * v.std() / math.sqrt(len(v))\n"
            "    return -half, half\n",
            "mean is missing",
        ),
    ],
}

# The numbers of self-study.
WRONG["my_adapter_bytes"] = wrong_numbers(
    "my_adapter_bytes",
    {
        "numbers, not bytes": ("15_965_312", "not bytes"),
        "one block": ("1_101_056", "one block"),
        "q_proj alone": ("20_831_744", "without v_proj"),
        "v_proj as wide as q_proj": ("41_663_488", "its own shape"),
        "the layers' own numbers": ("941_957_120", "Only A and B"),
        "another student's": ("9_876_480", "not the answer to your numbers"),
    },
)

for name, more in FRESH.items():
    WRONG.setdefault(name, []).extend(more)

WRONG = joined(WRONG, afresh("00"))
