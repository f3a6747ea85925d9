"""Say what this machine lacks for the course, and how to get it.

Each examination returns one Finding. "missing" stops the course, "advice" does not.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from lora_lessons.app import lab

NEEDED_GIGABYTES = 1.0
BASE_MODELS = ("decoder", "nano", "encoder", "nano_encoder", "encoder_decoder")
OPTIONAL_MODELS = ("smollm2", "minilm")
MODELS = Path(__file__).resolve().parent.parent / "base" / "models"
LAB_CURE = f'{sys.executable} -m pip install "lora-lessons[lab]"'
CUDA_CURE = "`make lab TORCH=cuda`, or install a CUDA build as https://pytorch.org/get-started says"


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what came out, and the cure if it is not good."""

    subject: str
    state: Literal["good", "advice", "missing"]
    text: str
    cure: str = ""


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Look at the Python version."""
    text = ".".join(map(str, version))
    if version < (3, 11):
        return Finding("Python", "missing", text, "install Python 3.11 or newer")
    return Finding("Python", "good", text)


def check_packages(requirements: list[str] | None = None) -> Finding:
    """Compare the installed packages with the bounds that lora-lessons declares."""
    if requirements is None:
        requirements = importlib.metadata.requires("lora-lessons") or []
    needed = [Requirement(line) for line in requirements]
    needed = [n for n in needed if n.marker is None or n.marker.evaluate({"extra": ""})]
    faults = [fault for fault in map(_package_fault, needed) if fault]
    if faults:
        names = " ".join(f'"{n.name}{n.specifier}"' for n in needed if _package_fault(n))
        cure = f"{sys.executable} -m pip install --upgrade {names}"
        return Finding("packages", "missing", "; ".join(faults), cure)
    return Finding("packages", "good", f"{len(needed)} as declared")


def check_lab() -> Finding:
    """Look for JupyterLab: an extra, for elsewhere (Colab) a notebook's kernel is there already."""
    try:
        version = importlib.metadata.version("jupyterlab")
    except importlib.metadata.PackageNotFoundError:
        text = "not installed: `lora-lessons lab` needs it, a kernel that is there does not"
        return Finding("JupyterLab", "advice", text, LAB_CURE)
    return Finding("JupyterLab", "good", version)


def _package_fault(requirement: Requirement) -> str | None:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{requirement.name} is {version}, needed is {requirement.specifier}"


def gpu_names() -> list[str]:
    """Return the names of the NVIDIA GPUs that the driver sees, torch aside."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split("\n")[:-1] if listed.returncode == 0 else []


def check_torch(gpus: list[str] | None = None) -> Finding:
    """Compare the build of torch with the machine: a GPU beside a CPU build lies idle."""
    import torch

    gpus = gpu_names() if gpus is None else gpus
    if torch.cuda.is_available():
        return Finding("torch", "good", f"{torch.__version__}, {torch.cuda.get_device_name(0)}")
    if not gpus:
        return Finding("torch", "good", f"{torch.__version__}, no NVIDIA GPU: lessons run on CPU")
    if torch.version.cuda is None:
        text = f"{torch.__version__} is a CPU build, beside a GPU ({gpus[0]})"
        return Finding("torch", "advice", text, CUDA_CURE)
    text = f"{torch.__version__} cannot use the GPU ({gpus[0]})"
    cure = f"update the NVIDIA driver: this torch needs CUDA {torch.version.cuda}"
    return Finding("torch", "advice", text, cure)


def check_disk(folder: Path) -> Finding:
    """Look at the free space where the learner's notebooks are."""
    free = lab.free_gigabytes(folder)
    if free < NEEDED_GIGABYTES:
        cure = f"make {NEEDED_GIGABYTES:.0f} GB free, or give --dir a folder on another disk"
        return Finding("disk", "advice", f"{free:.1f} GB free at {folder}", cure)
    return Finding("disk", "good", f"{free:.1f} GB free")


def check_base_models(models: Path = MODELS) -> Finding:
    """Look for the weights that ship with the package."""
    absent = [n for n in BASE_MODELS if not (models / n / "model.safetensors").exists()]
    if absent:
        cure = "install lora-lessons again: the base models are part of it"
        return Finding("base models", "missing", f"no {', '.join(absent)} in {models}", cure)
    return Finding("base models", "good", ", ".join(BASE_MODELS))


def check_optional_models(is_available: Callable[[str], bool] | None = None) -> Finding:
    """Look for the larger public models, which one section of some lessons uses."""
    if is_available is None:
        from lora_lessons import is_available
    absent = [name for name in OPTIONAL_MODELS if not is_available(name)]
    there = [name for name in OPTIONAL_MODELS if name not in absent]
    text = " and ".join(there) + " there" if there else "none there"
    if absent:
        cure = "only if you want more: " + ", ".join(f"lora-lessons models add {n}" for n in absent)
        return Finding("optional models", "advice", text, cure)
    return Finding("optional models", "good", text)


def check_folder(folder: Path) -> Finding:
    """Try to write where the learner's notebooks go."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.absolute().parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Finding("notebooks", "good", f"{folder} can be written to")
    except OSError:
        cure = "give --dir a folder of your own, e.g. lora-lessons lab --dir " + os.path.join(
            "~", "lora-lessons"
        )
        return Finding("notebooks", "missing", f"{nearest} cannot be written to", cure)


def examine(folder: Path) -> list[Finding]:
    """Return all findings, in the order in which they are worth curing."""
    packages = check_packages()
    findings = [check_python(), packages, check_disk(folder), check_folder(folder)]
    findings += [check_lab(), check_base_models()]
    if not re.search(r"\btorch (is not|is)\b", packages.text):
        findings += [check_torch(), check_optional_models()]
    return findings


def report(findings: list[Finding]) -> str:
    """Return the findings as lines of text, each fault with its cure under it."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:8} {finding.subject}: {finding.text}")
        if finding.cure:
            lines.append(f"{'':8} -> {finding.cure}")
    return "\n".join(lines)
