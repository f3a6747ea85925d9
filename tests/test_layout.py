"""Imports go only up the list of layers, and importing the package stays light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = "lora_lessons"
# In the order of the data: a module may import from its own house and from those before it.
LAYERS = [
    ["errors", "seeding", "undo"],
    ["base"],
    ["lora"],
    ["train"],
    ["experiments"],
    ["course"],
    ["app"],
]
CORE = ["scaling", "arithmetic", "config", "matching", "layer", "inject", "trainable", "merge"]
CORE += ["files", "model"]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules(root: Path) -> list[Path]:
    return sorted((root / PACKAGE).rglob("*.py"))


def part(name: str) -> str:
    """Return the part of the package that a dotted name belongs to."""
    return name.split(".")[1] if "." in name else "__init__"


def imports(path: Path, root: Path) -> set[str]:
    """Return the parts of this package that a file imports, in functions too."""
    package = list(path.relative_to(root).with_suffix("").parts[:-1])
    tree, found = ast.parse(path.read_text("utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE else [base]
        else:
            continue
        found |= {part(name) for name in names if name.split(".")[0] == PACKAGE}
    return found - {"__init__"}


def exported(root: Path) -> dict[str, str]:
    """Return {public name: part} of the lazy exports."""
    code = "import json, lora_lessons; print(json.dumps(lora_lessons._EXPORTS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name: module.split(".")[0] for name, module in json.loads(done.stdout).items()}


def test_every_module_has_a_layer(root):
    known = {part(".".join(p.relative_to(root).with_suffix("").parts)) for p in modules(root)}
    assert known - {"__init__", "__main__"} <= set(LEVEL)


def test_imports_go_only_up_the_list(root):
    names = exported(root)
    wrong = []
    for path in modules(root):
        own = part(".".join(path.relative_to(root).with_suffix("").parts))
        if own == "__init__":
            continue
        used = {names.get(name, name) for name in imports(path, root)}
        wrong += [f"{path.name} imports {one}" for one in used if LEVEL.get(one, 0) > LEVEL[own]]
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("from ..course import plots", {"course"}),
        ("import lora_lessons.train.loop as loop", {"train"}),
        ("def f():\n    from lora_lessons import fit", {"fit"}),
        ("from .scaling import lora_scaling", {"core"}),
        ("import torch\nfrom os import path", set()),
    ],
)
def test_imports_of_every_form_are_seen(tmp_path, code, found):
    path = tmp_path / PACKAGE / "core" / "module.py"
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert imports(path, tmp_path) == found


def test_the_core_is_small_and_needs_only_torch_and_safetensors(root):
    files = [root / PACKAGE / "lora" / f"{name}.py" for name in CORE]
    assert len(files) <= 10
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) <= 1500
    allowed = {*sys.stdlib_module_names, "torch", "safetensors"}
    assert {name for file in files for name in others(file)} <= allowed


def others(path: Path) -> set[str]:
    """Return the packages besides this one that a file imports when it is loaded."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - {PACKAGE}


def test_every_exported_name_has_a_docstring():
    """A dataclass without one gets its signature, which says nothing."""
    code = "import json, lora_lessons as ll; print(json.dumps({n: getattr(ll, n).__doc__ or ''"
    code += " for n in ll._EXPORTS}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    docs = json.loads(done.stdout)
    missing = [name for name, text in docs.items() if not text or text.startswith(f"{name}(")]
    assert not missing, f"exported from lora_lessons without a docstring: {missing}"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, lora_lessons; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "transformers", "peft", "ipywidgets", "matplotlib", "numpy"}
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    "name", ["LoraConfig", "LoraLinear", "get_peft_model", "fit", "load_text", "preset"]
)
def test_using_a_part_loads_nothing_but_torch(name):
    code = f"import sys, lora_lessons as ll; ll.{name}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"transformers", "peft", "ipywidgets", "matplotlib"}
    assert heavy & set(done.stdout.split()) == set()
