"""Scores of a classification: F1 of one class, and the mean of F1 over the classes."""

from __future__ import annotations

from torch import Tensor


def f1(predicted: Tensor, true: Tensor, label: int) -> float:
    """F1 of one class, 2 TP / (2 TP + FP + FN); both (n,). 0 for a class that never occurs.

    It is the harmonic mean of precision, TP / (TP + FP), and recall, TP / (TP + FN).
    """
    said, is_ = predicted == label, true == label
    hits = int((said & is_).sum())
    return 2 * hits / max(1, int(said.sum()) + int(is_.sum()))


def macro_f1(predicted: Tensor, true: Tensor, classes: int) -> float:
    """The unweighted mean of F1 over all classes: a rare class counts as much as a common one."""
    return sum(f1(predicted, true, label) for label in range(classes)) / classes


def accuracy(predicted: Tensor, true: Tensor) -> float:
    """The share of examples whose class is right."""
    return (predicted == true).double().mean().item()
