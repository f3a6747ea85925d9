"""Where an adapter's files are, and how files are written: whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from .errors import AdapterFileError

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "force_download", "proxies")


def write_whole(contents: dict[Path, bytes]) -> None:
    """Write files so that each is there whole or is as it was: temporary files, then renames."""
    written: list[tuple[str, Path]] = []
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written.append((temporary, path))
            with os.fdopen(handle, "wb") as file:
                file.write(content)
        for temporary, path in written:
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
    finally:
        for temporary, _ in written:
            Path(temporary).unlink(missing_ok=True)


def adapter_path(
    model_id: str | Path, filename: str, subfolder: str | None = None, **hub: Any
) -> Path:
    """The path of one of an adapter's files, which the hub's client fetches if it must."""
    folder = Path(model_id) / (subfolder or "")
    if (folder / filename).is_file():
        return folder / filename
    if folder.is_dir() or Path(model_id).is_absolute():
        pickle = folder / "adapter_model.bin"
        if filename == WEIGHTS_NAME and pickle.is_file():
            raise AdapterFileError(
                f"{pickle} is a pickle, which can run code: refused. Save it again as safetensors "
                "on a machine where you trust it."
            )
        raise ValueError(f"Can't find '{filename}' at '{folder}'")
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(str(model_id), filename, subfolder=subfolder, **hub))


def split_hub_arguments(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(those for the hub's client, the others)."""
    hub = {key: value for key, value in arguments.items() if key in HUB_ARGUMENTS}
    return hub, {key: value for key, value in arguments.items() if key not in hub}
