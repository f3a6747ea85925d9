"""Figures: contrast, colours for every eye, alt text, and no state left behind."""

from __future__ import annotations

import base64
import itertools
import re

import numpy as np
import pytest

from lora_lessons.course import plots

# Machado and others, 2009: what a person without one kind of cone sees, in linear RGB
SIGHT = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
) / np.array([[0.9505], [1.0], [1.089]])


def linear(colour: str) -> np.ndarray:
    """#RRGGBB -> linear RGB, 0 to 1."""
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(colour: str, other: str) -> float:
    """The contrast ratio of WCAG 2, 1 to 21."""
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (colour, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Linear RGB -> CIE L*a*b*, where distance is difference as seen."""
    f = np.cbrt(TO_XYZ @ np.clip(rgb, 0, 1))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def smallest_distance(colours: tuple[str, ...], sight: str) -> float:
    seen = [lab(SIGHT[sight] @ linear(colour)) for colour in colours]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("colour", plots.PALETTE)
def test_every_line_stands_out_from_the_panel(colour):
    assert contrast(colour, plots.PANEL) >= 3


def test_text_stands_out_from_the_panel():
    assert contrast(plots.TEXT, plots.PANEL) >= 4.5
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)


@pytest.mark.parametrize("sight", SIGHT)
def test_colours_stay_apart_for_every_eye(sight):
    assert smallest_distance(plots.PALETTE, sight) >= 25


def test_red_and_green_would_not_pass():
    assert smallest_distance(("#A06000", "#708000"), "deuteranopia") < 25


def test_a_figure_is_shown_with_its_alt_text_and_kept_for_tests():
    figure, axes = plots.new_figure(1, 2)
    axes[0].plot([1, 2], label="a line")
    axes[1].text(0, 0, "tiny", fontsize=4)
    axes[0].legend(fontsize="small")
    shown = plots.show(figure, alt='A line that rises from 1 to 2 <over> "time"')
    assert plots.SHOWN[-1] == (figure, shown)
    assert (
        'alt="A line that rises from 1 to 2 &lt;over&gt; &quot;time&quot;"' in shown._repr_html_()
    )
    assert repr(shown) == 'figure: A line that rises from 1 to 2 <over> "time"'
    data = re.search(r"base64,([^\"]+)", shown.html)[1]
    assert base64.b64decode(data).startswith(b"\x89PNG")
    assert figure.get_facecolor()[:3] == pytest.approx((250 / 255,) * 3)
    from matplotlib.text import Text

    assert min(text.get_fontsize() for text in figure.findobj(Text)) >= 10


@pytest.mark.parametrize("alt", ["", "loss", " " * 30, 3])
def test_a_figure_without_words_is_refused(alt):
    figure, _ = plots.new_figure()
    with pytest.raises(ValueError, match="alt must say what the figure shows"):
        plots.show(figure, alt=alt)


def test_nothing_stays_open_and_the_settings_are_left_alone():
    import matplotlib
    from matplotlib import _pylab_helpers

    before = dict(matplotlib.rcParams)
    figure, axes = plots.new_figure(2, 2)
    assert len(axes) == 4
    plots.show(figure, alt="Four empty panels, two by two.")
    assert dict(matplotlib.rcParams) == before
    assert _pylab_helpers.Gcf.figs == {}
