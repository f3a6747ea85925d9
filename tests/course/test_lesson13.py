"""Lesson 13: the runs are fair, the pieces are right, and the page says what was measured."""

from __future__ import annotations

import math
from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.base.quantize import fake_quantize
from lora_lessons.course import recorded
from lora_lessons.course.lesson13 import explorer, figures, own
from lora_lessons.experiments import lesson13 as experiment
from lora_lessons.experiments import variant_costs, variants, variants_in_peft
from lora_lessons.experiments.task import best_rate

TINY = {"steps": 2, "batch_size": 2, "length": 16, "valid_blocks": 2}
PARTS = ("13_variants_1", "13_variants_2", "13_variants_3")


def decoder():
    return figures.joined(recorded.load(name).data for name in PARTS)


# --- the student's own numbers ---------------------------------------------------------------


@pytest.mark.parametrize("student", ["self-study", "ada", "bob", "cyd"])
def test_one_variant_can_be_judged_and_its_interval_is_the_courses(student):
    mine = own.MY_VERDICT.own.of(student, "13")
    rate, middle, half = own.MY_VERDICT.own.right(**mine)
    best = {}
    for arm, runs in mine["runs"].items():
        means = [mean(losses) for losses in runs["tuning"]]
        best[arm] = means.index(min(means))
    inside = [arm for arm in ("P", "Q") if 0 < best[arm] < 4]
    assert len(inside) == 1 and 0 < best["LoRA"] < 4
    place = best[inside[0]]
    fresh = [
        dict(enumerate(mine["runs"][arm]["fresh"][at]))
        for arm, at in ((inside[0], place), ("LoRA", best["LoRA"]))
    ]
    gap = ll.paired_gap(*fresh)
    assert rate == own.RATES[place]
    assert (middle, half) == (pytest.approx(gap.mean), pytest.approx(gap.half, rel=1e-5))


# --- the runs --------------------------------------------------------------------------------


def test_arms_of_one_seed_see_the_same_batches_and_start_where_the_base_is(monkeypatch):
    seen = []
    real = variants.fit

    def fit(model, batches, **how):
        first = batches.state_dict(), next(iter(batches))["input_ids"].tolist()
        seen.append(str((first, how["seed"], how["lr"])))
        return real(model, batches, **how)

    monkeypatch.setattr(variants, "fit", fit)
    bench = variants.make_bench(**TINY)
    rows = [variants.run_arm(bench, arm, 1e-3, 3) for arm in variants.ARMS]
    assert max(row["before"] for row in rows) - min(row["before"] for row in rows) < 1e-4
    assert len(set(seen)) == 1
    assert len({row["loss"] for row in rows}) == len(rows)  # and each trains in its own way


def test_the_base_is_left_as_it_was():
    bench = variants.make_bench(**TINY)
    before = {name: p.detach().clone() for name, p in bench.sweep.model.named_parameters()}
    variants.run_arm(bench, "PiSSA", 1e-2, 0)
    assert all(torch.equal(p, before[name]) for name, p in bench.sweep.model.named_parameters())


def test_an_arm_that_is_not_known_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'rsLoRA'"):
        variants.run_arm(variants.make_bench(**TINY), "rsLora", 1e-3, 0)


def test_a_run_that_diverged_has_no_loss(monkeypatch):
    history = ll.History()
    history.eval_losses, history.losses = [3.2, 3.1], [math.nan]
    assert history.diverged
    monkeypatch.setattr(variants, "fit", lambda *args, **how: history)
    assert math.isnan(variants.run_arm(variants.make_bench(**TINY), "LoRA", 1.0, 0)["loss"])


@pytest.mark.parametrize(("best", "added"), [(1e-5, [1e-4, 3e-5, 1e-5, 3e-6]), (1e-3, [])])
def test_a_grid_is_extended_until_the_best_is_inside(monkeypatch, best, added):
    def run(bench, arm, lr, seed):
        return {"arm": arm, "lr": lr, "seed": seed, "loss": abs(math.log(lr / best))}

    monkeypatch.setattr(variants, "run_arm", run)
    rows = variants.tune(None, "LoRA", [10, 11], width=3)
    tried = list(dict.fromkeys(row["lr"] for row in rows))
    assert tried == [3e-4, 1e-3, 3e-3, *added]
    rates = sorted(tried)
    assert rates[0] < best_rate(rows, arm="LoRA") < rates[-1]
    assert all(sum(row["lr"] == lr for row in rows) == 2 for lr in tried)


def test_rates_are_chosen_on_the_tuning_seeds_and_reported_on_fresh_ones():
    data = variants.tune_and_measure(
        ["LoRA"], tuning_seeds=[10], seeds=[0, 1], width=3, common=[1e-2], **TINY
    )
    assert {row["seed"] for row in data["tuning"]} == {10}
    assert {row["seed"] for row in data["rows"]} == {0, 1}
    assert {row["lr"] for row in data["rows"]} == {data["chosen"]["LoRA"], 1e-2}


def test_loraplus_and_lora_fa_train_what_their_names_say():
    bench = variants.make_bench(**TINY)
    plain, frozen, dora = (
        variants.trained_numbers(bench, arm) for arm in ("LoRA", "LoRA-FA", "DoRA")
    )
    model = variants.adapted(ll.load_base("nano")[0], variants.ARMS["LoRA-FA"])
    assert all("lora_B" in n for n, p in model.named_parameters() if p.requires_grad)
    assert frozen < plain < dora
    assert variants.ARMS["LoRA+"].ratio == 16


def test_the_two_configs_of_the_trap_have_scalings_2_and_8():
    plain, stabilized = (experiment.scaled_config(arm, 64) for arm in experiment.SCALED)
    assert ll.lora_scaling(plain.lora_alpha, 64) == 2
    assert ll.lora_scaling(stabilized.lora_alpha, 64, use_rslora=True) == 8
    rows = experiment.scaling_trap([1e-3], [0], r=4, **TINY)
    assert [row["arm"] for row in rows] == list(experiment.SCALED)


def test_costs_have_a_row_for_each_base_and_arm():
    bases = [{"base": "nano", "arms": ["LoRA", "DoRA"], "batch_size": 2, "length": 8}]
    rows = variant_costs.step_costs(bases, device="cpu", rounds=1)
    assert [row["arm"] for row in rows] == ["LoRA", "DoRA"]
    for row in rows:
        assert row["peak"] is None and row["seconds"]["captured"] is None
        assert row["seconds"]["eager"] > 0


# --- LoftQ -----------------------------------------------------------------------------------


def test_loftq_lowers_the_error_with_every_turn_and_ends_on_the_grid():
    W = torch.randn(32, 48, generator=ll.generator(0))
    errors = []
    for turns in (1, 2, 5):
        Q, A, B = experiment.loftq(W, lambda X: fake_quantize(X, "nf2"), 4, turns)
        assert A.shape == (4, 48) and B.shape == (32, 4)
        torch.testing.assert_close(fake_quantize(Q, "nf2"), Q)
        errors.append((W - Q - B @ A).norm().item())
    assert errors[0] < (W - fake_quantize(W, "nf2")).norm() and errors[2] < errors[0]


def test_the_table_of_loftq_starts_with_the_quantizer_alone():
    rows = experiment.loftq_table(forms=["nf2"], turns=(0, 1), r=4, length=16, valid_blocks=2)
    assert [row["turns"] for row in rows] == [0, 1] and rows[1]["error"] < rows[0]["error"]
    assert len(figures.loftq_table(rows).rows) == 2


# --- PEFT ------------------------------------------------------------------------------------


def test_the_variants_are_pefts():
    apart = variants_in_peft.outputs_apart()
    assert set(apart) == set(variants_in_peft.ARMS_OF_CONFIG) and max(apart.values()) < 1e-4
    assert variants_in_peft.same_rates() and variants_in_peft.same_frozen()


# --- figures and the explorer ----------------------------------------------------------------


def made_up():
    """LoRA, and two variants: U is below it by 0.1 in every seed, V is not told apart."""
    noise = {0: 0.0, 1: 0.02, 2: -0.03, 3: 0.01, 4: -0.01}
    rows = []
    for seed, e in noise.items():
        for arm, loss in (("LoRA", 4 + e), ("U", 3.9 + e + e * e), ("V", 4 - 3 * e)):
            rows.append({"arm": arm, "lr": 1e-3, "seed": seed, "loss": loss})
            rows.append({"arm": arm, "lr": 3e-3, "seed": seed, "loss": math.nan})
    tuning = [
        {"arm": arm, "lr": lr, "seed": 10, "loss": 4.0 + abs(lr - 1e-3)}
        for arm in ("LoRA", "U", "V")
        for lr in ((3e-4, 1e-3, 3e-3) if arm != "V" else (1e-3, 3e-3))
    ]
    return {
        "chosen": dict.fromkeys(("LoRA", "U", "V"), 1e-3),
        "trained": dict.fromkeys(("LoRA", "U", "V"), 10),
        "tuning": tuning,
        "rows": rows,
    }


def test_the_verdict_is_computed_from_the_gaps():
    data = made_up()
    assert figures.settled(figures.tuned_gaps(data)) == {
        "below": ["U"],
        "above": [],
        "not settled": ["V"],
    }
    assert figures.at_the_edge(data) == ["V"]
    assert len(figures.tuned_table(data, "made up").rows) == 3
    assert figures.average(data["rows"], "U", 3e-3) == math.inf


def test_the_hasty_table_says_what_diverged_and_what_was_not_tried():
    data = made_up()
    rows = [row for row in data["rows"] if row["arm"] != "V" or row["lr"] == 1e-3]
    rows = [row | {"loss": 5.0} if math.isnan(row["loss"]) and row["arm"] == "LoRA" else row
            for row in rows]  # fmt: skip
    table = figures.hasty_table(rows, 0, [1e-3, 3e-3], "made up").rows
    assert table == [
        ["LoRA", "4.000", "5.000"],
        ["U", "-0.100", "diverged"],
        ["V", "+0.000", "not tried"],
    ]
    assert figures.ranking({"a": math.nan, "b": 2.0, "c": 1.0}) == ["c", "b", "a"]


def test_what_is_left_of_a_lead_is_in_percent():
    plain, other = experiment.SCALED
    loss = {plain: {1: 4.0, 2: 3.0}, other: {1: 3.0, 2: 2.5}}
    rows = [
        {"arm": arm, "lr": lr, "seed": seed, "loss": value}
        for arm, of in loss.items()
        for lr, value in of.items()
        for seed in (0, 1, 10)
    ]
    assert figures.scaling_best(rows, [0, 1]) == {plain: 2, other: 2}
    assert figures.left_of_lead(rows, [0, 1], 1) == pytest.approx(50)
    assert len(figures.scaling_figure(rows).axes[0].lines) == 2


def test_costs_are_against_lora_on_the_same_base():
    def row(base, arm, seconds, peak):
        times = {"start": 0.1, "eager": 9.0, "captured": seconds}
        return {"base": base, "arm": arm, "seconds": times, "peak": peak}

    rows = [row("a", "LoRA", 1.0, 2**31), row("a", "DoRA", None, 2**20), row("b", "LoRA", 3.0, 1)]
    assert figures.times_as_long(rows, "a", "DoRA") == 9
    table = figures.costs_table(rows).rows
    assert [line[-1] for line in table] == ["2.00", "below 1", "below 1"]
    assert table[1][3] == "not captured"


def test_no_recorded_rate_is_at_an_edge_and_every_arm_is_there():
    data = decoder()
    assert list(data["chosen"]) == list(variants.ARMS) and figures.at_the_edge(data) == []
    assert {len(by_seed) for by_seed in figures.tuned(data).values()} == {5}


def test_the_drawing_tells_where_each_variant_acts():
    drawing = figures.where_they_act()
    for name in ("PiSSA", "OLoRA", "LoftQ", "LoRA-FA", "LoRA+", "rsLoRA", "DoRA"):
        assert name in drawing.text and name in drawing.svg


def test_the_explorer_shows_the_recorded_numbers():
    found = explorer.at(3e-4)
    assert found["LoRA"] == figures.average(decoder()["tuning"], "LoRA", 3e-4)
    assert figures.ranking(found)[0] == "LoRA+"
    assert "LoRA+" in explorer.alt("rsLoRA", 3e-4)


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        shown = {seen[name, value] for value in control.probes()}
        assert len(shown) == len(set(control.probes()))
        assert all('<img alt="' in html for html in shown)
