"""What saving does beyond the two files: names that PEFT reads as they are meant, and the hub."""

from __future__ import annotations

import tempfile
from typing import Any

from torch import nn

from ...inject import targetable_modules
from ...matching import matches_suffix
from ...model import PeftModel
from ...plugs import METHODS


def names_for_peft(entries: list[str], base: nn.Module) -> list[str] | None:
    """modules_to_save such that PEFT finds no more modules by it than are saved.

    PEFT takes every name that ends with an entry, "layernorm" for "norm" too, and then misses its
    tensors in the file. Such an entry is written as the modules' full names.
    """
    modules = [name for name, _ in targetable_modules(base)]
    found: list[str] = []
    for entry in entries:
        more = any(n.endswith(entry) and not matches_suffix(entry, n) for n in modules)
        found += [n for n in modules if matches_suffix(entry, n)] if more else [entry]
    return found or None


def push_to_hub(model: PeftModel, repo_id: str, **options: Any) -> Any:
    """Write the adapters to a temporary folder and upload it."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        api = HfApi(token=options.pop("token", None))
        api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)


METHODS["names_for_peft"] = names_for_peft
METHODS["push_to_hub"] = push_to_hub
