"""The causal mask that is not needed: attention by `is_causal` alone."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

# what transformers' models always hand to create_causal_mask; anything else asks for more
PLAIN = {
    "config",
    "inputs_embeds",
    "input_embeds",
    "attention_mask",
    "cache",
    "past_key_values",
    "cache_position",
    "position_ids",
}


@contextlib.contextmanager
def without_causal_mask(inner: nn.Module, inputs: Collection[str]) -> Iterator[None]:
    """Inside, a transformers decoder with PyTorch's attention builds no causal mask.

    A batch without padding needs none: attention is told `is_causal`. transformers finds this out
    by looking at the position ids, for which the host waits for the GPU; and while a CUDA graph is
    captured it cannot look, builds a (B, 1, T, T) mask, and the fast kernel is lost. So the eager
    and the captured step would differ. Here both skip the question. Batches that bring a mask or
    positions of their own, and other kinds of attention, are left alone.
    """
    module = sys.modules[type(inner).__module__]
    original = getattr(module, "create_causal_mask", None)
    implementation = getattr(getattr(inner, "config", None), "_attn_implementation", None)
    given = {"attention_mask", "position_ids"} & set(inputs)
    if original is None or implementation != "sdpa" or given:
        yield
        return

    def no_mask(*arguments: Any, **named: Any) -> Any:
        if arguments or set(named) - PLAIN:
            return original(*arguments, **named)
        return None

    module.create_causal_mask = no_mask
    try:
        yield
    finally:
        module.create_causal_mask = original
