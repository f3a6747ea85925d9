"""Right answers of other forms to lesson 00, written without a look at what its checks draw."""
# ruff: noqa: E501

from . import RightAnswer

FRESH = {
    "perplexity": [
        RightAnswer(
            "fresh: torch",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    l = torch.tensor(l, dtype=torch.float64)
    k = torch.tensor(k)
    return torch.exp((l * k).sum() / k.sum())
""",
        ),
        RightAnswer(
            "fresh: float32",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    l = torch.tensor(l)
    k = torch.tensor(k)
    return torch.exp((l * k).sum() / k.sum()).item()
""",
        ),
        RightAnswer(
            "fresh: np average",
            """
import numpy as np

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return np.exp(np.average(l, weights=k))
""",
        ),
        RightAnswer(
            "fresh: product of powers",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    n = sum(k)
    return math.prod((math.exp(a) ** (b / n) for a, b in zip(l, k)))
""",
        ),
        RightAnswer(
            "fresh: loop",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    s = t = 0
    for j in range(len(l)):
        s += l[j] * k[j]
        t += k[j]
    return math.e ** (s / t)
""",
        ),
        RightAnswer(
            "fresh: running mean",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    m = 0
    t = 0
    for a, b in zip(l, k):
        t += b
        m += (a - m) * b / t
    return math.exp(m)
""",
        ),
        RightAnswer(
            "fresh: dot",
            """
import numpy as np

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return float(np.exp(np.dot(l, k) / np.sum(k)))
""",
        ),
        RightAnswer(
            "fresh: prints",
            """
def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    print(l, k)
    return math.exp(sum(map(lambda z: z[0] * z[1], zip(l, k))) / sum(k))
""",
        ),
        RightAnswer(
            "fresh: fsum array0d",
            """
import numpy as np

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return np.array(math.exp(math.fsum((a * b for a, b in zip(l, k))) / sum(k)))
""",
        ),
        RightAnswer(
            "fresh: geomean w",
            """
import statistics

def perplexity(batch_losses, batch_tokens):
    l, k = (batch_losses, batch_tokens)
    return statistics.geometric_mean([math.exp(a) for a, b in zip(l, k) for _ in range(b)])
""",
        ),
    ],
    "trainable_share": [
        RightAnswer(
            "fresh: named",
            """
def trainable_share(model):
    n = dict(model.named_parameters())
    return sum((q.numel() for q in n.values() if q.requires_grad)) / sum((q.numel() for q in n.values()))
""",
        ),
        RightAnswer(
            "fresh: prod",
            """
def trainable_share(model):
    ps = list(model.parameters())
    f = lambda q: math.prod(q.shape)
    return sum(map(f, filter(lambda q: q.requires_grad, ps))) / sum(map(f, ps))
""",
        ),
        RightAnswer(
            "fresh: data_ptr",
            """
def trainable_share(model):
    d = {q.data_ptr(): q for q in model.parameters()}.values()
    return sum((q.nelement() for q in d if q.requires_grad)) / sum((q.nelement() for q in d))
""",
        ),
        RightAnswer(
            "fresh: id dedupe",
            """
def trainable_share(model):
    d = {id(q): q for _, q in model.named_parameters(remove_duplicate=False)}.values()
    return sum((q.numel() * q.requires_grad for q in d)) / sum((q.numel() for q in d))
""",
        ),
        RightAnswer(
            "fresh: loop",
            """
def trainable_share(model):
    a = b = 0
    for q in model.parameters():
        b += q.numel()
        if q.requires_grad:
            a += q.numel()
    return a / b
""",
        ),
        RightAnswer(
            "fresh: np",
            """
import numpy as np

def trainable_share(model):
    ps = list(model.parameters())
    n = np.array([q.numel() for q in ps])
    g = np.array([q.requires_grad for q in ps])
    return (n * g).sum() / n.sum()
""",
        ),
        RightAnswer(
            "fresh: Fraction",
            """
from fractions import Fraction

def trainable_share(model):
    ps = list(model.parameters())
    return Fraction(sum((q.numel() for q in ps if q.requires_grad)), sum((q.numel() for q in ps)))
""",
        ),
        RightAnswer(
            "fresh: statistics",
            """
import statistics

def trainable_share(model):
    ps = list(model.parameters())
    return statistics.fmean([q.requires_grad for q in ps], [q.numel() for q in ps])
""",
        ),
        RightAnswer(
            "fresh: flatten len",
            """
def trainable_share(model):
    ps = list(model.parameters())
    return sum((len(q.flatten()) for q in ps if q.requires_grad)) / sum((len(q.reshape(-1)) for q in ps))
""",
        ),
        RightAnswer(
            "fresh: frozen complement",
            """
def trainable_share(model):
    ps = list(model.parameters())
    f = sum((q.numel() for q in ps if not q.requires_grad))
    n = sum((q.numel() for q in ps))
    return (n - f) / n
""",
        ),
    ],
    "adapter_bytes": [
        RightAnswer(
            "fresh: float",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return float(sum((r * (o + i) for o, i in shapes)) * bytes_per_number)
""",
        ),
        RightAnswer(
            "fresh: zip",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    o, i = zip(*shapes)
    return r * (sum(o) + sum(i)) * bytes_per_number
""",
        ),
        RightAnswer(
            "fresh: meta tensors",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((torch.empty(r, i, device='meta').numel() + torch.empty(o, r, device='meta').numel() for o, i in shapes)) * bytes_per_number
""",
        ),
        RightAnswer(
            "fresh: np",
            """
import numpy as np

def adapter_bytes(shapes, r, bytes_per_number=4):
    return (np.array(shapes) * r * bytes_per_number).sum()
""",
        ),
        RightAnswer(
            "fresh: index",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    t = 0
    for s in shapes:
        t += s[0] * r * bytes_per_number + s[1] * r * bytes_per_number
    return t
""",
        ),
        RightAnswer(
            "fresh: reduce",
            """
import functools

def adapter_bytes(shapes, r, bytes_per_number=4):
    return functools.reduce(lambda a, s: a + r * sum(s) * bytes_per_number, shapes, 0)
""",
        ),
        RightAnswer(
            "fresh: Counter",
            """
import collections

def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum((c * r * (o + i) for (o, i), c in collections.Counter(shapes).items())) * bytes_per_number
""",
        ),
        RightAnswer(
            "fresh: tensor item",
            """
def adapter_bytes(shapes, r, bytes_per_number=4):
    return (torch.tensor(shapes).sum() * r * bytes_per_number).item()
""",
        ),
        RightAnswer(
            "fresh: other names",
            """
def adapter_bytes(layers, rank, size=4):
    return sum((rank * (o + i) for o, i in layers)) * size
""",
        ),
        RightAnswer(
            "fresh: chain",
            """
import itertools

def adapter_bytes(shapes, r, bytes_per_number=4):
    return sum(itertools.chain.from_iterable(shapes)) * r * bytes_per_number
""",
        ),
    ],
    "interval": [
        RightAnswer(
            "fresh: stats",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / math.sqrt(n)
    return (m - h, m + h)
""",
        ),
        RightAnswer(
            "fresh: list",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / math.sqrt(n)
    return [m - h, m + h]
""",
        ),
        RightAnswer(
            "fresh: tensor",
            """
def interval(values, t):
    v = torch.tensor(values, dtype=torch.float64)
    h = t * v.std() / len(v) ** 0.5
    return v.mean() + torch.tensor([-1.0, 1.0]) * h
""",
        ),
        RightAnswer(
            "fresh: variance",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * (statistics.variance(values) / n) ** 0.5
    return (m - h, m + h)
""",
        ),
        RightAnswer(
            "fresh: np sem",
            """
import numpy as np

def interval(values, t):
    v = np.array(values)
    h = t * v.std(ddof=1) / np.sqrt(v.size)
    return (v.mean() - h, v.mean() + h)
""",
        ),
        RightAnswer(
            "fresh: tuple gen",
            """
import statistics

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    h = t * statistics.stdev(values) / math.sqrt(n)
    return tuple((m + x * h for x in (-1, 1)))
""",
        ),
        RightAnswer(
            "fresh: shortcut",
            """
def interval(values, t):
    n = len(values)
    m = sum(values) / n
    s = math.sqrt(max(0, (sum((v * v for v in values)) - n * m * m) / (n - 1)))
    h = t * s / n ** 0.5
    return (m - h, m + h)
""",
        ),
        RightAnswer(
            "fresh: pairwise",
            """
import itertools

def interval(values, t):
    n = len(values)
    m = sum(values) / n
    s2 = sum(((a - b) ** 2 for a, b in itertools.combinations(values, 2))) / (n * (n - 1))
    h = t * (s2 / n) ** 0.5
    return (m - h, m + h)
""",
        ),
        RightAnswer(
            "fresh: torch var",
            """
def interval(values, t):
    v = torch.tensor(values).double()
    h = t * (v.var() / v.numel()).sqrt()
    return ((v.mean() - h).item(), (v.mean() + h).item())
""",
        ),
        RightAnswer(
            "fresh: tensor correction",
            """
def interval(values, t):
    v = torch.tensor(values)
    s, m = torch.std_mean(v, correction=1)
    h = t * s / math.sqrt(len(values))
    return (float(m - h), float(m + h))
""",
        ),
    ],
}
