"""Adapters beside layers of few bits: bitsandbytes', torchao's and the package's own."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn

import lora_lessons as ll
from lora_lessons.lora.more.layers import bitsandbytes_on_cpu, quantized
from tests.lora.more.quantized_models import (
    KINDS,
    OUT,
    THEIRS,
    WIDTH,
    Floats,
    Quantized,
    example,
    quietly,
)
from tests.lora.more.quantized_models import quantized as layer_of_kind
from tests.train.models import tiny_decoder, token_ids

pytestmark = pytest.mark.quantized
CLASSES = {"nf4": "Linear4bit", "fp4": "Linear4bit", "int8": "Linear8bitLt"}
CLASSES |= {"torchao": "TorchaoLoraLinear", "own_nf4": "NF4LoraLinear"}
TARGETS = ["first", "second"]


def adapted(base, **fields):
    torch.manual_seed(1)
    given = {"r": 4, "target_modules": TARGETS, "init_lora_weights": False, **fields}
    return ll.get_peft_model(base, ll.LoraConfig(**given))


def decoded(layer):
    return layer.float_weight("a test").detach()


def base_tensors(model):
    """All that is frozen, packed or not, by name."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}


@pytest.mark.parametrize("kind", KINDS)
def test_the_output_is_that_of_the_decoded_weights_and_the_update(kind):
    model, x = adapted(Quantized(kind)).train(), example()
    layer = model.base_model.model.first
    assert type(layer).__name__ == CLASSES[kind]
    assert layer.lora_A["default"].weight.shape == (4, WIDTH)
    assert layer.lora_B["default"].weight.dtype == torch.float32
    W = decoded(layer)
    assert W.shape == (WIDTH, WIDTH)
    assert (W - Floats().first.weight).norm() / Floats().first.weight.norm() < 0.15
    expected = nn.functional.linear(x, W + layer.get_delta_weight("default"), layer.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_at_the_start_disabled_and_unloaded(kind):
    base, x = Quantized(kind).train(), example()
    expected = base(x).detach()
    model = adapted(base, init_lora_weights=True)
    assert torch.equal(model(x), expected)
    other = adapted(Quantized(kind).train())
    assert not torch.allclose(other(x), expected)
    with other.disable_adapter():
        assert torch.equal(other(x), expected)
    plain = other.unload()
    assert torch.equal(plain(x), expected)
    assert type(plain.first) is type(base.first.base_layer)


@pytest.mark.parametrize("fields", [{}, {"use_dora": True}, {"lora_bias": True}])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_agree_with_finite_differences(kind, fields):
    model, x = adapted(Quantized(kind), **fields).train(), example()
    if fields.get("use_dora"):  # its gradient takes the norm as a constant: m alone is exact
        parameters = [m.lora_magnitude_vector["default"].weight for m in lora_layers(model)]
    else:
        parameters = [p for p in model.parameters() if p.requires_grad]
    assert len(parameters) == {(): 4, ("use_dora",): 2, ("lora_bias",): 6}[tuple(fields)]
    for parameter in parameters:
        model.zero_grad()
        loss_of(model, x).backward()
        slope = parameter.grad.norm().item()
        direction = parameter.grad / slope  # any other has a smaller slope, that noise may hide
        assert slope == pytest.approx(difference(model, x, parameter, direction), rel=1e-2)


def lora_layers(model):
    return [model.base_model.model.first, model.base_model.model.second]


def loss_of(model, x):
    return model(x).double().square().sum()


@torch.no_grad()
def difference(model, x, parameter, direction, step=3e-3):
    values = []
    for sign in (1, -1):
        parameter.add_(sign * step * direction)
        values.append(loss_of(model, x).item())
        parameter.sub_(sign * step * direction)
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_fit_trains_the_adapters_and_not_one_code(kind, use_dora):
    model = adapted(Quantized(kind), init_lora_weights=True, use_dora=use_dora)
    before, x = base_tensors(model), example()
    target = torch.randn(2, 3, 5, generator=ll.generator(0))

    def loss(model, batch):
        return (model(batch["x"]) - batch["y"]).square().mean()

    batches = [{"x": x, "y": target}]
    history = ll.fit(model, batches, loss_fn=loss, steps=20, lr=1e-2, progress=False)
    assert history.losses[-1] < 0.5 * history.losses[0]
    after = base_tensors(model)
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(plain(after[name]), plain(tensor)), name


def plain(tensor):
    """The numbers of a tensor of torchao's; others as they are."""
    return tensor.dequantize() if type(tensor).__module__.startswith("torchao.") else tensor


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["merge_adapter", "merge_and_unload", "layer", "report"])
def test_merging_is_refused_and_nothing_changes(kind, how):
    model, x = adapted(Quantized(kind), target_modules=["head", *TARGETS]).train(), example()
    before, output = base_tensors(model), model(x).detach()
    with pytest.raises(ll.MergeError, match=r"(?s)quantized weights.*load the base again without"):
        if how == "layer":
            model.base_model.model.first.merge()
        elif how == "report":
            model.base_model.merge_report()
        else:
            getattr(model, how)()
    assert not any(m.merged for m in model.modules() if isinstance(m, ll.LoraLayer))
    for name, tensor in base_tensors(model).items():
        assert torch.equal(plain(tensor), plain(before[name])), name
    assert torch.equal(model(x), output)


@pytest.mark.parametrize("kind", KINDS)
def test_saved_loaded_and_merged_into_the_float_base(kind, tmp_path):
    model, x = adapted(Quantized(kind)).train(), example()
    model.save_pretrained(tmp_path)
    saved = ll.load_peft_weights(tmp_path)
    assert len(saved) == 4 and all("lora_" in key for key in saved)
    again = ll.PeftModel.from_pretrained(Quantized(kind), tmp_path).train()
    assert torch.equal(again(x), model(x))
    floats = ll.PeftModel.from_pretrained(Floats(), tmp_path)
    expected = floats(x).detach()
    merged = floats.merge_and_unload()
    torch.testing.assert_close(merged(x), expected, rtol=1e-4, atol=1e-5)
    assert (merged(x) - model(x)).norm() / model(x).norm() < 0.15  # the base's own rounding


@pytest.mark.parametrize("init", ["pissa", "pissa_niter_4", "olora", "loftq"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_start_taken_out_of_W_is_refused_by_name(kind, init):
    base = Quantized(kind)
    with pytest.raises(ll.ConfigError, match=rf"(?s){init}.*first is quantized"):
        adapted(base, init_lora_weights=init)
    assert not any(isinstance(module, ll.LoraLayer) for module in base.modules())


@pytest.mark.parametrize("kind", ["own_nf4", "nf4"])
def test_a_loftq_adapter_from_the_float_base_fits_the_base_in_4_bits(kind, tmp_path):
    options = {"double": False} if kind == "own_nf4" else {"compress_statistics": False}
    rounded, x = adapted(Floats(), init_lora_weights="loftq").train(), example()
    rounded.save_pretrained(tmp_path)
    model = ll.PeftModel.from_pretrained(Quantized(kind, **options), tmp_path).train()
    torch.testing.assert_close(model(x), rounded(x), rtol=1e-5, atol=1e-5)
    gap = (model(x) - Floats()(x)).norm()
    with model.disable_adapter():
        assert gap < 0.9 * (model(x) - Floats()(x)).norm()


@pytest.mark.parametrize("low_cpu_mem_usage", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_dora_is_loaded_as_it_was_saved(kind, low_cpu_mem_usage, tmp_path):
    model, x = adapted(Quantized(kind), use_dora=True).train(), example()
    with torch.no_grad():
        for layer in lora_layers(model):
            layer.lora_magnitude_vector["default"].weight.mul_(1.5)
    model.save_pretrained(tmp_path)
    again = ll.PeftModel.from_pretrained(
        Quantized(kind), tmp_path, low_cpu_mem_usage=low_cpu_mem_usage
    )
    torch.testing.assert_close(again.train()(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_orthogonal_does_not_look_at_W(kind):
    base, x = Quantized(kind).train(), example()
    expected = base(x).detach()
    model = adapted(base, init_lora_weights="orthogonal")
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert all(m.lora_B["default"].weight.any() for m in lora_layers(model))


@pytest.mark.parametrize("kind", KINDS)
def test_doras_magnitudes_are_the_norms_of_the_decoded_rows(kind):
    model = adapted(Quantized(kind), init_lora_weights=True, use_dora=True)
    for layer in lora_layers(model):
        magnitude = layer.lora_magnitude_vector["default"].weight
        torch.testing.assert_close(magnitude.detach(), decoded(layer).float().norm(dim=1))


@pytest.mark.parametrize("kind", KINDS)
def test_all_linear_a_large_rank_and_the_counts(kind):
    with pytest.warns(ll.PeftWarning, match=r"r=40 is above the size of second \(64, 32\)"):
        model = adapted(Quantized(kind), r=40, target_modules="all-linear", exclude_modules="head")
    assert {n.split(".")[0] for n in model.base_model.targeted_module_names} == set(TARGETS)
    trained, total = model.get_nb_trainable_parameters()
    assert trained == 40 * (WIDTH + WIDTH) + 40 * (WIDTH + OUT)
    if kind in THEIRS:
        assert total - trained == sum(p.numel() for p in Floats().parameters())
        assert model.get_model_status().total_params == total


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_pickles_compute_the_same(kind):
    model, x = adapted(Quantized(kind)).train(), example()
    copied = copy.deepcopy(model)
    assert torch.equal(copied(x), model(x))
    if kind != "torchao":  # whose layers no pickle takes
        assert torch.equal(pickle.loads(pickle.dumps(model)).train()(x), model(x))


@pytest.mark.parametrize("kind", KINDS)
def test_two_adapters_switch_and_mix_in_one_batch(kind):
    model, x = adapted(Quantized(kind)).train(), example()
    model.add_adapter("other", ll.LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False))
    first = model(x).detach()
    model.set_adapter("other")
    other = model(x).detach()
    assert not torch.allclose(first, other)
    model.eval()
    rows = {}
    for name in ("default", "other"):
        model.set_adapter(name)
        rows[name] = model(x).detach()
    mixed = model(x, adapter_names=["other", "default"])
    expected = torch.stack([rows["other"][0], rows["default"][1]])
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [True, False])
def test_the_adapters_dtype_is_never_that_of_the_codes(dtype, autocast):
    base = Quantized("nf4", compute_dtype=dtype)
    config = ll.LoraConfig(r=4, target_modules=TARGETS)
    model = ll.get_peft_model(base, config, autocast_adapter_dtype=autocast)
    dtypes = {p.dtype for p in model.parameters() if p.requires_grad}
    assert dtypes == {torch.float32 if autocast else dtype}
    assert model.train()(example()).dtype == torch.float32


def test_a_layer_that_is_not_quantized_yet_becomes_it_with_its_adapter():
    bnb = quietly("bitsandbytes")
    torch.manual_seed(0)
    base = nn.Sequential(bnb.nn.Linear4bit(WIDTH, OUT, quant_type="nf4"), nn.Tanh())
    model = ll.get_peft_model(base, ll.LoraConfig(r=4, target_modules=["0"], use_dora=True))
    assert model.base_model.model[0].weight.dtype == torch.float32
    model = model.to("cpu")
    assert model.base_model.model[0].weight.dtype == torch.uint8
    assert model.train()(example()).shape == (2, 3, OUT)


@pytest.mark.parametrize("kind", ["nf4", "int8", "own_nf4"])
def test_an_offloaded_weight_is_refused_where_its_values_are_needed(kind):
    base = Quantized(kind)
    base.first.weight = nn.Parameter(base.first.weight.data.to("meta"), requires_grad=False)
    with pytest.raises(ll.ConfigError, match=r"DoRA needs.*first is quantized.*offloaded"):
        adapted(base, use_dora=True)
    assert not any(isinstance(module, ll.LoraLayer) for module in base.modules())


# --- torchao -----------------------------------------------------------------------------------


def test_a_weight_that_passes_no_gradient_on_is_refused_for_training():
    quietly("torchao")
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    def base():
        return Quantized("torchao", config=Int8DynamicActivationInt8WeightConfig())

    one = base()
    with pytest.raises(ll.ConfigError, match=r"first is Linear of Int8Tensor.*no gradient"):
        adapted(one)
    assert type(one.first) is nn.Linear
    model = adapted(base(), inference_mode=True)  # to compute with, it is as good as any
    assert model(example()).isfinite().all()


def test_torchaos_embedding_is_refused_by_name():
    quietly("torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    base = nn.Sequential(nn.Embedding(9, WIDTH))
    is_embedding = lambda module, name: isinstance(module, nn.Embedding)  # noqa: E731
    quantize_(base, Int8WeightOnlyConfig(), filter_fn=is_embedding)
    with pytest.raises(ll.ConfigError, match="0 is Embedding of Int8Tensor"):
        ll.get_peft_model(base, ll.LoraConfig(r=2, target_modules=["0"]))


def test_a_base_quantized_after_it_got_adapters_trains_and_is_not_merged():
    quietly("torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    model = adapted(Floats())
    is_base = lambda module, name: name.endswith("base_layer")  # noqa: E731
    quantize_(model, Int8WeightOnlyConfig(), filter_fn=is_base)
    history = ll.fit(
        model,
        [{"x": example()}],
        loss_fn=lambda model, batch: model(batch["x"]).square().mean(),
        steps=5,
        lr=1e-2,
        progress=False,
    )
    assert history.losses[-1] < history.losses[0]
    with pytest.raises(ll.MergeError, match="cannot merge into a weight of Int8Tensor"):
        model.merge_adapter()


def test_fit_calls_a_quantized_head():
    quietly("torchao")
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    base = tiny_decoder(hidden_size=64, intermediate_size=64, tie_word_embeddings=False)
    quantize_(base, Int8WeightOnlyConfig())
    config = ll.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    history = ll.fit(
        ll.get_peft_model(base, config),
        ll.TokenBatches(token_ids(), 4, 16, seed=0),
        steps=30,
        lr=1e-2,
        progress=False,
    )
    assert history.losses[-1] < history.losses[0] - 0.1


# --- bitsandbytes on a CPU ---------------------------------------------------------------------


def packing(base):
    """Let each `Linear4bit` pack itself in eval mode, as on a CPU with AVX512-BF16."""
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = True
    return base


def gradients(model, x):
    model.train().zero_grad()
    loss_of(model, x).backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("targets", [TARGETS, ["first"]])
def test_training_goes_on_after_an_evaluation(targets):
    """bitsandbytes alone would pack the layers in eval mode, and lose the gradients below them."""
    model = adapted(packing(Quantized("nf4")), target_modules=targets)
    x = example()
    before = gradients(model, x)
    with torch.no_grad():
        model.eval()(x)
    after = gradients(model, x)
    assert before.keys() == after.keys()
    for name, gradient in before.items():
        assert gradient.any() and torch.equal(gradient, after[name]), name


@pytest.mark.parametrize("nested", [False, True])
def test_layers_that_were_packed_before_are_unpacked_with_a_warning(nested):
    from_their_codes, x = Quantized("nf4", compress_statistics=nested), example()
    model, packed = copy.deepcopy(from_their_codes), copy.deepcopy(from_their_codes)
    functional = quietly("bitsandbytes").functional
    for layer in (packed.first, packed.second):
        layer.weight.data, layer.weight.quant_state = functional._convert_weight_packed_for_cpu(
            layer.weight.data, layer.weight.quant_state
        )
    with pytest.warns(ll.PeftWarning, match="first and 1 other layers in 4 bits had been used"):
        again = adapted(packed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = adapted(model)
    assert again.base_model.model.first.weight.shape == model.base_model.model.first.weight.shape
    assert torch.equal(again.base_model.model.first.weight, model.base_model.model.first.weight)
    one, other = again.train()(x), model.train()(x)
    assert (one - other).norm() / other.norm() < 0.02  # bfloat16's rounding of the scales
    assert all(gradient.any() for gradient in gradients(again, x).values())


def test_a_failed_load_leaves_packed_layers_as_they_were(tmp_path):
    base = Quantized("nf4")
    functional = quietly("bitsandbytes").functional
    layer = base.first
    layer.weight.data, layer.weight.quant_state = functional._convert_weight_packed_for_cpu(
        layer.weight.data, layer.weight.quant_state
    )
    weight = layer.weight
    adapted(Quantized("nf4"), r=2).save_pretrained(tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with (
        pytest.raises((ll.AdapterFileError, OSError, ValueError)),
        pytest.warns(ll.PeftWarning, match="had been used in eval mode"),
    ):
        ll.PeftModel.from_pretrained(base, tmp_path)
    assert base.first is layer and layer.weight is weight
    assert layer.weight.quant_state.packing_format_for_cpu


def test_rows_that_blocks_straddle_are_warned_of_where_they_are_misread(monkeypatch):
    quietly("bitsandbytes")
    torch.manual_seed(0)
    base = nn.Sequential(layer_of_kind(nn.Linear(48, 8), "nf4"))
    config = ll.LoraConfig(r=2, target_modules=["0"])
    monkeypatch.setattr(bitsandbytes_on_cpu, "decodes", lambda *_: False)
    with pytest.warns(ll.PeftWarning, match="decodes rows of 48 numbers wrongly.*0 and 0 other"):
        ll.get_peft_model(base, config)


@pytest.mark.parametrize("columns", [32, 48, 96, 128])
def test_the_trial_of_the_decoder_finds_what_random_weights_show(columns):
    functional = quietly("bitsandbytes").functional
    W = torch.randn(64, columns, generator=torch.Generator().manual_seed(0))
    codes, state = functional.quantize_4bit(W, quant_type="nf4", blocksize=64)
    error = (functional.dequantize_4bit(codes, state) - W).norm() / W.norm()
    assert bitsandbytes_on_cpu.decodes(columns, 64, "nf4") == (error < 0.12)


@pytest.mark.parametrize("quant_type", ["nf4", "fp4"])
def test_whole_blocks_are_decoded_rightly(quant_type):
    quietly("bitsandbytes")
    assert bitsandbytes_on_cpu.decodes(64, 64, quant_type)
    assert bitsandbytes_on_cpu.decodes(256, 64, quant_type)


def test_the_message_names_the_storage():
    assert quantized.kind_of(Quantized("own_nf4").first) == "NF4Linear"
