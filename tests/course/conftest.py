"""Each test has lessons of its own, and leaves no progress file."""

from __future__ import annotations

import pytest

from lora_lessons.course.lesson import _load


@pytest.fixture(autouse=True)
def _fresh_lessons(monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_PROGRESS", "0")
    monkeypatch.delenv("LORA_LESSONS_EXAMPLES", raising=False)
    _load.cache_clear()
    yield
    _load.cache_clear()
