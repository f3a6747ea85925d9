"""Lesson 12: the pieces are right, and the page says what was measured."""

from __future__ import annotations

import itertools

import pytest
import torch

import lora_lessons as ll
from lora_lessons.base.nf4_linear import to_nf4
from lora_lessons.base.quantize import dequantize, fake_quantize, quantize, relative_error
from lora_lessons.course import recorded
from lora_lessons.course.lesson12 import drawings, explorer, figures, own
from lora_lessons.experiments import beside_bitsandbytes
from lora_lessons.experiments import lesson12 as experiment

# --- the student's own numbers ---------------------------------------------------------------


@pytest.mark.parametrize("student", ["self-study", "ada", "bob", "cyd"])
def test_the_own_block_is_the_last_within_the_limit(student):
    """Found by the tensors that are stored, and by the errors of all sizes."""
    mine = own.MY_BLOCK.own.of(student, "12")
    block, size = own.MY_BLOCK.own.right(**mine)
    W = own.sample(mine["seed"], mine["outlier"])
    errors = {b: 100 * relative_error(W, fake_quantize(W, "nf4", b)) for b in (block, 2 * block)}
    assert errors[block] <= mine["limit_percent"] < errors[2 * block]
    assert errors[2 * block] / errors[block] > 1.05  # no rounding decides
    shape = (mine["out_features"], mine["in_features"])
    blocks = torch.empty(shape, device="meta").numel() // block
    parts = [shape[0] * shape[1] // 2, blocks, 4 * -(-blocks // 256), 4]
    assert size == sum(parts)


# --- experiments -----------------------------------------------------------------------------


TINY = {"steps": 3, "batch_size": 2, "length": 16, "valid_blocks": 4}


def test_weights_are_in_few_bits_inside_and_bit_for_bit_the_same_after():
    model, _ = ll.load_base("nano")
    weights = experiment.linear_weights(model)
    before = {name: W.detach().clone() for name, W in weights.items()}
    with pytest.raises(KeyboardInterrupt), experiment.in_few_bits(model, "nf2"):
        for name, W in weights.items():
            assert torch.equal(W, fake_quantize(before[name], "nf2"))
        raise KeyboardInterrupt
    assert all(torch.equal(W, before[name]) for name, W in weights.items())


def test_the_error_table_counts_what_it_says():
    data = experiment.error_table(length=16, valid_blocks=4)
    assert [(row["form"], row["block"]) for row in data["rows"]] == list(experiment.WAYS)
    for row in data["rows"]:
        assert 0 < row["used"] <= 4 and row["bits"] > 2
    nf4, *_, nf2 = data["rows"]
    assert nf4["error"] < 0.1 < 0.5 < nf2["error"] and nf2["loss"] > data["float"] + 1


def test_what_was_trained_is_the_first_merge_and_floats_are_the_second():
    rows = experiment.trained_rows({"float": 3e-3, "nf3": 3e-3}, seeds=(0,), **TINY)
    plain, coded = rows
    assert coded["decoded"] == pytest.approx(coded["after"], abs=1e-5)
    assert coded["before"] > plain["before"] and coded["original"] != coded["after"]
    assert plain["original"] == pytest.approx(plain["after"], abs=1e-5)
    assert plain["again"] != pytest.approx(plain["after"], abs=1e-5)  # it is NF4 now


def test_the_sweep_chooses_on_tuning_seeds_and_reports_fresh_ones():
    data = experiment.formats_sweep(
        forms=["float", "nf2"], lrs=[1e-5, 1e-2], tuning_seeds=[7], seeds=[0, 1], **TINY
    )
    assert {row["seed"] for row in data["tuning"]} == {7}
    assert [(row["form"], row["seed"]) for row in data["fresh"]] == [
        ("float", 0), ("float", 1), ("nf2", 0), ("nf2", 1),
    ]  # fmt: skip
    for form in ("float", "nf2"):
        lowest = min(
            (row for row in data["tuning"] if row["form"] == form), key=lambda row: row["loss"]
        )
        assert {r["lr"] for r in data["fresh"] if r["form"] == form} == {lowest["lr"]}


def test_the_bytes_of_a_base_in_4_bits_are_those_of_the_formula():
    base, _ = ll.load_base("nano")
    numbers = [W.numel() for W in experiment.linear_weights(base).values()]
    assert experiment.linear_bytes(base) == 4 * sum(numbers)
    stored = sum(n // 2 + n // 64 + 4 * -(-n // (64 * 256)) + 4 for n in numbers)
    to_nf4(base, keep=base.get_output_embeddings())
    assert experiment.linear_bytes(base) == stored


def test_steps_have_a_row_for_each_base_and_batch():
    settings = experiment.RECORDINGS["12_steps"][2]
    rows = experiment.qlora_steps(**settings)
    assert [row["base"] for row in rows] == ["float32", "4bit"]
    assert rows[1]["predicted_frozen"] < rows[0]["predicted_frozen"] / 2
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], abs=0.05)


# --- bitsandbytes ----------------------------------------------------------------------------


def test_without_bitsandbytes_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(beside_bitsandbytes.importlib.util, "find_spec", lambda _: None)
    assert not beside_bitsandbytes.installed()
    with pytest.raises(ImportError, match=r"pip install 'lora-lessons\[quantized\]'"):
        beside_bitsandbytes.beside_bitsandbytes()


def test_the_recorded_agreement_is_bit_for_bit():
    data = recorded.load("12_bitsandbytes").data
    for row in data["codes"]:
        assert row["codes_differ"] == row["scales_differ"] == row["decoded_differ"] == 0
    assert data["table_differs"] == 0
    for row in data["scales"]:
        assert row["off_by_more"] == row["mean_differs"] == row["second_differs"] == 0
        assert row["off_by_one"] < 0.01 * row["scales"]
    for row in data["straddled"]:
        assert row["codes_differ"] == 0 and row["error_theirs"] > 1.5 * row["error_ours"]


# --- figures, drawings, the explorer ---------------------------------------------------------


def made_up(gap=1.0):
    """Two formats, two seeds: NF2 starts `gap` above floats and ends a quarter of it above."""
    rows = []
    for form, seed in itertools.product(("float", "nf2"), (0, 1)):
        above = gap if form == "nf2" else 0.0
        rows.append(
            {"form": form, "r": 8, "lr": 0.01, "seed": seed, "before": 3 + above}
            | {"after": 2 + above / 4 + 0.1 * seed}
            | {"decoded": 2.0, "original": 1.5, "again": 2.5}
        )
    return rows


def test_the_share_repaired_is_of_the_damage_against_floats():
    assert figures.repaired(made_up(), "nf2", 8) == pytest.approx(0.75)
    assert figures.damages(made_up(), 8, "before") == {"nf2": {0: 1.0, 1: 1.0}}
    assert figures.average(made_up(), "nf2", 8) == {"before": 4.0, "after": pytest.approx(2.3)}


def test_a_best_rate_at_the_edge_is_named():
    rows = [
        {"form": form, "r": 8, "lr": lr, "seed": 0, "loss": abs(lr - best)}
        for form, best in (("float", 2), ("nf2", 3))
        for lr in (1, 2, 3)
    ]
    assert figures.at_the_edge(rows) == [("nf2", 8)]


def test_pairs_out_of_order_are_found():
    way = {"block": 64, "bits": 4.5, "used": 3.9}
    rows = [
        way | {"form": form, "error": error, "loss": loss}
        for form, error, loss in (("nf4", 0.1, 5.2), ("fp4", 0.2, 5.1), ("nf3", 0.3, 5.3))
    ]
    assert figures.out_of_order({"float": 5.0, "rows": rows}) == [
        ("NF4, blocks of 64", "FP4, blocks of 64")
    ]


def test_tables_and_figures_draw_every_row():
    data = {"fresh": made_up(), "tuning": []}
    assert len(figures.repair_table(data, ranks=(8,)).rows) == 2
    assert figures.merge_table(made_up(), 8).rows == [["NF2", "2.000", "1.500", "2.500"]]
    (axis,) = figures.repair_figure({"made up": made_up()}, 8).axes
    assert sorted(bar.get_height() for bar in axis.patches) == pytest.approx([2.05, 2.3, 3, 4])
    rows = [
        {"base": base, "batch_size": n, "seconds": s, "peak": 2**30, "predicted": 2**30}
        | {"predicted_frozen": 2**29}
        for n in (8, 1)
        for base, s in (("bfloat16", 0.1), ("4bit", 0.15))
    ]
    assert figures.ratio(rows, 8, "seconds") == pytest.approx(1.5)
    assert len(figures.steps_table(rows).rows) == 4
    left, _ = figures.steps_figure(rows).axes
    assert sorted(bar.get_height() for bar in left.patches) == pytest.approx([100, 100, 150, 150])


def test_the_drawings_tell_what_they_show():
    for drawing in (drawings.storage(), drawings.four_bit_layer()):
        assert drawing.svg.startswith("<svg") and len(drawing.text) > 200


def test_the_explorers_numbers_are_the_decoders():
    found = explorer.measured("int4", 64, 20)
    W = explorer.sample(20)
    assert found["error"] == relative_error(W, dequantize(quantize(W, "int4", 64)))
    assert found["scale"] == 20 and 0 < found["used"] < found["most"]
    one = explorer.measured("nf4", explorer.NUMBERS, 40)
    assert one["error"] > 2 * explorer.measured("nf4", 64, 40)["error"]


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        shown = {seen[name, value] for value in control.probes()}
        assert len(shown) == 3 and all('<img alt="' in html for html in shown)
