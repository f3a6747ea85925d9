"""Alt text is read off the figure: its numbers are those drawn, whatever they turn out to be."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lessons.course import plots, recorded
from lora_lessons.course.alt_text import LONGEST, describe
from lora_lessons.course.lesson05 import figures as lesson05


def test_a_line_is_told_by_its_points_or_by_its_ends_and_extremes():
    figure, (axis,) = plots.new_figure(about="Loss of two arms.")
    axis.plot([1, 2, 4], [4.25, 4.1, 4.5], label="LoRA")
    axis.plot(range(9), [5, 4, 3, 2, 1, 2, 3, 4, 4.5], label="full")
    axis.set_xlabel("rank $r$")
    axis.set_ylabel("loss\n(nats)")
    axis.set_xscale("log")
    assert plots.show(figure).alt == (
        "Loss of two arms. loss (nats) against rank r (x on a log scale). LoRA: 4.25 at 1, 4.1 at "
        "2, 4.5 at 4; full: from 5 at 0 to 4.5 at 8, lowest 1 at 4."
    )


def test_the_words_follow_the_data():
    texts = set()
    for low in (1.0, 2.0):
        figure, (axis,) = plots.new_figure()
        axis.plot([0, 1], [3, low])
        texts.add(describe(figure))
    assert texts == {"3 at 0, 1 at 1.", "3 at 0, 2 at 1."}


def test_intervals_bars_maps_points_and_lines_across():
    figure, axes = plots.new_figure(2, 2)
    axes[0].errorbar([1, 2], [4.0, 3.5], yerr=[0.1, 0.25], label="mean", capsize=4)
    axes[1].bar(["q", "MLP"], [0.5, 12_345], label="size")
    axes[1].axhline(0.25, label="chance")
    axes[2].imshow(np.array([[3.0, 1.5], [2.0, 9.0]]))
    axes[2].set_yticks([0, 1], ["0.001", "0.01"])
    axes[2].set_xticks([0, 1], ["16", "32"])
    axes[3].scatter([1, 1], [2, 5], label="seeds")
    alt = plots.show(figure).alt
    for words in (
        "Panel 1: mean: 4 ± 0.1 at 1, 3.5 ± 0.25 at 2.",
        "size: q 0.5, MLP 12,345; chance: a line across at 0.25.",
        "a map of 2 by 2 values from 1.5 (0.001, 32) to 9",
        "seeds: 2 points, 2 to 5",
    ):
        assert words in alt, alt


def test_arms_on_the_y_axis_are_told_by_name():
    figure, (axis,) = plots.new_figure()
    for row, values in enumerate(([4.1, 4.3], [3.9, 4.0])):
        axis.plot(values, [row, row], "o")
        axis.errorbar(np.mean(values), row, xerr=0.05, fmt="D")
    axis.set_yticks([0, 1], ["q, v", "MLP"])
    axis.set_xlabel("loss")
    assert plots.show(figure).alt == (
        "loss. q, v 4.1 to 4.3; q, v 4.2 ± 0.05; MLP 3.9 to 4; MLP 3.95 ± 0.05."
    )


def test_many_series_are_told_in_fewer_words():
    figure, axes = plots.new_figure(1, 3)
    for axis in axes:
        for rate in range(8):
            axis.plot(range(20), np.cos(np.arange(20) + rate), label=f"rate {rate}")
    alt = plots.show(figure).alt
    assert len(alt) < 2 * LONGEST and alt.count("rate 7: lowest -1 at") == 3


def test_a_figure_of_a_lesson_names_its_arms_and_numbers():
    figure = lesson05.table_5(recorded.load("05_targets").data)
    alt = plots.show(figure).alt
    assert "the paper: GPT-3 175B" in alt and "q, v 73.7 ± 0.5" in alt and "k 4.4" in alt


def test_words_of_the_figures_own_come_first():
    figure, (axis,) = plots.new_figure()
    axis.plot([1, 2])
    figure.alt = "A line that rises from one to two."
    assert plots.show(figure).alt == figure.alt
    assert (
        plots.show(figure, alt="Something said by hand here.").alt == "Something said by hand here."
    )


def test_an_empty_figure_is_refused():
    with pytest.raises(ValueError, match="alt must say what the figure shows"):
        plots.show(plots.new_figure()[0])
