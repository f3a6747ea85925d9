"""What PEFT does where LoRA goes through a weight: rows of docs/peft-parity.md."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import peft
import torch

from tests.lora.more.weight_models import EXPERTS, Attends, Block, encoder, example, trained

BOTH = {"target_parameters": EXPERTS, "target_modules": [], "r": 2, "init_lora_weights": False}


def block(**fields) -> peft.PeftModel:
    """PEFT's model with adapters on experts."""
    return peft.get_peft_model(Block(), peft.LoraConfig(**{**BOTH, **fields})).eval()


def typo() -> str:
    targets = ["experts.up", "experts.dwon"]
    block(target_parameters=targets)
    return "accepted"


def read_from_outside() -> str:
    model = block(target_parameters=["gate.weight"])
    before = model(example())
    same = torch.equal(trained(model)(example()), before)
    return "the adapter changes nothing" if same else "the adapter is used"


def one_transposed_expert() -> str:
    base = Block(transposed=True)
    for name in ("up", "down"):
        parameter = getattr(base.experts, name)
        setattr(base.experts, name, torch.nn.Parameter(parameter[:1].clone()))
    model = peft.get_peft_model(base, peft.LoraConfig(**BOTH))
    model.base_model.model.experts(example(), torch.ones(1))
    return "computed"


def bfloat16_merging() -> str:
    model = peft.get_peft_model(Block().bfloat16(), peft.LoraConfig(**BOTH)).eval()
    before = model.base_model.model.experts.get_base_layer().up.clone()
    model.merge_adapter()
    model.unmerge_adapter()
    changed = (model.base_model.model.experts.get_base_layer().up != before).float().mean()
    return f"{changed:.0%} of the weights differ after one cycle"


def layers_to_transform() -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = block(exclude_modules=["experts"], target_modules=["out"])
    kinds = [type(module).__name__ for module in model.modules()]
    return f"{kinds.count('ParamWrapper')} parameters of the excluded module are adapted"


def pattern_of_a_parameter() -> str:
    model = block(rank_pattern={"experts.up": 4})
    return f"the rank is {model.base_model.model.experts.base_layer.r['default']}"


X = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(2))


def attention(**fields) -> peft.PeftModel:
    """PEFT's model with an adapter on an attention."""
    given = {"r": 4, "target_modules": ["attention"], "init_lora_weights": False}
    return peft.get_peft_model(Attends(), peft.LoraConfig(**{**given, **fields}))


def output_gradient() -> str:
    """The derivative along B of the output projection, beside a central difference of 1e-3."""
    model = attention().eval()
    B = model.base_model.model.attention.base_layer.out_proj.lora_B["default"].weight
    model(X).square().mean().backward()
    sums = []
    for step in (1e-3, -1e-3):
        with torch.no_grad():
            B.add_(step * B.grad)
            sums.append(model(X).square().mean().item())
            B.sub_(step * B.grad)
    ratio = B.grad.square().sum().item() / ((sums[0] - sums[1]) / 2e-3)
    return f"{ratio:.2f} of the finite difference"


def attention_dropout() -> str:
    model = attention(lora_dropout=0.9).train()
    torch.manual_seed(1)
    first = model(X)
    return "accepted, and nothing is dropped" if torch.equal(first, model(X)) else "dropped"


def attention_bias() -> str:
    model = attention(lora_bias=True)
    model(X).square().mean().backward()
    bias = model.base_model.model.attention.lora_B["default"].bias
    return "accepted, and the bias has no gradient" if bias.grad is None else "trained"


def output_alone() -> str:
    model = attention(target_modules=["out_proj"])
    before = model(X)
    same = torch.equal(trained(model)(X), before)
    return "accepted, and the adapter changes nothing" if same else "the adapter is used"


def encoder_layer() -> str:
    same = []
    for target in ("linear1", "self_attn"):
        base, x = encoder(), X.transpose(0, 1)
        config = peft.LoraConfig(r=4, target_modules=[target], init_lora_weights=False)
        with torch.no_grad():
            before = base(x)
            same.append(torch.equal(peft.get_peft_model(base, config).eval()(x), before))
    return "the adapters change nothing" if all(same) else f"changes nothing: {same}"


def attention_in_bfloat16() -> str:
    model = attention().bfloat16().eval()
    base = model.base_model.model.attention.base_layer
    weight = base.in_proj_weight.clone()
    model(X.bfloat16())
    changed = (base.in_proj_weight != weight).float().mean()
    return f"each forward changes W: {changed:.0%} of it after the first"


WEIGHT_BEHAVIOUR: list[tuple[str, Callable[[], str], str]] = [
    ("a typo in target_parameters", typo, "an error, with the name"),
    (
        "target_parameters: a matrix that its parent reads",
        read_from_outside,
        "it is adapted: whoever reads it gets W + the update",
    ),
    (
        "target_parameters: one expert, stored as (1, in, out)",
        one_transposed_expert,
        "as with several",
    ),
    ("target_parameters: merge, then unmerge, bfloat16", bfloat16_merging, "every bit comes back"),
    (
        "target_parameters beside exclude_modules",
        layers_to_transform,
        "the same, with a warning",
    ),
    (
        "rank_pattern of a target parameter",
        pattern_of_a_parameter,
        "the rank is 4, and no warning",
    ),
    (
        "attention: the gradient of the output's adapter",
        output_gradient,
        "that of finite differences (the update counts twice, as in PEFT's files)",
    ),
    ("attention: lora_dropout", attention_dropout, "an error, with the name"),
    ("attention: lora_bias", attention_bias, "an error, with the name"),
    ("attention: out_proj alone", output_alone, "it is adapted"),
    ("attention: a forward in bfloat16", attention_in_bfloat16, "W is not touched"),
    (
        "nn.TransformerEncoderLayer: linear1, self_attn, in evaluation without gradients",
        encoder_layer,
        "the fast path computes with the adapter",
    ),
]
