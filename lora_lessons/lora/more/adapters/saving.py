"""What saving does beyond the two files: names as PEFT reads them, gathered values, the hub."""

from __future__ import annotations

import tempfile
from typing import Any

from torch import Tensor, nn

from ...inject import targetable_modules
from ...matching import matches_suffix
from ...model import PeftModel
from ...plugs import METHODS, method_of


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


def values_from(
    state_dict: dict[str, Tensor], model: nn.Module, tensors: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors' values in a state_dict; raises where it has none of them."""
    live = model.state_dict(keep_vars=True).items()
    names = {id(tensor): name for name, tensor in live if name in state_dict}
    if tensors and not any(id(tensor) in names for tensor in tensors.values()):
        raise ValueError(
            "the state_dict has values for none of the adapter's tensors: its names must be those "
            f"of the model's own state_dict(), and it has {next(iter(state_dict), 'none')!r}"
        )
    return {k: state_dict[names[id(t)]] if id(t) in names else t for k, t in tensors.items()}


@method_of(PeftModel)
def push_to_hub(model: PeftModel, repo_id: str, **options: Any) -> Any:
    """Save the adapters to a temporary folder and upload it with the hub's client."""
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        api = HfApi(token=options.pop("token", None))
        api.create_repo(repo_id, private=options.pop("private", None), exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=folder, **options)


METHODS["names_for_peft"] = names_for_peft
METHODS["values_from"] = values_from
