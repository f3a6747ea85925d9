# ruff: noqa: E501
"""Wrong answers to lesson 04, written afresh without a look at its checks' draws."""

from . import WrongAnswer

FRESH = {
    "dropped_branch": [
        WrongAnswer(
            "fresh: at p too",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise > p) / (1 - p)) @ A.T @ B.T
""",
            "exactly",
        ),
        WrongAnswer(
            "fresh: divides by p kept",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise >= p) / (1 + p)) @ A.T @ B.T
""",
            "This divides by 1 + p. The share that is kept is 1 - p.",
        ),
        WrongAnswer(
            "fresh: mask on all features of a token",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = noise.mean(-1, keepdim=True) >= p
    return scaling * (x * m / (1 - p)) @ A.T @ B.T
""",
            "y th",
        ),
        WrongAnswer(
            "fresh: first feature's draw",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise[..., :1] >= p) / (1 - p)) @ A.T @ B.T
""",
            "Whole tokens are dropped here, by their first number. Each",
        ),
        WrongAnswer(
            "fresh: mask twice",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = noise >= p
    h = (x * m / (1 - p)) @ A.T
    return scaling * (h * (noise[..., :1] >= p)) @ B.T
""",
            "the",
        ),
        WrongAnswer(
            "fresh: adds x",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return x.sum() + scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T
""",
            "the entry that differs most), for x",
        ),
        WrongAnswer(
            "fresh: x in place",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    x *= (noise >= p) / (1 - p)
    return scaling * x @ A.T @ B.T
""",
            "Your code changes `x` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: noise in place",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    noise -= p
    return scaling * (x * (noise >= 0) / (1 - p)) @ A.T @ B.T
""",
            "Your code changes `noise` itself, which it was given. Make",
        ),
        WrongAnswer(
            "fresh: mean restored",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = (noise >= p).float()
    z = x * m
    return scaling * (z * x.abs().sum() / z.abs().sum()) @ A.T @ B.T
""",
            "The right elements are dropped, and the others are multiplied by",
        ),
        WrongAnswer(
            "fresh: sets to p",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    z = torch.where(noise < p, torch.full_like(x, p), x)
    return scaling * (z / (1 - p)) @ A.T @ B.T
""",
            "What is dropped becomes p here. It becomes 0.",
        ),
        WrongAnswer(
            "fresh: drop scaled noise",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * noise.clamp(min=p) / (1 - p)) @ A.T @ B.T
""",
            "The noise itself stands where the mask keeps. A mask is 0",
        ),
        WrongAnswer(
            "fresh: flattened",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    z = (x * (noise >= p) / (1 - p)).flatten(0, -2)
    return scaling * z @ A.T @ B.T
""",
            "The shape must be (2, 5, 23); got (10, 23).",
        ),
        WrongAnswer(
            "fresh: batch only",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    z = x * (noise >= p) / (1 - p)
    return scaling * torch.einsum('bti,ri,or->bto', z, A, B)
""",
            "Your code raised RuntimeError: einsum(): the number of",
        ),
        WrongAnswer(
            "fresh: scaling of the input",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return (x * (noise >= p) / (1 - p) * scaling ** 2) @ A.T @ B.T
""",
            "The scaling is there twice.",
        ),
        WrongAnswer(
            "fresh: int mask",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = (noise >= p).int() // (1 - p)
    return scaling * (x * m) @ A.T @ B.T
""",
            "What is kept must grow by 1 / (1 - p), so that the mean",
        ),
        WrongAnswer(
            "fresh: rounds",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = (noise - p).round().clamp(0, 1)
    return scaling * (x * m / (1 - p)) @ A.T @ B.T
""",
            "the entry that differs most), for x",
        ),
        WrongAnswer(
            "fresh: quantile",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = noise >= noise.flatten().quantile(p)
    return scaling * (x * m / (1 - p)) @ A.T @ B.T
""",
            "This drops a share p exactly, by a quantile. Compare the",
        ),
        WrongAnswer(
            "fresh: no mask at p = 0.5",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    if p == 0.5:
        return scaling * x @ A.T @ B.T
    return scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T
""",
            "Nothing is dropped here: this is the branch without a mask.",
        ),
        WrongAnswer(
            "fresh: zero at p = 0",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    if not p:
        return torch.zeros(*x.shape[:-1], len(B))
    return scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T
""",
            "The noise itself stands where the mask keeps. A mask is 0",
        ),
        WrongAnswer(
            "fresh: returns the mask",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return (noise >= p) / (1 - p)
""",
            "The shape must be (2, 5, 23); got (2, 5, 31).",
        ),
        WrongAnswer(
            "fresh: nn.Dropout",
            """
from torch import nn


def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * torch.nn.Dropout(p)(x) @ A.T @ B.T
""",
            "Two calls give two results: make the mask from `noise`, do",
        ),
        WrongAnswer(
            "fresh: float32 mask on a half",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return (scaling * (x.float() * (noise >= p) / (1 - p)) @ A.float().T @ B.float().T)
""",
            "x is in float64 and the result in torch.float32: that loses",
        ),
        WrongAnswer(
            "fresh: last mask row",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise.flatten(0, -2)[-1] >= p) / (1 - p)) @ A.T @ B.T
""",
            "All tokens lose what the last one loses. Each has its own",
        ),
        WrongAnswer(
            "fresh: p over 1 - p",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * (noise >= p) * p / (1 - p)) @ A.T @ B.T
""",
            "The right elements are dropped, and the others are multiplied by",
        ),
        WrongAnswer(
            "fresh: scaled noise twice",
            """
import torch.nn.functional as F


def dropped_branch(x, noise, A, B, scaling, p):
    z = F.dropout(x * (noise >= p), p)
    return scaling * z @ A.T @ B.T
""",
            "Two calls give two results: make the mask from `noise`, do",
        ),
        WrongAnswer(
            "fresh: rescales by kept per token",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    m = (noise >= p).float()
    return scaling * (x * m / m.mean(-1, keepdim=True).clamp(min=1e-3)) @ A.T @ B.T
""",
            "The right elements are dropped, and the others are multiplied by",
        ),
        WrongAnswer(
            "fresh: bool minus",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return scaling * (x * ~(noise > p) / (1 - p)) @ A.T @ B.T
""",
            "This keeps an element with probability p. p is the share",
        ),
        WrongAnswer(
            "fresh: base added",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    return x @ A.T @ B.T + scaling * (x * (noise >= p) / (1 - p)) @ A.T @ B.T
""",
            "the entry that differs most), for x",
        ),
        WrongAnswer(
            "fresh: A zero rows",
            """
def dropped_branch(x, noise, A, B, scaling, p):
    M = (noise.reshape(-1, x.shape[-1])[0] >= p) / (1 - p)
    return scaling * x @ (A * M).T @ B.T
""",
            "the entry that differs most), for x",
        ),
    ],
    "DropoutLora": [
        WrongAnswer(
            "fresh: mask of a batch's first",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        m = self.dropout(torch.ones_like(x[:1])) if x.dim() > 1 else self.dropout(torch.ones_like(x))
        z = x * m
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Rows of the batch share their mask. Each element of x has",
        ),
        WrongAnswer(
            "fresh: feature pairs",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        n = (x.shape[-1] + 1) // 2
        m = self.dropout(torch.ones(*x.shape[:-1], n)).repeat_interleave(2, -1)[..., :x.shape[-1]]
        z = x * m
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Two features are always dropped together. Each element has",
        ),
        WrongAnswer(
            "fresh: exactly p of each row",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        if self.training:
            k = round(self.p * x.shape[-1])
            i = torch.rand_like(x).argsort(-1)
            z = x * (i >= k) / (1 - self.p)
        else:
            z = x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Each row loses the same number of features, or nearly so.",
        ),
        WrongAnswer(
            "fresh: ten masks in turn",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.n = 0

    def forward(self, x):
        self.n = (self.n + 1) % 3
        g = torch.Generator().manual_seed(self.n)
        z = x * (torch.rand(x.shape, generator=g) >= self.p) / (1 - self.p) if self.training else x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training two calls give the same output: draw a new mask",
        ),
        WrongAnswer(
            "fresh: seeds inside",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.n = 0

    def forward(self, x):
        self.n += 1
        torch.manual_seed(self.n)
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "It seeds PyTorch's random numbers anew for everybody. Only",
        ),
        WrongAnswer(
            "fresh: p of a half",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.dropout(x, training=self.training)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "What is kept is multiplied by",
        ),
        WrongAnswer(
            "fresh: p halved",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.dropout(x, self.p / 2, self.training)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "What is kept is multiplied by",
        ),
        WrongAnswer(
            "fresh: detach in training",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x.detach()) if self.training else x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the gradient with respect to x is not that of",
        ),
        WrongAnswer(
            "fresh: no_grad in training",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                z = self.dropout(x)
        else:
            z = x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the gradient with respect to x is not that of",
        ),
        WrongAnswer(
            "fresh: alpha dropout",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.alpha_dropout(x, self.p, self.training)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the branch is not B A (x * mask / (1 - p)) for",
        ),
        WrongAnswer(
            "fresh: feature dropout",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.feature_dropout(x, self.p, self.training) if x.dim() > 1 else self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Your code raised AttributeError: module",
        ),
        WrongAnswer(
            "fresh: mode of the start",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.mode = self.training

    def forward(self, x):
        z = F.dropout(x, self.p, self.mode)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In evaluation the output is still random: drop only while",
        ),
        WrongAnswer(
            "fresh: drops when evaluating",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.dropout(x, self.p, not self.training)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In evaluation the output is still random: drop only while",
        ),
        WrongAnswer(
            "fresh: scaling missing in training",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        s = 1 if self.training else self.scaling
        return self.linear(x) + s * z @ self.A.T @ self.B.T
""",
            "What is kept is multiplied by",
        ),
        WrongAnswer(
            "fresh: bias dropped",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return x @ self.linear.weight.T + self.scaling * z @ self.A.T @ self.B.T
""",
            "The base's bias is missing: call the linear layer itself.",
        ),
        WrongAnswer(
            "fresh: bias assumed",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return x @ self.linear.weight.T + self.linear.bias + self.scaling * z @ self.A.T @ self.B.T
""",
            "Your code raised TypeError: unsupported operand type(s) for",
        ),
        WrongAnswer(
            "fresh: base in doubt",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(z if self.training else x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "With B = 0 the output is not the base's: the mask reaches",
        ),
        WrongAnswer(
            "fresh: two masks",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(self.dropout(x))
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "What is kept is divided by 1 - p twice: nn.Dropout does it",
        ),
        WrongAnswer(
            "fresh: mask on W too",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return F.linear(x, self.dropout(self.linear.weight), self.linear.bias) + self.scaling * z @ self.A.T @ self.B.T
""",
            "With B = 0 the output is not the base's: the mask reaches",
        ),
        WrongAnswer(
            "fresh: three dimensions only",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        b, t, i = x.shape
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Your code raised ValueError: not enough values to unpack",
        ),
        WrongAnswer(
            "fresh: p = 0 is no training",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = x * (torch.rand_like(x) > self.p) / (self.p or 1) if self.training else x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "This divides by p, or keeps with probability p. p is the",
        ),
        WrongAnswer(
            "fresh: trains the base",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.linear.requires_grad_(True)

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "`linear.weight.requires_grad` is True after the call;",
        ),
        WrongAnswer(
            "fresh: merges in eval",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        if not self.training:
            self.linear.weight.data += self.scaling * self.B @ self.A
            return self.linear(x)
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In evaluation the output is still random: drop only while",
        ),
        WrongAnswer(
            "fresh: turns itself to eval",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        self.eval()
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training two calls give the same output: draw a new mask",
        ),
        WrongAnswer(
            "fresh: in place",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = F.dropout(x, self.p, self.training, inplace=True)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "Your code changes `x` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: Gaussian noise",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = x * (1 + torch.randn_like(x) * (self.p / (1 - self.p)) ** 0.5) if self.training else x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the branch is not B A (x * mask / (1 - p)) for",
        ),
        WrongAnswer(
            "fresh: train flag cached",
            """
import torch.nn.functional as F
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.flag = True

    def forward(self, x):
        z = F.dropout(x, self.p, self.flag)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In evaluation the output is still random: drop only while",
        ),
        WrongAnswer(
            "fresh: detached base",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x).detach() + self.scaling * z @ self.A.T @ self.B.T
""",
            "The gradient with respect to x is not that of W + s B A:",
        ),
        WrongAnswer(
            "fresh: eval scales",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x) if self.training else x * (1 - self.p)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In evaluation the branch is multiplied by 1 - p. With 1 /",
        ),
        WrongAnswer(
            "fresh: half of the batch",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = x.clone()
        if self.training and len(x) > 1:
            z[1:] = self.dropout(x[1:])
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the branch is not B A (x * mask / (1 - p)) for",
        ),
        WrongAnswer(
            "fresh: first features never",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = torch.cat([x[..., :1], self.dropout(x[..., 1:])], -1)
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "In training the branch is not B A (x * mask / (1 - p)) for",
        ),
        WrongAnswer(
            "fresh: scaling squared",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x) + self.scaling ** 2 * z @ self.A.T @ self.B.T
""",
            "The scaling is there twice.",
        ),
        WrongAnswer(
            "fresh: A and B copied rounded",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        pass

    def forward(self, x):
        z = self.dropout(x)
        return self.linear(x) + self.scaling * z @ self.A.half().float().T @ self.B.half().float().T
""",
            "Nearly right: was it rounded, computed in a lower",
        ),
        WrongAnswer(
            "fresh: counts calls",
            """
from torch import nn


class DropoutLora(nn.Module):
    def __init__(self, linear, A, B, scaling, p):
        super().__init__()
        self.linear, self.A, self.B, self.scaling, self.p = linear, A, B, scaling, p
        self.dropout = nn.Dropout(p)
        self.n = 0

    def forward(self, x):
        self.n += 1
        z = self.dropout(x) if self.n > 1 else x
        return self.linear(x) + self.scaling * z @ self.A.T @ self.B.T
""",
            "What is kept must grow by 1 / (1 - p) in training: that",
        ),
    ],
    "implied_penalty": [
        WrongAnswer(
            "fresh: negative",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return -f * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The penalty is never negative.",
        ),
        WrongAnswer(
            "fresh: max for sum",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * d.square().sum(0)).max()
""",
            "This takes the largest term. Add up over the features.",
        ),
        WrongAnswer(
            "fresh: abs",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.abs().mean(0) * d.square().sum(0)).sum()
""",
            "This takes the size of x_j where its square belongs.",
        ),
        WrongAnswer(
            "fresh: mean of columns",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * d.square().mean(0)).sum()
""",
            "This takes a mean where a sum belongs: add up each column,",
        ),
        WrongAnswer(
            "fresh: no square of X",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.mean(0) * d.square().sum(0)).sum()
""",
            "This takes the mean of x_j. The mean of its square is meant.",
        ),
        WrongAnswer(
            "fresh: first row",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X[0].square() * d.square().sum(0)).sum()
""",
            "This uses the first row of X alone. E is the mean over all.",
        ),
        WrongAnswer(
            "fresh: sum over all",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().sum(0) * d.square().sum(0)).sum() / X.numel()
""",
            "This takes a mean where a sum belongs: add up each column,",
        ),
        WrongAnswer(
            "fresh: std",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.std(0, correction=0).square() * d.square().sum(0)).sum()
""",
            "This takes the variance of x_j. The mean of its square is",
        ),
        WrongAnswer(
            "fresh: swapped weights is fine but plus",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * (W_tuned + W_base).square().sum(0)).sum()
""",
            "This adds the two weights. The update is W_tuned - W_base.",
        ),
        WrongAnswer(
            "fresh: p squared",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return p * p / (1 - p) * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor is p / (1 - p), without a square on p.",
        ),
        WrongAnswer(
            "fresh: odds of keeping",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return (1 - p) / max(p, 1e-9) * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor is upside down: p / (1 - p) grows with p.",
        ),
        WrongAnswer(
            "fresh: f squared",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * f * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor is p / (1 - p): it is not squared.",
        ),
        WrongAnswer(
            "fresh: root of f",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f ** 0.5 * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor is p / (1 - p), not its root.",
        ),
        WrongAnswer(
            "fresh: output norm",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X @ d.T).square().mean()
""",
            "This squares the output. The masks are independent: square",
        ),
        WrongAnswer(
            "fresh: output norm summed",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X @ d.T).square().sum(-1).mean()
""",
            "This squares the sum over the features. The masks are",
        ),
        WrongAnswer(
            "fresh: X in place",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    X.pow_(2)
    return f * (X.mean(0) * d.square().sum(0)).sum()
""",
            "Your code changes `X` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: W in place",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    W_tuned -= W_base
    return f * (X.square().mean(0) * W_tuned.square().sum(0)).sum()
""",
            "Your code changes `W_tuned` itself, which it was given.",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return round((f * (X.square().mean(0) * d.square().sum(0)).sum()).item(), 2)
""",
            "decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: ridge alone",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * d.square().sum()
""",
            "The inputs are left out: each column is weighted with the",
        ),
        WrongAnswer(
            "fresh: per output",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * d.square()).sum(1)
""",
            "Return one number: add up over the features. Got (17,).",
        ),
        WrongAnswer(
            "fresh: abs of the columns",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * d.abs().sum(0)).sum()
""",
            "The columns' entries must be squared, each by itself.",
        ),
        WrongAnswer(
            "fresh: column sum squared",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0) * d.sum(0).square()).sum()
""",
            "This squares the sum of a column. Square each entry, then",
        ),
        WrongAnswer(
            "fresh: 1/(1-p) - p",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return (1 / (1 - p) - p) * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor is 1 / (1 - p) - 1 = p / (1 - p), and not 1 / (1",
        ),
        WrongAnswer(
            "fresh: median",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().median(0).values * d.square().sum(0)).sum()
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: clip p",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return min(f, 1.0) * (X.square().mean(0) * d.square().sum(0)).sum()
""",
            "The factor p / (1 - p) is missing.",
        ),
        WrongAnswer(
            "fresh: sorted",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().mean(0).sort().values * d.square().sum(0).sort().values).sum()
""",
            "Expected",
        ),
        WrongAnswer(
            "fresh: centered",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    Z = X - X.mean(0)
    return f * (Z.square().mean(0) * d.square().sum(0)).sum()
""",
            "This takes the variance of x_j. The mean of its square is",
        ),
        WrongAnswer(
            "fresh: len of d",
            """
def implied_penalty(X, W_base, W_tuned, p):
    d, f = W_tuned - W_base, p / (1 - p)
    return f * (X.square().sum(0) * d.square().sum(0)).sum() / len(d)
""",
            "Expected",
        ),
    ],
    "measure_quietly": [
        WrongAnswer(
            "fresh: modes by name at the top",
            """
def measure_quietly(model, measure):
    modes = {n: m.training for n, m in model.named_children()}
    root = model.training
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        model.training = root
        for n, m in model.named_children():
            m.train(modes[n])
""",
            "mode. Parts may lie in parts: remember the mode of each of",
        ),
        WrongAnswer(
            "fresh: postorder train",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in reversed(modes):
            m.train(t)
""",
            "model.train() also switched on a part that was in",
        ),
        WrongAnswer(
            "fresh: copies the model",
            """
import copy


def measure_quietly(model, measure):
    m = copy.deepcopy(model).eval()
    with torch.no_grad():
        return measure(m)
""",
            "Call measure(model) with the model that you were given.",
        ),
        WrongAnswer(
            "fresh: root's mode for all",
            """
def measure_quietly(model, measure):
    t = model.training
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        model.train(t)
""",
            "model.train() also switched on a part that was in",
        ),
        WrongAnswer(
            "fresh: calls twice",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            measure(model)
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "measure was called 2 times: once is enough, and it may be",
        ),
        WrongAnswer(
            "fresh: returns a float",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return float(measure(model))
    finally:
        for m, t in modes:
            m.training = t
""",
            "It fails where measure(model) returns None: hand back",
        ),
        WrongAnswer(
            "fresh: returns or 0",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model) or 1.0
    finally:
        for m, t in modes:
            m.training = t
""",
            "Return what measure(model) returns, as it is: here None; got",
        ),
        WrongAnswer(
            "fresh: swallows",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    except Exception:
        return None
    finally:
        for m, t in modes:
            m.training = t
""",
            "measure failed and the error was swallowed: let it through.",
        ),
        WrongAnswer(
            "fresh: return in finally",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    out = None
    try:
        with torch.no_grad():
            out = measure(model)
    finally:
        for m, t in modes:
            m.training = t
        return out
""",
            "measure failed and the error was swallowed: let it through.",
        ),
        WrongAnswer(
            "fresh: only leaves",
            """
def measure_quietly(model, measure):
    on = [m for m in model.modules() if m.training and not list(m.children())]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m in on:
            m.training = True
""",
            "The model was left in evaluation mode: put training mode",
        ),
        WrongAnswer(
            "fresh: skips the root",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in list(model.modules())[1:]]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "The model was left in evaluation mode: put training mode",
        ),
        WrongAnswer(
            "fresh: restores before it measures",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    for m, t in modes:
        m.training = t
    with torch.no_grad():
        return measure(model)
""",
            "Dropout was active while measuring: call model.eval() first.",
        ),
        WrongAnswer(
            "fresh: eval only if training",
            """
def measure_quietly(model, measure):
    if not model.training:
        with torch.no_grad():
            return measure(model)
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "A part of the model was still in training mode while",
        ),
        WrongAnswer(
            "fresh: enable_grad after",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    torch.set_grad_enabled(False)
    try:
        return measure(model)
    finally:
        torch.set_grad_enabled(True)
        for m, t in modes:
            m.training = t
""",
            "The recording of gradients is on after the call; before it",
        ),
        WrongAnswer(
            "fresh: grads forbidden by flags",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    for q in model.parameters():
        q.requires_grad_(False)
    try:
        return measure(model)
    finally:
        for q in model.parameters():
            q.requires_grad_(True)
        for m, t in modes:
            m.training = t
""",
            "Gradients were recorded while measuring: use",
        ),
        WrongAnswer(
            "fresh: a generator",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "It returns a generator, which can be read only once: a",
        ),
        WrongAnswer(
            "fresh: dropouts replaced by their p",
            """
from torch import nn


def measure_quietly(model, measure):
    ps = [(m, m.p) for m in model.modules() if isinstance(m, nn.Dropout)]
    for m, _ in ps:
        m.p = 0.0
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, q in ps:
            m.p = q
""",
            "Dropout was active while measuring: call model.eval() first.",
        ),
        WrongAnswer(
            "fresh: train() at the end",
            """
def measure_quietly(model, measure):
    was = [m.training for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        if any(was):
            model.train()
""",
            "model.train() also switched on a part that was in",
        ),
        WrongAnswer(
            "fresh: measures the training parts only",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model[0])
    finally:
        for m, t in modes:
            m.training = t
""",
            "Call measure(model) with the model that you were given.",
        ),
        WrongAnswer(
            "fresh: restores parents over children",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in sorted(modes, key=lambda pair: len(list(pair[0].modules()))):
            m.train(t)
""",
            "model.train() also switched on a part that was in",
        ),
        WrongAnswer(
            "fresh: eval left when it was in eval parts",
            """
def measure_quietly(model, measure):
    was = model.training
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        if was:
            for m in model.modules():
                m.training = True
""",
            "model.train() also switched on a part that was in",
        ),
        WrongAnswer(
            "fresh: string result",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            out = measure(model)
            return out.item() if hasattr(out, 'item') else out
    finally:
        for m, t in modes:
            m.training = t
""",
            "It fails where measure(model) returns a tensor of shape (2, 3)",
        ),
        WrongAnswer(
            "fresh: two levels",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for c in [model, *model.children()] for m in [c, *c.children()]]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "The part `1.1.0` was left in evaluation mode. Parts may lie",
        ),
        WrongAnswer(
            "fresh: requires grad",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    model.requires_grad_(False)
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "`model.0.weight.requires_grad` is False after the call;",
        ),
        WrongAnswer(
            "fresh: zero grad",
            """
def measure_quietly(model, measure):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    model.foo = 1
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for m, t in modes:
            m.training = t
""",
            "`model.foo` is 1 after the call; before it was 'not there'.",
        ),
    ],
    "stopping_report": [
        WrongAnswer(
            "fresh: patience 2",
            """
def stopping_report(train, valid, test):
    at, bad = 0, 0
    for i in range(1, len(valid)):
        if valid[i] < valid[at]:
            at, bad = i, 0
        else:
            bad += 1
            if bad == 2:
                break
    return at, test[at], test[-1] - test[at]
""",
            "loss is lowest",
        ),
        WrongAnswer(
            "fresh: patience 4",
            """
def stopping_report(train, valid, test):
    at, bad = 0, 0
    for i in range(1, len(valid)):
        if valid[i] < valid[at]:
            at, bad = i, 0
        else:
            bad += 1
            if bad == 4:
                break
    return at, test[at], test[-1] - test[at]
""",
            "loss is lowest",
        ),
        WrongAnswer(
            "fresh: without the last",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid[:-1] or valid))
    return at, test[at], test[-1] - test[at]
""",
            "The lowest validation loss may be the last of all: look at",
        ),
        WrongAnswer(
            "fresh: the last of equals",
            """
def stopping_report(train, valid, test):
    at = max(i for i, v in enumerate(valid) if v == min(valid))
    return at, test[at], test[-1] - test[at]
""",
            "Two moments have the lowest validation loss: take the first",
        ),
        WrongAnswer(
            "fresh: gap to training",
            """
def stopping_report(train, valid, test):
    at = min(range(len(valid)), key=lambda i: valid[i] - train[i])
    return at, test[at], test[-1] - test[at]
""",
            ", not at 0. It may rise once and fall again: take the",
        ),
        WrongAnswer(
            "fresh: cost of the validation",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], valid[-1] - valid[at]
""",
            "This is the cost on the validation text. Report it on test.",
        ),
        WrongAnswer(
            "fresh: cost of the largest",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], max(test) - test[at]
""",
            "This compares with the highest test loss. Going on ends at",
        ),
        WrongAnswer(
            "fresh: never below zero",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], max(test[-1] - test[at], 0)
""",
            "On this test text going on helps: the cost is negative, not",
        ),
        WrongAnswer(
            "fresh: cost next step",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], test[min(at + 1, len(test) - 1)] - test[at]
""",
            "This is the cost of the next step alone. Going on goes to the end",
        ),
        WrongAnswer(
            "fresh: test's least",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, min(test), test[-1] - min(test)
""",
            "This is the lowest test loss. Report the test loss at the",
        ),
        WrongAnswer(
            "fresh: sums",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], sum(test[at:]) - test[at]
""",
            "The test losses were added. Take the last one minus the one at the chosen place",
        ),
        WrongAnswer(
            "fresh: a generator",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return (v for v in (at, test[at], test[-1] - test[at]))
""",
            "It returns a generator, which can be read only once: a",
        ),
        WrongAnswer(
            "fresh: place as float",
            """
def stopping_report(train, valid, test):
    at = float(valid.index(min(valid)))
    return at, test[int(at)], test[-1] - test[int(at)]
""",
            "The place is an int, an index into the lists; got float.",
        ),
        WrongAnswer(
            "fresh: place as bool",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return bool(at), test[at], test[-1] - test[at]
""",
            "The place is an int, an index into the lists; got bool.",
        ),
        WrongAnswer(
            "fresh: pops the test",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], test.pop() - test[at]
""",
            "Your code changes the list `test` itself, which it was",
        ),
        WrongAnswer(
            "fresh: ten moments",
            """
def stopping_report(train, valid, test):
    at = min(range(10), key=lambda i: valid[i])
    return at, test[at], test[-1] - test[at]
""",
            "Your code raised IndexError: list index out of range",
        ),
        WrongAnswer(
            "fresh: smoothed",
            """
def stopping_report(train, valid, test):
    s = [(valid[max(0, i - 1)] + v) / 2 for i, v in enumerate(valid)]
    at = s.index(min(s))
    return at, test[at], test[-1] - test[at]
""",
            "place",
        ),
        WrongAnswer(
            "fresh: per cent",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], (test[-1] - test[at]) / test[at]
""",
            "This is divided by the test loss. The cost is the difference itself",
        ),
        WrongAnswer(
            "fresh: loss of the end",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[-1], test[-1] - test[at]
""",
            "This is the test loss at the end. Report it at the chosen",
        ),
        WrongAnswer(
            "fresh: first fall",
            """
def stopping_report(train, valid, test):
    at = next((i for i in range(1, len(valid)) if valid[i] < valid[i - 1]), 0)
    return at, test[at], test[-1] - test[at]
""",
            "The validation loss is lowest at",
        ),
        WrongAnswer(
            "fresh: rounded cost",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], round(test[-1] - test[at], 3)
""",
            "decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: two things",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at]
""",
            "Return three things: the place, the test loss there, the",
        ),
        WrongAnswer(
            "fresh: step after",
            """
def stopping_report(train, valid, test):
    at = min(valid.index(min(valid)) + 1, len(valid) - 1)
    return at, test[at], test[-1] - test[at]
""",
            "The place is an index: it counts from 0.",
        ),
        WrongAnswer(
            "fresh: local minimum",
            """
def stopping_report(train, valid, test):
    at = next((i for i in range(1, len(valid) - 1) if valid[i - 1] > valid[i] < valid[i + 1]), valid.index(min(valid)))
    return at, test[at], test[-1] - test[at]
""",
            "valid",
        ),
        WrongAnswer(
            "fresh: best of train and valid",
            """
def stopping_report(train, valid, test):
    at = min(range(len(valid)), key=lambda i: valid[i] + train[i])
    return at, test[at], test[-1] - test[at]
""",
            "This is where the training loss is lowest: the end. Choose",
        ),
        WrongAnswer(
            "fresh: best of valid and test",
            """
def stopping_report(train, valid, test):
    at = min(range(len(valid)), key=lambda i: valid[i] + test[i])
    return at, test[at], test[-1] - test[at]
""",
            "This is where the training loss is lowest: the end. Choose",
        ),
        WrongAnswer(
            "fresh: threshold",
            """
def stopping_report(train, valid, test):
    at = next(i for i, v in enumerate(valid) if v <= min(valid) + 0.05)
    return at, test[at], test[-1] - test[at]
""",
            "loss is lowest",
        ),
        WrongAnswer(
            "fresh: cost at next",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, test[at], test[-1] - min(test[at:])
""",
            "This compares with the lowest test loss, which nobody could",
        ),
        WrongAnswer(
            "fresh: rounded index",
            """
def stopping_report(train, valid, test):
    at = int(valid.index(min(valid)) * 1.0001)
    return at, valid[at], test[-1] - valid[at]
""",
            "This is the validation loss there. It was chosen for being",
        ),
        WrongAnswer(
            "fresh: strings",
            """
def stopping_report(train, valid, test):
    at = valid.index(min(valid))
    return at, str(test[at]), test[-1] - test[at]
""",
            "Return a number; got str.",
        ),
    ],
}
