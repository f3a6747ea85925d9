"""Archives of learning platforms, sorted into submitted/."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime

import pytest

from lora_lessons.app.classroom.collecting import collect
from lora_lessons.app.classroom.course import ClassroomError, Course

LESSON = "01_rank_decomposition"
ROSTER = """id,first_name,last_name,email,moodle,canvas,group
ada,Ada,Lovelace,ada@uni.example,4711,901,
bob,Bob,O'Neil,bob@uni.example,4712,902,
zoe,Zoë,Weiß,zoe@uni.example,4713,903,
"""


def notebook(*names: str, text: str = "1") -> str:
    cells = [
        {"cell_type": "code", "source": text, "metadata": {"nbgrader": {"grade_id": name}}}
        for name in names or ("best_rank_k",)
    ]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def course(tmp_path):
    course = Course(tmp_path / "course")
    for lesson, names in ((LESSON, ("best_rank_k", "tail")), ("02_layer", ("start",))):
        path = course.released_path(lesson)
        path.parent.mkdir(parents=True)
        path.write_text(notebook(*names))
    (course.root / "roster.csv").write_text(ROSTER, "utf-8")
    return course


def archive(folder, files, when=(2026, 11, 20, 10, 0, 0)):
    path = folder / "download.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name, content in files.items():
            at = when
            if isinstance(content, tuple):
                content, at = content
            made.writestr(zipfile.ZipInfo(name, at), content)
    return path


def collected(course, tmp_path, files, **how):
    return collect(course, archive(tmp_path, files), **how)


@pytest.mark.parametrize(
    "name",
    [
        f"Ada Lovelace_4711_assignsubmission_file_/{LESSON}.ipynb",
        f"Ada Lovelace_4711_assignsubmission_file_{LESSON}.ipynb",
        "Participant_4711_assignsubmission_file_/homework5.ipynb",
        "Participant 4711/homework5.ipynb",
        f"lovelaceada_901_88123_{LESSON}-1.ipynb",
        f"lovelaceada_LATE_901_88123_{LESSON}.ipynb",
        f"ada/{LESSON}.ipynb",
        f"ada_{LESSON}.ipynb",
        "Ada Lovelace/Untitled.ipynb",
        "Lovelace, Ada/Untitled.ipynb",
        "ada@uni.example/x.ipynb",
        f"week 3/ada/{LESSON}.ipynb",
    ],
)
def test_every_platforms_names_lead_to_the_student(course, tmp_path, name):
    result = collected(course, tmp_path, {name: notebook()})
    assert result.taken == ["ada"]
    assert course.submitted_path("ada", LESSON).exists()
    assert result.missing == [
        f"{LESSON}: bob Bob O'Neil bob@uni.example",
        f"{LESSON}: zoe Zoë Weiß zoe@uni.example",
    ]


def test_accents_and_marks_in_names_are_no_hindrance(course, tmp_path):
    files = {"Zoe Weiss/a.ipynb": notebook(), "Bob ONeil/a.ipynb": notebook()}
    assert sorted(collected(course, tmp_path, files).taken) == ["bob", "zoe"]


def test_litter_makes_no_student_and_no_remark(course, tmp_path):
    litter = ("__MACOSX/ada/._x.ipynb", "ada/.ipynb_checkpoints/x-checkpoint.ipynb", ".DS_Store")
    files = {"ada/x.ipynb": notebook()} | dict.fromkeys(litter, "x")
    result = collected(course, tmp_path, files)
    assert (result.taken, result.odd) == (["ada"], [])
    assert [path.name for path in (course.root / "submitted").iterdir()] == ["ada"]


def test_of_two_files_the_latest_is_taken_and_both_are_named(course, tmp_path):
    files = {
        "ada/x.ipynb": (notebook(text="new"), (2026, 11, 20, 12, 0, 0)),
        "ada/x-Copy1.ipynb": (notebook(text="old"), (2026, 11, 20, 11, 0, 0)),
        "bob/x.ipynb": notebook(),
    }
    result = collected(course, tmp_path, files)
    assert result.taken == ["ada", "bob"]
    assert result.odd == ["ada: ada/x.ipynb is the latest; not taken: ada/x-Copy1.ipynb"]
    assert "new" in course.submitted_path("ada", LESSON).read_text()


def test_of_two_files_of_one_time_canvas_higher_number_counts(course, tmp_path):
    files = {f"lovelaceada_901_{i}_x-{i}.ipynb": notebook(text=f"try {i}") for i in (2, 10, 9)}
    collected(course, tmp_path, files)
    assert "try 10" in course.submitted_path("ada", LESSON).read_text()


def test_whom_the_roster_does_not_know_is_named_and_invents_nobody(course, tmp_path):
    files = {"ada/x.ipynb": notebook(), "Participant_99_assignsubmission_file_/x.ipynb": notebook()}
    result = collected(course, tmp_path, files | {"mallory/x.ipynb": notebook()})
    assert result.taken == ["ada"]
    assert len(result.odd) == 2 and all("nobody in the roster" in line for line in result.odd)


def test_other_files_are_named(course, tmp_path):
    files = {"ada/x.ipynb": notebook(), "bob/x.ipynb": "broken", "zoe/x.pdf": "%PDF"}
    odd = "\n".join(collected(course, tmp_path, files).odd)
    assert "bob/x.ipynb: is not a notebook" in odd and "zoe/x.pdf: is no notebook" in odd


def test_a_notebook_of_another_lesson_goes_to_that_lesson(course, tmp_path):
    result = collected(course, tmp_path, {f"ada/{LESSON}.ipynb": notebook("start")})
    assert course.submitted_path("ada", "02_layer").exists()
    assert result.missing[0].startswith("02_layer: bob")


def test_one_lesson_alone_can_be_asked_for(course, tmp_path):
    with pytest.raises(ClassroomError, match="no notebook of 02_layer"):
        collected(course, tmp_path, {"ada/x.ipynb": notebook()}, lesson="02_layer")


@pytest.mark.parametrize("files", [{}, {"ada/x.ipynb": notebook("other")}, {"a/readme.txt": "x"}])
def test_an_empty_collection_is_an_error(course, tmp_path, files):
    with pytest.raises(ClassroomError, match="holds no notebook of a released lesson"):
        collected(course, tmp_path, files)


def test_no_archive_and_no_zip_are_errors(course, tmp_path):
    with pytest.raises(ClassroomError, match="there is no"):
        collect(course, tmp_path / "none.zip")
    (tmp_path / "x.zip").write_text("no zip")
    with pytest.raises(ClassroomError, match="is no zip"):
        collect(course, tmp_path / "x.zip")


def test_times_are_the_archives_in_the_courses_zone(course, tmp_path):
    (course.root / "course.toml").write_text('timezone = "Europe/Berlin"')
    collected(course, tmp_path, {"ada/x.ipynb": notebook()})
    stamp = course.submitted_path("ada", LESSON).with_name("timestamp.txt").read_text()
    assert stamp == "2026-11-20 09:00:00 UTC\n"
    datetime.strptime(stamp.strip(), "%Y-%m-%d %H:%M:%S UTC")


def test_an_archive_in_the_archive_and_a_folder_are_opened(course, tmp_path):
    inner = archive(tmp_path, {"x.ipynb": notebook()}).read_bytes()
    folder = tmp_path / "unpacked"
    (folder / "ada_4711_assignsubmission_file_").mkdir(parents=True)
    (folder / "ada_4711_assignsubmission_file_" / "mine.zip").write_bytes(inner)
    assert collect(course, folder).taken == ["ada"]


def test_what_is_there_already_is_not_written_over(course, tmp_path):
    collected(course, tmp_path, {"ada/x.ipynb": notebook(text="first")})
    result = collected(course, tmp_path, {"ada/x.ipynb": notebook(text="second")})
    assert "--force puts this over it" in result.odd[0]
    assert "first" in course.submitted_path("ada", LESSON).read_text()
    collected(course, tmp_path, {"ada/x.ipynb": notebook(text="second")}, force=True)
    assert "second" in course.submitted_path("ada", LESSON).read_text()


def test_one_notebook_of_a_group_counts_for_all(course, tmp_path):
    rows = ROSTER.replace("4711,901,", "4711,901,red").replace("4712,902,", "4712,902,red")
    (course.root / "roster.csv").write_text(rows, "utf-8")
    result = collected(course, tmp_path, {"ada/x.ipynb": notebook()})
    assert result.taken == ["ada", "bob"]
    assert [line.split()[1] for line in result.missing] == ["zoe"]


@pytest.mark.parametrize(
    ("name", "student"),
    [
        (f"ada_17_assignsubmission_file/{LESSON}.ipynb", "ada"),
        (f"s-12.b_{LESSON}.ipynb", "s-12.b"),
        ("Ada Lovelace_17_assignsubmission_file_/x.ipynb", "Ada-Lovelace"),
        ("Participant_4711_assignsubmission_file_/x.ipynb", "participant-4711"),
    ],
)
def test_without_a_roster_the_path_says_who(course, tmp_path, name, student):
    (course.root / "roster.csv").unlink()
    assert collected(course, tmp_path, {name: notebook()}).taken == [student]


def test_anonymous_folders_stay_apart_without_a_roster(course, tmp_path):
    (course.root / "roster.csv").unlink()
    files = {f"Participant_{n}_assignsubmission_file_/x.ipynb": notebook() for n in (1, 2)}
    assert collected(course, tmp_path, files).taken == ["participant-1", "participant-2"]
