"""A bar shows what is done, and nothing where it is not wanted."""

from __future__ import annotations

from lora_lessons.experiments.progress import each


def test_a_bar_says_of_what_and_how_far(capsys):
    assert list(each(["a", "b"], "arms")) == ["a", "b"]
    shown = capsys.readouterr().err
    assert "arms" in shown and "2/2" in shown


def test_without_progress_nothing_is_written(capsys):
    assert list(each(("a", "b"), "arms", show=False)) == ["a", "b"]
    assert capsys.readouterr() == ("", "")
