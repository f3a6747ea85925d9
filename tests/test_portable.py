"""The course runs on Windows and macOS: nothing that only Linux has, outside guarded places.

The systems themselves are not at hand here: these tests read the code and the files' names.
"""

from __future__ import annotations

import subprocess
from pathlib import Path, PureWindowsPath

import pytest

from tests.portable import faults, files

ROOT = Path(__file__).resolve().parents[1]
# (file, function): why it may stand there although no `if` around it asks
GUARDED = {
    ("app/classroom/isolation.py", ""): "folders that bubblewrap shows, where they exist",
    ("app/classroom/isolation.py", "_sandbox"): "only where bubblewrap was found",
    ("app/classroom/isolation.py", "Room.give_to_account"): "only in the mode for Linux and root",
    ("app/classroom/isolation.py", "_end_processes_of"): "only in the mode for Linux and root",
    ("course/blank_file/fence.py", "limit"): "after `import resource` succeeded, where /proc is",
    ("course/blank_file/server.py", "_in_a_copy"): "`serve` calls it only where there are forks",
    ("course/blank_file/server.py", "_why_it_ended"): "of a copy, which only a fork makes",
}
# lessons' cells that read and write JSON, which is ASCII as it is written there
IN_ASCII = {"09_save_merge_switch.py", "14_deployment.py"}
FORBIDDEN_ON_WINDOWS = set('<>:"|?*\\')


def excused(file: Path, function: str, what: str) -> bool:
    """Whether a fault is one of those that are listed above."""
    if file.name in IN_ASCII and file.parent.name == "solutions":
        return what in ("read_text without an encoding", "write_text without an encoding")
    return (file.as_posix().partition("lora_lessons/")[2], function) in GUARDED


def test_only_guarded_places_need_posix():
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {what}"
        for file in files(ROOT)
        for line, function, what in faults(file.read_text("utf-8"))
        if not excused(file, function, what)
    ]
    remedy = "ask first (hasattr, os.name), or take what is everywhere"
    assert not wrong, "\n".join([*wrong, remedy])


@pytest.mark.parametrize(("name", "function"), GUARDED)
def test_no_excuse_is_left_over(name, function):
    text = (ROOT / "lora_lessons" / name).read_text("utf-8")
    assert function in [where for _, where, _ in faults(text)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import os\nos.fork()", "os.fork"),
        ("import fcntl", "import fcntl"),
        ("from signal import SIGALRM", "import signal.SIGALRM"),
        ("from resource import getrlimit", "import resource"),
        ("import signal\nsignal.setitimer(0, 1)", "signal.setitimer"),
        ("def f():\n    os.killpg(1, 9)", "os.killpg"),
        ("open('a')", "open without an encoding"),
        ("open('a', 'w')", "open without an encoding"),
        ("path.open()", "open without an encoding"),
        ("path.read_text()", "read_text without an encoding"),
        ("path.write_text(text)", "write_text without an encoding"),
        ("os.rename(a, b)", "rename: it fails on Windows where the file exists; replace does not"),
        ("path.rename(b)", "rename: it fails on Windows where the file exists; replace does not"),
        ("Path('/tmp') / 'x'", "'/tmp'"),
        ("run('ls', shell=True)", "shell=True"),
        ("t.strftime('%-d')", "strftime with %-"),
        ("plt.text(0, 0, 'a', fontname='Arial')",
         "the font 'Arial', which matplotlib does not bring"),
        ("try:\n    import fcntl\nexcept ValueError:\n    pass", "import fcntl"),
        ("if fast:\n    os.fork()", "os.fork"),
        ("if hasattr(os, 'fork'):\n    pass\nos.fork()", "os.fork"),
    ],
)  # fmt: skip
def test_the_walk_finds(text, what):
    assert [found for _, _, found in faults(text)] == [what]


@pytest.mark.parametrize(
    "text",
    [
        "if hasattr(os, 'fork'):\n    os.fork()",
        "def f():\n    if os.name == 'nt':\n        return\n    os.fork()",
        "FORKS = hasattr(os, 'fork')\nn = os.fork() if FORKS else 0",
        "def can():\n    return hasattr(signal, 'SIGALRM')\nif can():\n    signal.SIGALRM",
        "try:\n    import resource\nexcept ImportError:\n    resource = None",
        "root = os.name == 'posix' and os.geteuid() == 0",
        "open('a', 'rb')",
        "open('a', encoding='utf-8')",
        "path.open('rb')",
        "path.read_text('utf-8')",
        "archive.open(name)",
        "path.replace(b)",
        "def f():\n    '''/tmp is not used.'''",
        "url = '/lab/tree'",
        "plt.text(0, 0, 'a', fontname='DejaVu Sans')",
    ],
)
def test_the_walk_lets_by(text):
    assert faults(text) == []


def test_windows_can_check_out_every_file():
    """No character or name that it forbids, no two that differ only in case, none too long."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    names = listed.stdout.decode().split("\0")[:-1]
    assert len(names) > 300
    wrong = [name for name in names if set(name) & FORBIDDEN_ON_WINDOWS or len(name) > 150]
    wrong += [name for name in names if any(map(is_reserved, Path(name).parts))]
    wrong += [name for name in names if any(part.endswith((".", " ")) for part in Path(name).parts)]
    assert not wrong
    assert len({name.casefold() for name in names}) == len(names)


def is_reserved(part: str) -> bool:
    """Whether Windows keeps this name for a device."""
    return PureWindowsPath(part).is_reserved()
