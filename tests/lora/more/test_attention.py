"""nn.MultiheadAttention, and torch's encoder layer with its fast path."""

from __future__ import annotations

import copy
import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import lora_lessons as ll
from lora_lessons.errors import ConfigError, NoMatchingPeftModuleError
from tests.lora.more.weight_models import Attends, encoder, trained

X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(2))


def config(**fields) -> ll.LoraConfig:
    return ll.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ["attention"], **fields})


def adapted(parts: dict[str, int] | None = None, options: dict | None = None, **fields):
    given = config(**fields)
    if parts is not None:
        ll.attention_parts(given, parts)
    model = trained(ll.get_peft_model(Attends(**(options or {})), given)).eval()
    if parts is not None:  # noise is not for B outside of the parts, which has no gradient
        B = model.base_model.model.attention.lora_B["default"].weight
        blocks = [torch.ones(8, parts.get(part, 0)) for part in "qkv"]
        B.data.mul_(torch.block_diag(*blocks))
        out = model.base_model.model.attention.base_layer.out_proj.lora_B["default"].weight
        out.data[:, parts.get("out", 0) :] = 0
    return model


def deltas(model: nn.Module, name: str = "default") -> tuple[torch.Tensor, torch.Tensor]:
    """The updates of W of q, k and v, and of the output's."""
    attention = model.base_model.model.attention
    out = attention.base_layer.out_proj
    return attention.get_delta_weight(name), out.get_delta_weight(name)


def by_hand(model: nn.Module, names=("default",), **options) -> nn.Module:
    """A plain model with the updates added to its weights."""
    plain = Attends(**options).eval()
    with torch.no_grad():
        for name in names:
            inner, outer = deltas(model, name)
            plain.attention.in_proj_weight.add_(inner)
            plain.attention.out_proj.weight.add_(outer)
    return plain


def test_it_starts_as_the_base_and_trains_both_weights():
    base = Attends()
    expected = base(X)
    model = ll.get_peft_model(base, config())
    assert torch.equal(model(X), expected)
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    start = "base_model.model.attention."
    ends = [f"lora_{factor}.default.weight" for factor in "AB"]
    assert names == {start + inner + end for inner in ("", "base_layer.out_proj.") for end in ends}
    trained(model)(X).square().mean().backward()
    assert all(model.get_parameter(name).grad.any() for name in names)
    assert str(model.base_model.plans["default"]).count("192") == 2  # 4 * (8 + 24) + 4 * (8 + 8)


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({}, {"need_weights": False}),
        ({"batch_first": True}, {"need_weights": False}),
        ({"bias": False}, {"average_attn_weights": False}),
        ({"add_bias_kv": True, "add_zero_attn": True}, {}),
        ({}, {"attn_mask": torch.ones(5, 5).triu(1).bool(), "is_causal": True}),
        ({}, {"key_padding_mask": torch.tensor([[0, 0, 0, 0, 1]] * 3).bool()}),
    ],
)
def test_it_is_the_attention_with_the_updates_added(options, call):
    model = adapted(options=options)
    plain, x = by_hand(model, **options), X.transpose(0, 1) if "batch_first" in options else X
    torch.testing.assert_close(model(x, **call), plain(x, **call), rtol=0, atol=1e-6)
    assert not torch.allclose(model(x, **call), Attends(**options)(x, **call))
    keys = torch.randn(x.shape) if "batch_first" in options or "attn_mask" in call else X[:4]
    if "key_padding_mask" not in call:
        torch.testing.assert_close(
            model(x, keys, **call), plain(x, keys, **call), atol=1e-6, rtol=0
        )
    with torch.no_grad():  # the attention's own fast path
        torch.testing.assert_close(model(x, **call), plain(x, **call), rtol=0, atol=1e-6)


def test_weights_of_attention_come_too():
    model = adapted()
    plain = by_hand(model)
    results = [each.attention(X, X, X)[1] for each in (model.base_model.model, plain)]
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)


def test_q_k_and_v_share_A_and_the_output_counts_twice_as_in_peft():
    attention = adapted().base_model.model.attention
    A, B = attention.lora_A["default"].weight, attention.lora_B["default"].weight
    torch.testing.assert_close(attention.get_delta_weight("default"), 6 / 4 * B @ A)
    out = attention.base_layer.out_proj
    A, B = out.lora_A["default"].weight, out.lora_B["default"].weight
    torch.testing.assert_close(out.get_delta_weight("default"), 2 * 6 / 4 * B @ A)
    assert out.scaling == attention.scaling == {"default": 6 / 4}


@pytest.mark.parametrize("parts", [None, {"q": 1, "v": 3, "out": 2}])
def test_gradients_are_those_of_finite_differences(parts):
    model, x = adapted(parts).double(), X.double()

    def loss(*values):
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        state = dict(zip(names, values, strict=True))
        return torch.func.functional_call(model, state, (x,)).square().sum()

    factors = [p.detach().requires_grad_() for p in model.parameters() if p.requires_grad]
    assert len(factors) == 4
    assert torch.autograd.gradcheck(loss, factors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("parts", [None, {"k": 4}])
def test_merged_equals_unmerged_and_the_way_back_is_exact(dtype, parts):
    base, x = Attends().to(dtype), X.to(dtype)
    before = copy.deepcopy(base.state_dict())
    given = config()
    if parts:
        ll.attention_parts(given, parts)
    model = trained(ll.get_peft_model(base, given)).eval()
    expected = model(x)
    model.merge_adapter()
    assert torch.equal(model(x), expected)
    model.unmerge_adapter()
    assert torch.equal(model(x), expected)
    with model.disable_adapter():
        assert torch.equal(model(x), Attends().to(dtype)(x))
    layer = model.base_model.model.attention
    layer.merge()
    assert layer.merged_adapters == layer.base_layer.out_proj.merged_adapters == ["default"]
    assert torch.equal(model(x), expected)
    layer.unmerge()
    plain = copy.deepcopy(model).merge_and_unload()
    assert type(plain.attention.out_proj) is type(Attends().attention.out_proj)
    assert torch.equal(plain(x), expected)
    back = model.unload()
    assert all(torch.equal(back.state_dict()[name], value) for name, value in before.items())


def test_a_forward_that_raises_leaves_the_weights():
    model = adapted()
    attention = model.base_model.model.attention.base_layer
    weight, expected = attention.in_proj_weight, model(X)
    with pytest.raises(RuntimeError):
        model(X, attn_mask=torch.zeros(9, 9))
    assert attention._parameters["in_proj_weight"] is weight
    assert torch.equal(model(X), expected)
    assert list(model.state_dict()) == list(adapted().state_dict())


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_gives_the_same_gradients(use_reentrant):
    model, x = adapted().train(), X.clone().requires_grad_()
    model(x).square().mean().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    checkpoint(model, x, use_reentrant=use_reentrant).square().mean().backward()
    assert all(torch.equal(model.get_parameter(n).grad, grad) for n, grad in expected.items())


# parts


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_part_is_an_adapter_of_its_own(size):
    for parts in itertools.combinations("qkv", size):
        ranks = dict.fromkeys(parts, 2)
        model = adapted({**ranks, "out": 1}, r=2 * size)
        inner, outer = deltas(model)
        for part, block in zip("qkv", inner.split(8), strict=True):
            assert torch.linalg.matrix_rank(block) == ranks.get(part, 0), part
        assert torch.linalg.matrix_rank(outer) == 1
        torch.testing.assert_close(model(X), by_hand(model)(X), rtol=0, atol=1e-6)
    assert not deltas(adapted({"q": 4}))[1].any()


def test_only_the_parts_train_and_a_file_is_a_plain_adapter(tmp_path):
    model = adapted({"q": 1, "v": 3}, init_lora_weights=False)
    model.zero_grad()
    model(X).square().mean().backward()
    attention = model.base_model.model.attention
    grad = attention.lora_B["default"].weight.grad
    assert grad[:8, :1].any()
    assert grad[16:, 1:].any()
    for rows, columns in (
        (slice(0, 8), slice(1, 4)),
        (slice(8, 16), slice(0, 4)),
        (slice(16, 24), 0),
    ):
        assert not grad[rows, columns].any()
    model.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(Attends(), tmp_path)
    torch.testing.assert_close(loaded(X), model(X), rtol=0, atol=1e-6)


def test_a_fresh_adapter_with_parts_has_zeros_elsewhere():
    given = config(init_lora_weights=False)
    ll.attention_parts(given, {"q": 1, "v": 3, "out": 2})
    attention = ll.get_peft_model(Attends(), given).base_model.model.attention
    B = attention.lora_B["default"].weight
    assert B[:8, :1].all()
    assert B[16:, 1:].all()
    assert (B == 0).sum() == 24 * 4 - 8 * 1 - 8 * 3
    out = attention.base_layer.out_proj.lora_B["default"].weight
    assert out[:, :2].all()
    assert not out[:, 2:].any()


def test_adapters_with_and_without_parts_stand_side_by_side():
    model = adapted({"q": 4})
    model.add_adapter("whole", config(r=2))
    model.set_adapter("whole")
    trained(model, seed=5)
    torch.testing.assert_close(model(X), by_hand(model, ["whole"])(X), rtol=0, atol=1e-6)
    assert not torch.allclose(deltas(model, "whole")[0][8:16], torch.zeros(8, 8))
    model.base_model.set_adapter(["default", "whole"])
    both = model(X)
    torch.testing.assert_close(both, by_hand(model, ["default", "whole"])(X), rtol=0, atol=1e-6)
    errors = model.base_model.add_weighted_adapter(["default", "whole"], [1.0, 1.0], "sum", "cat")
    assert max(errors.values()) < 1e-6
    assert len(errors) == 2
    model.set_adapter("sum")
    torch.testing.assert_close(model(X), both, rtol=0, atol=1e-5)
    for name in ("default", "whole", "sum"):
        model.delete_adapter(name)
    assert torch.equal(model(X), Attends().eval()(X))


@pytest.mark.parametrize(
    ("ranks", "match"),
    [
        ({"query": 4}, r"'query'"),
        ({"q": 2, "v": 1}, "add up to r=4"),
        ({"q": 4, "out": 5}, "at most r"),
        ({"q": -4, "v": 8}, "whole number"),
        ({"q": 4.0}, "whole number"),
        ({"out": 4}, "target its out_proj"),
    ],
)
def test_ranks_that_are_none_are_refused(ranks, match):
    with pytest.raises(ConfigError, match=match):
        ll.attention_parts(config(), ranks)


def test_parts_of_no_attention_are_refused():
    given = config(target_modules=["mlp"])
    ll.attention_parts(given, {"q": 4})
    with pytest.raises(ConfigError, match=r"names no nn\.MultiheadAttention"):
        ll.get_peft_model(Attends(), given)
    with pytest.raises(ConfigError, match="rank_pattern"):
        ll.attention_parts(config(rank_pattern={"attention": 2}), {"q": 4})


# the output alone, other widths, and what is refused


def test_the_output_alone_is_adapted_and_counts_once():
    base = Attends()
    expected = base(X)
    model = ll.get_peft_model(base, config(target_modules=["out_proj"]))
    assert torch.equal(model(X), expected)
    trained(model)
    out = model.base_model.model.attention.out_proj
    plain = Attends()
    with torch.no_grad():
        A, B = out.lora_A["default"].weight, out.lora_B["default"].weight
        plain.attention.out_proj.weight.add_(6 / 4 * B @ A)
    torch.testing.assert_close(model(X), plain(X), rtol=0, atol=1e-6)
    torch.testing.assert_close(out(X), plain.attention.out_proj(X), rtol=0, atol=1e-6)
    model(X).square().mean().backward()
    assert out.lora_B["default"].weight.grad.any()
    adapted_output = model(X)
    assert torch.equal(model.merge_and_unload()(X), adapted_output)


def test_keys_of_another_width_go_by_target_parameters():
    base, keys = Attends(kdim=6, vdim=6), torch.randn(4, 3, 6)
    with pytest.raises(ConfigError, match=r"another width \(6, 6\).*attention\.q_proj_weight"):
        ll.get_peft_model(base, config())
    names = ["attention.k_proj_weight", "attention.out_proj.weight"]
    expected = base(X, keys)
    model = ll.get_peft_model(base, config(target_parameters=names, target_modules=[]))
    assert torch.equal(model(X, keys), expected)
    trained(model)(X, keys).square().mean().backward()
    assert all(p.grad.any() for p in model.parameters() if p.requires_grad)
    adapted_output = model(X, keys)
    assert torch.equal(model.merge_and_unload()(X, keys), adapted_output)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"lora_dropout": 0.1}, r"attention, an nn.Multihead.*lora_dropout=0\.1"),
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"target_modules": ["out_proj"], "use_dora": True}, r"out_proj.*use_dora"),
        ({"target_modules": ["attention", "out_proj"]}, "targeted as a whole"),
        ({"target_modules": ".*attention.*"}, "targeted as a whole"),
    ],
)
def test_what_it_cannot_have_is_refused_by_name(fields, match):
    base = Attends()
    before = str(base)
    with pytest.raises(ConfigError, match=match):
        ll.get_peft_model(base, config(**fields))
    assert str(base) == before


def test_a_file_that_says_dropout_loads(tmp_path):
    model = adapted()
    model.peft_config["default"].lora_dropout = 0.1
    model.save_pretrained(tmp_path)
    loaded = ll.PeftModel.from_pretrained(Attends(), tmp_path)
    assert torch.equal(loaded(X), model(X))


def test_an_attention_is_not_adapted_in_two_ways():
    model = ll.get_peft_model(Attends(), config(target_modules=["out_proj"]))
    with pytest.raises(ConfigError, match="out_proj has an adapter"):
        model.add_adapter("second", config())
    model = ll.get_peft_model(Attends(), config())
    with pytest.raises(NoMatchingPeftModuleError, match="out_proj"):
        model.add_adapter("second", config(target_modules=["out_proj"]))
    with pytest.raises(ValueError, match="mixed adapter batches"):
        model.eval()(X, adapter_names=["default"] * 5)


def test_injected_by_the_keys_of_a_file():
    model = adapted()
    tensors = ll.get_peft_model_state_dict(model)
    again = ll.inject_adapter_in_model(config(), Attends(), state_dict=tensors)
    ll.set_peft_model_state_dict(again, tensors)
    assert torch.equal(again.eval()(X), model(X))


# torch's encoder layer

BATCH = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(2))
PADDED = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 1]]).bool()
TARGETS = {
    "feed-forward": {"target_modules": ["linear1", "linear2"]},
    "with a bias": {"target_modules": ["linear1"], "lora_bias": True, "init_lora_weights": False},
    "DoRA": {"target_modules": ["linear2"], "use_dora": True},
    "PiSSA": {"target_modules": ["linear1"], "init_lora_weights": "pissa"},
    "attention": {"target_modules": ["self_attn"]},
    "output": {"target_modules": ["out_proj"]},
    "all": {"target_modules": ["self_attn", "linear1", "linear2"]},
    "parameters": {
        "target_parameters": ["self_attn.in_proj_weight", "out_proj.weight", "linear1.weight"],
        "target_modules": [],
    },
    "a saved module": {"target_modules": ["linear1"], "modules_to_save": ["linear2", "norm1"]},
}


def without_fast_path(model: nn.Module, **call) -> torch.Tensor:
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        return model(BATCH, **call)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)


@pytest.fixture
def fused_calls(monkeypatch):
    """How often torch's fused encoder layer was called."""
    calls, fused = [], torch._transformer_encoder_layer_fwd

    def counted(*args):
        calls.append(1)
        return fused(*args)

    monkeypatch.setattr(torch, "_transformer_encoder_layer_fwd", counted)
    return calls


@pytest.mark.parametrize("padding", [None, PADDED])
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("norm_first", [False, pytest.param(True, marks=pytest.mark.nightly)])
@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype")
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True, but")
def test_the_fast_path_does_not_pass_the_adapter_by(kind, padding, norm_first, fused_calls):
    model = encoder(norm_first=norm_first)
    with torch.no_grad():
        base = model(BATCH, src_key_padding_mask=padding)
    fused_before = len(fused_calls)
    assert fused_before == 2
    model = trained(ll.get_peft_model(model, ll.LoraConfig(r=2, **TARGETS[kind]))).eval()
    seen = torch.ones(3, 5).bool() if padding is None else ~padding
    expected = without_fast_path(model, src_key_padding_mask=padding)
    assert not torch.allclose(expected[seen], base[seen], atol=1e-3)
    with torch.no_grad():
        fast = model(BATCH, src_key_padding_mask=padding)
        assert len(fused_calls) == fused_before + 2  # it is taken, and has the adapter in it
        torch.testing.assert_close(fast[seen], expected[seen], rtol=1e-5, atol=2e-6)
        with model.disable_adapter():
            assert torch.equal(model(BATCH, src_key_padding_mask=padding), base)
        model.merge_adapter()
        merged = model(BATCH, src_key_padding_mask=padding)
        torch.testing.assert_close(merged[seen], fast[seen], rtol=1e-5, atol=2e-6)
        model.unmerge_adapter()
    slow = model(BATCH, src_key_padding_mask=padding)  # a gradient is wanted: never the fast path
    assert slow.requires_grad
    slow[seen].square().mean().backward()
    trains = [p for p in model.parameters() if p.requires_grad]
    assert trains
    assert all(p.grad is not None and p.grad.any() for p in trains)


def test_gradients_in_evaluation_are_those_of_training():
    model = trained(ll.get_peft_model(encoder(), ll.LoraConfig(r=2, target_modules=["linear1"])))
    grads = []
    for mode in (True, False):
        model.zero_grad()
        model.train(mode)(BATCH).square().mean().backward()
        grads.append([p.grad.clone() for p in model.parameters() if p.requires_grad])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_an_encoder_layer_by_itself_and_a_subclass_of_it():
    class Own(nn.TransformerEncoderLayer):
        pass

    torch.manual_seed(0)
    for layer in (nn.TransformerEncoderLayer, Own):
        base = layer(8, 2, 12, 0.0, batch_first=True).eval()
        model = trained(ll.get_peft_model(base, ll.LoraConfig(r=2, target_modules=["linear1"])))
        expected = model.eval()(BATCH)
        with torch.no_grad():
            torch.testing.assert_close(model(BATCH), expected, rtol=0, atol=2e-6)
        assert "lora.Linear" in repr(model)
        assert type(model.unload().linear1) is nn.Linear


def test_fit_trains_an_encoder():
    class Language(nn.Module):
        """Ids (batch, time) -> logits (batch, time, 16), and the loss of the next ids."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed = nn.Embedding(16, 8)
            self.encoder = encoder()
            self.head = nn.Linear(8, 16)

        def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> SimpleNamespace:
            mask = nn.Transformer.generate_square_subsequent_mask(input_ids.shape[1])
            logits = self.head(self.encoder(self.embed(input_ids), mask=mask, is_causal=True))
            last = labels[:, 1:].flatten()
            loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), last)
            return SimpleNamespace(loss=loss, logits=logits)

    targets = ["self_attn", "linear1", "linear2"]
    model = ll.get_peft_model(Language(), ll.LoraConfig(r=4, target_modules=targets))
    batches = ll.TokenBatches(torch.arange(400) % 5, 4, 16, seed=0)
    history = ll.fit(model, batches, steps=60, lr=3e-2, progress=False)
    assert history.losses[-1] < history.losses[0] - 0.2
