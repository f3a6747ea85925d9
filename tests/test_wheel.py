"""The wheel works without the repository; the classroom's wheel holds no answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from answer_key import lesson_answers
from notebook_source import MARKERS, lesson_sources

KEY = "lora_lessons/course/key.json"


@pytest.fixture(scope="module")
def build(root, tmp_path_factory):
    """Return a function that builds a wheel and returns it as an open archive."""
    return lambda classroom: build_wheel(root, tmp_path_factory.mktemp("wheel"), classroom)


def build_wheel(root, folder, classroom: str) -> zipfile.ZipFile:
    env = {**os.environ, "LORA_LESSONS_CLASSROOM": classroom}
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def wheel(build):
    return build("")


@pytest.fixture(scope="module")
def classroom(build):
    return build("1")


@pytest.fixture(scope="module")
def answers():
    found = [lesson_answers(source) for source in lesson_sources()]
    return {name: text for lesson in found for name, text in lesson.items()}


def texts(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the files of the archive that a student can read as text."""
    kinds = (".py", ".json", ".ipynb", ".yml", ".md", ".txt")
    return {n: archive.read(n).decode() for n in archive.namelist() if n.endswith(kinds)}


def test_wheel_holds_what_a_learner_needs(wheel, root):
    names = set(wheel.namelist())
    for notebook in (root / "notebooks").glob("*.ipynb"):
        assert f"lora_lessons/notebooks/{notebook.name}" in names
    for name in (KEY, "lora_lessons/base/models/nano/model.safetensors", "lora_lessons/claims.yml"):
        assert name in names
    assert "lora_lessons/recorded/benchmarks/gpu.json" in names, "lesson 11 draws it"
    assert not any(name.startswith(("tests/", "tools/", "solutions/")) for name in names)


def test_licences_of_the_data_are_beside_the_data(wheel, root):
    beside = {path.name for path in (root / "lora_lessons" / "base" / "data").glob("LICENSE*")}
    assert beside and all(f"lora_lessons/base/data/{name}" in wheel.namelist() for name in beside)


def test_an_unpacked_wheel_hands_out_its_notebooks(wheel, root, tmp_path):
    wheel.extractall(tmp_path / "site")
    command = ["lab", "--no-open", "--dir", str(tmp_path / "mine")]
    code = f"import lora_lessons.app.cli as c; raise SystemExit(c.main({command!r}))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, check=True)
    handed_out = {path.name for path in (tmp_path / "mine").glob("*.ipynb")}
    assert handed_out == {path.name for path in (root / "notebooks").glob("*.ipynb")}


def test_key_stands_in_the_wheel_and_not_in_the_classrooms(wheel, classroom):
    assert KEY in wheel.namelist()
    assert set(wheel.namelist()) - set(classroom.namelist()) == {KEY}


def test_classroom_wheel_shows_no_answer(wheel, classroom, answers):
    """No answer's text in any file, no marker in any notebook; the full wheel shows them all."""
    shown = [name for name in answers if visible(answers[name], texts(wheel))]
    assert shown == list(answers)
    assert [name for name in answers if visible(answers[name], texts(classroom))] == []
    notebooks = [text for name, text in texts(classroom).items() if name.endswith(".ipynb")]
    assert not any(mark in text for mark in MARKERS for text in notebooks)


def visible(answer: str, files: dict[str, str]) -> bool:
    """Tell whether a file has the answer as it is or inside a JSON string."""
    forms = (answer.strip(), json.dumps(answer.strip(), ensure_ascii=False)[1:-1])
    return any(form in text for form in forms for text in files.values())


@pytest.fixture(scope="module")
def installed(root, tmp_path_factory):
    """The folder of a fresh environment with the wheel in it, and of the repository nothing.

    The other packages are this environment's, by a path; its own lora_lessons is not on that path.
    """
    folder = tmp_path_factory.mktemp("fresh")
    build_wheel(root, folder, "").close()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    site = Path(site_packages(folder / "env"))
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    wheel = next(folder.glob("*.whl"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(site),
    ]
    subprocess.run([*command, str(wheel)], check=True)
    return folder


def site_packages(env) -> str:
    return sysconfig.get_path("purelib", vars={"base": str(env), "platbase": str(env)})


def in_the_environment(folder, *arguments):
    """Run Python of the fresh environment, far from the repository."""
    scripts = sysconfig.get_path("scripts", vars={"base": str(folder / "env")})
    env = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    env |= {"LORA_LESSONS_HOME": str(folder / "home"), "LORA_LESSONS_PRESET": "quick"}
    return subprocess.run(
        [str(Path(scripts) / "python"), *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=900,
    )


CLI = ("-m", "lora_lessons.app.cli")


@pytest.mark.nightly
def test_the_installed_wheel_needs_no_repository(installed):
    """`lab`, `doctor`, `progress`, and lesson 01 from its first cell to its last."""
    where = in_the_environment(installed, "-c", "import lora_lessons as l; print(l.__file__)")
    assert str(installed / "env") in where.stdout, where.stderr
    helped = in_the_environment(installed, *CLI, "lab", "--help")
    assert helped.returncode == 0 and "--no-browser" in helped.stdout
    handed_out = in_the_environment(installed, *CLI, "lab", "--no-open", "--dir", "mine")
    assert handed_out.returncode == 0, handed_out.stderr
    examined = in_the_environment(installed, *CLI, "doctor", "--dir", "mine")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert "good     base models" in examined.stdout and "good     JupyterLab" in examined.stdout
    lesson = str(installed / "mine" / "01_rank_decomposition.ipynb")
    ran = in_the_environment(
        installed, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", lesson
    )
    assert ran.returncode == 0, ran.stderr
    code = [c for c in json.loads(Path(lesson).read_text("utf-8"))["cells"] if "outputs" in c]
    assert all(cell["execution_count"] for cell in code)
    told = in_the_environment(installed, *CLI, "progress", "--dir", "mine")
    assert "01: 0 of " in told.stdout, told.stderr


@pytest.mark.nightly
def test_wheel_and_sdist_are_fit_for_an_index(root, tmp_path):
    """What an index asks for: a description that renders, and the metadata of a release."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile"} <= set(names)
    assert not [n for n in names if n.startswith((".venv", "my-lessons", "release/", "build/"))]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    head = text.partition("\n\n")[0]
    assert "Description-Content-Type: text/markdown" in head and "License-Expression" in head
    assert "Provides-Extra: lab" in head and "Project-URL: Repository" in head
