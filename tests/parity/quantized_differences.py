"""What PEFT does beside layers of few bits: rows of docs/peft-parity.md. They need the extra."""

from __future__ import annotations

import peft
import torch
from torch import nn

from tests.lora.more.quantized_models import Quantized, example

LAYERS = ["first", "second"]


def beside(
    kind: str, pack: bool = False, init_lora_weights: bool | str = False, **options
) -> peft.PeftModel:
    """PEFT's model of two layers of few bits; `pack`: as on a CPU with AVX512-BF16."""
    base = Quantized(kind, **options)
    base.is_loaded_in_4bit, base.is_loaded_in_8bit = kind == "nf4", kind == "int8"
    for layer in (base.first, base.second):
        layer.support_avx512bf16_for_cpu = pack
    config = peft.LoraConfig(r=4, target_modules=LAYERS, init_lora_weights=init_lora_weights)
    return peft.get_peft_model(base, config).train()


def first_gradient(model: nn.Module) -> torch.Tensor:
    """The gradient of the first layer's B: it comes through the second layer."""
    model.zero_grad()
    model(example()).square().sum().backward()
    return model.base_model.model.first.lora_B["default"].weight.grad.clone()


def off(one: torch.Tensor, other: torch.Tensor) -> str:
    return f"the first layer's gradient is off by {(one - other).norm() / other.norm():.0%}"


def merging() -> str:
    model = beside("nf4")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.mul_(0.2)
    trained = model(example()).detach()
    with model.disable_adapter():
        update = (trained - model(example())).norm()
    model.merge_adapter()
    error = (model(example()) - trained).norm() / update
    return f"merged, and the output is off by {error:.0%} of the adapter's effect"


def evaluated_before() -> str:
    model = beside("nf4", pack=True, bias=False)
    before = first_gradient(model)
    with torch.no_grad():
        model.eval()(example())
    return off(first_gradient(model.train()), before)


def quantized_on_the_fly() -> str:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    torch.manual_seed(1)
    exact = beside("torchao")
    torch.manual_seed(1)
    model = beside("torchao", config=Int8DynamicActivationInt8WeightConfig())
    return off(first_gradient(model), first_gradient(exact))


def orthogonal() -> str:
    model = beside("nf4", init_lora_weights="orthogonal")
    return f"a gradient of norm {first_gradient(model).norm():.2g}"


def prepared_after() -> str:
    model = beside("nf4")
    peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return f"{model.get_nb_trainable_parameters()[0]} parameters train afterwards"


QUANTIZED_BEHAVIOUR = [
    ("merging into bitsandbytes' 4 bits", merging, "an error that says how to merge into floats"),
    (
        "4 bits on a CPU with AVX512-BF16, trained after an evaluation",
        evaluated_before,
        "the gradients are those of before",
    ),
    (
        "torchao's int8 with activations quantized on the fly",
        quantized_on_the_fly,
        "an error when it is to be trained",
    ),
    ("an orthogonal start beside 4 bits", orthogonal, "as beside floats"),
    ("prepare_model_for_kbit_training after get_peft_model", prepared_after, "an error"),
]
