"""The blank-file test: a good file passes, a fair one fails where it should, the fence holds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lora_lessons.app import cli
from lora_lessons.course.blank_file import run
from lora_lessons.course.blank_file.run import blank_file_test
from lora_lessons.course.blank_file.source import Refused, look, read_source


@pytest.fixture(scope="module", autouse=True)
def _ended():
    yield
    run.stop()


@pytest.fixture(scope="module")
def samples(root):
    folder = root / "docs" / "samples"
    return {name: folder / f"mini_lora_{name}.txt" for name in ("good", "fair")}


def failed(report):
    return [result.test for result in report.results if result.failed]


@pytest.mark.parametrize("seed", range(3))
def test_a_good_file_passes_every_test(samples, seed):
    report = blank_file_test(samples["good"], seed)
    assert report.right and len(report.results) == 17, str(report)


def test_a_fair_file_fails_where_it_changes_the_model_before_it_looks(samples):
    report = blank_file_test(samples["fair"])
    assert failed(report) == [
        f"a file with a {what} is refused, and the model is as it was"
        for what in ("key missing", "key too many", "wrong shape")
    ]
    assert "Look first, then change" in report.first_failure


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import peft\n", "Line 1: only torch, safetensors"),
        ("x = 1\nfrom lora_lessons.lora import layer\n", "Line 2: only torch"),
        ("from . import layer\n", "not '.'"),
        ("import sys\n", "sys reaches past the file"),
        ("def f():\n    import subprocess\n", "Line 2: subprocess reaches"),
        ("import torch\ntorch.sys.modules\n", ".sys reaches past"),
        ("exec('import peft')\n", "exec is not needed"),
        ("def f(e):\n    return e.tb_frame.f_back\n", ".f_back reaches"),
        ("x = 1\n" * 121, "121 lines"),
        ("x = 1  # " + "x" * 100 + "\n", "more than 100 characters: 1"),
        ("def f(:\n", "Line 1 is no Python"),
    ],
)
def test_a_file_that_breaks_the_rules_does_not_run(text, says):
    with pytest.raises(Refused) as refused:
        look(text)
    assert says in str(refused.value)
    (result,) = blank_file_test(text).results
    assert says in result.failed


def test_120_lines_are_allowed_and_torch_and_pythons_own():
    look("import json\nimport torch.nn as nn\nfrom safetensors.torch import save_file\n" * 40)


def test_a_path_without_a_file_is_said(tmp_path):
    with pytest.raises(Refused, match="cannot be read: No such file"):
        read_source(tmp_path / "none.py")
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refused, match="no text in UTF-8"):
        read_source(tmp_path / "bytes.py")


def with_line(samples, line):
    return samples["good"].read_text("utf-8").replace("import json\n", f"import json\n{line}\n", 1)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("import os; os.system('true')", "os.system is closed"),
        ("import os; os.fork()", "os.fork is closed"),
        ("open('/tmp/../etc/blank', 'w')", "outside of the folder"),
        ("import logging.config; logging.config._resolve('peft.tuners')", "out of reach"),
        ("undefined_name", "NameError in line 4"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_the_fence_holds(samples, line, says):
    (result,) = blank_file_test(with_line(samples, line)).results
    assert says in result.failed


def test_an_endless_loop_is_stopped_and_the_next_file_runs(samples):
    (result,) = blank_file_test(with_line(samples, "while True: pass"), seconds=2).results
    assert "Is there an endless loop?" in result.failed
    assert blank_file_test(samples["good"]).right


def test_a_process_that_ends_is_said(samples):
    (result,) = blank_file_test(with_line(samples, "import os; os._exit(0)")).results
    assert "ended before the tests did" in result.failed


def test_the_process_sees_no_gpu(samples, monkeypatch):
    """It copies itself for each file, and a copy of a process cannot use CUDA."""
    started, start = [], subprocess.Popen
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setattr(
        run.subprocess,
        "Popen",
        lambda *args, **options: started.append(options["env"]) or start(*args, **options),
    )
    run.stop()
    assert blank_file_test(samples["good"]).right
    assert [env["CUDA_VISIBLE_DEVICES"] for env in started] == [""]


def test_what_the_file_prints_is_no_report(samples):
    report = blank_file_test(with_line(samples, "print('{\"rows\": []}')"))
    assert report.right


def test_the_command_says_what_failed(samples, capsys):
    assert cli.main(["capstone", str(samples["fair"])]) == 1
    said = capsys.readouterr().out
    assert "14 of 17 tests passed" in said and said.count("failed  ") == 3
    assert cli.main(["capstone", str(samples["good"]), "--seed", "5"]) == 0
    assert cli.main(["capstone", "nothing.py"]) == 1


def test_a_report_is_read_aloud_as_a_list(samples):
    html = blank_file_test(samples["fair"])._repr_html_()
    assert html.count("<li>") == 17 and html.count("<b>failed</b>") == 3


SERVES_ONE = """
import io, json, os, sys
del os.fork
from lora_lessons.course.blank_file import server
asked = {"text": sys.argv[1], "seed": 0, "seconds": float(sys.argv[2])}
server.serve(io.StringIO(json.dumps(asked) + "\\n" + json.dumps(asked)), sys.stdout)
"""


@pytest.mark.parametrize(("line", "seconds"), [("while True: pass", 1), ("x = 1", 60)])
def test_without_forks_one_file_runs_within_its_time(samples, line, seconds):
    """As on Windows: an endless loop ends there too, and one process tests one file."""
    text = samples["good"].read_text("utf-8").rstrip("\n") + f"\n{line}\n"
    command = [sys.executable, "-c", SERVES_ONE, text, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    (reply,) = map(json.loads, done.stdout.splitlines())
    if seconds == 1:
        assert reply == {"stopped": "It ran for more than 1 s. Is there an endless loop?"}
    else:
        assert [row["failed"] for row in reply["rows"]] == [""] * 17
