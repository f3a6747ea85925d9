"""A bar for whatever takes five seconds or more: arms, seeds, checkpoints, one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TypeVar

T = TypeVar("T")


def each(things: Collection[T], about: str, show: bool = True) -> Iterator[T]:
    """Yield the things; with `show` a bar says what is done of them, and of what (`about`).

    `for arm in each(ARMS, "arms", progress): ...`. Experiments take `progress=False` as an argument
    and pass it on, so that the recorder stays silent and a page does not.
    """
    from tqdm.auto import tqdm

    yield from tqdm(things, desc=about, disable=not show)
