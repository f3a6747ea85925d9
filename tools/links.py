"""Put the repository's address, which stands in pyproject.toml, wherever it is written.

    python tools/links.py            write it
    python tools/links.py --check    name every file that has another one

The README's badges and its lessons' links are made here too.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

from notebook_source import ROOT, lesson_sources, write_whole

FILES = ("README.md", "CITATION.cff", "SECURITY.md", ".github/ISSUE_TEMPLATE/config.yml")
FILES += ("docs/elsewhere.md",)
REPOSITORY = re.compile(r"https://github\.com/[\w-]+/[\w-]+")
BADGES = re.compile(r"(<!-- badges -->\n).*?(\n<!-- /badges -->)", re.DOTALL)
ROW = re.compile(r"^\| (?P<number>\d\d) \| [^|]+ \|", re.MULTILINE)
TOPICS = {  # where it is not the file's name
    "02": "the LoRA layer",
    "03": "alpha and scaling",
    "09": "save, merge, switch",
    "12": "QLoRA",
}


def addresses(root: Path = ROOT) -> tuple[str, str]:
    """(the repository's, the site's with a slash at its end)."""
    urls = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    return urls["Repository"].rstrip("/"), urls["Documentation"].rstrip("/") + "/"


def badges(repository: str) -> str:
    """One line: the course on Binder, on Colab and in Codespaces."""
    name = repository.removeprefix("https://github.com/")
    first = lesson_sources()[0].stem
    binder = f"https://mybinder.org/v2/gh/{name}/main?urlpath=lab/tree/notebooks/index.ipynb"
    colab = f"https://colab.research.google.com/github/{name}/blob/main/notebooks/{first}.ipynb"
    codespaces = f"https://codespaces.new/{name}"
    return " ".join(
        [
            f"[![Open in Binder](https://mybinder.org/badge_logo.svg)]({binder})",
            "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
            f"({colab})",
            f"[![Open in Codespaces](https://github.com/codespaces/badge.svg)]({codespaces})",
        ]
    )


def mended(text: str, repository: str, site: str) -> str:
    """The text with this address in place of another, and the README's parts made anew."""
    text = BADGES.sub(lambda m: m[1] + badges(repository) + m[2], text)
    stems = {source.name[:2]: source.stem for source in lesson_sources()}

    def row(match: re.Match[str]) -> str:
        stem = stems.get(match["number"])
        if stem is None:
            return match[0]
        topic = TOPICS.get(match["number"]) or stem[3:].replace("_", " ")
        links = f"[{topic}](notebooks/{stem}.ipynb), [page]({site}lessons/{stem}.html)"
        return f"| {match['number']} | {links} |"

    return ROW.sub(row, REPOSITORY.sub(_same_or(repository), text))


def _same_or(repository: str) -> Callable[[re.Match[str]], str]:
    """A replacement: only addresses of this course's own repository are written anew."""
    own = repository.rsplit("/", 1)[1]
    return lambda m: repository if m[0].rsplit("/", 1)[1] == own else m[0]


def main(arguments: list[str] | None = None) -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a file differs")
    check, code = parser.parse_args(arguments).check, 0
    for name in FILES:
        path = ROOT / name
        old = path.read_text("utf-8")
        new = mended(old, *addresses())
        if new != old and check:
            print(f"{name} differs: python tools/links.py")
            code = 1
        elif new != old:
            write_whole(path, new)
    return code


if __name__ == "__main__":
    sys.exit(main())
