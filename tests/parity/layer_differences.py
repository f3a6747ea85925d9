"""What PEFT does where layers, initialisations and DoRA differ: rows of docs/peft-parity.md."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable

import peft
import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

X = torch.randn(4, 12, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(2, 12, 9, 9, generator=torch.Generator().manual_seed(0))


def model_of(layer: nn.Module, **fields) -> peft.PeftModel:
    """PEFT's model of one layer, in evaluation."""
    given = {"r": 4, "target_modules": ["0"], **fields}
    return peft.get_peft_model(nn.Sequential(layer), peft.LoraConfig(**given)).eval()


def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(12, 8)


def convolution(**options) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(12, 8, 3, **options)


def gap(one: Tensor, other: Tensor) -> str:
    """How far two results are from each other, in words."""
    error = ((one - other).norm() / other.norm()).item()
    return f"differs by {error:.1%}" if error > 1e-5 else "is the same"


def disabled_pissa() -> str:
    layer = linear()
    expected = layer(X)
    model = model_of(layer, init_lora_weights="pissa")
    with model.disable_adapter():
        return f"the output {gap(model(X), expected)} from the base's"


def unloaded_pissa() -> str:
    layer = linear()
    weight = layer.weight.clone()
    return f"W {gap(model_of(layer, init_lora_weights='pissa').unload()[0].weight, weight)}"


def added_pissa() -> str:
    model = model_of(linear(), init_lora_weights=False)
    before = model(X)
    config = peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights="pissa")
    model.add_adapter("second", config)
    return f"the output of the active adapter {gap(model(X), before)}"


def reloaded_niter() -> str:
    model = model_of(linear(), init_lora_weights="pissa_niter_1")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        base = nn.Sequential(linear())
        torch.manual_seed(9)  # a session of its own
        loaded = peft.PeftModel.from_pretrained(base, folder)
    return f"the output {gap(loaded(X), model(X))}"


def converted_with_head() -> str:
    base = nn.Sequential(linear(), nn.Linear(8, 3))
    fields = {"r": 4, "target_modules": ["0"], "modules_to_save": ["1"]}
    model = peft.get_peft_model(base, peft.LoraConfig(**fields, init_lora_weights="pissa"))
    model.peft_config["default"].init_lora_weights = True
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(f"{folder}/initial")
        path = f"{folder}/initial"
        model.save_pretrained(f"{folder}/plain", path_initial_model_for_weight_conversion=path)
        keys = peft.utils.load_peft_weights(f"{folder}/plain")
    return f"the file holds {sum('.1.' in key for key in keys)} tensors of the head"


def olora_conv1d() -> str:
    layer = Conv1D(8, 12)
    expected = layer(X)
    model = model_of(layer, init_lora_weights="olora", fan_in_fan_out=True)
    return f"the output {gap(model(X), expected)}"


def order_of_dora() -> str:
    model = model_of(linear(), use_dora=True, init_lora_weights=False)
    with torch.no_grad():
        model.base_model.model[0].lora_magnitude_vector["default"].weight.mul_(2)
    model.add_adapter("b", peft.LoraConfig(r=4, target_modules=["0"], init_lora_weights=False))
    model.base_model.set_adapter(["default", "b"])
    one = model(X)
    model.base_model.set_adapter(["b", "default"])
    return f"in the other order the output {gap(model(X), one)}"


def dora_on_zeros() -> str:
    layer = linear()
    nn.init.zeros_(layer.weight)
    return f"{model_of(layer, use_dora=True)(X).isnan().sum()} NaN of {4 * 8} outputs"


def merged_gap(model: peft.PeftModel) -> str:
    before = model(IMAGE)
    return f"merging: the output {gap(model.merge_and_unload()(IMAGE), before)}"


def half_merged() -> str:
    first, second = convolution(), nn.Conv2d(8, 8, 1, groups=2)
    weight = first.weight.clone()
    config = peft.LoraConfig(r=4, target_modules=["0", "1"], init_lora_weights=False)
    model = peft.get_peft_model(nn.Sequential(first, second), config)
    with contextlib.suppress(NotImplementedError):
        model.merge_adapter()
    return f"an error, after which the first layer's W {gap(first.weight, weight)}"


PLAIN = {"init_lora_weights": False}
LAYER_BEHAVIOUR: list[tuple[str, Callable[[], str], str]] = [
    ("PiSSA, disabled", disabled_pissa, "the base's output, bit for bit"),
    ("PiSSA, unloaded", unloaded_pissa, "every bit comes back"),
    ("PiSSA, added and not activated", added_pissa, "nothing changes until it is activated"),
    ("pissa_niter_1, saved and loaded", reloaded_niter, "as different, with a warning when saved"),
    ("PiSSA as plain LoRA, with modules_to_save", converted_with_head, "2: all is kept"),
    ("OLoRA on transformers' Conv1D", olora_conv1d, "as on a linear layer"),
    ("DoRA and another adapter, both active", order_of_dora, "the order does not matter"),
    ("DoRA on a layer of zeros", dora_on_zeros, "finite, and it trains"),
    (
        "a convolution with dilation",
        lambda: merged_gap(model_of(convolution(dilation=2), **PLAIN)),
        "A has the same dilation; merging changes nothing",
    ),
    (
        "a convolution with circular padding",
        lambda: merged_gap(model_of(convolution(padding=1, padding_mode="circular"), **PLAIN)),
        "A has the same padding; merging changes nothing",
    ),
    ("merging where one convolution has groups", half_merged, "an error, and W as it was"),
]
