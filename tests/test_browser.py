"""JupyterLab in a real browser: lesson 01 runs, and a slider moved by keyboard redraws it."""

from __future__ import annotations

import sys

import pytest
from lab_in_browser import BROWSER_OPTIONS, CHROMIUM, READY, RUN_ALL, jupyterlab

LESSON = "01_rank_decomposition.ipynb"
SECONDS = 1000  # Playwright counts in milliseconds

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

TRACEBACK = ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"


@pytest.fixture
def address(tmp_path):
    """Start JupyterLab by the learner's own command; yield the address of lesson 01 in it."""
    with jupyterlab(tmp_path) as of_file:
        yield of_file % LESSON


@pytest.fixture
def page(address):
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.set_default_timeout(120 * SECONDS)
        page.goto(address)
        yield page
        browser.close()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are ended by POSIX signals")
def test_a_slider_moved_by_keyboard_changes_the_picture(page):
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(READY)
    ran = page.evaluate(RUN_ALL)  # false as soon as one cell raises
    assert ran, page.locator(TRACEBACK).first.inner_text()

    panel = page.get_by_role("group").filter(has=page.locator("input[type=range]")).first
    panel.scroll_into_view_if_needed()
    picture = panel.locator("img").first
    picture.wait_for()
    before, alt = picture.get_attribute("src"), picture.get_attribute("alt")
    assert alt

    slider = panel.get_by_role("slider").first  # with a name, by its label
    assert panel.get_by_label(panel.locator("label").first.inner_text()).count()
    said = slider.get_attribute("aria-valuetext")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    playwright.expect(panel.locator("img").first).not_to_have_attribute(
        "src", before, timeout=30 * SECONDS
    )
    assert panel.locator("img").first.get_attribute("alt") != alt
    assert slider.get_attribute("aria-valuetext") != said
    screen = panel.locator("[aria-live=polite]")
    playwright.expect(screen).to_have_attribute("aria-busy", "false", timeout=30 * SECONDS)
