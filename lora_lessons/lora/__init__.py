"""The LoRA engine: its core, and in `more` what a config or a call may add to it."""

from . import more

__all__ = ["more"]
