"""A file that is loaded into an adapter which has another scaling."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from ....errors import PeftWarning
from ...config import LoraConfig, PeftConfig
from ...plugs import METHODS

SCALING_FIELDS = ("lora_alpha", "use_rslora", "alpha_pattern")


def warn_of_other_scaling(
    config: LoraConfig, model_id: str | Path, subfolder: str | None, **hub: Any
) -> None:
    """Warn where a file's own config scales its update otherwise than the adapter it goes into."""
    try:
        saved = PeftConfig.from_pretrained(model_id, subfolder, **hub)
    except (ValueError, OSError):  # no config beside the weights
        return
    pairs = [(name, getattr(saved, name), getattr(config, name)) for name in SCALING_FIELDS]
    differing = [
        f"{name}={theirs!r}, and not {ours!r}" for name, theirs, ours in pairs if theirs != ours
    ]
    if differing:
        warnings.warn(
            "the file was trained with another scaling than the adapter it is loaded into has: "
            f"{'; '.join(differing)}. The update's strength is not what it was.",
            PeftWarning,
            stacklevel=3,
        )


METHODS["warn_of_other_scaling"] = warn_of_other_scaling
