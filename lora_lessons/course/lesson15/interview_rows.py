"""The measured row of each interview question: read off the recordings, and nowhere typed in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import mean, median
from typing import Any

from ...experiments.gaps import by_seed, paired_gap
from ...experiments.task import best_rate
from ..recorded import load


def _of(name: str) -> Any:
    return load(name).data


def _where(rows: Iterable[Mapping[str, Any]], /, **wanted: Any) -> list[Mapping[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def _gap(first: Mapping, second: Mapping) -> str:
    gap = paired_gap(first, second)
    return f"{gap.mean:+.3f} ± {gap.half:.3f}"


def start() -> str:
    """What trains, and the loss at both ends of a run."""
    found = _of("02_what_trains")
    return (
        f"{found['trained_tensors']} tensors train, {found['trained_outside']} outside of A and B; "
        f"loss {found['first_loss']:.3f} at the first step, {found['last_loss']:.3f} at the last."
    )


def spectrum() -> str:
    """What a cut to rank 8 leaves of a full update's gain."""
    found = _of("01_update_spectrum")
    shares = []
    for run in found["runs"]:
        won = run["loss_before"] - run["loss_after"]
        kept = run["loss_before"] - run["loss_at_rank"][found["ranks"].index(8)]
        shares.append(kept / won)
    return f"Cut to rank 8, a full update keeps {mean(shares):.0%} of the loss that it won."


def alpha_rate() -> str:
    """The best learning rate for each alpha."""
    rows = _of("03_alpha_sweep")
    found = [
        f"{best_rate(rows, 'best', alpha=a):g} at alpha = {a:g}"
        for a in sorted({r["alpha"] for r in rows})
    ]
    return f"Best rate: {', '.join(found)}."


def rank_rate() -> str:
    """The best learning rate for three ranks, by both rules for alpha."""
    rows = _of("01_rank_sweep")
    told = []
    for rule in ("alpha = 16", "alpha = 2r"):
        rates = [f"{best_rate(rows, 'best', rule=rule, r=r):g}" for r in (1, 8, 128)]
        told.append(f"{rule}: {', '.join(rates)}")
    return f"Best rate at r = 1, 8, 128 with {'; with '.join(told)}."


def dropout() -> str:
    """What p = 0.1 changes on the full text, each at its best rate."""
    rows = _of("04_dropout_full_data")["rows"]
    none, half = (
        by_seed(rows, "best", p=p, decay=0.0, lr=best_rate(rows, "best", p=p, decay=0.0))
        for p in (0.0, 0.1)
    )
    return f"On the full text p = 0.1 changes the best loss by {_gap(half, none)} nats."


def targets() -> str:
    """Two choices of layers against q, v at one budget."""
    runs = _of("05_targets")["runs"]
    base = by_seed(runs, "best", arm="q, v")
    told = [f"{arm} {_gap(by_seed(runs, 'best', arm=arm), base)}" for arm in ("MLP", "all-linear")]
    return f"Against q, v at one budget, in nats: {'; '.join(told)}."


def typo() -> str:
    """The ranks that one budget gives to q alone, and to q and v."""
    arms = _of("05_targets")["arms"]
    r = {arm: arms[arm]["r"] for arm in ("q", "q, v")}
    return (
        f"At one budget q alone has r = {r['q']}, q and v r = {r['q, v']}: what matched decides r."
    )


def biases() -> str:
    """How many biases each mode trains."""
    arms = _of("06_bias_modes_encoder")["arms"]
    told = [f"{name}: {arms[name]['biases']:,}" for name in ("none", "lora_only", "all")]
    return f"Biases that train on the encoder: {'; '.join(told)}."


def task_type() -> str:
    """The wrapper and the loss, with the task type and without."""
    rows = _of("05_arguments_smollm2")
    first, other = (_where(rows, argument=name)[0] for name in ("as it is", "task_type"))
    return (
        f"With and without it the wrapper is {first['wrapper']} and {other['wrapper']}; the loss "
        f"is {first['loss']:.3f} and {other['loss']:.3f}."
    )


def random_head() -> str:
    """Scores before saving and after loading, with the pooler named and without."""
    rows = _of("08_reload")
    told = []
    for choice in ("task type and pooler", "task type alone"):
        some = _where(rows, choice=choice)
        told.append(
            f"{choice} {mean(r['before'] for r in some):.2f}, {mean(r['after'] for r in some):.2f}"
        )
    return f"Macro F1 before saving and after loading: {'; '.join(told)}."


def merging() -> str:
    """The share of weights that a merge in bfloat16 leaves as they were."""
    rows = _of("09_merge_rounding")["rows"]
    told = []
    for factor in (1.0, 0.01):
        some = _where(rows, dtype="bfloat16", factor=factor)
        told.append(
            f"{mean(r['unchanged'] for r in some):.0%} of weights at {factor:g} times the update"
        )
    return f"Merged in bfloat16, unchanged by it: {'; '.join(told)}."


def forgets() -> str:
    """LoRA less full fine-tuning, on the text that is learnt and the one that is left."""
    found = _of("10_forgetting")
    ends = {}
    for arm in ("LoRA, r = 8", "full"):
        rows = _where(found["rows"], arm=arm, lr=found["chosen"][arm])
        for text in ("target", "base"):
            ends[arm, text] = {row["seed"]: row[text][-1] for row in rows}
    told = [f"{t} {_gap(ends['LoRA, r = 8', t], ends['full', t])}" for t in ("target", "base")]
    return f"LoRA less full after equal steps, in nats: {'; '.join(told)}."


def ten_times() -> str:
    """The best rates of LoRA and of full fine-tuning, and their ratio."""
    chosen = _of("10_forgetting")["chosen"]
    lora, full = chosen["LoRA, r = 8"], chosen["full"]
    return f"Best rates {lora:g} (LoRA, r = 8) and {full:g} (full): {lora / full:.1f} times."


def memory() -> str:
    """Three parts of a step at 8 B, in full and with LoRA."""
    rows = _of("11_predicted")["rows"]
    lora, full = (_where(rows, size="8 B", arm=a, rows=1)[0] for a in ("LoRA", "full, bf16"))
    told = [
        f"{part} {full[part] / 2**30:.1f} and {lora[part] / 2**30:.1f}"
        for part in ("optimizer", "gradients", "activations")
    ]
    return f"8 B, one row of 2,048, GiB in full and with LoRA: {'; '.join(told)}."


def launches() -> str:
    """A small model's step, launched one by one and captured."""
    rows = _of("11_step_times")["rows"]
    told = []
    for how in ("eager", "captured"):
        lora, full = (
            1e3 * median(_where(rows, size="135 M", arm=arm, how=how)[0]["seconds"]["done"])
            for arm in ("LoRA", "full, bf16")
        )
        told.append(f"{how} {lora:.0f} ms with LoRA, {full:.0f} ms in full")
    return f"A step at 135 M: {'; '.join(told)}."


def bits() -> str:
    """Bits a weight in NF4, by what is stored beside the codes."""
    rows = _of("12_errors")["rows"]
    one = _where(rows, form="nf4", block=64)[0]
    saved = 32 / 64 - (8 / 64 + 32 / (64 * 256))
    return (
        f"NF4 in blocks of 64: {one['bits']:g} bits, {one['bits'] - saved:.3f} with double "
        f"quantization; the codes use {one['used']:.2f} of 4."
    )


def merge_4bit() -> str:
    """The loss apart, merged into floats, and coded again."""
    rows = _where(_of("12_formats")["fresh"], form="nf4", r=8)
    kinds = {"apart": "after", "merged into floats": "decoded", "coded again": "again"}
    told = [f"{name} {mean(row[key] for row in rows):.3f}" for name, key in kinds.items()]
    return f"Validation loss, NF4: {'; '.join(told)}."


def rslora() -> str:
    """rsLoRA less LoRA, each tuned, and at one rate for both."""
    found = _of("13_variants_1")
    tuned = [
        by_seed(found["rows"], "loss", arm=arm, lr=found["chosen"][arm])
        for arm in ("rsLoRA", "LoRA")
    ]
    rows = [row for row in _of("13_scaling") if row["seed"] < 10]  # 10 and 11 choose a rate
    lowest = min(row["lr"] for row in rows)
    at_one = [
        by_seed(rows, "loss", arm=arm, lr=lowest)
        for arm in ("rsLoRA, alpha = r", "LoRA, alpha = 2r")
    ]
    return (
        f"rsLoRA less LoRA, in nats: {_gap(*tuned)} with each at its own best rate; "
        f"{_gap(*at_one)} at the one rate {lowest:g}, with the scalings of a public benchmark."
    )


def many_adapters() -> str:
    """Answers from the wrong adapter: our server, and one that is asked carelessly."""
    load, server = _of("14_load"), _of("14_llama")
    # what should have been an error has no right text
    wrong = sum(row["text"] != server["torch"].get(row["wanted"]) for row in server["asked"])
    return (
        f"{load['requests']:,} requests over {load['adapters']} adapters through lesson 14's "
        f"server: {load['wrong_adapter']} answers from the wrong adapter. llama.cpp's, asked "
        f"carelessly too: {wrong} of {len(server['asked'])} texts are another model's."
    )


def proof() -> str:
    """How many bytes of codes two implementations of NF4 differ in."""
    found = _of("12_bitsandbytes")
    apart = sum(row["codes_differ"] for row in found["codes"])
    total = sum(row["bytes"] for row in found["codes"])
    return f"One such comparison, lesson 12's: {apart} of {total:,} bytes of codes differ."
