"""The comparisons of lessons 05 to 08: {caption: {row: (first, second)}}."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from .arithmetic import Arm
from .choosing import Pairs, against, as_arm, best_rate, having, pairs, scaled
from .stored import recording

FULL = "full fine-tuning"
MINILM = "MiniLM, definitions, accuracy"


def _at_chosen(name: str, measure: str, by: str = "best", highest: bool = False) -> dict[str, Arm]:
    """Each arm on the reported seeds, at the rate that its tuning rows choose."""
    data, found = recording(name), {}
    for arm in {row["arm"] for row in data["runs"]}:
        lr = best_rate(having(data["tuning"], arm=arm), by, highest)
        found[arm] = as_arm(having(data["runs"], arm=arm, lr=lr), measure)
        reported = {row["lr"] for row in having(data["runs"], arm=arm)}
        assert reported == {lr}, f"{name}, {arm}: ran at {reported}, the tuning chose {lr}"
    return found


def lesson05() -> dict[str, Pairs]:
    """Choices of targets at one budget, ranks, and the card's other arguments."""
    nano, larger = (_at_chosen(name, "best") for name in ("05_targets", "05_targets_smollm2"))
    ranks = _at_chosen("05_ranks", "best")
    four = ("q, v", "q, k, v, o", "MLP", "all-linear")
    seven = {name: nano[name] for name in ("q", "k", "v", "o", "q, k", "q, v", "q, k, v, o")}
    ends = [(f"{name}: r = 64", f"{name}: r = 1") for name in ("q", "q, v", "q, k, v, o")]
    halved = {"all-linear at r = 4": nano["r = 4"], "q, k, v, o": nano["q, k, v, o"]}
    widest = [("q, v", "all-linear"), ("r = 4", "r = 16"), ("all-linear", "alpha = 32"),
              ("all-linear", "dropout = 0.1")]  # fmt: skip
    return {
        "the six pairs of choices": pairs(nano, *combinations(four, 2)),
        "the six pairs of choices (2)": pairs(larger, *combinations(four, 2)),
        "seed by seed": against(halved, "q, k, v, o"),
        "each choice against q, v": against(seven, "q, v"),
        "r = 64 against r = 1": pairs(ranks, *ends),
        "the widest gap of each argument": pairs(nano, *widest),
        "SmolLM2: the widest gap of each argument": pairs(
            larger, ("q", "MLP"), ("r = 4", "r = 16")
        ),
    }


def lesson06() -> dict[str, Pairs]:
    """Bias modes on both recorded models; the live table of the page is not recorded."""
    encoder = _at_chosen("06_bias_modes_encoder", "best")
    decoder = _at_chosen("06_bias_modes_decoder", "best")
    return {
        "encoder: each arm against none": against(encoder, "none"),
        "decoder: each arm against none": against(decoder, "none"),
        "encoder": pairs(encoder, ("all", "none, wider")),
    }


def lesson07() -> dict[str, Pairs]:
    """Spelling to sound: LoRA against full fine-tuning, and from a base that lacks the order."""
    sides, three = {}, []
    for key, unit in (("loss", 1), ("exact match", 100), ("sound error rate", 100)):
        for arm, values in _spelling("07_spelling", key).items():
            sides[f"{arm}, {key}"] = scaled(values, unit)
        three.append((f"LoRA, {key}", f"full, {key}"))
    blind = _spelling("07_spelling_no_order", "sound error rate")
    arms = {f"{arm}, blind": scaled(blind[arm], 100) for arm in ("LoRA", "LoRA + table")}
    arms["LoRA, whole"] = sides["LoRA, sound error rate"]
    said = "loss in nats per byte, else in points: LoRA against full fine-tuning, three measures"
    return {
        said: pairs(sides, *three),
        "LoRA from the blind base and the whole one": against(arms, "LoRA, whole"),
    }


def _spelling(name: str, measure: str) -> dict[str, Arm]:
    return _at_chosen(name, measure, by="loss")


def lesson08() -> dict[str, Pairs]:
    """The heads: each arm against LoRA by each task's measure."""
    found: dict[str, Any] = {}
    chosen_by = {"definitions": "macro F1", "spans": "exact match", "punctuation": "mean",
                 "neighbours": "recall@1"}  # fmt: skip
    for task, metric, words in (
        ("definitions", "macro F1", "macro F1"),
        ("definitions", "accuracy", "accuracy"),
        ("spans", "exact match", "exact match"),
        ("punctuation", "mean", "mean F1"),
        ("neighbours", "recall@1", "recall@1"),
        ("neighbours", "recall@10", "recall@10"),
    ):
        arms = _at_chosen(f"08_{task}", metric, by=chosen_by[task], highest=True)
        found[f"{task}, {words}: each arm against LoRA"] = against(arms, "LoRA")
    marks = {}
    for mark, name in ((",", "commas"), (".", "full stops"), ("capitals", "capitals")):
        of_mark = _at_chosen("08_punctuation", mark, by="mean", highest=True)
        marks |= pairs(
            {f"{arm}, {name}": values for arm, values in of_mark.items()},
            (f"{FULL}, {name}", f"LoRA, {name}"),
        )
    found[f"{FULL} against LoRA, three marks"] = marks
    minilm = _at_chosen("08_definitions_minilm", "accuracy", by="macro F1", highest=True)
    return found | {MINILM: against(minilm, "LoRA")}
