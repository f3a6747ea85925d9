"""Drawings: the same text each time, told in words; what trains is seen without colour."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import lora_lessons as ll
from lora_lessons.course.drawing import FROZEN, SIZE, TRAINS, WIDE, Drawing
from lora_lessons.course.lesson00.drawings import one_step
from lora_lessons.course.lesson01.drawings import cut_to_rank
from lora_lessons.course.mechanisms import LAYERS, decoder_block, lora_layer

SVG = "{http://www.w3.org/2000/svg}"
DRAWINGS = {
    "layer": lora_layer(),
    "wide": lora_layer(11_008, 4_096, 64, scaling="alpha / r", dropout=True, bias=FROZEN),
    "block": decoder_block(LAYERS, biases=LAYERS[:3]),
    "step": one_step("The whale", [53, 260, 330, 281, 70], "q_proj and v_proj"),
    "cut": cut_to_rank(64, 64, 8),
    "tall": cut_to_rank(128, 64, 8),
}
each = pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)


def parts(drawing, tag):
    return list(ET.fromstring(drawing.svg).iter(f"{SVG}{tag}"))


@each
def test_a_screen_reader_hears_a_title_and_all_that_is_shown(drawing):
    root = ET.fromstring(drawing.svg)
    assert root.get("role") == "img"
    named = root.get("aria-labelledby").split()
    texts = {node.get("id"): node.text for node in root if node.get("id")}
    assert [texts[name] for name in named] == [drawing.title, drawing.text]
    shown = {node.text for node in parts(drawing, "text")}
    for word in shown & {"W", "A", "B", *LAYERS}:
        assert re.search(rf"\b{word}\b", drawing.text), word


@each
def test_it_takes_its_colour_and_its_font_from_the_page(drawing):
    root = ET.fromstring(drawing.svg)
    assert root.get("fill") == "currentColor" and "font-family: inherit" in root.get("style")
    strokes = {node.get("stroke") for node in root.iter() if node.get("stroke")}
    assert strokes <= {"currentColor", "none"}


@each
def test_nothing_leaves_the_drawing(drawing):
    for node in parts(drawing, "text"):
        x, wide = float(node.get("x")), len(node.text) * SIZE * WIDE
        left = {"start": x, "middle": x - wide / 2, "end": x - wide}[node.get("text-anchor")]
        assert left >= 0 and left + wide <= drawing.width, node.text
        assert SIZE * 0.7 <= float(node.get("y")) <= drawing.height - 3, node.text
    for node in parts(drawing, "path"):
        if node.get("d").startswith("M") and " L" in node.get("d"):
            numbers = [float(n) for n in re.findall(r"[\d.]+", node.get("d"))]
            assert max(numbers[::2]) <= drawing.width and max(numbers[1::2]) <= drawing.height


def test_the_same_calls_make_the_same_text_and_others_have_other_names():
    assert lora_layer().svg == lora_layer().svg
    ids = [set(re.findall(r' id="([^"]+)"', drawing.svg)) for drawing in DRAWINGS.values()]
    assert all(len(names) == 4 for names in ids) and len(set.union(*ids)) == 4 * len(ids)


def test_what_trains_is_hatched_thick_and_said():
    frozen, adapted = decoder_block(()), decoder_block(("q_proj", "down_proj"))
    extra = 1  # the legend's
    for drawing, count in ((frozen, 0), (adapted, 2)):
        hatched = [n for n in parts(drawing, "rect") if n.get("fill", "").startswith("url(")]
        thick = [n for n in parts(drawing, "rect") if n.get("stroke-width") == "3"]
        said = [n for n in parts(drawing, "text") if n.text == "adapter trains"]
        assert len(hatched) == len(thick) == count + extra and len(said) == count
    assert "adapter that trains: q_proj, down_proj." in adapted.text
    assert "adapter that trains: none." in frozen.text


def test_shapes_and_parts_are_those_asked_for():
    texts = [node.text for node in parts(DRAWINGS["wide"], "text")]
    for word in ("(11008, 4096)", "(64, 4096)", "(11008, 64)", "× alpha / r", "dropout", "+ bias"):
        assert word in texts
    plain = [node.text for node in parts(lora_layer(), "text")]
    assert "dropout" not in plain and "+ bias" not in plain and "× s" in plain


@each
def test_letters_have_the_background_of_the_page_they_stand_on(drawing):
    named = ["--jp-layout-color0", "--vscode-editor-background", "--colab-primary-surface-color"]
    for node in parts(drawing, "text"):
        style = node.get("style")
        assert re.findall(r"var\((--[\w-]+)", style) == named and "Canvas)))" in style


def test_a_step_changes_a_and_b_and_not_w():
    step = DRAWINGS["step"]
    dashed = [node.get("d") for node in parts(step, "path") if node.get("stroke-dasharray")]
    trains = [node for node in parts(step, "rect") if node.get("stroke-width") == "3"][:2]
    ends = {tuple(map(float, way.split(" L")[-1].split())) for way in dashed}
    middles = {
        (float(n.get("x")) + float(n.get("width")) / 2, float(n.get("y")) + float(n.get("height")))
        for n in trains
    }
    assert len(dashed) == 2 and ends == middles  # the lower edges of A and B
    texts = [node.text for node in parts(step, "text")]
    assert "The whale" in texts and "53 260 330 281 70" in texts and "no gradient of W" in texts
    with pytest.raises(ValueError, match="wider than its box"):
        one_step("a text that is much too long for it", [1], "q_proj")


@pytest.mark.parametrize(("out", "in_", "r"), [(64, 64, 8), (128, 64, 8), (64, 256, 16)])
def test_a_cut_is_drawn_to_scale_with_its_numbers(out, in_, r):
    drawing = cut_to_rank(out, in_, r)
    full, unit = min(out, in_), 144 / max(out, in_)
    rects = [node for node in parts(drawing, "rect") if node.get("fill") == "none"]
    sizes = [(float(node.get("height")), float(node.get("width"))) for node in rects]
    shapes = [(out, in_), (out, full), (out, r), (full, full), (r, r), (full, in_), (r, in_)]
    shapes += [(out, r), (r, in_)]  # B and A, as large as what was kept
    assert sizes == [pytest.approx((a * unit, b * unit), abs=0.1) for a, b in shapes]
    texts = [node.text for node in parts(drawing, "text")]
    for number in (out * in_, r * (out + in_)):
        assert f"{number:,d} numbers" in texts
    assert f"{out} × {r} = {out * r:,d}" in texts and f"{r} × {in_} = {r * in_:,d}" in texts


def test_a_cut_that_keeps_all_or_cannot_be_seen_is_refused():
    for r in (0, 64):
        with pytest.raises(ValueError, match="1 <= r < 64"):
            cut_to_rank(64, 64, r)
    with pytest.raises(ValueError, match="r = 1 is too thin beside 4096"):
        cut_to_rank(4096, 4096, 1)


def test_a_drawing_is_shown_as_it_is():
    drawing = lora_layer()
    assert ll.show(drawing) is drawing
    assert drawing._repr_html_() == drawing.svg
    assert repr(drawing).startswith("drawing: A layer with LoRA. The input x, in numbers,")


def test_what_cannot_be_drawn_is_refused():
    drawing = Drawing("A box", "A box with a word, drawn to be refused by this test.", 100, 50)
    with pytest.raises(ValueError, match="leaves the drawing"):
        drawing.box(50, 0, 60, 20)
    with pytest.raises(ValueError, match="wider than its box of 40 pixels"):
        drawing.box(0, 0, 40, 20, ["much too long"])
    with pytest.raises(ValueError, match="two points"):
        drawing.arrow((0, 0))
    with pytest.raises(ValueError, match="a title, and a text of 40"):
        Drawing("A box", "short", 10, 10)
    with pytest.raises(ValueError, match="no layer is named 'c_attn'"):
        decoder_block(("c_attn",))
    box = drawing.box(0, 0, 40, 20, ["x"], TRAINS, word="y")
    assert (box.left, box.right, box.top, box.bottom) == ((0, 10), (40, 10), (20, 0), (20, 20))
