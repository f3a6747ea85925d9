"""Install the pinned torch into this Python's environment, in the build that fits the machine.

    python tools/install_torch.py --build auto|cpu|cuda

On Linux, PyTorch's wheel on the default package index is the CUDA build (with its libraries,
several GB); on macOS and Windows it is the CPU build. PyTorch documents an index for each build,
and `cpu` and `cuda` name theirs where the default one does not have it. `auto` takes the CUDA build
where there is an NVIDIA GPU; elsewhere it asks pip what the default index offers, and goes to the
CPU index only if that would be the CUDA build. `auto` leaves a torch of the pinned version alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu130"


def pinned_version(constraints: str) -> str:
    """Return torch's version in the text of a constraints file."""
    return re.search(r"^torch==([\d.]+)$", constraints, re.MULTILINE)[1]


def index_options(build: str, system: str, has_gpu: bool, default_is_cuda: bool) -> list[str]:
    """Return pip's options for this build of torch.

    system is platform.system(); default_is_cuda tells what the default index offers.
    """
    if build == "auto":
        build = "cuda" if has_gpu else "cpu"
    if build == "cpu" and system == "Linux" and default_is_cuda:
        return ["--index-url", CPU_INDEX]
    if build == "cuda" and system == "Windows":
        return ["--index-url", CUDA_INDEX]
    if build == "cuda" and system == "Linux" and not default_is_cuda:
        return ["--index-url", CUDA_INDEX]
    return []


def offers_cuda(report: dict) -> bool:
    """Tell from pip's report whether the torch that it would install is the CUDA build."""
    metadata = report["install"][0]["metadata"]
    needs = " ".join(metadata.get("requires_dist", []))
    return "+cpu" not in metadata["version"] and "nvidia" in needs


def default_report(requirement: str) -> dict:
    """Ask pip what it would install from its own indexes, without installing it."""
    options = ["--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report", "-"]
    done = subprocess.run(pip("install", *options, requirement), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip finds no {requirement} for this Python:\n{done.stderr}")
    return json.loads(done.stdout)


def pip(*arguments: str) -> list[str]:
    """The command that calls pip."""
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]


def installed() -> str | None:
    """The version of torch that is there, or None."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", choices=("auto", "cpu", "cuda"), default="auto")
    build = parser.parse_args().build
    version = pinned_version(CONSTRAINTS.read_text("utf-8"))
    present = installed()
    if build == "auto" and present and present.split("+")[0] == version:
        return
    requirement = f"torch=={version}"
    cuda = offers_cuda(default_report(requirement))
    has_gpu = shutil.which("nvidia-smi") is not None
    options = index_options(build, platform.system(), has_gpu, cuda)
    print(f"installing {requirement} ({build}) {' '.join(options)}", flush=True)
    if present:  # pip takes another build of the same version for already installed
        subprocess.run(pip("uninstall", "--quiet", "--yes", "torch"), check=True)
    subprocess.run(pip("install", "--quiet", *options, requirement), check=True)


if __name__ == "__main__":
    main()
