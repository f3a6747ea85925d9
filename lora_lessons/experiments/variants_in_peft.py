"""The variants here and in PEFT: the same weights, and the same rates."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import nn

from ..base.load import load_base
from ..lora.config import LoraConfig
from ..lora.files import get_peft_model_state_dict
from ..lora.model import get_peft_model
from ..lora.more.variants.lora_fa import freeze_A
from ..seeding import generator, seed_everything
from ..train.optim import adamw_with_faster_B
from .variants import ARMS

OPTIONS: dict[str, Any] = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "up_proj"]}
ARMS_OF_CONFIG = ("LoRA", "rsLoRA", "DoRA", "PiSSA", "OLoRA")


def in_peft(model: nn.Module, **options: Any) -> nn.Module:
    """PEFT's adapter on the model."""
    import peft

    with warnings.catch_warnings():
        # PEFT asks a model for something by its old name, of which transformers warns
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is dep", FutureWarning)
        return peft.get_peft_model(model, peft.LoraConfig(**OPTIONS, **options))


def outputs_apart(base: str = "nano") -> dict[str, float]:
    """{arm: largest difference of the logits, ours and PEFT's, with the same random factors}.

    The base's W are as each library left them: so PiSSA and OLoRA compare what was taken out, too.
    """
    model, _ = load_base(base)
    ids = torch.randint(model.config.vocab_size, (2, 12), generator=generator(0))
    return {arm: _apart(model, arm, ids) for arm in ARMS_OF_CONFIG}


def _apart(model: nn.Module, arm: str, ids: torch.Tensor) -> float:
    import peft

    seed_everything(0)
    ours = get_peft_model(copy.deepcopy(model), LoraConfig(**OPTIONS, **ARMS[arm].options))
    theirs = in_peft(copy.deepcopy(model), **ARMS[arm].options)
    draw = generator(1)
    with torch.no_grad():
        for parameter in ours.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    peft.set_peft_model_state_dict(theirs, get_peft_model_state_dict(ours))
    with torch.no_grad():
        return (ours.eval()(ids).logits - theirs.eval()(ids).logits).abs().max().item()


def same_rates(ratio: float = 16.0, lr: float = 1e-4) -> bool:
    """Whether LoRA+ gives each factor the rate here that PEFT's optimizer gives it."""
    from peft.optimizers import create_loraplus_optimizer

    model, _ = load_base("nano")
    theirs = in_peft(copy.deepcopy(model))
    optimizer = create_loraplus_optimizer(theirs, torch.optim.AdamW, lr=lr, loraplus_lr_ratio=ratio)
    ours = get_peft_model(model, LoraConfig(**OPTIONS))
    own = [p for p in ours.parameters() if p.requires_grad]
    return _rates(theirs, optimizer) == _rates(ours, adamw_with_faster_B(ours, own, own, lr, ratio))


def _rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {p: name for name, p in model.named_parameters()}
    return {names[p]: float(g["lr"]) for g in optimizer.param_groups for p in g["params"]}


def same_frozen() -> bool:
    """Whether LoRA-FA leaves the same parameters to train here and in PEFT."""
    from peft.optimizers import create_lorafa_optimizer

    model, _ = load_base("nano")
    theirs = in_peft(copy.deepcopy(model))
    create_lorafa_optimizer(theirs, r=8, lora_alpha=16, lr=1e-3)
    ours = get_peft_model(model, LoraConfig(**OPTIONS))
    freeze_A(ours)
    left = [{n for n, p in m.named_parameters() if p.requires_grad} for m in (ours, theirs)]
    return left[0] == left[1]
