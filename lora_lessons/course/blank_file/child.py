"""In the process of the test: load the learner's file behind the fence, and put it to each test."""

from __future__ import annotations

import os
import sys
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from . import fence, file_tests, layer_tests, model_tests
from .sample import Failed, Given

NAMES = ("LoraLinear", "add_lora", "save", "load", "factors")
TESTS = (*layer_tests.TESTS, *model_tests.TESTS, *file_tests.TESTS)
TITLES = tuple((test.__doc__ or "").strip() for test in TESTS)
Row = dict[str, str]
"""{"test": its title, "failed": the message, or "" where it passed}."""


def judge(text: str, seed: int, folder: str) -> list[Row]:
    """Put the file with this text to every test: a row each. It is run in this very process."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.chdir(folder)
    fence.limit()
    fence.shut(Path(folder))
    loaded, why = _load(text)
    if loaded is None:
        return [{"test": "the file runs and defines its five names", "failed": why}]
    return [{"test": title, "failed": _failure(test, loaded, seed, folder)}
            for title, test in zip(TITLES, TESTS, strict=True)]  # fmt: skip


def _load(text: str) -> tuple[types.ModuleType | None, str]:
    module = types.ModuleType("mini_lora")
    try:
        with fence.hidden():
            sys.modules["mini_lora"] = module
            exec(compile(text, fence.FILE, "exec"), module.__dict__)
    except BaseException as error:
        return None, f"The file itself raises {_told(error)}"
    missing = [name for name in NAMES if not callable(getattr(module, name, None))]
    return (None, f"The file does not define {', '.join(missing)}.") if missing else (module, "")


def _failure(
    test: Callable[[Given], None], loaded: types.ModuleType, seed: int, folder: str
) -> str:
    """The message of one test, or "" where it passed."""
    hide = fence.hidden()
    hide.__enter__()

    @contextmanager
    def shown() -> Iterator[None]:
        nonlocal hide
        hide.__exit__(None, None, None)
        try:
            yield
        finally:
            hide = fence.hidden()
            hide.__enter__()

    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    try:
        test(Given(loaded, rng, folder, shown))
    except Failed as failed:
        return str(failed)
    except BaseException as error:
        return f"It raises {_told(error)}"
    finally:
        hide.__exit__(None, None, None)
    return ""


def _told(error: BaseException) -> str:
    """An error with the line of the learner's file that it came from."""
    lines = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == fence.FILE
    ]
    where = f" in line {lines[-1]}" if lines else ""
    said: Any = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{where}{said}."
