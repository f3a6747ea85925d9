"""The measured parts of docs/training.md that say where a step's time goes."""

from __future__ import annotations

from benchmark_cells import LIGER, OURS, Stored, shown, size, table, where

KINDS = (
    *("wide products", "thin products", "products of unknown sizes", "attention", "elementwise"),
    *("loss", "decoding", "optimizer", "copies"),
)
FIRST = ("imports", "CUDA's start", "the compiler's imports", "model and batches")
INSIDE = ("compiling", "warming up", "capturing")


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
