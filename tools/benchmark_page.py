"""Put the benchmarks' stored results into docs/training.md: its tables and the sentences on them.

    python tools/benchmark_page.py            name the parts that differ; ends with 1 if any does
    python tools/benchmark_page.py --write    put them right
    python tools/benchmark_page.py --merge a/gpu.json b/gpu.json    first join runs of some shapes

A part stands between `<!-- measured: NAME -->` and `<!-- end -->`. What lies between is written by
this tool alone, from benchmarks/results/*.json. A case that failed, or that was never measured, has
a dash or no row.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import RESULTS, SHAPES, load, save

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
EAGER, PEFT, LIGER = "PEFT as it comes", "PEFT bf16, captured", "PEFT bf16, Liger"
OURS, WRITTEN, DROPOUT = "ours, compiled and captured", "ours, captured", "the same, dropout 0.05"
FLOOR = "frozen floor, compiled and captured"
DASH = "-"
Row = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of markdown."""
    head = list(head)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def shown(value: float | None, digits: int, times: float = 1.0) -> str:
    """A number, or a dash where there is none."""
    return DASH if value is None else f"{value * times:.{digits}f}"


def milliseconds(row: Row) -> str:
    """A row's step, to three digits or so."""
    seconds = row.get("seconds")
    return shown(seconds, 0 if (seconds or 0) >= 1 else 1 if (seconds or 0) >= 0.0095 else 2, 1e3)


def ratio(row: Row, other: Row, key: str = "seconds", digits: int = 2) -> str:
    """A row's number by another's."""
    both = key in row and key in other
    return shown(row[key] / other[key] if both else None, digits)


def size(name: str) -> str:
    """A shape's name as the page has it: "1 B, 8 x 2048"."""
    found = re.match(r"(\d+)([MB]) (\d+)x(\d+)(.*)", name)
    assert found, name
    return f"{found[1]} {found[2]}, {found[3]} x {int(found[4]):,}{found[5]}"


def shapes_of(gpu: Row, large: bool) -> dict[str, Row]:
    """The stored rows by shape, in the benchmark's order; the 8 B shapes or the others."""
    stored = gpu["shapes"]
    return {n: stored[n]["rows"] for n in SHAPES if n in stored and n.startswith("8B") == large}


def where(*parts: Row) -> str:
    """A sentence on machine, libraries, days and commits."""
    about = [part["provenance"] for part in parts if "provenance" in part]
    each = {
        key: ", ".join(dict.fromkeys(str(one[key]) for one in about)) for key in ("device", "torch")
    }
    days = ", ".join(sorted({one["date"][:10] for one in about}))
    commits = ", ".join(dict.fromkeys(one["commit"][:7] for one in about))
    count = len(commits.split(", "))
    return f"{each['device']}, PyTorch {each['torch']}, {days}, commit{'s' * (count > 1)} {commits}"


def steps() -> str:
    """Step times of the shapes up to 1 B."""
    gpu = load("gpu")
    rows = [
        [
            size(name),
            *(milliseconds(rows.get(one, {})) for one in (EAGER, PEFT, OURS)),
            ratio(rows.get(OURS, {}), rows.get(PEFT, {})),
            milliseconds(rows.get(FLOOR, {})),
            f"{shown(rows.get(OURS, {}).get('first'), 0)} s",
        ]
        for name, rows in shapes_of(gpu, large=False).items()
    ]
    head = ["shape, batch x length", "PEFT, as it comes", "PEFT, captured", "ours", "of captured"]
    measured = [gpu["shapes"][n] for n in shapes_of(gpu, large=False)]
    apart = max(losses_apart(rows) for rows in shapes_of(gpu, large=False).values())
    return table([*head, "frozen base alone", "first step"], rows) + (
        f"\n{where(*measured)}. After four steps the losses of all that train the same adapters on "
        f"one shape agree to {apart:.4f}.\n"
    )


def losses_apart(rows: dict[str, Row]) -> float:
    """The largest difference between the losses of the contestants that train the same adapters."""
    alike = [
        row["loss"]
        for name, row in rows.items()
        if "loss" in row and name.startswith(("PEFT", "ours"))
    ]
    return max(alike) - min(alike)


def one_billion() -> str:
    """What stands beside the table for the 1 B shape."""
    rows = shapes_of(load("gpu"), large=False).get("1B 8x2048", {})
    ours, eager, liger, floor = (rows.get(one, {}) for one in (OURS, EAGER, LIGER, FLOOR))
    text = (
        f"- At 1 B a step takes {ratio(ours, eager)} of PEFT as it comes, {ratio(ours, liger)} of "
        f"PEFT in bf16 with Liger's kernels ({milliseconds(liger)} ms) and {ratio(ours, floor)} of "
        f"the frozen base. It takes {gib(ours)} GiB; PEFT with Liger takes {gib(liger)}, as it "
        f"comes {gib(eager)}.\n"
    )
    dropped = [
        f"{ratio(rows.get(DROPOUT, {}), rows.get(OURS, {}))} at {size(name).split(',')[0]}"
        for name, rows in shapes_of(load("gpu"), large=False).items()
        if "seconds" in rows.get(DROPOUT, {})
    ]
    return text + f"- Dropout of 0.05 makes the step {' and '.join(dropped)} of the step without.\n"


def gib(row: Row, key: str = "peak_gib") -> str:
    """A row's memory."""
    return shown(row.get(key), 1)


def large() -> str:
    """The 8 B shape, where memory is short."""
    gpu = load("gpu")
    found = shapes_of(gpu, large=True)
    if not found:
        return "Not measured yet.\n"
    lines = [
        [
            size(name),
            *(in_memory(rows.get(one, {})) for one in (LIGER, OURS, FLOOR)),
            ratio(rows.get(OURS, {}), rows.get(LIGER, {})),
            ratio(rows.get(OURS, {}), rows.get(FLOOR, {})),
            ratio(rows.get(OURS, {}), rows.get(LIGER, {}), "reserved_gib"),
            f"{shown(rows.get(OURS, {}).get('first'), 0)} s",
        ]
        for name, rows in found.items()
    ]
    head = ["shape, batch x length", "PEFT + Liger", "ours", "frozen base alone", "of PEFT + Liger"]
    head += ["of the frozen base", "reserved, of theirs", "first step"]
    failed = [
        f"- {size(name)}, {one}: failed. {row['failed']}\n"
        for name, rows in found.items()
        for one, row in rows.items()
        if "failed" in row
    ]
    about = f"\n{where(*(gpu['shapes'][name] for name in found))}.\n"
    return table(head, lines) + about + "".join(["\n", *failed] if failed else [])


def in_memory(row: Row) -> str:
    """Milliseconds, and what the process reserves."""
    reserved = f" ({gib(row, 'reserved_gib')} GiB)" if "reserved_gib" in row else ""
    return milliseconds(row) + reserved


def memory() -> str:
    """Predicted memory beside the measured."""
    gpu = load("gpu")
    lines = [
        [f"{size(name)}{', dropout 0.05' * (one == DROPOUT)}", how, *beside(rows[one])]
        for is_large in (False, True)
        for name, rows in shapes_of(gpu, large=is_large).items()
        for one, how in ((OURS, "compiled"), (DROPOUT, "compiled"), (WRITTEN, "as written"))
        if {"peak_gib", "predicted_gib"} <= rows.get(one, {}).keys()
    ]
    return table(["shape, batch x length", "step", "measured", "predicted", "off by"], lines)


def beside(row: Row) -> list[str]:
    """Measured, predicted, and the difference: in MiB below 1 GiB, else in percent."""
    measured, predicted = row["peak_gib"], row["predicted_gib"]
    off = predicted - measured
    small = measured < 1
    return [
        f"{measured:.2f} GiB",
        f"{predicted:.2f}",
        f"{off * 1024:+.0f} MiB" if small else f"{off / measured:+.1%}".replace("%", " %"),
    ]


def many() -> str:
    """The sweep of adapters in one step."""
    gpu = load("gpu")
    seconds = gpu["many"]["seconds"]
    ours = [seconds[f"{k} adapters, compiled and captured"] for k in (1, 8, 32)]
    rows = shapes_of(gpu, large=False)["5M 16x128"]
    text = (
        f"- In one step on the 5 M base, 1, 8 and 32 adapters take {1e3 * ours[0]:.1f}, "
        f"{1e3 * ours[1]:.1f} and {1e3 * ours[2]:.1f} ms compiled"
    )
    if "seconds" in rows.get(PEFT, {}):
        text += f": 32 adapters cost {ours[2] / rows[PEFT]['seconds']:.1f} captured steps of PEFT's"
    if "seconds" in rows.get(EAGER, {}):
        share = ours[2] / (32 * rows[EAGER]["seconds"])
        text += f", and {share:.3f} of 32 steps of PEFT as it comes"
    return f"{text} ({where(gpu['many'])}).\n"


def cpu() -> str:
    """The step on a CPU."""
    models = load("cpu")["models"]
    ratios = {name: model["rows"]["ours"]["ratio"] for name, model in models.items()}
    peaks = [models["decoder"]["rows"][one]["peak_mib"] for one in ("ours", "PEFT as it comes")]
    return (
        f"- On a CPU a step takes {ratios['nano']:.2f} of PEFT's on the nano model and "
        f"{ratios['decoder']:.2f} on the 5 M model (16 x 128), with the same loss to six digits. "
        f"Its tensors take {peaks[0]:.0f} MiB at most on the 5 M model, PEFT's {peaks[1]:.0f} "
        f"({where(*models.values())}, {models['nano']['provenance']['threads']} threads).\n"
    )


def gpus() -> str:
    """Several GPUs: data-parallel, sharded, and the run that was killed."""
    found = load("many_gpus")
    if not found:
        return "Not measured yet.\n"
    measured = [row for row in found.values() if "provenance" in row]
    text = parallel({n: row for n, row in found.items() if n.startswith("ddp")})
    text += parts({n: row for n, row in found.items() if n.startswith("sharded")})
    text += killed(found.get("resumed", {}))
    failed = [
        f"- {name}: failed. {row['failed']}\n" for name, row in found.items() if "failed" in row
    ]
    return text + "".join(["\n", *failed] if failed else []) + f"\n{where(*measured)}.\n"


def parallel(rows: dict[str, Row]) -> str:
    """The 1 B shape on 1 to N GPUs."""
    head = ["1 B, 8 x 2,048 on each", "ms a step", "tokens a second", "weak scaling"]
    lines = [
        [
            name.removeprefix("ddp, ") + " GPU" + "s" * (row["provenance"]["processes"] > 1),
            milliseconds(row),
            f"{row['tokens_a_second']:,.0f}",
            shown(row.get("weak_scaling"), 2),
            f"{row['off']:.2%}".replace("%", " %") if "off" in row else DASH,
            "yes" if row["captured"] else "no",
            gib(row["memory"]),
        ]
        for name, row in rows.items()
        if "seconds" in row
    ]
    lines = [[one[0].replace(", not captured GPUs", " GPUs"), *one[1:]] for one in lines]
    return table([*head, "losses of one process, off by", "captured", "GiB on each"], lines)


def parts(rows: dict[str, Row]) -> str:
    """The sharded shapes."""
    head = ["sharded", "GPUs", "kept on each", "peak on each", "predicted", "ms a step"]
    lines = [
        [
            size(row["shape"]),
            str(row["provenance"]["processes"]),
            f"{gib(row['filled'], 'kept_gib')} GiB",
            gib(row["memory"]),
            shown(row.get("predicted_gib"), 1),
            milliseconds(row),
            f"{row['tokens_a_second']:,.0f}",
            f"{row['adapter']['tensors']} tensors, {row['adapter']['mib']:,.0f} MiB",
        ]
        for row in rows.values()
        if "seconds" in row
    ]
    return "\n" + table([*head, "tokens a second", "adapter, gathered and saved"], lines)


def killed(row: Row) -> str:
    """The run that was killed and went on."""
    if "resumed_from" not in row:
        return ""
    same = "the same losses bit for bit" if row["off"] == 0 else f"losses off by {row['off']:.0e}"
    return (
        f"\nA run on {row['provenance']['processes']} GPUs, one of whose processes was killed at "
        f"step 20 of {row['steps']}, went on from its checkpoint of step {row['resumed_from']} to "
        f"{same}.\n"
    )


PARTS: dict[str, Callable[[], str]] = {
    one.__name__: one for one in (steps, one_billion, large, memory, many, cpu, gpus)
}


def filled(page: str) -> str:
    """The page with every part as the results have it. Raises KeyError for a part unknown here."""
    return PART.sub(lambda part: part[1] + PARTS[part[2]]() + part[3], page)


def merge(paths: Iterable[Path]) -> None:
    """Join runs of some shapes with what is stored; of one shape the later run counts."""
    stored = load("gpu")
    for path in paths:
        new = json.loads(path.read_text("utf-8"))
        for name, rows in new["shapes"].items():
            old = stored["shapes"].get(name)
            if old is None or old["provenance"]["date"] <= rows["provenance"]["date"]:
                stored["shapes"][name] = rows
        if "many" in new:
            stored["many"] = new["many"]
    stored["shapes"] = {n: stored["shapes"][n] for n in SHAPES if n in stored["shapes"]}
    save("gpu", stored, RESULTS)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the page right")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="GPU.JSON")
    options = parser.parse_args(arguments)
    if options.merge:
        merge(options.merge)
    page = PAGE.read_text("utf-8")
    right = filled(page)
    if options.write:
        PAGE.write_text(right, "utf-8")
        return 0
    there, here = parts_of(page), parts_of(right)
    differ = [name for name in here if there[name] != here[name]]
    for name in differ:
        print(f"{name} is not what is stored: run `make tables`")
    return int(bool(differ))


def parts_of(page: str) -> dict[str, str]:
    """The text of each part of a page, by name."""
    return {found[2]: found[0] for found in PART.finditer(page)}


if __name__ == "__main__":
    sys.exit(main())
