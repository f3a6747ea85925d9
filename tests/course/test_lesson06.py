"""Lesson 06: its arms train what they say, each run gives the base back, its figures are right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import lora_lessons as ll
from lora_lessons.course import recorded
from lora_lessons.course.ledger import load_claims
from lora_lessons.course.lesson06 import explorer, figures
from lora_lessons.experiments import checkpointing, key_bias, masked_words
from lora_lessons.experiments import lesson06 as experiment
from lora_lessons.experiments.lesson05 import toy_models
from lora_lessons.train.loss import IGNORED

PAGE = Path(__file__).resolve().parents[2] / "solutions" / "06_bias_modes.py"
ALT = re.compile(r'<img alt="([^"]+)"')
TINY = {"steps": 4, "batch_size": 2, "length": 16, "valid_blocks": 4, "dtype": "float64"}
SIZES = {"batch_size": 2, "length": 16, "valid_blocks": 4}


@pytest.fixture(scope="module")
def task():
    return experiment.load_task("nano_encoder", **SIZES, dtype=torch.float64)


# --- hidden words ------------------------------------------------------------------------------


def test_the_batches_depend_on_the_seed_alone(task):
    first, again, other = (next(iter(task.batches(seed))) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["input_ids"], other["input_ids"])
    stream = iter(task.batches(0))
    assert not torch.equal(next(stream)["labels"] != IGNORED, next(stream)["labels"] != IGNORED)


def test_the_loss_is_the_mean_over_the_hidden_words_in_parts_too(task):
    tokenizer = ll.load_base("nano_encoder")[1]
    ids = torch.randint(5, len(tokenizer), (70,), generator=ll.generator(0))
    rows = masked_words.masked_rows(masked_words.objective(tokenizer, 16), ids, 4)
    assert rows["input_ids"].shape == rows["labels"].shape == (4, 16)
    assert (rows["input_ids"][:, 0] == tokenizer.cls_token_id).all()
    with torch.no_grad():
        logits = task.model(input_ids=rows["input_ids"]).logits
    chosen = rows["labels"] != IGNORED
    picked = logits[chosen].log_softmax(-1).gather(1, rows["labels"][chosen].unsqueeze(1))
    for at_once in (1, 2, 64):
        mine = masked_words.masked_loss(task.model, rows, at_once)
        assert mine == pytest.approx(-picked.mean().item(), rel=1e-9)


# --- the arms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["nano_encoder", "nano"])
@pytest.mark.parametrize("name", experiment.ARMS)
def test_an_arm_trains_what_it_says(base, name):
    model, _ = ll.load_base(base)
    arm = experiment.ARMS[name]
    layers = [n for n, _ in model.named_modules() if n.endswith(tuple(experiment.family(model)[0]))]
    expected = experiment.biases_that_train(model, layers, arm.mode)
    adapted = experiment.adapt(model, arm)
    named = {
        n.replace(".base_layer.", "."): p
        for n, p in adapted.get_base_model().named_parameters()
        if p.requires_grad
    }
    assert {n for n in named if n.endswith(".bias")} == expected
    assert any("lora_" in n for n in named) == arm.factors
    sizes = experiment.counts(adapted)
    assert sizes["biases"] == sum(named[n].numel() for n in expected)
    assert sizes["parameters"] == adapted.get_nb_trainable_parameters()[0]


@pytest.mark.parametrize(("base", "most"), [("nano_encoder", 0.08), ("nano", 0.06)])
def test_the_wider_arm_trains_no_fewer_numbers_than_all(base, most):
    model, _ = ll.load_base(base)
    sizes = {}
    for name in ("all", "none, wider"):
        adapted = experiment.adapt(model, experiment.ARMS[name])
        sizes[name] = experiment.counts(adapted)["parameters"]
        model = adapted.unload()
    assert 1 <= sizes["none, wider"] / sizes["all"] < 1 + most


@pytest.fixture(scope="module")
def sweep():
    return experiment.bias_sweep(
        arms=["none", "all", "biases alone"], lrs=[1e-5, 1e-2], seeds=[0, 1], **TINY
    )


def test_the_rate_is_chosen_with_a_seed_that_is_not_measured(sweep):
    assert {row["seed"] for row in sweep["tuning"]} == {99}
    assert {row["seed"] for row in sweep["runs"]} == {0, 1}
    for arm, about in sweep["arms"].items():
        tried = {row["lr"]: row["best"] for row in sweep["tuning"] if row["arm"] == arm}
        assert about["lr"] == min(tried, key=tried.get)
        assert {row["lr"] for row in sweep["runs"] if row["arm"] == arm} == {about["lr"]}


def test_a_run_after_others_is_that_run_alone(sweep):
    wanted = next(row for row in sweep["runs"] if row["arm"] == "all" and row["seed"] == 1)
    alone = experiment.bias_sweep(arms=["all"], lrs=[wanted["lr"]], seeds=[1], **TINY)
    assert alone["runs"] == [wanted], "the runs before left the base as it was"
    assert alone["before"] == sweep["before"]


def test_what_a_kind_is_worth_is_the_loss_without_its_training(task):
    base = task.loss(task.model)
    adapted, row = experiment.train_arm(task, "biases alone", lr=1e-2, seed=0, steps=4)
    named = dict(task.model.named_parameters())
    trained = {name: p.detach().clone() for name, p in named.items() if p.requires_grad}
    kinds = experiment.by_kind(task, row["last"])
    assert set(kinds) == set(experiment.sizes_by_kind(ll.load_base("nano_encoder")[0]))
    assert all(torch.equal(named[name], value) for name, value in trained.items())
    assert kinds["attention.self.key"]["worth"] == pytest.approx(0, abs=1e-12)
    words = named["cls.predictions.bias"]
    start = ll.load_base("nano_encoder", dtype=torch.float64)[0].cls.predictions.bias
    moved = (words - start).abs().mean().item()
    assert kinds["cls.predictions"]["moved"] == pytest.approx(moved, rel=1e-9)
    with torch.no_grad():
        words.copy_(start)
    worth = task.loss(task.model) - row["last"]
    assert kinds["cls.predictions"]["worth"] == pytest.approx(worth, abs=1e-12)
    adapted.unload()
    assert task.loss(task.model) == base


# --- the key's bias ----------------------------------------------------------------------------


def test_the_gradients_are_those_of_the_softmax_and_of_rotary_positions():
    bert = key_bias.bias_gradients("nano_encoder", length=16)
    qwen2 = key_bias.bias_gradients("nano", length=16)
    assert bert["attention.self.key"] < 1e-12 * min(
        bert[f"attention.self.{name}"] for name in ("query", "value")
    )
    assert qwen2["self_attn.k_proj"] > 1e-3 * qwen2["self_attn.q_proj"]


@pytest.mark.parametrize("rope", [False, True])
def test_a_bias_of_the_key_counts_with_rotary_positions_alone(rope):
    q, k, v = torch.randn(3, 5, 8, generator=ll.generator(0), dtype=torch.float64)
    weights, output = key_bias.attend(q, k, v, rope)
    biased, moved = key_bias.attend(q, k + 3.0, v, rope)
    assert torch.allclose(weights, biased, atol=1e-12) == (not rope)
    assert torch.allclose(key_bias.attend(q, k, v + 2.0, rope)[1], output + 2.0)
    assert torch.allclose(moved, output, atol=1e-12) == (not rope)


def test_turning_keeps_lengths_and_sees_distances_alone():
    q, k = torch.randn(2, 8, generator=ll.generator(1), dtype=torch.float64)
    turned_q, turned_k = (key_bias.turn(x.expand(6, 8)) for x in (q, k))
    torch.testing.assert_close(turned_q.norm(dim=1), q.norm().expand(6))
    scores = turned_q @ turned_k.T  # (6, 6): one value on each diagonal
    for distance in range(-4, 5):
        diagonal = scores.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[0].expand_as(diagonal))
    assert scores[0, 1] != scores[0, 2]


# --- the figures -------------------------------------------------------------------------------


def result(arms):
    """A made-up result: each arm is 0.01 above the one before, two seeds 0.5 apart."""
    return {
        "before": 5.0,
        "arms": {arm: {"parameters": 1000, "biases": 10, "lr": 1e-3} for arm in arms},
        "runs": [
            {"arm": arm, "seed": seed, "best": 4 + 0.01 * i + 0.5 * seed}
            for i, arm in enumerate(arms)
            for seed in (1, 0)
        ],
        "kinds": {"attention.self.key": {"moved": 0.1, "worth": 0.0}},
    }


def test_arms_are_compared_seed_by_seed():
    made = result(["none", "lora_only", "all"])
    gap, half = figures.against(made, "all", "none")
    assert gap == pytest.approx(0.02)
    assert half == pytest.approx(0, abs=1e-9), "the seeds differ by 0.5, the pairs do not"
    assert figures.losses(made, "none") == [4.0, 4.5]
    assert figures.seeds_of(made)["all"] == {0: pytest.approx(4.02), 1: pytest.approx(4.52)}
    assert [row[0] for row in figures.table(made)] == ["none", "lora_only", "all"]


def test_every_arm_and_kind_is_drawn():
    made = result(list(experiment.ARMS))
    figure = figures.gaps({"one": made, "other": made})
    assert [len(axis.get_yticks()) for axis in figure.axes] == [3, 3], "no none, no biases alone"
    assert len(figures.arms_table(made).rows) == 5
    assert figures.kinds_table(made).rows == [("key", "0.10000", "+0.0000")]
    assert len(figures.kinds(made).axes[0].patches) == 1
    gradients = figures.gradients({"a": {"x.bias": 1e-3}, "b": {"self_attn.k_proj": 1e-9}})
    assert [axis.get_yticklabels()[0].get_text() for axis in gradients.axes] == ["x.bias", "k"]


# --- what the page says of the recorded runs ---------------------------------------------------


@pytest.mark.parametrize(
    ("model", "arm", "other"),
    [
        ("encoder", "lora_only", "none"),
        ("encoder", "all", "none"),
        ("encoder", "none, wider", "none"),
        ("encoder", "all", "none, wider"),
        ("decoder", "lora_only", "none"),
        ("decoder", "all", "none"),
        ("decoder", "all", "lora_only"),
    ],
)
def test_the_differences_on_the_page_and_in_the_claims_are_the_recorded_ones(model, arm, other):
    gap, half = figures.against(recorded.load(f"06_bias_modes_{model}").data, arm, other)
    assert gap < 0
    if other == "none":
        claims = [claim.decoder for claim in load_claims() if claim.lesson == "06"]
        assert f"{-gap:.4f} ± {half:.4f}" in " ".join(claims)


@pytest.mark.parametrize("model", ["encoder", "decoder"])
def test_every_difference_to_none_is_settled_and_a_wider_rank_ties(model):
    arms = figures.seeds_of(recorded.load(f"06_bias_modes_{model}").data)
    assert all(gap.settled for gap in ll.gaps_against(arms, "none", family="none"))
    assert 'Every difference to "none" is settled' in PAGE.read_text("utf-8")
    if model == "encoder":
        assert not ll.paired_gap(arms["all"], arms["none, wider"]).settled


def test_the_drawing_says_who_owns_the_bias():
    assert "which PEFT does not do" in figures.owners().text


# --- the explorers -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", explorer.EXPLORERS)
def test_every_control_changes_the_picture_and_its_alt_text(name):
    panel = explorer.EXPLORERS[name]
    seen = panel.drive()
    for control, about in panel.controls.items():
        probes = dict.fromkeys(about.probes())
        alts = {ALT.match(seen[control, value])[1] for value in probes}
        assert len(alts) == len(probes) > 1


@pytest.mark.parametrize(
    ("model", "layers", "mode", "biases"),
    [
        ("decoder", "q and v", "none", 0),
        ("decoder", "q and v", "lora_only", 2_304),
        ("decoder", "q and v", "all", 3_072),
        ("encoder", "q and v", "lora_only", 3_072),
        ("encoder", "attention", "lora_only", 6_144),
        ("encoder", "q and v", "all", 21_760),
        ("Llama", "all-linear", "all", 0),
        ("T5", "q and v", "all", 0),
    ],
)
def test_the_map_counts_what_trains(model, layers, mode, biases):
    found = explorer.bias_map(model, layers, mode, 8)
    assert found.biases == biases
    if model == "decoder":
        sizes = figures.bias_numbers(256, 8, 4, 6, ["q_proj", "v_proj"], mode)
        assert found.biases == sizes
    trained = [name for name, state in found.states.items() if state == explorer.TRAINS]
    assert bool(trained) == (biases > 0)
    if mode == "lora_only":
        assert set(trained) == found.wrapped


def test_smollm2_has_no_bias_to_train():
    model = toy_models()["SmolLM2"]
    wrapped = [name for name, _ in model.named_modules() if name.endswith(("q_proj", "v_proj"))]
    for mode in figures.MODES:
        assert experiment.biases_that_train(model, wrapped, mode) == set()


@pytest.mark.parametrize(("of", "still"), [("key", True), ("query", False), ("value", True)])
def test_the_attention_explorer_shows_what_a_bias_does(of, still):
    added, rotary = explorer.POSITIONS
    before, after, change = explorer.with_bias(of, 4.0, added)
    assert torch.allclose(before, after) == still
    assert (change.max() < 1e-9) == (of == "key")
    if of == "value":
        assert torch.allclose(change, torch.full_like(change, 4.0))
    assert explorer.with_bias(of, 4.0, rotary)[2].max() > 0.1


# --- the gradient that checkpointing loses --------------------------------------------------------


def as_it_stands(embed, blocks, ids):
    hidden = embed(ids)
    for block in blocks:
        hidden = torch.utils.checkpoint.checkpoint(block, hidden, use_reentrant=True)
    return hidden


@pytest.mark.parametrize("head_trains", [False, True])
@pytest.mark.parametrize(("mode", "arrives"), [("none", 0), ("lora_only", 0), ("all", 6)])
def test_a_reentrant_checkpoint_behind_a_frozen_embedding_loses_the_gradients(
    mode, arrives, head_trains
):
    """Only "all" has a parameter before the first block: the bias of the embedding's norm."""
    found = checkpointing.gradients(as_it_stands, mode, head_trains)
    assert len(found["B"]) == 6
    assert sum(gradient is not None for gradient in found["B"].values()) == arrives
    assert found["error"] == (arrives == 0 and not head_trains)


@pytest.mark.parametrize("mode", figures.MODES)
def test_the_mended_run_gives_the_gradients_of_the_plain_one(mode):
    plain = checkpointing.gradients(checkpointing.run_plain, mode)
    mended = checkpointing.gradients(checkpointing.run_blocks, mode)
    assert checkpointing.furthest_apart(mended, plain) < 1e-10
    mended["B"][next(iter(mended["B"]))] *= 1.001
    assert checkpointing.furthest_apart(mended, plain) > 1e-4


def test_the_gradients_are_those_of_one_adapter_and_one_text():
    """Two runs get the same adapter and the same text, whatever was drawn before."""
    torch.randn(3)
    one = checkpointing.gradients(checkpointing.run_plain)
    torch.randn(5)
    assert checkpointing.furthest_apart(checkpointing.gradients(checkpointing.run_plain), one) == 0
