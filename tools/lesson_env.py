"""The environment in which lessons run in tests: the same on every machine.

CPU only, one thread, no hub, warnings are errors, and a home folder of its own, so that neither
the user's settings nor optional models that happen to be there can change an output.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Every warning is an error, but for ipykernel's about itself, which keeps it from stopping. What a
# lesson does not want a learner to see, it filters itself.
WARNINGS = "error,ignore::PendingDeprecationWarning:ipykernel.kernelbase"
# matplotlib's list of fonts, shared by all runs: while it makes one it says so on stderr.
FONTS = Path(sys.prefix) / "var" / "matplotlib"


def lesson_environment(home: Path, preset: str) -> dict[str, str]:
    """Return the variables for a process that runs lessons with this preset (quick, small)."""
    home.mkdir(parents=True, exist_ok=True)
    _list_fonts()
    folders = dict.fromkeys(("HOME", "USERPROFILE"), home)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA"):
        folders[name] = home / name.lower()
    folders |= {"IPYTHONDIR": home / "ipython", "MPLCONFIGDIR": FONTS}
    return {
        **os.environ,
        **{name: str(folder) for name, folder in folders.items()},
        "LORA_LESSONS_PRESET": preset,
        "LORA_LESSONS_HOME": str(home / "added-models"),
        "LORA_LESSONS_PROGRESS": "0",  # no file beside the notebooks
        "LORA_LESSONS_EXAMPLES": "1",  # nobody is there to make a prediction
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": WARNINGS,
    }


def _list_fonts() -> None:
    """Let matplotlib list the fonts of this machine, once for each environment."""
    if any(FONTS.glob("fontlist*.json")):
        return
    env = {**os.environ, "MPLCONFIGDIR": str(FONTS)}
    command = [sys.executable, "-c", "import matplotlib.font_manager"]
    subprocess.run(command, env=env, check=True, stderr=subprocess.DEVNULL)
