"""The checks of lesson 03: the scaling, the first update, equal runs, power laws, broken runs.

Every expected value is computed here in float64, by other means than the package's own functions.
The exercises ask for other names and arguments than the package and PEFT have.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..checks.core import Wrong, expect

# Unequal primes, an r with no whole root and an alpha it does not divide: no bug can hide.
OUT, IN, R, ALPHA = 23, 31, 3, 7


def _draw(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64).float()


def _uniform(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand(1, generator=rng, dtype=torch.float64).item()


def check_adapted_weight(answer: Callable[..., Any], rng: torch.Generator) -> None:
    W, B, A = _draw(rng, OUT, IN), _draw(rng, OUT, R), _draw(rng, R, IN)
    W64, BA = W.double(), torch.einsum("or,ri->oi", B.double(), A.double())
    root = math.sqrt(R)
    for stabilized in (False, True):
        s, other = (ALPHA / root, ALPHA / R) if stabilized else (ALPHA / R, ALPHA / root)
        which = (
            "stabilized is True: divide alpha by sqrt(r), not by r."
            if stabilized
            else "stabilized is False: divide alpha by r. The root is for rsLoRA alone."
        )
        given = W.clone()
        expect(
            answer(given, B.clone(), A.clone(), ALPHA, stabilized),
            W64 + s * BA,
            k=IN,
            mistakes={
                which: W64 + other * BA,
                "The scaling is upside down: alpha is above, r below.": W64 + BA / s,
                "The update is r times too large: did you leave out the division by r?": (
                    W64 + ALPHA * BA
                ),
                "B A is not scaled: multiply it by the scaling.": W64 + BA,
                "W is scaled too. The scaling is the factor of B A, not of the weight.": (
                    s * (W64 + BA)
                ),
                "This is the update alone: W is missing.": s * BA,
                "This is the scaling times W. The card says it loosely: it is W + s B A.": s * W64,
                **_mistaken_scalings(W64, BA, s, stabilized),
            },
        )
        if not torch.equal(given, W):
            raise Wrong(
                "W itself was changed. It is frozen: return a new tensor, W + s * (B @ A), and do "
                "not write W += ..."
            )


def _mistaken_scalings(W: Tensor, BA: Tensor, s: float, stabilized: bool) -> dict[str, Tensor]:
    root = stabilized * 0.5 or 1
    mistaken = {
        "alpha was divided by out_features. r is the number of A's rows.": ALPHA / OUT**root,
        "alpha was divided by in_features. r is the number of A's rows.": ALPHA / IN**root,
        "The root was taken of alpha too: it is alpha / sqrt(r).": math.sqrt(ALPHA / R),
        "// drops the fraction. Divide with /.": ALPHA // R**root,
        "The update is subtracted: it is added.": -s,
    }
    return {message: W + scaling * BA for message, scaling in mistaken.items()}


def check_alpha_for(answer: Callable[..., Any], rng: torch.Generator) -> None:
    old_r, new_r = 5, 5 + int(torch.randint(2, 200, (1,), generator=rng))
    old = _uniform(rng, 6.0, 40.0)
    ratio = new_r / old_r
    for stabilized, factor in ((False, ratio), (True, math.sqrt(ratio))):
        rule = (
            "stabilized is True: the scaling is alpha / sqrt(r), so alpha grows with the root of r."
            if stabilized
            else "stabilized is False: the scaling is alpha / r, so alpha grows as r does."
        )
        other = ratio if stabilized else math.sqrt(ratio)
        as_tensor = lambda value: torch.tensor(value, dtype=torch.float64)  # noqa: E731
        expect(
            answer(new_r, old_r, old, stabilized),
            as_tensor(old * factor),
            mistakes={
                "alpha is unchanged: then the scaling falls as r grows. That is the trap.": (
                    as_tensor(old)
                ),
                rule: as_tensor(old * other),
                "The ratio is upside down: a larger r needs a larger alpha.": (
                    as_tensor(old / factor)
                ),
                "2r is a habit, not the same scaling: start from the old alpha and r.": (
                    as_tensor(2.0 * new_r)
                ),
                "A scaling is a ratio: multiply by new_r / old_r, do not add the difference.": (
                    as_tensor(old + new_r - old_r)
                ),
                **_mistaken_alphas(new_r, old_r, old, 0.5 if stabilized else 1),
            },
        )


def _mistaken_alphas(new_r: int, old_r: int, old: float, power: float) -> dict[str, Tensor]:
    right, ratio = old * (new_r / old_r) ** power, new_r / old_r
    mistaken = {
        "This is the scaling, not the alpha that keeps it.": old / old_r**power,
        "This is what the scaling becomes if alpha stays. Return the alpha that keeps the old "
        "scaling.": old / new_r**power,
        "This is the factor for alpha. Multiply old_alpha by it.": ratio**power,
        "With stabilized the old scaling is alpha / sqrt(old_r), not alpha / old_r.": (
            old / old_r * new_r**power
        ),
        "The root was taken of alpha too. Only the ratio of the ranks is under it.": (
            (old * ratio) ** power
        ),
        "// drops the fraction. Divide the ranks with /.": old * (new_r // old_r) ** power,
        "The result was rounded. alpha need not be a whole number.": round(right),
        "The result was cut to a whole number. alpha may have a fraction.": math.floor(right),
    }
    return {
        message: torch.tensor(float(value), dtype=torch.float64)
        for message, value in mistaken.items()
    }


def check_first_update(answer: Callable[..., Any], rng: torch.Generator) -> None:
    s, lr, smallest = 7 / 3, _uniform(rng, 0.01, 0.1), 0.0
    while smallest < 0.02:  # nearer to zero, rounding decides the sign and Adam's eps counts
        G, A = _draw(rng, OUT, IN), _draw(rng, R, IN)
        G64, A64 = G.double(), A.double()
        thin = torch.einsum("oi,ri->or", G64, A64)  # the gradient of B, without s
        smallest = thin.abs().min().item()
    plain, signed = thin @ A64, thin.sign() @ A64
    first = answer(G.clone(), A.clone(), s, lr, "sgd")
    if isinstance(first, Tensor) and first.shape == (OUT, R):
        raise Wrong(
            "This is B's step, of shape (out, r). W moves by s B A: multiply it by s and A."
        )
    expect(
        first,
        -lr * s * s * plain,
        k=IN * R,
        mistakes={
            "s appears once. It is in the gradient of B and again in s B A: s squared.": (
                -lr * s * plain
            ),
            "s is missing.": -lr * plain,
            "The sign is wrong: a step goes against the gradient.": lr * s * s * plain,
            "A.T @ A is missing: W moves only along the rows of A.": -lr * s * s * G64,
            "A.T @ A is missing, and s once: B moves by -lr s G A.T, and W by s B A.": (
                -lr * s * G64
            ),
            "lr is missing: a step is lr times the gradient.": -s * s * plain,
            "This is Adam's step. SGD moves B by the gradient itself, not by its sign.": (
                -lr * s * signed
            ),
        },
    )
    expect(
        answer(G.clone(), A.clone(), s, lr, "adam"),
        -lr * s * signed,
        k=IN * R,
        mistakes={
            "s squared belongs to SGD. Adam's step does not grow with the gradient, so s is "
            "left once.": -lr * s * s * signed,
            "s is missing: B moves by lr, and W by s B A.": -lr * signed,
            "This is SGD's step. Adam's first step moves each entry of B by lr times the sign of "
            "its gradient.": -lr * s * s * plain,
            "The sign is that of B's gradient, G @ A.T: take it before you multiply by A.": (
                -lr * s * plain.sign()
            ),
            **{
                f"The sign was taken of G{too}. Adam sees the gradient of B, which is s G @ A.T.": (
                    -lr * scaling * G64.sign() @ A64.T @ A64
                )
                for too, scaling in (("", s), (", and s is there twice", s * s))
            },
            "The gradient was divided by its whole norm. Adam divides each entry by its size.": (
                -lr * s * plain / thin.norm()
            ),
            "lr is missing: each entry of B moves by lr.": -s * signed,
            "This is sqrt(10) times too long: Adam's averages start at zero, and it corrects them. "
            "Then the first step is lr times the sign.": -lr * s * math.sqrt(10) * signed,
            "The sign is wrong: a step goes against the gradient.": lr * s * signed,
        },
    )


SETTINGS = ("lr", "weight_decay", "start_A")


def check_same_run(answer: Callable[..., Any], rng: torch.Generator) -> None:
    k, lr, decay = _uniform(rng, 2.5, 9.0), _uniform(rng, 0.001, 0.1), _uniform(rng, 0.01, 0.3)
    for optimizer, power in (("adamw", 0.5), ("sgd", 1.0)):
        found = answer(k, lr, decay, optimizer)
        if not (isinstance(found, dict) and set(found) >= set(SETTINGS)):
            raise Wrong(f"Return a dict with the keys {', '.join(SETTINGS)}.")
        found = {name: found[name] for name in SETTINGS}  # one more, such as eps, does no harm
        for name, value in found.items():
            if not isinstance(value, numbers.Real | Tensor) or isinstance(value, bool):
                raise Wrong(f"{name} must be one number; got {type(value).__name__}.")
        if _is(found["lr"], k**power) and not _is(found["lr"], lr * k**power):
            raise Wrong("lr is the new learning rate itself, not the factor: multiply it by lr.")
        _check_rate(found["lr"] / lr, k, power, optimizer)
        _check_start(found["start_A"], k)
        _check_decay(found["weight_decay"] / decay, k, power, optimizer)


def _is(value: float, expected: float) -> bool:
    return math.isclose(value, expected, rel_tol=1e-5)


def _check_rate(factor: float, k: float, power: float, optimizer: str) -> None:
    if _is(factor, k**power):
        return
    if optimizer == "adamw" and _is(factor, k):
        raise Wrong(
            "adamw: lr x k moves A k times as far too. Its steps do not grow with the gradient: "
            "A and B each take a factor sqrt(k)."
        )
    if optimizer == "sgd" and _is(factor, math.sqrt(k)):
        raise Wrong(
            "sgd: the gradients shrink by sqrt(k) as A and B grow by it, so the rate must make up "
            "for both: k."
        )
    if optimizer == "sgd" and _is(factor, k * k):
        raise Wrong("sgd: k squared is right for the first update only. The rate takes k.")
    if _is(factor, 1):
        raise Wrong(f"{optimizer}: with A's start alone the run is another one. Change lr too.")
    if _is(factor, k**-power):
        raise Wrong(f"{optimizer}: the rate is divided where it must be multiplied.")
    raise Wrong(f"{optimizer}: lr is multiplied by {factor:.4g}; expected {k**power:.4g}.")


def _check_start(factor: float, k: float) -> None:
    if _is(factor, math.sqrt(k)):
        return
    if _is(factor, 1):
        raise Wrong("A's start is unchanged: both A and B must be sqrt(k) times as large.")
    if _is(factor, k):
        raise Wrong("A's start takes sqrt(k): B supplies the other sqrt(k) of alpha x k.")
    raise Wrong(f"start_A is {factor:.4g}; expected {math.sqrt(k):.4g}.")


def _check_decay(factor: float, k: float, power: float, optimizer: str) -> None:
    if _is(factor, k**-power):
        return
    if _is(factor, 1):
        raise Wrong(
            f"{optimizer}: the decay is unchanged, but a step shrinks a weight by lr x decay: that "
            "product must stay."
        )
    if _is(factor, k**power) or _is(factor, k):
        raise Wrong(f"{optimizer}: the decay is multiplied; lr x decay stays if it is divided.")
    raise Wrong(
        f"{optimizer}: decay is multiplied by {factor:.4g}; expected {k**-power:.4g}, so that "
        "lr x decay stays."
    )


def _slope(x: Tensor, y: Tensor) -> Tensor:
    """The slope of y against x by least squares, by the pseudo-inverse."""
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    return (torch.linalg.pinv(design) @ y)[0]


def check_power_law(answer: Callable[..., Any], rng: torch.Generator) -> None:
    x = torch.tensor([1, 2, 3, 5, 8, 13, 21, 34], dtype=torch.float64)
    p = _uniform(rng, 0.4, 0.8) * (1 if torch.rand(1, generator=rng) < 0.5 else -1)
    noise = 0.1 * torch.randn(len(x), generator=rng, dtype=torch.float64)
    y = 5 * x**p * noise.exp()
    log_x, log_y = x.log(), y.log()
    steps = (y[-1] / y[0]).log() / (x[-1] / x[0]).log()
    expect(
        answer(x.tolist(), y.tolist()),
        _slope(log_x, log_y),
        k=100,  # a fit cancels some digits
        mistakes={
            "This is the slope of y against x. A power law is straight in log y against log x.": (
                _slope(x, y)
            ),
            "Only y was put in logarithms: that finds an exponential, not a power.": (
                _slope(x, log_y)
            ),
            "Only x was put in logarithms: take the logarithm of y too.": _slope(log_x, y),
            "x and y are the wrong way round: fit log y as a function of log x.": (
                _slope(log_y, log_x)
            ),
            "The logarithms are of different bases (2 and e): use one for both.": (
                _slope(log_x, log_y / math.log(2))
            ),
            "The logarithms are of different bases (e and 2): use one for both.": (
                _slope(log_x / math.log(2), log_y)
            ),
            "This uses the first and the last point only. Fit all of them.": steps,
            "This line goes through the origin: let it have a constant, for y = c x^p.": (
                (log_x * log_y).sum() / log_x.square().sum()
            ),
            "This is log c, where the line meets the axis. p is the slope of the line.": (
                log_y.mean() - _slope(log_x, log_y) * log_x.mean()
            ),
            "This is the correlation. It says how straight the line is, not how steep.": (
                torch.corrcoef(torch.stack([log_x, log_y]))[0, 1]
            ),
            "This is the mean of the slopes between neighbours. Least squares fits all points.": (
                (log_y.diff() / log_x.diff()).mean()
            ),
        },
    )
    for case, (x_given, y_given) in NO_LOGARITHM.items():
        _refuses(answer, case, list(x_given), list(y_given))


NO_LOGARITHM = {
    "y = 0 (the gradient of A at the start)": ((1.0, 2.0, 4.0, 8.0), (0.0, 0.0, 0.0, 0.0)),
    "one y = 0 among others above zero": ((1.0, 2.0, 4.0, 8.0), (3.0, 2.0, 0.0, 1.0)),
    "a negative y": ((1.0, 2.0, 4.0, 8.0), (3.0, 2.0, -1.0, 1.0)),
    "x = 0": ((0.0, 1.0, 2.0, 4.0), (4.0, 3.0, 2.0, 1.0)),
}


def _refuses(answer: Callable[..., Any], case: str, x: list[float], y: list[float]) -> None:
    try:
        answer(x, y)
    except ValueError:
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise Wrong(
            f"For {case} it raised {type(error).__name__}: raise a ValueError, for there is no "
            "logarithm."
        ) from error
    raise Wrong(f"For {case} it must raise a ValueError.")


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
            "that is a spike.",
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
    worse_on_average = [*fell[:-1], 8 * margin]
    return [
        (spike_at_the_end, None, "spiked", {
            "diverged": "One loss of its last tenth is high, their mean is not: that is a spike.",
            "stable": "One loss of its last tenth is more than the margin above the base's: a "
            "spike counts there too.",
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
    broken_end = [value * margin for value in (0, -1, -1, -1, 3)]
    return [
        (recovered, None, "spiked", {"diverged": ONE_STEP, "stable": ONE_STEP}),
        (broken_end, None, "diverged", {"spiked": ONE_STEP, "stable": ONE_STEP}),
    ]
