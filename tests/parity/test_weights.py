"""LoRA through weights (experts, matrices, attention) against the real PEFT, from one seed."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
from torch import Tensor, nn

import lora_lessons as ll
from tests.parity.weight_models import CASES, FIELDS

QUICK = ("mixtral", "gpt_oss", "attention", "encoder")  # these with "random" alone in `make test`
pytestmark = [  # PEFT's own noise
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*is above the size of"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Already following adapters were merged"),
    pytest.mark.filterwarnings("ignore:The following .* keys did not match any targeted"),
]


def quick(case: str, fields: str) -> bool:
    return case in QUICK and fields == "random"


PAIRS = [
    pytest.param(case, fields, marks=() if quick(case, fields) else pytest.mark.nightly)
    for case in CASES
    for fields in FIELDS
]


def config_of(case: str, fields: str, library: object) -> object:
    """The same config in one of the libraries."""
    targets = CASES[case]().targets
    given = {"r": 4, "lora_alpha": 6, **targets, **FIELDS[fields]}
    if fields == "patterns":
        names = targets.get("target_parameters") or targets["target_modules"]
        given |= {"rank_pattern": {names[-1]: 3}, "alpha_pattern": {names[0]: 5}}
    return library.LoraConfig(**given)


def both(case: str, fields: str) -> tuple[nn.Module, nn.Module, tuple[Tensor, ...]]:
    """Our model, PEFT's, and an input."""
    models = []
    for library in (ll, peft):
        model = CASES[case]().make()
        torch.manual_seed(1)
        models.append(library.get_peft_model(model, config_of(case, fields, library)))
    return *models, CASES[case]().x


def result(model: nn.Module, x: tuple[Tensor, ...]) -> Tensor:
    """What it computes, without torch's fast path, on which PEFT passes linear layers by."""
    was = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        out = model(*x)
    finally:
        torch.backends.mha.set_fastpath_enabled(was)
    return getattr(out, "logits", out)


@pytest.mark.parametrize(("case", "fields"), PAIRS)
def test_outputs_and_gradients(case, fields):
    ours, theirs, x = both(case, fields)
    ours.train(), theirs.train()
    out, expected = result(ours, x), result(theirs, x)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-6)
    out.square().mean().backward(), expected.square().mean().backward()
    mine, others = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert mine.keys() == others.keys()
    assert sum(parameter.requires_grad for parameter in mine.values()) >= 2
    for name, parameter in mine.items():
        assert parameter.requires_grad == others[name].requires_grad, name
        torch.testing.assert_close(parameter, others[name])
        if parameter.requires_grad:
            # PEFT adds the update of an attention's output twice, and once to its gradient.
            times = 2 if ".base_layer.out_proj.lora_" in name else 1
            expected = times * others[name].grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("case", "fields"), PAIRS)
def test_files_go_both_ways(case, fields, tmp_path):
    ours, theirs, x = both(case, fields)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        for model in (ours, theirs):
            for seed, (_, parameter) in enumerate(sorted(model.named_parameters())):
                if parameter.requires_grad:
                    torch.manual_seed(seed)
                    parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path / "theirs")
    loaded = ll.PeftModel.from_pretrained(CASES[case]().make(), tmp_path / "theirs").eval()
    torch.testing.assert_close(result(loaded, x), result(theirs, x), rtol=1e-6, atol=1e-6)
    ours.save_pretrained(tmp_path / "ours")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*missing adapter keys.*")
        back = peft.PeftModel.from_pretrained(CASES[case]().make(), tmp_path / "ours").eval()
    torch.testing.assert_close(result(back, x), result(ours, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("case", "fields"), PAIRS)
def test_merged_weights(case, fields):
    ours, theirs, x = both(case, fields)
    ours.eval(), theirs.eval()
    merged, expected = ours.merge_and_unload(), theirs.merge_and_unload()
    assert merged.state_dict().keys() == expected.state_dict().keys()
    for name, value in merged.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result(merged, x), result(expected, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.nightly) for c in CASES])
def test_two_adapters(case):
    x, results = CASES[case]().x, []
    for library in (ll, peft):
        model = CASES[case]().make()
        torch.manual_seed(1)
        config = config_of(case, "random", library)
        model = library.get_peft_model(model, config)
        model.add_adapter("other", config_of(case, "rslora", library))
        one = []
        for active in (["default"], ["other"], ["default", "other"]):
            model.base_model.set_adapter(active)
            one.append(result(model.eval(), x))
        results.append(torch.stack(one))
    torch.testing.assert_close(*results, rtol=0, atol=1e-6)
