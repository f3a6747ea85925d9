"""Make the teacher's nbgrader course folder: the sources, and the release for the students.

The layout is nbgrader's own: source/, release/, then submitted/, autograded/ and feedback/ beside
them. docs/teaching.md says how to go on from there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from learner_copy import surviving_solutions
from notebook_source import ROOT, LessonError, notebook_text, read_source, write_whole
from release_text import with_classroom_text

COURSE = ROOT / "release"


def make_release(source: Path, course: Path = COURSE, env: dict[str, str] | None = None) -> Path:
    """Write source/ and release/ of one lesson under `course`; return the released notebook.

    Raises LessonError if nbgrader refuses the source or any of the solution is left.
    """
    original, lesson = read_source(source), source.stem
    text = notebook_text(with_classroom_text(read_source(source), lesson))
    write_whole(course / "source" / lesson / f"{lesson}.ipynb", text)
    shutil.copyfile(ROOT / "nbgrader_config.py", course / "nbgrader_config.py")
    nbgrader("generate_assignment", lesson, "--force", course=course, env=env)
    released = course / "release" / lesson / f"{lesson}.ipynb"
    leaks = surviving_solutions(original, nbformat.read(released, as_version=4))
    if leaks:
        released.unlink()
        raise LessonError(f"{lesson}: the release would show {'; '.join(leaks)}")
    return released


def nbgrader(*arguments: str, course: Path, env: dict[str, str] | None = None) -> str:
    """Run one nbgrader command in the course folder and return what it printed."""
    env = dict(os.environ if env is None else env)
    scripts = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    env["PATH"] = os.pathsep.join([scripts, env.get("PATH", "")])
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True)
    if done.returncode:
        raise LessonError(f"nbgrader {arguments[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
