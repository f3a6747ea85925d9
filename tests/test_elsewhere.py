"""The files for Binder, Codespaces, containers and GitHub: read, for none of them runs here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib

import nbformat
import pytest
import yaml
from learner_copy import install_cell, learner_copy, way_cell
from notebook_source import lesson_sources
from packaging.specifiers import SpecifierSet


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def extras(text):
    """The extras that a text installs, as in -e '.[lab,models]'."""
    return {name for found in re.findall(r"\.\[([\w,]+)\]", text) for name in found.split(",")}


def paths(text):
    """The repository's files that a shell command names."""
    return set(re.findall(r"(?:tools/\w+\.py|constraints\.txt)", text))


def test_binder_brings_python_and_pip_and_builds_the_course(root, project):
    conda = yaml.safe_load((root / ".binder" / "environment.yml").read_text("utf-8"))
    python, pip = conda["dependencies"]
    assert pip == "pip"
    assert SpecifierSet(project["requires-python"]).contains(f"{python.removeprefix('python=')}.0")
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    script = root / ".binder" / "postBuild"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK) and script.read_text("utf-8").startswith("#!")
    assert_builds(root, project, script.read_text("utf-8"))


def assert_builds(root, project, text):
    """It takes the CPU build of torch, then the course with JupyterLab, in its pinned versions."""
    assert paths(text) == {"tools/install_torch.py", "constraints.txt"}
    assert all((root / path).is_file() for path in paths(text))
    assert "install_torch.py --build cpu" in text and "-c constraints.txt" in text
    assert extras(text) == {"lab"} <= set(project["optional-dependencies"])
    assert text.index("install_torch") < text.index("constraints.txt")


def test_the_dockerfile_builds_the_course_for_an_account_without_rights(root, project):
    text = (root / "Dockerfile").read_text("utf-8")
    assert_builds(root, project, text)
    steps = re.findall(r"^([A-Z]+) (.*)$", text, re.MULTILINE)
    names = [name for name, _ in steps]
    assert names[0] == "FROM" and names[-1] == "CMD"
    assert names.index("USER") > max(n for n, name in enumerate(names) if name == "RUN")
    (user,) = (value for name, value in steps if name == "USER")
    assert int(user) > 0
    command = json.loads(dict(steps)["CMD"])
    assert command[:2] == ["lora-lessons", "lab"] and "--ip=0.0.0.0" in command
    ignored = (root / ".dockerignore").read_text("utf-8").split()
    assert {".git", ".venv", "my-lessons", "release"} <= set(ignored)
    assert not {"notebooks", "lora_lessons", "benchmarks", "tools"} & set(ignored)


def test_the_devcontainer_names_targets_that_exist(root):
    found = json.loads((root / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    target = re.search(r"make (\S+) TORCH=cpu", found["postCreateCommand"])[1]
    makefile = (root / "Makefile").read_text("utf-8").replace("$(VENV)", ".venv")
    assert f"\n{target}:" in makefile
    assert ".venv/bin/lora-lessons lab --no-open" in found["postCreateCommand"]
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:3\.\d+", found["image"])
    settings = found["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


def test_a_plain_install_brings_none_of_jupyters_own_packages(project):
    plain = {re.match(r"[\w.-]+", line)[0] for line in project["dependencies"]}
    own = {re.match(r"[\w.-]+", line)[0] for line in project["optional-dependencies"]["lab"]}
    assert own == {"jupyterlab", "ipykernel", "ipywidgets"} and not own & plain
    assert "lora-lessons[lab," in " ".join(project["optional-dependencies"]["dev"])


@pytest.mark.parametrize("name", ["learner", "teacher", "contributor"])
def test_an_issue_form_has_what_github_asks_for(root, name):
    path = root / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml"
    form = yaml.safe_load(path.read_text("utf-8"))
    assert form["name"] and form["description"] and form["labels"] == [name]
    kinds = {"input", "textarea", "dropdown", "checkboxes"}
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) >= 3
    for part in form["body"]:
        assert part["type"] in kinds and part["attributes"]["label"]
        assert ("options" in part["attributes"]) == (part["type"] in ("dropdown", "checkboxes"))
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_the_citation_is_of_this_version(root, project):
    found = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    assert found["cff-version"] == "1.2.0" and found["message"] and found["authors"]
    assert found["version"] == project["version"] and found["license"] == project["license"]
    assert found["repository-code"] == project["urls"]["Repository"]


def test_the_workflow_publishes_what_make_site_builds(root):
    flow = yaml.safe_load((root / ".github" / "workflows" / "pages.yml").read_text("utf-8"))
    steps = flow["jobs"]["site"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make site TORCH=cpu"]
    (upload,) = (step for step in steps if "upload-pages" in step.get("uses", ""))
    assert upload["with"]["path"] == "build/site/html"


def test_a_learners_notebook_begins_with_the_way_and_an_installation_that_may_do_nothing(root):
    first, middle, last = (lesson_sources()[n] for n in (0, 1, -1))
    cells = learner_copy(middle).cells
    assert [cell.id for cell in cells[:3]] == ["cell-000", "way", "install"]
    before = (
        "[All lessons](index.ipynb), before: [lesson 00](00_start_here.ipynb), after: [lesson 02]"
    )
    assert cells[1].source.startswith(before)
    assert "before" not in way_cell(first).source and "after" not in way_cell(last).source
    for name in re.findall(r"\((\S+)\)", cells[1].source):
        assert (root / "notebooks" / name).is_file()


def test_the_installation_is_asked_for_only_where_the_course_is_absent(monkeypatch, project):
    calls = []

    class Shell:
        def run_line_magic(self, name, line):
            calls.append((name, line))

    code, names = install_cell().source, {"get_ipython": Shell}
    exec(code, names)
    assert calls == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(code, names)
    assert calls == [("pip", f"install --quiet git+{project['urls']['Repository']}")]


def test_every_stored_notebook_is_valid(root):
    for path in (root / "notebooks").glob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))
