"""What is kept of a learner's progress."""

from __future__ import annotations

import pytest

from lora_lessons.course import progress
from lora_lessons.course.checks.core import NOT_ATTEMPTED, RIGHT, WRONG


@pytest.fixture(autouse=True)
def _kept(_fresh_lessons, monkeypatch):
    monkeypatch.delenv("LORA_LESSONS_PROGRESS")


def test_a_solved_exercise_stays_solved(tmp_path):
    progress.record("01", "a", WRONG, tmp_path)
    assert progress.read(tmp_path) == {"01": {"a": WRONG}}
    progress.record("01", "a", RIGHT, tmp_path)
    progress.record("01", "a", WRONG, tmp_path)
    progress.record("02", "b", NOT_ATTEMPTED, tmp_path)
    assert progress.read(tmp_path) == {"01": {"a": RIGHT}}
    assert [path.name for path in tmp_path.iterdir()] == [progress.FILE]


def test_a_broken_file_and_a_missing_folder_fail_nothing(tmp_path):
    (tmp_path / progress.FILE).write_text("{broken")
    progress.record("01", "a", RIGHT, tmp_path)
    assert progress.read(tmp_path) == {"01": {"a": RIGHT}}
    progress.record("01", "a", RIGHT, tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_file_can_be_turned_off(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LESSONS_PROGRESS", "0")
    progress.record("01", "a", RIGHT, tmp_path)
    assert list(tmp_path.iterdir()) == []
