"""Lesson 03: alpha's algebra is exact, the laws are those of theory, figures draw their data."""

from __future__ import annotations

import itertools
import math
from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import recorded
from lora_lessons.course.ledger import claims_table
from lora_lessons.course.lesson03 import comparisons, explorer, figures
from lora_lessons.course.statistics import half_width95, paired_gaps
from lora_lessons.experiments import alpha_algebra as algebra
from lora_lessons.experiments import lesson03 as experiment
from lora_lessons.experiments.lesson03 import outcome

# --- which runs are the same run ---------------------------------------------------------------


def apart(optimizer: str, **settings) -> dict[str, float]:
    settings = {"steps": 4, "batch_size": 2, "length": 16} | settings
    return {row["instead"]: row["update"] for row in algebra.compare_runs(optimizer, **settings)}


@pytest.mark.parametrize("k", [0.3, 3.0])
def test_what_equals_alpha_times_k_equals_it_to_machine_precision(k):
    adamw, sgd = apart("adamw", k=k), apart("sgd", k=k, lr=0.1)
    exact = {name for name, update in (adamw | sgd).items() if update < 1e-12}
    assert exact == {
        "lr of B x k", "lr x sqrt(k), A's start x sqrt(k)",
        "lr x k, A's start x sqrt(k)", "lr of B x k²",
    }  # fmt: skip
    assert adamw["lr x k"] > 0.01 and adamw["lr x sqrt(k)"] > 0.01
    assert sgd["lr x k"] > 1e-3 and sgd["lr x k²"] > 1e-3


def test_adams_eps_decay_and_clipping_break_the_equality():
    eps = apart("adamw")["lr of B x k, Adam's eps left as it is"]
    assert 1e-8 < eps < 1e-2
    for broken in ({"weight_decay": 0.1}, {"clip": 1e-3}):
        (update,) = apart("adamw", only=("lr of B x k",), **broken).values()
        assert update > 1e-5


def test_the_base_comes_back_unchanged():
    model, ids = algebra.exact_base()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = {"input_ids": ids[:32].view(2, 16), "labels": ids[:32].view(2, 16)}
    algebra._train(model, algebra.Change(), [batch], 0, "sgd", 0.1, 0.0, None)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize(("optimizer", "factor"), [("sgd", 9), ("adamw", 3)])
def test_the_first_update_grows_as_the_square_or_as_k(optimizer, factor):
    assert algebra.first_update_factor(optimizer, k=3) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_formula_of_the_first_update_is_torchs(optimizer):
    for seed in range(3):
        G, A, update = algebra.first_update_of_torch(7 / 3, 0.01, optimizer, seed)
        formula = algebra.first_update(G, A, 7 / 3, 0.01, optimizer)
        torch.testing.assert_close(formula, update, rtol=1e-5, atol=1e-8)


# --- the first step as a power of the rank -----------------------------------------------------


@pytest.fixture(scope="module")
def laws():
    return algebra.first_step_laws(ranks=(1, 4, 16), seeds=(0, 1, 2))


def test_every_exponent_is_that_of_theory(laws):
    table = figures.exponent_table(laws)
    assert len(table) == len(algebra.PREDICTED) == 9
    for what, rule, theory, fitted, half in table:
        assert fitted == pytest.approx(theory, abs=0.15), (what, rule)
        assert half > 0


def test_the_gradient_depends_on_the_rule_through_the_scaling_alone(laws):
    rows = {row["rule"]: row for row in laws if row["r"] == 16 and row["seed"] == 0}
    plain, stabilized = (rows[rule]["gradient of B"] for rule in ("alpha / r", "alpha / sqrt(r)"))
    assert stabilized / plain == pytest.approx(4)
    plain, doubled = (rows[rule]["fall, AdamW"] for rule in ("alpha / r", "alpha = 2r"))
    assert doubled / plain == pytest.approx(2, rel=1e-3)


def test_the_exponent_of_a_power_is_its_power():
    x = [1.0, 2.0, 5.0, 9.0]
    assert algebra.exponent(x, [3 * value**-1.7 for value in x]) == pytest.approx(-1.7)
    with pytest.raises(ValueError, match=r"log|domain|positive|above 0"):
        algebra.exponent(x, [0.0, 1.0, 1.0, 1.0])


# --- which runs broke --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        ([5, 4.9, 4.8, 4.7], "stable"),
        ([5, 7.9, 4.8, 4.7], "stable"),  # the second batch is hard for the base too
        ([5, 8.4, 4.8, 4.7], "spiked"),
        ([5, 4.9, 4.8, 5.1], "stable"),  # useless, but not broken
        ([5, 4.9, 4.8, 5.4], "diverged"),
        ([5, math.nan], "diverged"),
        ([5, math.inf, 4.8, 4.7], "diverged"),
    ],
)
def test_a_run_is_compared_with_the_untrained_base_on_its_own_batches(losses, word):
    assert outcome(losses, [5, 8, 5, 5][: len(losses)]) == word


@pytest.fixture(scope="module")
def sweep():
    return experiment.alpha_sweep(
        alphas=(1, 1024), lrs=(1e-3, 1e-2), seeds=(0, 1), steps=6, batch_size=2, length=16,
        eval_every=3, valid_blocks=4, jobs_at_once=7,
    )  # fmt: skip


def test_the_sweep_has_a_row_for_every_run(sweep):
    runs = [(row["alpha"], row["lr"], row["seed"]) for row in sweep]
    assert runs == [(a, lr, seed) for a in (1, 1024) for lr in (1e-3, 1e-2) for seed in (0, 1)]
    for row in sweep:
        assert row["best"] <= row["last"] and row["update"] > 0
        assert row["before"] == pytest.approx(sweep[0]["before"], rel=1e-5)


def test_too_much_alpha_is_seen(sweep):
    shares = {
        (alpha, lr): figures.broken_share(figures._cell(sweep, alpha, lr))
        for alpha in (1, 1024)
        for lr in (1e-3, 1e-2)
    }
    assert shares[1, 1e-3] == 0 and shares[1024, 1e-2] == 1
    updates = [row["update"] for row in sweep if row["lr"] == 1e-3]
    assert max(updates[:2]) < min(updates[2:])


def test_a_runs_excess_is_over_the_base_that_never_moved(sweep):
    """The first loss is measured before any update: it is the base's own."""
    calm = [row for row in sweep if row["alpha"] == 1 and row["lr"] == 1e-3]
    assert all(-1e-4 < row["excess"] < 0.1 for row in calm)


def test_the_length_of_the_update_is_that_of_s_B_A():
    A, B = torch.randn(3, 31), torch.randn(23, 3)
    result = experiment.JobResult(None, None, {"one": (A, B), "two": (A, 2 * B)})
    whole = math.hypot((B @ A).norm().item(), (2 * B @ A).norm().item())
    assert experiment._update_norm(result, 1.5) == pytest.approx(1.5 * whole, rel=1e-5)


# --- figures and explorer ----------------------------------------------------------------------


def test_the_first_step_is_drawn_with_its_theory(laws):
    axes = figures.first_step(laws, "Here").axes
    assert [axis.get_title() for axis in axes] == [f"Here: {what}" for what in figures.MEASURES]
    measured, theory = axes[1].lines[0].get_ydata(), axes[1].lines[1].get_ydata()
    assert list(theory) == pytest.approx([1, 1 / 4, 1 / 16])
    mine = [row for row in laws if row["rule"] == "alpha / r"]
    ratio = [
        sum(
            row["fall, SGD"] / first["fall, SGD"]
            for row, first in zip(mine[at::3], mine[::3], strict=True)
        )
        / 3
        for at in range(3)
    ]
    assert list(measured) == pytest.approx(ratio)


def test_the_sweep_and_its_map_are_drawn(sweep):
    axes = figures.alpha_sweep(sweep, "Here").axes
    middle = (sweep[0]["best"] + sweep[1]["best"]) / 2
    assert axes[0].lines[0].get_ydata()[0] == pytest.approx(middle)
    assert list(axes[1].lines[1].get_ydata()) == [figures.broken_share(sweep[2:4]), 1]
    axis = figures.loss_map(sweep, worst=3.5).axes[0]
    drawn = axis.images[0].get_array()
    assert drawn.shape == (2, 2) and drawn.max() <= 3.5
    assert drawn[0, 0] == pytest.approx(min(middle, 3.5))
    broken = sum(figures.broken_share(sweep[at : at + 2]) > 0 for at in range(0, 8, 2))
    assert len(axis.texts) == broken >= 1


def test_the_best_rate_is_chosen_for_each_alpha():
    rows = [
        {"alpha": alpha, "lr": lr, "best": best + seed, "outcome": "stable"}
        for alpha, lr, best in ((1, 0.1, math.nan), (1, 0.2, 4.0), (2, 0.1, 3.0), (2, 0.2, 5.0))
        for seed in (0, 0.2)
    ]
    table = figures.best_by_alpha(rows)
    assert [line[:2] for line in table] == [(1, 0.2), (2, 0.1)]
    assert [line[2] for line in table] == pytest.approx([4.1, 3.1])
    assert figures.winner(rows) == 2 and figures.winner(rows, lr=0.2) == 1


def test_the_explorers_fall_is_the_law():
    fall = explorer.fall
    assert fall(8, 8, "alpha / r", "SGD") == 1
    assert fall(8, 24, "alpha / r", "SGD") == pytest.approx(9)
    assert fall(8, 24, "alpha / r", "Adam") == pytest.approx(3)


def test_the_explorer_opens_on_the_trap_and_shows_what_the_page_says_of_it():
    """r from 8 to 128, alpha left at 8: with SGD 16 times less, with Adam about as much."""
    (panel,) = explorer.EXPLORERS.values()
    shown = {name: control.start for name, control in panel.controls.items()}
    assert shown == {"r": 128, "alpha": 8, "rule": "alpha / r"}
    assert explorer.scaling(128, 8, "alpha / r") == 0.0625
    assert explorer.fall(**shown, optimizer="SGD") == pytest.approx(1 / 16, rel=0.05)
    assert explorer.fall(**shown, optimizer="Adam") == pytest.approx(1, rel=0.05)


def test_the_explorers_first_order_is_that_of_a_real_layer():
    G, rows = explorer._layer()
    A, B = rows[:4].clone(), torch.zeros(explorer.WIDTH, 4, dtype=G.dtype, requires_grad=True)
    loss = (G * (B @ A)).sum()
    (gradient,) = torch.autograd.grad(loss, B)
    falls = explorer.unscaled_falls(4)
    assert falls["SGD"] == pytest.approx((gradient * gradient).sum().item())
    assert falls["Adam"] == pytest.approx((gradient * gradient.sign()).sum().item())


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        probes = dict.fromkeys(control.probes())
        shown = {seen[name, value] for value in probes}
        assert len(shown) == len(probes) and all('<img alt="' in html for html in shown)


# --- the recorded runs, and what the page says of them -------------------------------------------


def test_the_recorded_sweep_bears_the_verdicts_of_the_page():
    rows = recorded.load("03_alpha_sweep").data
    alphas = figures.distinct(rows, "alpha")
    cells = {
        lr: [figures._cell(rows, a, lr) for a in alphas] for lr in figures.distinct(rows, "lr")
    }
    broken = {lr: [figures.broken_share(cell) for cell in line] for lr, line in cells.items()}
    breaks_from = {
        lr: [a for a, share in zip(alphas, line, strict=True) if share > 0][:1]
        for lr, line in broken.items()
    }
    assert breaks_from == {
        1e-4: [], 3e-4: [], 1e-3: [1024], 3e-3: [256], 1e-2: [32], 3e-2: [4],
    }  # fmt: skip
    assert {share for line in broken.values() for share in line} == {0, 1}  # all seeds or none
    for line in cells.values():
        updates = [mean(row["update"] for row in cell) for cell in line]
        assert updates == sorted(updates)
    assert figures.winner(rows) == 32
    best = {alpha: loss for alpha, _, loss, _ in figures.best_by_alpha(rows)}
    assert max(best[a] for a in (1, 4, 16, 64, 256)) < best[32] + 0.02 < best[0.25] < best[1024]
    assert max(best[4], best[64]) < best[16]  # the typical range is nothing special


SAID = " ".join(claim.smollm2 for claim in claims_table("03").claims)


def cells(run: str, lr: float | None = None) -> dict[float, list[dict]]:
    """Each alpha's runs, by seeds, at one rate or else at the rate with its lowest best loss."""
    rows = recorded.load(run).data
    table = figures.best_by_alpha([row for row in rows if lr is None or row["lr"] == lr])
    return {alpha: figures._cell(rows, alpha, rate) for alpha, rate, *_ in table}


def last(runs: list[dict]) -> str:
    return f"{mean(row['last'] for row in runs):.3f}"


def lead(runs: list[dict], others: list[dict], key: str = "last") -> tuple[float, float]:
    """The others' loss less that of the runs, seed by seed: mean and half of its interval."""
    gaps = [other[key] - row[key] for row, other in zip(runs, others, strict=True)]
    return mean(gaps), half_width95(gaps)


def test_smollm2_breaks_where_the_page_and_the_claims_say():
    rates = (3e-4, 1e-3, 3e-3, 1e-2)
    broken = {
        lr: [sum(row["outcome"] != "stable" for row in runs) for runs in at.values()]
        for lr, at in ((lr, cells("03_alpha_sweep_smollm2", lr)) for lr in rates)
    }
    assert broken == {  # of three seeds, at alpha = 1, 4, 16, 32, 64, 256
        3e-4: [0] * 6, 1e-3: [0] * 6, 3e-3: [0] * 5 + [3], 1e-2: [0, 1, 3, 3, 3, 3],
    }  # fmt: skip
    assert "at rate 0.01, 0 % at alpha 1, 33 % at 4 and 100 % from 16 to 256" in SAID


def test_the_update_of_smollm2_grows_as_the_page_and_the_claims_say():
    for lr in (3e-4, 1e-3, 3e-3, 1e-2):
        at = cells("03_alpha_sweep_smollm2", lr).values()
        updates = [mean(row["update"] for row in runs) for runs in at]
        assert updates == sorted(updates)
        if lr == 1e-3:
            low, middle, high = (100 * updates[i] for i in (0, 2, -1))
    said = f"from {low:.2f} % at alpha = 1 to {high:.1f} % at 256"
    assert said in SAID
    assert f"has an update of {low:.2f} % and" in SAID and f"has {middle:.1f} % and" in SAID


def test_the_tuned_alphas_of_smollm2_lie_as_near_as_the_page_and_the_claims_say():
    table = figures.best_by_alpha(recorded.load("03_alpha_sweep_smollm2").data)
    losses = [f"{loss:.3f}" for *_, loss, _ in table]
    assert (min(losses), max(losses)) == ("3.871", "3.888")
    numbers = ", ".join(
        f"{loss} at {alpha}" for (alpha, *_), loss in zip(table, losses, strict=True)
    )
    assert numbers.replace("at 1,", "at alpha = 1,") in SAID
    assert max(half for *_, half in table) <= 0.053
    assert [gap.first for gap in all_pairs("03_alpha_sweep_smollm2") if gap.settled] == []
    assert "No pair is told apart" in SAID
    assert [lr for _, lr, *_ in table] == [3e-3, 3e-3, 1e-3, 1e-3, 3e-4, 3e-4]


def all_pairs(run: str) -> list:
    """The gap of each pair of alphas, each at its best rate."""
    arms = {f"{a:g}": arm for a, arm in comparisons.at_best_rates(recorded.load(run).data).items()}
    return paired_gaps(arms, itertools.combinations(arms, 2), "all pairs of alphas")


def test_16_is_worse_than_32_and_1_and_4_are_not_told_from_it():
    rows = recorded.load("03_alpha_sweep").data
    settled = {gap.first: gap.settled for gap in comparisons.alpha_gaps(rows, 32)}
    assert settled == {
        "0.25": True, "1": False, "4": False, "16": True, "64": True, "256": True, "1024": True,
    }  # fmt: skip


def test_rslora_is_better_at_128_by_a_hundredth_and_not_told_apart_at_8():
    rows = recorded.load("03_rank_scaling").data
    rates = {comparisons.chosen_rate(rows, r, "alpha / r") for r in (8, 128)}
    roots = {comparisons.chosen_rate(rows, r, "alpha / sqrt(r)") for r in (8, 128)}
    assert (rates, roots) == ({1e-3}, {3e-4})
    at_8, at_128, *from_rank = comparisons.rank_scaling_gaps(rows)
    assert not at_8.settled and at_8.mean > 0
    assert at_128.settled and -0.02 < at_128.mean < -0.01
    assert all(gap.settled and gap.mean < -0.04 for gap in from_rank)
    low = [gap.mean < 0 for gap in comparisons.rates_gaps(rows, 128) if gap.settled]
    assert low == [True, True, False, False]


def test_a_rate_is_chosen_on_other_seeds_than_those_reported():
    """Else the arm that was tuned looks better than it is."""
    rows = [
        {"r": 8, "use_rslora": False, "lr": lr, "seed": seed, "best": loss}
        for lr, losses in ((0.1, {0: 1.0, 1: 1.0, 10: 3.0}), (0.2, {0: 2.0, 1: 2.2, 10: 1.0}))
        for seed, loss in losses.items()
    ]
    assert comparisons.chosen_rate(rows, 8, "alpha / r") == 0.2
    assert comparisons.tuned(rows, 8, "alpha / r") == {0: 2.0, 1: 2.2}


def test_a_low_alpha_has_the_higher_loss_at_low_rates_only():
    """Hence "too low, weak updates" holds in part: on neither model at every rate."""
    decoder = {lr: cells("03_alpha_sweep", lr) for lr in (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)}
    larger = {lr: cells("03_alpha_sweep_smollm2", lr) for lr in (3e-4, 1e-3, 3e-3, 1e-2)}
    found = {}
    for name, rates in (("decoder", decoder), ("SmolLM2", larger)):
        for lr, at in rates.items():
            gap, half = found[name, lr] = lead(at[16], at[1])
            assert abs(gap) > half
    assert [lr for (name, lr), (gap, _) in found.items() if gap < 0] == [1e-2, 3e-2, 3e-3, 1e-2]
    low, high = larger[1e-3], larger[3e-3]
    assert f"a loss of {last(low[1])}," in SAID and f"and {last(low[16])} (4.444" in SAID
    assert f"{low[1][0]['before']:.3f}" == "4.444"
    assert f"{last(high[1])} against {last(high[16])} at 0.003" in SAID


def test_lesson_01_bears_what_this_page_says_of_it():
    rows = [row for row in recorded.load("01_rank_sweep").data if row["lr"] == 1e-2]

    def worst(rule, ranks):
        return max(row["last"] for row in rows if row["rule"] == rule and row["r"] in ranks)

    def best(rule, ranks):
        return min(row["last"] for row in rows if row["rule"] == rule and row["r"] in ranks)

    assert worst("alpha = 2r", (1, 2, 4, 8, 16)) < 4.6 < 5.5 < best("alpha = 2r", (32, 64, 128))
    assert worst("alpha = 16", (1, 2, 4, 8, 16, 32, 64, 128)) < 4.5


def test_the_recorded_exponents_are_those_of_theory():
    for _, _, theory, fitted, half in figures.exponent_table(recorded.load("03_first_step").data):
        assert abs(fitted - theory) <= 0.0101 and half <= 0.0141


# --- the checks --------------------------------------------------------------------------------


def test_adams_step_with_its_eps_is_right_in_every_draw():
    def first_update(G, A, s, lr, optimizer):
        gradient = s * G @ A.T
        if optimizer == "adam":
            gradient = gradient / (gradient.square().sqrt() + 1e-8)
        return -lr * s * gradient @ A

    check = ll.lesson("03").check.first_update
    assert {check(first_update, seed=seed).outcome for seed in range(60)} == {"right"}
