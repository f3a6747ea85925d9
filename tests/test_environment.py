"""environment.yml, constraints.txt and pyproject.toml say the same.

The conda step itself is not run: these tests read the files.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import install_torch
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(root):
    lines = (root / "constraints.txt").read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.fixture(scope="module")
def conda(root):
    return yaml.safe_load((root / "environment.yml").read_text("utf-8"))


def requirements(project):
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.name != project["name"]]


def test_conda_brings_python_pip_and_the_package(conda, project):
    python, pip, section = conda["dependencies"]
    assert pip == "pip"
    assert section == {"pip": ["-e .[dev]"]} and "dev" in project["optional-dependencies"]
    name, version = re.fullmatch(r"(\w+)=([\d.]+)", python).groups()
    assert name == "python" and SpecifierSet(project["requires-python"]).contains(f"{version}.0")


def test_conda_names_free_channels_only(conda):
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert conda["name"] == "lora-lessons"


def test_every_dependency_has_a_lower_bound_and_no_upper_one(project):
    for one in requirements(project):
        operators = [clause.operator for clause in one.specifier]
        assert operators == [">="], f"pyproject.toml: {one} must be written as {one.name}>=X.Y"


@pytest.mark.parametrize(
    ("name", "highest"), [("torch", "2.11"), ("transformers", "5.17"), ("peft", "0.21")]
)
def test_lower_bounds_stay_low(project, name, highest):
    (one,) = (one for one in requirements(project) if one.name == name)
    (clause,) = one.specifier
    assert Version(clause.version) <= Version(highest), (
        f"pyproject.toml raises {name} above {highest}, so a plain install may replace a learner's "
        f"own. If that must be, raise {name!r} here too and say why in the commit"
    )


def test_every_dependency_is_pinned_within_its_bounds(project, pins):
    wrong = []
    for one in requirements(project):
        pin = pins.get(canonicalize_name(one.name))
        if pin is None or not one.specifier.contains(pin):
            wrong.append(f"pyproject.toml asks for {one}, constraints.txt pins {pin or 'none'}")
    assert not wrong, "\n".join([*wrong, 'see "Versions" in CONTRIBUTING.md'])


def test_every_pin_runs_on_the_oldest_python_that_we_name(project, pins):
    """Of what is installed here: Debian 12 brings Python 3.11.2, which a pin once refused."""
    oldest = project["requires-python"].removeprefix(">=") + ".0"
    found = [(one.name, one) for one in importlib.metadata.distributions()]
    asked = {
        canonicalize_name(name): one.metadata.get("Requires-Python") or ""
        for name, one in found
        if pins.get(canonicalize_name(name)) == Version(Version(one.version).public)
    }
    assert len(asked) > 100
    wrong = [
        f"{name}: {say}" for name, say in asked.items() if not SpecifierSet(say).contains(oldest)
    ]
    assert not wrong


def test_pins_name_no_build(pins):
    assert [name for name, version in pins.items() if version.local] == []


def test_grading_is_an_extra(project):
    assert not any("nbgrader" in line for line in project["dependencies"])
    assert any("nbgrader" in line for line in project["optional-dependencies"]["grading"])


CPU = ["--index-url", install_torch.CPU_INDEX]
CUDA = ["--index-url", install_torch.CUDA_INDEX]


@pytest.mark.parametrize(
    ("build", "system", "has_gpu", "default_is_cuda", "options"),
    [
        ("auto", "Linux", False, True, CPU),
        ("auto", "Linux", False, False, []),
        ("auto", "Linux", True, True, []),
        ("auto", "Windows", False, False, []),
        ("auto", "Windows", True, False, CUDA),
        ("auto", "Darwin", False, False, []),
        ("cpu", "Linux", True, True, CPU),
        ("cpu", "Darwin", False, False, []),
        ("cuda", "Linux", False, True, []),
        ("cuda", "Linux", False, False, CUDA),
    ],
)
def test_build_of_torch(build, system, has_gpu, default_is_cuda, options):
    assert install_torch.index_options(build, system, has_gpu, default_is_cuda) == options


def test_pips_report_tells_the_build():
    def report(version, *needs):
        return {"install": [{"metadata": {"version": version, "requires_dist": list(needs)}}]}

    nvidia = 'nvidia-cublas==13; platform_system == "Linux"'
    assert install_torch.offers_cuda(report("2.13.0", "sympy", nvidia))
    assert not install_torch.offers_cuda(report("2.13.0+cpu", "sympy"))


def test_make_installs_the_pinned_torch(root, pins):
    text = (root / "constraints.txt").read_text("utf-8")
    assert Version(install_torch.pinned_version(text)) == pins["torch"]
