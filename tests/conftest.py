"""Settings for every test: the quick preset, one thread, no hub, a home folder of its own.

They are set here, before torch is imported, so that `pytest tests/test_x.py` alone behaves as
`make test` does. The device is left alone: tests that need a GPU run where there is one.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from lesson_env import FONTS

TEMPORARY_HOME = Path(tempfile.mkdtemp(prefix="lora-lessons-tests-"))
atexit.register(shutil.rmtree, TEMPORARY_HOME, ignore_errors=True)
os.environ.update(
    HOME=str(TEMPORARY_HOME),
    XDG_DATA_HOME=str(TEMPORARY_HOME / "data"),
    XDG_CACHE_HOME=str(TEMPORARY_HOME / "cache"),
    XDG_CONFIG_HOME=str(TEMPORARY_HOME / "config"),
    IPYTHONDIR=str(TEMPORARY_HOME / "ipython"),
    MPLCONFIGDIR=str(FONTS),
    HF_HUB_OFFLINE="1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LORA_LESSONS_PRESET", "quick")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT
