"""The comparisons of lessons 01 to 03: {caption: {row: (first, second)}}."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np

from .arithmetic import Arm
from .choosing import Pairs, Row, against, as_arm, best_rate, having, pairs, parted
from .stored import recording

RANKS = "best validation loss, alpha = {}: each rank against the next"


def lesson01() -> dict[str, Pairs]:
    """Cuts of a full update, ranks, and little data."""
    sweep, larger = recording("01_rank_sweep"), recording("01_rank_sweep_smollm2")
    both = "alpha = 2r"
    one_rate = {f"r = {r}": as_arm(having(sweep, rule=both, r=r, lr=1e-3), "best")
                for r in sorted({row["r"] for row in having(sweep, rule=both)})}  # fmt: skip
    smol = _ranks(larger, both, "best")
    said = "12,000 tokens, {} validation loss, alpha = {}; {}: each against r = 8"
    two, two_rates = _little("alpha = 2r")
    same, same_rates = _little("alpha = 16")
    two_last, two_last_rates = _little("alpha = 2r", "last")
    same_last, same_last_rates = _little("alpha = 16", "last")
    return {
        **_cut(sweep),
        RANKS.format("2r"): _steps(_ranks(sweep, both, "best")),
        RANKS.format("16"): _steps(_ranks(sweep, "alpha = 16", "best")),
        "best validation loss, alpha = 2r, rate 0.001: each rank against 32": against(
            one_rate, "r = 32"
        ),
        "training loss, alpha = 2r: each rank against the next": _steps(
            _ranks(sweep, both, "train")
        ),
        said.format("best", "2r", two_rates): against(two, "r = 8"),
        said.format("best", "16", same_rates): against(same, "r = 8"),
        said.format("last", "2r", "rate 0.0003"): against(_last(3e-4), "r = 8"),
        said.format("last", "2r", two_last_rates): against(two_last, "r = 8"),
        said.format("last", "16", same_last_rates): against(same_last, "r = 8"),
        "SmolLM2-135M, best validation loss: each rank against 128": against(smol, "r = 128"),
        "SmolLM2-135M, best validation loss: all pairs of ranks": pairs(
            smol, *combinations(smol, 2)
        ),
        # the second table of this caption on the page: SmolLM2's
        "training loss, alpha = 2r: each rank against the next (2)": _steps(
            _ranks(larger, both, "train")
        ),
    }


def _ranks(rows: list[Row], rule: str, measure: str) -> dict[str, Arm]:
    """Each rank at the rate with the best mean of the measure, on the seeds reported."""
    found = {}
    for r in sorted({row["r"] for row in having(rows, rule=rule)}):
        mine = having(rows, rule=rule, r=r)
        found[f"r = {r}"] = as_arm(having(mine, lr=best_rate(mine, measure)), measure)
    return found


def _steps(arms: dict[str, Arm]) -> Pairs:
    return pairs(arms, *pairwise(arms))


def _cut(sweep: list[Row]) -> dict[str, Pairs]:
    run = recording("01_update_spectrum")
    cut = {f"cut to {rank}": {one["seed"]: one["loss_at_rank"][place] for one in run["runs"]}
           for place, rank in enumerate(run["ranks"])}  # fmt: skip
    shown = [f"cut to {rank}" for rank in (8, 16, 32, 64, 128)]
    lora = _ranks(sweep, "alpha = 2r", "best")
    every = cut | {f"LoRA, {name}": arm for name, arm in lora.items()}
    return {
        "validation loss: each cut against the whole update, rank 256": pairs(
            cut, *((name, "cut to 256") for name in shown)
        ),
        "validation loss: LoRA against the cut, three ranks": pairs(
            every, *((f"LoRA, r = {r}", f"cut to {r}") for r in (8, 32, 128))
        ),
    }


def _little(rule: str, measure: str = "best") -> tuple[dict[str, Arm], str]:
    """Arms on 12,000 tokens, each at the rate that seeds 10 and 11 chose; and those rates."""
    tuning, reported = parted(recording("01_rank_sweep_little_data_tuned"))
    found, rates = {}, []
    names = {f"r = {r}": (rule, r) for r in (1, 8, 32, 128)}
    names["full fine-tuning"] = ("full fine-tuning", None)
    for name, (kind, r) in names.items():
        lr = best_rate(having(tuning, rule=kind, r=r), measure)
        found[name] = as_arm(having(reported, rule=kind, r=r, lr=lr), measure)
        rates.append(f"{name} at {lr:g}")
    return found, ", ".join(rates)


def _last(lr: float) -> dict[str, Arm]:
    reported = having(parted(recording("01_rank_sweep_little_data_tuned"))[1], lr=lr)
    arms = {f"r = {r}": as_arm(having(reported, rule="alpha = 2r", r=r), "last")
            for r in (1, 8, 32, 128)}  # fmt: skip
    full = as_arm(having(reported, rule="full fine-tuning"), "last")
    return arms | {"full fine-tuning": full}


def lesson02() -> dict[str, Pairs]:
    """Overlaps of subspaces, and amplification."""
    rows, said = recording("02_subspaces")["rows"], "Overlap of the first {}: {}"
    names = {"small and large": "r = 8 and r = 64", "large, two seeds": "r = 64, two seeds"}
    found = {}
    for words, place in (("8 directions", 7), ("direction", 0)):
        arms = {f"{names[row['pair']]}: {row['module']} {row['of']}":
                {seed: curve[place] for seed, curve in enumerate(row["equal"])}
                for row in rows if row["pair"] in names}  # fmt: skip
        large, small = names["large, two seeds"], names["small and large"]
        places = [(layer, of) for layer in ("q_proj", "v_proj") for of in ("A", "BA")]
        found[said.format(words, "two runs of one rank against two ranks")] = pairs(
            arms, *((f"{large}: {layer} {of}", f"{small}: {layer} {of}") for layer, of in places)
        )
        found[said.format(words, "BA against A")] = pairs(
            arms,
            *((f"{run}: {layer} BA", f"{run}: {layer} A")
              for run in (small, large) for layer in ("q_proj", "v_proj")),
        )  # fmt: skip
    return found | _amplified()


def _amplified() -> dict[str, Pairs]:
    rows = recording("02_amplification")["rows"]
    factor = {f"{row['module']}, r = {row['r']}": dict(enumerate(row["factor"])) for row in rows}
    shares = [np.divide(row["in_update"], row["chance"]) for row in rows]
    held = {name: dict(enumerate(share)) for name, share in zip(factor, shares, strict=True)}
    falls = [(f"{m}, r = {a}", f"{m}, r = {b}") for m in ("q_proj", "v_proj")
             for a, b in ((4, 8), (8, 64))]  # fmt: skip
    return {
        "Amplification factor: each rank against the next": pairs(factor, *falls),
        "W held, times chance: against chance": against(
            held | {"chance": dict.fromkeys(range(3), 1.0)}, "chance"
        ),
    }


def lesson03() -> dict[str, Pairs]:
    """Alpha left or raised with r, two scalings, and each alpha."""
    found = {}
    sweep = recording("01_rank_sweep")
    for lr in (3e-4, 1e-3):
        arms = {f"{rule}, r = {r}": as_arm(having(sweep, rule=rule, r=r, lr=lr), "best")
                for rule in ("alpha = 16", "alpha = 2r") for r in (8, 128)}  # fmt: skip
        found[f"AdamW at {lr:g}, best loss: r raised, with alpha left or kept at 2r"] = pairs(
            arms,
            ("alpha = 16, r = 128", "alpha = 16, r = 8"),
            ("alpha = 2r, r = 128", "alpha = 2r, r = 8"),
            ("alpha = 2r, r = 128", "alpha = 16, r = 128"),
        )
    return found | _scalings() | _alphas()


def _scalings() -> dict[str, Pairs]:
    tuning, reported = parted(recording("03_rank_scaling"))
    tuned, at_128 = {}, {}
    for root, rule in ((False, "alpha / r"), (True, "alpha / sqrt(r)")):
        for r in (8, 128):
            lr = best_rate(having(tuning, r=r, use_rslora=root), "best")
            mine = having(reported, r=r, use_rslora=root)
            tuned[f"{rule}, r = {r}"] = as_arm(having(mine, lr=lr), "best")
        for lr in (1e-4, 3e-4, 1e-3, 3e-3):
            at_128[f"{rule} at {lr:g}"] = as_arm(having(mine, lr=lr), "best")
    plain, root = "alpha / r", "alpha / sqrt(r)"
    return {
        "best loss, rates tuned: both rules at both ranks": pairs(
            tuned,
            *((f"{root}, r = {r}", f"{plain}, r = {r}") for r in (8, 128)),
            *((f"{rule}, r = 128", f"{rule}, r = 8") for rule in (plain, root)),
        ),
        "r = 128, at one rate: the two rules at the same rate": pairs(
            at_128,
            *((f"{root} at {lr:g}", f"{plain} at {lr:g}") for lr in (1e-4, 3e-4, 1e-3, 3e-3)),
        ),
    }


def _alphas() -> dict[str, Pairs]:
    found = {}
    said = "{}: each alpha against {}", "{}, alpha = 1 less 16: alpha = 1 against 16 at each rate"
    for name, who, first, reference in (
        ("03_alpha_sweep", "decoder", "decoder, each alpha at its best rate", "32"),
        ("03_alpha_sweep_smollm2", "SmolLM2", "SmolLM2, each at its best rate", "16"),
    ):
        rows, arms = recording(name), {}
        for alpha in sorted({row["alpha"] for row in rows}):
            mine = having(rows, alpha=alpha)
            arms[f"{alpha:g}"] = as_arm(having(mine, lr=best_rate(mine, "best")), "best")
        found[said[0].format(first, reference)] = against(arms, reference)
        at = {f"{alpha} at {lr:g}": as_arm(having(rows, alpha=alpha, lr=lr), "best")
              for alpha in (1, 16) for lr in {row["lr"] for row in rows}}  # fmt: skip
        rates = sorted({row["lr"] for row in rows})
        found[said[1].format(who)] = pairs(at, *((f"1 at {lr:g}", f"16 at {lr:g}") for lr in rates))
    return found
