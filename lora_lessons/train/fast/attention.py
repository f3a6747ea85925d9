"""Attention masks that cost nothing, and kernels that can be trusted.

No mask where `is_causal` says it all, and none that the host has to look at.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

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
    module: Any = sys.modules[type(inner).__module__]
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


@contextlib.contextmanager
def masks_unseen(inputs: Collection[str]) -> Iterator[None]:
    """Inside, transformers makes a mask of what the batch brings without looking at it first.

    By itself it leaves out a mask of all ones, for which the host waits for the GPU to see that it
    is; while a CUDA graph is captured it does not look. With this, both steps are given a mask.
    """
    from transformers import masking_utils

    masking: Any = masking_utils
    original = getattr(masking, "is_tracing", None)
    if original is None or not {"attention_mask", "position_ids"} & set(inputs):
        yield
        return
    masking.is_tracing = lambda *_: True
    try:
        yield
    finally:
        masking.is_tracing = original


def kernels_for(model: nn.Module, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Inside, a GPU computes attention with a learnt bias, T5's, by the plain kernel.

    With such a bias the memory-efficient kernel of torch 2.11 read outside of its memory where a
    length was no multiple of 8. The backward pass follows the kernel of the forward pass, so only
    the forward pass has to be inside.
    """
    config = getattr(model, "config", None)
    biased = hasattr(config, "relative_attention_num_buckets")
    plain = biased and device.type == "cuda"
    return sdpa_kernel(SDPBackend.MATH) if plain else contextlib.nullcontext()
