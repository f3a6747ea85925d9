"""The drawing of lesson 01: what a cut to rank r keeps of an update, and the two thin matrices."""

from __future__ import annotations

from ..drawing import Drawing

LONG = 144  # pixels of the longer side of the update: every matrix is drawn to this scale
TOP, LOW = 44, 256  # where the two rows of matrices begin
COLUMNS = {"update": 10, "U": 206, "S": 396, "Vᵀ": 586}
ROOM = 80  # pixels: "cut away" fits into them


def cut_to_rank(out_features: int, in_features: int, r: int) -> Drawing:
    """The SVD of an update with what rank r keeps of it, over B A with the numbers they hold.

    Every matrix is drawn to scale. Raises ValueError unless 1 <= r < min(out, in), and where r is
    so small a part of the width that it cannot be seen.
    """
    full, unit = min(out_features, in_features), LONG / max(out_features, in_features)
    if not 1 <= r < full:
        raise ValueError(f"r is {r}: a cut of a matrix of rank {full} has 1 <= r < {full}")
    if r * unit < 3:
        raise ValueError(f"r = {r} is too thin beside {max(out_features, in_features)} to be seen")
    told = _told(out_features, in_features, full, r)
    drawing = Drawing(f"An update cut to rank {r}", told, 820, 440)
    _update(drawing, out_features, in_features, r, unit)
    _decomposed(drawing, (out_features, in_features, full, r), unit)
    _factors(drawing, (out_features, in_features, r), unit)
    return drawing


def _update(drawing: Drawing, out: int, in_: int, r: int, unit: float) -> None:
    x = COLUMNS["update"]
    drawing.label(x, TOP - 12, f"update ΔW ({out}, {in_})", anchor="start", bold=True)
    whole = drawing.box(x, TOP, in_ * unit, out * unit, round_by=0)
    drawing.label(x, whole.bottom[1] + 20, f"{out * in_:,d} numbers", anchor="start")
    drawing.label(178, TOP + LONG / 2, "=", bold=True)
    drawing.label(x, LOW + 60, f"cut to rank {r}", anchor="start", bold=True)
    drawing.label(x, LOW + 80, f"{r * (out + in_):,d} numbers", anchor="start")
    drawing.label(178, LOW + 70, "=", bold=True)


def _decomposed(drawing: Drawing, sizes: tuple[int, int, int, int], unit: float) -> None:
    """U, S and Vᵀ with their kept parts: columns, corner, rows."""
    out, in_, full, r = sizes
    rows = {
        "U": ((out, full), (out, r), f"{r} columns kept"),
        "S": ((full, full), (r, r), f"{r} largest kept"),
        "Vᵀ": ((full, in_), (r, in_), f"{r} rows kept"),
    }
    for name, ((height, width), (tall, wide), kept) in rows.items():
        x = COLUMNS[name]
        drawing.label(x, TOP - 12, f"{name} ({height}, {width})", anchor="start", bold=True)
        whole = drawing.box(x, TOP, width * unit, height * unit, round_by=0)
        drawing.hatched(x, TOP, wide * unit, tall * unit)
        right, low = whole.right[0], whole.bottom[1]
        if name == "S":
            drawing.arrow((x, TOP), (right, low), head=False)
        elif width * unit >= ROOM:
            drawing.label(x + width * unit / 2 + 8, TOP + height * unit / 2 + 8, "cut away")
        drawing.label(x + 26, low + 20, kept, anchor="start")
    drawing.label(373, TOP + LONG / 2, "×", bold=True)
    drawing.label(563, TOP + LONG / 2, "×", bold=True)


def _factors(drawing: Drawing, sizes: tuple[int, int, int], unit: float) -> None:
    """B under U's columns and A under Vᵀ's rows, with dashed arrows from them."""
    out, in_, r = sizes
    B = drawing.hatched(COLUMNS["U"], LOW, r * unit, out * unit)
    A = drawing.hatched(COLUMNS["Vᵀ"], LOW + 60, in_ * unit, r * unit)
    beside = B.right[0] + 14
    drawing.label(beside, LOW + 60, f"B ({out}, {r})", anchor="start", bold=True)
    drawing.label(beside, LOW + 80, f"{out} × {r} = {out * r:,d}", anchor="start")
    drawing.label(A.x, A.bottom[1] + 24, f"A ({r}, {in_})", anchor="start", bold=True)
    drawing.label(A.x, A.bottom[1] + 44, f"{r} × {in_} = {r * in_:,d}", anchor="start")
    drawing.label(COLUMNS["S"] + LONG / 2, LOW + 24, "a root of S goes to each side")
    drawing.label(563, A.right[1] + 5, "×", bold=True)
    drawing.arrow((B.top[0], TOP + out * unit + 4), B.top, dashed=True)
    edge, kept = COLUMNS["Vᵀ"] + LONG + 28, TOP + r * unit / 2
    drawing.arrow((A.right[0], kept), (edge, kept), (edge, A.right[1]), A.right, dashed=True)


def _told(out: int, in_: int, full: int, r: int) -> str:
    return (
        f"Above, an update ΔW, as large as W, ({out}, {in_}), {out * in_:,d} numbers, is the "
        f"product of U, ({out}, {full}), the diagonal S and Vᵀ, ({full}, {in_}). Marked is what a "
        f"cut to rank {r} keeps: the first {r} columns of U, the {r} largest singular values, the "
        f"first {r} rows of Vᵀ. The rest is cut away. Below, at the same scale, what was kept "
        f"makes two thin matrices, with a root of S to each side: B, ({out}, {r}), {out * r:,d} "
        f"numbers, and A, ({r}, {in_}), {r * in_:,d} numbers, together {r * (out + in_):,d}."
    )
