"""Lesson 11: its experiments count what a step takes, and its sentences agree with them."""

from __future__ import annotations

import ast
import inspect
import sys
import time
from pathlib import Path

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import recorded
from lora_lessons.course.checks.core import RIGHT, run_check
from lora_lessons.course.ledger import load_claims
from lora_lessons.course.lesson11 import checks_kept, checks_timing, explorer, figures, own, results
from lora_lessons.course.lesson11 import tables as shown
from lora_lessons.course.plots import alt_of
from lora_lessons.course.student import Draw
from lora_lessons.experiments import capture_by_hand, step_trace
from lora_lessons.experiments import lesson11 as experiment
from lora_lessons.experiments.capture_by_hand import captured_by_hand
from lora_lessons.experiments.step_memory import (
    ARMS,
    PARTS,
    measured_memory,
    predicted_memory,
    shape_config,
)
from lora_lessons.experiments.step_times import product_flops, seconds_of_steps, step_times

PAGE = Path(__file__).resolve().parents[2] / "solutions" / "11_memory_and_speed.py"
NANO = [["nano", 2, 16]]
WITHOUT_4BIT = [name for name in ARMS if not name.startswith("QLoRA")]


def test_what_is_predicted_is_what_a_real_step_takes():
    predicted = predicted_memory(NANO, WITHOUT_4BIT, predicts="cpu")["rows"]
    measured = measured_memory(NANO, WITHOUT_4BIT)["rows"]
    for one, other in zip(predicted, measured, strict=True):
        assert one["arm"] == other["arm"]
        assert one["peak"] == other["peak"], one["arm"]
        rest = one["frozen"] + one["trained"] + one["optimizer"]
        assert abs(other["rest"] - rest) < 2000, one["arm"]  # token ids and rotary frequencies


def test_the_arms_differ_in_what_they_say():
    row = {r["arm"]: r for r in predicted_memory(NANO, r=2, predicts="cpu")["rows"]}
    assert set(PARTS) < set(row["LoRA"])
    assert row["full, float32"]["optimizer"] > 1.9 * row["full, bf16"]["optimizer"]
    assert row["LoRA, whole logits"]["logits"] > row["LoRA"]["logits"]
    assert row["LoRA, recomputed"]["activations"] < row["LoRA"]["activations"] / 4
    assert row["QLoRA"]["frozen"] < row["LoRA"]["frozen"]
    assert row["LoRA"]["frozen_count"] == row["QLoRA"]["frozen_count"]


def test_an_arm_that_needs_bitsandbytes_says_so_where_it_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # makes its import fail
    (row,) = measured_memory(NANO, ["QLoRA"])["rows"]
    assert "bitsandbytes" in row["failed"]
    (row,) = step_times(NANO, ["QLoRA"], ["eager"])["rows"]
    assert "bitsandbytes" in row["failed"]


def test_an_unknown_size_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean '8 B'"):
        shape_config("8 b")


@pytest.mark.parametrize("size", ["nano", "5 M"])
def test_full_fine_tuning_is_six_n_and_lora_on_one_matrix_near_four(size):
    full = product_flops(shape_config(size), None, 2, 8)
    assert full["forward"] == 2 * full["weights"] and full["step"] == 6 * full["weights"]
    adapted = product_flops(shape_config(size), ["q_proj"], 2, 8, r=1)
    assert adapted["weights"] == full["weights"]
    assert adapted["step"] / adapted["weights"] == pytest.approx(
        4, rel=0.03
    )  # nothing goes back below the first


def test_a_step_that_the_host_waits_for_is_launched_as_it_is_done():
    found = seconds_of_steps(lambda: time.sleep(0.002), "cpu", repeats=2, steps=3)
    assert len(found["cold"]) == 6 and len(found["done"]) == 2 and found["steps"] == 3
    for launched, done in zip(found["launched"], found["done"], strict=True):
        assert 0.002 <= launched <= done < 0.2


def test_a_step_is_timed_and_its_loss_is_kept():
    rows = step_times(NANO, ["LoRA", "full, bf16"], ["eager"], repeats=1, steps=1)["rows"]
    assert [row["arm"] for row in rows] == ["LoRA", "full, bf16"]
    assert all(5.5 < row["loss"] < 7 and row["seconds"]["done"] for row in rows)


def test_the_step_that_is_captured_by_hand_trains():
    """On a CPU the eager half alone; its losses fall, and begin after the warm-up's steps."""
    found = captured_by_hand(rows=2, length=16, further=4, repeats=1, steps=1)
    assert list(found) == ["eager"]
    losses = found["eager"]["losses"]
    assert losses == sorted(losses, reverse=True) and losses[0] - losses[-1] > 1e-3


# --- what a block keeps ------------------------------------------------------------------------


@pytest.mark.parametrize("arm", step_trace.BLOCK_ARMS)
def test_a_block_keeps_what_its_shapes_say(arm):
    kept = experiment.kept_for_backward(step_trace.nano_block(arm), step_trace.hidden_states(2, 8))
    assert kept == step_trace.kept_by_shapes(arm, 2, 8) > 0


def test_an_unknown_block_is_refused():
    with pytest.raises(ValueError, match="did you mean 'LoRA, all-linear'"):
        step_trace.nano_block("LoRA, all-linea")


def test_a_step_is_followed_from_begin_to_end():
    trace = step_trace.memory_trace("nano", "LoRA", 2, 16)
    assert 0 < trace.forward_ends < trace.backward_ends < len(trace.alive)
    peak = predicted_memory(NANO, ["LoRA"], predicts="cpu")["rows"][0]["peak"]
    assert max(trace.alive) == peak, "the trace and the prediction are of the same step"


def test_operations_are_counted_and_views_are_not():
    x = torch.ones(3, 3)
    assert step_trace.operations_of(lambda: x.view(9).add(1)) == 1
    assert step_trace.operations_of(lambda: x.t()) == 0


# --- the checks' own arithmetic ----------------------------------------------------------------


@pytest.mark.parametrize("name", checks_kept.LAYERS)
@pytest.mark.parametrize("flows", [True, False])
def test_the_bytes_by_hand_are_those_that_autograd_keeps(name, flows):
    build, by_hand = checks_kept.LAYERS[name]
    layer = build(11, 3).double()
    x = torch.randn(4, 5, 11, dtype=torch.float64)[:2]
    x = (x if "half of a storage" in name else x.clone()).requires_grad_(flows)
    assert experiment.kept_for_backward(layer, x) == by_hand((10, 11, 3), 8, flows)


def test_the_simulated_device_works_on_while_the_host_goes_on():
    device = checks_timing.FakeDevice([0.5, 0.2], launch=0.01, busy=0.3)
    start = device.clock()
    device.step()
    assert device.clock() - start == pytest.approx(0.01)
    device.sync()
    assert device.clock() - start == pytest.approx(0.3 + 0.5)
    device.step()
    device.sync()
    assert device.clock() - start == pytest.approx(0.8 + 0.01 + 0.2)


@pytest.mark.parametrize("seed", range(30))
def test_every_students_model_fits_and_the_answer_is_right(seed):
    mine = own.draw(Draw(seed))
    trained, gib, rows = own.right(**mine)
    assert trained > 0 and 0 < gib < 24 and rows > 5
    exercise = ll.lesson("11").exercises["my_step"]
    answer = f"def my_step():\n    return {trained}, {gib}, {rows}\n"
    scope: dict = {}
    exec(answer, scope)
    assert run_check(exercise, scope["my_step"], mine=mine).outcome == RIGHT


# --- the page and its recordings ---------------------------------------------------------------


@pytest.fixture(scope="module")
def predicted():
    return recorded.load("11_predicted").data["rows"]


@pytest.fixture(scope="module")
def measured():
    return explorer.measured_rows()


def test_each_recorded_peak_is_near_its_prediction(predicted, measured):
    both = shown.pairs(predicted, measured)
    assert len(both) == len(measured) >= 30
    for told, seen in both:
        assert shown.near(told["peak"], seen["peak"]), (figures.place(seen), seen["arm"])
    large = [(t, s) for t, s in both if s["peak"] > 2**30]
    assert all(abs(t["peak"] / s["peak"] - 1) < 0.02 for t, s in large)


def test_what_is_far_is_not_near():
    assert shown.near(100e6, 160e6) and not shown.near(100e6, 170e6)
    assert shown.near(9.1e9, 10e9) and not shown.near(8.9e9, 10e9)


def test_what_came_out_is_short_and_says_the_recorded_numbers(predicted, measured):
    timed, large = (
        recorded.load(f"11_{name}").data["rows"] for name in ("step_times", "step_times_1b")
    )
    lines = results.came_out(predicted, measured, timed, large)
    text = " ".join(lines)
    assert len(text.split()) <= 150
    places = figures.by_place(measured)
    assert f"{100 * figures.saving(places['5 M, 16 x 128']):.0f} % below" in text
    assert f"it takes {shown.ratio(large, '1 B', 'eager'):.2f}," in text


def test_the_drawings_and_figures_say_what_they_show(predicted, measured):
    assert "x is kept, because A's gradient needs it" in figures.kept_drawing().text
    assert "LoRA's peak, % of full fine-tuning's" in alt_of(figures.sizes(predicted, measured))
    timed = recorded.load("11_step_times").data["rows"]
    assert "eager, done: nano, 16 x 128: LoRA" in alt_of(figures.times(timed))
    traces = {"LoRA": step_trace.memory_trace("nano", "LoRA", 2, 16)}
    assert "highest" in alt_of(figures.trace(traces))


@pytest.mark.parametrize("way", ["full, float32", "QLoRA, recomputed"])
def test_the_explorer_shows_predicted_and_measured(way):
    words = explorer.EXPLORERS["sizes"].static(way=way).alt
    assert way in words and "measured on a GPU" in words


def test_the_benchmark_is_found_and_an_unknown_one_refused():
    found = recorded.benchmark("gpu")
    assert "1B 8x2048" in found["shapes"]
    assert "PEFT as it comes" in alt_of(figures.contestants(found))
    with pytest.raises(ValueError, match="no benchmark 'gp'; did you mean 'gpu'"):
        recorded.benchmark("gp")


def test_several_gpus_have_their_rates_and_what_failed_is_left_out():
    found = recorded.benchmark("many_gpus")
    rows = shown.several_gpus(found).rows
    two = found["ddp, 2"]
    assert [row[2] for row in rows][:2] == ["1", "2"]
    assert rows[1][4:6] == [f"{two['tokens_a_second']:,.0f}", f"{two['weak_scaling']:.2f}"]
    large = found["sharded 70B, 2"]
    (row,) = (row for row in rows if row[0].startswith("70B"))
    assert row[6:] == [f"{large['memory']['peak_gib']:.1f}", f"{large['predicted_gib']:.1f}"]
    assert float(row[6]) == pytest.approx(float(row[7]), rel=0.1)
    assert shown.several_gpus({"ddp, 1": {"failed": "so"}, "resumed": {}}).rows == []


def test_the_pages_capture_is_the_one_that_was_recorded():
    on_page = next(
        node
        for node in ast.parse(PAGE.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "capture"
    )
    (recorded_one,) = ast.parse(inspect.getsource(capture_by_hand.capture)).body
    assert [ast.unparse(n) for n in on_page.body] == [ast.unparse(n) for n in recorded_one.body]


def test_the_captured_steps_losses_are_the_eager_ones():
    found = recorded.load("11_capture").data
    assert found["captured"]["losses"] == pytest.approx(found["eager"]["losses"], abs=1e-3)
    eager, captured = (figures.milliseconds(found[how]) for how in ("eager", "captured"))
    assert captured < eager / 4


def test_the_claims_say_what_was_recorded(measured):
    claims = {claim.id: claim for claim in load_claims() if claim.lesson == "11"}
    assert set(claims) == {"efficient", "freezes_billions", "faster", "cheaper"}
    places = figures.by_place(measured)
    for place, text in (
        ("5 M, 16 x 128", claims["cheaper"].decoder),
        ("135 M, 8 x 512", claims["cheaper"].smollm2),
    ):
        assert f"{100 * figures.saving(places[place]):.0f} % below" in text
        assert (
            f"{100 * figures.saving(places[place], figures.SAME_LOGITS):.0f} % with the same"
            in text
        )
    timed = recorded.load("11_step_times").data["rows"]
    ms = {(r["size"], r["arm"], r["how"]): figures.milliseconds(r) for r in timed}
    for arm in ("LoRA", "full, bf16"):
        assert f"{ms['5 M', arm, 'captured']:.2f} ms" in claims["faster"].decoder.replace(
            " against 2.86", " against 2.86 ms"
        )
        assert f"{ms['135 M', arm, 'captured']:.2f}" in claims["faster"].smollm2
    ranges = {
        (r["size"], r["arm"], r["how"]): (min(r["seconds"]["done"]), max(r["seconds"]["done"]))
        for r in timed
    }
    for size in ("5 M", "135 M"):
        assert ranges[size, "LoRA", "captured"][1] < ranges[size, "full, bf16", "captured"][0]
    assert ranges["5 M", "LoRA", "eager"][1] > ranges["5 M", "full, bf16", "eager"][0]
    large = recorded.load("11_step_times_1b").data["rows"]
    assert f"{shown.ratio(large, '1 B', 'eager'):.2f} of the time" in claims["faster"].carries
