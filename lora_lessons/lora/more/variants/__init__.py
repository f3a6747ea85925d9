"""Variants of the update itself: DoRA, and LoRA-FA."""

from .dora import Dora, add_dora
from .lora_fa import freeze_A

__all__ = ["Dora", "add_dora", "freeze_A"]
