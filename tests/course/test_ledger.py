"""The claim ledger: every word of the card is claimed; a finished lesson measured its claims."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lora_lessons.course.ledger import (
    CARD,
    EVIDENCE,
    LESSONS,
    NOT_MEASURED,
    VERDICTS,
    ClaimsTable,
    badge,
    claims_table,
    load_claims,
    load_not_claims,
)

SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"
FINISHED = sorted(path.name[:2] for path in SOLUTIONS.glob("[0-9][0-9]_*.py"))
MEASURED = {
    "id": "wide",
    "quote": "It is wide",
    "lesson": "03",
    "definition": "More than a metre",
    "verdict": "holds in part",
    "measured_in": "section 2",
    "decoder": "1.2 m <here>",
    "smollm2": "0.9 m",
    "carries": "the shape",
}


def plain(text: str) -> str:
    """Text without Markdown's marks, on one line."""
    return re.sub(r"\s+", " ", re.sub(r"[*`>]", "", text)).strip()


def statements(card: str) -> list[str]:
    """The card's lines, its example as one, and its table as "parameter, too low: cell"."""
    prose, example, rest = re.split(r"```(?:python)?\n", card)
    found, head = [plain(example)], None
    for line in [*prose.splitlines(), *rest.splitlines()]:
        if line.startswith("|"):
            cells = [plain(cell) for cell in line.strip("|").split("|")]
            if head is None:
                head = [name.lower() for name in cells]
            elif set(cells[0]) != {"-"}:
                found += [f"{cells[0]}, {head[i]}: {cells[i]}" for i in (1, 2)]
        elif plain(line) and not line.startswith(("#", "---")):
            found.append(plain(line))
    return found


LEDGER, NOT_CLAIMS = load_claims(), load_not_claims()
STATEMENTS = statements(CARD.read_text(encoding="utf-8"))


def test_the_card_is_taken_apart():
    assert "r, too high: Overfitting" in STATEMENTS
    assert "Larger r → more expressive, more parameters" in STATEMENTS
    assert any(statement.startswith("from peft import LoraConfig") for statement in STATEMENTS)
    assert len([s for s in STATEMENTS if ", too " in s]) == 6


@pytest.mark.parametrize("claim", LEDGER, ids=lambda claim: claim.id)
def test_every_quote_is_on_the_card(claim):
    assert any(claim.quote in statement for statement in STATEMENTS)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_word_of_the_card_is_in_a_claim(statement):
    rest = statement
    quotes = [claim.quote for claim in LEDGER] + NOT_CLAIMS
    for quote in sorted(quotes, key=len, reverse=True):
        rest = rest.replace(quote, " ")
    assert set(re.findall(r"[\w<>]+", rest)) <= {"and"}


def test_claims_follow_the_lessons():
    lessons = {claim.lesson for claim in LEDGER}
    assert lessons <= set(LESSONS)
    assert {"00", "01", "02", "03", "04", "05", "06", "07", "08", "10", "11"} <= lessons


@pytest.mark.parametrize("lesson", FINISHED)
def test_a_finished_lesson_has_measured_its_claims(lesson):
    open_claims = [c.id for c in LEDGER if c.lesson == lesson and not c.measured]
    assert not open_claims, (
        f"claims.yml gives lesson {lesson} claims that it has not measured: {open_claims}. Measure "
        f"them there, then fill in verdict, {', '.join(EVIDENCE)}"
    )


def write(path, *entries):
    path.write_text(yaml.safe_dump({"claims": list(entries), "not_claims": []}))
    return path


def test_claims_are_shown_as_text_and_as_a_table():
    table = claims_table("01")
    assert {claim.lesson for claim in table.claims} == {"01"}
    assert '"r, too high: Overfitting": ' in repr(table)
    html = table._repr_html_()
    assert html.count('scope="row"') == len(table.claims) == len(repr(table).splitlines())
    assert html.count('<th scope="col"') == 3 and html.count("<details>") == len(table.claims)
    assert '<a href="00_start_here.ipynb">the card</a>' in html


def test_a_measured_claim_shows_its_numbers(tmp_path):
    claims = load_claims(write(tmp_path / "claims.yml", MEASURED))
    html = ClaimsTable(claims)._repr_html_()
    assert "<b>Measured in:</b> section 2" in html and "1.2 m &lt;here&gt;" in html
    cells = html.replace("</td>", "</td>|").split("|")
    assert "</span> holds in part</span>" in cells[0] and "1.2 m" not in cells[0]
    assert cells[1].startswith(
        '<td style="text-align: left; vertical-align: top">1.2 m &lt;here&gt;'
    )


def test_a_verdict_is_told_by_sign_word_and_border_without_colour():
    shown = [badge(verdict) for verdict in VERDICTS]
    for verdict, html in zip(VERDICTS, shown, strict=True):
        assert f"</span> {verdict}</span>" in html and "color: " not in html
    borders = {re.search(r"2px (\w+) currentColor", html)[1] for html in shown}
    signs = {re.search(r'aria-hidden="true">(.)<', html)[1] for html in shown}
    assert len(borders) == len(signs) == len(VERDICTS)


def test_the_sentence_is_the_claims_own_or_the_first_of_its_numbers(tmp_path):
    two = MEASURED | {"decoder": "1.2 m, e.g. here. Then more."}
    own = MEASURED | {"id": "own", "in_short": "It is wide enough."}
    first, second = load_claims(write(tmp_path / "claims.yml", two, own))
    assert first.sentence == "1.2 m, e.g. here." and second.sentence == "It is wide enough."
    with pytest.raises(ValueError, match="in_short must be a text; got 3"):
        load_claims(write(tmp_path / "claims.yml", own | {"in_short": 3}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": "hold"}, "'wide' has an unknown verdict 'hold'; did you mean 'holds'"),
        ({"lesson": "16"}, "'wide' is assigned to lesson '16'"),
        ({"lesson": 3}, "lesson must be a text; got 3"),
        ({"decoder": None}, "'wide' has a verdict but no decoder"),
        ({"quote": None}, "quote must be a text"),
        ({"defnition": "x"}, "unknown field 'defnition'; did you mean 'definition'"),
    ],
)
def test_a_broken_claim_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_claims(write(tmp_path / "claims.yml", MEASURED | change))


def test_a_missing_field_and_an_id_used_twice_are_named(tmp_path):
    short = {key: value for key, value in MEASURED.items() if key != "carries"}
    with pytest.raises(ValueError, match="'wide' lacks the field 'carries'"):
        load_claims(write(tmp_path / "claims.yml", short))
    with pytest.raises(ValueError, match="more than one claim has the id 'wide'"):
        load_claims(write(tmp_path / "claims.yml", MEASURED, MEASURED))


def test_an_open_claim_needs_no_evidence(tmp_path):
    claim = MEASURED | {"verdict": NOT_MEASURED} | dict.fromkeys(EVIDENCE)
    assert not load_claims(write(tmp_path / "claims.yml", claim))[0].measured
