"""Lesson 05: its arms share a budget, its figures draw the data, its explorer asks the engine."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch

import lora_lessons as ll
from lora_lessons.base.tokens import encode
from lora_lessons.course.ledger import claims_table
from lora_lessons.course.lesson05 import explorer, figures
from lora_lessons.experiments import lesson05 as experiment
from lora_lessons.experiments import target_gradients
from lora_lessons.experiments.lesson05 import trained_parameters as trained
from lora_lessons.lora.inject import plan_injection

ALT = re.compile(r'<img alt="([^"]+)"')
BUDGETED = {"nano": experiment.NANO_ARMS, "decoder": experiment.DECODER_ARMS}
START = {name: control.start for name, control in explorer.EXPLORERS["targets"].controls.items()}


@pytest.fixture(scope="module")
def bases():
    return {name: ll.load_base(name)[0] for name in BUDGETED}


# --- the budget --------------------------------------------------------------------------------


@pytest.mark.parametrize("base", BUDGETED)
def test_the_arms_of_a_base_train_as_many_numbers_within_one_percent(base, bases):
    sizes = {
        name: experiment.trained_parameters(bases[base], arm.config())
        for name, arm in BUDGETED[base].items()
    }
    target = sizes["all-linear"]
    assert all(abs(size / target - 1) < 0.01 for size in sizes.values()), sizes


def test_an_arm_trains_as_many_numbers_as_were_counted(bases):
    config = experiment.NANO_ARMS["MLP"].config()
    counted = experiment.trained_parameters(bases["nano"], config)
    adapted = ll.get_peft_model(ll.load_base("nano")[0], config)
    assert adapted.get_nb_trainable_parameters()[0] == counted == 21_312
    scalings = {m.adapter("default").scaling for m in adapted.modules() if hasattr(m, "lora_A")}
    assert scalings == {2.0}, "a rank of its own has an alpha of its own, so that alpha/r stays"


def test_the_rank_for_a_budget_is_the_decoders(bases):
    for name in figures.COMMON:
        arm = experiment.DECODER_ARMS[name]
        one_rank = experiment.trained_parameters(bases["decoder"], arm._replace(r=1).config())
        assert figures.rank_for_budget([(one_rank, 0)], 224_256) == arm.r
    assert figures.rank_for_budget([(500, 500)], 10) == 1


# --- the sweep ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sweep():
    return experiment.target_sweep(
        arms=["q, v", "MLP"],
        lrs=[1e-5, 1e-2],
        seeds=[0, 1],
        steps=4,
        batch_size=2,
        length=16,
        eval_every=2,
        valid_blocks=4,
        dtype="float64",
    )


def test_the_rate_is_chosen_with_a_seed_that_is_not_measured(sweep):
    assert {row["seed"] for row in sweep["tuning"]} == {99}
    assert {row["seed"] for row in sweep["runs"]} == {0, 1}
    assert len(sweep["tuning"]) == len(sweep["runs"]) == 4
    for arm, about in sweep["arms"].items():
        tried = {row["lr"]: row["best"] for row in sweep["tuning"] if row["arm"] == arm}
        assert about["lr"] == min(tried, key=tried.get)
        assert {row["lr"] for row in sweep["runs"] if row["arm"] == arm} == {about["lr"]}


def test_a_run_of_the_sweep_is_that_run_alone(sweep):
    wanted = next(row for row in sweep["runs"] if row["arm"] == "MLP" and row["seed"] == 1)
    alone = experiment.target_sweep(
        arms=["MLP"],
        lrs=[wanted["lr"]],
        seeds=[1],
        steps=4,
        batch_size=2,
        length=16,
        eval_every=2,
        valid_blocks=4,
        dtype="float64",
    )
    assert alone["runs"][0]["best"] == pytest.approx(wanted["best"], abs=1e-9)
    assert alone["before"] == pytest.approx(sweep["before"], abs=1e-9)


def test_every_argument_changes_the_wrapper_what_trains_or_the_loss():
    rows = {row["argument"]: row for row in experiment.argument_effects()}
    first = rows.pop("as it is")
    for argument, row in rows.items():
        changed = {key for key in ("wrapper", "trained", "loss") if row[key] != first[key]}
        assert changed, argument
    assert rows["r"]["trained"] == 2 * first["trained"]
    assert rows["task_type"] == {**first, "argument": "task_type", "wrapper": "PeftModel"}


# --- the figures -------------------------------------------------------------------------------


def result(arms, steps=0.01):
    """A made-up result: each arm is `steps` above the one before, two seeds 0.002 apart."""
    return {
        "before": 5.0,
        "arms": {arm: {"r": 8, "parameters": 1000, "lr": 1e-3} for arm in arms},
        "tuning": [],
        "runs": [
            {"arm": arm, "best": 4 + steps * i + 0.002 * seed}
            for i, arm in enumerate(arms)
            for seed in (0, 1)
        ],
    }


def test_the_table_is_sorted_by_loss_and_the_winner_is_first():
    made = result(["all-linear", "MLP", "q, k, v, o", "q, v"])
    assert [row[0] for row in figures.table(made)][:2] == ["all-linear", "MLP"]
    assert figures.winner(made) == "all-linear"
    assert figures.table(made, ["q, v"])[0][2] == pytest.approx(4.031)


def test_the_spread_is_that_of_the_means():
    made = result(list(experiment.ARMS["decoder"]))
    order = list(experiment.ARMS["decoder"])
    apart = abs(order.index("all-linear") - order.index("alpha = 32"))
    assert figures.spread(made, "alpha, 16 to 32") == pytest.approx(0.01 * apart)
    assert figures.spread(made, "targets, all nine") == pytest.approx(0.08)


def test_every_seed_is_drawn():
    made = result(list(experiment.ARMS["decoder"]))
    for figure, lines in (
        (figures.one_budget(made, made), 4),
        (figures.table_5(made), 7),
        (figures.ranges(made), 6),
    ):
        assert len(figure.axes[-1].get_yticks()) == lines
        drawn = [len(line.get_xdata()) for line in figure.axes[-1].lines]
        assert 2 in drawn


def test_the_papers_table_has_its_best_in_q_and_v_together():
    wikisql = {arm: values[0] for arm, values in figures.PAPER_TABLE_5.items()}
    assert max(wikisql.values()) == wikisql["q, v"] == wikisql["q, k, v, o"] == 73.7
    assert set(wikisql) < set(experiment.DECODER_ARMS)


def test_the_page_weighs_the_targets_against_rate_and_alpha():
    data = ll.lesson("05").recorded("05_targets").data
    rates = [row["best"] for row in data["tuning"] if row["arm"] == "all-linear"]
    assert round(max(rates) - min(rates), 3) == 0.266
    four, nine = (figures.spread(data, f"targets, {which}") for which in ("the four", "all nine"))
    assert four < 0.266 < nine
    arms = {name: arm for choices in experiment.ARMS.values() for name, arm in choices.items()}
    assert [name for name, arm in arms.items() if arm.alpha is not None] == ["alpha = 32"]
    assert arms["q, v"].config().lora_alpha == 2 * arms["q, v"].r


PAGE = re.sub(
    r"\s+(# +)?",
    " ",
    (Path(__file__).resolve().parents[2] / "solutions" / "05_target_modules.py").read_text("utf-8"),
)


def settled(gaps):
    """The pairs that are settled after Holm's correction, the lower one second."""
    return {(g.first, g.second) if g.mean > 0 else (g.second, g.first) for g in gaps if g.settled}


def test_the_page_says_which_of_the_six_pairs_are_settled():
    decoder = ll.lesson("05").recorded("05_targets").data
    smollm2 = ll.lesson("05").recorded("05_targets_smollm2").data
    four, attention = figures.COMMON, "q, k, v, o"
    order = {arm: place for place, arm in enumerate(four)}  # q, v is highest, all-linear lowest
    pairs = {(a, b) for a in four for b in four if order[a] < order[b]}
    assert settled(figures.common_gaps(decoder)) == pairs - {("MLP", "all-linear")}
    assert "five seeds do not tell them apart. The other five differences are settled" in PAGE
    found = settled(figures.common_gaps(smollm2))
    assert found == {(attention, "MLP"), (attention, "all-linear")}
    assert "Against q and v three seeds leave even that open" in PAGE


def test_the_claims_have_the_recorded_gaps():
    for place, name in (("decoder", "05_targets"), ("smollm2", "05_targets_smollm2")):
        data = ll.lesson("05").recorded(name).data
        gap = ll.paired_gap(*figures.seeds_of(data, ["q, v", "q, k, v, o"]).values())
        claims = " ".join(getattr(claim, place) for claim in claims_table("05").claims)
        digits = 4 if place == "decoder" else 3
        assert f"by {gap.mean:.{digits}f} ± {gap.half:.{digits}f}" in claims
        assert gap.settled is (place == "decoder")


def test_half_the_numbers_on_all_layers_beat_the_attention():
    data = ll.lesson("05").recorded("05_targets").data
    arms = figures.seeds_of(data, ["r = 4", "q, k, v, o"])
    gap = ll.paired_gap(*arms.values())
    assert gap.settled and gap.mean < 0
    sizes = [data["arms"][arm]["parameters"] for arm in arms]
    assert sizes[0] * 2 == data["arms"]["all-linear"]["parameters"] < 1.01 * sizes[1]
    ranks = [data["arms"][arm]["r"] for arm in ("MLP", "q, k, v, o", "q, v")]
    assert ranks == [13, 21, 42]


def test_a_first_step_meets_the_share_of_the_gradient_that_the_rank_allows():
    squares = {"a": target_gradients.Squared(3.0, 10), "b": target_gradients.Squared(1.0, 4)}
    assert target_gradients.share(squares, ["a"]) == pytest.approx(0.75)
    assert target_gradients.reach(squares, ["a"], 2) == pytest.approx(3 * 0.2 / 4)
    assert target_gradients.reach(squares, ["a", "b"], 99) == pytest.approx(1.0)


def test_the_squared_gradient_is_that_of_each_kind_of_linear_layer():
    found = target_gradients.squared_gradients("nano", batches=2, batch_size=2, length=8)
    model, tokenizer = ll.load_base("nano")
    model.requires_grad_(True)
    ids = encode(tokenizer, ll.load_text("moby_dick").train)[:32].view(4, 8)
    model(input_ids=ids, labels=ids).loss.backward()  # equal batches: the mean of the two
    up = [layer.mlp.up_proj.weight for layer in model.model.layers]
    assert found["up_proj"].inputs == up[0].shape[1]
    wanted = sum(weight.grad.square().sum().item() for weight in up)
    assert found["up_proj"].gradient == pytest.approx(wanted, rel=1e-4)
    assert len(found) == 7 and "lm_head" not in found


def test_table_5_is_read_as_the_page_reads_it():
    data = ll.lesson("05").recorded("05_targets").data
    order = [row[0] for row in figures.table(data, list(figures.PAPER_TABLE_5))]
    assert order[0] == "q, k, v, o" and order[-3:] == ["q, k", "q", "k"]
    arms = figures.seeds_of(data, figures.PAPER_TABLE_5)
    found = settled(ll.gaps_against(arms, "q, v", family="against q, v"))
    assert {("q, v", "q, k, v, o"), ("q, v", "o")} < found


def test_the_papers_table_6_is_read_as_the_page_reads_it():
    q, q_v, four = (figures.PAPER_TABLE_6[choice] for choice in experiment.RANK_CHOICES)
    assert figures.RANKS == experiment.RANKS == (1, 2, 4, 8, 64)
    assert round(q[2] - q[0], 1) == 1.7 and max(q) == q[2]
    assert all(max(flat) - min(flat) <= 1.0 for flat in (q_v, four)), "flat within +-0.5"


def test_the_page_has_the_ranks_losses_and_their_verdict():
    data = ll.lesson("05").recorded("05_ranks").data
    at = lambda choice, r: f"{choice}: r = {r}"  # noqa: E731
    arms = figures.seeds_of(data, data["arms"])
    first = ll.paired_gap(arms[at("q, v", 1)], arms[at("q", 64)])
    assert first.settled and first.mean < 0 and "q and v at $r = 1$ beat q alone" in PAGE
    sizes = [data["arms"][arm]["parameters"] for arm in (at("q, v", 1), at("q", 64))]
    assert sizes == [5_376, 196_608] and round(sizes[1] / sizes[0]) == 37
    ends = [(at(choice, 64), at(choice, 1)) for choice in figures.PAPER_TABLE_6]
    found = settled(ll.paired_gaps(arms, ends, family="r = 64 against r = 1"))
    assert found == {(at("q, k, v, o", 1), at("q, k, v, o", 64))}
    assert "all four gain from 1 to 64" in PAGE
    rates = {arm: about["lr"] for arm, about in data["arms"].items()}
    assert [r for r in figures.RANKS if rates[at("q", r)] == 1e-2] == [1, 2, 4]
    assert {arm for arm, lr in rates.items() if lr == 1e-3} == {
        at(choice, 64) for choice in experiment.RANK_CHOICES
    }


def test_the_ranks_are_drawn_with_every_choice():
    data = ll.lesson("05").recorded("05_ranks").data
    left, right = figures.table_6(data).axes
    for axis in (left, right):
        assert [c.get_label() for c in axis.containers] == list(figures.PAPER_TABLE_6)
        assert all(len(c.lines[0].get_ydata()) == 5 for c in axis.containers)
    assert not right.yaxis_inverted(), "a lower loss lies lower"
    four = right.containers[2].lines[0].get_ydata()
    assert list(four) == [loss for loss, _ in figures.rank_losses(data, "q, k, v, o")]


def test_the_claim_says_how_far_each_argument_moves_the_loss():
    data = ll.lesson("05").recorded("05_targets").data
    spread = {name: f"{figures.spread(data, name):.3f}" for name in figures.RANGES}
    four, nine, r, alpha, _, dropout = spread.values()
    claims = " ".join(claim.decoder for claim in claims_table("05").claims)
    said = f"by {four}, nine by {nine}; r 4 to 16 by {r}, alpha by {alpha}, dropout from 0 to 0.1"
    assert f"{said} by {dropout}" in claims
    arms = figures.seeds_of(data, data["arms"])
    widest = [("q, v", "all-linear"), ("r = 4", "r = 16"), ("all-linear", "alpha = 32")]
    gaps = ll.paired_gaps(arms, [*widest, ("all-linear", "dropout = 0.1")], family="widest")
    assert all(gap.settled for gap in gaps) and "each of the four gaps is settled" in PAGE


def test_the_stand_ins_are_the_engines(bases):
    assert len(figures.all_linear(bases["decoder"])) == 42
    assert "lm_head" not in figures.all_linear(bases["decoder"])


# --- the explorer ------------------------------------------------------------------------------


def test_every_control_changes_the_picture_and_its_alt_text():
    panel = explorer.EXPLORERS["targets"]
    seen = panel.drive()
    for name, control in panel.controls.items():
        probes = dict.fromkeys(control.probes())
        alts = {ALT.match(seen[name, value])[1] for value in probes}
        assert len(alts) == len(probes) > 1


@pytest.mark.parametrize(
    ("change", "modules"),
    [
        ({}, 12),
        ({"targets": "all-linear"}, 42),
        ({"targets": r".*\.(q|v)_proj"}, 12),
        ({"exclude": r".*\.0\..*"}, 10),
        ({"blocks": "[0, 1]"}, 4),
        ({"model": "GPT-2", "targets": "['c_attn']"}, 2),
        ({"model": "T5", "targets": "['q', 'v']"}, 12),
    ],
)
def test_the_explorer_marks_what_the_engine_adapts(change, modules):
    values = START | change
    assert len(explorer.match(**values).sizes) == modules
    figure = explorer.draw(**values)
    marked = next(line for line in figure.axes[0].lines if line.get_label() == "gets an adapter")
    assert len(marked.get_xdata()) == modules


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ("['q_proj', 'v_porj']", "Did you mean 'v_proj'?"),
        (r"['.*_proj']", "not found"),
        ("['q_proj'", "never closed"),
        ("['mlp']", "not supported"),
    ],
)
def test_a_mistake_is_shown_and_nothing_is_marked(targets, message):
    values = START | {"targets": targets}
    assert message in explorer.match(**values).error
    assert "Error: " in explorer.alt(**values) and "Marked: none" in explorer.alt(**values)
    assert "Error: " in explorer.draw(**values).get_suptitle()


def test_any_text_may_be_typed_and_nothing_else():
    control = explorer.EXPLORERS["targets"].controls["targets"]
    control.check("targets", "['down_proj']")
    with pytest.raises(ValueError, match="targets must be a text"):
        control.check("targets", 3)
    panel = explorer.EXPLORERS["targets"].widget()
    panel.move("targets", "['down_proj']")
    assert (
        panel.values()["targets"] == "['down_proj']" and "Marked: model.layers.*" in panel.picture
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set")
@pytest.mark.parametrize("name", [*explorer.MODELS, "SmolLM2"])
@pytest.mark.parametrize("targets", ["all-linear", r".*\.(q|v|q_proj|v_proj|query|value|c_attn)"])
def test_peft_adapts_the_same_modules(name, targets):
    import peft

    model = explorer.models()[name]
    ours = plan_injection(model, ll.LoraConfig(target_modules=targets)).targets
    theirs = peft.get_peft_model(
        copy.deepcopy(model), peft.LoraConfig(target_modules=targets, task_type=None)
    ).base_model.model
    adapted = {name for name, module in theirs.named_modules() if hasattr(module, "lora_A")}
    assert adapted == {target.name for target in ours} != set()


def test_smollm2_has_the_names_of_the_card():
    model = explorer.models()["SmolLM2"]
    counted = {
        targets: (len(plan_injection(model, config).targets), trained(model, config))
        for targets, config in (
            ("q, v", ll.LoraConfig(r=8, target_modules=["q_proj", "v_proj"])),
            ("k, o", ll.LoraConfig(r=8, target_modules=["k_proj", "o_proj"])),
            ("all-linear", ll.LoraConfig(r=8, target_modules="all-linear")),
        )
    }
    assert counted == {"q, v": (60, 460_800), "k, o": (60, 460_800), "all-linear": (210, 2_442_240)}


def test_on_smollm2_all_but_bias_change_something_as_the_page_and_the_claim_say():
    rows = ll.lesson("05").recorded("05_arguments_smollm2").data
    assert [row["argument"] for row in rows] == list(experiment.CHANGES)
    rows = {row.pop("argument"): row for row in rows}
    first = rows.pop("as it is")
    assert [argument for argument, row in rows.items() if row == first] == ["bias"]
    assert 'five of the six do something too. `bias="all"` does nothing there' in PAGE
    assert rows["task_type"] == first | {"wrapper": "PeftModel"}
    (claim,) = (claim for claim in claims_table("05").claims if claim.id == "liner_injects")
    assert f"({first['trained']:,d} to {rows['r']['trained']:,d})" in claim.smollm2
    losses = [rows[name]["loss"] for name in ("lora_alpha", "lora_dropout", "target_modules")]
    assert (
        "from {:.3f} to {:.3f} with another alpha, {:.3f} with dropout, {:.3f} with".format(
            first["loss"], *losses
        )
        in claim.smollm2
    )


def test_the_toy_models_have_names_and_shapes_and_no_numbers():
    for model in experiment.toy_models().values():
        assert all(parameter.device == torch.device("meta") for parameter in model.parameters())
