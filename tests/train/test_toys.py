"""Models that people make train alike with the fast layers and with the layer as written."""

from __future__ import annotations

import copy
import functools
import io

import pytest
import torch
from toys import TOYS, Toy, batches, square_loss

from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.layer import Linear
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.fast import masters, packed
from lora_lessons.train.fast.fused import FusedLinear
from lora_lessons.train.fast.groups import GroupedLinear, groups_of
from lora_lessons.train.loop import fit

# some of the toys leave layers out, of which fit warns: test_unreached.py holds it to that
pytestmark = pytest.mark.filterwarnings("ignore:no gradient reached")

FLOAT32 = 1e-6
# AdamW divides a gradient by its own size, so the rounding of a small one shows in the weights
FLOAT32_STEP = 5e-6
BF16_LOSS, BF16_STEP = 0.02, 0.1  # the same with products in bf16


def adapted(kind, dtype=torch.float32, **options):
    """A toy with adapters on all its linear layers, B not zero."""
    torch.manual_seed(0)
    toy = kind()
    names = [name for name, module in toy.named_modules() if isinstance(module, torch.nn.Linear)]
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=names, init_lora_weights=False, **options)
    model = get_peft_model(toy.to(dtype), config)
    toy.after()
    return model


def train(model, same_x=False, steps=6, **settings):
    how = {"lr": 1e-2, "weight_decay": 0.1, "loss_fn": square_loss, "progress": False}
    return fit(model, batches(same_x), steps=steps, **how | settings)


def trained(model):
    return [p.detach().float() for p in model.parameters() if p.requires_grad]


def require_same(fast, plain, losses, expected, loss_tolerance, step_tolerance):
    """Losses relative, weights relative to their own size, or to 1."""
    assert losses == pytest.approx(expected, rel=loss_tolerance)
    for a, b in zip(trained(fast), trained(plain), strict=True):
        assert (a - b).norm() <= step_tolerance * max(1.0, b.norm())


@pytest.fixture
def grouped_in_float32(monkeypatch):
    """Groups and packing as for bf16 products, in float32: so that nothing is rounded."""
    monkeypatch.setattr(masters, "uses_bf16", lambda *_: True)
    monkeypatch.setattr(
        masters, "PackedAdapters", functools.partial(packed.PackedAdapters, dtype=torch.float32)
    )


@pytest.mark.parametrize("same_x", [False, True], ids=["new x", "same x"])
@pytest.mark.parametrize("toy", TOYS)
def test_fused_layers_train_as_written_ones(toy, same_x):
    fast, plain = adapted(TOYS[toy]), adapted(TOYS[toy])
    losses = train(fast, same_x).losses
    expected = train(plain, same_x, fast_layers=False).losses
    require_same(fast, plain, losses, expected, FLOAT32, FLOAT32_STEP)


@pytest.mark.parametrize("same_x", [False, True], ids=["new x", "same x"])
@pytest.mark.parametrize("bias", ["none", "lora_only"])
@pytest.mark.parametrize("toy", TOYS)
def test_grouped_layers_train_as_written_ones(toy, bias, same_x, grouped_in_float32):
    fast, plain = adapted(TOYS[toy], bias=bias), adapted(TOYS[toy], bias=bias)
    losses = train(fast, same_x, accumulate=2).losses
    expected = train(plain, same_x, accumulate=2, fast_layers=False).losses
    require_same(fast, plain, losses, expected, FLOAT32, FLOAT32_STEP)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("toy", TOYS)
def test_bf16_products_train_as_written_layers_under_autocast(toy, dtype):
    fast, plain = adapted(TOYS[toy], dtype), adapted(TOYS[toy], dtype)
    losses = train(fast, same_x=True, precision="bf16").losses
    expected = train(plain, same_x=True, precision="bf16", fast_layers=False).losses
    require_same(fast, plain, losses, expected, BF16_LOSS, BF16_STEP)


@pytest.mark.parametrize("toy", TOYS)
def test_every_layer_is_in_one_group(toy):
    model = adapted(TOYS[toy])
    grouped = [layer for layers in groups_of(model) for layer in layers]
    assert len(grouped) == len({id(layer) for layer in grouped})
    layers = {id(m) for m in model.modules() if isinstance(m, Linear)}
    hooked = {id(model.base_model.model.gate_proj)} if toy == "Watched" else set()
    assert {id(layer) for layer in grouped} == layers - hooked


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_plain_layers_are_the_very_class_of_the_lesson(precision):
    seen, model = set(), adapted(Toy)

    def look(model, batch):
        seen.update(type(m) for m in model.modules() if isinstance(m, Linear))
        return square_loss(model, batch)

    history = train(model, precision=precision, fast_layers=False, loss_fn=look)
    assert seen == {Linear}
    assert not history.fast_layers
    seen.clear()
    assert train(model, precision=precision, loss_fn=look).fast_layers
    assert seen == {GroupedLinear if precision == "bf16" else FusedLinear}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_a_copy_made_inside_fit_is_a_model_of_plain_layers(way, precision):
    model, kept = adapted(Toy), []

    def valid(model):
        if way == "deepcopy":
            kept.append(copy.deepcopy(model))
        else:
            file = io.BytesIO()
            torch.save(model, file)
            file.seek(0)
            kept.append(torch.load(file, weights_only=False))
        return 0.0

    train(model, precision=precision, valid=valid)
    assert len(kept) == 2
    assert {type(m) for m in kept[1].modules() if isinstance(m, Linear)} == {Linear}
    x = batches(True)[0]["x"]
    assert torch.equal(kept[1](x), model(x))
    assert not torch.equal(kept[0](x), model(x))


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("base", [torch.bfloat16, torch.float32])
def test_a_fit_that_fails_while_it_packs_leaves_the_model_as_it_was(at, base, monkeypatch):
    model = adapted(Toy, base, bias="lora_only")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    concatenate, calls = torch.cat, []

    def out_of_memory(*arguments, **named):
        calls.append(1)
        if len(calls) == at + 1:
            raise torch.OutOfMemoryError("no memory")
        return concatenate(*arguments, **named)

    monkeypatch.setattr(torch, "cat", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        train(model, precision="bf16")
    monkeypatch.undo()
    require_untouched(model, before)
    assert len(train(model, precision="bf16").losses) == 6


def require_untouched(model, before):
    layers = [m for m in model.modules() if isinstance(m, Linear)]
    assert {type(layer) for layer in layers} == {Linear}
    assert not any({"group", "place"} & set(vars(layer)) for layer in layers)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype
        assert value.untyped_storage().nbytes() == value.nbytes


def test_copies_that_fail_half_way_leave_the_parameters_as_they_were(monkeypatch):
    model = adapted(Toy, torch.bfloat16)
    model.base_model.model.down_proj.base_layer.requires_grad_(True)
    model.base_model.model.down_proj.base_layer.float()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    round_it, calls = torch.Tensor.bfloat16, []

    def out_of_memory(tensor):
        calls.append(1)
        if len(calls) == 4:
            raise torch.OutOfMemoryError("no memory")
        return round_it(tensor)

    monkeypatch.setattr(torch.Tensor, "bfloat16", out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        train(model, precision="bf16")
    monkeypatch.undo()
    require_untouched(model, before)


def test_a_second_derivative_is_refused_and_not_wrong():
    def penalty(model, batch):
        x = batch["x"].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
        return gradient.square().sum()

    with pytest.raises(RuntimeError, match="once_differentiable"):
        train(adapted(Toy), loss_fn=penalty)
    assert len(train(adapted(Toy), loss_fn=penalty, fast_layers=False).losses) == 6


def test_a_resumed_run_has_layers_that_no_gradient_reached(tmp_path, grouped_in_float32):
    kind = TOYS["EveryOtherStep"]
    whole, resumed = adapted(kind), adapted(kind)
    expected = train(whole, steps=8)
    short = {"checkpoint": tmp_path, "checkpoint_every": 4, "steps": 8}

    def stop(model, batch):
        if model.base_model.model.calls == 6:
            raise OSError("killed")
        return square_loss(model, batch)

    with pytest.raises(OSError, match="killed"):
        train(adapted(kind), loss_fn=stop, **short)
    resumed.base_model.model.calls = 4
    assert train(resumed, **short).losses == expected.losses
    assert all(map(torch.equal, trained(resumed), trained(whole)))
