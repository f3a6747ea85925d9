"""Lesson 01: what the page says of the recorded runs is what they hold."""

from __future__ import annotations

import itertools
from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course.lesson01 import figures

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


@pytest.mark.parametrize("run", ["01_rank_sweep", "01_rank_sweep_smollm2"])
def test_the_training_loss_falls_with_each_doubling_on_the_decoder_alone(run):
    """Hence "larger r, more expressive" holds in part."""
    rows = [row for row in LESSON.recorded(run).data if row["rule"] == "alpha = 2r"]
    trained = [{**row, "best": row["train"]} for row in rows]
    lines = figures.best_by_rank(trained)
    falls = [one[2] - two[2] > max(one[3], two[3]) for one, two in itertools.pairwise(lines)]
    assert all(falls) == (run == "01_rank_sweep") and any(falls) == (run == "01_rank_sweep")
