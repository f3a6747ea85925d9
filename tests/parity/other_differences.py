"""What PEFT does elsewhere: old files, swapping, loading, initialisations. Rows of the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import peft
import torch

from tests.parity.models import Mlp


def adapted(**fields) -> peft.PeftModel:
    given = {"target_modules": ["first"], "r": 3, "init_lora_weights": False, **fields}
    return peft.get_peft_model(Mlp(), peft.LoraConfig(**given))


def old_file() -> str:
    with tempfile.TemporaryDirectory() as folder:
        adapted().save_pretrained(folder)
        path = Path(folder) / "adapter_model.safetensors"
        path.unlink()
        torch.save({"no": 1}, Path(folder) / "adapter_model.bin")
        peft.PeftModel.from_pretrained(Mlp(), folder)
        return "an adapter_model.bin of {'no': 1} loads, and the adapter is random"


OTHER_BEHAVIOUR: list[tuple[str, Callable[[], str], str]] = [
    ("a pickle without tensors", old_file, "refused, loading and converting"),
]
