"""What a submission cannot reach while it runs: who it runs as, and what it sees of the disk.

Three ways, the strongest first:

- "sandbox": bubblewrap (`bwrap`, in every Linux distribution) shows the submission Python, the
  package without its key, and a folder of its own; no other file, no network, no other process.
- "account": root starts the submission as an account that owns nothing. The course folder, the
  solutions and the key are closed to others first.
- "none": the submission runs as you. The trees are compared before and after each submission.

None is believed: `reached` runs a probe the same way and tells what it could open.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import lora_lessons

from .course import ClassroomError

PACKAGE = Path(lora_lessons.__file__).parent
KEY = PACKAGE / "course" / "key.json"
MODES = ("sandbox", "account", "none")
FIRST_ACCOUNT, ACCOUNTS = 61_184, 4_096  # systemd's range for accounts of a running service
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/nix")
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "PYTHONWARNINGS", "NBGRADER_EXECUTION")
KEPT_FAMILIES = ("LORA_LESSONS_", "OMP_", "MKL_", "HF_HUB_", "CUDA_VISIBLE")
PROBE = """
import json, os, sys
import lora_lessons.course
secret, fixed = json.loads(sys.argv[1])
def opens(path):
    try:
        return bool(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(3)[2:])
    except OSError:
        return False
print(json.dumps([[p for p in secret if opens(p)], [p for p in fixed if os.access(p, os.W_OK)]]))
"""


@dataclass
class Room:
    """A folder for one submission to run in: <root>/STUDENT/LESSON, and a home."""

    root: Path
    work: Path
    home: Path
    account: int | None = None
    package: Path | None = field(default=None)  # a copy without the key, where that is needed

    def give_to_account(self) -> None:
        """Let the account own the folder, where the submission runs as one."""
        if self.account is not None:
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, self.account, self.account, follow_symlinks=False)

    def remove(self) -> None:
        """Delete the folder, and end what its account left running."""
        if self.account is not None:
            _end_processes_of(self.account)
        shutil.rmtree(self.root, ignore_errors=True)


def make_room(mode: str, student: str, lesson: str) -> Room:
    """Make the folder that a submission runs in. Its short path leaves space for sockets' names."""
    root = Path(tempfile.mkdtemp(prefix="ll-"))
    room = Room(root, root / student / lesson, root / "home")
    room.work.mkdir(parents=True)
    (room.home / "matplotlib").mkdir(parents=True)
    for fonts in _font_lists():
        shutil.copy(fonts, room.home / "matplotlib" / fonts.name)
    if os.name == "posix" and os.geteuid() == 0 and mode != "none":
        # each worker's own, also where two courses are graded at once: its processes are ended
        room.account = FIRST_ACCOUNT + os.getpid() % ACCOUNTS
    if mode == "account":
        room.package = _package_without_key()
    return room


@functools.cache
def _font_lists() -> tuple[Path, ...]:
    """matplotlib's list of this machine's fonts, which takes seconds to make."""
    made = Path(sys.prefix) / "var" / "matplotlib"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "matplotlib"
    own = Path(os.environ.get("MPLCONFIGDIR", cache))
    lists = [list(folder.glob("fontlist*.json")) for folder in (own, cache, made)]
    return tuple(next(filter(None, lists), []))


@functools.cache
def _package_without_key() -> Path:
    """A copy of the package that everybody may read and nobody but root may change."""
    folder = Path(tempfile.mkdtemp(prefix="ll-package-"))
    folder.chmod(0o755)
    hide = shutil.ignore_patterns("__pycache__", KEY.name)
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=hide)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def command(mode: str, room: Room, inner: list[str]) -> list[str]:
    """The command line that runs `inner` in the room, isolated this way."""
    if room.account is not None:
        number = str(room.account)
        drop = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        inner = [*drop, "--no-new-privs", "env", f"--chdir={room.work}", *inner]
    return [*_sandbox(room), *inner] if mode == "sandbox" else inner


def _sandbox(room: Room) -> list[str]:
    """bubblewrap's options: an empty disk, and on it what Python needs, to be read only."""
    line = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    line += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if room.account is not None:  # to become the account, inside
        line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    line += ["--unsetenv", "JPY_PARENT_PID"]  # the kernel looks for its parent, and sees none here
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for folder in map(Path, SYSTEM):
        if folder.is_symlink():
            line += ["--symlink", os.readlink(folder), str(folder)]
        elif folder.exists():
            line += ["--ro-bind", str(folder), str(folder)]
    shown = [*_pythons(), PACKAGE]
    for parent in sorted({above for folder in shown for above in folder.parents[:-1]}):
        if not parent.is_relative_to(tempfile.gettempdir()) and str(parent) not in SYSTEM:
            line += ["--perms", "0755", "--dir", str(parent)]  # else only root may pass
    for folder in shown:
        line += ["--ro-bind", str(folder), str(folder)]
    if KEY.exists():
        line += ["--ro-bind", os.devnull, str(KEY)]
    line += ["--bind", str(room.root), str(room.root)]
    if room.account is None:
        line += ["--chdir", str(room.work)]
    return [*line, "--"]


def _pythons() -> list[Path]:
    """The folders of this Python and of its environment; the outer before the inner."""
    folders = {Path(p) for p in (sys.base_prefix, sys.prefix)}
    folders |= {Path(p).resolve() for p in (sys.base_prefix, sys.prefix)}
    folders.add(Path(os.path.realpath(sys.executable)).parent.parent)
    return sorted(f for f in folders if not any(f.is_relative_to(s) for s in SYSTEM))


def environment(room: Room) -> dict[str, str]:
    """The variables that a submission gets: none of yours but those that set up the course."""
    kept = {k: v for k, v in os.environ.items() if k in KEPT or k.startswith(KEPT_FAMILIES)}
    home = str(room.home)
    kept |= {"HOME": home, "IPYTHONDIR": f"{home}/ipython", "MPLCONFIGDIR": f"{home}/matplotlib"}
    kept |= {"USER": "student", "LOGNAME": "student", "LORA_LESSONS_PROGRESS": "0"}
    kept |= {"XDG_DATA_HOME": home, "XDG_CACHE_HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}
    if os.name == "nt":
        kept |= {k: v for k, v in os.environ.items() if k in ("SYSTEMROOT", "TEMP", "TMP")}
        kept |= {"USERPROFILE": home, "APPDATA": home}
    ours = str(room.package or PACKAGE.parent)  # the judge is this package and no other
    kept["PYTHONPATH"] = os.pathsep.join([ours, *filter(None, [kept.get("PYTHONPATH")])])
    return kept


def secrets(course: Path) -> list[Path]:
    """What a submission must not read: the course folder, the solutions, their history, the key."""
    clone = PACKAGE.parent
    parts = [course, KEY, clone / "solutions", clone / ".git", clone / "release"]
    return [path for path in parts if path.exists()]


def close_to_others(course: Path) -> None:
    """Take all rights from other accounts; the owner keeps what is theirs."""
    for path in secrets(course):
        path.chmod(path.stat().st_mode & 0o700)


def reached(mode: str, course: Path) -> list[str]:
    """What a probe, isolated this way, could read or change of what it must not.

    Raises ClassroomError if it does not even start.
    """
    fixed = [PACKAGE, PACKAGE / "course" / "checks" / "core.py", Path(sys.prefix), course]
    question = json.dumps([[str(p) for p in part] for part in (secrets(course), fixed)])
    room = make_room(mode, "probe", "probe")
    room.give_to_account()
    try:
        line = command(mode, room, [sys.executable, "-c", PROBE, question])
        done = subprocess.run(
            line, env=environment(room), cwd=room.work, capture_output=True, text=True, timeout=120
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClassroomError(f"{mode}: {error}") from None
    finally:
        room.remove()
    if done.returncode:
        raise ClassroomError(f"{mode}: {(done.stderr.strip() or 'no answer').splitlines()[-1]}")
    read, changed = json.loads(done.stdout)
    return [f"read {path}" for path in read] + [f"change {path}" for path in changed]


def choose(course: Path, wanted: str = "auto") -> tuple[str, list[str]]:
    """The strongest way that works here, and why the others do not, one line each.

    Raises ClassroomError if a way that was asked for does not isolate.
    """
    said = []
    for mode in MODES[:2] if wanted == "auto" else [wanted]:
        fault = _fault(mode, course)
        if fault is None:
            return mode, said
        said.append(f"{mode}: {fault}")
    if wanted != "auto":
        raise ClassroomError("; ".join(said))
    return "none", said


def _fault(mode: str, course: Path) -> str | None:
    """Why this way cannot be had here, or None."""
    if mode == "none":
        return None
    if mode == "sandbox" and shutil.which("bwrap") is None:
        return "no bubblewrap here (on Linux: install the package bubblewrap)"
    if mode == "account":
        if os.name != "posix" or os.geteuid() != 0 or shutil.which("setpriv") is None:
            return "needs Linux and root"
        close_to_others(course)
    try:
        open_to_it = reached(mode, course)
    except ClassroomError as error:
        return str(error).removeprefix(f"{mode}: ")
    return f"a submission could {', '.join(open_to_it)}" if open_to_it else None


def _end_processes_of(account: int) -> None:
    """End every process of a submission's account; no one else's can have that number."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == account:
                os.kill(int(folder.name), 9)
        except (ProcessLookupError, FileNotFoundError):
            continue
