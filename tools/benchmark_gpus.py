"""The measured part of docs/training.md that is of several GPUs."""

from __future__ import annotations

from benchmark_cells import DASH, Row, Stored, gib, milliseconds, shown, size, table, where


def gpus(stored: Stored) -> str:
    """Several GPUs: data-parallel, sharded, and the run that was killed."""
    found = stored["many_gpus"]
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
            f"{row['off']:.3%}".replace("%", " %") if "off" in row else DASH,
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
