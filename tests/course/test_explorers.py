"""Explorers: each control changes the picture, errors are seen, and the functions are right."""

from __future__ import annotations

import re

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import plots
from lora_lessons.course.explorers.base import Explorer
from lora_lessons.course.explorers.controls import Choice, FreeText, Steps, Whole
from lora_lessons.course.lesson00 import explorer as lesson00
from lora_lessons.course.lesson01 import explorer as lesson01

EXPLORERS = [*lesson00.EXPLORERS.values(), *lesson01.EXPLORERS.values()]
ALT = re.compile(r'<img alt="([^"]+)"')


def line(slope, curve):
    figure, (axis,) = plots.new_figure()
    axis.plot([0, slope])
    return figure


def toy(draw=line):
    controls = {"slope": Whole("Slope", 0, 9, 2), "curve": Choice("Curve", ["a", "b"], "a")}
    return Explorer(
        "A line", controls, draw, lambda slope, curve: f"A drawn line, slope {slope}, {curve}."
    )


@pytest.mark.parametrize("explorer", EXPLORERS, ids=lambda explorer: explorer.title)
def test_every_control_changes_the_picture_and_its_alt_text(explorer):
    seen = explorer.drive()
    for name, control in explorer.controls.items():
        probes = dict.fromkeys(control.probes())
        alts = {ALT.match(seen[name, value])[1] for value in probes}
        assert len(alts) == len({seen[name, value] for value in probes}) == len(probes)


@pytest.mark.parametrize("explorer", EXPLORERS, ids=lambda explorer: explorer.title)
def test_a_control_moves_off_its_start(explorer):
    for control in explorer.controls.values():
        assert control.label and set(control.probes()) - {control.start}
        assert control.at(control.place(control.start)) == control.start


def test_the_still_picture_is_the_panel_at_its_start():
    explorer = toy()
    still = explorer.static()
    assert still.html == explorer.widget().picture
    assert repr(still) == "figure: A drawn line, slope 2, a."
    assert plots.SHOWN[-1][1] is still
    assert "slope 5, b" in repr(explorer.static(slope=5, curve="b"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"slop": 1}, "no control 'slop'; did you mean 'slope'"),
        ({"slope": 10}, "slope must be from 0 to 9; got 10"),
        ({"slope": 1.5}, r"slope must be from 0 to 9; got 1\.5"),
        ({"curve": "c"}, "curve has no value 'c'"),
    ],
)
def test_a_wrong_value_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        toy().static(**values)


def test_an_error_is_shown_in_the_panel_and_raised():
    def draw(slope, curve):
        if slope == 9:
            raise ArithmeticError("no line <there>")
        return line(slope, curve)

    panel = toy(draw).widget()
    with pytest.raises(ArithmeticError):
        panel.move("slope", 9)
    assert panel.picture == '<p role="alert">ArithmeticError: no line &lt;there&gt;</p>'
    assert panel.done == panel.asked == 1  # and no longer marked as being drawn
    panel.move("slope", 3)
    assert "slope 3" in panel.picture


def test_without_a_front_end_the_panel_folds_its_still_picture():
    bundle = toy()()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    text = "A line (a still picture: the 2 controls need a live kernel)"
    assert bundle["text/plain"] == text
    assert bundle["text/html"].startswith(f"<details><summary>{text}</summary><img alt=")


def test_the_front_end_gets_labels_and_the_values_to_announce():
    controls = {
        "rank": Steps("Rank r", [1, 4096, 0.5], 4096),
        "where": Choice("Layers", ["q", "all"], "all"),
        "names": FreeText("target_modules", ["q", "v"], "v"),
        "k": Whole("Kept k", 0, 3, 2),
    }
    told = {name: control.spec() for name, control in controls.items()}
    assert told["rank"] == {
        "kind": "range",
        "label": "Rank r",
        "texts": ["1", "4,096", "0.5"],
        "index": 1,
    }
    assert told["where"]["kind"] == "choice" and told["where"]["index"] == 1
    assert told["names"] == {
        "kind": "text",
        "label": "target_modules",
        "texts": ["q", "v"],
        "text": "v",
    }
    assert told["k"]["texts"] == ["0", "1", "2", "3"] and told["k"]["index"] == 2


def test_what_the_front_end_says_is_drawn_and_counted():
    panel = toy().widget()
    panel.set_state({"chosen": {"slope": 7, "curve": 1}, "asked": 1})
    assert panel.values() == {"slope": 7, "curve": "b"}
    assert "slope 7, b" in panel.picture and panel.done == 1


def test_a_lesson_finds_its_explorers():
    assert ll.lesson("00").explore.share is lesson00.EXPLORERS["share"]
    assert ll.lesson("01").explore.rank is lesson01.EXPLORERS["rank"]


# --- lesson 00: the share that trains ---------------------------------------------------------


@pytest.mark.parametrize("targets", lesson00.TARGETS)
def test_the_share_is_that_of_a_real_block(targets):
    width, rank = 96, 4
    shapes = lesson00.block_shapes(width)
    block = torch.nn.ModuleDict(
        {name: torch.nn.Linear(*shape, bias=False) for name, shape in shapes.items()}
    )
    names = list(lesson00.TARGETS[targets])
    adapted = ll.get_peft_model(block, ll.LoraConfig(r=rank, target_modules=names))
    trained, total = adapted.get_nb_trainable_parameters()
    assert lesson00.trained_share(width, rank, targets) == pytest.approx(trained / total)


def test_the_share_falls_with_width_and_rises_with_rank_and_targets():
    share = lesson00.trained_share
    assert share(4096, 8, "q, v") < share(256, 8, "q, v") < share(256, 16, "q, v")
    assert share(256, 8, "q, v") < share(256, 8, "attention") < share(256, 8, "all-linear")
    # 12 d^2 numbers in a block; q and v cost 4 r d: the share is close to r / 3d
    assert share(4096, 8, "q, v") == pytest.approx(8 / (3 * 4096), rel=1e-3)


def test_where_one_percent_lies():
    first = lesson00.width_below_one_percent(8, "q, v")
    assert lesson00.trained_share(first, 8, "q, v") < 0.01 <= lesson00.trained_share(256, 8, "q, v")
    assert lesson00.width_below_one_percent(256, "all-linear") is None
    assert "at no width up to 16,384" in lesson00.alt(256, 256, "all-linear")


# --- lesson 01: a picture cut to rank k -------------------------------------------------------


@pytest.mark.parametrize("picture", lesson01.PICTURES)
def test_the_energy_kept_is_that_of_the_picture_drawn(picture):
    W, k = lesson01.matrix(picture), 7
    assert W.shape == (lesson01.HEIGHT, lesson01.WIDTH)
    left_out = (W - ll.truncate(W, k)).square().sum() / W.square().sum()
    assert lesson01.energy_kept(picture, k) == pytest.approx(1 - left_out.item(), abs=1e-10)
    figure = lesson01.draw(picture, k)
    drawn = torch.as_tensor(figure.axes[1].images[0].get_array().data)
    torch.testing.assert_close(drawn, ll.truncate(W, k))


def test_the_pictures_differ_in_what_they_teach():
    kept = {picture: lesson01.energy_kept(picture, 12) for picture in lesson01.PICTURES}
    assert kept["random numbers"] < 0.4
    assert 0.9 < kept["a photograph"] < 0.999
    assert lesson01.energy_kept("a smooth gradient", 2) == pytest.approx(1)
    assert lesson01.energy_kept("a smooth gradient", 1) < 0.999


def test_no_rank_and_the_full_rank():
    assert lesson01.energy_kept("a photograph", 0) == 0
    assert lesson01.energy_kept("a photograph", lesson01.WIDTH) == pytest.approx(1)
    assert "3,384 numbers in place of 19,760" in lesson01.alt("a photograph", 12)
