"""The account's way, for real: a submission that runs as an account which owns nothing.

That account must be able to run Python. Where this one lies in a home that is closed to others
(pyenv below /root), a copy of its tree is made that all may read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import nbformat
import pytest

from lora_lessons.app.classroom import isolation

from .handed_in import code_cell, new_class

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
        reason="needs Linux, root and setpriv",
    ),
]
NOBODY = "65534"


def runs_for_others(python: Path) -> bool:
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop += ["--no-new-privs", "env"]  # env: setpriv's own start of a program is still root's
    try:
        done = subprocess.run(
            [*drop, str(python), "-c", "import json"], capture_output=True, cwd="/"
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture(scope="module")
def python():
    """This Python, or a copy of it for all, without its packages: those come by PYTHONPATH."""
    if runs_for_others(Path(sys.executable)):
        yield Path(sys.executable)
        return
    folder = Path(tempfile.mkdtemp(prefix="ll-python-"))
    folder.chmod(0o755)
    version = f"python{sysconfig.get_python_version()}"
    base = Path(os.path.realpath(sys.executable)).parent.parent
    (folder / "bin").mkdir()
    shutil.copy(base / "bin" / version, folder / "bin" / "real")
    skip = shutil.ignore_patterns("site-packages", "test", "tests", "__pycache__", "config-*")
    shutil.copytree(base / "lib" / version, folder / "lib" / version, ignore=skip)
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy(library, folder / "lib" / library.name)
    # the program names its library by a path that others may not pass: say another one, and stay
    # the program that was called, which is how Python finds its own folders
    called = folder / "bin" / version
    lines = ["#!/bin/bash", f'export LD_LIBRARY_PATH="{folder}/lib"']
    lines += [f'exec -a "$0" "{folder}/bin/real" "$@"', ""]
    called.write_text("\n".join(lines))
    called.chmod(0o755)
    yield called
    shutil.rmtree(folder)


LOOK = """
import os
print("account", os.getuid())
for path in PATHS:
    try:
        print("read", len(open(path).read(9)))
    except OSError as error:
        print(type(error).__name__)
    try:
        open(path, "a").close()
        print("may write")
    except OSError as error:
        print(type(error).__name__)
"""


def test_an_account_that_owns_nothing_is_graded_and_reaches_nothing(tmp_path, python):
    assert runs_for_others(python)
    school = new_class(tmp_path, "01")
    course = school.course
    notebook = school.notebook("ada")
    paths = [course.root / "gradebook.db", course.root / "nbgrader_config.py", isolation.KEY]
    assert all(path.exists() for path in paths)
    looking = LOOK.replace("PATHS", repr([str(path) for path in paths]))
    notebook["cells"].append(code_cell(looking))
    school.submit("ada", notebook)
    places = [str(isolation.PACKAGE.parent), *(p for p in sys.path if p.endswith("site-packages"))]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    env["PYTHONPATH"] = os.pathsep.join(places)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
    words = ["-m", "lora_lessons", "grade", "01", "--isolation", "account"]
    done = subprocess.run(
        [str(python), *words, "--course", str(course.root)],
        env=env,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "isolation: an account that owns nothing" in done.stdout
    assert school.lost("ada") == set()
    graded = nbformat.read(course.autograded_path("ada", school.lesson), 4)
    (out,) = graded.cells[-1].outputs
    account, *told = out.text.splitlines()
    assert int(account.removeprefix("account ")) - isolation.FIRST_ACCOUNT in range(
        isolation.ACCOUNTS
    )
    assert told == ["PermissionError"] * 6
