"""Due dates, extensions, and what late work loses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lora_lessons.app.classroom.course import ClassroomError
from lora_lessons.app.classroom.late import read_rules

LESSON = "01_rank_decomposition"
TOML = f"""
timezone = "Europe/Berlin"
[due]
{LESSON} = 2026-11-20T23:59:00
[late]
grace_minutes = 10
per_day = 0.1
most = 0.5
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "course.toml").write_text(TOML)
    released = tmp_path / "release" / LESSON / f"{LESSON}.ipynb"
    released.parent.mkdir(parents=True)
    released.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("when", "share"),
    [
        ("2026-11-20T22:59", 0),  # Berlin is an hour before UTC in November
        ("2026-11-20T23:09", 0),  # within the grace
        ("2026-11-20T23:10", 0.1),
        ("2026-11-21T22:59", 0.1),
        ("2026-11-21T23:00", 0.2),
        ("2027-01-01T00:00", 0.5),
    ],
)
def test_each_day_begun_loses_its_share(folder, when, share):
    handed_in = datetime.fromisoformat(when).replace(tzinfo=UTC)
    assert read_rules(folder).share("ada", LESSON, handed_in) == pytest.approx(share)


def test_an_extension_is_one_students_own_date(folder):
    (folder / "extensions.csv").write_text("student,lesson,until\nAda,01,2026-11-25T12:00\n")
    rules, then = read_rules(folder), datetime(2026, 11, 25, 11, 5, tzinfo=UTC)
    assert rules.share("ada", LESSON, then) == 0
    assert rules.share("bob", LESSON, then) == 0.5


def test_without_settings_and_without_a_time_nothing_is_late(tmp_path, folder):
    assert read_rules(folder).share("ada", LESSON, None) == 0
    (folder / "course.toml").unlink()
    assert read_rules(folder).share("ada", LESSON, datetime.max.replace(tzinfo=UTC)) == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[late]\nperday = 0.1", "'perday' is no setting"),
        ("[late]\nper_day = 10", "between 0 and 1"),
        ("timezone = 'Mars'", "Mars"),
        ("[due", "course.toml"),
    ],
)
def test_a_mistake_in_the_settings_is_an_error_at_once(tmp_path, text, says):
    (tmp_path / "course.toml").write_text(text)
    with pytest.raises(ClassroomError, match=says):
        read_rules(tmp_path)
