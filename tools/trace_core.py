"""What the engine runs for two linear layers: functions, files, and changes of file.

    python tools/trace_core.py              # print the table
    python tools/trace_core.py --write      # put it into docs/engine.md

A reader who follows a call has to hold in mind every function that it runs, and turns a page each
time the next function stands in another file. Both are counted here, with `sys.setprofile`, and the
list of the core's files in docs/engine.md is made from the same trace.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import FrameType

import torch
from torch import nn

import lora_lessons as ll

PACKAGE = Path(ll.__file__).parent


@dataclass
class Trace:
    """The functions of the package that a block ran, one entry a call."""

    calls: list[tuple[str, str]] = field(default_factory=list)  # (file, function)

    @property
    def functions(self) -> set[tuple[str, str]]:
        """The functions, each once."""
        return set(self.calls)

    @property
    def files(self) -> set[str]:
        """The files they stand in, by their path inside the package."""
        return {file for file, _ in self.calls}

    @property
    def changes(self) -> int:
        """How often the next function called stands in another file than the one before."""
        files = [file for file, _ in self.calls]
        return sum(one != other for one, other in pairwise(files))


@contextmanager
def traced() -> Iterator[Trace]:
    """Note each call of a function of `lora_lessons` inside the block."""
    trace = Trace()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            file = Path(code.co_filename).relative_to(PACKAGE).as_posix()
            trace.calls.append((file, code.co_qualname))

    sys.setprofile(note)
    try:
        yield trace
    finally:
        sys.setprofile(None)


def base() -> nn.Module:
    """Two linear layers."""
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))


def config() -> ll.LoraConfig:
    """Rank 2 on both."""
    return ll.LoraConfig(r=2, target_modules=["0", "1"])


def runs(folder: str) -> dict[str, Callable[[], object]]:
    """The five calls, ready to be made; what comes before each is not traced."""
    x = torch.zeros(1, 4)
    model = ll.get_peft_model(base(), config())
    layer = model.get_submodule("base_model.model.0")
    model.save_pretrained(folder)
    wanted, plain, again = config(), base(), base()
    return {
        "Linear.forward": lambda: layer(x),
        "get_peft_model": lambda: ll.get_peft_model(plain, wanted),
        "save_pretrained": lambda: model.save_pretrained(folder),
        "from_pretrained": lambda: ll.PeftModel.from_pretrained(again, folder),
        "merge_adapter": lambda: model.merge_adapter(),
    }


def measured() -> dict[str, Trace]:
    """A trace of each of the five."""
    traces = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, run in runs(folder).items():
            with traced() as traces[name]:
                run()
    return traces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="list the functions too")
    given = parser.parse_args()
    for name, trace in measured().items():
        print(f"{name:<16} {len(trace.functions):>4} {len(trace.files):>3} {trace.changes:>4}")
        if given.verbose:
            print(*sorted(trace.functions), sep="\n")


if __name__ == "__main__":
    main()
