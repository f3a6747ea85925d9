"""Lesson 10: its runs are those of `fit`, its questions read them rightly, its page its numbers."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import mean

import numpy as np
import pytest
import torch

import lora_lessons as ll
from lora_lessons.base.tokens import TokenBatches
from lora_lessons.course.ledger import load_claims
from lora_lessons.course.lesson10 import card_table, explorer, figures, order, questions
from lora_lessons.experiments import learning_and_forgetting as experiment
from lora_lessons.experiments import lesson10 as pieces
from lora_lessons.experiments.gaps import t_quantile
from lora_lessons.experiments.task import best_rate
from lora_lessons.seeding import seed_everything
from lora_lessons.train.loop import evaluate, fit

LESSON = ll.lesson("10")
SMALL = {
    "steps": 4,
    "batch_size": 2,
    "length": 16,
    "eval_every": 2,
    "blocks_each": 4,
    "dtype": "float64",
}
RATES = {"LoRA, r = 8": [1e-3, 4e-3], "full": [1e-3]}


def at_the_end(row):
    return experiment.score(row, "last")


# --- the runs ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bench():
    return experiment.make_bench(**SMALL)


def test_a_run_of_many_adapters_is_the_run_alone(bench):
    (row,) = experiment.run_arm(bench, "LoRA, r = 8", [4e-3], [3])
    seed_everything(3)
    base, _ = ll.load_base("nano", dtype=torch.float64)
    model = ll.get_peft_model(base, experiment.ARMS["LoRA, r = 8"].config())
    batches = TokenBatches(bench.train_ids, 2, 16, seed=3)
    fit(model, batches, steps=4, lr=4e-3, seed=3, progress=False)
    for text, rows in bench.texts.items():
        assert row[text][-1] == pytest.approx(evaluate(model, rows), abs=1e-9)


def test_full_fine_tuning_leaves_the_base_as_it_was(bench):
    before = {name: value.clone() for name, value in bench.model.state_dict().items()}
    first, again = (experiment.run_arm(bench, "full", [1e-3], [0])[0] for _ in range(2))
    assert first == again and first["target"][0] != first["target"][-1]
    after = bench.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_first_measurement_is_the_base(bench):
    rows = experiment.run_arm(bench, "LoRA, r = 8", [1e-3, 1e-1], [0])
    rows += experiment.run_arm(bench, "full", [1e-3], [0])
    for text, ids in bench.texts.items():
        starts = [row[text][0] for row in rows]
        assert starts == pytest.approx([evaluate(bench.model, ids)] * 3)
    assert all(len(row["base"]) == len(bench.eval_steps()) == 3 for row in rows)


def test_weight_decay_reaches_the_run(bench):
    plain, decayed = (
        experiment.run_arm(bench, arm, [1e-2], [0])[0] for arm in ("full", "full, decay 1")
    )
    assert plain["target"][-1] != decayed["target"][-1]


def test_a_run_that_diverges_is_filled_up_with_nan(bench, monkeypatch):
    monkeypatch.setattr(experiment, "fit", lambda model, batches, valid, **how: valid(model))
    (row,) = experiment.run_arm(bench, "full", [1.0], [0])
    assert math.isfinite(row["target"][0]) and all(map(math.isnan, row["target"][1:]))
    assert experiment.score(row, "last") == math.inf == experiment.score(row, "best")
    rows = [row, {**row, "lr": 1e-3, "target": [5.0, 4.0, 4.5]}]
    assert best_rate(rows, at_the_end, arm="full") == 1e-3


def test_the_rate_is_chosen_on_the_tuning_seeds_alone():
    found = experiment.tune_and_measure(
        RATES, tuning_seeds=(10,), seeds=(0, 1), rivals=[("full", "full", 0.5)], **SMALL
    )
    assert {row["seed"] for row in found["tuning"]} == {10}
    assert {row["seed"] for row in found["rows"]} == {0, 1}
    assert found["chosen"] == {
        arm: best_rate(found["tuning"], at_the_end, arm=arm) for arm in RATES
    }
    assert questions.rates(found["rows"], "full") == [5e-4, 1e-3]
    assert found["trained"]["LoRA, r = 8"] < found["trained"]["full"]
    every = experiment.tune_and_measure(
        RATES, tuning_seeds=(10,), seeds=(0,), all_rates=True, **SMALL
    )
    assert questions.rates(every["rows"], "LoRA, r = 8") == RATES["LoRA, r = 8"]


def test_as_many_numbers_train_as_are_counted(bench):
    config = experiment.ARMS["LoRA, r = 64"].config()
    with pytest.warns(UserWarning, match="r=64 is above the size"):
        adapted = ll.get_peft_model(ll.load_base("nano")[0], config)
    trained = adapted.get_nb_trainable_parameters()[0]
    assert experiment.trained_numbers(bench, "LoRA, r = 64") == trained


def test_equal_tokens_at_every_batch_size():
    found = experiment.batch_sizes(
        {"1": RATES, "2": RATES}, tokens=64, length=16, tuning_seeds=(10,), seeds=(0,),
        blocks_each=4, dtype="float64",
    )  # fmt: skip
    assert [found[size]["eval_steps"][-1] * int(size) * 16 for size in found] == [64, 64]


def test_rows_are_spread_over_the_whole():
    rows = torch.arange(100)[:, None]
    assert experiment.spread(rows, 3).flatten().tolist() == [0, 50, 99]
    assert len(experiment.spread(rows, 500)) == 100


def test_an_unknown_arm_is_named(bench):
    with pytest.raises(ValueError, match="no arm 'ful'; did you mean 'full'"):
        experiment.run_arm(bench, "ful", [1e-3], [0])


def test_the_pieces_agree_with_the_courses_own():
    a, b = {0: 4.0, 7: 4.3, 2: 4.1}, {2: 4.05, 0: 4.02, 7: 4.21}
    gap = ll.paired_gap(a, b)
    t = {n: t_quantile(0.975, n) for n in (1, 2, 3)}
    assert pieces.paired_interval(a, b, t) == pytest.approx((gap.mean, gap.half))


# --- the questions ------------------------------------------------------------------------------


def row(arm, lr, seed, target, base, **more):
    return {"arm": arm, "lr": lr, "seed": seed, "target": target, "base": base, **more}


LORA, FULL = questions.LORA, questions.FULL
TOY = {
    "eval_steps": [0, 10, 20],
    "before": {"target": 5.0, "base": 3.0},
    "chosen": {LORA: 2e-3, FULL: 1e-3},
    "tuning": [
        row(LORA, 2e-3, 9, [5.0, 4.5, 4.002], [3.0, 3.2, 3.5]),
        row(FULL, 1e-3, 9, [5.0, 4.0, 3.8], [3.0, 3.4, 3.9]),
        row(FULL, 1e-4, 9, [5.0, 4.4, 3.9], [3.0, 3.1, 3.2]),
    ],
    "rows": [
        new
        for seed, more in enumerate((0.0, 0.01, 0.02))
        for new in (
            row(LORA, 2e-3, seed, [5.0, 4.5, 4.0 - more], [3.0, 3.2, 3.5 + more]),
            row(FULL, 1e-3, seed, [5.0, 4.0, 3.8], [3.0, 3.4 + 2 * more, 3.9]),
            row(FULL, 1e-4, seed, [5.0, 4.4, 3.9], [3.0, 3.1, 3.2]),
        )
    ],
}


def test_the_goal_is_one_that_every_run_reaches():
    assert questions.late_goal(TOY) == pytest.approx(4.01)


def test_equal_steps_compares_the_ends():
    target, base = questions.equal_steps(TOY)
    assert target.mean == pytest.approx(mean((0.2, 0.19, 0.18)))
    assert base.mean == pytest.approx(-0.39)
    quarter = [{**r, "lr": r["lr"] * 2.5} if r["lr"] == 1e-4 else r for r in TOY["rows"]]
    gaps = questions.equal_steps({**TOY, "rows": quarter})
    assert [gap.second for gap in gaps] == ["full, 0.001"] * 2 + ["full, 0.00025"] * 2
    assert gaps[3].mean == pytest.approx(0.31)


def test_equal_target_compares_at_the_goal_and_each_at_its_gentlest():
    assert questions.gentlest_rate(TOY, FULL, 4.01) == 1e-4
    best, gentle = questions.equal_target(TOY, 4.01)
    assert best.second.endswith("0.001") and gentle.second.endswith("0.0001")
    full = questions.at_goal(questions.runs(TOY["rows"], FULL, 1e-4), 4.01)
    assert full[0] == pytest.approx(3.1 + 0.1 * (4.4 - 4.01) / 0.5)
    assert best.mean > 0 and gentle.mean > best.mean
    assert best.family == gentle.family and best.holm >= best.p


def test_a_rate_that_fresh_runs_do_not_bring_to_the_goal_is_out():
    late = [{**r, "target": [5.0, 4.8, 4.6]} if r["lr"] == 1e-4 else r for r in TOY["rows"]]
    assert questions.gentlest_rate({**TOY, "rows": late}, FULL, 4.01) == 1e-3
    assert questions.gentlest_rate(TOY, FULL, 1.0) is None


def test_decay_is_compared_at_one_rate():
    decayed = [{**r, "arm": "full, decay 1", "base": [3.0, 3.5, 4.0]} for r in TOY["rows"][1::3]]
    (gap,) = questions.decay_gaps({**TOY, "rows": [*TOY["rows"], *decayed]}, 4.01)
    assert gap.first == "full, decay 1, 0.001" and gap.mean > 0


def test_a_goal_that_a_seed_never_reaches_is_no_number():
    assert questions.at_goal(TOY["rows"][:1], 3.9) is None
    assert questions.steps_to(TOY["rows"][:1], TOY["eval_steps"], 3.9) is None
    assert questions.equal_target(TOY, 3.85) == []


def test_the_table_says_what_was_not_reached():
    text = repr(questions.trade_table(TOY, 3.85))
    assert text.count("not reached") == 2 and "0.002*" in text


def test_overfitting_is_read_at_an_equal_training_loss():
    data = {
        "before": {"train": 5.0},
        "chosen": {LORA: 2e-3, FULL: 1e-3},
        "rows": [
            row(arm, lr, seed, [5.0, 4.0 + more + seed / 100], [], train=[5.0, 3.0])
            for arm, lr, more in ((LORA, 2e-3, 0.3), (FULL, 1e-3, 0.0))
            for seed in range(3)
        ],
    }
    assert questions.training_goals(data) == [4.5, 4.0, 3.5, 3.0]
    early, late = questions.overfitting(data, [4.0, 3.0])
    assert (early.mean, late.mean) == (pytest.approx(0.15), pytest.approx(0.3))
    (best,) = questions.best_losses(data)
    assert best.mean == pytest.approx(0.3)


# --- the order and the card's table --------------------------------------------------------------


@pytest.fixture(scope="module")
def cells():
    return {cell.recorded: LESSON.recorded(cell.recorded).data for cell in card_table.CELLS}


def test_the_order_is_that_of_the_movements():
    targets = LESSON.recorded("05_targets").data
    moved = order.movements(targets)
    assert list(moved) == sorted(moved, key=lambda name: -moved[name])
    rows = [row["best"] for row in targets["tuning"] if row["arm"] == "all-linear"]
    assert moved["learning rate"] == pytest.approx(max(rows) - min(rows))


def test_one_rate_serves_every_rank_with_alpha_fixed_alone():
    best = {rule: [explorer.best_rate(rule, r) for r in explorer.RANKS] for rule in explorer.RULES}
    assert set(best["alpha = 16"]) == {1e-3}
    assert all(low >= high for low, high in pairwise(best["alpha = 2r"]))
    assert len(set(best["alpha = 2r"])) == 3


def test_half_of_the_cards_table_stands_with_the_rate_tuned(cells):
    """As the page says: rank's two cells and high dropout."""
    gaps = card_table.all_gaps(cells)
    assert all(gap.settled and gap.mean > 0 for gap in gaps[::2])
    standing = [
        cell.quote
        for cell, own in zip(card_table.CELLS, gaps[1::2], strict=True)
        if own.settled and own.mean > 0
    ]
    assert [quote.partition(":")[0] for quote in standing] == [
        "r, too low", "r, too high", "lora_dropout, too high"
    ]  # fmt: skip
    assert card_table.standing(cells) == 3


def test_a_rate_at_the_edge_is_said(cells):
    text = repr(card_table.card_table(cells))
    edges = [cell for cell in card_table.CELLS if card_table.at_an_edge(cell, cells[cell.recorded])]
    assert text.count("at the edge") == len(edges) == 3


def test_the_cells_are_those_of_the_card(cells):
    quotes = {claim.quote for claim in load_claims()}
    assert {cell.quote for cell in card_table.CELLS} <= quotes
    for cell in card_table.CELLS:
        for value in (cell.extreme, cell.middle):
            rows = cell.rows(card_table.runs_of(cells[cell.recorded]), value)
            assert {row["seed"] for row in rows} == {0, 1, 2, 3, 4}


# --- the pictures ---------------------------------------------------------------------------------


def test_the_explorer_draws_the_recorded_losses():
    figure = explorer.draw("alpha = 16", 64, 1e-3)
    mine = next(line for line in figure.axes[0].lines if line.get_label() == "r = 64")
    expected = [mean(explorer.losses("alpha = 16", 64, lr)) for lr in explorer.RATES]
    assert np.allclose(mine.get_ydata(), expected)
    assert "r = 64" in explorer.alt("alpha = 16", 64, 1e-3)


def test_the_drawing_tells_what_it_shows():
    drawing = figures.protocol()
    for words in ("every rate", "on fresh seeds", "at an edge: widen the grid"):
        assert words in drawing.svg


def test_the_trade_draws_each_arms_chosen_rate_and_those_below():
    figure = figures.trade({"toy": TOY}, {"toy": 4.01})
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels[:3] == ["LoRA, r = 8, 0.002", "full, 0.001", "full, 0.0001"]
    full = figure.axes[0].lines[1]
    assert np.allclose(full.get_ydata(), [5.0, 4.0, 3.8])
    assert np.allclose(full.get_xdata(), [3.0, 3.42, 3.9])


# --- what the page says --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoder():
    return LESSON.recorded("10_forgetting").data


def test_after_equal_steps_lora_learns_less_and_forgets_less(decoder):
    target, base, target_low, base_low = questions.equal_steps(decoder)
    assert target.settled and target.mean > 0 and base.settled and base.mean < 0
    assert target_low.settled and base_low.settled and min(target_low.mean, base_low.mean) > 0


def test_at_an_equal_target_full_fine_tuning_forgets_less(decoder):
    slow = LESSON.recorded("10_forgetting_slow").data
    gaps = questions.equal_target(decoder, questions.late_goal(decoder), slow)
    assert len(gaps) == 6 and all(gap.settled and gap.mean > 0 for gap in gaps)


def test_lora_reaches_the_goal_at_one_rate_and_full_fine_tuning_at_four(decoder):
    goal = questions.late_goal(decoder)
    reached = {arm: questions.by_gentleness(decoder["rows"], arm, goal) for arm in (LORA, FULL)}
    assert [len(reached[arm]) for arm in (LORA, FULL)] == [1, 4]
    steps = [
        questions.steps_to(
            questions.runs(decoder["rows"], arm, decoder["chosen"][arm]),
            decoder["eval_steps"],
            goal,
        )
        for arm in (LORA, FULL)
    ]
    assert [round(count) for count in steps] == [336, 72]


def test_every_chosen_rate_lies_inside_its_grid(decoder):
    little, batch = (LESSON.recorded(name).data for name in ("10_little_data", "10_batch_size"))
    for data in (decoder, little, *batch.values()):
        for arm, lr in data["chosen"].items():
            tried = questions.rates(data["tuning"], arm)
            assert tried[0] < lr < tried[-1], (arm, lr)


def test_weight_decay_takes_less_than_a_hundredth_off(decoder):
    gaps = questions.decay_gaps(decoder, questions.late_goal(decoder))
    assert [gap.first for gap in gaps] == ["full, decay 0.1, 0.00025", "full, decay 1, 0.00025"]
    assert all(-0.01 < gap.mean < 0 for gap in gaps)


def test_lora_over_fits_less_until_over_fitting_begins():
    data = LESSON.recorded("10_little_data").data
    gaps = questions.overfitting(data, questions.training_goals(data))
    assert all(gap.settled for gap in gaps)
    assert [gap.mean > 0 for gap in gaps] == [False, False, True, True, True, True, True]
    lora, _, ranks = questions.best_losses(data)
    assert lora.settled and lora.mean > 0 and ranks.settled and ranks.mean < 0


def test_the_gap_grows_with_the_batch():
    data = LESSON.recorded("10_batch_size").data
    growth = questions.batch_growth(data)
    assert growth.settled and growth.mean > 0
    rises = {
        arm: data["128"]["chosen"][arm] / data["8"]["chosen"][arm] for arm in data["8"]["chosen"]
    }
    assert rises == pytest.approx({LORA: 8, FULL: 4})
