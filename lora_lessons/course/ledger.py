"""The claim ledger: what the card says, how it was tested, and what came out.

The claims are data, in `lora_lessons/claims.yml`; `lora_lessons/card.md` is the card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import Any

from ..errors import nearest_and_known

PACKAGE = Path(__file__).resolve().parent.parent
CLAIMS = PACKAGE / "claims.yml"
CARD = PACKAGE / "card.md"
NOT_MEASURED = "not yet measured"
VERDICTS = ("holds", "holds in part", "does not hold", NOT_MEASURED)
LESSONS = tuple(f"{number:02d}" for number in range(16))
LEFT = 'style="text-align: left"'  # JupyterLab sets cells to the right, which suits numbers
EVIDENCE = ("measured_in", "decoder", "smollm2", "carries")


@dataclass(frozen=True)
class Claim:
    """One statement of the card; the last four are None until it is measured."""

    id: str
    quote: str
    lesson: str
    definition: str
    verdict: str
    measured_in: str | None
    decoder: str | None
    smollm2: str | None
    carries: str | None

    @property
    def measured(self) -> bool:
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
        if name not in entry:
            raise ValueError(f"{who} lacks the field {name!r}")
        empty_allowed = name in EVIDENCE
        if not isinstance(entry[name], str) and not (empty_allowed and entry[name] is None):
            raise ValueError(f"{who}: {name} must be a text; got {entry[name]!r}")
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
    """Claims as a table, or as text."""

    HEAD = ("The card says", "Tested as", "Verdict", "Decoder, 5 M", "SmolLM2", "Larger models")

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.claims = tuple(claims)

    def __repr__(self) -> str:
        return "\n".join(f'"{claim.quote}": {claim.verdict}' for claim in self.claims)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col" {LEFT}>{name}</th>' for name in self.HEAD)
        rows = "".join(f"<tr>{_cells(claim)}</tr>" for claim in self.claims)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(claim: Claim) -> str:
    verdict = f"{claim.verdict} ({claim.measured_in})" if claim.measured else claim.verdict
    texts = (claim.definition, verdict, claim.decoder, claim.smollm2, claim.carries)
    quote = f'<th scope="row" {LEFT}>{escape(claim.quote)}</th>'
    return quote + "".join(f"<td {LEFT}>{escape(text or '')}</td>" for text in texts)


def claims_table(lesson: str) -> ClaimsTable:
    """The claims that a lesson ("01") measures."""
    return ClaimsTable([claim for claim in load_claims() if claim.lesson == lesson])
