"""Record experiments: `python -m lora_lessons.experiments NAME [NAME ...] --out DIR`.

Each run writes DIR/NAME.json, whole or not at all: the numbers (six significant digits), and where
they come from. It needs torch, transformers and peft, and runs from a clone without an install.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..errors import nearest_and_known
from ..storage import write_whole
from . import Recording, recordings
from .fingerprint import fingerprint, rounded


def record(name: str, recording: Recording, commit: str) -> dict[str, Any]:
    """Run an experiment in full and return what its file holds: name, provenance, data."""
    start = time.perf_counter()
    data = recording.experiment(**recording.settings)
    seconds = time.perf_counter() - start
    provenance = {
        "device": device_name(recording),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "peft": version("peft"),
        "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit,
        "config": recording.settings,
        "seconds": round(seconds, 1),
        "fingerprint": fingerprint(recording),
    }
    return {"name": name, "provenance": provenance, "data": rounded(data)}


def device_name(recording: Recording) -> str:
    """The device that an experiment runs on, in words."""
    if str(recording.settings.get("device", "cpu")).startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"CPU, {platform.machine()}"


def write(record: dict[str, Any], folder: Path) -> Path:
    """Write folder/NAME.json whole or not at all: one line for each of its parts."""
    parts = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    path = folder / f"{record['name']}.json"
    write_whole({path: text.encode()})
    return path


def current_commit() -> str:
    """The commit of this clone, or an error that says how to name it."""
    folder = Path(__file__).parent
    command = ["git", "rev-parse", "--short=7", "HEAD"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        raise SystemExit("this is no git clone: name the commit with --commit") from None
    return done.stdout.strip()


def refuse(names: Sequence[str], known: dict[str, Recording]) -> str | None:
    """Why these names cannot be recorded here, or None; asked before anything runs."""
    for name in names:
        if name not in known:
            return f"no experiment {name!r}{nearest_and_known(name, known)}"
        device = str(known[name].settings.get("device", "cpu"))
        if device.startswith("cuda") and not torch.cuda.is_available():
            return f"{name} is recorded on a CUDA device, and there is none here"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Record the named experiments, one after another."""
    parser = argparse.ArgumentParser(prog="python -m lora_lessons.experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder that gets NAME.json")
    parser.add_argument("--commit", help="the commit that runs, where this is no git clone")
    parser.add_argument("--list", action="store_true", help="list the experiments and stop")
    options = parser.parse_args(arguments)
    known = recordings()
    if options.list:
        for name, recording in known.items():
            print(f"{name}: {recording.experiment.__doc__.splitlines()[0]}")
        return 0
    if not options.names or options.out is None:
        parser.error("name the experiments and the folder: NAME [NAME ...] --out DIR")
    if problem := refuse(options.names, known):
        parser.error(problem)
    commit = options.commit or current_commit()
    for i, name in enumerate(options.names, 1):
        print(f"[{i}/{len(options.names)}] {name} on {device_name(known[name])} ...", flush=True)
        result = record(name, known[name], commit)
        path = write(result, options.out)
        print(f"    {result['provenance']['seconds']} s, written to {path}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
