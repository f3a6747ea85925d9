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

from benchmark_cells import SHAPES, Row, Stored
from benchmark_gpus import gpus
from benchmark_profiles import first, goals, profiles
from benchmark_tables import cpu, large, many, memory, one_billion, steps, trials

from benchmarks.common import RESULTS, load, save

PAGE = Path(__file__).resolve().parents[1] / "docs" / "training.md"
PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


PARTS: dict[str, Callable[[Stored], str]] = {
    one.__name__: one
    for one in (steps, one_billion, large, memory, many, cpu, gpus, trials, profiles, first, goals)
}


def results() -> Stored:
    """What is stored."""
    return {name: load(name) for name in ("gpu", "cpu", "many_gpus", "trials", "profiles")}


def filled(page: str, stored: Stored) -> str:
    """The page with every part as the results have it. Raises KeyError for a part unknown here."""
    return PART.sub(lambda part: part[1] + PARTS[part[2]](stored) + part[3], page)


def merge(paths: Iterable[Path]) -> None:
    """Join runs of some shapes with what is stored; of one shape the later run counts.

    Predictions are not measured: a row keeps what was predicted, until `gpu.py --predict` runs.
    """
    stored = load("gpu")
    for path in paths:
        new = json.loads(path.read_text("utf-8"))
        for name, rows in new["shapes"].items():
            old = stored["shapes"].get(name)
            if old is None:
                stored["shapes"][name] = rows
            elif old["provenance"]["date"] <= rows["provenance"]["date"]:
                stored["shapes"][name] = rows
                keep_predictions(old["rows"], rows["rows"])
        if "many" in new:
            stored["many"] = new["many"]
    stored["shapes"] = {n: stored["shapes"][n] for n in SHAPES if n in stored["shapes"]}
    save("gpu", stored, RESULTS)


def keep_predictions(old: dict[str, Row], new: dict[str, Row]) -> None:
    """Put the old rows' predicted memory into new ones that have a measured one alone."""
    for name, row in new.items():
        if "peak_gib" in row and "predicted_gib" in old.get(name, {}):
            row.setdefault("predicted_gib", old[name]["predicted_gib"])


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="put the page right")
    parser.add_argument("--merge", nargs="+", type=Path, default=[], metavar="GPU.JSON")
    options = parser.parse_args(arguments)
    if options.merge:
        merge(options.merge)
    page = PAGE.read_text("utf-8")
    right = filled(page, results())
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
