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
        named = not code.co_name.startswith("<")  # a comprehension is part of its function
        if event == "call" and named and code.co_filename.startswith(str(PACKAGE)):
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
    load = ll.PeftModel.from_pretrained
    return {
        "Linear.forward": lambda: layer(x),
        "get_peft_model": lambda: ll.get_peft_model(plain, wanted),
        "save_pretrained": lambda: model.save_pretrained(folder),
        "from_pretrained": lambda: load(again, folder),
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


# The same at commit 9d7c6e9, before the core was made to be read alone.
BEFORE = {
    "Linear.forward": (8, 2, 2),
    "get_peft_model": (88, 17, 89),
    "save_pretrained": (30, 13, 31),
    "from_pretrained": (118, 25, 133),
    "merge_adapter": (34, 8, 49),
}
# In the order in which they can be read: each needs only those before it.
FILES = {
    "arithmetic.py": "alpha / r, and the update, as arithmetic on tensors",
    "plugs.py": "tables of what may be added to the core, filled by `more/`",
    "validation.py": "what is checked in a config: tables of kinds, ranges and rules",
    "config.py": "`LoraConfig`: which modules, which rank, what else trains; its json",
    "matching.py": "which module names a config means",
    "tuner_layer.py": "what holds adapters: which are active, whether they are used",
    "merge.py": "W + ΔW written into W, and the exact way back",
    "layer.py": "the layer: W frozen, A random, B zero, one pair for each adapter name",
    "inject.py": "plan what to replace, check it all, replace it",
    "tuner.py": "`LoraModel`: the adapters of one model together",
    "files.py": "keys and tensors of an adapter's file, strict on loading",
    "model.py": "`PeftModel`, `get_peft_model`, saving and loading",
}
DOCS = PACKAGE.parent / "docs" / "engine.md"
START, END = "<!-- made by tools/trace_core.py -->", "<!-- end -->"


def passage() -> str:
    """The passage of docs/engine.md on the core's files and on what the five calls run."""
    counts = {n: len((PACKAGE / "lora" / n).read_text("utf-8").splitlines()) for n in FILES}
    lines = [
        START,
        f"{len(FILES)} files, {sum(counts.values()):,} lines:",
        "",
        "| file | lines | what it says |",
        "|---|---|---|",
        *(f"| `{name}` | {counts[name]} | {says} |" for name, says in FILES.items()),
        "",
        "What a call runs for two linear layers: functions, the files they stand in, and how often",
        "the next function stands in another file than the one before.",
        "",
        "| call | functions | files | changes of file | before |",
        "|---|---|---|---|---|",
    ]
    for name, trace in measured().items():
        before = " / ".join(map(str, BEFORE[name]))
        counted = f"{len(trace.functions)} | {len(trace.files)} | {trace.changes}"
        lines.append(f"| `{name}` | {counted} | {before} |")
    return "\n".join([*lines, END])


def write() -> None:
    """Put the passage into docs/engine.md, in the place of the old one."""
    text = DOCS.read_text("utf-8")
    before, rest = text.split(START)
    DOCS.write_text(before + passage() + rest.split(END)[1], encoding="utf-8")


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verbose", action="store_true", help="list the functions too")
    parser.add_argument("--write", action="store_true", help="put the table into docs/engine.md")
    given = parser.parse_args()
    if given.write:
        write()
    for name, trace in measured().items():
        print(f"{name:<16} {len(trace.functions):>4} {len(trace.files):>3} {trace.changes:>4}")
        if given.verbose:
            print(*sorted(trace.functions), sep="\n")


if __name__ == "__main__":
    main()
