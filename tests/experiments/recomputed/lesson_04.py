"""The comparisons of lesson 04: {caption: {row: (first, second)}}."""

from __future__ import annotations

import numpy as np

from .arithmetic import Arm
from .choosing import Pairs, Row, against, as_arm, best_rate, having
from .stored import recording

NONE = "p = 0"


def lesson04() -> dict[str, Pairs]:
    """Dropout and weight decay, on little and on all data, on both models."""
    data = {name: recording(f"04_dropout_{name}")["rows"] for name in (
        "little_data", "full_data", "little_data_smollm2", "full_data_smollm2")}  # fmt: skip
    little, smol = data["little_data"], data["little_data_smollm2"]
    every = "each arm against p = 0"
    tables = {
        f"best loss, each arm at its best rate: {every}": _at_best(little),
        f"best loss, the rate of each seed chosen on the other seeds: {every}": _on_others(little),
        "steps to the validation loss: each p against p = 0": _delays(data["full_data"], 3e-3),
        f"all of Moby Dick, best loss: {every}": _at_best(data["full_data"]),
        f"SmolLM2, 12,000 tokens: {every}": _at_best(smol),
        f"SmolLM2, all of Moby Dick: {every}": _at_best(data["full_data_smollm2"]),
        f"decoder, last minus best at 0.001: the cost of going on, {every}": _cost(little, 1e-3),
        f"SmolLM2, last minus best at 0.001: the cost of going on, {every}": _cost(smol, 1e-3),
        f"decoder, last loss, each arm at the rate for it: {every}": _at_best(little, "last"),
    }
    return {caption: against(arms, NONE) for caption, arms in tables.items()}


def _arms(rows: list[Row]) -> dict[str, list[Row]]:
    keys = sorted({(row["decay"], row["p"]) for row in rows})
    return {f"decay {decay:g}" if decay else f"p = {p:g}": having(rows, p=p, decay=decay)
            for decay, p in keys}  # fmt: skip


def _at_best(rows: list[Row], measure: str = "best") -> dict[str, Arm]:
    return {name: as_arm(having(mine, lr=best_rate(mine, measure)), measure)
            for name, mine in _arms(rows).items()}  # fmt: skip


def _on_others(rows: list[Row]) -> dict[str, Arm]:
    found = {}
    for name, mine in _arms(rows).items():
        found[name] = {}
        for seed in {row["seed"] for row in mine}:
            lr = best_rate([row for row in mine if row["seed"] != seed], "best")
            found[name] |= as_arm(having(mine, seed=seed, lr=lr), "best")
    return found


def _cost(rows: list[Row], lr: float) -> dict[str, Arm]:
    return {name: as_arm(having(mine, lr=lr), lambda row: row["last"] - row["best"])
            for name, mine in _arms(rows).items()}  # fmt: skip


def _delays(rows: list[Row], lr: float) -> dict[str, Arm]:
    """Steps until the validation loss has fallen by 80 % of what p = 0 gains at the lowest rate."""
    every = recording("04_dropout_full_data")["eval_every"]
    none = having(rows, p=0.0, decay=0.0, lr=min(row["lr"] for row in rows))
    curves = np.array([row["valid"] for row in none])
    goal = float((0.2 * curves[:, 0] + 0.8 * curves[:, -1]).mean())

    def steps(row: Row) -> float:
        return every * int(np.argmax(np.array(row["valid"]) <= goal))

    arms = {name: having(mine, lr=lr) for name, mine in _arms(rows).items()}
    return {name: as_arm(mine, steps) for name, mine in arms.items()
            if all(min(row["valid"]) <= goal for row in mine)}  # fmt: skip
