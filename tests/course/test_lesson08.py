"""Lesson 08: what is new is drawn and saved, arms train what they say, figures draw the data."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
import torch

import lora_lessons as ll
from lora_lessons.base.tasks import punctuation
from lora_lessons.base.tasks.rows import first
from lora_lessons.course import recorded
from lora_lessons.course.checks.core import RIGHT
from lora_lessons.course.lesson08 import explorer, figures
from lora_lessons.experiments import heads
from lora_lessons.experiments import lesson08 as experiment

ROOT = Path(__file__).resolve().parents[2]
ALT = re.compile(r'<img alt="([^"]+)"')
TINY = {"train_rows": 40, "valid_rows": 24, "steps": 2, "batch_size": 4, "r": 2, "dtype": "float64"}
each_task = pytest.mark.parametrize("task", heads.TASKS)


def trained(model) -> set[str]:
    """The modules with a weight that trains, LoRA's left out, by their names in the base."""
    names = [n for n, p in model.named_parameters() if p.requires_grad and ".lora_" not in n]
    plain = (
        n.removeprefix("base_model.model.").replace(".modules_to_save.default", "") for n in names
    )
    return {name.rpartition(".")[0] for name in plain}


# --- what is new -------------------------------------------------------------------------------


@each_task
def test_new_modules_are_those_that_the_file_lacks(task):
    in_file = list(ll.load_base("nano_encoder")[0].state_dict())
    in_model = list(experiment.new_model(task)[0].state_dict())
    if task == "neighbours":  # the body itself, whose names have no "bert." before them
        in_model = [f"bert.{name}" for name in in_model]
    missing = figures.new_modules(in_model, in_file)
    assert all(any(name.startswith(new) for new in heads.TASKS[task].new) for name in missing)
    assert len(missing) == len(heads.TASKS[task].new)


@each_task
def test_the_body_is_the_files_and_the_new_modules_are_the_seeds(task):
    one, same, other = (experiment.new_model(task, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    for name, value in one.items():
        new = any(name.startswith(module) for module in heads.TASKS[task].new)
        drawn = new and name.endswith("weight")
        assert torch.equal(value, same[name])
        assert torch.equal(value, other[name]) != drawn
        if drawn:
            assert 0.015 < value.std() < 0.025


@pytest.mark.parametrize("task", ["punctuation", "definitions", "spans"])
def test_each_arm_trains_what_it_says(task):
    new = {
        "definitions": {"bert.pooler.dense", "classifier"},
        "punctuation": {"classifier"},
        "spans": {"qa_outputs"},
    }[task]
    assert trained(experiment.arm_model(task, experiment.LORA, 0)[0]) == new
    assert trained(experiment.arm_model(task, experiment.HEAD_ONLY, 0)[0]) == new
    assert trained(experiment.arm_model(task, experiment.RANDOM, 0)[0]) == set()
    full, _ = experiment.arm_model(task, experiment.FULL, 0)
    assert all(parameter.requires_grad for parameter in full.parameters())


# --- answers that are right in another form --------------------------------------------------


def best_place(start, end, page, longest):
    """All pairs at once: (the sums of the pairs, their flat place, T)."""
    T = len(start)
    ok = torch.ones(T, T, dtype=torch.bool).triu().tril(longest - 1) & page[:, None] & page
    return (start[:, None] + end).masked_fill(~ok, -torch.inf).argmax(), T


@pytest.mark.parametrize("places", [lambda k, T: (k // T, k % T), lambda k, T: divmod(int(k), T)])
def test_a_place_may_be_a_whole_number_in_a_tensor(places):
    def answer(start, end, page, longest):
        return places(*best_place(start, end, page, longest))

    assert ll.lesson("08").check.best_span(answer).outcome == RIGHT


# --- losses and scores -------------------------------------------------------------------------


@each_task
def test_training_lowers_the_loss_of_one_batch(task):
    model, tokenizer = experiment.arm_model(task, experiment.LORA, 0)
    rows, valid = heads.TASKS[task].rows(tokenizer, 8, 8, **experiment.LIVE_ROWS[task])
    history = experiment.train(task, model, rows, steps=12, batch_size=8, lr=1e-2)
    assert history.losses[-1] < history.losses[0]
    scores = heads.TASKS[task].scores(model, valid)
    assert heads.TASKS[task].metric in scores
    assert all(0 <= score <= 1 for score in scores.values())


def test_the_loss_is_the_models_own():
    model, tokenizer = experiment.new_model("spans", dtype="float64")
    rows, _ = heads.TASKS["spans"].rows(tokenizer, 4, 4, **experiment.LIVE_ROWS["spans"])
    own = model(**{n: v for n, v in rows.items() if n not in ("sort", "entries")}).loss
    assert heads.model_loss(model, rows).item() == pytest.approx(own.item(), abs=1e-9)


def test_a_model_that_knows_the_answers_scores_one():
    model, tokenizer = experiment.new_model("punctuation")
    rows, valid = heads.TASKS["punctuation"].rows(tokenizer, 50, 50, length=48, words=16)
    perfect = punctuation.scores(valid["labels"], valid["labels"])
    assert perfect[","] == perfect["capitals"] == 1
    common = heads.without_model_punctuation(rows, valid)
    silent = punctuation.scores(torch.zeros_like(valid["labels"]), valid["labels"])
    assert silent["mean"] == 0 < common["mean"] < 1
    assert heads.predicted_classes(model, first(valid, 3)).shape == (3, 48)


def test_what_takes_no_model_is_chance():
    _, tokenizer = experiment.new_model("spans")
    for task, expected in (("spans", {"exact match": 1 / 2}), ("neighbours", {"recall@1": 1 / 30})):
        parts = heads.TASKS[task].rows(tokenizer, 30, 30, **experiment.LIVE_ROWS[task])
        assert heads.TASKS[task].baseline(*parts) == pytest.approx(expected)


# --- the sweep and the reload ------------------------------------------------------------------


def test_the_rate_is_chosen_with_a_seed_that_is_not_measured():
    arms = {experiment.LORA: [1e-3, 1e-2], experiment.HEAD_ONLY: [1e-2]}
    sweep = experiment.head_sweep("definitions", arms, seeds=(0, 1), **TINY)
    assert [row["seed"] for row in sweep["tuning"]] == [99] * 3
    assert [row["seed"] for row in sweep["runs"]] == [0, 1] * 2
    tried = {row["lr"]: row["macro F1"] for row in sweep["tuning"] if row["arm"] == "LoRA"}
    assert sweep["arms"]["LoRA"]["lr"] == max(tried, key=tried.get)
    assert sweep["arms"]["head only"]["parameters"] == 64 * 64 + 64 + 10 * 64 + 10


@pytest.fixture(scope="module")
def reloads():
    return experiment.reload_table(seeds=(0,), **TINY | {"steps": 6}, lr=1e-2)


def test_what_each_config_saves(reloads):
    saved = {row["choice"]: row["saved"] for row in reloads}
    assert saved == {
        "task type and pooler": ["bert.pooler.dense", "classifier"],
        "task type alone": ["classifier"],
        "task type, all-linear": ["classifier"],
        "no task type": [],
    }


@pytest.mark.filterwarnings("ignore:.*has a head for its task")
def test_only_what_was_saved_whole_comes_back(reloads):
    _, tokenizer = experiment.new_model("definitions")
    _, valid = heads.TASKS["definitions"].rows(tokenizer, 8, 8, length=32)
    batch = {name: valid[name] for name in ("input_ids", "attention_mask")}
    for choice, kept in zip(experiment.CHOICES, (True, False, False, False), strict=True):
        assert same_logits_after_a_reload(choice, batch) == kept, choice
    assert reloads[0]["before"] == reloads[0]["after"]


def same_logits_after_a_reload(choice, batch) -> bool:
    change = experiment.CHOICES[choice]
    model, _ = experiment.new_model("definitions", seed=0, dtype="float64")
    adapted = ll.get_peft_model(
        model, experiment.lora_config("definitions", init_lora_weights=False, **change)
    )
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder)
        again, _ = experiment.new_model("definitions", seed=1, dtype="float64")
        loaded = ll.PeftModel.from_pretrained(again, folder)
    logits = [m.eval()(**batch).logits for m in (adapted, loaded)]
    return torch.allclose(*logits, atol=1e-9)


# --- figures and explorer ----------------------------------------------------------------------


def result(task, arms=("LoRA", "full fine-tuning")):
    """A made-up result: the first arm's seeds score 0.5 and 0.6, the next ones 0.1 more."""
    names = [*(mark for mark in punctuation.MARKS if mark), "capitals", heads.TASKS[task].metric]
    tried = ((1e-3, 0.1), (1e-2, 0.2))
    return {
        "untrained": dict.fromkeys(names, 0.3),
        "baseline": dict.fromkeys(names, 0.25),
        "tuning": [
            {"arm": arm, "lr": lr, **dict.fromkeys(names, score)}
            for arm in arms
            for lr, score in tried
        ],
        "arms": {arm: {"parameters": 1000, "lr": 1e-3} for arm in arms},
        "runs": [
            {"arm": arm, "seed": seed, **dict.fromkeys(names, 0.5 + 0.1 * (i + seed))}
            for i, arm in enumerate(arms)
            for seed in (0, 1)
        ],
    }


def test_the_table_has_the_mean_and_its_interval():
    rows = figures.table(result("spans"), "exact match")
    assert [row[0] for row in rows] == ["LoRA", "full fine-tuning"]
    assert rows[0][3] == pytest.approx(0.55) and rows[0][4] == pytest.approx(0.635, abs=1e-3)
    first, *_, last = figures.results_table({"spans": result("spans")}).rows
    assert first == ("spans, exact match: LoRA", "1,000", "0.001", "0.550 ± 0.635")
    assert last[0] == "spans, exact match: without a model" and not last[2]
    arm, *marks = figures.marks_table(result("punctuation")).rows[0]
    assert arm == "LoRA" and marks == ["0.550 ± 0.635"] * 6


def test_the_rates_have_a_star_at_the_one_taken_and_say_where_it_lies():
    made = result("spans")
    table = figures.rates_table({"spans": made})
    assert table.head == ("task, score: arm", "0.001", "0.01", "the rate taken")
    assert table.rows[0] == ("spans, exact match: LoRA", "0.100*", "0.200", "lowest tried")
    made["tuning"].append({"arm": "LoRA", "lr": 1e-4, "exact match": 0.3})
    rows = figures.rates_table({"spans": made}).rows
    assert rows[0][1:] == ("0.300", "0.100*", "0.200", "inside")
    assert rows[1][1] == "" and rows[1][-1] == "lowest tried"  # a blank where it was not tried


def test_every_seed_is_drawn():
    figure = figures.heads({task: result(task) for task in heads.TASKS})
    assert len(figure.axes) == 4
    dotted = [any(line.get_linestyle() == ":" for line in axis.lines) for axis in figure.axes]
    assert dotted == [known.head is None for known in heads.TASKS.values()]
    for axis in figure.axes:
        assert [len(line.get_xdata()) for line in axis.lines].count(2) >= 3  # two arms, baseline
    assert "three seeds each" in figure.about


def test_the_reload_is_drawn_with_a_line_for_each_seed(reloads):
    figure = figures.reload(reloads)
    assert len(figure.axes[0].lines) == len(reloads) + 2
    means = figures.reloads([{"choice": "a", "before": b, "after": 0.0} for b in (0.2, 0.4)])
    assert means["a"] == pytest.approx((0.3, 0.0))


def test_the_stand_in_labels_as_the_task_does():
    _, tokenizer = ll.load_base("nano_encoder")
    passage = punctuation.passages("valid", 16)[0]
    encoded = tokenizer([list(passage.words)], is_split_into_words=True)
    mine = figures.label_pieces(encoded.word_ids(0), passage.labels)
    assert mine == punctuation.encode(tokenizer, [passage], len(mine))["labels"][0].tolist()


def test_every_control_changes_the_picture_and_its_alt_text():
    panel = explorer.EXPLORERS["pieces"]
    seen = panel.drive()
    for name, control in panel.controls.items():
        probes = dict.fromkeys(control.probes())
        alts = {ALT.match(seen[name, value])[1] for value in probes}
        assert len(alts) == len({seen[name, value] for value in probes}) == len(probes)


@pytest.mark.parametrize("base", explorer.BASES)
@pytest.mark.parametrize("rule", explorer.RULES)
def test_a_word_has_one_label_or_all_of_its_pieces_have_it(base, rule):
    pieces, labels, words = explorer.cut(3, base, rule)
    counted = sum(label is not None for label in labels)
    assert counted == (len(pieces) - 2 if rule == "every piece" else words)
    assert labels[0] is None and labels[-1] is None


# --- the page against the recordings -----------------------------------------------------------

SWEEPS = [*heads.TASKS, "definitions_minilm", "neighbours_minilm"]


def of_a_recording(name: str) -> set[tuple[str, str]]:
    """Each (mean, half of its interval) of a recorded sweep, as the page writes them."""
    run = recorded.load(f"08_{name}").data
    scores = [key for key in run["runs"][0] if key not in ("arm", "lr", "seed")]
    return {
        (f"{mean:.3f}", f"{half:.3f}")
        for score in scores
        for *_, mean, half in figures.table(run, score)
    }


@pytest.mark.parametrize("place", ["solutions/08_task_heads.py", "lora_lessons/claims.yml"])
def test_each_mean_with_an_interval_is_one_of_a_recording(place):
    text = (ROOT / place).read_text(encoding="utf-8")
    if place.endswith(".yml"):
        text = text[text.index("id: task_token_cls") :].split("- id:")[0]
    written = set(re.findall(r"(0\.\d{3}) ± (0\.\d{3})", text))
    assert written
    assert written <= set.union(*map(of_a_recording, SWEEPS))


def test_the_page_names_each_rate_that_is_the_last_of_those_tried():
    at_an_end = set()
    for task in heads.TASKS:
        run = recorded.load(f"08_{task}")
        for arm, rates in run.provenance["config"]["arms"].items():
            if run.data["arms"][arm]["lr"] in (min(rates), max(rates)):
                at_an_end.add((task, arm))
    assert at_an_end == {
        ("punctuation", experiment.HEAD_ONLY),
        ("punctuation", experiment.FULL),
        ("definitions", experiment.HEAD_ONLY),
        ("neighbours", experiment.FULL),
    }


def test_the_verdicts_of_the_page_are_those_of_the_recordings():
    spans = recorded.load("08_spans").data
    found = {arm: mean for arm, _, _, mean, _ in figures.table(spans, "exact match")}
    assert found["head only"] < spans["baseline"]["exact match"] < 0.9 < found["LoRA"]
    for task, known in heads.TASKS.items():
        run = recorded.load(f"08_{task}").data
        tried = {row["lr"]: row[known.metric] for row in run["tuning"] if row["arm"] == "LoRA"}
        assert tried[1e-2] < 0.1 * max(tried.values())  # it diverges
        settled = {
            gap.first: gap.settled
            for gap in ll.gaps_against(
                {arm: ll.by_seed(run["runs"], known.metric, arm=arm) for arm in run["arms"]},
                "LoRA",
                family=task,
            )
        }
        assert settled["full fine-tuning"] == (task == "punctuation")
        assert settled.get("head only", True) == (task != "definitions")
    marks = recorded.load("08_punctuation").data["runs"]
    for mark in (",", ".", "capitals"):
        full, lora = (ll.by_seed(marks, mark, arm=arm) for arm in ("full fine-tuning", "LoRA"))
        gap = ll.paired_gap(full, lora)
        assert gap.mean > 0 and 3 * gap.p < 0.05  # Bonferroni, which is stricter than Holm
