"""The claim ledger: what the card says, how it was tested, and what came out.

The claims are data, in `lora_lessons/claims.yml`; `lora_lessons/card.md` is the card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

from ..errors import nearest_and_known
from .tables import LEFT

PACKAGE = Path(__file__).resolve().parent.parent
CLAIMS = PACKAGE / "claims.yml"
CARD = PACKAGE / "card.md"
NOT_MEASURED = "not yet measured"
VERDICTS = ("holds", "holds in part", "does not hold", NOT_MEASURED)
LESSONS = tuple(f"{number:02d}" for number in range(16))
TOP = 'style="text-align: left; vertical-align: top"'
BADGES = {
    "holds": ("✓", "solid"),
    "holds in part": ("◐", "dashed"),
    "does not hold": ("✗", "double"),
    NOT_MEASURED: ("…", "dotted"),
}
CARD_LINK = 'What <a href="00_start_here.ipynb">the card</a> says (lesson 00 shows it whole)'
OPTIONAL = "in_short"
EVIDENCE = ("measured_in", "decoder", "smollm2", "carries")


@dataclass(frozen=True)
class Claim:
    """One statement of the card; the four of EVIDENCE are None until it is measured.

    `in_short` says in one sentence what came out; without it, that is the decoder's first one.
    """

    id: str
    quote: str
    lesson: str
    definition: str
    verdict: str
    measured_in: str | None
    decoder: str | None
    smollm2: str | None
    carries: str | None
    in_short: str | None = None

    @property
    def sentence(self) -> str:
        """What came out, in one sentence; empty where nothing was measured."""
        return self.in_short or re.split(r"(?<=[.!?])\s+(?=[A-Z])", self.decoder or "")[0]

    @property
    def measured(self) -> bool:
        """Whether the claim has a verdict."""
        return self.verdict != NOT_MEASURED


def load_claims(path: Path = CLAIMS) -> list[Claim]:
    """Return all claims, in the order of the card.

    Raises ValueError naming the claim at fault: a field missing, unknown or of the wrong type, an
    unknown verdict or lesson, an id used twice, a verdict without its evidence.
    """
    claims = [_claim(entry) for entry in _read(path)["claims"]]
    ids = [claim.id for claim in claims]
    if twice := {id for id in ids if ids.count(id) > 1}:
        raise ValueError(f"{path.name}: more than one claim has the id {sorted(twice)[0]!r}")
    return claims


def load_not_claims(path: Path = CLAIMS) -> list[str]:
    """The card's lines that state nothing: lead-ins and offers."""
    return _read(path)["not_claims"]


def _read(path: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _claim(entry: Mapping[str, Any]) -> Claim:
    names = [field.name for field in fields(Claim)]
    who = f"claim {entry.get('id')!r}"
    for name in entry:
        if name not in names:
            raise ValueError(f"{who} has an unknown field {name!r}{nearest_and_known(name, names)}")
    for name in names:
        if name not in entry and name != OPTIONAL:
            raise ValueError(f"{who} lacks the field {name!r}")
        empty_allowed = name in (*EVIDENCE, OPTIONAL)
        if not isinstance(entry.get(name), str) and not (empty_allowed and entry.get(name) is None):
            raise ValueError(f"{who}: {name} must be a text; got {entry.get(name)!r}")
    claim = Claim(**entry)
    if claim.verdict not in VERDICTS:
        hint = nearest_and_known(claim.verdict, VERDICTS)
        raise ValueError(f"{who} has an unknown verdict {claim.verdict!r}{hint}")
    if claim.lesson not in LESSONS:
        raise ValueError(f"{who} is assigned to lesson {claim.lesson!r}; there are 00 to 15")
    if claim.measured and (missing := [name for name in EVIDENCE if not entry[name]]):
        raise ValueError(f"{who} has a verdict but no {', '.join(missing)}")
    return claim


class ClaimsTable:
    """Claims in three columns: the quote, the verdict, one sentence. The rest is folded."""

    HEAD = ("The card says", "Verdict", "In short")

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = tuple(claims)

    def __repr__(self) -> str:
        return "\n".join(
            f'"{claim.quote}": {claim.verdict}. {claim.sentence}'.rstrip() for claim in self.claims
        )

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="text-align: left; width: {width}">{name}</th>'
            for name, width in zip(self.HEAD, ("30%", "14%", "56%"), strict=True)
        )
        rows = "".join(f"<tr>{_cells(claim)}</tr>" for claim in self.claims)
        return (
            f'<table style="table-layout: fixed; width: 100%"><caption {LEFT}>{CARD_LINK}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def badge(verdict: str) -> str:
    """A verdict as a sign, a word and a border of its own kind: none of it needs a colour."""
    sign, border = BADGES[verdict]
    style = f"border: 2px {border} currentColor; border-radius: 6px; padding: 1px 6px"
    return (
        f'<span style="{style}; font-weight: bold; display: inline-block">'
        f'<span aria-hidden="true">{sign}</span> {escape(verdict)}</span>'
    )


def _cells(claim: Claim) -> str:
    quote = f'<th scope="row" {TOP}>{escape(claim.quote)}</th>'
    short = f"{escape(claim.sentence)}{_details(claim)}"
    return f"{quote}<td {TOP}>{badge(claim.verdict)}</td><td {TOP}>{short}</td>"


def _details(claim: Claim) -> str:
    """How it was tested and all numbers, behind a fold that opens with mouse or keyboard."""
    parts = (
        ("Tested as", claim.definition),
        ("Measured in", claim.measured_in),
        ("Decoder, 5 M", claim.decoder),
        ("SmolLM2", claim.smollm2),
        ("Larger models", claim.carries),
    )
    told = "".join(f"<p><b>{name}:</b> {escape(text)}</p>" for name, text in parts if text)
    return f"<details><summary>How it was tested, and the numbers</summary>{told}</details>"


def claims_table(lesson: str) -> ClaimsTable:
    """The claims that a lesson ("01") measures."""
    return ClaimsTable([claim for claim in load_claims() if claim.lesson == lesson])
