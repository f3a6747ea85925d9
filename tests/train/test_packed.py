"""Adapters packed in one tensor and layers in groups train as they would by themselves."""

from __future__ import annotations

import pytest
import torch
from models import batch, tiny_decoder, token_ids

from lora_lessons.base.tokens import TokenBatches
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.layer import Linear
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast import masters
from lora_lessons.train.fast.groups import GroupedLinear, groups_of
from lora_lessons.train.fast.packed import PackedAdapters
from lora_lessons.train.loop import fit
from lora_lessons.train.settings import FitSettings
from lora_lessons.train.step import training_step

IDS = token_ids()
OPTIONS = [
    {},
    {"r": 3, "lora_alpha": 7},
    {"target_modules": ["q_proj", "v_proj", "down_proj"]},
    {"bias": "lora_only"},
    {"rank_pattern": {"k_proj": 2, "gate_proj": 9}},
]


def lora(dtype=torch.bfloat16, init=True, **options):
    options = {"r": 4, "target_modules": "all-linear"} | options
    base = tiny_decoder(dtype=dtype)
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(init_lora_weights=init, **options))


def run(model, steps=8, **settings):
    batches = TokenBatches(IDS, 4, 16, seed=0)
    how = {"lr": 1e-2, "progress": False, "precision": "bf16"}
    return fit(model, batches, steps=steps, **{**how, **settings})


def trained(model):
    return [p for p in model.parameters() if p.requires_grad]


def packed(model):
    adapters = PackedAdapters(trained(model), groups_of(model))
    adapters.install()
    return adapters


def test_layers_that_read_the_same_x_are_grouped():
    sizes = sorted(len(layers) for layers in groups_of(lora()))
    assert sizes == [1, 1, 1, 1, 2, 2, 3, 3]  # o, down; gate and up; q, k and v; of two blocks
    assert sorted(map(len, groups_of(lora(target_modules=["q_proj", "v_proj"])))) == [2, 2]


def test_layers_much_wider_than_their_input_stay_alone():
    def groups(wide):
        base = tiny_decoder(intermediate_size=wide)  # of hidden size 32
        model = get_peft_model(base, LoraConfig(r=4, target_modules="all-linear"))
        return sorted(map(len, groups_of(model)))

    assert groups(96) == [1, 1, 1, 1, 2, 2, 3, 3]
    assert groups(104) == [1, 1, 1, 1, 1, 1, 1, 1, 3, 3]  # gate and up by themselves


@pytest.mark.parametrize("options", OPTIONS)
def test_every_number_has_its_place_and_the_rest_is_zero(options):
    model = lora(init=False, **options)
    adapters = packed(model)
    assert adapters.repeats == 2  # the model has two blocks
    blocks = len(adapters.packed) // 2 * torch.arange(2).view(-1, 1)
    index = (adapters.index + blocks).flatten()
    assert len(index) == sum(p.numel() for p in trained(model))
    assert len(index.unique()) == len(index)
    others = torch.ones(len(adapters.packed), dtype=torch.bool)
    others[index] = False
    assert not adapters.packed[others].any()
    for group in adapters.groups:
        row = 0
        update = (group.B @ group.A).float()  # (O, in)
        assert group.B.shape[1] % 8 == 0
        for layer in group.layers:
            mine = update[row : row + layer.out_features]
            assert (mine - layer.plain_delta("default")).norm() < 0.02 * mine.norm()
            row += layer.out_features


def test_blocks_that_differ_are_not_taken_for_alike():
    lora_of = {"rank_pattern": {"layers.1.mlp.up_proj": 2}}
    assert packed(lora(**lora_of)).repeats == 1
    lora_of = {"alpha_pattern": {"layers.1.mlp.up_proj": 2}}  # the same places, another factor
    assert packed(lora(**lora_of)).repeats == 1
    one = {"target_modules": ["q_proj"], "layers_to_transform": [1]}
    assert packed(lora(**one)).repeats == 1


def gradients_of(model, masters_or_none=None):
    """The trained parameters' gradients of one batch, one behind the other."""
    if masters_or_none is None:
        loss = model(**batch()).loss
        pieces = torch.autograd.grad(loss, trained(model))
        return torch.cat([piece.flatten() for piece in pieces])
    masters_or_none.begin()
    masters_or_none.backward(model(**batch()).loss)
    return masters_or_none.flat.grad


@pytest.mark.parametrize("options", OPTIONS)
def test_gradients_are_those_of_the_layers_by_themselves(options, monkeypatch):
    model = lora(torch.float32, init=False, **options).train()
    plain = gradients_of(model)
    monkeypatch.setattr(torch, "bfloat16", torch.float32)  # so that nothing is rounded
    grouped = gradients_of(model, packed(model))
    assert {type(m) for m in model.modules() if isinstance(m, Linear)} == {GroupedLinear}
    assert (grouped - plain).norm() < 1e-5 * plain.norm()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("options", OPTIONS)
def test_it_trains_as_copies_one_by_one_do(dtype, options, monkeypatch):
    how = {"accumulate": 2, "weight_decay": 0.1, "schedule": "cosine", "warmup": 2}
    packed_model, model = lora(dtype, **options), lora(dtype, **options)
    history = run(packed_model, **how)
    monkeypatch.setattr(masters, "wants_packing", lambda *_: False)
    assert history.losses == pytest.approx(run(model, **how).losses, rel=3e-3)
    gaps = [(a - b).norm() for a, b in zip(trained(packed_model), trained(model), strict=True)]
    assert max(gaps) < 0.1 * max(p.norm() for p in trained(model))


def test_dropout_is_drawn_anew_and_is_off_in_evaluation():
    model = lora(init=False, lora_dropout=0.5)
    with training_step(model, FitSettings(steps=3, lr=1e-2, precision="bf16")):
        inputs = {"input_ids": batch()["input_ids"]}
        with torch.no_grad():
            model.train()
            assert not torch.equal(model(**inputs).logits, model(**inputs).logits)
            model.eval()
            assert torch.equal(model(**inputs).logits, model(**inputs).logits)


def test_the_model_is_its_own_again_after_an_error():
    model = lora()
    weights = [p.detach().clone() for p in model.parameters()]
    pointers = [p.data_ptr() for p in model.parameters()]
    with (
        pytest.raises(OSError, match="disk"),
        training_step(model, FitSettings(steps=3, lr=1.0)) as step,
    ):
        step.step.precision = "bf16"
        raise OSError("disk")
    adapters = packed(model)
    assert [p.data_ptr() for p in model.parameters()] != pointers
    adapters.restore()
    assert {type(m) for m in model.modules() if isinstance(m, Linear)} == {Linear}
    for p, before in zip(model.parameters(), weights, strict=True):
        assert torch.equal(p, before)
        assert p.untyped_storage().nbytes() == p.numel() * p.element_size()


def test_weights_are_up_to_date_at_every_evaluation_and_may_be_disabled():
    model, seen = lora(), []

    def valid(model):
        ids = batch()["input_ids"]
        with model.disable_adapter():
            base = model(input_ids=ids).logits
        adapted = model(input_ids=ids).logits
        update = sum(m.plain_delta("default").norm() for m in model.modules() if hasattr(m, "r"))
        seen.append((float(update), torch.equal(base, adapted)))
        return 0.0

    run(model, steps=3, valid=valid, eval_every=1)
    assert [same for _, same in seen] == [True, False, False, False]  # B starts at zero
    assert len({update for update, _ in seen}) == 4


def test_a_layer_asked_alone_or_with_another_x_answers_for_that_x():
    model = lora(init=False)
    adapters = packed(model)
    q, k, v = next(group for group in adapters.groups if len(group.layers) == 3).layers
    x, y = torch.randn(2, 5, 32, dtype=torch.bfloat16)
    alone = {(layer, t): layer(t) for layer in (q, k, v) for t in (x, y)}
    for order in ([(q, x), (k, y), (v, y)], [(v, x), (q, x), (k, x)], [(q, x), (q, y), (v, x)]):
        for layer, t in order:
            assert torch.equal(layer(t), alone[layer, t])


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.base_model.model.model.norm.requires_grad_(True),
        lambda model: next(p for p in trained(model)).requires_grad_(False),
    ],
)
def test_a_model_with_more_or_less_to_train_is_not_packed(change):
    model = lora(torch.float32)
    change(model)
    assert not masters.wants_packing(model, trained(model), "bf16")
    assert masters.wants_packing(lora(torch.float32), trained(lora(torch.float32)), "bf16") is False


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_gradient_handed_back_to_attention_is_contiguous(precision):
    """cuDNN's attention keeps its backward plan by the layouts of q, k and v alone (torch 2.11).

    A gradient in another layout, as a slice of a wider product is, was read with the first one's
    strides: silently wrong at best, outside of its memory at worst.
    """
    strides = []

    def look(_module, inputs):
        if inputs[0].requires_grad:
            inputs[0].register_hook(lambda g: strides.append(g.is_contiguous()))

    model = lora(torch.bfloat16 if precision == "bf16" else torch.float32)
    hooks = [m.register_forward_pre_hook(look) for n, m in model.named_modules()
             if n.endswith("o_proj")]  # fmt: skip
    run(model, steps=2, precision=precision)
    for hook in hooks:
        hook.remove()
    assert len(strides) == 4 and all(strides)  # two blocks, two steps
