"""The site builds with warnings as errors, links to what is there, and gives no answer away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest
from notebook_source import MARKERS, is_answer, lesson_sources, read_source, without_markers

pytest.importorskip("sphinx")
THEMES = ("light", "dark")
WIDTHS = (390, 1280)
AT_ONCE = "*, ::before, ::after { transition: none !important; animation: none !important; }"


@pytest.fixture(scope="module")
def html(root, tmp_path_factory):
    """The folder of the built pages."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, str(root / "website" / "build.py"), "--out", str(out)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out / "html"


class Page(HTMLParser):
    """The links, ids, pictures and what a page fetches."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.ids, self.fetched, self.without_alt = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.fetched.append(found["src"])
        if tag == "link" and found.get("rel") != "canonical" and found.get("href"):
            self.fetched.append(found["href"])
        if tag == "img" and not found.get("alt"):
            self.without_alt.append(found.get("src"))


@pytest.fixture(scope="module")
def pages(html):
    found = {path: Page(path.read_text("utf-8")) for path in html.rglob("*.html")}
    assert len(found) > 20
    return found


def test_every_link_leads_to_a_page_or_a_part_of_one(html, pages):
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            target, part = urldefrag(unquote(link))
            if re.match(r"[a-z]+:", target):
                continue
            to = (path.parent / target).resolve() if target else path
            if not to.exists():
                wrong.append(f"{path.name} -> {link}")
            elif part and to in pages and part not in pages[to].ids:
                wrong.append(f"{path.name} -> {link}, which has no such part")
    assert not wrong


def test_nothing_comes_from_another_host(pages):
    assert not [src for page in pages.values() for src in page.fetched if "//" in src]


def test_every_picture_of_a_lesson_has_alt_text(pages):
    lessons = [page for path, page in pages.items() if path.parent.name == "lessons"]
    assert sum(len(page.fetched) for page in lessons) > 50
    assert not [src for page in lessons for src in page.without_alt]


def solutions():
    """(lesson, text of a solution cell's longest line) of every coded answer."""
    for source in lesson_sources():
        for cell in read_source(source).cells:
            if cell.cell_type == "code" and is_answer(cell):
                inside = cell.source.split("### BEGIN SOLUTION")[1].split("### END SOLUTION")[0]
                yield source.stem, max(inside.splitlines(), key=len).strip()


def test_solutions_stand_folded_and_only_there(html):
    for lesson, line in solutions():
        text = (html / "lessons" / f"{lesson}.html").read_text("utf-8")
        assert not any(mark in text for mark in MARKERS)
        folds = re.findall(r'<details class="solution">.*?</details>', text, re.DOTALL)
        shown = [unescape(re.sub(r"<[^>]+>", "", fold)) for fold in folds]
        assert any(line in one for one in shown), (lesson, line)
        rest = re.sub(r'<details class="solution">.*?</details>', "", text, flags=re.DOTALL)
        assert line not in unescape(re.sub(r"<[^>]+>", "", rest)), (lesson, line)


def test_the_search_does_not_find_solutions(html):
    index = json.loads((html / "searchindex.js").read_text("utf-8")[len("Search.setIndex(") : -1])
    source = next(s for s in lesson_sources() if s.name.startswith("00"))
    words = set(re.findall(r"[a-z]{6,}", "".join(map(str, index["terms"]))))
    assert "notebook" in "".join(index["terms"])
    answers = [c for c in read_source(source).cells if c.cell_type == "code" and is_answer(c)]
    prose = "".join(
        c.source for s in lesson_sources() for c in read_source(s).cells if c not in answers
    )
    for cell in answers:
        own = set(re.findall(r"[a-z]{9,}", without_markers(cell.source))) - set(
            re.findall(r"[a-z]{9,}", prose)
        )
        assert not own & words


def test_results_are_hidden_until_the_reader_has_guessed(html):
    """Whatever is shown after a prediction, up to its comparison, is folded."""
    text = (html / "lessons" / "10_choosing_parameters.html").read_text("utf-8")
    after = text[text.index("lesson.predict") if "lesson.predict" in text else 0 :]
    assert "Show the result (guess first)" in after


def test_the_learners_notebooks_can_be_downloaded_and_hold_no_answer(html):
    for source in lesson_sources():
        text = (html / "notebooks" / f"{source.stem}.ipynb").read_text("utf-8")
        assert "Your turn" in text
        assert not any(mark in text for mark in MARKERS)


@pytest.mark.browser
@pytest.mark.nightly
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_and_no_page_is_wider_than_the_screen(html, theme, width):
    axe = pytest.importorskip("axe_lessons")
    playwright = pytest.importorskip("playwright.sync_api")
    if axe.CHROMIUM is None:
        pytest.skip("no Chromium")
    wrong = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=axe.CHROMIUM,
            args=[*axe.BROWSER_OPTIONS, "--allow-file-access-from-files"],
        )
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        for path in sorted(html.rglob("*.html")):
            page.goto(path.as_uri())
            page.evaluate("t => document.documentElement.dataset.theme = t", theme)
            page.evaluate("() => document.querySelectorAll('details').forEach(d => d.open = true)")
            page.add_style_tag(content=AT_ONCE)
            page.add_script_tag(path=str(axe.axe_script()))
            for found in page.evaluate("() => axe.run().then(r => r.violations)"):
                wrong.append(f"{path.name}: {found['id']} x {len(found['nodes'])}")
            if page.evaluate("() => document.documentElement.scrollWidth") > width:
                wrong.append(f"{path.name} is wider than {width}")
        browser.close()
    assert not wrong
