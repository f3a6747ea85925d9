"""Every layer type, variant and initialisation against the real PEFT, from one seed."""

from __future__ import annotations

import copy
import warnings

import peft
import pytest
import torch
from torch import Tensor, nn

import lora_lessons as ll
from tests.parity.models import LAYERS, LayerModel

pytestmark = [  # PEFT's own noise
    pytest.mark.filterwarnings("ignore:Adapter 'default'. 1 LoRA tensor"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:LoRA adapter added to ConvNd layer with groups"),
]

FIELDS = {
    "plain": {},
    "random": {"init_lora_weights": False},
    "gaussian": {"init_lora_weights": "gaussian"},
    "rslora": {"use_rslora": True, "init_lora_weights": False},
    "dropout": {"lora_dropout": 0.4, "init_lora_weights": False},
    "lora_bias": {"lora_bias": True, "init_lora_weights": False},
    "bias": {"bias": "lora_only", "init_lora_weights": False},
    "dora": {"use_dora": True, "init_lora_weights": False},
    "dora_dropout": {"use_dora": True, "lora_dropout": 0.4, "init_lora_weights": False},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa_niter_4": {"init_lora_weights": "pissa_niter_4"},
    "olora": {"init_lora_weights": "olora"},
}
MATRIX_ONLY = (
    "orthogonal",
    "pissa",
    "pissa_niter_4",
    "olora",
)  # not for embeddings and convolutions


def possible(layer: str, fields: str) -> bool:
    """Combinations that both libraries have."""
    if (layer, fields) == ("hf_conv1d", "olora"):
        return False  # PEFT takes Q and R of the transposed weight, and fails
    if fields in MATRIX_ONLY:
        return layer in ("linear", "hf_conv1d")
    if layer == "linear_without_bias":
        return fields != "lora_bias"
    if layer == "embedding":
        return fields not in ("lora_bias", "gaussian")
    return True


CASES = [(layer, fields) for layer in LAYERS for fields in FIELDS if possible(layer, fields)]


def both(layer: str, fields: dict) -> tuple[nn.Module, nn.Module, Tensor]:
    """Our model, PEFT's, and an input."""
    model = LayerModel(layer)
    config = {"r": 4, "lora_alpha": 6, "target_modules": ["layer"], **fields}
    if layer == "hf_conv1d":
        config["fan_in_fan_out"] = True
    theirs = copy.deepcopy(model)
    torch.manual_seed(1)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**config))
    torch.manual_seed(1)
    ours = ll.get_peft_model(model, ll.LoraConfig(**config))
    return ours, theirs, model.example()


def run(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(7)  # for dropout
    return model(x)


@pytest.mark.parametrize(("layer", "fields"), CASES)
def test_outputs_and_gradients(layer, fields):
    ours, theirs, x = both(layer, FIELDS[fields])
    ours.train(), theirs.train()
    out, expected = run(ours, x), run(theirs, x)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    out.square().mean().backward(), expected.square().mean().backward()
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert list(mine) == list(others)
    for name, parameter in mine.items():
        assert parameter.requires_grad == others[name].requires_grad, name
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad, others[name].grad, rtol=1e-4, atol=1e-6)


# the start of pissa_niter_N is drawn anew at each load: see tests/lora/more/test_init_conversion.py
@pytest.mark.parametrize(("layer", "fields"), [c for c in CASES if c[1] != "pissa_niter_4"])
def test_files_go_both_ways(layer, fields, tmp_path):
    ours, theirs, x = both(layer, FIELDS[fields])
    ours.eval(), theirs.eval()
    with torch.no_grad():
        for model in (ours, theirs):
            torch.manual_seed(3)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = ll.PeftModel.from_pretrained(LayerModel(layer), tmp_path / "theirs")
    torch.testing.assert_close(loaded(x), theirs(x), rtol=1e-6, atol=1e-6)
    ours.save_pretrained(tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*missing adapter keys.*")
        back = peft.PeftModel.from_pretrained(LayerModel(layer), tmp_path / "ours")
    torch.testing.assert_close(back(x), ours(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("layer", "fields"), [c for c in CASES if c[0] != "grouped"])
def test_merged_weights(layer, fields):
    ours, theirs, x = both(layer, FIELDS[fields])
    ours.eval(), theirs.eval()
    merged, expected = ours.merge_and_unload(), theirs.merge_and_unload()
    torch.testing.assert_close(merged.layer.weight, expected.layer.weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(merged(x), expected(x), rtol=1e-5, atol=1e-6)
