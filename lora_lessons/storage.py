"""Where an adapter's files are, and how files are written: whole or not at all."""

from __future__ import annotations

import inspect
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import AdapterFileError, nearest

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "proxies")

PASSED_OVER = ("max_shard_size", "save_function", "save_peft_format", "use_safetensors")
# PEFT's arguments that this library has not, and what there is in their stead
NOT_SUPPORTED = dict.fromkeys(
    ("device_map", "max_memory", "offload_folder", "offload_dir", "offload_index"),
    "an adapter's tensors go where their layer is; give it to the base model's from_pretrained",
) | {
    "ephemeral_gpu_offload": "DoRA's norms are computed where the weights are",
    "adapters": "it is for X-LoRA, and LoRA is the only method here",
    "use_auth_token": "the hub's client calls it token",
    "push_to_hub": "save first, and then call push_to_hub",
    "runtime_config": "no option of a run is kept in a config",
}


def write_whole(contents: Mapping[Path, bytes | Callable[[Path], object]]) -> None:
    """Write files so that each is there whole or is as it was: temporary files, then renames.

    A file's content is its bytes, or a function that writes them to the path that it is given. They
    are on the disk before the first rename: a power cut cannot leave an empty file.
    """
    written: list[tuple[Path, Path]] = []
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            written.append((temporary, path))
            if callable(content):
                content(temporary)
            else:
                with temporary.open("xb") as file:  # its mode is for the user's umask to say
                    file.write(content)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        for temporary, path in written:
            os.replace(temporary, path)
    finally:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)


def adapter_path(
    model_id: str | Path, filename: str, subfolder: str | None = None, **hub: Any
) -> Path:
    """The path of one of an adapter's files, which the hub's client fetches if it must."""
    folder = Path(model_id).expanduser() / (subfolder or "")
    if (folder / filename).is_file():
        return folder / filename
    if folder.is_dir() or _is_place(model_id):
        pickle = folder / "adapter_model.bin"
        if filename == WEIGHTS_NAME and pickle.is_file():
            raise AdapterFileError(
                f"{pickle} is a pickle, which can run code: refused. The command `lora-lessons "
                f'convert "{folder}"` writes its tensors as safetensors, and runs nothing in it.'
            )
        raise ValueError(f"Can't find '{filename}' at '{folder}'{_elsewhere(folder, filename)}")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(str(model_id), filename, subfolder=subfolder, **hub))
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(
            f"Can't find '{filename}' at '{model_id}': there is no folder of that name here, and "
            f"the hub's client says: {reason}"
        ) from error


def _is_place(model_id: str | Path) -> bool:
    """True for what can only be a folder: the hub's names of adapters are "owner/model"."""
    name = Path(model_id).as_posix() if isinstance(model_id, Path) else model_id
    place = Path(name)
    return place.is_file() or name.startswith((".", "~", "/")) or name.count("/") != 1


def _elsewhere(folder: Path, filename: str) -> str:
    """The end of an error message: where the file is instead, if it is near."""
    if folder.is_file():
        return f": that is a file, and its folder is needed, '{folder.parent}'"
    if folder.is_dir():
        found = sorted(f"'{path.parent}'" for path in folder.glob(f"*/{filename}"))
        return f", but at {' and '.join(found[:3])}" if found else ""
    beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
    near = nearest(folder.name, (path.name for path in beside if path.is_dir()))
    hint = f". Did you mean '{folder.parent / near}'?" if near else ""
    return f": there is no such folder{hint}"


def refuse_misspelt(given: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Raise TypeError for a name that is none of the function's arguments: it would do nothing.

    Names that ask for nothing are passed over: those whose value is None or False, and those that
    transformers hands to every `save_pretrained`.
    """
    known = [*inspect.signature(function).parameters, *HUB_ARGUMENTS]
    for name, value in given.items():
        if name in known or name in PASSED_OVER:
            continue
        near, called = nearest(name, known, cutoff=0.8), function.__name__
        if near and name not in NOT_SUPPORTED:
            raise TypeError(f"{called}() has no argument {name!r}. Did you mean {near!r}?")
        if value is not None and value is not False:
            reason = NOT_SUPPORTED.get(name, "it would do nothing here")
            raise TypeError(f"{called}() does not take {name!r}: {reason}")


def split_hub_arguments(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(those for the hub's client, the others)."""
    hub = {key: value for key, value in arguments.items() if key in HUB_ARGUMENTS}
    return hub, {key: value for key, value in arguments.items() if key not in hub}
