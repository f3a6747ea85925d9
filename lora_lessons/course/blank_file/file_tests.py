"""Tests of the blank file's `save` and `load`: PEFT reads its file, it reads PEFT's, strictly."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .model_tests import add, width_of
from .sample import Failed, Given, close, fill, layers, raises, sample

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def _folder(given: Given, name: str) -> Path:
    return Path(given.folder) / name


def _peft_saved(given: Given, base: nn.Module, **config: Any) -> tuple[Path, Callable[..., Tensor]]:
    """An adapter that PEFT made on a copy of the base, as a folder, and what its model gives."""
    folder = _folder(given, f"peft{given.whole(0, 10**9)}")
    with given.shown():
        import peft

        model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(**config))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.copy_(0.3 * given.normal(*parameter.shape))
        model.save_pretrained(folder)
    return folder, model.eval()


def _load(given: Given, model: nn.Module, folder: Path) -> nn.Module:
    returned = given.mini.load(model, str(folder))
    return model if returned is None else returned


def read_by_peft(given: Given) -> None:
    """PEFT reads the file, and computes the same"""
    base = sample(given).eval()
    x = given.normal(6, width_of(base))
    model = add(given, copy.deepcopy(base), ["q_proj", "up"], r=3, alpha=7, dropout=0.1).eval()
    fill(given, model)
    folder = _folder(given, "mine")
    given.mini.save(model, str(folder))
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise Failed(f"save() wrote no {name}.")
    tensors = load_file(folder / WEIGHTS)
    if len(tensors) != 8:
        raise Failed(f"The file has {len(tensors)} tensors; A and B of 4 layers are 8.")
    with given.shown():
        import peft

        try:
            theirs = peft.PeftModel.from_pretrained(copy.deepcopy(base), folder).eval()
        except Exception as error:
            raise Failed(f"PEFT cannot read the file: {type(error).__name__}: {error}") from None
        out = theirs(x)
    if close(out, base(x)):
        raise Failed(
            "PEFT read the file and found no update in it. Its keys are "
            "base_model.model.NAME.lora_A.weight and ...lora_B.weight."
        )
    if not close(out, model(x)):
        raise Failed("PEFT computes something else from the file. Are r and lora_alpha in it?")


def reads_peft(given: Given) -> None:
    """it reads PEFT's file, and computes the same"""
    wanted: list[dict[str, Any]] = [
        {"r": 4, "lora_alpha": 10, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.2},
        {"r": 2, "lora_alpha": 3, "target_modules": r"layers\.1\.(up|attn\.k_proj)"},
        # in the file sorted by name, k before q; in the model the other way round
        {"r": 3, "lora_alpha": 5, "target_modules": ["k_proj", "q_proj"]},
    ]
    for config in wanted:
        base = sample(given).eval()
        x = given.normal(6, width_of(base))
        folder, theirs = _peft_saved(given, base, **config)
        model = _load(given, copy.deepcopy(base), folder).eval()
        if close(model(x), base(x)):
            raise Failed("After load() of PEFT's file the model is still the base.")
        if not close(model(x), theirs(x)):
            raise Failed(
                f"PEFT's file with {config} gives another output. Are r, lora_alpha and "
                "target_modules taken from the file, and its tensors by name?"
            )
        kept = [
            getattr(m, "p", None)
            for layer in layers(given, model).values()
            for m in layer.modules()
        ]
        if config.get("lora_dropout") and config["lora_dropout"] not in kept:
            raise Failed("load() forgets lora_dropout: training would go on without it.")


def _broken(given: Given, what: str, change: Callable[[dict[str, Tensor]], None]) -> None:
    base = sample(given).eval()
    folder, _ = _peft_saved(given, base, r=3, lora_alpha=6, target_modules=["q_proj", "up"])
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    with raises(what, base):
        _load(given, base, folder)


def missing_key(given: Given) -> None:
    """a file with a key missing is refused, and the model is as it was"""
    for place in (0, -1):
        _broken(given, "A file without one of its keys", lambda t, at=place: t.pop(sorted(t)[at]))


def extra_key(given: Given) -> None:
    """a file with a key too many is refused, and the model is as it was"""
    name = "base_model.model.layers.0.attn.v_proj.lora_A.weight"
    _broken(given, "A file with a key too many", lambda t: t.update({name: torch.ones(3, 9)}))


def wrong_shape(given: Given) -> None:
    """a file with a wrong shape is refused, and the model is as it was"""

    def one_row(tensors: dict[str, Tensor]) -> None:
        key = next(key for key in sorted(tensors) if "lora_A" in key)
        tensors[key] = tensors[key][:1].contiguous()  # (1, in): copy_ would spread it

    def transposed(tensors: dict[str, Tensor]) -> None:
        key = sorted(tensors)[-1]
        tensors[key] = tensors[key].T.contiguous()

    for change in (one_row, transposed):
        _broken(given, "A file with a tensor of a wrong shape", change)


def written_for_r(given: Given) -> None:
    """what it saves it loads: the same output, and the config says r and alpha"""
    base = sample(given).eval()
    x = given.normal(6, width_of(base))
    model = add(given, copy.deepcopy(base), r"layers\.\d\.attn\.v_proj", r=2, alpha=9).eval()
    fill(given, model)
    folder = _folder(given, "again")
    given.mini.save(model, str(folder))
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    if (config.get("r"), config.get("lora_alpha")) != (2, 9):
        raise Failed(
            f"{CONFIG} says r = {config.get('r')}, lora_alpha = {config.get('lora_alpha')}"
        )
    again = _load(given, copy.deepcopy(base), folder).eval()
    if not torch.equal(again(x), model(x)):
        raise Failed("What save() wrote and load() read gives another output.")


TESTS = (read_by_peft, reads_peft, written_for_r, missing_key, extra_key, wrong_shape)
