# ruff: noqa: E501
"""Wrong answers to lesson 03, written afresh without a look at its checks' draws."""

from . import WrongAnswer

FRESH = {
    "adapted_weight": [
        WrongAnswer(
            "fresh: flag inverted",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (r if stabilized else math.sqrt(r))
    return W + s * (B @ A)
""",
            "stabilized is False: divide alpha by r. The root is for",
        ),
        WrongAnswer(
            "fresh: r from W",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = min(W.shape)
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A)
""",
            "alpha was divided by out_features. r is the number of A's",
        ),
        WrongAnswer(
            "fresh: r is the number of A's entries",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.numel()
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A)
""",
            "B A is multiplied by 0.092166 here. The scaling is alpha /",
        ),
        WrongAnswer(
            "fresh: root of s",
            """
def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / r
    return W + (s ** 0.5 if stabilized else s) * (B @ A)
""",
            "The root was taken of alpha too: it is alpha / sqrt(r).",
        ),
        WrongAnswer(
            "fresh: A B order",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (A.T @ B.T)
""",
            "Your code raised RuntimeError: The size of tensor a (31)",
        ),
        WrongAnswer(
            "fresh: transposed product",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (A.T @ B.T).reshape(W.shape)
""",
            "What is added to W is not a multiple of B A: the product of",
        ),
        WrongAnswer(
            "fresh: alpha as int",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = int(alpha) / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A)
""",
            "// drops the fraction. Divide with /.",
        ),
        WrongAnswer(
            "fresh: s as int",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + int(s) * (B @ A)
""",
            "// drops the fraction. Divide with /.",
        ),
        WrongAnswer(
            "fresh: s at most one",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + min(s, 1) * (B @ A)
""",
            "B A is not scaled: multiply it by the scaling.",
        ),
        WrongAnswer(
            "fresh: B scaled in place",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    B *= s
    return W + B @ A
""",
            "Your code changes `B` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: W written to",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    W += s * (B @ A)
    return W
""",
            "Your code changes `W` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: halves",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W.half() + s * (B @ A).half()
""",
            "W is in float64 and the result in torch.float16: that loses",
        ),
        WrongAnswer(
            "fresh: float32 whatever comes",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return (W + s * (B @ A)).float()
""",
            "W is in float64 and the result in torch.float32: that loses",
        ),
        WrongAnswer(
            "fresh: returns the scaling",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return s
""",
            "The shape must be (23, 31); got ().",
        ),
        WrongAnswer(
            "fresh: forgets return",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    W + s * (B @ A)
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: log2",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.log2(r + 1) if stabilized else r)
    return W + s * (B @ A)
""",
            "The root of r was rounded: math.sqrt(r) has a fraction.",
        ),
        WrongAnswer(
            "fresh: mean over r",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A) / r
""",
            "alpha is divided by r squared.",
        ),
        WrongAnswer(
            "fresh: first direction only",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * torch.outer(B[:, 0], A[0])
""",
            "What is added to W is not a multiple of B A: the product of",
        ),
        WrongAnswer(
            "fresh: no_grad left off",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    torch.set_grad_enabled(False)
    return W + s * (B @ A)
""",
            "The recording of gradients is off after the call; before it",
        ),
        WrongAnswer(
            "fresh: a tuple",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W, s * (B @ A)
""",
            "Return a tensor; got tuple.",
        ),
        WrongAnswer(
            "fresh: average of W and the update",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return (W + s * (B @ A)) / 2
""",
            "What is added to W is not a multiple of B A: the product of",
        ),
        WrongAnswer(
            "fresh: normalised B A",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    D = B @ A
    return W + s * D / D.norm()
""",
            "here. The scaling is alpha / r = 2.8571.",
        ),
        WrongAnswer(
            "fresh: W detached in place scaled",
            """
def adapted_weight(W, B, A, alpha, stabilized):
    W.mul_(1.0)
    W[0] = W[0]
    r = A.shape[0]
    return W * 1 + (alpha / r) * (B @ A)
""",
            "stabilized is True: divide alpha by sqrt(r), not by r.",
        ),
        WrongAnswer(
            "fresh: alpha over r plus one",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0] + 1
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A)
""",
            "B A is multiplied by 2.5 here. The scaling is alpha / r =",
        ),
        WrongAnswer(
            "fresh: r at most 8",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = min(8, A.shape[0])
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B @ A)
""",
            "B A is multiplied by 0.0625 here. The scaling is alpha / r",
        ),
        WrongAnswer(
            "fresh: only first rows of r=3",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return W + s * (B[:, :3] @ A[:3])
""",
            "What is added to W is not a multiple of B A: the product of",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return (W + s * (B @ A)).round(decimals=2)
""",
            "here. The scaling is alpha / r = 2.8571.",
        ),
        WrongAnswer(
            "fresh: bf16",
            """
import math


def adapted_weight(W, B, A, alpha, stabilized):
    r = A.shape[0]
    s = alpha / (math.sqrt(r) if stabilized else r)
    return (W + s * (B @ A)).bfloat16().float()
""",
            "What is added to W is not a multiple of B A: the product of",
        ),
    ],
    "alpha_for": [
        WrongAnswer(
            "fresh: flag inverted",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return old_alpha * (q if stabilized else q ** 0.5)
""",
            "stabilized is False: the scaling is alpha / r, so alpha",
        ),
        WrongAnswer(
            "fresh: never below",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = max(1, new_r / old_r)
    return old_alpha * (q ** 0.5 if stabilized else q)
""",
            "alpha is unchanged, and new_r is smaller here: alpha falls",
        ),
        WrongAnswer(
            "fresh: squares",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return old_alpha * (q if stabilized else q * q)
""",
            "This gives the scaling",
        ),
        WrongAnswer(
            "fresh: at most the rank",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return min(new_r, old_alpha * (q ** 0.5 if stabilized else q))
""",
            "This gives the scaling 1 at r =",
        ),
        WrongAnswer(
            "fresh: old alpha ignored",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return 16 * (q ** 0.5 if stabilized else q)
""",
            "This gives the scaling 3.2 at r =",
        ),
        WrongAnswer(
            "fresh: PEFT default 8",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / 8
    return old_alpha * (q ** 0.5 if stabilized else q)
""",
            "This gives the scaling",
        ),
        WrongAnswer(
            "fresh: int result",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return int(old_alpha * (q ** 0.5 if stabilized else q))
""",
            "e number",
        ),
        WrongAnswer(
            "fresh: ceil",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return math.ceil(old_alpha * (q ** 0.5 if stabilized else q))
""",
            "alpha",
        ),
        WrongAnswer(
            "fresh: round 2",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return round(old_alpha * (q ** 0.5 if stabilized else q), 2)
""",
            "It is rounded to 2 decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: a pair",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return old_alpha * q, old_alpha * q ** 0.5
""",
            "Return a number; got tuple.",
        ),
        WrongAnswer(
            "fresh: a string",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return str(old_alpha * (q ** 0.5 if stabilized else q))
""",
            "Return a number; got str.",
        ),
        WrongAnswer(
            "fresh: exp",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * math.exp(new_r / old_r)
""",
            "This gives the scaling",
        ),
        WrongAnswer(
            "fresh: sum of ranks",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * new_r / (old_r + new_r)
""",
            "This gives the scaling 0.",
        ),
        WrongAnswer(
            "fresh: cube root",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return old_alpha * (q ** (1 / 3) if stabilized else q)
""",
            "This gives the scaling",
        ),
        WrongAnswer(
            "fresh: arguments swapped",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = old_r / new_r
    return old_alpha * (q ** 0.5 if stabilized else q)
""",
            "The ratio is upside down: a larger r needs a larger alpha.",
        ),
        WrongAnswer(
            "fresh: plain rule, then root of alpha",
            """
import math


def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return math.sqrt(old_alpha * q) if stabilized else old_alpha * q
""",
            "The root was taken of alpha too. Only the ratio of the",
        ),
        WrongAnswer(
            "fresh: int alpha",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    q = new_r / old_r
    return int(old_alpha) * (q ** 0.5 if stabilized else q)
""",
            "This gives the scaling",
        ),
        WrongAnswer(
            "fresh: when larger only",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    if new_r <= old_r:
        return old_alpha
    q = new_r / old_r
    return old_alpha * (q ** 0.5 if stabilized else q)
""",
            "alpha is unchanged, and new_r is smaller here: alpha falls",
        ),
        WrongAnswer(
            "fresh: floor of both roots",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    return old_alpha * (int(new_r ** 0.5) / int(old_r ** 0.5) if stabilized else new_r / old_r)
""",
            "The root was cut to a whole number: math.sqrt has a",
        ),
        WrongAnswer(
            "fresh: returns a bool",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    return new_r == old_r
""",
            "Return a number; got bool.",
        ),
        WrongAnswer(
            "fresh: none when equal",
            """
def alpha_for(new_r, old_r, old_alpha, stabilized):
    if new_r != old_r:
        q = new_r / old_r
        return old_alpha * (q ** 0.5 if stabilized else q)
""",
            "It returns None. Is the `return` missing?",
        ),
    ],
    "first_update": [
        WrongAnswer(
            "fresh: abs division",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / g.abs()) @ A
""",
            "B's gradient is exactly 0 there is no step, and sign(0) is 0",
        ),
        WrongAnswer(
            "fresh: where",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * torch.where(g > 0, 1.0, -1.0) @ A
""",
            "B's gradient is exactly 0 there is no step, and sign(0) is 0",
        ),
        WrongAnswer(
            "fresh: lr twice",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * lr * s * g @ A if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "lr is there twice.",
        ),
        WrongAnswer(
            "fresh: uphill Adam",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else lr * s * g.sign() @ A
""",
            "The sign is wrong: a step goes against the gradient.",
        ),
        WrongAnswer(
            "fresh: swapped",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g.sign() @ A if optimizer == 'sgd' else -lr * s * g @ A
""",
            "This is Adam's step. SGD moves B by the gradient itself,",
        ),
        WrongAnswer(
            "fresh: clamp for sign",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * g.clamp(-1, 1) @ A
""",
            "to 1 times lr here. Adam's first step divides each entry of",
        ),
        WrongAnswer(
            "fresh: tanh for sign",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * g.tanh() @ A
""",
            "to 1 times lr here. Adam's first step divides each entry of",
        ),
        WrongAnswer(
            "fresh: eps of 0.1",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / (g.abs() + 0.1)) @ A
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
        WrongAnswer(
            "fresh: by the largest",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / g.abs().max()) @ A
""",
            "to 1 times lr here. Adam's first step divides each entry of",
        ),
        WrongAnswer(
            "fresh: by row norms",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / g.norm(dim=1, keepdim=True)) @ A
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
        WrongAnswer(
            "fresh: W's sign",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * G.sign()
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
        WrongAnswer(
            "fresh: sign of the update",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g @ A).sign()
""",
            "The sign is that of B's gradient, G @ A.T: take it before",
        ),
        WrongAnswer(
            "fresh: square of the gradient",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * (g / g.square()) @ A
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
        WrongAnswer(
            "fresh: s cubed",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s ** 3 * (G @ A.T) @ A if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "s is there three times: once in B's gradient, once in s B A.",
        ),
        WrongAnswer(
            "fresh: without A",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "This is B's step, of shape (out, r). W moves by s B A:",
        ),
        WrongAnswer(
            "fresh: B A with a step of A too",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ (A - lr * A) if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "A moves too here. B starts at zero, so A's gradient is zero",
        ),
        WrongAnswer(
            "fresh: averaged over rows",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A / len(A) if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "This is a mean over the rows of A. They add up in B A.",
        ),
        WrongAnswer(
            "fresh: halved",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A / 2 if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "There is no half in it: a step is lr times the gradient",
        ),
        WrongAnswer(
            "fresh: A normalised",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ torch.linalg.qr(A.T).Q.T if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "(the entry that differs most).",
        ),
        WrongAnswer(
            "fresh: G in place",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return G.mul_(-lr * s * s) @ A.T @ A if optimizer == 'sgd' else -lr * s * g.sign() @ A
""",
            "Your code changes `G` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: torch.where for sign with first entry",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s * torch.where(g > g.mean(), 1.0, -1.0) @ A
""",
            "the",
        ),
        WrongAnswer(
            "fresh: Adam scaled by sqrt s",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * g @ A if optimizer == 'sgd' else -lr * s ** 0.5 * g.sign() @ A
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
        WrongAnswer(
            "fresh: minus forgotten in both",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return lr * s * g @ A if optimizer == 'sgd' else lr * s * g.sign() @ A
""",
            "The sign is wrong: a step goes against the gradient.",
        ),
        WrongAnswer(
            "fresh: knows sgd alone",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    if optimizer == 'sgd':
        return -lr * s * g @ A
""",
            "It returns None. Is the `return` missing?",
        ),
        WrongAnswer(
            "fresh: adamw for adam",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    if optimizer == 'adamw':
        return -lr * s * g.sign() @ A
    return -lr * s * g @ A
""",
            "This is SGD's step. Adam's first step moves each entry of B",
        ),
        WrongAnswer(
            "fresh: batch mean",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T / len(G)
    return -lr * s * (g if optimizer == 'sgd' else g.sign()) @ A
""",
            "(the entry that differs most).",
        ),
        WrongAnswer(
            "fresh: B not from zero",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    B = torch.ones_like(g) - lr * (g if optimizer == 'sgd' else g.sign())
    return s * B @ A
""",
            "(the entry that differs most).",
        ),
        WrongAnswer(
            "fresh: W after",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return G - lr * s * (g if optimizer == 'sgd' else g.sign()) @ A
""",
            "(the entry that differs most).",
        ),
        WrongAnswer(
            "fresh: A mutated",
            """
def first_update(G, A, s, lr, optimizer):
    A *= s
    g = G @ A.T
    return -lr * (g if optimizer == 'sgd' else g.sign()) @ A
""",
            "Your code changes `A` itself, which it was given. Make a",
        ),
        WrongAnswer(
            "fresh: rms",
            """
def first_update(G, A, s, lr, optimizer):
    g = s * G @ A.T
    return -lr * s * (g if optimizer == 'sgd' else g / g.square().mean().sqrt()) @ A
""",
            "times lr here. Adam's first step divides each entry of the",
        ),
    ],
    "same_run": [
        WrongAnswer(
            "fresh: start by the factor",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': f}
""",
            "A's start takes sqrt(k): B supplies the other sqrt(k) of",
        ),
        WrongAnswer(
            "fresh: start is 1/q",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': 1 / q}
""",
            ": it is a factor for A's first values, and neither lr nor the decay is in it",
        ),
        WrongAnswer(
            "fresh: start for sgd only",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q if optimizer == 'sgd' else 1.0}
""",
            "A's start is unchanged: both A and B must be sqrt(k) times",
        ),
        WrongAnswer(
            "fresh: decay by q",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / q, 'start_A': q}
""",
            "so that lr x decay stays: lr takes k =",
        ),
        WrongAnswer(
            "fresh: decay by the new rate",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / (lr * f), 'start_A': q}
""",
            "adamw: decay is multiplied by",
        ),
        WrongAnswer(
            "fresh: decay as lr",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay * f, 'start_A': q}
""",
            "adamw: the decay is multiplied; lr x decay stays if it is",
        ),
        WrongAnswer(
            "fresh: adamw x k, sgd x k",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * k, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: lr x k moves A k times as far too. Its steps do not",
        ),
        WrongAnswer(
            "fresh: both root",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * q, 'weight_decay': weight_decay / q, 'start_A': q}
""",
            "sgd: the gradients shrink by sqrt(k) as A and B grow by it,",
        ),
        WrongAnswer(
            "fresh: sgd squared",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k * k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "sgd: k squared is right for the first update only. The rate",
        ),
        WrongAnswer(
            "fresh: lr divided",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr / f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: the rate is divided where it must be multiplied.",
        ),
        WrongAnswer(
            "fresh: never below",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    k = max(k, 1)
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "and lr falls with it",
        ),
        WrongAnswer(
            "fresh: adam by another name",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adam' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: lr x k moves A k times as far too. Its steps do not",
        ),
        WrongAnswer(
            "fresh: whole root",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.isqrt(int(k))
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw:",
        ),
        WrongAnswer(
            "fresh: start with lr",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': q * lr}
""",
            "start_A is 0.",
        ),
        WrongAnswer(
            "fresh: keys misnamed",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start': q}
""",
            "Return a dict with the keys lr, weight_decay, start_A.",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': round(lr * f, 3), 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: lr is multiplied by",
        ),
        WrongAnswer(
            "fresh: no decay at all",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': 0.0, 'start_A': q}
""",
            "adamw: the decay is lost. lr x decay stays, so it is divided",
        ),
        WrongAnswer(
            "fresh: decay kept for sgd",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay if optimizer == 'sgd' else weight_decay / f, 'start_A': q}
""",
            "sgd: the decay is unchanged, but a step shrinks a weight by",
        ),
        WrongAnswer(
            "fresh: lists",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': [lr * f], 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "lr must be one number; got list.",
        ),
        WrongAnswer(
            "fresh: k squared start",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': k ** 2}
""",
            "start_A is",
        ),
        WrongAnswer(
            "fresh: root of lr",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': math.sqrt(lr * k) if optimizer == 'adamw' else lr * k, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: lr is multiplied by",
        ),
        WrongAnswer(
            "fresh: strings",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': weight_decay / f, 'start_A': str(q)}
""",
            "start_A must be one number; got str.",
        ),
        WrongAnswer(
            "fresh: k of one half",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f if k > 1 else lr / f, 'weight_decay': weight_decay / f, 'start_A': q}
""",
            "adamw: the rate is divided where it must be multiplied.",
        ),
        WrongAnswer(
            "fresh: decay max",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': max(weight_decay / f, 0.001), 'start_A': q}
""",
            "adamw: without weight decay there is none to make up for.",
        ),
        WrongAnswer(
            "fresh: lr capped",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': min(lr * f, 1.0), 'weight_decay': weight_decay / f, 'start_A': q}
""",
            ": lr is multiplied by",
        ),
        WrongAnswer(
            "fresh: default decay",
            """
import math


def same_run(k, lr, weight_decay, optimizer):
    q = math.sqrt(k)
    f = q if optimizer == 'adamw' else k
    return {'lr': lr * f, 'weight_decay': 0.01 / f, 'start_A': q}
""",
            "adamw: decay is multiplied by 0.0",
        ),
    ],
    "power_law": [
        WrongAnswer(
            "fresh: weighted by x",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1, w=np.asarray(x, dtype=float))[0]
""",
            "The points are weighted by x. Each counts once.",
        ),
        WrongAnswer(
            "fresh: quadratic",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 2)[1] if len(x) > 2 else np.polyfit(a, b, 1)[0]
""",
            "This is of a curve, with a square of log x. Fit a straight line",
        ),
        WrongAnswer(
            "fresh: intercept",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[1]
""",
            "This is log c, where the line meets the axis. p is the",
        ),
        WrongAnswer(
            "fresh: dict of x",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    d = dict(zip(x, y))
    a, b = np.log(list(d)), np.log(list(d.values()))
    return np.polyfit(a, b, 1)[0]
""",
            "point",
        ),
        WrongAnswer(
            "fresh: sorted",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    x, y = sorted(x), sorted(y)
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "x and y were sorted each by itself. They are pairs: keep",
        ),
        WrongAnswer(
            "fresh: sorted the other way",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    x, y = sorted(x), sorted(y, reverse=True)
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "x and y were sorted against each other. They are pairs:",
        ),
        WrongAnswer(
            "fresh: absolute",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return abs(np.polyfit(a, b, 1)[0])
""",
            "This is the size of the exponent. A falling law has a",
        ),
        WrongAnswer(
            "fresh: rounded",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return round(np.polyfit(a, b, 1)[0], 2)
""",
            "decimals: return the number as it is.",
        ),
        WrongAnswer(
            "fresh: median of slopes",
            """
import statistics
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    s = [(b[j] - b[i]) / (a[j] - a[i]) for i in range(len(a)) for j in range(i) if a[i] != a[j]]
    return statistics.median(s)
""",
            "This is the median of the slopes between pairs. Least squares fits all points",
        ),
        WrongAnswer(
            "fresh: ends by size",
            """
import math


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    i, j = min(range(len(x)), key=x.__getitem__), max(range(len(x)), key=x.__getitem__)
    return math.log(y[j] / y[i]) / math.log(x[j] / x[i])
""",
            "This uses the first and the last point only. Fit all of",
        ),
        WrongAnswer(
            "fresh: log10 over log",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    return np.polyfit(np.log(x), np.log10(y), 1)[0]
""",
            "The logarithms are of different bases (e and 10): use one",
        ),
        WrongAnswer(
            "fresh: checks y alone",
            """
import numpy as np


def power_law(x, y):
    if min(y) <= 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For x = 0 the fit itself failed (SVD did not converge in",
        ),
        WrongAnswer(
            "fresh: checks x alone",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: checks the first only",
            """
import numpy as np


def power_law(x, y):
    if x[0] <= 0 or y[0] <= 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For one y = 0 among others above zero it must raise a",
        ),
        WrongAnswer(
            "fresh: strictly below zero",
            """
import numpy as np


def power_law(x, y):
    if min(x) < 0 or min(y) < 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: zeros together",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 and min(y) <= 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: takes the absolute values",
            """
import numpy as np


def power_law(x, y):
    a, b = np.log(np.abs(x) + 1e-300), np.log(np.abs(y) + 1e-300)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: drops bad points",
            """
import numpy as np


def power_law(x, y):
    k = [(u, v) for u, v in zip(x, y) if u > 0 and v > 0]
    if len(k) < 2:
        raise ValueError
    a, b = np.log([u for u, _ in k]), np.log([v for _, v in k])
    return np.polyfit(a, b, 1)[0]
""",
            "For one y = 0 among others above zero it must raise a",
        ),
        WrongAnswer(
            "fresh: returns None",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        return None
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: returns nan",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        return float('nan')
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it must raise a",
        ),
        WrongAnswer(
            "fresh: both coefficients",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)
""",
            "Return a number; got an array of shape (2,).",
        ),
        WrongAnswer(
            "fresh: through the first point",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    a, b = a - a[0], b - b[0]
    return (a @ b) / (a @ a)
""",
            "This line goes through the first point. Least squares has a",
        ),
        WrongAnswer(
            "fresh: total least squares",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    a, b = np.log(x), np.log(y)
    a, b = a - a.mean(), b - b.mean()
    _, _, V = np.linalg.svd(np.stack([a, b], 1))
    return V[0, 1] / V[0, 0]
""",
            "This measures the distance across the line. Least squares",
        ),
        WrongAnswer(
            "fresh: pops",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError('above zero')
    x.pop(); y.pop()
    a, b = np.log(x), np.log(y)
    return np.polyfit(a, b, 1)[0]
""",
            "Your code changes the list `x` itself, which it was given.",
        ),
        WrongAnswer(
            "fresh: zero only at start",
            """
import numpy as np


def power_law(x, y):
    if x[0] <= 0 or min(y) <= 0:
        raise ValueError
    a, b = np.log(x), np.log(y)
    a, b = a - a.mean(), b - b.mean()
    return (a @ b) / (a @ a)
""",
            "For x = 0 at the end it must raise a ValueError.",
        ),
        WrongAnswer(
            "fresh: float16",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError
    a, b = np.log(np.float16(x)), np.log(np.float16(y))
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (a @ a))
""",
            "rounded",
        ),
        WrongAnswer(
            "fresh: spread ratio",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError
    return np.log(y).std() / np.log(x).std()
""",
            "This is the ratio of the spreads. It has no sign, and grows with the distances",
        ),
        WrongAnswer(
            "fresh: asserts type",
            """
import numpy as np


def power_law(x, y):
    if min(x) <= 0 or min(y) <= 0:
        raise TypeError('x')
    return np.polyfit(np.log(x), np.log(y), 1)[0]
""",
            "For y = 0 (the gradient of A at the start) it raised",
        ),
    ],
    "run_outcome": [
        WrongAnswer(
            "fresh: at least the margin",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) >= margin else 'stable'
""",
            'A run that is stable was called "spiked": what is exactly',
        ),
        WrongAnswer(
            "fresh: tail at least the margin",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n >= margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            'A run that is stable was called "diverged": what is exactly',
        ),
        WrongAnswer(
            "fresh: two in the tail",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(2, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Of 11 losses the last tenth is one: // 10 rounds down.",
        ),
        WrongAnswer(
            "fresh: rounded tenth",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, round(len(losses) / 10))
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Of 19 losses the last tenth is one: // 10 rounds down.",
        ),
        WrongAnswer(
            "fresh: ceil tenth",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, math.ceil(len(losses) / 10))
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Of 11 losses the last tenth is one: // 10 rounds down.",
        ),
        WrongAnswer(
            "fresh: fifth",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 5)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "The mean of its last tenth is more than the margin above",
        ),
        WrongAnswer(
            "fresh: first tenth",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[:n]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Its last tenth is far above the base: it did not come back.",
        ),
        WrongAnswer(
            "fresh: tail of means of the base",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(losses[-n:]) / n - sum(untrained) / len(untrained) > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "The last batches of this run are hard for the base too.",
        ),
        WrongAnswer(
            "fresh: base's first loss",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - untrained[0] for a in losses]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A batch can be hard for the base too. Compare each loss",
        ),
        WrongAnswer(
            "fresh: base's worst loss",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - max(untrained) for a in losses]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "One loss was more than the margin above the base's, and it",
        ),
        WrongAnswer(
            "fresh: base's mean",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - sum(untrained) / len(untrained) for a in losses]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A batch can be hard for the base too. Compare each loss",
        ),
        WrongAnswer(
            "fresh: nan only",
            """
def run_outcome(losses, untrained, margin):
    if any(v != v for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A nan or inf means diverged. nan > x is False, so test with",
        ),
        WrongAnswer(
            "fresh: inf only",
            """
import math


def run_outcome(losses, untrained, margin):
    if any(v == math.inf for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A nan or inf means diverged. nan > x is False, so test with",
        ),
        WrongAnswer(
            "fresh: plus inf and nan",
            """
import math


def run_outcome(losses, untrained, margin):
    if any(v != v or v == math.inf for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "diverged: a loss that is not finite, wherever it stands,",
        ),
        WrongAnswer(
            "fresh: the sum only",
            """
import math


def run_outcome(losses, untrained, margin):
    if not math.isfinite(losses[-1]):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A nan or inf means diverged. nan > x is False, so test with",
        ),
        WrongAnswer(
            "fresh: finite where it matters",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses[-max(1, len(losses) // 10):]):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "A nan or inf means diverged. nan > x is False, so test with",
        ),
        WrongAnswer(
            "fresh: any of the tail",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if any(v > margin for v in e[-n:]):
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "One loss of its last tenth is high, their mean is not: that",
        ),
        WrongAnswer(
            "fresh: all of the tail",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if all(v > margin for v in e[-n:]):
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Its last loss alone is below the base: average the last",
        ),
        WrongAnswer(
            "fresh: spike before the tail only",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e[:-n], default=0) > margin else 'stable'
""",
            "One loss of its last tenth is more than the margin above",
        ),
        WrongAnswer(
            "fresh: spike after the first step",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e[1:], default=0) > margin else 'stable'
""",
            "Its first loss is more than the margin above the base's: a",
        ),
        WrongAnswer(
            "fresh: jump between steps",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max((losses[i + 1] - losses[i] for i in range(len(e) - 1)), default=0) > margin else 'stable'
""",
            "A batch can be hard for the base too. Compare each loss",
        ),
        WrongAnswer(
            "fresh: capital letters",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'Stable'
""",
            'Return "stable", "spiked" or "diverged"; got \'Stable\'.',
        ),
        WrongAnswer(
            "fresh: appends",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    losses.append(0.0)
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Your code changes the list `losses` itself, which it was",
        ),
        WrongAnswer(
            "fresh: margin per cent",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(a / b - 1 for a, b in zip(losses, untrained)) > margin else 'stable'
""",
            "One loss was more than the margin above the base's, and it",
        ),
        WrongAnswer(
            "fresh: spike tested first",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if max(e) > margin:
        return 'spiked'
    return 'diverged' if sum(e[-n:]) / n > margin else 'stable'
""",
            "Its last tenth is far above the base: it did not come back.",
        ),
        WrongAnswer(
            "fresh: tail is the last one",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if e[-1] > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Its last loss alone is below the base: average the last",
        ),
        WrongAnswer(
            "fresh: at least 3 in tail",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(3, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Of 11 losses the last tenth is one: // 10 rounds down.",
        ),
        WrongAnswer(
            "fresh: strings by index",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    return ['stable', 'spiked', 'diverged'][int(max(e) > margin)]
""",
            "Its last tenth is far above the base: it did not come back.",
        ),
        WrongAnswer(
            "fresh: excess over lowest",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(e[-n:]) / n > margin:
        return 'diverged'
    return 'spiked' if max(losses) - min(losses) > margin else 'stable'
""",
            "A batch can be hard for the base too. Compare each loss",
        ),
        WrongAnswer(
            "fresh: weighted tail",
            """
import math
import statistics


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if statistics.median(e[-n:]) > margin:
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "The mean of its last tenth is more than the margin above",
        ),
        WrongAnswer(
            "fresh: ratio",
            """
import math


def run_outcome(losses, untrained, margin):
    if not all(math.isfinite(v) for v in losses):
        return 'diverged'
    n = max(1, len(losses) // 10)
    e = [a - b for a, b in zip(losses, untrained)]
    if sum(losses[-n:]) > (1 + margin) * sum(untrained[-n:]):
        return 'diverged'
    return 'spiked' if max(e) > margin else 'stable'
""",
            "Its last tenth is far above the base: it did not come back.",
        ),
    ],
}
