"""Lesson 07: its losses are the models' own, its runs are complete, its figures agree."""

from __future__ import annotations

import importlib
import re
import warnings
from pathlib import Path
from statistics import mean

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file

import lora_lessons as ll
from lora_lessons.base.tasks.spelling import (
    consonants,
    edit_distance,
    scores,
    split,
    spread_out,
    vowels,
)
from lora_lessons.course.checks.core import RIGHT
from lora_lessons.course.ledger import claims_table
from lora_lessons.course.lesson07 import checks_tasks, explorer, figures
from lora_lessons.course.recorded import load
from lora_lessons.experiments import lesson07 as experiment
from lora_lessons.experiments import letter_order, random_head, spelling
from lora_lessons.experiments.leak import leak_run
from lora_lessons.lora.more.task_models import TASK_CLASSES
from lora_lessons.train.loss import summed_loss

# --- what counts in a loss ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def nano():
    return ll.load_base("nano")


def test_the_stand_ins_make_the_models_own_loss(nano):
    model, tokenizer = nano
    batch = experiment.prompted(tokenizer)
    labels = experiment.labels_for(*batch[:3])
    loss = experiment.causal_loss(experiment.logits_of(model, batch.ids), labels)
    assert loss == pytest.approx(model(input_ids=batch.ids, labels=labels).loss.item(), rel=1e-5)
    total, count = summed_loss(model, {"input_ids": batch.ids, "labels": labels})
    assert loss == pytest.approx((total / count).item(), rel=1e-5)
    assert count == (batch.lengths - batch.prompt_lengths).sum()


def test_prompts_and_padding_have_no_label(nano):
    batch = experiment.prompted(nano[1])
    labels = experiment.labels_for(*batch[:3])
    for i, row in enumerate(labels):
        first, last = int(batch.prompt_lengths[i]), int(batch.lengths[i])
        assert (row[:first] == -100).all() and (row[last:] == -100).all()
        assert torch.equal(row[first:last], batch.ids[i, first:last])
        assert batch.words[i][last - 1] == "\n"


def test_what_the_padding_holds_changes_no_loss(nano):
    """A causal model does not look ahead, so padding on the right needs no mask."""
    model, tokenizer = nano
    batch = experiment.prompted(tokenizer)
    labels = experiment.labels_for(*batch[:3])
    padding = torch.arange(batch.ids.shape[1]) >= batch.lengths[:, None]  # (B, T)
    other = batch.ids.masked_fill(padding, 7)
    losses = [
        experiment.causal_loss(experiment.logits_of(model, ids), labels)
        for ids in (batch.ids, other)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_the_arguments_that_fit_save_every_new_module_and_name_nothing_else():
    for architecture, new in checks_tasks.NEW.items():
        found = experiment.fitting_arguments(architecture, new, checks_tasks.SAVED_BY)
        assert found["task_type"] == checks_tasks.TASKS[architecture]
        heads = checks_tasks.SAVED_BY[found["task_type"]]
        assert set(found["modules_to_save"]) == set(new) - set(heads)


def test_the_heads_in_the_exercise_are_those_of_the_wrappers():
    assert {t.value: tuple(c.heads) for t, c in TASK_CLASSES.items()} == checks_tasks.SAVED_BY


def test_the_task_may_be_the_packages_own_enum():
    def answer(architecture, new_modules, saved_by):
        task = checks_tasks.TASKS[architecture]
        rest = [name for name in new_modules if name not in saved_by[task]]
        return {"task_type": ll.TaskType(task), "modules_to_save": rest}

    assert ll.lesson("07").check.fitting_arguments(answer).outcome == RIGHT


def test_the_distance_may_be_a_numpy_integer():
    def answer(guess, target):
        rows = np.zeros((len(guess) + 1, len(target) + 1), int)
        rows[:, 0], rows[0] = range(len(guess) + 1), range(len(target) + 1)
        for i, one in enumerate(guess, start=1):
            for j, other in enumerate(target, start=1):
                kept = rows[i - 1, j - 1] + (one != other)
                rows[i, j] = min(rows[i - 1, j] + 1, rows[i, j - 1] + 1, kept)
        return rows[-1, -1]

    assert ll.lesson("07").check.edit_distance(answer).outcome == RIGHT


# --- the encoder-decoder -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_t5(tmp_path_factory):
    """A folder with a random T5 of 37,216 parameters."""
    from transformers import ByT5Tokenizer, T5Config, T5ForConditionalGeneration

    from lora_lessons.base.load import quiet_transformers

    ll.seed_everything(0)
    config = T5Config(
        vocab_size=384, d_model=32, d_kv=16, d_ff=64, num_layers=1, num_heads=2,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, dropout_rate=0.0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("t5")
    with quiet_transformers():
        T5ForConditionalGeneration(config).save_pretrained(folder)
        ByT5Tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def t5(tiny_t5):
    model, tokenizer = ll.load_base(tiny_t5)
    return model, *spelling.spelling_rows(tokenizer, train=40, valid=6), tokenizer


def test_the_loss_of_a_mask_in_four_dimensions_is_the_models_own(t5):
    model, rows, *_ = t5
    total, count = spelling.seq2seq_loss(model, rows)
    assert count == (rows["labels"] != -100).sum()
    torch.testing.assert_close(total / count, model(**rows).loss)


def test_the_shift_by_hand_is_the_models_own(t5):
    model, rows, *_ = t5
    inputs = {name: rows[name] for name in ("input_ids", "attention_mask")}
    read = experiment.shift_right(rows["labels"], start=0, pad=0)
    assert torch.equal(read, model._shift_right(rows["labels"]))
    logits = model(**inputs, decoder_input_ids=read).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows["labels"].flatten())
    torch.testing.assert_close(loss, model(**rows).loss)


def test_the_mean_loss_is_over_bytes_not_over_batches(t5, monkeypatch):
    model, _, valid, *_ = t5
    whole = spelling.mean_loss(model, valid)
    monkeypatch.setattr(spelling, "AT_ONCE", 4)
    assert spelling.mean_loss(model, valid) == pytest.approx(whole, rel=1e-6)


def test_what_is_said_ends_at_the_end_token(t5):
    model, _, valid, entries, tokenizer = t5
    said = spelling.say(model, tokenizer, valid)
    assert len(said) == len(entries) == 6
    assert all(isinstance(text, str) and "</s>" not in text for text in said)
    assert set(scores(said, entries)) == {"exact match", "sound error rate"}


def test_a_trained_model_says_the_two_words_that_it_learnt(tiny_t5, t5):
    _, rows, *_, tokenizer = t5
    two = {name: v[:2] for name, v in rows.items()}
    model, history = spelling.train_spelling(
        tiny_t5, lr=3e-3, seed=0, steps=700, rows=two, valid=two, arm="full", batch_size=2
    )
    assert history.last < 0.1 < history.eval_losses[0]
    labels = [tokenizer.decode(row[row != -100], skip_special_tokens=True) for row in two["labels"]]
    assert spelling.say(model, tokenizer, two) == labels


@pytest.fixture(scope="module")
def runs(tiny_t5):
    return spelling.spelling_runs(
        tiny_t5, {"LoRA": (1e-4, 1e-2), "full": (1e-3,)}, seeds=(0, 1), **TINY_RUNS
    )


TINY_RUNS = {"r": 2, "steps": 4, "tune_steps": 2, "batch_size": 4, "eval_every": 2}
TINY_RUNS |= {"train_words": 40, "valid_words": 6, "shown": 3}


def test_every_arm_runs_at_its_best_rate_with_every_seed(runs):
    assert [(run["arm"], run["seed"]) for run in runs["runs"]] == [
        ("LoRA", 0), ("LoRA", 1), ("full", 0), ("full", 1),
    ]  # fmt: skip
    for arm in ("LoRA", "full"):
        best = min((r for r in runs["tuning"] if r["arm"] == arm), key=lambda row: row["loss"])
        assert {run["lr"] for run in runs["runs"] if run["arm"] == arm} == {best["lr"]}
    for run in runs["runs"]:
        assert run["steps"] == [0, 2, 4]
        assert run["losses"][0] == pytest.approx(runs["before"]["loss"], rel=1e-5)
        assert run["losses"][-1] == pytest.approx(run["loss"], rel=1e-5)
        assert run["loss"] < runs["before"]["loss"]
    trained = {run["arm"]: run["trained"] for run in runs["runs"]}
    assert trained["LoRA"] < trained["full"] == 37_216
    assert {name: len(texts) for name, texts in runs["words"].items()} == dict.fromkeys(
        ("word", "sounds", "base", "LoRA", "full"), 3
    )


def test_one_run_measures_before_and_after(tiny_t5):
    run = spelling.one_run(tiny_t5, steps=3, batch_size=4, train=20, valid=4, shown=2)
    assert set(run["before"]) == set(run["after"]) == {"loss", "exact match", "sound error rate"}
    assert len(run["losses"]) == 3 and len(run["words"]["LoRA"]) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_step_of_an_encoder_decoder_is_captured(tiny_t5, t5):
    _, rows, *_ = t5
    how = {"lr": 1e-3, "seed": 0, "steps": 12, "rows": rows, "valid": rows, "batch_size": 4}
    _, captured = spelling.train_spelling(tiny_t5, device="cuda", capture=True, **how)
    _, eager = spelling.train_spelling(tiny_t5, device="cuda", capture=False, **how)
    assert captured.captured and not eager.captured
    assert captured.losses == pytest.approx(eager.losses, rel=0.02)


# --- the base without the order of its letters -------------------------------------------------


@pytest.fixture(scope="module")
def unseen():
    return spread_out(split()[1], 1024)  # the words of the recorded run


def test_the_order_of_the_letters_is_in_the_encoders_table_alone(unseen):
    model, tokenizer = ll.load_base("encoder_decoder")
    seven = [entry.word for entry in unseen if len(entry.word) == 7]
    before = letter_order.order_bias(model).detach().clone()
    found = letter_order.order_table(model, tokenizer, seven)
    replaced, turned, blind, by_decoder = found.values()
    assert torch.equal(letter_order.order_bias(model), before)
    assert replaced == pytest.approx(0.401, abs=5e-4) and turned == pytest.approx(1.067, abs=5e-4)
    assert by_decoder == pytest.approx(0.930, abs=5e-4) and blind < 1e-5 and len(seven) == 217


@pytest.fixture
def blind(tiny_t5):
    """A fresh base whose encoder cannot know the order, with a table that is not zero on disk."""
    model, tokenizer = spelling.fresh_base(tiny_t5, order=False)
    assert letter_order.order_bias(ll.load_base(tiny_t5)[0]).any()
    assert not letter_order.order_bias(model).any()
    assert letter_order.order_bias(model, "decoder").any()
    return model, tokenizer


def trained_at_random(model: torch.nn.Module) -> torch.nn.Module:
    """Draw what trains at random: an adapter that any training could have left."""
    ll.seed_everything(0)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.mark.parametrize(("arm", "sees"), [("LoRA", False), ("LoRA + table", True)])
def test_no_adapter_brings_the_order_back_but_by_the_table(blind, arm, sees):
    model, tokenizer = blind
    adapted = ll.get_peft_model(model, spelling.spelling_config(4, spelling.ARMS[arm]))
    trained_at_random(adapted)
    moved = letter_order.order_change(adapted, tokenizer, ["kitchen", "whalers"], range(7)[::-1])
    assert moved > 0.05 if sees else moved < 1e-5
    both = tokenizer(["kitchen", "nehctik"], return_tensors="pt")["input_ids"]
    one, other = adapted(input_ids=both, decoder_input_ids=both[:1].expand(2, -1)).logits
    assert torch.allclose(one, other, atol=1e-3) == (not sees)  # what is said is the same too


@pytest.mark.parametrize("library", ["lora_lessons", "peft"])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT asks for it
def test_only_the_encoders_table_is_saved_and_it_comes_back_in_both(
    tiny_t5, blind, library, tmp_path
):
    lora = importlib.import_module(library)
    arguments = {"r": 2, "target_modules": "all-linear", "task_type": "SEQ_2_SEQ_LM"}
    config = lora.LoraConfig(**arguments, modules_to_save=spelling.ARMS["LoRA + table"])
    model = trained_at_random(lora.get_peft_model(blind[0], config)).eval()
    plain = spelling.spelling_config(2)
    fewer = ll.get_peft_model(spelling.fresh_base(tiny_t5)[0], plain).get_nb_trainable_parameters()
    table = letter_order.order_bias(model).numel()
    assert model.get_nb_trainable_parameters()[0] == fewer[0] + table
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "adapter_model.safetensors")
    whole = [name for name in names if "lora_" not in name]
    assert whole == [f"base_model.model.{spelling.TABLE}.weight"]
    ids = blind[1](["kitchen"], return_tensors="pt")["input_ids"]
    for kind in (ll, peft):
        base, _ = spelling.fresh_base(tiny_t5, order=False)
        loaded = kind.PeftModel.from_pretrained(base, tmp_path).eval()
        losses = [m(input_ids=ids, labels=ids).loss for m in (loaded, model)]
        torch.testing.assert_close(*losses)


def test_each_arm_trains_from_a_blind_base_what_it_says(tiny_t5):
    arms = dict.fromkeys(spelling.ARMS, (1e-2,))
    found = spelling.spelling_runs(tiny_t5, arms, seeds=(0,), order=False, **TINY_RUNS)
    assert list(spelling.ARMS) == [run["arm"] for run in found["runs"]] == figures.arms(found)
    lora, table, full = (run["trained"] for run in found["runs"])
    assert table - lora == 32 * 2 and full == 37_216
    how = {"lr": 1e-2, "seed": 0, "steps": 4, "r": 2, "batch_size": 4, "order": False}
    rows, valid, _ = spelling.spelling_rows(ll.load_base(tiny_t5)[1], 40, 6)
    for arm in spelling.ARMS:
        model, _ = spelling.train_spelling(tiny_t5, rows=rows, valid=valid, arm=arm, **how)
        assert letter_order.order_bias(model).any() == (arm != "LoRA")


def test_an_unknown_arm_is_refused(t5, tiny_t5):
    _, rows, *_ = t5
    with pytest.raises(ValueError, match=r"no arm 'LoRA \+ tabel'; did you mean 'LoRA \+ table'"):
        spelling.train_spelling(tiny_t5, 1e-3, 0, 1, rows, rows, arm="LoRA + tabel")


def test_words_of_two_lengths_are_refused(t5):
    with pytest.raises(ValueError, match="must have one length"):
        letter_order.letter_states(t5[0], t5[-1], ["whale", "kitchen"])


def test_the_right_sounds_in_random_order_score_far_worse_than_the_trained_models(unseen):
    """The yardstick of the page: no sound is wrong, and 72 to 73 % of the places are."""
    said = letter_order.in_random_order(unseen)
    for entry, text in zip(unseen, said, strict=True):
        assert sorted(text.split()) == sorted(entry.sounds[0].split())
    found = scores(said, unseen)
    assert found["sound error rate"] == pytest.approx(0.725, abs=0.01)
    assert found["exact match"] < 0.021


def test_most_wrong_sounds_of_the_recorded_answers_are_vowels():
    words = load("07_spelling").data["words"]

    def edits(arm: str, kind) -> int:
        return sum(map(edit_distance, map(kind, words[arm]), map(kind, words["sounds"])))

    assert (edits("LoRA", vowels), edits("LoRA", consonants)) == (13, 2)
    assert (edits("full", vowels), edits("full", consonants)) == (8, 3)
    pilaster = words["word"].index("pilaster")
    assert words["LoRA"][pilaster] == "P AY L AE S T ER"


def of(arm: str, key: str, name: str = "07_spelling") -> str:
    """A measure of the recorded spelling runs as the page writes it."""
    mean, half = figures.measured(load(name).data, arm, key)
    if key == "loss":
        return f"{mean:.3f} ± {half:.3f}"
    return f"{100 * mean:.1f} ± {100 * half:.1f} %"


def points(gap: tuple[float, float]) -> str:
    """A difference of shares and half of its interval, in points; the text gives the sign."""
    return f"{100 * abs(gap[0]):.1f} ± {100 * gap[1]:.1f}"


def without_the_order(arm: str) -> tuple[float, float]:
    """Error rate of an arm from the blind base less that of LoRA from the whole one, by seeds."""
    blind, whole = (load(name).data["runs"] for name in ("07_spelling_no_order", "07_spelling"))
    both = [run | {"arm": "blind"} for run in blind if run["arm"] == arm]
    both += [run for run in whole if run["arm"] == "LoRA"]
    return figures.behind({"runs": both}, "blind", "sound error rate", "LoRA")


def test_the_page_and_its_claims_say_what_was_recorded():
    source = Path(__file__).resolve().parents[2] / "solutions" / "07_task_types.py"
    page = re.sub(r"\s+", " ", source.read_text("utf-8").replace("\n# ", " "))
    claims = " ".join(claim.decoder for claim in claims_table("07").claims)
    for arm in ("LoRA", "full"):
        for key in ("loss", "exact match", "sound error rate"):
            assert of(arm, key) in page and of(arm, key) in claims
    recorded, blinded = load("07_spelling").data, load("07_spelling_no_order").data
    loss, half = figures.behind(recorded, "LoRA", "loss")
    assert f"better by {loss:.4f} ± {half:.4f} nats" in page and loss > half
    match, error = (
        figures.behind(recorded, "LoRA", key) for key in ("exact match", "sound error rate")
    )
    assert f"{points(match)} points of exact match" in page and match[0] < -match[1]
    assert f"{points(error)} points of the error rate" in page and error[0] > error[1]
    assert f"{points(error)} points" in claims
    tried = {run["lr"]: run["loss"] for run in recorded["tuning"] if run["arm"] == "LoRA"}
    low, best, high = (f"{tried[lr]:.3f}" for lr in (1e-3, 3e-3, 1e-2))
    assert f"0.003 ended at a loss of {best}, 0.001 at {low}, and 0.01 failed, at {high}" in page
    for arm in figures.arms(blinded):
        assert of(arm, "sound error rate", "07_spelling_no_order") in page
    alone, table = map(without_the_order, ("LoRA", "LoRA + table"))
    assert f"{points(alone)} points above" in claims and alone[0] > alone[1]
    assert f"{points(table)} points from LoRA on the whole base" in page and table[0] < table[1]
    for arm in ("LoRA", "LoRA + table"):
        assert of(arm, "sound error rate", "07_spelling_no_order") in claims
    heads = load("07_head").data
    for arm in ("no task_type", "SEQ_CLS"):
        for key in ("trained", "loaded"):
            values = [row[key] for row in heads if row["arm"] == arm]
            number = f"{sum(values) / len(values):.1%}".replace("%", " %")
            assert page.count(number) >= 2 and number in claims  # once in the model's answer


def test_the_claim_of_a_causal_model_has_the_losses_recorded_on_smollm2():
    (claim,) = (claim for claim in claims_table("07").claims if claim.id == "task_causal_lm")
    (example,) = (claim for claim in claims_table("00").claims if claim.id == "example")
    losses = load("00_noise_floor_smollm2").data
    after = f"{mean(losses):.3f} ± {figures.half_width95(losses):.3f} in 120 steps, five seeds"
    before = load("05_targets_smollm2").data["before"]  # the same validation text
    for said in (claim.smollm2, example.smollm2):
        assert f"rom {before:.3f} to {after}" in said


def test_the_claims_say_what_smollm2s_head_lost():
    said = {claim.id: claim.smollm2 for claim in claims_table("07").claims}
    heads, language = load("07_head_smollm2").data, load("05_arguments_smollm2").data
    arms = {arm: [row for row in heads if row["arm"] == arm] for arm in ("no task_type", "SEQ_CLS")}
    whole = [["base_model.model.score.weight"]] * 3
    assert [[row["saved"] for row in rows] for rows in arms.values()] == [[[]] * 3, whole]
    assert all(row["trained"] == row["loaded"] for row in arms["SEQ_CLS"])
    none, kept = (
        [
            f"{mean(row[key] for row in rows):.1%}".replace("%", " %")
            for key in ("trained", "loaded")
        ]
        for rows in arms.values()
    )
    lost = points(figures.lost(heads, "no task_type"))
    assert f"from {none[0]} to {none[1]} ({lost} points lost, three" in said["task_behavior"]
    assert f"with SEQ_CLS it stays at {kept[0]}" in said["task_behavior"]
    (first,) = (row for row in language if row["argument"] == "as it is")
    (untyped,) = (row for row in language if row["argument"] == "task_type")
    assert first | {"argument": "task_type", "wrapper": "PeftModel"} == untyped
    assert f"the same {first['trained']:,d} trained numbers" in said["task_context"]


# --- the style ---------------------------------------------------------------------------------


def test_the_rate_is_tuned_with_another_seed_than_the_runs():
    result = experiment.style_runs(
        lrs=(1e-5, 3e-3), seeds=(0, 1), r=2, steps=4, batch_size=2, length=16, valid_blocks=4
    )
    assert [row["lr"] for row in result["tuning"]] == [1e-5, 3e-3]
    assert result["lr"] == min(result["tuning"], key=lambda row: row["loss"])["lr"]
    assert [row["seed"] for row in result["rows"]] == [0, 1]
    assert result["rows"][0]["loss"] != result["rows"][1]["loss"]
    assert all(row["loss"] < result["before"] for row in result["rows"])


# --- the head ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head_rows():
    return random_head.head_after_a_save(steps=4, batch_size=4, length=16, train=40, valid=40)


def test_only_a_head_that_is_saved_comes_back_as_it_was(head_rows):
    by_arm = {row["arm"]: row for row in head_rows}
    assert list(by_arm) == list(random_head.ARMS)
    for arm in ("SEQ_CLS", "modules_to_save"):
        assert by_arm[arm]["saved"] == ["base_model.model.score.weight"]
        assert by_arm[arm]["loaded"] == by_arm[arm]["trained"]
    for arm in ("no task_type", "a wrong task_type", "LoRA on the head"):
        assert by_arm[arm]["saved"] == []
    # the same training, whatever the wrapper is called
    assert by_arm["no task_type"]["loss"] == by_arm["a wrong task_type"]["loss"]
    assert by_arm["SEQ_CLS"]["loss"] == by_arm["modules_to_save"]["loss"]
    assert by_arm["SEQ_CLS"]["loss"] != by_arm["no task_type"]["loss"]


def test_the_head_is_random_by_its_seed():
    first, second, third = (random_head.classifier("nano", seed).score.weight for seed in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_without_a_task_type_the_head_is_frozen():
    model = random_head.classifier("nano", 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ll.PeftWarning)
        adapted = ll.get_peft_model(model, ll.LoraConfig(target_modules=["q_proj"]))
    assert not adapted.base_model.model.score.weight.requires_grad


def test_the_rows_are_half_of_each_writer_and_share_no_text():
    train, valid = random_head.writer_rows("nano", length=16, train=60, valid=20)
    for rows, count in ((train, 60), (valid, 20)):
        assert rows["input_ids"].shape == (count, 16)
        assert rows["labels"].sum() == count // 2
    known = {tuple(row) for row in train["input_ids"].tolist()}
    again = [row for row in valid["input_ids"].tolist() if tuple(row) in known]
    assert len(again) <= 1  # all addresses greet in the same words


# --- figures, tables, explorer -----------------------------------------------------------------


def test_perplexity_is_the_exponential_of_each_seeds_loss():
    result = {"before": 0.0, "rows": [{"loss": 0.0}, {"loss": 1.0}]}
    before, after, half = figures.perplexities(result)
    assert before == 1.0 and after == pytest.approx((1 + 2.718281828) / 2)
    assert half == pytest.approx(12.706204736 * (2.718281828 - 1) / 2, rel=1e-6)
    assert len(figures.style({"a": result, "b": result}).axes) == 2


def test_the_spelling_figure_and_tables(runs):
    figure = figures.spelling(runs)
    labels = [text.get_text() for text in figure.axes[1].get_xticklabels()]
    assert labels == ["base", "LoRA", "full"]
    mean, half = figures.measured(runs, "LoRA", "loss")
    first, second = (run["loss"] for run in runs["runs"][:2])
    assert mean == pytest.approx((first + second) / 2)
    assert half == pytest.approx(12.706204736 * abs(first - second) / 2, rel=1e-6)
    assert [row[0] for row in figures.spelling_table(runs).rows] == ["base", "LoRA", "full"]
    words = figures.words_table(runs["words"])
    assert words.head == ("word", "sounds", "base", "LoRA", "full") and len(words.rows) == 3


def test_the_head_figure_and_table(head_rows):
    figure = figures.heads(head_rows)
    trained, loaded, *joined, _ = figure.axes[0].lines
    assert len(joined) == len(head_rows)
    assert list(trained.get_ydata()) == [row["trained"] for row in head_rows]
    assert list(loaded.get_ydata()) == [row["loaded"] for row in head_rows]
    assert figures.lost(head_rows, "SEQ_CLS") == (0, 0)
    assert [row[2] for row in figures.heads_table(head_rows).rows].count("not saved") == 3
    points = {row[0]: row[1] for row in figures.lost_table(head_rows).rows}
    assert points["SEQ_CLS"] == "0.0 ± 0.0"


def test_a_leak_lowers_the_loss_and_teaches_nothing():
    found = leak_run(steps=12, batch_size=8, valid=8)
    assert found["leaking"] < 3 < found["before"]
    assert found["shifted"] > 2 * found["leaking"]
    assert len(found["words"]["said"]) == 4


def test_the_explorers_mean_is_the_models_loss():
    model, tokenizer = ll.load_base("decoder")
    batch = experiment.prompted(tokenizer)
    labels = experiment.labels_for(*batch[:3])
    for i, row in enumerate(explorer.ROWS):
        found = explorer.places(row, "by one", explorer.LEFT_OUT, explorer.LEFT_OUT)
        loss = model(input_ids=batch.ids[i : i + 1], labels=labels[i : i + 1]).loss.item()
        assert found.mean == pytest.approx(loss, rel=1e-4)
        assert found.number == (labels[i] != -100).sum()


def test_each_mistake_in_the_explorer_makes_the_loss_worse():
    row = explorer.ROWS[2]
    right = explorer.places(row, "by one", explorer.LEFT_OUT, explorer.LEFT_OUT)
    for shift in ("not at all", "by two"):
        wrong = explorer.places(row, shift, explorer.LEFT_OUT, explorer.LEFT_OUT)
        assert wrong.mean > right.mean + 1
    padded = explorer.places(row, "by one", explorer.LEFT_OUT, explorer.COUNTED)
    assert padded.number == right.number + 3 and padded.mean > right.mean + 1
    assert "13 of 13 places count" in explorer.alt(row, "by one", "counted", "counted")
