"""LoRA Lessons: low-rank adaptation built from scratch, and the course that teaches it.

The public names stand in `__init__.pyi`, where editors read them too. Each is loaded when it is
first used, so that `import lora_lessons` stays light.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

__version__ = "0.2.0"

_load, _names, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__ and not name.startswith("_"):
        from .errors import did_you_mean

        hint = did_you_mean(name, __all__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{hint}", name=name)
    value = _load(name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
