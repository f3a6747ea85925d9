"""The README's commands exist, and CI runs the README's own test command."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from typing import Any

import links
import pytest
import run_tests
import torch
from notebook_source import lesson_sources
from PIL import Image, ImageStat

from lora_lessons.app import cli
from lora_lessons.course.ledger import VERDICTS, load_claims

WRITTEN = re.compile(r'\[markdown\] nbgrader=.*"grade_id": "(\w+)".*"points": (\d+)')
PAGES = ["README.md", "CONTRIBUTING.md", "docs/teaching.md"]
LINKED = [*PAGES, "SECURITY.md", "CODE_OF_CONDUCT.md", "docs/elsewhere.md"]
LINKED += [f"docs/teaching/{name}.md" for name in ("syllabus", "exam", "jupyterhub")]


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def verbs(root):
    return set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_the_first_screen_has_the_two_commands_and_the_three_readers(readme):
    first = "\n".join(readme.splitlines()[:36])
    for words in ("make lab ", "make test ", "a learner", "a teacher", "a maintainer", "minutes"):
        assert words in first
    assert "GB of disk" in first and "CPU" in first and "GPU" in first


def test_ci_runs_the_readmes_test_command(root, readme):
    (command,) = re.findall(r"^(make test)\b", readme, re.MULTILINE)
    lines = (root / ".ci" / "run").read_text("utf-8").splitlines()
    assert lines[-1] == command


def test_ci_script_is_valid_shell(root):
    subprocess.run(["bash", "-n", str(root / ".ci" / "run")], check=True)


@pytest.mark.parametrize("page", PAGES)
def test_every_make_verb_named_exists(root, page, verbs):
    text = (root / page).read_text("utf-8")
    named = {a or b for a, b in re.findall(r"(?m)^make ([a-z-]+)|`make ([a-z-]+)", text)}
    assert named and named <= verbs


@pytest.mark.parametrize("page", LINKED)
def test_every_link_and_path_leads_somewhere(root, page):
    text = (root / page).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    paths = re.findall(r"`((?:tests|tools|docs|lora_lessons)/[\w./]+)`", text)
    missing = [path for path in links if not ((root / page).parent / path).exists()]
    missing += [path for path in paths if "NN" not in path and not (root / path).exists()]
    assert missing == []


def test_every_lesson_has_a_row_in_the_readme(readme):
    missing = [path.stem for path in lesson_sources() if f"\n| {path.stem[:2]} | " not in readme]
    assert not missing, f"not in the README's table of lessons: {missing}"


def test_every_row_links_its_notebook_and_its_page(readme):
    site = links.addresses()[1]
    for path in lesson_sources():
        (row,) = re.findall(rf"^\| {path.stem[:2]} \|.*$", readme, re.MULTILINE)
        assert f"(notebooks/{path.stem}.ipynb)" in row
        assert f"({site}lessons/{path.stem}.html)" in row


def test_the_address_is_pyprojects_everywhere(capsys):
    assert links.main(["--check"]) == 0, capsys.readouterr().out
    other = "https://github.com/someone/else"
    text = "<!-- badges -->\nold\n<!-- /badges -->\n| 01 | x | y |\nhttps://github.com/a/lora-lessons/b"
    new = links.mended(text, "https://github.com/me/lora-lessons", "https://me.example/")
    assert "mybinder.org/v2/gh/me/lora-lessons/main" in new and "old" not in new
    assert "[page](https://me.example/lessons/01_rank_decomposition.html) | y |" in new
    assert new.endswith("https://github.com/me/lora-lessons/b")
    assert links.mended(other, "https://github.com/me/lora-lessons", "https://x/") == other


def test_the_pictures_are_there_small_and_described(root, readme):
    """One moves, two do not, each for a light and a dark page; none is left over."""
    shown = re.findall(
        r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="(\S+)">'
        r'<img src="(\S+)" (?:align="left" )?width="\d+" alt="([^"]{60,})"></picture>',
        readme,
    )
    names = {name for dark, light, _ in shown for name in (dark, light)}
    assert names == {f"docs/pictures/{p.name}" for p in (root / "docs" / "pictures").iterdir()}
    assert [light.endswith(".gif") for _, light, _ in shown].count(True) == 1
    assert len(shown) == 3
    for dark, light, _ in shown:
        assert dark.replace("-dark", "") == light.replace("-light", "")
        for name in (dark, light):
            assert (root / name).stat().st_size < 400_000
            with Image.open(root / name) as picture:
                assert picture.width >= 600
                assert (getattr(picture, "n_frames", 1) > 4) == name.endswith(".gif")
        with Image.open(root / dark) as one, Image.open(root / light) as other:
            levels = [ImageStat.Stat(p.convert("L")).mean[0] for p in (one, other)]
        assert levels[0] < levels[1]


def test_the_readme_counts_the_verdicts_as_the_claims_do(readme):
    counts = Counter(claim.verdict for claim in load_claims())
    several = {"holds": "hold", "holds in part": "hold in part", "does not hold": "do not hold"}
    tally = ", ".join(
        f"{counts[verdict]} {several.get(verdict, verdict) if counts[verdict] > 1 else verdict}"
        for verdict in VERDICTS
        if counts[verdict]
    )
    assert tally in " ".join(readme.split())


def test_contributing_says_what_to_do_when_a_test_fails(root):
    """`make test` points to that section when it ends; each test named in it exists."""
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    (heading,) = re.findall(r'"(.+)"', run_tests.HELP)
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    named = re.findall(r"^\| `(test_\w+)`", section, re.MULTILINE)
    tests = "\n".join(path.read_text("utf-8") for path in (root / "tests").rglob("test_*.py"))
    assert len(named) >= 9
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_command_of_the_readme_is_one(readme, capsys):
    for command in set(re.findall(r"lora-lessons ((?:lab|doctor|progress|models)\b)", readme)):
        with pytest.raises(SystemExit) as stopped:
            cli.main([command, "--help"])
        assert stopped.value.code == 0
    assert "usage: lora-lessons" in capsys.readouterr().out


def test_the_readme_says_that_conda_is_not_run(readme):
    assert "conda step itself is not run" in " ".join(readme.split())


def test_make_help_lists_every_verb(root, verbs):
    done = subprocess.run(["make", "-C", str(root)], capture_output=True, text=True, check=True)
    assert all(re.search(rf"^{verb}\s", done.stdout, re.MULTILINE) for verb in verbs)


@pytest.mark.parametrize("build", ["cpu", "cuda", "auto"])
def test_make_passes_the_build_of_torch_on(root, tmp_path, build):
    """In a folder without an environment, so that every step is shown."""
    makefile = str(root / "Makefile")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "constraints.txt").touch()
    command = ["make", "-n", "-f", makefile, "lab", f"TORCH={build}"]
    env = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert f"install_torch.py --build {build}" in done.stdout
    assert done.stdout.strip().endswith("lora-lessons lab")


def test_predictions_and_every_written_answer_have_a_rubric(root):
    """With as many points as nbgrader gives for it."""
    guide = (root / "docs" / "teaching.md").read_text("utf-8")
    assert "### Rubric for predictions" in guide
    sources = {path.name[:2]: path.read_text("utf-8") for path in lesson_sources()}
    written = {number: WRITTEN.findall(text) for number, text in sources.items()}
    assert [number for number, found in written.items() if len(found) != 1] == ["00"]
    for number, found in written.items():
        for name, points in found:
            heading = f"### Rubric for lesson {number}'s written answer `{name}` ({points} points)"
            _, _, rubric = guide.partition(heading)
            rubric = re.split(r"\n##+ ", rubric)[0]
            rows = re.findall(r"(?m)^\| ([\d.]+) \| ", rubric)
            assert sum(map(float, rows)) == int(points), heading
            if points == "3":  # six criteria that ask one thing each, so that two readers agree
                assert rows == ["0.5"] * 6, heading
            samples = re.findall(r"(?m)^- (?:\*\"|An answer )", rubric)
            assert len(samples) >= 3, heading  # what earns nothing, a part, and all


def _minutes(text):
    """(all, core path) as a lesson's first cell says them."""
    if said := re.search(r"(\d+) minutes for the core path; .* takes (\d+) more", text):
        return int(said[1]) + int(said[2]), int(said[1])
    every = re.search(r"\*\*Time:\*\* (\d+) minutes", text)[1]
    return int(every), int(re.search(r"\*\*core path\*\* takes (\d+)", text)[1])


def test_the_syllabus_says_the_minutes_that_the_lessons_say(root):
    """Of each lesson that a week names: its core path, and what is left beyond it."""
    plan = (root / "docs" / "teaching" / "syllabus.md").read_text("utf-8")
    for path in lesson_sources():
        number, text = path.name[:2], path.read_text("utf-8")
        every, core = _minutes(text)
        said = set(re.findall(rf"{number} (core|rest)[a-z ]*\((\d+) min\)", plan))
        assert said <= {("core", f"{core}"), ("rest", f"{every - core}")}, number
        assert said or f"{number}, all ({every} min)" in plan


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT's own noise
def test_the_packages_example_runs_and_peft_loads_what_it_saves(
    readme, tmp_path, monkeypatch, capsys
):
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "trainable params" in capsys.readouterr().out
    ids, ll = names["ids"][None, :32], names["ll"]
    again, untrained = ll.load_base("nano")[0], ll.load_base("nano")[0]
    theirs = pytest.importorskip("peft").PeftModel.from_pretrained(again, "my-adapter").eval()
    with torch.no_grad():
        ours, before = names["merged"].eval()(ids).logits, untrained(ids).logits
        torch.testing.assert_close(theirs(ids).logits, ours, rtol=0, atol=1e-4)
    assert (ours - before).abs().max() > 0.1
