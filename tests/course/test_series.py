"""The pieces of figures over seeds: what is drawn is the mean, its interval and each seed."""

from __future__ import annotations

from statistics import mean

import pytest

from lora_lessons.course.plots import PALETTE, new_figure
from lora_lessons.course.series import (
    arm_rows,
    at_each,
    band,
    distinct,
    doubling_axis,
    legend_below,
    one_height,
)
from lora_lessons.course.statistics import half_width95, plus_minus

RUNS = [[1.0, 2.0, 3.0], [2.0, 4.0, 9.0]]


def test_a_band_is_the_mean_and_its_interval():
    _, (axis,) = new_figure()
    band(axis, [10, 20], iter(RUNS), 1, "a line", markersize=3)
    (line,), (area,) = axis.lines, axis.collections
    assert line.get_ydata().tolist() == [2.0, 5.0] and line.get_label() == "a line"
    assert (line.get_marker(), line.get_color(), line.get_markersize()) == ("s", PALETTE[1], 3)
    heights = {round(float(y), 9) for x, y in area.get_paths()[0].vertices if x == 20}
    half = half_width95(RUNS[1])
    assert heights == {round(5 - half, 9), round(5 + half, 9)}


def test_each_arm_has_its_seeds_and_its_mean():
    _, (axis,) = new_figure()
    arm_rows(axis, {"a": RUNS[0], "b": RUNS[1]}, below=0.25, labels=("a seed", "the mean"))
    dots = [line for line in axis.lines if line.get_marker() == "o"]
    assert [dot.get_xdata().tolist() for dot in dots] == RUNS
    assert [set(dot.get_ydata()) for dot in dots] == [{-0.25}, {0.75}]
    bars = [bar.lines[0].get_xdata().tolist() for bar in axis.containers]
    assert bars == [[mean(seeds)] for seeds in RUNS]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["a", "b"]
    assert axis.yaxis_inverted()
    assert axis.get_legend_handles_labels()[1] == ["a seed", "the mean"]  # each once


def test_columns_and_curves_keep_their_order():
    rows = [{"r": r} for r in (8, None, 1, 8, "full")]
    assert distinct(rows, "r") == [8, 1, "full"] and distinct(rows, "r", (None, "full")) == [8, 1]
    assert at_each(RUNS) == [(1.0, 2.0), (2.0, 4.0), (3.0, 9.0)]
    with pytest.raises(ValueError, match="shorter"):
        at_each([[1.0, 2.0], [1.0]])


def test_panels_get_one_height_ranks_their_numbers_and_a_legend_each_name_once():
    figure, axes = new_figure(1, 2)
    for axis, top in zip(axes, (1.0, 4.0), strict=True):
        axis.plot([1, 2, 8], [0.0, 0.0, top], label="both")
        doubling_axis(axis, [1, 2, 8])
    axes[1].plot([1, 2], [1.0, 2.0], label="the second's own")
    one_height(axes)
    assert axes[0].get_ylim() == axes[1].get_ylim() and axes[0].get_ylim()[1] >= 4
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["1", "2", "8"]
    assert axes[0].get_xscale() == "log"
    legend_below(figure, columns=2)
    legend_below(figure, columns=2, of=axes[:1])
    names = [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]
    assert names == [["both", "the second's own"], ["both"]]


def test_the_mean_in_words_has_its_interval():
    assert plus_minus({0: 1.0, 1: 2.0, 2: 3.0}.values(), 2) == "2.00 ± 2.48"
