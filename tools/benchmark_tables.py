"""The measured parts of docs/training.md that are of one GPU, or of a CPU."""

from __future__ import annotations

from benchmark_cells import (
    DROPOUT,
    EAGER,
    FLOOR,
    LIGER,
    OURS,
    PEFT,
    WRITTEN,
    Row,
    Stored,
    gib,
    milliseconds,
    ratio,
    shapes_of,
    shown,
    size,
    table,
    where,
)


def steps(stored: Stored) -> str:
    """Step times of the shapes up to 1 B."""
    gpu = stored["gpu"]
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


def one_billion(stored: Stored) -> str:
    """What stands beside the table for the 1 B shape."""
    rows = shapes_of(stored["gpu"], large=False).get("1B 8x2048", {})
    ours, eager, liger, floor = (rows.get(one, {}) for one in (OURS, EAGER, LIGER, FLOOR))
    text = (
        f"- At 1 B a step takes {ratio(ours, eager)} of PEFT as it comes, {ratio(ours, liger)} of "
        f"PEFT in bf16 with Liger's kernels ({milliseconds(liger)} ms) and {ratio(ours, floor)} of "
        f"the frozen base. It takes {gib(ours)} GiB; PEFT with Liger takes {gib(liger)}, as it "
        f"comes {gib(eager)}.\n"
    )
    dropped = [
        f"{ratio(rows.get(DROPOUT, {}), rows.get(OURS, {}))} at {size(name).split(',')[0]}"
        for name, rows in shapes_of(stored["gpu"], large=False).items()
        if "seconds" in rows.get(DROPOUT, {})
    ]
    return text + f"- Dropout of 0.05 makes the step {' and '.join(dropped)} of the step without.\n"


def large(stored: Stored) -> str:
    """The 8 B shape, where memory is short."""
    gpu = stored["gpu"]
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


def memory(stored: Stored) -> str:
    """Predicted memory beside the measured."""
    gpu = stored["gpu"]
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


def many(stored: Stored) -> str:
    """The sweep of adapters in one step."""
    gpu = stored["gpu"]
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


def cpu(stored: Stored) -> str:
    """The step on a CPU."""
    models = stored["cpu"]["models"]
    ratios = {name: model["rows"]["ours"]["ratio"] for name, model in models.items()}
    peaks = [models["decoder"]["rows"][one]["peak_mib"] for one in ("ours", "PEFT as it comes")]
    return (
        f"- On a CPU a step takes {ratios['nano']:.2f} of PEFT's on the nano model and "
        f"{ratios['decoder']:.2f} on the 5 M model (16 x 128), with the same loss to six digits. "
        f"Its tensors take {peaks[0]:.0f} MiB at most on the 5 M model, PEFT's {peaks[1]:.0f} "
        f"({where(*models.values())}, {models['nano']['provenance']['threads']} threads).\n"
    )


def trials(stored: Stored) -> str:
    """What was tried, by the step as it was on that day."""
    lines = []
    for name, about in stored["trials"].items():
        rows = about["rows"]
        for one, row in rows.items():
            if one != "as it is" and "seconds" in row:
                lines.append(
                    f"- Tried, {one}: {ratio(row, rows['as it is'], digits=3)} of the step as it "
                    f"was, {size(name)} ({where(about)}).\n"
                )
    return "".join(lines) or "- Nothing was tried yet.\n"
