"""Imports go only up the list of layers, and importing the package stays light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import lora_lessons

PACKAGE = "lora_lessons"
# In the order of the data: a module may import from its own house and from those before it.
LAYERS = [
    ["errors", "seeding", "storage", "undo"],
    ["base"],
    ["lora"],
    ["train"],
    ["deploy"],
    ["experiments"],
    ["course"],
    ["app", "__main__"],
]
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
    """Return {public name: part} of the lazy exports, which stand in the stub."""
    tree = ast.parse((root / PACKAGE / "__init__.pyi").read_text("utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {each.name: node.module.split(".")[0] for node in found for each in node.names}


def test_the_stub_and_the_exports_are_the_same(root):
    """What an editor reads is what the package gives: each name from where the stub has it."""
    tree = ast.parse((root / PACKAGE / "__init__.pyi").read_text("utf-8"))
    listed = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    assert sorted(listed) == listed
    assert set(listed) == exported(root).keys()
    code = "import json, lora_lessons as ll; print(json.dumps(sorted(ll.__all__)));"
    code += "[getattr(ll, name) for name in ll.__all__]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == listed


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(AttributeError, match=r"no attribute 'get_peft_modle'. Did you mean 'get_"):
        _ = lora_lessons.get_peft_modle


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
    files = core_files(root)
    assert len(files) <= 12
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) <= 2360
    allowed = {*sys.stdlib_module_names, "torch", "safetensors"}
    assert {name for file in files for name in others(file)} <= allowed


def core_files(root: Path) -> list[Path]:
    """The files of the engine's core: those of lora/ itself."""
    return [file for file in (root / PACKAGE / "lora").glob("*.py") if file.name != "__init__.py"]


def graph(root: Path) -> dict[str, set[str]]:
    """Return {module: the modules of this package that it imports}, in functions too.

    What is imported for an editor alone, under TYPE_CHECKING, is never run, and left out.
    """
    files = {dotted(path, root): path for path in modules(root)}
    return {name: imported(name, path, files) for name, path in files.items()}


def dotted(path: Path, root: Path) -> str:
    """The dotted name of a file; a package's is that of its folder."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported(name: str, path: Path, files: dict[str, Path]) -> set[str]:
    """The modules among `files` that one file imports."""
    tree = ast.parse(path.read_text("utf-8"))
    unused = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in unused:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            inside = {f"{base}.{alias.name}" for alias in node.names}
            # `from . import x` imports the module x where there is one, and else a name of `.`
            found |= {each if each in files else base for each in inside}
    return (found & files.keys()) - {name}


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Groups of modules that import each other, directly or not (Tarjan's components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[set[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in edges[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = set(stack[stack.index(node) :])
            del stack[stack.index(node) :]
            groups.append(group)

    for node in edges:
        if node not in index:
            visit(node)
    return [group for group in groups if len(group) > 1]


def test_no_modules_import_each_other(root):
    assert circles(graph(root)) == []


def test_a_circle_through_a_function_is_found(tmp_path):
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text("from . import b")
    (folder / "b.py").write_text("def f():\n    from .c import g")
    (folder / "c.py").write_text("import lora_lessons.a")
    names = {f"{PACKAGE}.{letter}" for letter in "abc"}
    assert circles(graph(tmp_path)) == [names]
    (folder / "c.py").write_text("if TYPE_CHECKING:\n    import lora_lessons.a")
    assert circles(graph(tmp_path)) == []


def test_the_core_imports_nothing_of_what_may_be_added(root):
    edges = graph(root)
    core = {dotted(file, root) for file in core_files(root)}
    others = {name for one in core for name in edges[one]} - core
    first = {f"{PACKAGE}.{name}" for name in LAYERS[0]}
    assert others <= first


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
    code += " for n in ll.__all__}))"
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


# --- the length of functions ---------------------------------------------------------------------

LONGEST = 40  # lines
TABLE = 6  # a dict or a list of so many lines is data: its lines are not counted in a check
TABLES = ("lora_lessons/course/lesson", ("checks", "own"))
SETTINGS = "most of it is its arguments and what they mean"
CASES = "one case of the exercise after another"
EXCUSED = {
    "benchmarks/profiles.py:first_step": "each part of one first step has its own clock",
    "lora_lessons/course/lesson01/checks.py:_check_split": CASES,
    "lora_lessons/course/lesson02/checks_gradients.py:_check_gradients": CASES,
    "lora_lessons/course/lesson02/checks_layer.py:_check_layer": CASES,
    "lora_lessons/course/lesson02/checks_model.py:check_inject": CASES,
    "lora_lessons/course/lesson04/checks_measuring.py:_check_mixed": CASES,
    "lora_lessons/course/lesson09/checks_serving.py:_check_batch": CASES,
    "lora_lessons/lora/more/auto.py:from_pretrained": SETTINGS,
    "lora_lessons/lora/more/init/eva.py:initialize_lora_eva_weights": SETTINGS,
    "lora_lessons/train/fast/sweep.py:train_many": SETTINGS,
    "lora_lessons/train/loop.py:fit": SETTINGS,
    "lora_lessons/train/memory/predict.py:predict_memory": SETTINGS,
}
"""The functions that may be longer, with the reason. Take off one that is short by now."""


def lengths(code: str, without_tables: bool = False) -> dict[str, int]:
    """Return {function: its lines}, the longest of those of one name."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1 - without_tables * sum(tables(node))
            found[node.name] = max(lines, found.get(node.name, 0))
    return found


def tables(node: ast.AST) -> list[int]:
    """Return the lines of each dict or list that is written out below a node, without its first."""
    found = []
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Dict | ast.List | ast.Tuple | ast.Set):
            lines = child.end_lineno - child.lineno
            found += [lines] if lines >= TABLE else []
        else:
            found += tables(child)
    return found


def test_functions_are_short_or_excused(root):
    folders = (PACKAGE, "tools", "benchmarks", "website")
    long = set()
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        in_check = name.startswith(TABLES[0]) and path.stem.startswith(TABLES[1])
        found = lengths(path.read_text("utf-8"), without_tables=in_check)
        long |= {f"{name}:{function}" for function, lines in found.items() if lines > LONGEST}
    assert long - EXCUSED.keys() == set(), f"more than {LONGEST} lines: split them, or say why not"
    there = {name for name in EXCUSED if (root / name.partition(":")[0]).exists()}
    assert there == EXCUSED.keys(), "excused, and its file is gone"


def test_the_lines_of_a_table_are_told_apart():
    entries = "".join(f"        {i}: 'a mistake',\n" for i in range(9))
    code = f"def f(x):\n    y = x\n    return {{\n{entries}    }}\n"
    assert lengths(code) == {"f": 13}
    assert lengths(code, without_tables=True) == {"f": 3}
    assert lengths("class A:\n    def f(self):\n        pass\n    async def g(self): ...") == {
        "f": 2, "g": 1,
    }  # fmt: skip
