"""Wrong answers to lesson 00, written without a look at what its checks draw."""
# ruff: noqa: E501

from . import WrongAnswer

FRESH = {
    "perplexity": [
        WrongAnswer(
            "fresh: weights by last two swapped",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a * b for a, b in zip(l, k[::-1]))) / sum(k))
""",
            "",
        ),
        WrongAnswer(
            "fresh: zip drops first",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a * b for a, b in zip(l[1:], k[1:]))) / sum(k[1:]))
""",
            "The first batch is missing: take all of them.",
        ),
        WrongAnswer(
            "fresh: all equal but last",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    n = k[0]
    return math.exp((sum(l[:-1]) * n + l[-1] * k[-1]) / (n * (len(k) - 1) + k[-1]))
""",
            "",
        ),
        WrongAnswer(
            "fresh: int",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return int(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)))
""",
            "",
        ),
        WrongAnswer(
            "fresh: round 3",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return round(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)), 3)
""",
            "It is rounded to",
        ),
        WrongAnswer(
            "fresh: log",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.log(sum((a * b for a, b in zip(l, k))) / sum(k))
""",
            "The logarithm was taken. Perplexity is e to the power of",
        ),
        WrongAnswer(
            "fresh: expm1",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.expm1(sum((a * b for a, b in zip(l, k))) / sum(k))
""",
            "This is one less than the perplexity: math.exp, not",
        ),
        WrongAnswer(
            "fresh: mutates pop",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    s = 0
    t = 0
    while l:
        a = l.pop()
        b = k.pop()
        s += a * b
        t += b
    return math.exp(s / t)
""",
            "Your code changes the list `batch_losses` itself, which it",
        ),
        WrongAnswer(
            "fresh: square weights",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a * b * b for a, b in zip(l, k))) / sum((b * b for b in k)))
""",
            "The tokens are squared: multiply each loss by them once.",
        ),
        WrongAnswer(
            "fresh: sqrt",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.sqrt(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)))
""",
            "The square root is too much: perplexity is e to the mean",
        ),
        WrongAnswer(
            "fresh: geomean",
            """
import statistics

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return statistics.geometric_mean([math.exp(a) for a in l])
""",
            "This is a mean over batches: weight each batch by its",
        ),
        WrongAnswer(
            "fresh: harmonic",
            """
import statistics

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return statistics.harmonic_mean([math.exp(a) for a in l], weights=k)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: max",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(max(l))
""",
            "This is the last batch alone. Take all of them.",
        ),
        WrongAnswer(
            "fresh: weighted by 1/n",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a / b for a, b in zip(l, k))) / sum((1 / b for b in k)))
""",
            "The longer batch must count more: multiply by its tokens,",
        ),
        WrongAnswer(
            "fresh: divides by max",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a * b for a, b in zip(l, k))) / (max(k) * len(k)))
""",
            "Every batch was taken to be as long as the first. Use the",
        ),
        WrongAnswer(
            "fresh: list",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return [math.exp(a) for a in l]
""",
            "Return a number; got list.",
        ),
        WrongAnswer(
            "fresh: string",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return str(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)))
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: float16",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return torch.tensor(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k))).half().item()
""",
            "",
        ),
        WrongAnswer(
            "fresh: returns in loop",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    s = t = 0
    for a, b in zip(l, k):
        s += a * b
        t += b
        return math.exp(s / t)
""",
            "This is the first batch alone. Is the `return` inside the",
        ),
        WrongAnswer(
            "fresh: plus one",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return math.exp(sum((a * b for a, b in zip(l, k))) / (sum(k) + 1))
""",
            "is right, and it gives",
        ),
        WrongAnswer(
            "fresh: filters short batches",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    z = [(a, b) for a, b in zip(l, k) if b >= 10]
    return math.exp(sum((a * b for a, b in z)) / sum((b for _, b in z)))
""",
            "",
        ),
        WrongAnswer(
            "fresh: skips zero loss",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    z = [(a, b) for a, b in zip(l, k) if a]
    return math.exp(sum((a * b for a, b in z)) / sum((b for _, b in z)))
""",
            "counts like any other, and a batch of one token too: divide by the sum of the tokens",
        ),
        WrongAnswer(
            "fresh: none",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    print(math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)))
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: clipped",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return min(1000, math.exp(sum((a * b for a, b in zip(l, k))) / sum(k)))
""",
            "Expected",
        ),
    ],
    "trainable_share": [
        WrongAnswer(
            "fresh: linears only",
            """
from torch import nn

def trainable_share(model):
    a = t = 0
    for m in model.modules():
        if isinstance(m, nn.Linear):
            for q in m.parameters():
                a += q.numel()
                t += q.numel() * q.requires_grad
    return t / a
""",
            "Only nn.Linear layers were counted. Other layers hold",
        ),
        WrongAnswer(
            "fresh: 2-d only",
            """
def trainable_share(model):
    ps = [q for q in model.parameters() if q.dim() == 2]
    return sum((q.shape[0] * q.shape[1] for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            "Only matrices were counted: biases and convolutions hold",
        ),
        WrongAnswer(
            "fresh: children",
            """
def trainable_share(model):
    ps = [q for c in model.children() for q in c.parameters(recurse=False)]
    return sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: modules recount",
            """
def trainable_share(model):
    a = t = 0
    for m in model.modules():
        for q in m.parameters():
            a += q.numel()
            t += q.numel() * q.requires_grad
    return t / a
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: per module no dedup",
            """
def trainable_share(model):
    a = t = 0
    for m in model.modules():
        for q in m.parameters(recurse=False):
            a += q.numel()
            t += q.numel() * q.requires_grad
    return t / a
""",
            "A tensor that is used twice was counted twice.",
        ),
        WrongAnswer(
            "fresh: buffers in",
            """
def trainable_share(model):
    a = sum((q.numel() for q in model.parameters())) + sum((b.numel() for b in model.buffers()))
    return sum((q.numel() for q in model.parameters() if q.requires_grad)) / a
""",
            "Buffers were counted. They are no weights: take",
        ),
        WrongAnswer(
            "fresh: sum of values",
            """
def trainable_share(model):
    return sum((q.sum() for q in model.parameters() if q.requires_grad)) / sum((q.sum() for q in model.parameters()))
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: bytes mixed",
            """
def trainable_share(model):
    return sum((q.numel() * q.element_size() for q in model.parameters() if q.requires_grad)) / sum((q.numel() for q in model.parameters()))
""",
            "The result is 4 times what is expected, of a model with",
        ),
        WrongAnswer(
            "fresh: modules that train",
            """
def trainable_share(model):
    ms = list(model.modules())
    return sum((any((q.requires_grad for q in m.parameters())) for m in ms)) / len(ms)
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: train mode",
            """
def trainable_share(model):
    return sum((q.numel() for m in model.modules() if m.training for q in m.parameters(recurse=False))) / sum((q.numel() for q in model.parameters()))
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: first dim of shape sum",
            """
def trainable_share(model):
    return sum((sum(q.shape) for q in model.parameters() if q.requires_grad)) / sum((sum(q.shape) for q in model.parameters()))
""",
            "Sides were added, not multiplied: p.numel() is the product",
        ),
        WrongAnswer(
            "fresh: tuple",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return (sum((q.numel() for q in ps if q.requires_grad)), sum((q.numel() for q in ps)))
""",
            "Return a number; got tuple.",
        ),
        WrongAnswer(
            "fresh: freezes first",
            """
def trainable_share(model):
    for q in model.parameters():
        q.requires_grad_(False)
    ps = list(model.parameters())
    return sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            "Nothing was found to train. Ask p.requires_grad of each of",
        ),
        WrongAnswer(
            "fresh: 1 - ",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return 1 - sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            "This is the share that is frozen.",
        ),
        WrongAnswer(
            "fresh: weights and biases of modules",
            """
def trainable_share(model):
    a = t = 0
    for m in model.modules():
        w = getattr(m, 'weight', None)
        if w is not None:
            a += w.numel()
            t += w.numel() * w.requires_grad
    return t / a
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: set of shapes",
            """
def trainable_share(model):
    ps = {tuple(q.shape): q for q in model.parameters()}.values()
    return sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            "Expected 0.",
        ),
        WrongAnswer(
            "fresh: int div",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return sum((q.numel() for q in ps if q.requires_grad)) // sum((q.numel() for q in ps))
""",
            "Nothing was found to train. Ask p.requires_grad of each of",
        ),
        WrongAnswer(
            "fresh: is_leaf",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return sum((q.numel() for q in ps if q.is_leaf)) / sum((q.numel() for q in ps))
""",
            "This is right only where everything trains: ask",
        ),
        WrongAnswer(
            "fresh: round 4",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return round(sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps)), 4)
""",
            "It is rounded to 4 decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: not biases total",
            """
def trainable_share(model):
    n = list(model.named_parameters())
    return sum((q.numel() for _, q in n if q.requires_grad)) / sum((q.numel() for k, q in n if 'bias' not in k))
""",
            "Biases are in one of the two counts and not in the other.",
        ),
        WrongAnswer(
            "fresh: eval left",
            """
def trainable_share(model):
    model.eval()
    ps = list(model.parameters())
    return sum((q.numel() for q in ps if q.requires_grad)) / sum((q.numel() for q in ps))
""",
            " is left in eval mode, and it was in train mode.",
        ),
    ],
    "adapter_bytes": [
        WrongAnswer(
            "fresh: r in one only",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * o + i for o, i in shapes)) * bytes_per_number
""",
            "The rank multiplies both sides: r * (out + in), not r * out",
        ),
        WrongAnswer(
            "fresh: in twice",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (i + i) for o, i in shapes)) * bytes_per_number
""",
            "Every layer was taken as a square. B has `out` rows, A has",
        ),
        WrongAnswer(
            "fresh: header",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (o + i) for o, i in shapes)) * bytes_per_number + 8
""",
            "Eight bytes of a header were added. Return the bytes of the",
        ),
        WrongAnswer(
            "fresh: int32",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return int((torch.tensor(shapes, dtype=torch.int32).sum(dtype=torch.int32) * r * bytes_per_number).int())
""",
            "It ran past 32 bits: Python's own ints, or torch.int64,",
        ),
        WrongAnswer(
            "fresh: mean layer",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (o + i) for o, i in shapes)) / len(shapes) * bytes_per_number
""",
            "The rank is missing: A has r rows, B has r columns",
        ),
        WrongAnswer(
            "fresh: mutates",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    t = 0
    while shapes:
        o, i = shapes.pop()
        t += r * (o + i)
    return t * bytes_per_number
""",
            "Your code changes the list `shapes` itself, which it was",
        ),
        WrongAnswer(
            "fresh: rank capped",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((min(r, o, i) * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "r may be above a side: it is not cut there.",
        ),
        WrongAnswer(
            "fresh: max",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return max((r * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "",
        ),
        WrongAnswer(
            "fresh: overwrites",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    for o, i in shapes:
        t = r * (o + i)
    return t * bytes_per_number
""",
            "This is the last layer alone: add to the sum in each turn",
        ),
        WrongAnswer(
            "fresh: first times n",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    o, i = shapes[0]
    return len(shapes) * r * (o + i) * bytes_per_number
""",
            "Every layer was taken to have the first one's shape.",
        ),
        WrongAnswer(
            "fresh: none",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    t = sum((r * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: str",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return f'{sum((r * (o + i) for o, i in shapes)) * bytes_per_number} bytes'
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: no default",
            """
def adapter_bytes(shapes, r, bytes_per_number):
    return sum((r * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "adapter_bytes is called with shapes, r, bytes_per_number:",
        ),
        WrongAnswer(
            "fresh: list per layer",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return [r * (o + i) * bytes_per_number for o, i in shapes]
""",
            "Return a number; got list.",
        ),
        WrongAnswer(
            "fresh: bytes squared",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * bytes_per_number * o + r * bytes_per_number * i for o, i in shapes)) * bytes_per_number
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: drops last",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (o + i) for o, i in shapes[:-1])) * bytes_per_number
""",
            "The last layer is missing",
        ),
        WrongAnswer(
            "fresh: MB rounding",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return round(sum((r * (o + i) for o, i in shapes)) * bytes_per_number / 1000000.0, 2)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: W plus",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((o * i + r * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "The frozen W was counted too. It is not in the adapter's",
        ),
        WrongAnswer(
            "fresh: rank of half",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (o + i) // 2 for o, i in shapes)) * bytes_per_number
""",
            "The result is 1/2 of what is expected, for [(",
        ),
        WrongAnswer(
            "fresh: 8 bits default",
            """
def adapter_bytes(shapes, r, bytes_per_number=1):
    return sum((r * (o + i) for o, i in shapes)) * bytes_per_number
""",
            "Without bytes_per_number a number takes 4 bytes: keep the",
        ),
        WrongAnswer(
            "fresh: alpha",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * (o + i) + 1 for o, i in shapes)) * bytes_per_number
""",
            "One number more was counted for each layer. A and B are all there is",
        ),
        WrongAnswer(
            "fresh: precedence",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((r * o + i * bytes_per_number for o, i in shapes))
""",
            "The bytes multiply the whole sum, not one term of it.",
        ),
    ],
    "interval": [
        WrongAnswer(
            "fresh: scipy-like table",
            """
import statistics

def interval(values, t):
    T = {5: 2.776, 4: 3.182, 3: 4.303, 2: 12.706, 6: 2.571, 7: 2.447}
    n = len(values)
    h = T[n] * statistics.stdev(values) / n ** 0.5
    m = statistics.mean(values)
    return (m - h, m + h)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: median centre",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    c = statistics.median(values)
    return (c - h, c + h)
""",
            "It lies around the middle value. Take the mean.",
        ),
        WrongAnswer(
            "fresh: pstdev",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.pstdev(values) / n ** 0.5
    return (m - h, m + h)
""",
            "The deviation was divided by n. A sample's is divided by n",
        ),
        WrongAnswer(
            "fresh: np std",
            """
import numpy as np

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * np.std(values) / n ** 0.5
    return (m - h, m + h)
""",
            "The deviation was divided by n. A sample's is divided by n",
        ),
        WrongAnswer(
            "fresh: n-1 root",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / (n - 1) ** 0.5
    return (m - h, m + h)
""",
            "The root is of n, not of n - 1; that belongs to the sample",
        ),
        WrongAnswer(
            "fresh: round",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (round(m - h, 2), round(m + h, 2))
""",
            "It is rounded to 2 decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: abs",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (abs(m - h), abs(m + h))
""",
            "",
        ),
        WrongAnswer(
            "fresh: clamped at 0",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (max(0, m - h), m + h)
""",
            "",
        ),
        WrongAnswer(
            "fresh: half only",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    return t * statistics.stdev(values) / n ** 0.5
""",
            "Return two numbers, (low, high).",
        ),
        WrongAnswer(
            "fresh: one-sided",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (m, m + h)
""",
            "These are the mean and the high end: return mean - half,",
        ),
        WrongAnswer(
            "fresh: dict",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return {'low': m - h, 'high': m + h}
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: mean error",
            """
def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * sum((abs(v - m) for v in values)) / n / n ** 0.5
    return (m - h, m + h)
""",
            "The deviations were not squared. s is the root of the mean",
        ),
        WrongAnswer(
            "fresh: t squared",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * t * statistics.stdev(values) / n ** 0.5
    return (m - h, m + h)
""",
            "t is in it twice.",
        ),
        WrongAnswer(
            "fresh: iqr",
            """
def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * (max(values) - min(values)) / 4 / n ** 0.5
    return (m - h, m + h)
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: mean off",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / (n - 1)
    h = t * statistics.stdev(values) / n ** 0.5
    return (m - h, m + h)
""",
            "The mean was divided by n - 1. That belongs to the sample",
        ),
        WrongAnswer(
            "fresh: raises on equal",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    s = statistics.stdev(values)
    if not s:
        raise ValueError
    h = t * s / n ** 0.5
    return (m - h, m + h)
""",
            "Your code raised ValueError.",
        ),
        WrongAnswer(
            "fresh: three",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (m - h, m, m + h)
""",
            "Return two numbers, (low, high).",
        ),
        WrongAnswer(
            "fresh: trim",
            """
import statistics

def interval(values, t):
    v = sorted(values)[1:-1] or values
    n = len(values)
    m = sum(v) / len(v)
    h = t * statistics.stdev(values) / n ** 0.5
    return (m - h, m + h)
""",
            "",
        ),
        WrongAnswer(
            "fresh: string",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (f'{m - h}', f'{m + h}')
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: 1.96 when big",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = (t if n < 5 else 1.96) * statistics.stdev(values) / n ** 0.5
    return (m - h, m + h)
""",
            "1.96 belongs to large samples. Few runs need t, which you",
        ),
        WrongAnswer(
            "fresh: square missing",
            """
def interval(values, t):
    n = len(values)
    m = sum(values) / n
    s = abs(sum((v - m for v in values))) ** 0.5 / (n - 1) ** 0.5
    h = t * s / n ** 0.5
    return (m - h, m + h)
""",
            "e",
        ),
        WrongAnswer(
            "fresh: generator",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / n ** 0.5
    return (x for x in (m - h, m + h))
""",
            "It returns a generator, which can be read only once: a",
        ),
    ],
}
