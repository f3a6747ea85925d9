"""LoRA on embeddings: lookups, padding, scaled rows, and weights that two modules share."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import Tensor, nn

import lora_lessons as ll

TOKENS = torch.tensor([[0, 3, 3, 12], [5, 1, 0, 7]])


class Model(nn.Module):
    """An embedding with a head, which may share its weight."""

    def __init__(self, embed: nn.Module | None = None, tied: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = embed or nn.Embedding(13, 5)
        self.head = nn.Linear(5, 13, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embed(x)))


def adapted(model: nn.Module, **fields) -> ll.PeftModel:
    defaults = {"r": 3, "lora_alpha": 7, "target_modules": ["embed"], "init_lora_weights": False}
    return ll.get_peft_model(model, ll.LoraConfig(**{**defaults, **fields}))


def gemma_embedding() -> nn.Module:
    """Gemma's embedding, which scales its rows in forward."""
    from transformers.models.gemma3.modeling_gemma3 import Gemma3TextScaledWordEmbedding

    torch.manual_seed(0)
    return Gemma3TextScaledWordEmbedding(13, 5, 0, embed_scale=5**0.5)


@pytest.mark.parametrize("use_dora", [False, True])
def test_scaled_rows_are_those_of_peft_and_merge(use_dora):
    fields = {"r": 3, "target_modules": ["embed"], "init_lora_weights": False, "use_dora": use_dora}
    model = Model(gemma_embedding())
    theirs = copy.deepcopy(model)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**fields))
    torch.manual_seed(1)
    ours = ll.get_peft_model(model, ll.LoraConfig(**fields))
    y = ours(TOKENS)
    torch.testing.assert_close(y, theirs(TOKENS), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.merge_and_unload()(TOKENS), y)


def test_the_padding_token_gets_no_gradient():
    model = adapted(Model(nn.Embedding(13, 5, padding_idx=0)))
    model(TOKENS).square().sum().backward()
    gradient = model.base_model.model.embed.lora_embedding_A["default"].grad
    assert not gradient[:, 0].any()
    assert gradient[:, [1, 3, 5, 7, 12]].any(dim=0).all()
    assert not gradient[:, [2, 4, 6, 8]].any()


def test_shapes_are_those_of_microsoft_and_peft():
    layer = adapted(Model()).base_model.model.embed
    assert layer.lora_embedding_A["default"].shape == (3, 13)
    assert layer.lora_embedding_B["default"].shape == (5, 3)
    assert layer.get_delta_weight("default").shape == (13, 5)


def test_lora_bias_is_refused():
    with pytest.raises(
        ValueError, match="lora_bias=True is not supported for Embedding, which embed"
    ):
        adapted(Model(), lora_bias=True)


def test_max_norm_is_not_merged():
    model = adapted(Model(nn.Embedding(13, 5, max_norm=1.0)))
    with pytest.raises(ValueError, match="max_norm"):
        model.merge_adapter()


@pytest.mark.parametrize("merge", ["merge_adapter", "merge_and_unload"])
def test_a_tied_weight_is_not_merged_into(merge):
    with pytest.warns(ll.PeftWarning, match="shares its weight"):
        model = adapted(Model(tied=True))
    y, weight = model(TOKENS), model.base_model.model.head.weight.clone()
    with pytest.raises(ValueError, match="embed and head share one weight"):
        getattr(model, merge)()
    assert torch.equal(model.base_model.model.head.weight, weight)
    assert torch.equal(model(TOKENS), y)


def test_an_untied_weight_is_merged_into():
    model = Model(tied=True)
    model.head.weight = nn.Parameter(model.head.weight.clone())
    model = adapted(model)
    y = model(TOKENS)
    torch.testing.assert_close(model.merge_and_unload()(TOKENS), y)


def test_each_sample_has_its_own_adapter():
    model = adapted(Model())
    model.add_adapter("b", ll.LoraConfig(r=2, target_modules=["embed"], init_lora_weights=False))
    model.eval()
    mixed = model(TOKENS, adapter_names=["b", "__base__"])
    with model.disable_adapter():
        torch.testing.assert_close(mixed[1], model(TOKENS)[1])
    model.set_adapter("b")
    torch.testing.assert_close(mixed[0], model(TOKENS)[0])


def test_dropout_has_no_input_to_act_on():
    model = adapted(Model(), lora_dropout=0.5).train()
    assert torch.equal(model(TOKENS), model(TOKENS))
