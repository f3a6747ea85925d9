"""The loss of a language model, as a sum over tokens and a count of tokens.

A mean over a batch cannot be averaged with another batch's mean when the batches hold different
numbers of labels. So every loss here is the pair (sum, count), and the division is done once, when
all parts are known: after accumulation and over all processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .fast.attention import kernels_for, masks_unseen, without_causal_mask
from .fast.cross_entropy import linear_cross_entropy

Batch = Mapping[str, torch.Tensor]
LossFunction = Callable[[nn.Module, Batch], "torch.Tensor | tuple[torch.Tensor, torch.Tensor]"]

# families whose logits are lm_head(hidden) and nothing more: no scale, no soft cap
PLAIN_HEADS = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM")
IGNORED = -100  # a label that is not predicted, as in transformers


def next_token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Loss of each prediction of a next token, 0 where the label is ignored.

    logits (B, T, V) and labels (B, T), not shifted: position t predicts label t + 1.
    Returns (B, T) in float32; the last position predicts nothing and is 0. The labels are shifted,
    not the logits: shifted logits would be a copy of the largest tensor of the step.
    """
    targets = shift(labels)  # (B, T)
    losses = F.cross_entropy(
        logits.flatten(0, 1).float() if logits.dtype != torch.float64 else logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )
    return losses.view_as(labels)


def shift(labels: torch.Tensor) -> torch.Tensor:
    """(B, T) labels -> (B, T) targets: the label to the right, ignored at the end."""
    return F.pad(labels[:, 1:], (0, 1), value=IGNORED)


def count_targets(labels: torch.Tensor) -> torch.Tensor:
    """The number of tokens that are predicted, a scalar tensor on the labels' device."""
    return (labels[:, 1:] != IGNORED).sum()


def summed_loss(model: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The default loss: (sum of losses, count of labels) of a batch with `labels`.

    A causal language model is scored on the next token. Any other model of transformers (masked,
    sequence to sequence, with a head) returns its own mean loss, which is multiplied by its count
    of labels.
    """
    labels = batch["labels"]
    if is_causal_lm(model):
        inputs = {name: value for name, value in batch.items() if name != "labels"}
        return token_losses(model, labels, **inputs).sum(), count_targets(labels)
    count = (labels != IGNORED).sum()
    with masks_for(labels.device, batch), kernels_for(unwrap(model), labels.device):
        return model(**batch, **without_cache(model)).loss * count, count


def token_losses(model: nn.Module, labels: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
    """Loss of each prediction of a causal language model, (B, T), 0 where the label is ignored.

    No cache is filled and no mask built that is not needed; behind a frozen head the logits are
    not held either (see `linear_cross_entropy`).
    """
    inner: Any = unwrap(model)
    cache = without_cache(model)
    head = frozen_head(model)
    with without_causal_mask(inner, inputs), masks_for(labels.device, inputs):
        if head is None:
            return next_token_losses(model(**inputs, **cache).logits, labels)
        hidden = inner.model(**inputs, **cache).last_hidden_state  # (B, T, h)
    losses = linear_cross_entropy(hidden.flatten(0, 1), head.weight, shift(labels).flatten())
    return losses.view_as(labels)


def without_cache(model: nn.Module) -> dict[str, bool]:
    """The argument that keeps a decoder from filling a cache, if the model is or has one."""
    config = getattr(unwrap(model), "config", None)
    decodes = is_causal_lm(model) or getattr(config, "is_encoder_decoder", False)
    return {"use_cache": False} if decodes and hasattr(config, "use_cache") else {}


def masks_for(
    device: torch.device, inputs: Collection[str]
) -> contextlib.AbstractContextManager[Any]:
    """On a GPU masks are made without waiting for it; on a CPU looking at them costs nothing."""
    return masks_unseen(inputs) if device.type == "cuda" else contextlib.nullcontext()


def frozen_head(model: nn.Module) -> nn.Linear | None:
    """The linear map from hidden states to logits, if it is all there is and is not trained."""
    inner: Any = unwrap(model)
    if type(inner).__name__ not in PLAIN_HEADS or is_sharded(model):
        return None
    head = inner.lm_head
    trained = torch.is_grad_enabled() and any(p.requires_grad for p in head.parameters())
    if type(head) is not nn.Linear or type(head.weight).__module__.startswith("torchao."):
        return None  # a quantized head is called, its weight is not multiplied with
    return head if head.bias is None and not trained else None


def is_causal_lm(model: nn.Module) -> bool:
    """Whether the model, or the model inside a wrapper, predicts the next token."""
    inner = unwrap(model)
    return any(word in type(inner).__name__ for word in ("CausalLM", "LMHead"))


def unwrap(model: nn.Module) -> nn.Module:
    """The transformers model inside a PEFT wrapper, ours or peft's."""
    get_base_model: Any = getattr(model, "get_base_model", None)
    return get_base_model() if get_base_model is not None else model


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP2 gathers the model's weights, which it does when the model itself is called."""
    return any(hasattr(type(one), "reshard") for one in (model, unwrap(model)))


def runs_in_one_dtype(model: nn.Module) -> bool:
    """Whether a bf16 model computes in bf16 by itself: transformers' are written so.

    Another model may meet float32, in a batch or in itself, which only autocast rounds.
    """
    return any(kind.__name__ == "PreTrainedModel" for kind in type(unwrap(model)).__mro__)


def require_labels(batch: Batch) -> None:
    """Raise if a batch cannot be scored by the default loss."""
    if not isinstance(batch, Mapping):
        raise TypeError(f"a batch is a dict of tensors, got {type(batch).__name__}")
    if "labels" not in batch:
        raise ValueError(
            f"the batch has no 'labels' (it holds: {', '.join(batch) or 'nothing'}). "
            "For a language model they are a copy of 'input_ids'; or pass loss_fn=."
        )
    if not isinstance(batch["labels"], torch.Tensor):
        kind = type(batch["labels"]).__name__
        raise TypeError(f"a batch is a dict of tensors, and its 'labels' are a {kind}")


def require_targets(batches: Sequence[Batch]) -> None:
    """Raise if no label of a step is predicted: its loss would be 0, and nothing learnt."""
    if not any((batch["labels"] != IGNORED).any() for batch in batches):
        raise ValueError(
            f"every label of the first step is {IGNORED}, which is not predicted: there is nothing "
            "to learn. Were the labels masked too far?"
        )
