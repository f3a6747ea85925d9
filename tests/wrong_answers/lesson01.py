"""Wrong answers that learners really give in lesson 01, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers
from .fresh01 import FRESH

_SVD = "    U, S, Vh = torch.linalg.svd(W, full_matrices=False)\n"
_LOSS_HEAD = """
def loss_at_rank(layer, W_base, k, measure):
    tuned_weight = layer.weight.detach().clone()
"""

WRONG = {
    "best_rank_k": [
        WrongAnswer(
            "keeps the smallest singular values",
            "def best_rank_k(W, k):\n" + _SVD + "    return (U[:, -k:] * S[-k:]) @ Vh[-k:]\n",
            "smallest singular values",
        ),
        WrongAnswer(
            "takes Vh for V",
            "def best_rank_k(W, k):\n"
            "    U, S, Vh = torch.linalg.svd(W, full_matrices=True)\n"
            "    return (U[:, :k] * S[:k]) @ Vh[:, :k].T\n",
            "already transposed",
        ),
        WrongAnswer(
            "takes the thin Vh for V",
            "def best_rank_k(W, k):\n" + _SVD + "    return (U[:, :k] * S[:k]) @ Vh[:, :k].T\n",
            "already transposed",
        ),
        WrongAnswer(
            "takes Vh for V, with other signs and other rows past the rank",
            "def best_rank_k(W, k):\n"
            "    U, S, Vh = torch.linalg.svd(W.double(), full_matrices=True)\n"
            "    Vh[:5] *= torch.tensor([1, -1, 1, -1, -1]).double()[:, None]\n"
            "    U[:, :5] *= torch.tensor([1, -1, 1, -1, -1]).double()\n"
            "    Vh[23:] = Vh[23:].flip(0)\n"
            "    return (U[:, :k] * S[:k]) @ Vh[:, :k].T\n",
            "already transposed",
        ),
        WrongAnswer(
            "keeps what the cut leaves out",
            "def best_rank_k(W, k):\n" + _SVD + "    return (U[:, k:] * S[k:]) @ Vh[k:]\n",
            "what the cut leaves out",
        ),
        WrongAnswer(
            "the k-th term alone",
            "def best_rank_k(W, k):\n"
            + _SVD
            + "    return S[k - 1] * torch.outer(U[:, k - 1], Vh[k - 1])\n",
            "k-th term alone",
        ),
        WrongAnswer(
            "the root of S",
            "def best_rank_k(W, k):\n" + _SVD + "    return (U[:, :k] * S[:k].sqrt()) @ Vh[:k]\n",
            "square root of S",
        ),
        WrongAnswer(
            "S twice",
            "def best_rank_k(W, k):\n" + _SVD + "    return (U[:, :k] * S[:k] ** 2) @ Vh[:k]\n",
            "in it twice",
        ),
        WrongAnswer(
            "cuts the rows of W",
            "def best_rank_k(W, k):\n"
            "    out = torch.zeros_like(W)\n"
            "    out[:k] = W[:k]\n"
            "    return out\n",
            "first k rows",
        ),
        WrongAnswer(
            "leaves out the singular values",
            "def best_rank_k(W, k):\n" + _SVD + "    return U[:, :k] @ Vh[:k]\n",
            "singular values are missing",
        ),
        WrongAnswer(
            "returns the whole matrix",
            "def best_rank_k(W, k):\n    return W.clone()\n",
            "not cut",
        ),
        WrongAnswer(
            "one rank too many",
            "def best_rank_k(W, k):\n" + _SVD + "    k = k + 1\n"
            "    return (U[:, :k] * S[:k]) @ Vh[:k]\n",
            "rank k + 1",
        ),
    ],
    "truncation_error": [
        WrongAnswer(
            "sum of the values",
            "def truncation_error(singular_values, k):\n"
            "    return singular_values[k:].sum().item()\n",
            "sum of the singular values",
        ),
        WrongAnswer(
            "next value only",
            "def truncation_error(singular_values, k):\n    return singular_values[k].item()\n",
            "spectral norm",
        ),
        WrongAnswer(
            "relative error",
            "def truncation_error(singular_values, k):\n"
            "    s = singular_values.square()\n"
            "    return (s[k:].sum() / s.sum()).sqrt().item()\n",
            "relative",
        ),
        WrongAnswer(
            "no square root",
            "def truncation_error(singular_values, k):\n"
            "    return singular_values[k:].square().sum().item()\n",
            "square root",
        ),
        WrongAnswer(
            "error of the part that was kept",
            "def truncation_error(singular_values, k):\n"
            "    return singular_values[:k].square().sum().sqrt().item()\n",
            "kept",
        ),
        WrongAnswer(
            "a share of the energy",
            "def truncation_error(singular_values, k):\n"
            "    s = singular_values.square()\n"
            "    return (s[k:].sum() / s.sum()).item()\n",
            "share of the energy",
        ),
        WrongAnswer(
            "two terms",
            "def truncation_error(singular_values, k):\n"
            "    return (singular_values[k] ** 2 + singular_values[k + 1] ** 2).sqrt().item()\n",
            "two terms alone",
        ),
        WrongAnswer(
            "a root mean square",
            "def truncation_error(singular_values, k):\n"
            "    return singular_values[k:].square().mean().sqrt().item()\n",
            "This is a mean",
        ),
    ],
    "rank_for_energy": [
        WrongAnswer(
            "sums S, not S squared",
            "def rank_for_energy(singular_values, share):\n"
            "    kept = singular_values.cumsum(0) / singular_values.sum()\n"
            "    return int((kept < share).sum()) + 1\n",
            "squares",
        ),
        WrongAnswer(
            "off by one",
            "def rank_for_energy(singular_values, share):\n"
            "    e = singular_values.square()\n"
            "    return int(((e.cumsum(0) / e.sum()) < share).sum())\n",
            "one too small",
        ),
        WrongAnswer(
            "counts the nonzero values",
            "def rank_for_energy(singular_values, share):\n"
            "    return int((singular_values > 1e-6).sum())\n",
            "every singular value",
        ),
        WrongAnswer(
            "share of the number of values",
            "def rank_for_energy(singular_values, share):\n"
            "    return math.ceil(share * len(singular_values))\n",
            "number of singular values",
        ),
        WrongAnswer(
            "one too many",
            "def rank_for_energy(singular_values, share):\n"
            "    e = singular_values.square()\n"
            "    return int(((e.cumsum(0) / e.sum()) < share).sum()) + 2\n",
            "one too large",
        ),
        WrongAnswer(
            "more than the share",
            "def rank_for_energy(singular_values, share):\n"
            "    e = singular_values.square()\n"
            "    return int(((e.cumsum(0) / e.sum()) <= share).sum()) + 1\n",
            "at least is >=",
        ),
        WrongAnswer(
            "begins with the smallest",
            "def rank_for_energy(singular_values, share):\n"
            "    e = singular_values.square().flip(0)\n"
            "    return int(((e.cumsum(0) / e.sum()) < share).sum()) + 1\n",
            "It was counted from the smallest on. Count from the largest",
        ),
    ],
    "loss_at_rank": [
        WrongAnswer(
            "truncates the tuned weight",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(tuned_weight, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_((U[:, :k] * S[:k]) @ Vh[:k])
        result = measure()
        layer.weight.copy_(tuned_weight)
    return result
""",
            "the whole tuned weight",
        ),
        WrongAnswer(
            "forgets the base",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_((U[:, :k] * S[:k]) @ Vh[:k])
        result = measure()
        layer.weight.copy_(tuned_weight)
    return result
""",
            "base weight is missing",
        ),
        WrongAnswer(
            "leaves the patch in",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
        return measure()
""",
            "not restored",
        ),
        WrongAnswer(
            "restores only when measure succeeds",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    with torch.no_grad():
        layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
        result = measure()
        layer.weight.copy_(tuned_weight)
    return result
""",
            "measure() failed",
        ),
        WrongAnswer(
            "keeps a reference, not a copy",
            """
def loss_at_rank(layer, W_base, k, measure):
    tuned_weight = layer.weight.data
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
            return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(tuned_weight)
""",
            "not restored",
        ),
        WrongAnswer(
            "restores by adding the update to the base",
            """
def loss_at_rank(layer, W_base, k, measure):
    update = layer.weight.detach() - W_base
    U, S, Vh = torch.linalg.svd(update, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(W_base + update)
""",
            "came back with rounding errors",
        ),
        WrongAnswer(
            "the same in float64",
            """
def loss_at_rank(layer, W_base, k, measure):
    update = layer.weight.detach().double() - W_base
    U, S, Vh = torch.linalg.svd(update, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
        return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(W_base + update)
""",
            "came back with rounding errors",
        ),
        WrongAnswer(
            "takes the rest out and adds it again",
            """
def loss_at_rank(layer, W_base, k, measure):
    update = layer.weight.detach() - W_base
    U, S, Vh = torch.linalg.svd(update, full_matrices=False)
    rest = update - (U[:, :k] * S[:k]) @ Vh[:k]
    with torch.no_grad():
        try:
            layer.weight.sub_(rest)
            return measure()
        finally:
            layer.weight.add_(rest)
""",
            "came back with rounding errors",
        ),
        WrongAnswer(
            "leaves the weight frozen",
            """
def loss_at_rank(layer, W_base, k, measure):
    tuned_weight = layer.weight.detach().clone()
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    layer.requires_grad_(False)
    try:
        layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
        return measure()
    finally:
        layer.weight.copy_(tuned_weight)
""",
            "does not train any more",
        ),
        WrongAnswer(
            "measures before it cuts",
            """
def loss_at_rank(layer, W_base, k, measure):
    return measure()
""",
            "full update",
        ),
        WrongAnswer(
            "the update's sign turned round",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(W_base - tuned_weight, full_matrices=False)
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base + (U[:, :k] * S[:k]) @ Vh[:k])
            return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(tuned_weight)
""",
            "wrong sign",
        ),
        WrongAnswer(
            "adds into W_base",
            _LOSS_HEAD
            + """
    U, S, Vh = torch.linalg.svd(tuned_weight - W_base, full_matrices=False)
    W_base += (U[:, :k] * S[:k]) @ Vh[:k]
    try:
        with torch.no_grad():
            layer.weight.copy_(W_base)
            return measure()
    finally:
        with torch.no_grad():
            layer.weight.copy_(tuned_weight)
""",
            "changes `W_base` itself",
        ),
    ],
    "split_update": [
        WrongAnswer(
            "factors the wrong way round",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = (S[:r] / scaling).sqrt()
    return root[:, None] * Vh[:r], U[:, :r] * root
""",
            "(B, A)",
        ),
        WrongAnswer(
            "S on both sides",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :r] * S[:r] / scaling, S[:r, None] * Vh[:r]
""",
            "squared",
        ),
        WrongAnswer(
            "S lost",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :r] / scaling, Vh[:r]
""",
            "singular values are missing",
        ),
        WrongAnswer(
            "scaling forgotten",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = S[:r].sqrt()
    return U[:, :r] * root, root[:, None] * Vh[:r]
""",
            "scaling",
        ),
        WrongAnswer(
            "divides each factor by the scaling",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = S[:r].sqrt() / scaling
    return U[:, :r] * root, root[:, None] * Vh[:r]
""",
            "twice",
        ),
        WrongAnswer(
            "not balanced",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :r] * S[:r] / scaling, Vh[:r]
""",
            "same share",
        ),
        WrongAnswer(
            "the scaling on one side",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = S[:r].sqrt()
    return U[:, :r] * root / scaling, root[:, None] * Vh[:r]
""",
            "carries the scaling alone",
        ),
        WrongAnswer(
            "the root of the scaling on one side",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    root = S[:r].sqrt()
    return U[:, :r] * root / scaling**0.5, root[:, None] * Vh[:r]
""",
            "root of the scaling",
        ),
        WrongAnswer(
            "the root of S on one side",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return U[:, :r] * S[:r].sqrt() / scaling, Vh[:r]
""",
            "lacks its square root",
        ),
        WrongAnswer(
            "the smallest",
            """
def split_update(delta, r, scaling):
    U, S, Vh = torch.linalg.svd(delta / scaling, full_matrices=False)
    root = S[-r:].sqrt()
    return U[:, -r:] * root, root[:, None] * Vh[-r:]
""",
            "smallest singular values",
        ),
    ],
    "largest_saving_rank": [
        WrongAnswer(
            "counts equality",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return in_features * out_features // (in_features + out_features)\n",
            "equal is not smaller",
        ),
        WrongAnswer(
            "half the smaller side",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return min(in_features, out_features) // 2\n",
            "square",
        ),
        WrongAnswer(
            "rounds",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return round(in_features * out_features / (in_features + out_features)) - 1\n",
            "One rank more still saves",
        ),
        WrongAnswer(
            "multiplies in by out",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return max(0, (in_features * out_features - 1) // (in_features * out_features))\n",
            "in + out",
        ),
        WrongAnswer(
            "the full rank",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return min(in_features, out_features)\n",
            "full rank",
        ),
        WrongAnswer(
            "a float",
            "def largest_saving_rank(in_features, out_features):\n"
            "    return in_features * out_features / (in_features + out_features)\n",
            "int",
        ),
    ],
}

# The numbers of self-study.
WRONG["my_budget"] = wrong_numbers(
    "my_budget",
    {
        "the rank": ("47", "how many numbers"),
        "one rank too many": ("184_752", "round the rank down"),
        "the budget itself": ("0.05 * 1681 * 2168", "budget itself"),
        "no percentage": ("3_641_154", "percentage of W"),
        "B alone": ("79_007", "B alone"),
        "another student's": ("169_240", "not the answer to your numbers"),
    },
)

for name, more in FRESH.items():
    WRONG.setdefault(name, []).extend(more)

WRONG = joined(WRONG, afresh("01"))
