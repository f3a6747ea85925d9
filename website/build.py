"""Build the site: `python website/build.py` writes build/site/html, offline, from what is stored.

Pages are prepared in build/site/source: the lessons from their executed solutions, the claims from
claims.yml, the docs, the API from docstrings. Then Sphinx runs with warnings as errors.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "website")]

import nbformat  # noqa: E402
from lesson_page import LessonPage  # noqa: E402
from notebook_source import lesson_sources  # noqa: E402

import lora_lessons as ll  # noqa: E402
from lora_lessons.course.ledger import BADGES, VERDICTS, Claim, load_claims  # noqa: E402

SEVERAL = {"holds": "hold", "holds in part": "hold in part", "does not hold": "do not hold"}
DOCS = (
    "engine",
    "adapters",
    "experts-and-attention",
    "peft-parity",
    "training",
    "elsewhere",
    "teaching",
)


def prepare(source: Path) -> None:
    """Write all pages into `source`."""
    shutil.rmtree(source, ignore_errors=True)
    (source / "lessons").mkdir(parents=True)
    shutil.copytree(ROOT / "website" / "static", source / "_static")
    shutil.copytree(ROOT / "notebooks", source / "extra" / "notebooks")
    shutil.copy(ROOT / "website" / "conf.py", source)
    for module in ("mathml", "finish"):
        shutil.copy(ROOT / "website" / f"{module}.py", source)
    solutions: dict[str, tuple[str, bool]] = {}
    for lesson in lesson_sources():
        page = LessonPage(lesson, source / "_static" / "figures", solutions).notebook()
        nbformat.write(page, source / "lessons" / f"{lesson.stem}.ipynb")
    (source / "solutions.json").write_text(json.dumps(solutions), encoding="utf-8")
    for name in DOCS:
        shutil.copy(ROOT / "docs" / f"{name}.md", source)
    shutil.copytree(ROOT / "docs" / "teaching", source / "teaching", dirs_exist_ok=True)
    (source / "claims.md").write_text(claims_page(load_claims()), encoding="utf-8")
    (source / "api.md").write_text(api_page(), encoding="utf-8")
    (source / "index.md").write_text(index_page(), encoding="utf-8")


INDEX = """# LoRA Lessons

**Write low-rank adaptation yourself, and find out by measurement which of the usual advice
holds.**

{count} lessons in Jupyter. You write the pieces, an instant check says what is
wrong with them, and a laptop's CPU is enough. Here every lesson can be read with its stored
results: they are hidden until you have guessed, and the solutions are folded.

[Start with lesson 00](lessons/{first}.ipynb), or look at
[the claims](claims.md): of what is usually said about LoRA's arguments, {tally}.

```{{toctree}}
:caption: Lessons
:maxdepth: 1

{lessons}
```

```{{toctree}}
:caption: Results and documents
:maxdepth: 1

claims
engine
adapters
experts-and-attention
peft-parity
training
elsewhere
api
```

```{{toctree}}
:caption: Teaching
:maxdepth: 1

teaching
{teaching}
```
"""
"""The first page, with places for what is counted and listed."""


def index_page() -> str:
    """The first page: what the course is, its lessons, its documents."""
    lessons = [source.stem for source in lesson_sources()]
    counts = Counter(claim.verdict for claim in load_claims())
    pages = sorted(page.stem for page in (ROOT / "docs" / "teaching").glob("*.md"))
    return INDEX.format(
        count=len(lessons),
        first=lessons[0],
        tally=", ".join(
            f"{counts[verdict]} {SEVERAL.get(verdict, verdict) if counts[verdict] > 1 else verdict}"
            for verdict in VERDICTS
            if counts[verdict]
        ),
        lessons="\n".join(f"lessons/{name}" for name in lessons),
        teaching="\n".join(f"teaching/{name}" for name in pages),
    )


def claims_page(claims: list[Claim]) -> str:
    """Every claim of the card with its verdict; buttons show those of one verdict."""
    counts = Counter(claim.verdict for claim in claims)
    buttons = "".join(
        f'<button type="button" data-verdict="{verdict}" aria-pressed="false">'
        f"{BADGES[verdict][0]} {verdict} ({counts[verdict]})</button>"
        for verdict in VERDICTS
        if counts[verdict]
    )
    head = f"""# The claims

The card that the course is built on makes {len(claims)} claims. Each was given a definition that
could fail, and was measured on the course's 5 M decoder and, where it could be, on SmolLM2-135M.

<fieldset class="claims-filter"><legend>Show</legend>
<button type="button" data-verdict="all" aria-pressed="true">all ({len(claims)})</button>{buttons}
</fieldset><p id="claims-shown" role="status"></p>
"""
    return head + "\n".join(map(_claim, claims))


def _claim(claim: Claim) -> str:
    sign = BADGES[claim.verdict][0]
    page = next(s.stem for s in lesson_sources() if s.name.startswith(claim.lesson))
    rows = {
        "What is measured": claim.definition,
        "On the decoder": claim.decoder,
        "On SmolLM2": claim.smollm2,
        "What carries": claim.carries,
        "Where": claim.measured_in,
    }
    terms = "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in rows.items() if v)
    return (
        f'<div class="claim" data-verdict="{claim.verdict}"><p>'
        f"<strong>{escape(claim.quote)}</strong><br>"
        f"{sign} {claim.verdict}. {escape(claim.sentence)} "
        f'<a href="lessons/{page}.html">Lesson {claim.lesson}</a></p>'
        f"<details><summary>How it was measured</summary><dl>{terms}</dl></details></div>\n"
    )


def api_page() -> str:
    """Every public name: its signature, its docstring as written, and what a class can do."""
    blocks = [
        f"## ll.{name}\n\n{described(getattr(ll, name), name)}" for name in sorted(ll.__all__)
    ]
    head = "# The package\n\n`import lora_lessons as ll` gives these names.\n\n"
    return head + "\n".join(blocks)


def described(thing: object, name: str) -> str:
    """The signature and docstring in a code block, then one line for each public method."""
    lines = [f"{name}{signature(thing)}", "", inspect.getdoc(thing) or ""]
    text = "```text\n" + "\n".join(lines).rstrip() + "\n```\n"
    if not isinstance(thing, type):
        return text
    own = [
        (n, m) for n, m in vars(thing).items() if not n.startswith("_") and inspect.isfunction(m)
    ]
    rows = [f"- `{n}`: {(inspect.getdoc(m) or '').splitlines()[0]}" for n, m in own]
    return text + ("\n" + "\n".join(rows) + "\n" if rows else "")


def signature(thing: object) -> str:
    """The arguments, or nothing where Python does not know them."""
    try:
        return str(inspect.signature(thing)) if callable(thing) else ""
    except (TypeError, ValueError):
        return ""


def outside_links(text: str) -> list[str]:
    """Scripts, styles, fonts and pictures that a page would fetch from another host."""
    return re.findall(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(https?://[^"]+)"', text)


def main(arguments: list[str] | None = None) -> int:
    """Prepare the pages and call Sphinx."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out = parser.parse_args(arguments).out
    prepare(out / "source")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-j", "2", "-b", "html"]
    code = subprocess.run([*command, str(out / "source"), str(out / "html")]).returncode
    if code == 0:
        print(f"open {out / 'html' / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
