"""The check of exercise 11.4: a stopwatch for a device that works on while the host goes on.

The device is a small simulation: launching takes the host some time, the work takes the device
more, and only sync() waits. Its clock is the one that is handed in.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..checks.core import Wrong, number
from ..checks.draws import whole


class FakeDevice:
    """A queue of work on a device, and the host's clock; all times in seconds.

    `work` are the seconds of each step in turn (the last one again where they are used up),
    `launch` what giving one to the device takes the host. `busy` is work left from before.
    """

    def __init__(self, work: Sequence[float], launch: float, busy: float) -> None:
        self._work, self._launch = list(work), launch
        self._now, self._free_at = 1000.0, 1000.0 + busy
        self.steps = self.syncs = self.readings = 0

    def step(self) -> None:
        """Launch one step: the host is free again before the device has done it."""
        seconds = self._work[min(self.steps, len(self._work) - 1)]
        self.steps += 1
        self._now += self._launch
        self._free_at = max(self._free_at, self._now) + seconds

    def sync(self) -> None:
        """Wait until the device has done all that it was given."""
        self.syncs += 1
        self._now = max(self._now, self._free_at)

    def clock(self) -> float:
        """Seconds, as time.perf_counter() gives them."""
        self.readings += 1
        return self._now


CASES = ((1, 2, 0.0), (7, 3, 0.0), (4, 2, 0.0), (5, 0, 0.4), (6, 1, 0.2), (1, 0, 0.3))
"""n, warm, and the seconds of work that are left from before."""


def check_median_ms(answer: Callable[..., Any], rng: torch.Generator) -> None:
    """11.4: the median of steps that were waited for, on a device of the check's own."""
    for n, warm, busy in CASES:
        launch = whole(rng, 20, 39) / 1e4  # 2 to 4 ms
        extra = (100 + torch.randperm(60, generator=rng)[:n].sort().values).tolist()
        # in the middle of the list stands the second smallest: neither the median nor an end
        order = [extra.pop(1), *extra[::-1]] if n > 2 else extra
        order.insert(n // 2, order.pop(0))
        steady = [launch + one / 1e4 for one in order]
        steady[whole(rng, 0, min(2, n) - 1)] += 0.11 * (n > 2)  # something disturbed one of them
        cold = [0.5 + 0.1 * i for i in range(warm, 0, -1)]
        device = FakeDevice(cold + steady, launch, busy)
        actual = answer(device.step, device.sync, n, warm, device.clock)
        _judge(actual, device, cold + steady, launch, (n, warm, busy))


def _judge(
    actual: Any, device: FakeDevice, work: list[float], launch: float, case: tuple[int, int, float]
) -> None:
    n, warm, busy = case
    value = number(actual, "the median in milliseconds, one number")
    right = right_answer(*_fresh(work, launch, busy), n, warm)
    about = f"n={n}, warm={warm}, the device {'still busy' if busy else 'idle'}"
    if not device.steps:
        raise Wrong("It never calls step().")
    if not device.readings:
        raise Wrong("It never reads `clock`. Use the clock that you were given: clock().")
    if device.steps != n + warm:
        hint = " The warm-up comes before the n steps, and is not among them." * (device.steps == n)
        raise Wrong(
            f"step() is to run warm + n = {n + warm} times; it ran {device.steps} times.{hint}"
        )
    if math.isclose(value, right, rel_tol=1e-6):
        return
    # of a single step many mistakes give one number; no warm-up leaves the device's own work
    likely = list(MISTAKES.items())
    for message, mistake in likely if warm else likely[::-1]:
        found = mistake(*_fresh(work, launch, busy), n, warm)
        if math.isclose(value, found, rel_tol=1e-6) and not math.isclose(
            found, right, rel_tol=1e-6
        ):
            raise Wrong(f"{message} ({about})")
    if not device.syncs:
        raise Wrong(f"It never calls sync(). {NOT_DONE} ({about})")
    raise Wrong(f"{about}: expected {right:.4f} ms, got {value:.4f}.")


def _fresh(work: list[float], launch: float, busy: float) -> tuple[Any, Any, Any]:
    device = FakeDevice(work, launch, busy)
    return device.step, device.sync, device.clock


NOT_DONE = (
    "You timed the launch and not the work: the host goes on when a step is launched. sync() "
    "stands after step() and before the second clock, each time."
)
Times = list[float]


def _times(
    step: Any,
    sync: Any,
    clock: Any,
    n: int,
    warm: int,
    before: bool = True,
    after: bool = True,
) -> Times:
    """Seconds of each timed step: `before` and `after` say whether sync() stands there."""
    for _ in range(warm):
        step()
    times = []
    for _ in range(n):
        if before:
            sync()
        start = clock()
        step()
        if after:
            sync()
        times.append(clock() - start)
    return times


def right_answer(step: Any, sync: Any, clock: Any, n: int, warm: int) -> float:
    """The median in milliseconds, with sync() before each clock."""
    return 1e3 * statistics.median(_times(step, sync, clock, n, warm))


def _of(summary: Callable[[Times], float], **how: Any) -> Callable[..., float]:
    def mistake(step: Any, sync: Any, clock: Any, n: int, warm: int) -> float:
        return 1e3 * summary(_times(step, sync, clock, n, warm, **how))

    return mistake


def _total(each: bool, warm_too: bool = False) -> Callable[..., float]:
    """Time all steps at once, with one sync() at the end."""

    def mistake(step: Any, sync: Any, clock: Any, n: int, warm: int) -> float:
        if not warm_too:
            for _ in range(warm):
                step()
            sync()
        start = clock()
        for _ in range(n + warm * warm_too):
            step()
        sync()
        return 1e3 * (clock() - start) / (n if each else 1)

    return mistake


def _all_timed(step: Any, sync: Any, clock: Any, n: int, warm: int) -> float:
    return 1e3 * statistics.median(_times(step, sync, clock, n + warm, 0))


def _queue_in_the_first(step: Any, sync: Any, clock: Any, n: int, warm: int) -> float:
    """No sync() between the warm-up and the first clock; then one after each step."""
    return 1e3 * statistics.median(_times(step, sync, clock, n, warm, before=False))


MISTAKES: dict[str, Callable[..., float]] = {
    NOT_DONE: _of(statistics.median, after=False),
    "The warm-up is timed too. Its steps are slow: compilers and caches start there.": _all_timed,
    "This is the mean. One disturbed step moves it: return the median.": _of(statistics.fmean),
    "This is the mean of all steps at once. One disturbed step moves it: return the median.": (
        _total(each=True)
    ),
    "This is the mean, and the warm-up is in it.": _total(each=True, warm_too=True),
    "This is the time of all n steps together.": _total(each=False),
    "This is the sum.": _of(math.fsum),
    "This is the fastest step. It says what is possible, not what is usual: return the median.": (
        _of(min)
    ),
    "This is the slowest step: return the median.": _of(max),
    "With an even n the median is the mean of the two in the middle: statistics.median.": _of(
        statistics.median_low
    ),
    "With an even n the median is the mean of the middle two: statistics.median.": _of(
        statistics.median_high
    ),
    "The times are not sorted: this is the one in the middle of the list.": _of(
        lambda times: times[len(times) // 2]
    ),
    "These are seconds. Return milliseconds.": (
        lambda step, sync, clock, n, warm: right_answer(step, sync, clock, n, warm) / 1e3
    ),
    "These are microseconds. Return milliseconds.": (
        lambda step, sync, clock, n, warm: right_answer(step, sync, clock, n, warm) * 1e3
    ),
    "This is the last step alone.": _of(lambda times: times[-1]),
    "This is the first step alone.": _of(lambda times: times[0]),
    "The first timed step waits for the warm-up's work, or for what the device did before: call "
    "sync() before the first clock.": _queue_in_the_first,
}
"""What a mistake is, and what it returns with the same device."""
