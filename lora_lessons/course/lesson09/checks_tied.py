"""The check of exercise 9.7: merging into an output layer that is tied to the input embedding."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..checks.core import Wrong, expect
from .checks import draw

VOCABULARY, WIDTH = 13, 7


class LanguageModel(nn.Module):
    """An input embedding and an output layer, whose name differs from model to model.

    `flag` is what the config says of them, which need not be true.
    """

    def __init__(
        self,
        rng: torch.Generator,
        output: str,
        *,
        tied: bool,
        flag: bool,
        dtype: torch.dtype = torch.float32,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.output = output
        self.config = SimpleNamespace(tie_word_embeddings=flag)
        matrix = lambda: draw(rng, VOCABULARY, WIDTH, dtype=dtype)  # noqa: E731
        self.embed = nn.Embedding(VOCABULARY, WIDTH, _weight=matrix())
        head = nn.Linear(WIDTH, VOCABULARY, bias=bias, dtype=dtype)
        head.weight = self.embed.weight if tied else nn.Parameter(matrix())
        self.add_module(output, head)

    def get_input_embeddings(self) -> nn.Module:
        """As in transformers: the module that reads the ids."""
        return self.embed

    def get_output_embeddings(self) -> nn.Module:
        """As in transformers: the module that gives the logits."""
        return getattr(self, self.output)

    def set_output_embeddings(self, layer: nn.Module) -> None:
        """As in transformers: another module gives the logits."""
        setattr(self, self.output, layer)


def check_merge_into_head(answer: Callable[..., Any], rng: torch.Generator) -> None:
    _check_tied(answer, rng, LanguageModel(rng, "lm_head", tied=True, flag=True))
    _check_tied(answer, rng, LanguageModel(rng, "decode", tied=True, flag=False))
    for dtype in (torch.bfloat16, torch.float16):
        half = LanguageModel(rng, "embed_out", tied=True, flag=True, dtype=dtype, bias=True)
        _check_tied(answer, rng, half)
    half = LanguageModel(rng, "lm_head", tied=False, flag=False, dtype=torch.bfloat16, bias=True)
    _check_two(answer, rng, half, "This model is not tied, and the layer got a new")
    wrong_flag = LanguageModel(rng, "decode", tied=False, flag=True)
    _check_two(
        answer,
        rng,
        wrong_flag,
        "This config says True, the weights are two, and the layer got a new",
    )
    two = LanguageModel(rng, "embed_out", tied=False, flag=False)
    _check_two(answer, rng, two, "This model is not tied, and the layer got a new")
    equal = LanguageModel(rng, "lm_head", tied=False, flag=False)
    with torch.no_grad():
        equal.lm_head.weight.copy_(equal.embed.weight)
    _check_two(
        answer, rng, equal, "The two matrices are equal and yet not one: the layer got a new"
    )


def _require_nothing(result: Any) -> None:
    if result is not None:
        raise Wrong(
            f"Return nothing; got {type(result).__name__}. A function that changes its argument "
            "says so by returning None."
        )


def _check_tied(answer: Callable[..., Any], rng: torch.Generator, model: LanguageModel) -> None:
    before, delta = model.embed.weight.detach().clone(), draw(rng, VOCABULARY, WIDTH)
    flag, one = model.config.tie_word_embeddings, model.embed.weight
    bias = _bias(model)
    _require_nothing(answer(model, delta.clone()))
    head, embed = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    if torch.equal(embed, before) and embed is not one:
        raise Wrong(
            "The input embedding got the new Parameter. Leave it the one that it has, which an "
            "optimizer may hold, and give the new one to the output layer."
        )
    if not torch.equal(embed, before):
        raise Wrong(_why_changed(head, embed, before, delta, flag))
    _check_head(head, before, delta)
    _require_bias(model, bias)
    if model.config.tie_word_embeddings:
        raise Wrong(
            "model.config.tie_word_embeddings is still True: whatever ties by it again "
            "(tie_weights(), resize_token_embeddings()) makes the two one, and the update is lost."
        )


def _why_changed(head: Tensor, embed: Tensor, before: Tensor, delta: Tensor, flag: bool) -> str:
    """The message for an answer after which the input embedding has other values."""
    if head is embed and not flag:
        return (
            "The input embedding changed too. This config says False, and the two weights are one "
            "Parameter all the same (head.weight = embedding.weight does it): ask the weights."
        )
    if head is embed:
        return (
            "The input embedding changed too: it still is the same Parameter as the output layer's "
            "weight. Compare the two with `is` (named_parameters() lists a shared one once), and "
            "give the output layer a Parameter of its own first."
        )
    if head.data_ptr() == embed.data_ptr():
        return (
            "The input embedding changed too: there are two Parameters over one memory, because "
            ".detach() and .data copy nothing. Add .clone()."
        )
    if torch.equal(head, before):
        return "The update is in the input embedding, and it belongs into the output layer alone."
    return (
        "The input embedding changed too: the update was written while the two were one. Untie "
        "first, then add."
    )


def _check_head(head: Tensor, before: Tensor, delta: Tensor) -> None:
    """Raise `Wrong` unless the output layer's weight is W + delta."""
    if head.dtype != before.dtype:
        raise Wrong(
            f"The output layer's weight is {head.dtype}, and it was {before.dtype}: W + delta has "
            "delta's dtype, and such a layer stops at the first forward. Write in place, or go "
            "back by .to(W.dtype)."
        )
    if not isinstance(head, nn.Parameter):
        raise Wrong("The output layer's weight is no Parameter any more: wrap it in nn.Parameter.")
    if not head.requires_grad:
        raise Wrong(
            "The output layer's weight does not require a gradient any more, so it would not train "
            "on. torch.no_grad() around the sum is enough."
        )
    W, update = before.double(), delta.double()
    if head.dtype != torch.float32:
        _check_rounded(head, before, delta)
        return
    mistakes = {
        "The output layer is as it was: add delta to the weight that it has now.": W,
        "delta was added twice.": W + 2 * update,
        "delta was subtracted: add it.": W - update,
        "The output layer holds delta alone: the weight is W + delta.": update,
    }
    expect(head, W + update, mistakes=mistakes)


def _check_rounded(head: Tensor, before: Tensor, delta: Tensor) -> None:
    """Raise `Wrong` unless the weight is W + delta to its own dtype's last place."""
    exact = before.double() + delta.double()
    step = torch.finfo(head.dtype).eps * before.double().abs().maximum(exact.abs())
    if not ((head.double() - exact).abs() <= 2 * step).all():
        raise Wrong(f"In {head.dtype} the output layer is not W + delta, rounded.")


def _bias(model: LanguageModel) -> Tensor | None:
    bias = model.get_output_embeddings().bias
    return None if bias is None else bias.detach().clone()


def _require_bias(model: LanguageModel, before: Tensor | None) -> None:
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if (bias is None) != (before is None) or (bias is not None and not torch.equal(bias, before)):
        raise Wrong("The output layer's bias is another one, or gone: only its weight may change.")
    if not all(part.training for part in model.modules()):
        raise Wrong("The model was left in eval mode: leave its mode as it was.")
    if not model.embed.weight.requires_grad:
        raise Wrong("The input embedding does not require a gradient any more: leave it.")


def _check_two(
    answer: Callable[..., Any], rng: torch.Generator, model: LanguageModel, fault: str
) -> None:
    head, embed = model.get_output_embeddings().weight, model.embed.weight
    before, read = head.detach().clone(), embed.detach().clone()
    delta, bias = draw(rng, VOCABULARY, WIDTH), _bias(model)
    _require_nothing(answer(model, delta.clone()))
    if not torch.equal(model.get_input_embeddings().weight, read):
        raise Wrong("The input embedding changed: the update is the output layer's alone.")
    if model.get_output_embeddings().weight is not head:
        raise Wrong(
            f"{fault} Parameter; an optimizer still holds the old one. Untie only where "
            "head.weight is embedding.weight; else write in place."
        )
    _check_head(head, before, delta)
    _require_bias(model, bias)
