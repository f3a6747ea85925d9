"""The notebook side of the course: checks, hints, predictions, explorers, figures, recorded runs.

It imports the LoRA core; the core never imports it.
"""

from .lesson import Lesson, lesson

__all__ = ["Lesson", "lesson"]
