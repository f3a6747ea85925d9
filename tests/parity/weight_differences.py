"""What PEFT does where LoRA goes through a weight: rows of docs/peft-parity.md."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import peft
import torch

from tests.lora.more.weight_models import EXPERTS, Block, example, trained

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
]
