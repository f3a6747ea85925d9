"""Run every test of the course, as `make test` and CI do.

Four runs of pytest, all on the CPU with one thread (see lesson_env.py): the package's and tools'
tests; those of quantized bases, which need two more libraries; the executed solutions, each output
compared with the stored one; the learner's copies, unsolved, from top to bottom.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from executed_solution import CELL_TIMEOUT
from executed_solution import PRESET as STORED_PRESET
from lesson_env import lesson_environment
from notebook_source import ROOT

# One file stays on one worker: the cells of a notebook share a kernel.
PARALLEL = ["-n", "2", "--dist", "loadfile"]
NBVAL = [
    "--nbval",
    "--nbval-current-env",
    f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
    f"--nbval-cell-timeout={CELL_TIMEOUT}",
    "--nbval-kernel-startup-timeout=120",
]

# bitsandbytes and torchao have a folder of their own: PEFT imports both where it finds them, which
# would cost each notebook some seconds, and they log what is missing.
QUANTIZED = Path(sys.prefix) / "quantized"

HELP = 'CONTRIBUTING.md, "When a test fails", says what to do.'


def runs(nightly: bool) -> dict[str, tuple[str, list[str]]]:
    """Return {title: (preset, pytest's arguments)}."""
    marked = ["-m", ""] if nightly else []
    return {
        "package and tools": ("quick", [*PARALLEL, *marked, "--durations=10", "tests"]),
        "quantized bases": (
            "quick",
            [*PARALLEL, "-m", "quantized", "tests/lora/more", "tests/parity", "tests/train"],
        ),
        "executed solutions": (STORED_PRESET, [*PARALLEL, *NBVAL, "solutions"]),
        "learner's copies": ("quick", [*PARALLEL, *NBVAL, "notebooks"]),
    }


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nightly", action="store_true", help="the long matrices too")
    nightly = parser.parse_args().nightly
    results = {}
    with tempfile.TemporaryDirectory(prefix="lora-lessons-") as home:
        for title, (preset, arguments) in runs(nightly).items():
            print(f"\n=== {title} ({preset} preset)", flush=True)
            env = lesson_environment(Path(home), preset)
            if "--nbval" not in arguments:  # set by pytest's own settings and by each test there
                env.pop("PYTHONWARNINGS")
                env.pop("LORA_LESSONS_PROGRESS")
                env.pop("LORA_LESSONS_EXAMPLES")
            if title == "quantized bases":
                if not QUANTIZED.is_dir():
                    print(f"skipped: `make` installs what they need in {QUANTIZED}")
                    continue
                found = [str(QUANTIZED), *filter(None, [env.get("PYTHONPATH")])]
                env["PYTHONPATH"] = os.pathsep.join(found)
            command = [sys.executable, "-m", "pytest", "-q", *arguments]
            results[title] = subprocess.run(command, cwd=ROOT, env=env).returncode
    failed = [title for title, code in results.items() if code]
    print(f"\nfailed: {', '.join(failed)}. {HELP}" if failed else "\nall passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
