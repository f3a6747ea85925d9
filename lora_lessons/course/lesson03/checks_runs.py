"""The check of 3.6: which runs broke. The runs are made here, with their outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from ..checks.core import Wrong


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand(1, generator=rng, dtype=torch.float64).item()


def check_run_outcome(answer: Callable[..., Any], rng: torch.Generator) -> None:
    margin = _uniform(rng, 0.3, 0.7)
    base = [5 + _uniform(rng, -0.2, 0.2) for _ in range(STEPS)]
    base[12] = base[0] + 2 * margin + 0.5  # a batch that is hard for everybody
    for excess, at, right, mistakes in _runs(margin):
        own = base[: len(excess)]
        losses = [loss + more for loss, more in zip(own, excess, strict=True)]
        if at is not None:
            losses[at[0]] = at[1]
        found = _outcome(answer, losses, own, margin)
        if found not in ("stable", "spiked", "diverged"):
            raise Wrong(f'Return "stable", "spiked" or "diverged"; got {found!r}.')
        if found != right:
            raise Wrong(mistakes.get(found, f'A run that {right} was called "{found}".'))
    _check_hard_end(answer, base, margin)
    _check_at_the_margin(answer)
    for steps in (1, 9, 19, 20, 40):
        _check_drawn(answer, steps, rng)


def _check_hard_end(answer: Callable[..., Any], base: list[float], margin: float) -> None:
    """The last batches are hard for the base too: the run is not worse than it there."""
    hard = [*base[:-3], *(loss + 5 * margin + 0.5 for loss in base[-3:])]
    losses = [loss + more for loss, more in zip(hard, _fell(margin), strict=True)]
    if answer(losses, list(hard), margin) != "stable":
        raise Wrong(
            "The last batches of this run are hard for the base too. Compare each loss with the "
            "base's on the same batch, in the last tenth as well."
        )


def _check_at_the_margin(answer: Callable[..., Any]) -> None:
    """Runs of 20 whose numbers are exact in any float: above the margin means above."""
    base, margin = [5.0] * 20, 0.5
    for last, right in (
        ([0.0, 0.5, 0.0], "stable"),
        ([0.5, 0.5], "stable"),
        ([0.25, 0.75], "spiked"),
    ):
        losses = [4.0] * (20 - len(last)) + [5 + excess for excess in last]
        if (found := answer(losses, list(base), margin)) != right:
            raise Wrong(
                f'A run that is {right} was called "{found}": what is exactly `margin` above the '
                "base is not more than the margin. Compare with >."
            )
    for margin, last, right in (
        (2.0, [0.0, 1.5], "stable"),
        (0.25, [0.0, 0.3125], "spiked"),
        (0.25, [0.3125, 0.3125], "diverged"),
    ):
        losses = [4.0] * (20 - len(last)) + [5 + excess for excess in last]
        if (found := answer(losses, list(base), margin)) != right:
            raise Wrong(
                f'A run that is {right} was called "{found}": margin is {margin} here, and its '
                f"last losses are {last} above the base. Use `margin` as it is given."
            )


def _check_drawn(answer: Callable[..., Any], steps: int, rng: torch.Generator) -> None:
    """One run of each outcome with any shape, hard batches in every part, and one not finite."""
    wanted = ["stable", "spiked", "diverged"] if steps > 1 else ["stable", "diverged"]
    while wanted:
        margin = _uniform(rng, 0.1, 2)
        hard = (torch.rand(steps, generator=rng) < 0.2).tolist()
        base = [5 + _uniform(rng, -0.2, 0.2) + 3 * margin * more for more in hard]
        kinds = torch.randint(0, 5, (steps,), generator=rng).tolist()
        odds = int(torch.randint(1, 6, (1,), generator=rng))
        excess = [margin * (-2, -0.5, 0.3, 0.8, 3)[min(kind, odds - 1)] for kind in kinds]
        if torch.rand(1, generator=rng) < 0.5:  # calm at the end
            excess[-max(1, steps // 10) :] = [-margin] * max(1, steps // 10)
        tail = excess[-max(1, steps // 10) :]
        end = math.fsum(tail) / len(tail)
        right = "diverged" if end > margin else "spiked" if max(excess) > margin else "stable"
        if right not in wanted or abs(end - margin) < 0.01 * margin:
            continue
        wanted.remove(right)
        losses = [own + more for own, more in zip(base, excess, strict=True)]
        found = answer(list(losses), list(base), margin)
        if found != right:
            raise Wrong(
                f'A run of {steps} losses was called "{found}" and is "{right}": its last tenth '
                f"({len(tail)}) is on average {end:.2f} above the base, its highest loss "
                f"{max(excess):.2f} above the base's on the same batch; the margin is {margin:.2f}."
            )
        if right == "diverged":
            continue
        bad = int(torch.randint(steps, (1,), generator=rng))
        losses[bad] = (math.nan, math.inf, -math.inf)[steps % 3]
        if answer(losses, list(base), margin) != "diverged":
            raise Wrong(
                f"A run of {steps} losses with {losses[bad]} at {bad} diverged: a loss that is not "
                "finite, wherever it stands, says so. math.isfinite sees nan, inf and -inf."
            )


STEPS, SHORT = 30, 5
ONE_STEP = "Of 5 losses the last tenth is one step: max(1, len(losses) // 10)."


def _outcome(
    answer: Callable[..., Any], losses: list[float], own: list[float], margin: float
) -> Any:
    try:
        return answer(list(losses), list(own), margin)
    except NotImplementedError:
        raise
    except Exception as error:
        if len(losses) > SHORT:
            raise
        raise Wrong(
            f"It raised {type(error).__name__} for a run of 5 losses. {ONE_STEP}"
        ) from error


Run = tuple[list[float], tuple[int, float] | None, str, dict[str, str]]
"""The excess over the base at each step, one loss replaced, the outcome, message by mistake."""


def _runs(margin: float) -> list[Run]:
    return [*_long_runs(margin), *_late_runs(margin), *_short_runs(margin)]


def _fell(margin: float) -> list[float]:
    """From the base's loss to two margins below it."""
    return [-2 * margin * step / (STEPS - 1) for step in range(STEPS)]


def _long_runs(margin: float) -> list[Run]:
    fell = _fell(margin)
    bump = [2 * margin if step == 8 else value for step, value in enumerate(fell)]
    small_bump = [0.6 * margin if step == 8 else value for step, value in enumerate(fell)]
    useless = [0.6 * margin for _ in fell]
    worse = [3 * margin if step > 20 else value for step, value in enumerate(fell)]
    lucky_end = [*worse[:-1], -0.1]
    lost = "A nan or inf means diverged. nan > x is False, so test with math.isfinite first."
    return [
        (fell, None, "stable", {
            "spiked": "A batch can be hard for the base too. Compare each loss with the base's "
            "loss on the same batch, not with the first loss.",
            "diverged": "This run ends below the base: it did not diverge.",
        }),
        (small_bump, None, "stable", {
            "spiked": "This bump is below the margin: only more than the margin is a spike.",
        }),
        (bump, None, "spiked", {
            "stable": "One loss was more than the margin above the base's, and it came back: "
            f"that is a spike. It lay {2 * margin:.3f} above; the margin is {margin:.3f}.",
            "diverged": "This run came back and ended below the base: it spiked only.",
        }),
        (useless, None, "stable", {
            "diverged": "This run ends above the base by less than the margin on average: it "
            "learnt nothing, but it did not diverge.",
        }),
        (worse, None, "diverged", {
            "spiked": "Its last tenth is far above the base: it did not come back. Ask for "
            "divergence before you ask for a spike.",
            "stable": "Its last tenth is more than the margin above the base: it diverged.",
        }),
        (lucky_end, None, "diverged", {
            "spiked": "Its last loss alone is below the base: average the last tenth.",
            "stable": "Its last loss alone is below the base: average the last tenth.",
        }),
        (fell, (29, math.nan), "diverged", {"stable": lost, "spiked": lost}),
        (fell, (12, math.inf), "diverged", {"stable": lost, "spiked": lost}),
    ]  # fmt: skip


def _late_runs(margin: float) -> list[Run]:
    """A spike within the last tenth (3 of 30), and a recovery just before it."""
    fell = _fell(margin)
    spike_at_the_end = [2.5 * margin if step == 28 else value for step, value in enumerate(fell)]
    recovered = [6 * margin if 20 <= step < 25 else value for step, value in enumerate(fell)]
    at_once = [2 * margin, *fell[1:]]
    worse_on_average = [*fell[:-1], 8 * margin]
    return [
        (spike_at_the_end, None, "spiked", {
            "diverged": "One loss of its last tenth is high, their mean is not: that is a spike.",
            "stable": "One loss of its last tenth is more than the margin above the base's: a "
            "spike counts there too.",
        }),
        (at_once, None, "spiked", {
            "stable": "Its first loss is more than the margin above the base's: a spike counts at "
            "the first step too.",
        }),
        (recovered, None, "spiked", {
            "diverged": "It came back before its last tenth, which is 3 of its 30 losses: only "
            "these decide whether it diverged.",
        }),
        (worse_on_average, None, "diverged", {
            "spiked": "The mean of its last tenth is more than the margin above the base: the mean "
            "decides, not the median.",
        }),
    ]  # fmt: skip


def _short_runs(margin: float) -> list[Run]:
    """Fewer than ten steps: the last tenth is the last step."""
    recovered = [value * margin for value in (0, 8, 8, -1, -1)]
    down = "Of {} losses the last tenth is one: // 10 rounds down."
    uneven = [
        ([-margin] * (steps - 2) + [6 * margin, -margin], None, "spiked",
         {"diverged": down.format(steps), "stable": down.format(steps)})
        for steps in (11, 19)
    ]  # fmt: skip
    broken_end = [value * margin for value in (0, -1, -1, -1, 3)]
    return [
        *uneven,
        (recovered, None, "spiked", {"diverged": ONE_STEP, "stable": ONE_STEP}),
        (broken_end, None, "diverged", {"spiked": ONE_STEP, "stable": ONE_STEP}),
    ]
