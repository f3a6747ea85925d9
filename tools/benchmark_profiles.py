"""The measured parts of docs/training.md that say where a step's time goes."""

from __future__ import annotations

from benchmark_cells import EAGER, FLOOR, LIGER, OURS, Stored, shown, size, table, where

KINDS = (
    *("wide products", "thin products", "products of unknown sizes", "attention", "elementwise"),
    *("loss", "decoding", "optimizer", "copies"),
)
FIRST = ("imports", "CUDA's start", "the compiler's imports", "model and batches")
INSIDE = ("compiling", "warming up", "capturing")

GOALS = (  # shape, of whose row, of which number, at most
    ("8B 4x2048", LIGER, "seconds", 0.88),
    ("8B 4x2048", FLOOR, "seconds", 1.06),
    ("8B 4x2048, recomputing", LIGER, "seconds", 0.90),
    ("8B 4x2048, recomputing", LIGER, "peak_gib", 1.0),
    ("8B 4x2048, recomputing", LIGER, "reserved_gib", 1.0),
    ("8B 4x2048, NF4", LIGER, "seconds", 0.85),
    ("8B 4x2048, NF4", LIGER, "peak_gib", 0.75),
    ("8B 4x2048, NF4", LIGER, "reserved_gib", 0.75),
    ("8B 4x2048, NF4, recomputing", LIGER, "seconds", 0.88),
    ("8B 4x2048, NF4, recomputing", LIGER, "peak_gib", 1.0),
    ("8B 4x2048, NF4, recomputing", LIGER, "reserved_gib", 1.0),
    ("8B 1x16384, NF4, recomputing", LIGER, "seconds", 0.90),
    ("1B 8x2048", LIGER, "seconds", 0.85),
    ("1B 8x2048", EAGER, "seconds", 0.42),
    ("1B 8x2048", FLOOR, "seconds", 1.10),
)

COUNTED = {
    "seconds": "time",
    "peak_gib": "peak of tensors",
    "reserved_gib": "reserved, with the graph's pool",
}


def goals(stored: Stored) -> str:
    """What was aimed at, and what ours takes of it."""
    rows = []
    for shape, other, what, goal in GOALS:
        found = stored["gpu"]["shapes"].get(shape, {}).get("rows", {})
        mine, theirs = found.get(OURS, {}).get(what), found.get(other, {}).get(what)
        if mine is None or theirs is None:
            continue
        measured, part = mine / theirs, COUNTED[what]
        said = "reached" if measured <= goal else f"missed by {measured - goal:.3f}"
        rows.append([size(shape), f"{part}, of {other}", f"{goal:.2f}", f"{measured:.3f}", said])
    return table(["shape", "what of ours", "goal", "measured", ""], rows)


def profiles(stored: Stored) -> str:
    """Milliseconds of a step by kinds of kernels, of PEFT with Liger and of ours."""
    both = {
        name: about
        for name, about in stored["profiles"].items()
        if all("kinds" in about.get(one, {}) for one in (LIGER, OURS))
    }
    head = ["kernels, ms of a step"]
    for name in both:
        head += [f"{size(name)}: PEFT + Liger", "ours"]
    rows = []
    for kind in (*KINDS, "all"):
        row = [kind]
        for about in both.values():
            for one in (LIGER, OURS):
                kinds = about[one]["kinds"]
                row.append(shown(sum(kinds.values()) if kind == "all" else kinds.get(kind), 1))
        rows.append(row)
    return table(head, rows) + f"\n{where(*both.values())}.\n"


def first(stored: Stored) -> str:
    """What a first step in a fresh process takes, part by part."""
    lines = []
    for name, about in stored["profiles"].items():
        if (parts := about.get("first")) is None:
            continue
        told = [f"{part} {parts[part]:.1f} s" for part in FIRST]
        inside = ", ".join(f"{part} {parts[part]:.1f}" for part in INSIDE)
        lines.append(
            f"- A first step in a fresh process, {size(name)}, once, the compiler's cache empty: "
            f"{', '.join(told)}, the step itself {parts['first step']:.1f} s "
            f"({inside}; {where(about)}).\n"
        )
    return "".join(lines) or "- No first step was taken apart yet.\n"
