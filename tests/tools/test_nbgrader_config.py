"""nbgrader's settings: the names of collected files, and how submissions run."""

from __future__ import annotations

import os
import re
import shutil

import nbformat
import pytest
from lesson_env import lesson_environment
from nbgrader.api import Gradebook
from notebook_source import LessonError, lesson_sources, notebook_text, write_whole
from teacher_release import make_release, nbgrader
from traitlets.config import PyFileConfigLoader

LESSON = "03_alpha_scaling"


@pytest.fixture
def settings(root):
    return PyFileConfigLoader("nbgrader_config.py", str(root)).load_config()


@pytest.mark.parametrize(
    ("file", "student"),
    [
        (f"ada_17_assignsubmission_file/{LESSON}.ipynb", "ada"),
        (f"ada_4711_88123_{LESSON}-1.ipynb", "ada"),
        (f"ada_{LESSON}.ipynb", "ada"),
        (f"ada_{LESSON} (1).ipynb", "ada"),
        (f"ada/{LESSON}.ipynb", "ada"),
        (f"s-12.b_{LESSON}.ipynb", "s-12.b"),
        (f"archive/ada_4711_88123_{LESSON}.ipynb", "ada"),
        (f"archive/ada_17_assignsubmission_file/{LESSON}.ipynb", "ada"),
    ],
)
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_zip_collect_reads_student_and_lesson_from_a_platforms_names(
    settings, file, student, slash
):
    """The plugin matches the whole path from its beginning."""
    path = f"/course/downloaded/{LESSON}/extracted/{file}".replace("/", slash)
    found = re.match(settings.FileNameCollectorPlugin.named_regexp, path)
    assert found.groupdict() == {"student_id": student, "file_id": LESSON}


def test_a_file_without_a_lessons_name_is_not_collected(settings):
    path = f"/course/downloaded/{LESSON}/extracted/ada_17_file/homework.ipynb"
    assert not re.match(settings.FileNameCollectorPlugin.named_regexp, path)


@pytest.mark.parametrize(("set_before", "then"), [(None, "quick"), ("small", "small")])
def test_submissions_run_with_the_quick_preset_unless_the_teacher_sets_one(
    root, monkeypatch, set_before, then
):
    monkeypatch.setenv("LORA_LESSONS_PRESET", "any")  # so that it is put back
    monkeypatch.delenv("LORA_LESSONS_PRESET")
    if set_before:
        monkeypatch.setenv("LORA_LESSONS_PRESET", set_before)
    PyFileConfigLoader("nbgrader_config.py", str(root)).load_config()
    assert os.environ["LORA_LESSONS_PRESET"] == then


@pytest.mark.nightly
def test_one_bad_submission_does_not_stop_the_rest(tmp_path):
    """In the order of grading: the kernel ends, no notebook, another name; then a blank one."""
    (source,) = lesson_sources(["00"])
    env = lesson_environment(tmp_path / "home", "quick")
    env.pop("PYTHONWARNINGS")
    released = make_release(source, tmp_path, env)
    submitted = tmp_path / "submitted"
    ended = nbformat.read(released, as_version=4)
    ended.cells.append(nbformat.v4.new_code_cell("import os\nos._exit(1)"))
    write_whole(submitted / "a" / source.stem / released.name, notebook_text(ended))
    write_whole(submitted / "b" / source.stem / released.name, "not a notebook")
    for student, name in (("c", "mine.ipynb"), ("d", released.name)):
        (submitted / student / source.stem).mkdir(parents=True)
        shutil.copyfile(released, submitted / student / source.stem / name)
    with pytest.raises(LessonError) as failed:
        nbgrader("autograde", source.stem, "--create", course=tmp_path, env=env)
    named = re.findall(r"error processing assignment '\w+' for student '(\w+)'", str(failed.value))
    assert named == ["b", "c"]  # of "a" only the cell that ended Python is left out
    assert (tmp_path / "autograded" / "d" / source.stem / released.name).exists()
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}", "lora-lessons") as book:
        assert {
            s.student.id: s.score for s in book.assignment_submissions(source.stem)
        } == dict.fromkeys("abcd", 0)
