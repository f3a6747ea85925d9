"""Find for each decimal number in a lesson's prose what it comes from, with the rounding.

    python tools/check_numbers.py          how many have no source, lesson by lesson, and the docs
    python tools/check_numbers.py 03       each of them, with its place
    python tools/check_numbers.py -v 03    where each number was found too

Prose is the markdown cells, the review cards, WHY and the lesson's claims. A number comes from

- an output of the stored solution (a figure's alt text included), or a constant in its code;
- a recorded run of the lesson: its settings, and its values outside of long lists of runs;
- tests/number_sources/NN.yml, which gives the number as written and where it is from: a paper, or
  "= 6.91 / 0.32", which is computed.

A number with d decimals comes from a value that is given to d decimals at least and rounds to it.
"0.050 ± 0.041" comes from an output that prints the two together, as a table of gaps does.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import operator
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import yaml
from benchmark_page import PART
from notebook_source import ROOT, lesson_sources, read_source

NUMBER = re.compile(
    r"(?<![\w.,/])(\d{1,3}(?:,\d{3})+|\d+)\.(\d+)(?![\w/]|\.\d)(?:\s*(\\?%|M\b|million\b))?"
)
PLUS_MINUS = re.compile(r"\s*\$?(?:±|\\pm|\+-|\+/-)\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)")
PRINTED = re.compile(r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?")
LEFT_OUT = [
    re.compile(r"<!--.*?-->|```.*?```", re.DOTALL),  # comments, blocks of code
    re.compile(r"`[^`\n]*`|https?://\S+|\]\([^)]*\)|<[a-zA-Z/][^>]*>"),  # code, links, tags
    re.compile(r"\barXiv:?\s*\d{4}\.\d{4,5}(?:,? (?:and )?\d{4}\.\d{4,5})*"),
    re.compile(
        r"\b(?:exercises?|questions?|sections?|tables?|figures?|lessons?|equations?|version|PEFT|torch|"
        r"PyTorch|transformers|Python|Qwen|Llama|GPT|v)\s*\d+(?:\.\d+)*"
        r"(?:(?:,| and| to|-| or)\s*\d+\.\d+)*",
        re.IGNORECASE,
    ),
    re.compile(r"\d+\.\d+\.\d+"),  # versions
]
LONG = 12  # a list of more is one of runs or steps: a page quotes its mean, which a cell prints
SHIFTS = {"%": 2, "M": -6, "million": -6}  # a value times this power of ten is told in the unit
HALF = Decimal("0.5")


@dataclass(frozen=True)
class Value:
    """A value that something gives: an output to so many decimals, a recording in full."""

    value: Decimal
    decimals: int
    source: str
    half: Value | None = None


@dataclass(frozen=True)
class Written:
    """A number as it stands in prose."""

    text: str
    unit: str
    place: str
    around: str
    half: str = ""

    @property
    def name(self) -> str:
        """The number as the list of named sources has it: "0.050 ± 0.041"."""
        return f"{self.text} ± {self.half}" if self.half else self.text

    @property
    def value(self) -> Decimal:
        """The number."""
        return Decimal(self.text.replace(",", ""))

    @property
    def decimals(self) -> int:
        """How many decimals it is written with."""
        return len(self.text.partition(".")[2])

    def comes_from(self, value: Value) -> bool:
        """True where `value` rounds to this number, in its unit or without it."""
        if self.half:
            mine = Written(self.half, self.unit, "", "")
            return (
                value.half is not None
                and mine.comes_from(value.half)
                and replace(self, half="").comes_from(value)
            )
        for shift in {0, SHIFTS.get(self.unit.strip("\\"), 0)}:
            apart = abs(abs(value.value).scaleb(shift) - self.value)
            near = apart <= HALF.scaleb(-self.decimals) * Decimal("1.000001")
            if apart == 0 or (near and value.decimals - shift >= self.decimals):
                return True
        return False


def numbers_in(text: str, place: str, exercises: Iterable[str] = ()) -> Iterator[Written]:
    """Yield the decimal numbers of a text; those of sections, versions and papers' ids are none."""
    for pattern in LEFT_OUT:
        text = pattern.sub(lambda found: " " * len(found[0]), text)
    halves: list[int] = []
    for found in NUMBER.finditer(text):
        number = f"{found[1]}.{found[2]}"
        if number not in exercises:
            around = text[max(0, found.start() - 30) : found.end() + 20]
            half = PLUS_MINUS.match(text, found.end())
            of = half[1] if half else ""
            if not any(found.start() < end for end in halves):
                yield Written(number, found[3] or "", place, " ".join(around.split()), of)
            halves = [half.end()] if half else []


def printed(text: str, source: str) -> Iterator[Value]:
    """Yield every number in an output, with as many decimals as it shows."""
    text = re.sub(r"base64,[^\"]+", "", text)
    for found in PRINTED.finditer(text):
        decimals, exponent = len(found[2] or ""), int(found[3] or 0)
        number = Decimal(f"{found[1].replace(',', '')}.{found[2] or 0}").scaleb(exponent)
        yield Value(number, decimals - exponent, source)
        if half := PLUS_MINUS.match(text, found.end()):
            of = next(printed(half[1], source))
            yield Value(number, decimals - exponent, source, of)


def leaves(data: Any, source: str) -> Iterator[Value]:
    """Yield the numbers of a recording that lie in no long list."""
    if isinstance(data, bool):
        return
    if isinstance(data, int | float):
        if abs(data) < float("inf"):
            yield Value(Decimal(repr(data)), 99, source)
    elif isinstance(data, dict):
        for name, part in data.items():
            yield from leaves(part, f"{source}.{name}")
            yield from printed(str(name), source)
    elif isinstance(data, list) and len(data) <= LONG:
        for part in data:
            yield from leaves(part, source)


def values_of(source: Path) -> list[Value]:
    """Everything that a lesson gives: outputs, constants in code, recordings."""
    found: list[Value] = []
    stored = source.with_suffix(".ipynb")
    cells = nbformat.read(stored, as_version=4).cells if stored.exists() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            texts = [output.get("text", ""), *output.get("data", {}).values()]
            for text in texts:
                found += printed(str(text), f"output of {cell.id}")
    for cell in read_source(source).cells:
        if cell.cell_type == "code":
            found += constants(cell.source, f"code of {cell.id}")
    for path in sorted((ROOT / "lora_lessons" / "recorded").glob(f"{source.name[:2]}_*.json")):
        content = json.loads(path.read_text("utf-8"))
        found += leaves(content["data"], path.stem)
        found += leaves(content["provenance"]["config"], f"{path.stem} config")
    return found


def constants(code: str, source: str) -> Iterator[Value]:
    """The numbers written in code."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield Value(Decimal(repr(node.value)), 99, source)


def prose_of(source: Path) -> Iterator[Written]:
    """The decimal numbers of a lesson's cells, review cards, WHY and claims."""
    number = source.name[:2]
    headings = re.findall(
        r"^# ### (?:Exercise|Question) (\d+\.\d+)", source.read_text("utf-8"), re.M
    )
    for cell in read_source(source).cells:
        if cell.cell_type == "markdown":
            yield from numbers_in(cell.source, cell.id, headings)
    try:
        module = importlib.import_module(f"lora_lessons.course.lesson{number}.exercises")
    except ModuleNotFoundError:
        return
    for card in getattr(module, "CARDS", []):
        yield from numbers_in(f"{card.question} {card.answer}", "review card", headings)
    for key, text in getattr(module, "WHY", {}).items():
        yield from numbers_in(text, f"WHY {key}", headings)
    yield from _claims(number, headings)


def _claims(lesson: str, exercises: Iterable[str]) -> Iterator[Written]:
    data = yaml.safe_load((ROOT / "lora_lessons" / "claims.yml").read_text("utf-8"))
    for claim in data["claims"]:
        if claim["lesson"] == lesson:
            for name in ("definition", "in_short", "decoder", "smollm2", "carries"):
                text = claim.get(name) or ""
                yield from numbers_in(text, f"claim {claim['id']}, {name}", exercises)


def named_sources(name: str) -> dict[str, str]:
    """Number as written -> where it is from, as tests/number_sources/NAME.yml says."""
    path = ROOT / "tests" / "number_sources" / f"{name}.yml"
    return (yaml.safe_load(path.read_text("utf-8")) or {}) if path.exists() else {}


def named_value(written: str, said: str) -> bool:
    """False for a source that begins with "=" and does not compute to the number."""
    if not said.startswith("="):
        return len(said) >= 10
    decimals = len(written.partition(".")[2])
    return Written(written, "", "", "").comes_from(
        Value(Decimal(repr(round(arithmetic(said[1:]), decimals + 9))), 99, "computed")
    )


def arithmetic(text: str) -> float:
    """The value of + - * / ** and numbers; ValueError for anything else."""
    signs = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Pow: operator.pow,
    }

    def of(node: ast.AST) -> float:
        if isinstance(node, ast.Constant) and type(node.value) in (int, float):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in signs:
            return signs[type(node.op)](of(node.left), of(node.right))
        raise ValueError(f"only numbers and + - * / ** are computed; got {text!r}")

    return float(of(ast.parse(text.strip(), mode="eval").body))


def docs() -> dict[str, Path]:
    """The texts beside the lessons: name -> file."""
    return {path.stem: path for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]}


def docs_values() -> list[Value]:
    """What a doc may quote: all that the lessons give, the whole recordings, the benchmarks."""
    found = [value for source in lesson_sources() for value in values_of(source)]
    for path in sorted((ROOT / "benchmarks").rglob("*.json")):
        found += leaves(json.loads(path.read_text("utf-8")), path.stem)
    for path in sorted((ROOT / "benchmarks").rglob("*.txt")):
        found += printed(path.read_text("utf-8"), path.stem)
    return found


def checked(
    name: str, written: Iterable[Written], values: list[Value]
) -> dict[Written, str | None]:
    """Each number with the source that was found for it, or None."""
    named = named_sources(name)
    return {
        one: named.get(one.name) or next((v.source for v in values if one.comes_from(v)), None)
        for one in written
    }


def check_lesson(source: Path) -> dict[Written, str | None]:
    """Each number of a lesson's prose -> where it comes from, or None."""
    return checked(source.name[:2], prose_of(source), values_of(source))


def check_doc(name: str, values: list[Value]) -> dict[Written, str | None]:
    """Each number of a page of docs/ -> where it comes from, or None.

    What `benchmark_page.py` writes is left out: a test compares it with the stored results.
    """
    text = PART.sub("", docs()[name].read_text("utf-8"))
    return checked(name, numbers_in(text, name), values)


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NN", help="lessons (03), or docs (training)")
    parser.add_argument("-v", action="store_true", help="where each number was found too")
    options = parser.parse_args(arguments)
    known = {source.name[:2]: source for source in lesson_sources()}
    results = {
        n: check_lesson(s) for n, s in known.items() if not options.names or n in options.names
    }
    wanted = [name for name in docs() if not options.names or name in options.names]
    if wanted:
        values = docs_values()
        results |= {name: check_doc(name, values) for name in wanted}
    for name, found in results.items():
        for one, source in found.items() if options.names else ():
            if source is None or options.v:
                print(f"{one.name:>15s}  {source or 'NO SOURCE'}  [{one.place}] ... {one.around}")
        lost = sum(source is None for source in found.values())
        print(f"{name}: {len(found)} decimal numbers, {lost} without a source")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
