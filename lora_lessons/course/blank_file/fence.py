"""What the learner's file can reach while it is tested: no LoRA of others, no other process.

In the process of the test only. `hidden` takes PEFT, transformers and this package out of reach;
`shut` refuses, for good, what a mini-LoRA has no need of.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AWAY = ("peft", "transformers", "lora_lessons")
FILE = "<mini_lora>"
CLOSED_EVENTS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.kill", "socket.connect")
MEMORY = 4 * 2**30  # bytes, beyond what is in use
CPU_SECONDS, FILE_BYTES = 60, 64 * 2**20


class _Finder:
    """Refuses to import anew what is hidden."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        if name.split(".")[0] in AWAY:
            raise ImportError(f"{name} is out of reach here: write it yourself", name=name)


@contextmanager
def hidden() -> Iterator[None]:
    """PEFT, transformers and this package are out of reach inside."""
    away = {name: module for name, module in sys.modules.items() if name.split(".")[0] in AWAY}
    for name in away:
        del sys.modules[name]
    sys.meta_path.insert(0, _Finder)
    try:
        yield
    finally:
        sys.meta_path.remove(_Finder)
        sys.modules.update(away)


def shut(folder: Path) -> None:
    """Refuse other processes, connections, and files written outside `folder`, for good."""
    room = (os.path.realpath(folder), os.path.realpath(tempfile.gettempdir()), os.devnull)

    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event in CLOSED_EVENTS or event == "subprocess.Popen":
            raise PermissionError(f"{event} is closed in this test")
        writes = event == "open" and isinstance(given[0], str) and _writes(given)
        if writes and not os.path.realpath(given[0]).startswith(room):
            raise PermissionError(f"{given[0]} is outside of the folder of the test")

    sys.addaudithook(watch)


def _writes(given: tuple[Any, ...]) -> bool:
    flags = given[2] if isinstance(given[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def limit() -> None:
    """Set limits on this process: time on the CPU, memory, the size of a file. Not on Windows."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text("ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
