"""Variants of the update itself: DoRA."""
