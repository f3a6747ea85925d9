"""Give the learner a folder of their own with the lessons' notebooks, and open JupyterLab on it.

A learner's work is never overwritten. Beside the notebooks lies a small file with the hash of each
one as it was handed out; a notebook that still has it was not touched and may be replaced by a
newer one. Where the learner changed theirs, the newer one is put beside it under another name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..storage import write_whole
from . import workspace

DEFAULT_FOLDER = Path("my-lessons")
HANDED_OUT = ".lora-lessons.json"
JUPYTER = Path(__file__).resolve().parent / "jupyter"
"""Defaults for JupyterLab, which the learner's own settings come before: no news, names not cut."""
NO_LAB = 'JupyterLab is not installed: pip install "lora-lessons[lab]"'
KEY = (
    Path(__file__).resolve().parent.parent / "course" / "key.json"
)  # as course.solution has it, without torch


@dataclass(frozen=True)
class Copied:
    """What happened to one notebook: "new", "updated", "kept" or "newer beside yours"."""

    path: Path
    outcome: str


def shipped_notebooks() -> list[Path]:
    """Return the learner's copies that came with the package, or of the repository around it.

    Raises FileNotFoundError if there are none.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
        if found:
            return found
    raise FileNotFoundError(
        f"no notebooks beside {package}: install lora-lessons again, or run `make lessons`"
    )


def is_a_classrooms() -> bool:
    """Tell whether the teacher holds the solutions: the classroom's wheel has no key."""
    return not KEY.exists()


def copy_notebooks(folder: Path, sources: list[Path] | None = None) -> list[Copied]:
    """Copy the notebooks into `folder`, keeping every change that the learner made there.

    Raises NotADirectoryError or PermissionError if `folder` cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / HANDED_OUT
    handed_out = _read_record(record)
    results = [_copy_one(source, folder, handed_out) for source in sources or shipped_notebooks()]
    write_whole({record: json.dumps(handed_out, indent=1, sort_keys=True).encode()})
    return results


def _copy_one(source: Path, folder: Path, handed_out: dict[str, str]) -> Copied:
    """Copy one notebook and note its hash in `handed_out`."""
    content, target = source.read_bytes(), folder / source.name
    newest, last = _hash(content), handed_out.get(source.name)
    handed_out[source.name] = newest
    if not target.exists():
        write_whole({target: content})
        return Copied(target, "new")
    mine = _hash(target.read_bytes())
    if mine == newest or newest == last:
        return Copied(target, "kept")
    if mine == last:
        write_whole({target: content})
        return Copied(target, "updated")
    beside = folder / f"{source.stem}.newer-{newest[:6]}.ipynb"
    if not beside.exists():
        write_whole({beside: content})
    return Copied(beside, "newer beside yours")


def _read_record(record: Path) -> dict[str, str]:
    """Return {notebook: hash}; nothing known means that every notebook counts as changed."""
    try:
        return json.loads(record.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def was_changed(path: Path) -> bool:
    """Tell whether a notebook in the learner's folder is there and not as it was handed out."""
    if not path.exists():
        return False
    return _hash(path.read_bytes()) != _read_record(path.parent / HANDED_OUT).get(path.name)


def lab_command(opens: str, browser: bool, options: list[str]) -> list[str]:
    """Return the command that opens JupyterLab on the notebook named `opens`.

    It logs errors only, so that the address, which it always says, is the last that it says.
    """
    command = [sys.executable, "-m", "jupyterlab", "--Application.log_level=ERROR"]
    command += [f"--LabApp.default_url=/lab/tree/{opens}", "--LabApp.news_url=None"]
    command.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container, root is often the only user
    return [*command, *options]


def lab_environment() -> dict[str, str]:
    """Return this process's variables, with our defaults for JupyterLab among its own."""
    paths = [str(JUPYTER), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(paths)}


def open_lab(folder: Path, opens: str, browser: bool, options: list[str]) -> int:
    """Run JupyterLab until the learner stops it; return its exit code.

    Raises ModuleNotFoundError where it is not installed, with what to do.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ModuleNotFoundError(NO_LAB)
    command = lab_command(opens, browser, options)
    try:
        return subprocess.call(command, cwd=folder, env=lab_environment() | workspace.variables())
    except KeyboardInterrupt:  # Ctrl-C reaches JupyterLab too, which asks and then stops
        return 0


def free_gigabytes(folder: Path) -> float:
    """Return the free disk space where `folder` is or will be, in GB."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / 1e9
