"""hatchling's build hook: with LORA_LESSONS_CLASSROOM=1 the wheel leaves the answers out.

Students install that wheel, and `lesson.solution` then says that the teacher holds the key.
"""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KEY = "lora_lessons/course/key.json"


class ClassroomWheel(BuildHookInterface):
    """Leave the key out of a wheel that is built for a classroom."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects the files."""
        if self.target_name == "wheel" and os.environ.get("LORA_LESSONS_CLASSROOM"):
            self.build_config.target_config.setdefault("exclude", []).append(KEY)
