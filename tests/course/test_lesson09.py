"""Lesson 09: rounding is measured right, the pieces agree with PEFT, figures draw their data."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import mean

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import recorded
from lora_lessons.course.lesson09 import explorer, figures
from lora_lessons.experiments import lesson09 as experiment


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=ll.generator(seed))


@pytest.mark.parametrize(
    ("dtype", "size", "unchanged", "error"),
    [
        ("bfloat16", 1e-3, 0.78, 0.80),
        ("bfloat16", 1e-2, 0.18, 0.17),
        ("float16", 1e-3, 0.22, 0.21),
        ("float16", 1e-2, 0.02, 0.02),
        ("float32", 1e-3, 0.0, 0.0),
    ],
)
def test_what_rounding_takes_from_a_normal_update(dtype, size, unchanged, error):
    """The shares that a trial on a matrix of 2048 x 2048 gave, to two digits."""
    row = experiment.normal_loss(dtype, size)
    assert row["update"] == pytest.approx(size, rel=0.02)
    assert row["unchanged"] == pytest.approx(unchanged, abs=0.02)
    assert row["error"] == pytest.approx(error, abs=0.02)


def test_weights_without_an_update_are_not_counted_as_unchanged():
    W, delta = torch.ones(4, dtype=torch.float64), torch.tensor([0, 0, 1e-9, 1.0]).double()
    assert experiment.loss_of_update(W, delta, "bfloat16")["unchanged"] == 0.5


def test_the_rows_are_those_of_the_packages_own_report():
    """Two ways to the same numbers: by the model's layers, and by plain tensors."""
    model, _ = ll.load_base("nano", dtype=torch.bfloat16)
    adapted = ll.get_peft_model(model, experiment.config())
    layer = adapted.base_model.lora_layers()["model.layers.0.mlp.up_proj"]
    _, A, B, *_ = layer.adapter("default")
    with torch.no_grad():
        B.weight.copy_(0.01 * normal(*B.weight.shape))
    report = next(row for row in adapted.merge_report() if row.name.endswith("0.mlp.up_proj"))
    W = layer.base_layer.weight.double()
    delta = 2.0 * (B.weight @ A.weight).double()
    row = experiment.loss_of_update(W, delta.detach(), "bfloat16")
    assert report.unchanged == pytest.approx(row["unchanged"], abs=0.002)
    assert report.error == pytest.approx(row["error"], rel=0.01)


@pytest.fixture(scope="module")
def authors():
    return experiment.two_authors(steps=2, batch_size=2, length=16, valid_blocks=4)


def test_two_authors_have_their_own_adapters_and_unread_text(authors):
    trained, unread = authors
    assert list(trained) == list(unread) == ["melville", "president"]
    assert all(blocks.shape == (4, 16) for blocks in unread.values())
    one, two = (trained[a].factors["model.layers.0.mlp.up_proj"][0] for a in trained)
    assert not torch.equal(one, two)


def test_the_rounding_rows_leave_the_model_as_it_was(authors):
    trained, unread = authors
    model, _ = ll.load_base("nano")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    updates = experiment.deltas(trained["melville"])
    rows = experiment.rounding_rows(model, updates, unread["melville"], factors=(1.0, 0.01))
    assert [(row["dtype"], row["factor"]) for row in rows] == [
        (dtype, factor) for dtype in experiment.DTYPES for factor in (1.0, 0.01)
    ]
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert rows[0]["merged"] == pytest.approx(rows[0]["separate"], abs=1e-5)
    assert rows[-1]["unchanged"] > rows[-2]["unchanged"]


def test_the_packages_pieces_pass_the_lessons_checks_contracts(authors):
    """The stand-ins for unsolved exercises do what the exercises ask, by the engine's own means."""
    A, B, x = normal(2, 5), normal(7, 2, seed=1), normal(3, 4, 5, seed=2)
    linear = torch.nn.Linear(5, 7)
    merged, unchanged = experiment.package_merge(linear.weight.detach(), A, B, 0.5)
    assert torch.allclose(merged, linear.weight + 0.5 * B @ A) and unchanged < 0.1
    with torch.no_grad():
        y = experiment.package_serve(x, linear, {"a": (A, B, 0.5)}, ["a", None, "a"])
        assert torch.allclose(y[1], linear(x[1]))
        assert torch.allclose(y[2], linear(x[2]) + 0.5 * x[2] @ A.T @ B.T, atol=1e-5)
    both = experiment.package_sum([(A, B, 0.5), (A[:1], B[:, :1], 2.0)], [1.0, -1.0])
    assert torch.allclose(both[1] @ both[0], 0.5 * B @ A - 2 * B[:, :1] @ A[:1], atol=1e-5)
    with pytest.raises(ll.AdapterFileError, match="missing key a"):
        experiment.package_load({"a": A}, {"b": A})


def on_head():
    """nano with a trained adapter on its output layer, and the update."""
    ll.seed_everything(0)
    config = ll.LoraConfig(r=8, lora_alpha=16, target_modules=["lm_head"], task_type="CAUSAL_LM")
    with pytest.warns(ll.PeftWarning, match="lm_head shares its weight with model.embed_tokens"):
        model = ll.get_peft_model(ll.load_base("nano")[0], config)
    experiment.train_on_melville(model, steps=3, characters=20_000)
    return model, model.lora_layers()["lm_head"].get_delta_weight("default").detach()


def test_a_tied_output_layer_is_merged_into_only_after_it_is_untied():
    model, update = on_head()
    assert update.any()
    base = model.get_base_model()
    head, embedding = base.lm_head.base_layer, base.model.embed_tokens
    with torch.no_grad():
        read, apart = embedding.weight.clone(), model(torch.arange(9)[None]).logits
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ll.MergeError, match="share one weight, and merging"):
            merge()
    assert torch.equal(head.weight, read) and head.weight is embedding.weight
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    base.config.tie_word_embeddings = False
    merged = model.merge_and_unload()
    assert torch.equal(merged.model.embed_tokens.weight, read)
    with torch.no_grad():
        torch.testing.assert_close(merged(torch.arange(9)[None]).logits, apart)
    by_hand, _ = ll.load_base("nano")
    experiment.package_merge_into_head(by_hand, update)
    by_hand.tie_weights()
    torch.testing.assert_close(by_hand.lm_head.weight, merged.lm_head.weight)
    assert torch.equal(by_hand.model.embed_tokens.weight, read)
    by_hand.config.tie_word_embeddings = True  # as it is where the flag was forgotten
    by_hand.resize_token_embeddings(520, mean_resizing=False)
    assert by_hand.lm_head.weight is by_hand.model.embed_tokens.weight


def made_up(seeds):
    """Three dtypes, two factors; the merged model keeps half of the gain, and more by the seed."""
    return [
        {"dtype": d, "factor": f, "seed": seed, "update": f, "unchanged": 0.1, "error": 0.1}
        | {"base": 4.0, "separate": 3.0, "merged": 3.5 - 0.1 * seed}
        for seed in seeds
        for d in experiment.DTYPES
        for f in (1e-3, 1e-2)
    ]


def test_the_points_are_means_over_the_seeds_with_an_interval():
    (first, *others) = figures.points(made_up([0, 1, 2]))
    assert len(others) == 5
    assert first[:4] == ("float32", 1e-3, pytest.approx(0.1), pytest.approx(0.1))
    assert first.kept == pytest.approx(0.6)
    assert first.kept_half == pytest.approx(4.302652730 * 0.1 / 3**0.5)
    table = figures.rounding_table(made_up([0, 1, 2]))
    assert len(table.rows) == 6 and table.rows[0][-1] == "60.0 ± 24.8"
    assert figures.rounding_table(made_up([0])).rows[0][-1] == "50.0"


def test_a_subtraction_loses_what_a_higher_binade_rounded_away():
    W, direction = normal(128, 128), normal(128, 128, seed=1)
    rows = figures.undone_rows(W, direction)
    for dtype in ("bfloat16", "float16", "float32"):
        shares = [rows[dtype, size].changed for size in (0.001, 0.01, 0.1, 0.3)]
        assert shares == sorted(shares) and shares[-1] > 0.1
    assert rows["bfloat16", 0.1].lifted > 0.9
    assert len(figures.undone_table(rows).rows) == 12


def test_the_figures_draw_every_point():
    left, right = figures.rounding_figure(made_up([0, 1])).axes
    assert len(left.lines) == 6 and len(right.containers) == 3
    gains = right.containers[0].lines[0].get_ydata()
    assert list(gains) == pytest.approx([0.55, 0.55])


def test_every_way_to_run_the_model_has_its_bars():
    (axis,) = figures.loss_bars({"base": {"a": 3.0, "b": 2.0}, "x": {"a": 2.5, "b": 2.6}}).axes
    assert sorted(bar.get_height() for bar in axis.patches) == [2.0, 2.5, 2.6, 3.0]


def test_the_staircase_is_flat_where_the_update_is_below_half_a_step():
    wanted, got = explorer.staircase(1e-4, "bfloat16")
    assert not got.any() and wanted.abs().max() > 0
    _, got = explorer.staircase(1e-1, "float32")
    assert len(set(got.tolist())) > 500


def test_every_control_of_the_explorer_changes_the_picture():
    (panel,) = explorer.EXPLORERS.values()
    seen = panel.drive()
    for name, control in panel.controls.items():
        shown = {seen[name, value] for value in control.probes()}
        assert len(shown) == 3 and all('<img alt="' in html for html in shown)


# --- what the page says of the recorded runs ---------------------------------------------------

PAGE = re.sub(
    r"\s+(# +)?",
    " ",
    (Path(__file__).resolve().parents[2] / "solutions" / "09_save_merge_switch.py").read_text(
        "utf-8"
    ),
)


def of_run(name):
    """{(dtype, factor): point} of a recorded run, and its rows."""
    rows = recorded.load(name).data["rows"]
    keys = dict.fromkeys((row["dtype"], row["factor"]) for row in rows)
    return dict(zip(keys, figures.points(rows), strict=True)), rows


def test_the_page_says_what_merging_the_decoders_adapters_lost():
    points, rows = of_run("09_merge_rounding")
    hundredth, three = points["bfloat16", 0.01], points["bfloat16", 0.03]
    for words in (
        f"are {points['bfloat16', 1.0].update:.0%} of its weights",
        f"three hundredths, {three.unchanged:.0%} of the weights do not move",
        f"and {100 * three.kept:.1f} ± {100 * three.kept_half:.1f}% of the gain is left",
        f"{hundredth.unchanged:.0%} of the weights do not move and the update is off by "
        f"{hundredth.error:.0%}",
        f"Yet {100 * hundredth.kept:.1f} ± {100 * hundredth.kept_half:.1f}% of the gain is left",
    ):
        assert words.replace("%", " %") in PAGE
    assert min(point.kept for key, point in points.items() if key[0] == "float16") >= 0.999
    whole, small = (
        mean(row["base"] - row["separate"] for row in rows if row["factor"] == factor)
        for factor in (1.0, 0.01)
    )
    assert f"whole gain is {small:.3f} nats a token, of {whole:.2f}" in PAGE


def test_the_page_says_that_smollm2_loses_more():
    points, _ = of_run("09_merge_rounding_smollm2")
    whole, tenth, hundredth = (points["bfloat16", factor] for factor in (1.0, 0.1, 0.01))
    for words in (
        f"are only {whole.update:.1%} of its weights",
        f"bfloat16 leaves {whole.unchanged:.0%} of the weights unchanged",
        f"a tenth of that update keeps {tenth.kept:.0%} of its gain",
        f"a hundredth {hundredth.kept:.0%}, and {points['float16', 0.01].kept:.0%} in float16",
    ):
        assert words.replace("%", " %") in PAGE
    assert whole.kept + whole.kept_half > 1  # "still costs nothing"


@pytest.mark.parametrize(
    ("name", "most"), [("09_merge_rounding", 0.04), ("09_merge_rounding_smollm2", 0.065)]
)
def test_the_measured_shares_lie_as_near_to_the_curves_as_the_page_says(name, most):
    for (dtype, _), point in of_run(name)[0].items():
        above = point.unchanged - experiment.normal_loss(dtype, point.update)["unchanged"]
        assert -0.005 < above < most + 0.005
