"""Look with axe at lessons as learners see them: run in JupyterLab, in Chromium, light and dark.

    python tools/axe_lessons.py 01         every cell of lesson 01 is run, then axe looks at it
    python tools/axe_lessons.py            all lessons (minutes)

It looks at the notebook's own cells and outputs, widgets included, not at JupyterLab around them.
axe-core comes from npm, this one version, into the environment (.venv/var/axe-core).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab_in_browser import BROWSER_OPTIONS, CHROMIUM, READY, RUN_ALL, jupyterlab
from notebook_source import LEARNER_COPIES

AXE = "4.14.1"
FOLDER = Path(sys.prefix) / "var" / "axe-core"
SECONDS = 300  # a lesson runs its cells within that, on a busy machine too
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
OURS = [".jp-Notebook .jp-OutputArea-output", ".jp-Notebook .jp-MarkdownOutput"]
"""Where the course's own content is; the rest belongs to JupyterLab."""
NOT_OURS = {
    "scrollable-region-focusable": ".jp-RenderedMarkdown pre, .jp-RenderedText",
    "heading-order": "",  # a page of a notebook begins where its cells are attached
    "region": "",
}
SET_THEME = "name => window.jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
LOOK = """async ([where, off]) => {
  const rules = Object.fromEntries(off.map(name => [name, {enabled: false}]));
  const found = await axe.run({include: where},
    {rules, resultTypes: ['violations']});
  return found.violations.map(v => ({id: v.id, impact: v.impact, help: v.help,
    nodes: v.nodes.map(n => ({target: n.target.join(' '), html: n.html.slice(0, 200)}))}));
}"""


def axe_script() -> Path:
    """The path of axe.min.js, fetched from npm on the first call. Raises where npm is missing."""
    script = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--prefix", str(FOLDER), f"axe-core@{AXE}"]
        subprocess.run(command, check=True)
    return script


def look_at(page: Any, address: str, pictures: Path | None = None) -> dict[str, list[dict]]:
    """Run a lesson and return {theme: axe's violations in the course's own content}."""
    page.goto(address)
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(READY)
    page.evaluate(RUN_ALL)
    page.add_script_tag(path=str(axe_script()))
    off = [rule for rule, where in NOT_OURS.items() if not where]
    found = {}
    for theme, name in THEMES.items():
        page.evaluate(SET_THEME, name)
        page.wait_for_timeout(1500)
        found[theme] = [kept for v in page.evaluate(LOOK, [OURS, off]) if (kept := _ours(v))]
        for number, panel in enumerate(
            page.locator(".ll-panel, .ll-ask").all() if pictures else []
        ):
            panel.screenshot(path=str(pictures / f"{theme}-{number}.png"))
    return found


def _ours(violation: dict) -> dict | None:
    """A violation without the nodes that JupyterLab itself makes; None where none is left."""
    classes = NOT_OURS.get(violation["id"], "").replace(".", "").replace(",", "").split()
    nodes = [n for n in violation["nodes"] if not any(c in n["html"] for c in classes)]
    return {**violation, "nodes": nodes} if nodes else None


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="lessons, by number: 00 01")
    parser.add_argument("--pictures", type=Path, help="a folder for a picture of each theme")
    options = parser.parse_args(arguments)
    notebooks = sorted(LEARNER_COPIES.glob("[0-9][0-9]_*.ipynb"))
    wanted = [n.name for n in notebooks if not options.numbers or n.name[:2] in options.numbers]
    count = 0
    with tempfile.TemporaryDirectory(prefix="lora-lessons-axe-") as folder:
        for name, violations in look_at_all(Path(folder), wanted, options.pictures):
            count += len(violations)
            print(f"{name}: {len(violations)} violations", flush=True)
            for violation in violations:
                print(f"  {violation['id']} ({violation['impact']}): {violation['help']}")
                for node in violation["nodes"][:3]:
                    print(f"    {node['target']}\n      {node['html']}")
    return 1 if count else 0


def look_at_all(
    folder: Path, names: list[str], pictures: Path | None = None
) -> Iterator[tuple[str, list[dict]]]:
    """Yield ("01_x.ipynb, dark", violations) for each lesson and theme."""
    from playwright.sync_api import sync_playwright

    with jupyterlab(folder) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_OPTIONS)
        for name in names:
            page = browser.new_page(viewport={"width": 1366, "height": 4000})
            page.set_default_timeout(SECONDS * 1000)
            for theme, violations in look_at(page, address % name, pictures).items():
                yield f"{name}, {theme}", violations
            page.close()
        browser.close()


if __name__ == "__main__":
    raise SystemExit(main())
