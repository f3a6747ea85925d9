"""What an explorer can be steered with: a slider of whole numbers, of given steps, a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import nearest_and_known


@dataclass(frozen=True)
class Whole:
    """A slider over the whole numbers from `low` to `high`."""

    label: str
    low: int
    high: int
    start: int

    def probes(self) -> list[int]:
        """Both ends and the middle."""
        return [self.low, (self.low + self.high) // 2, self.high]

    def check(self, name: str, value: Any) -> None:
        if not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError(f"{name} must be from {self.low} to {self.high}; got {value!r}")

    def widget(self) -> Any:
        import ipywidgets

        return ipywidgets.IntSlider(
            self.start, self.low, self.high, description=self.label, **_COMMON, **_AT_REST
        )


@dataclass(frozen=True)
class Steps:
    """A slider over given values, for powers of two say."""

    label: str
    values: Sequence[Any]
    start: Any

    def probes(self) -> list[Any]:
        """Both ends and the middle."""
        return [self.values[0], self.values[len(self.values) // 2], self.values[-1]]

    def check(self, name: str, value: Any) -> None:
        if value not in self.values:
            raise ValueError(
                f"{name} has no value {value!r}{nearest_and_known(value, self._texts())}"
            )

    def _texts(self) -> list[str]:
        return [f"{value:,d}" if isinstance(value, int) else str(value) for value in self.values]

    def widget(self) -> Any:
        import ipywidgets

        options = list(zip(self._texts(), self.values, strict=True))
        return ipywidgets.SelectionSlider(
            options=options, value=self.start, description=self.label, **_COMMON, **_AT_REST
        )


class Choice(Steps):
    """A list to choose one text from."""

    def widget(self) -> Any:
        import ipywidgets

        return ipywidgets.Dropdown(
            options=list(self.values), value=self.start, description=self.label, **_COMMON
        )


Control = Whole | Steps
_COMMON = {"style": {"description_width": "initial"}}
_AT_REST = {"continuous_update": False}  # draw when the slider stops, not on the way
