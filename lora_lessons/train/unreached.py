"""Adapters that the loss does not depend on are named after the first step: they would not train.

A forward that never calls a layer, a `detach`, a `no_grad`: the loss falls all the same, by the
other adapters, and the file that is saved holds numbers that nothing has changed.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from torch import nn

from ..errors import PeftWarning
from ..lora.tuner_layer import AdapterHolder

SHOWN = 5  # names; the others are counted


def without_gradient(model: nn.Module, unreached: Iterable[nn.Parameter]) -> list[str]:
    """Names of the modules with adapters of which no trainable parameter is reached."""
    missed = set(unreached)
    names = []
    for name, module in model.named_modules():
        holds = isinstance(module, AdapterHolder)
        trained = [p for p in module.parameters() if p.requires_grad] if holds else []
        if trained and missed.issuperset(trained):
            names.append(name)
    return names


def warn_of_unreached(names: Sequence[str]) -> None:
    """Warn of such adapters by name, if there are any."""
    if names:
        shown = ", ".join(names[:SHOWN])
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        warnings.warn(
            f"no gradient reached these adapters in the first step: {shown}{more}. The loss does "
            "not depend on them: the model's forward did not call these modules, or a detach() or "
            "no_grad() stands behind them. (An expert that no token chose may get one later.)",
            PeftWarning,
            stacklevel=6,
        )
