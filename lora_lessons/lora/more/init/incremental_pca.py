"""Principal components of numbers that come batch by batch, without keeping the batches.

What is kept stands for all rows seen: the k largest singular values and right singular vectors of
the centred rows. A batch is put below them, with one row for the shift of the mean, and the whole
is decomposed anew (Ross et al. 2008; scikit-learn's IncrementalPCA does the same).
"""

from __future__ import annotations

import torch
from torch import Tensor

SEED = 42  # of the randomized decomposition, as in PEFT


class IncrementalPCA:
    """The `k` first components of rows (n, features) that `update` is given."""

    components: Tensor  # (k, features), rows of length one
    singular_values: Tensor  # (k,), descending
    variance_ratio: Tensor  # (k,): the share of all variance that each component explains

    def __init__(self, k: int) -> None:
        self.k, self.seen = k, 0
        self.mean: Tensor | None = None
        self.total = torch.zeros((), dtype=torch.float64)  # the squared distances from the mean

    def update(self, rows: Tensor) -> None:
        """Take n rows in; n must be k at least."""
        n, batch_mean = len(rows), rows.mean(dim=0, dtype=torch.float64)
        centred = rows - batch_mean.to(rows.dtype)  # (n, features)
        within = centred.square().sum(dtype=torch.float64)
        if self.mean is None:
            self.mean, self.total, stack = batch_mean, within, centred
        else:
            shift, seen = self.mean - batch_mean, self.seen
            weight = seen * n / (seen + n)
            self.total = self.total + within + weight * shift.square().sum()
            self.mean = (seen * self.mean + n * batch_mean) / (seen + n)
            before = self.singular_values[:, None] * self.components
            stack = torch.vstack([before, centred, weight**0.5 * shift[None]])  # now in float64
        self.seen += n
        values, vectors = right_singular(stack, self.k)
        self.components, self.singular_values = vectors, values
        self.variance_ratio = values.square() / self.total.to(values.dtype)


def right_singular(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest singular values, and their right vectors (k, features), largest entry above 0.

    A large matrix is decomposed by four subspace iterations for 2 k vectors from a fixed seed
    (Halko et al. 2011), a small one exactly.
    """
    if 2 * k < min(matrix.shape):
        with torch.random.fork_rng():
            torch.manual_seed(SEED)
            _, values, vectors = torch.svd_lowrank(matrix, q=2 * k, niter=4)
        rows = vectors.mT
    else:
        _, values, rows = torch.linalg.svd(matrix, full_matrices=False)
    values, rows = values[:k], rows[:k]
    largest = rows.abs().argmax(dim=1, keepdim=True)
    return values, rows * rows.gather(1, largest).sign()
