"""Lesson 01: what the page says of the recorded runs is what they hold."""

from __future__ import annotations

from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course.lesson01 import figures, tables

LESSON = ll.lesson("01")


def cut_losses() -> dict[int, float]:
    """Rank -> mean loss of the fully tuned decoder with its updates cut to that rank."""
    data = LESSON.recorded("01_update_spectrum").data
    runs = [run["loss_at_rank"] for run in data["runs"]]
    return {rank: mean(losses) for rank, *losses in zip(data["ranks"], *runs, strict=True)}


def test_lora_is_ahead_of_the_cut_at_small_ranks_only():
    lora = {
        r: loss for r, _, loss, _ in figures.best_by_rank(LESSON.recorded("01_rank_sweep").data)
    }
    cut = cut_losses()
    assert (round(lora[8], 3), round(cut[8], 2)) == (4.086, 4.26)
    assert cut[32] == pytest.approx(lora[32], abs=0.01)  # level: the intervals are 0.005 and 0.008
    assert (round(lora[128], 3), round(cut[128], 2)) == (4.017, 3.97)


def test_the_cut_keeps_the_shares_of_the_page():
    cut = cut_losses()
    kept = {r: (cut[0] - loss) / (cut[0] - cut[256]) for r, loss in cut.items()}
    assert [round(100 * kept[r]) for r in (8, 32)] == [56, 90]
    assert 1 < kept[128] < 1.03


def test_the_energy_takes_more_ranks_than_the_loss():
    ranks = []
    for run in LESSON.recorded("01_update_spectrum").data["runs"]:
        for spectrum in run["spectra"].values():
            energy = torch.tensor(spectrum, dtype=torch.float64).square().cumsum(0)
            ranks.append(int((energy < 0.9 * energy[-1]).sum()) + 1)
    assert (min(ranks), max(ranks)) == (42, 164)


def settled(table) -> list[bool]:
    return [row[-1] != "not settled" for row in table.rows]


def data(name: str):
    return LESSON.recorded(name).data


def test_each_doubling_trains_better_on_the_decoder_and_two_of_five_on_smollm2():
    """Hence "larger r, more expressive" holds in part."""
    sweep, larger = data("01_rank_sweep"), data("01_rank_sweep_smollm2")
    assert all(settled(tables.doublings(sweep, "train", "alpha = 2r")))
    steps = settled(tables.doublings(larger, "train", "alpha = 2r"))
    assert steps == [True, False, True, False, False]


def test_the_doublings_of_the_best_loss_are_settled_as_the_page_says():
    sweep = data("01_rank_sweep")
    assert all(settled(tables.doublings(sweep, "best", "alpha = 2r")))
    assert settled(tables.doublings(sweep, "best", "alpha = 16")) == [True] * 5 + [False] * 2
    rows = tables.at_one_rate(sweep, 1e-3).rows
    assert [row[-1] for row in rows if row[0].startswith("r = 128")] == ["r = 32 is lower"]


def test_a_high_rank_is_not_shown_to_overfit_little_data_once_it_is_tuned():
    little = data("01_rank_sweep_little_data_tuned")
    of_128 = {
        rule: tables.little_data(little, rule).rows[2][-1] for rule in ("alpha = 2r", "alpha = 16")
    }
    assert of_128 == {"alpha = 2r": "not settled", "alpha = 16": "r = 128 is lower"}
    last = tables.little_data(little, "alpha = 2r", measure="last", lr=3e-4)
    assert [row[-1] for row in last.rows][1:3] == ["r = 8 is lower"] * 2


def test_rates_of_little_data_were_chosen_on_seeds_that_are_not_reported():
    arms, rates = tables.arms(data("01_rank_sweep_little_data_tuned"))
    assert all(set(values) == {0, 1, 2, 3, 4} for values in arms.values())
    assert rates["r = 128"] == 3e-5 and rates["r = 8"] == 3e-4


def test_smollm2_tells_one_pair_of_ranks_apart():
    larger = data("01_rank_sweep_smollm2")
    assert not any(settled(tables.against_largest(larger, "best")))
    told = [row[0] for row in tables.all_pairs(larger).rows if row[-1] != "not settled"]
    assert told == ["r = 4 − r = 64"]


def test_the_best_rank_is_compared_by_seed():
    arms = tables.arms_by_rank(data("01_rank_sweep"))
    assert list(arms) == [1, 2, 4, 8, 16, 32, 64, 128] and set(arms[8]) == {0, 1, 2, 3, 4}
