"""An adapter that was saved as a pickle, adapter_model.bin, read once and written as safetensors.

Older versions of PEFT wrote such files, and `safe_serialization=False` still does. Unpickling can
run any code; torch's `weights_only=True` builds tensors and plain containers and refuses all else,
before it runs. No loading path comes through here: a person asks for it, with the command
`lora-lessons convert FOLDER`.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...errors import AdapterFileError
from ...storage import CONFIG_NAME, WEIGHTS_NAME, write_whole
from ..config import PeftConfig

OLD_NAME = "adapter_model.bin"


def convert_pickle(folder: str | Path) -> tuple[Path, int, int]:
    """Write the tensors of a folder's adapter_model.bin as adapter_model.safetensors beside it.

    Returns its path, the number of tensors and that of the numbers in them. The old file stays, and
    a file that is there already is never replaced. Raises AdapterFileError, with nothing written,
    for whatever could not be loaded afterwards: another folder, a config that cannot be read, a
    pickle that holds more than tensors, or is cut short, or has values that are not finite.
    """
    folder = Path(folder).expanduser()
    source, target = folder / OLD_NAME, folder / WEIGHTS_NAME
    if target.exists():
        raise AdapterFileError(f"{target} is there already: there is nothing to convert")
    if not source.is_file():
        kind = "has no" if folder.is_dir() else "is no folder with an"
        raise AdapterFileError(f"{folder} {kind} {OLD_NAME}")
    if not (folder / CONFIG_NAME).is_file():
        raise AdapterFileError(f"{folder} has no {CONFIG_NAME}, without which no adapter is loaded")
    PeftConfig.from_pretrained(folder)
    tensors = checked_tensors(read_tensors(source), source)
    write_whole({target: lambda path: _save(tensors, path)})
    return target, len(tensors), sum(tensor.numel() for tensor in tensors.values())


def read_tensors(path: Path) -> Any:
    """What a pickle holds, if that is tensors and plain containers; nothing in it is run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of its age
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("WeightsUnpickler error: ")[-1].split("\n")[0]
        raise AdapterFileError(
            f"{path} holds more than tensors, or is no such file. It was refused, and nothing in "
            f"it was run: {reason}"
        ) from error
    except OSError:
        raise
    except Exception as error:  # whatever a few wrong bytes lead to
        raise AdapterFileError(
            f"{path} is empty, cut short or no such file: {type(error).__name__}"
        ) from error


def checked_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors by key; raises AdapterFileError for anything that no adapter's file has."""
    if not isinstance(content, dict) or not content:
        raise AdapterFileError(
            f"{path} must hold a dict of tensors, and holds "
            f"{'an empty dict' if isinstance(content, dict) else type(content).__name__}"
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise AdapterFileError(
                f"{path} must hold nothing but tensors, and {key!r} is {type(value).__name__}: an "
                "adapter's file has keys such as 'base_model.model.layer.lora_A.weight'"
            )
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise AdapterFileError(f"{path}: {key} is sparse, quantized or without values")
        if not value.isfinite().all():
            raise AdapterFileError(f"{path}: {key} has values that are not finite")
    return dict(content)


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a safetensors file; tensors that shared memory each get their own."""
    from safetensors.torch import save_file

    own = {key: value.detach().contiguous().clone() for key, value in tensors.items()}
    save_file(own, path, metadata={"format": "pt"})
