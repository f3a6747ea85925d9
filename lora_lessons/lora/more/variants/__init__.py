"""Variants of the update itself: DoRA."""

from .dora import Dora, add_dora

__all__ = ["Dora", "add_dora"]
