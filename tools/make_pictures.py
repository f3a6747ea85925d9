"""Make the README's pictures from the product itself: `python tools/make_pictures.py` (2 minutes).

A few cells of lessons 01 and 05 run in JupyterLab, in Chromium, in its light and its dark theme.
What is taken: a check's message, an explorer that is being moved, and one as it first stands. They
lie in docs/pictures, each under 400 kB. Needs Chromium, npm (for axe_lessons) and Pillow.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from axe_lessons import SECONDS, SET_THEME, THEMES
from lab_in_browser import BROWSER_OPTIONS, CHROMIUM, READY, RUN_ALL, jupyterlab
from notebook_source import ROOT, lesson_sources
from PIL import Image, ImageOps

CONTEXT = "() => window.jupyterapp?.shell.currentWidget?.sessionContext"
PICTURES = ROOT / "docs" / "pictures"
MOST = 400_000  # bytes of a file
COLOURS = 48
RANKS = (1, 2, 4, 8, 12, 20, 36)
MOMENT, LAST = 600, 1800  # milliseconds of a frame, and of the last one
WRONG = """def best_rank_k(W: torch.Tensor, k: int) -> torch.Tensor:
    \"\"\"Return the matrix of rank k that is nearest to W, shape (out, in) like W.\"\"\"
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    return (U[:, :k] * S[:k]) @ Vh[:, :k].T"""
# lesson -> the cells that are kept, by what they say
KEPT = {
    "01": ("import torch", "lesson.explore.rank()", "def best_rank_k", "lesson.check.best_rank_k"),
    "05": ("import warnings", "lesson.explore.targets()"),
}


def shortened(path: Path) -> None:
    """Leave a learner's notebook only the cells of a picture, one of them with a usual mistake."""
    notebook, kept = nbformat.read(path, as_version=4), KEPT[path.name[:2]]
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    notebook.cells = [c for words in kept for c in cells if c.source.startswith(words)]
    for words in kept:
        if not any(words in cell.source for cell in notebook.cells):
            notebook.cells += [c for c in cells if words in c.source]
    for cell in notebook.cells:
        if cell.source.startswith("def best_rank_k"):
            cell.source = WRONG
    nbformat.write(notebook, path)


def pictures(lessons: list[str]) -> Iterator[tuple[str, list[Image.Image]]]:
    """Yield (name, frames) of each of the lessons' pictures in each theme."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address:
        notebooks = Path(folder) / "my-lessons"
        names = {s.name[:2]: f"{s.stem}.ipynb" for s in lesson_sources() if s.name[:2] in KEPT}
        for name in names.values():
            shortened(notebooks / name)
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=BROWSER_OPTIONS)
            for number in lessons:
                page = browser.new_page(viewport={"width": 1180, "height": 2000})
                page.set_default_timeout(SECONDS * 1000)
                page.goto(address % names[number])
                page.wait_for_function(CONTEXT)
                page.evaluate(READY)
                page.evaluate(RUN_ALL)
                for theme, called in THEMES.items():
                    page.evaluate(SET_THEME, called)
                    page.wait_for_timeout(1500)
                    for name, frames in TAKEN[number](page):
                        yield f"{name}-{theme}", frames
                page.close()
            browser.close()


def of_lesson_01(page: Any) -> Iterator[tuple[str, list[Image.Image]]]:
    """The check's message under the answer, and the photograph at rising ranks."""
    answer = page.locator(".jp-CodeCell").filter(has_text="def best_rank_k")
    check = page.locator(".jp-CodeCell").filter(has_text="lesson.check.best_rank_k")
    check.locator(".jp-OutputArea-output").first.wait_for()
    yield "check", [together(page, answer, check)]
    panel = page.locator(".ll-panel").first
    frames = []
    for rank in RANKS:
        move_to(page, panel, rank)
        frames.append(shot(panel))
    move_to(page, panel, RANKS[0])
    yield "explorer", frames


def of_lesson_05(page: Any) -> Iterator[tuple[str, list[Image.Image]]]:
    """Which modules of the decoder get an adapter, as the explorer says before it is moved."""
    panel = page.locator(".ll-panel").first
    panel.locator("[aria-live=polite][aria-busy=false] img").wait_for()
    picture = shot(panel)  # others stand at its right: space between them
    yield "targets", [ImageOps.expand(picture, (0, 0, 24, 0), picture.getpixel((0, 0)))]


TAKEN = {"01": of_lesson_01, "05": of_lesson_05}


def move_to(page: Any, panel: Any, value: int) -> None:
    """Move the panel's slider by keyboard to the value that it then says."""
    slider = panel.get_by_role("slider").first
    slider.focus()
    away = value - int(slider.get_attribute("aria-valuetext"))
    for _ in range(abs(away)):
        page.keyboard.press("ArrowRight" if away > 0 else "ArrowLeft")
    if slider.get_attribute("aria-valuetext") != str(value):
        raise RuntimeError(f"the slider does not say {value}")
    page.wait_for_timeout(300)
    panel.locator("[aria-live=polite][aria-busy=false]").wait_for()
    page.wait_for_timeout(200)


def shot(place: Any) -> Image.Image:
    """A picture of one element."""
    return Image.open(io.BytesIO(place.screenshot())).convert("RGB")


def together(page: Any, first: Any, last: Any) -> Image.Image:
    """A picture of two elements, and what stands between them."""
    a, b = first.bounding_box(), last.bounding_box()
    x, right = min(a["x"], b["x"]), max(a["x"] + a["width"], b["x"] + b["width"])
    clip = {"x": x, "y": a["y"], "width": right - x, "height": b["y"] + b["height"] - a["y"]}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def write(name: str, frames: list[Image.Image], folder: Path) -> Path:
    """Write a PNG, or a GIF of several frames. Raises ValueError if the file is too large."""
    small = [frame.quantize(COLOURS, dither=Image.Dither.NONE) for frame in frames]
    path = folder / f"{name}.{'gif' if len(frames) > 1 else 'png'}"
    if len(frames) > 1:
        shown = [MOMENT] * (len(frames) - 1) + [LAST]
        small[0].save(
            path, save_all=True, append_images=small[1:], duration=shown, loop=0, optimize=True
        )
    else:
        small[0].save(path, optimize=True)
    if path.stat().st_size > MOST:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, more than {MOST}")
    return path


def main(arguments: list[str] | None = None) -> int:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--lesson", action="append", choices=TAKEN, help="this one's alone")
    options = parser.parse_args(arguments)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    for name, frames in pictures(options.lesson or list(TAKEN)):
        path = write(name, frames, out)
        print(f"{path}: {frames[0].size}, {len(frames)} frames, {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
