"""A trained PiSSA or OLoRA adapter as a plain one: the same function on the untouched base."""

from __future__ import annotations

import copy

import peft
import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(4))
pytestmark = [
    pytest.mark.filterwarnings("ignore:r=.* is above the size of"),
    pytest.mark.filterwarnings("ignore:Could not find a config file"),  # PEFT's own noise
    pytest.mark.filterwarnings("ignore:(PiSSA|OLoRA) changes the base weights"),
]


def move(model: nn.Module) -> None:
    """A training step's worth of change."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def converted(folder, library=ll, **fields):
    """A trained model, and the folder of its plain adapter."""
    fields = {"r": 2, "lora_alpha": 6, "target_modules": ["first", "second"], **fields}
    torch.manual_seed(1)
    model = library.get_peft_model(Mlp(), library.LoraConfig(**fields))
    init = fields["init_lora_weights"]
    model.peft_config["default"].init_lora_weights = True  # as PEFT's documentation has it
    model.save_pretrained(folder / "initial")
    model.peft_config["default"].init_lora_weights = init
    move(model)
    path = str(folder / "initial")
    model.save_pretrained(folder / "plain", path_initial_model_for_weight_conversion=path)
    return model, folder / "plain"


@pytest.mark.parametrize("init", ["pissa", "olora", "pissa_niter_2"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"first": 3}, "alpha_pattern": {"second": 5}},
        {"bias": "lora_only", "modules_to_save": ["head"]},
    ],
)
def test_the_plain_adapter_computes_the_same_here_and_in_peft(init, fields, tmp_path):
    model, folder = converted(tmp_path, init_lora_weights=init, **fields)
    plain = ll.PeftModel.from_pretrained(Mlp(), folder)
    torch.testing.assert_close(plain(X), model(X), rtol=1e-5, atol=1e-5)
    with plain.disable_adapter():
        assert torch.equal(plain(X), Mlp()(X))
    theirs = peft.PeftModel.from_pretrained(Mlp(), folder)
    torch.testing.assert_close(theirs(X), plain(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_the_file_is_that_of_peft(init, tmp_path):
    _, ours = converted(tmp_path / "ours", init_lora_weights=init)
    _, theirs = converted(tmp_path / "theirs", peft, init_lora_weights=init)
    mine, others = ll.load_peft_weights(ours), ll.load_peft_weights(theirs)
    assert mine.keys() == others.keys()
    for key, tensor in mine.items():
        torch.testing.assert_close(tensor, others[key], rtol=1e-5, atol=1e-6)
    configs = [ll.LoraConfig.from_pretrained(folder).to_dict() for folder in (ours, theirs)]
    assert configs[0] == configs[1]


def test_a_trained_adapter_is_no_start(tmp_path):
    model, _ = converted(tmp_path, init_lora_weights="pissa")
    model.save_pretrained(tmp_path / "trained")
    with pytest.raises(ValueError, match="as it was initialised"):
        model.save_pretrained(
            tmp_path / "wrong", path_initial_model_for_weight_conversion=tmp_path / "trained"
        )
    assert not (tmp_path / "wrong").exists()


def test_what_is_not_converted_says_so(tmp_path):
    fields = {"r": 2, "target_modules": ["first"]}
    plain = ll.get_peft_model(Mlp(), ll.LoraConfig(**fields))
    plain.save_pretrained(tmp_path)
    with pytest.warns(ll.PeftWarning, match="only works for converting"):
        plain.save_pretrained(tmp_path / "same", path_initial_model_for_weight_conversion=tmp_path)
    assert ll.LoraConfig.from_pretrained(tmp_path / "same").r == 2
    fields["init_lora_weights"] = "pissa"
    dora = ll.get_peft_model(Mlp(), ll.LoraConfig(**fields, use_dora=True))
    with pytest.raises(ValueError, match="no difference of products"):
        dora.save_pretrained(tmp_path / "dora", path_initial_model_for_weight_conversion=tmp_path)


def test_an_embedding_beside_it_grows_with_zeros(tmp_path):
    model = nn.Sequential(nn.Embedding(13, 5), nn.Linear(5, 7))
    base, tokens = copy.deepcopy(model), torch.tensor([[1, 2, 12]])
    config = ll.LoraConfig(r=2, target_modules=["0", "1"], init_lora_weights="pissa")
    with pytest.warns(ll.PeftWarning, match="starts with A at zero"):
        model = ll.get_peft_model(model, config)
    model.save_pretrained(tmp_path / "initial")
    move(model)
    model.save_pretrained(
        tmp_path / "plain", path_initial_model_for_weight_conversion=tmp_path / "initial"
    )
    plain = ll.PeftModel.from_pretrained(base, tmp_path / "plain")
    torch.testing.assert_close(plain(tokens), model(tokens), rtol=1e-5, atol=1e-5)


def test_a_random_start_is_warned_of(tmp_path):
    fields = {"r": 2, "target_modules": ["first"], "init_lora_weights": "pissa_niter_1"}
    model = ll.get_peft_model(Mlp(), ll.LoraConfig(**fields))
    with pytest.warns(ll.PeftWarning, match="random numbers that the files do not hold"):
        model.save_pretrained(tmp_path)
