"""What an honest student's notebook may carry: each changes a perfect one and must cost nothing.

A mutation gets (notebook as plain data, its graded names, random) and may return other bytes, or
the file's name.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from .handed_in import cell_of, code_cell

Notebook = dict[str, Any]
HARMLESS: dict[str, Callable[[Notebook, list[str], random.Random], Any]] = {}


def harmless(function):
    HARMLESS[function.__name__] = function
    return function


def insert(notebook: Notebook, rng: random.Random, cell: dict[str, Any]) -> None:
    """Put a cell anywhere below the first two."""
    notebook["cells"].insert(rng.randint(2, len(notebook["cells"])), cell)


def source_of(cell: dict[str, Any]) -> str:
    """A cell's text, which a file holds as one string or as a list of lines."""
    return "".join(cell["source"])


def present(notebook: Notebook, names: list[str]) -> list[str]:
    """Those of the names that a cell of the notebook has."""
    about = [cell["metadata"].get("nbgrader") for cell in notebook["cells"]]
    ids = {one.get("grade_id") for one in about if isinstance(one, dict)}
    return [name for name in names if name in ids]


def some_check(notebook: Notebook, names: list[str], rng: random.Random) -> dict[str, Any]:
    """A check that is still there: another mutation may have deleted one."""
    return cell_of(notebook, rng.choice(present(notebook, [f"check_{name}" for name in names])))


def some_answer(notebook: Notebook, names: list[str], rng: random.Random) -> dict[str, Any]:
    """An answer that is a plain function with a first line to put something above."""
    here = present(notebook, names)
    fit = [n for n in here if source_of(cell_of(notebook, n)).lstrip().startswith("def ")]
    return cell_of(notebook, rng.choice(fit))


@harmless
def a_warning_above_an_answer(notebook, names, rng):
    cell = some_answer(notebook, names, rng)
    cell["source"] = "import warnings\nwarnings.warn('look')\n" + source_of(cell)


@harmless
def a_warning_and_stderr_at_each_check(notebook, names, rng):
    """A filter of warnings and a hook: they speak whenever a check runs."""
    text = "import sys\ndef hook(*a):\n    print('note', file=sys.stderr)\n"
    text += "get_ipython().events.register('pre_run_cell', hook)"
    insert(notebook, rng, code_cell(text))


@harmless
def logging_turned_on(notebook, names, rng):
    insert(notebook, rng, code_cell("import logging\nlogging.basicConfig(level=logging.DEBUG)"))


@harmless
def a_cell_of_another_lesson(notebook, names, rng):
    about = {"grade": rng.random() < 0.5, "grade_id": "foreign_task", "locked": False, "points": 2}
    about |= {"schema_version": 3, "solution": True, "task": False, "cell_type": "code"}
    insert(notebook, rng, code_cell("def foreign_task():\n    return 1", nbgrader=about))


@harmless
def a_task_cell_without_id(notebook, names, rng):
    about = rng.choice([{}, {"grade": True}, {"grade_id": None}, {"schema_version": 1}, [], "x"])
    insert(notebook, rng, code_cell("1 + 1", nbgrader=about))


@harmless
def an_early_copy_of_a_cell(notebook, names, rng):
    name = rng.choice(names)
    cell = copy.deepcopy(cell_of(notebook, rng.choice(present(notebook, [name, f"check_{name}"]))))
    cell["source"] = "pass"
    notebook["cells"].insert(1, cell)


@harmless
def a_check_deleted(notebook, names, rng):
    notebook["cells"].remove(some_check(notebook, names, rng))


@harmless
def a_check_changed(notebook, names, rng):
    some_check(notebook, names, rng)["source"] = rng.choice(["", "print('right')", "def ("])


@harmless
def a_check_of_another_type(notebook, names, rng):
    cell = some_check(notebook, names, rng)
    cell["cell_type"] = rng.choice(["markdown", "raw"])
    for field in ("outputs", "execution_count"):
        cell.pop(field, None)
    cell["attachments"] = {}


@harmless
def an_answer_of_another_type(notebook, names, rng):
    cell = some_answer(notebook, names, rng)
    cell["cell_type"] = "raw"
    for field in ("outputs", "execution_count"):
        cell.pop(field, None)


@harmless
def tags_on_a_check(notebook, names, rng):
    tags = ["skip-execution", "raises-exception", "hide-input"]
    some_check(notebook, names, rng)["metadata"]["tags"] = tags


@harmless
def nbgraders_fields_changed(notebook, names, rng):
    about = some_check(notebook, names, rng)["metadata"]["nbgrader"]
    field, value = rng.choice(
        [("points", 0), ("points", 99), ("locked", False), ("grade", False), ("solution", True)]
    )
    about[field] = value


@harmless
def nbgraders_fields_lost(notebook, names, rng):
    about = some_check(notebook, names, rng)["metadata"]["nbgrader"]
    for field in rng.sample([key for key in about if key != "grade_id"], 3):
        del about[field]


@harmless
def an_editors_metadata(notebook, names, rng):
    for cell in notebook["cells"]:
        cell["metadata"] |= rng.choice(
            [
                {"colab": {"base_uri": "https://localhost/"}, "outputId": "x"},
                {"vscode": {"languageId": "python"}, "collapsed": True},
                {"ExecuteTime": {"end_time": "2026"}, "jupyter": {"outputs_hidden": True}},
                {"id": "abc", "slideshow": {"slide_type": "-"}, "editable": True},
            ]
        )
    colab = {"colab": {"provenance": []}, "accelerator": "GPU", "jupytext": {}}
    notebook["metadata"] = {**(notebook["metadata"] or {}), **colab}


@harmless
def another_kernel(notebook, names, rng):
    kernel = {"name": rng.choice(["ir", "conda-env-x", ""]), "display_name": "R"}
    notebook["metadata"] = rng.choice([{}, {"kernelspec": kernel}, None])


@harmless
def an_older_format(notebook, names, rng):
    notebook["nbformat_minor"] = rng.choice([0, 2, 4])
    for cell in notebook["cells"]:
        cell.pop("id", None)


@harmless
def ids_that_are_not_valid(notebook, names, rng):
    for cell in rng.sample(notebook["cells"], 5):
        cell["id"] = rng.choice(["the same", "x" * 80, "", "ä"])


@harmless
def outputs_missing_or_large(notebook, names, rng):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and rng.random() < 0.5:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    insert(notebook, rng, {**code_cell("1"), "outputs": [stream("x" * 3_000_000)]})


def stream(text: str) -> dict[str, Any]:
    return {"output_type": "stream", "name": "stdout", "text": text}


@harmless
def sources_as_one_string_or_lines(notebook, names, rng):
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        cell["source"] = text if rng.random() < 0.5 else text.splitlines(keepends=True)


@harmless
def lines_of_windows(notebook, names, rng):
    for cell in notebook["cells"]:
        ours = cell["metadata"].get("nbgrader", {})  # another mutation may have put a list there
        if not (isinstance(ours, dict) and ours.get("locked")):
            cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")


@harmless
def the_first_code_cell_changed(notebook, names, rng):
    at = next(i for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")
    if rng.random() < 0.3:
        del notebook["cells"][at]
    else:
        notebook["cells"][at]["source"] = "import numpy as np\n" + "".join(
            notebook["cells"][at]["source"]
        )


@harmless
def cells_that_fail(notebook, names, rng):
    for text in (
        "1 / 0",
        "def (",
        "%matplotlib inline",
        "!ls",
        "raise KeyboardInterrupt",
        "import x_y",
    ):
        insert(notebook, rng, code_cell(text))


@harmless
def much_printing(notebook, names, rng):
    text = rng.choice(["print('x' * 5_000_000)", "for i in range(20_000): print(i)"])
    insert(notebook, rng, code_cell(text))


@harmless
def an_endless_message(notebook, names, rng):
    insert(notebook, rng, code_cell("raise ValueError('y' * 3_000_000)"))


@harmless
def prose_of_the_students_own(notebook, names, rng):
    for kind in ("markdown", "raw"):
        cell = {"cell_type": kind, "metadata": {}, "source": "### BEGIN SOLUTION\nmine"}
        insert(notebook, rng, cell)


@harmless
def the_magic_that_times_an_answer(notebook, names, rng):
    cell = cell_of(notebook, rng.choice(present(notebook, names)))
    cell["source"] = rng.choice(["%%time\n", "%%capture out\n"]) + source_of(cell)


@harmless
def imports_of_the_future(notebook, names, rng):
    cell = some_answer(notebook, names, rng)
    cell["source"] = "from __future__ import annotations\n" + source_of(cell)


@harmless
def pytorchs_settings_changed(notebook, names, rng):
    line = rng.choice(
        [
            "torch.set_default_dtype(torch.float64)",
            "torch.set_grad_enabled(False)",
            "torch.set_default_device('cpu')",
            "torch.autograd.set_detect_anomaly(True)",
            "torch.set_printoptions(precision=2)",
        ]
    )
    insert(notebook, rng, code_cell(f"import torch\n{line}"))


@harmless
def warnings_are_errors(notebook, names, rng):
    text = "import warnings\nimport numpy as np\nnp.seterr(all='raise')\n"
    insert(notebook, rng, code_cell(text + "warnings.simplefilter('error')"))


@harmless
def modules_reloaded_at_each_cell(notebook, names, rng):
    insert(notebook, rng, code_cell("%load_ext autoreload\n%autoreload 2"))


@harmless
def widgets_and_plots_of_ones_own(notebook, names, rng):
    text = "import ipywidgets\nimport matplotlib.pyplot as plt\nplt.style.use('dark_background')\n"
    insert(notebook, rng, code_cell(text + "plt.plot([1, 2])\nplt.show()\nipywidgets.IntSlider()"))


@harmless
def a_thread_that_prints_on(notebook, names, rng):
    text = "import threading, time\ndef talk():\n    for i in range(200):\n"
    text += "        print('still here', i)\n        time.sleep(0.05)\n"
    insert(notebook, rng, code_cell(text + "threading.Thread(target=talk, daemon=True).start()"))


@harmless
def names_of_python_used_again(notebook, names, rng):
    insert(notebook, rng, code_cell("input = id = dir = 3\nverdict = None\nhelp = 'x'"))


@harmless
def a_question_and_a_wait(notebook, names, rng):
    insert(notebook, rng, code_cell("name = input('your name? ')"))
    insert(notebook, rng, code_cell("import asyncio\nawait asyncio.sleep(0.1)"))


@harmless
def files_of_ones_own(notebook, names, rng):
    text = "import pathlib\nimport torch\ntorch.save({'a': 1}, 'mine.pt')\n"
    insert(notebook, rng, code_cell(text + "pathlib.Path('notes.txt').write_text('x')"))


@harmless
def a_mark_at_the_files_beginning(notebook, names, rng):
    return b"\xef\xbb\xbf" + json.dumps(notebook, ensure_ascii=False).encode()


@harmless
def the_encoding_of_windows(notebook, names, rng):
    return json.dumps(notebook, ensure_ascii=False).encode("utf-16")


@harmless
def another_file_name(notebook, names, rng):
    return rng.choice(["homework5.ipynb", "Untitled-Copy1.ipynb", "ädä (1).ipynb"])


def mutate(notebook: Notebook, names: list[str], rng: random.Random, chosen: list[str]) -> Any:
    """Apply these; returns (content to write, the file's name or "")."""
    content, file_name = notebook, ""
    # these stand at a cell's or a file's beginning
    last = ["imports_of_the_future", "the_magic_that_times_an_answer"]
    last += ["a_mark_at_the_files_beginning", "the_encoding_of_windows"]
    for name in sorted(chosen, key=lambda name: last.index(name) if name in last else -1):
        made = HARMLESS[name](notebook, names, rng)
        if isinstance(made, bytes):
            content = made
        file_name = made if isinstance(made, str) else file_name
    return content, file_name
