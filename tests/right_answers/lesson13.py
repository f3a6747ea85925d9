"""Right answers to lesson 13 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "rs_scaling": [
        RightAnswer(
            "math.sqrt, a list",
            """
def rs_scaling(lora_alpha, r):
    import math
    return [lora_alpha / math.sqrt(r), math.sqrt(r) * lora_alpha]
""",
        ),
        RightAnswer(
            "by the scaling",
            """
def rs_scaling(lora_alpha, r):
    s = lora_alpha * r ** -0.5
    return s, s * r
""",
        ),
        RightAnswer(
            "tensors",
            """
def rs_scaling(lora_alpha, r):
    root = torch.tensor(float(r), dtype=torch.float64).sqrt()
    return lora_alpha / root, lora_alpha * root
""",
        ),
    ],
    "dora_weight": [
        RightAnswer(
            "normalize, and m",
            """
def dora_weight(W, A, B, m, s):
    V = W + s * (B @ A)
    with torch.no_grad():
        scale = V.square().sum(1).rsqrt()
    return torch.diag(m * scale) @ V
""",
        ),
        RightAnswer(
            "einsum, keepdim",
            """
def dora_weight(W, A, B, m, s):
    V = W + torch.einsum("or,ri->oi", B, A) * s
    return m.unsqueeze(1) * V / torch.linalg.vector_norm(V.detach(), dim=1, keepdim=True)
""",
        ),
        RightAnswer(
            "row by row",
            """
def dora_weight(W, A, B, m, s):
    rows = []
    for i in range(len(W)):
        v = W[i] + s * (B[i] @ A)
        rows.append(m[i] * v / v.detach().norm())
    return torch.stack(rows)
""",
        ),
    ],
    "pissa": [
        RightAnswer(
            "the other signs, in float64",
            """
def pissa(W, r, s):
    U, S, V = torch.svd(W.double())
    root = torch.diag((S[:r] / s) ** 0.5)
    B, A = -(U[:, :r] @ root), -(root @ V[:, :r].T)
    return tuple(part.to(W.dtype) for part in (W - s * (B @ A), A, B))
""",
        ),
        RightAnswer(
            "the rest from the small values",
            """
def pissa(W, r, s):
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    B = U[:, :r] * S[:r].sqrt() / s ** 0.5
    A = (Vh[:r].T * S[:r].sqrt() / s ** 0.5).T
    return U[:, r:] @ torch.diag(S[r:]) @ Vh[r:], A, B
""",
        ),
        RightAnswer(
            "from the eigenvectors of W W'",
            """
def pissa(W, r, s):
    X = W.double()
    values, vectors = torch.linalg.eigh(X @ X.T)
    U = vectors[:, -r:].flip(1)
    S = values[-r:].flip(0).sqrt()
    Vh = (U.T @ X) / S[:, None]
    root = (S / s).sqrt()
    A, B = root[:, None] * Vh, U * root
    return [(X - s * B @ A).to(W.dtype), A.to(W.dtype), B.to(W.dtype)]
""",
        ),
    ],
    "loraplus_groups": [
        RightAnswer(
            "a group for each parameter",
            """
def loraplus_groups(model, lr, ratio):
    return [
        {"params": [p], "lr": lr * ratio if "lora_B" in n.split(".") else lr}
        for n, p in model.named_parameters()
        if p.requires_grad
    ]
""",
        ),
        RightAnswer(
            "comprehensions",
            """
def loraplus_groups(model, lr, ratio):
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in trained if ".lora_B." in n], "lr": ratio * lr},
        {"params": [p for n, p in trained if ".lora_B." not in n], "lr": lr},
    ]
""",
        ),
        RightAnswer(
            "a dict by rate, with names and a decay for all",
            """
def loraplus_groups(model, lr, ratio):
    groups = {}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        rate = lr * (ratio if "lora_B" in name else 1)
        groups.setdefault(rate, {"params": [], "lr": rate, "weight_decay": 0.0})["params"].append(
            (name, p)
        )
    return list(groups.values())
""",
        ),
    ],
    "loftq": [
        RightAnswer(
            "all in A",
            """
def loftq(W, quantize, r, steps):
    A, B = torch.zeros(r, W.shape[1]), torch.zeros(W.shape[0], r)
    while steps:
        steps -= 1
        Q = quantize(W - B @ A)
        U, S, Vh = torch.linalg.svd(W - Q, full_matrices=False)
        B, A = U[:, :r], torch.diag(S[:r]) @ Vh[:r]
    return Q, A, B
""",
        ),
        RightAnswer(
            "roots, and torch.svd",
            """
def loftq(W, quantize, r, steps):
    low = 0
    for _ in range(steps):
        Q = quantize(W - low)
        U, S, V = torch.svd(W - Q)
        root = S[:r].sqrt()
        B, A = U[:, :r] * root, (V[:, :r] * root).T
        low = B @ A
    return [Q, A, B]
""",
        ),
        RightAnswer(
            "recursion",
            """
def loftq(W, quantize, r, steps):
    if steps == 1:
        Q = quantize(W)
    else:
        _, A, B = loftq(W, quantize, r, steps - 1)
        Q = quantize(W - B @ A)
    U, S, Vh = torch.linalg.svd(W - Q, full_matrices=False)
    return Q, Vh[:r], U[:, :r] @ torch.diag(S[:r])
""",
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("13"))
