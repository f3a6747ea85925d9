"""What an explorer can be steered with: a slider of whole numbers, of given steps, a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import nearest_and_known


@dataclass(frozen=True)
class Steps:
    """A slider over given values, for powers of two say."""

    label: str
    values: Sequence[Any]
    start: Any
    kind = "range"  # of panel.js

    def probes(self) -> list[Any]:
        """Both ends and the middle."""
        return [self.values[0], self.values[len(self.values) // 2], self.values[-1]]

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError, with the nearest value, unless the control has this one."""
        if value not in self.values:
            raise ValueError(
                f"{name} has no value {value!r}{nearest_and_known(value, self.texts())}"
            )

    def texts(self) -> list[str]:
        """Each value as it is shown and announced."""
        return [f"{value:,d}" if isinstance(value, int) else str(value) for value in self.values]

    def spec(self) -> dict[str, Any]:
        """What the front end needs to show the control at its start."""
        texts = self.texts()
        return {
            "kind": self.kind,
            "label": self.label,
            "texts": texts,
            "index": self.place(self.start),
        }

    def place(self, value: Any) -> Any:
        """What the front end says where the control stands at this value: its place in the list."""
        return list(self.values).index(value)

    def at(self, place: Any) -> Any:
        """The value that the front end means."""
        return self.values[place]


class Choice(Steps):
    """A list to choose one text from."""

    kind = "choice"


class FreeText(Steps):
    """A text field that offers a list and takes any other text too."""

    kind = "text"

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless the value is a text."""
        if not isinstance(value, str):
            raise ValueError(f"{name} must be a text; got {value!r}")

    def spec(self) -> dict[str, Any]:
        """What the front end needs: the text to start with, and those on offer."""
        return {
            "kind": self.kind,
            "label": self.label,
            "texts": [str(value) for value in self.values],
            "text": self.start,
        }

    def place(self, value: Any) -> Any:
        """The text itself."""
        return value

    def at(self, place: Any) -> Any:
        """The text itself."""
        return place


class Whole(Steps):
    """A slider over the whole numbers from `low` to `high`."""

    def __init__(self, label: str, low: int, high: int, start: int) -> None:
        super().__init__(label, range(low, high + 1), start)

    def check(self, name: str, value: Any) -> None:
        """Raise ValueError unless the value is a whole number within the ends."""
        low, high = self.values[0], self.values[-1]
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}; got {value!r}")

    def probes(self) -> list[int]:
        """Both ends and the middle."""
        low, high = self.values[0], self.values[-1]
        return [low, (low + high) // 2, high]


Control = Steps
