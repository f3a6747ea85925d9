"""The command `lora-lessons`, and the copying of notebooks behind `lab`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import lora_lessons
from lora_lessons.app import cli, lab, places
from lora_lessons.course import solution


@pytest.fixture
def upstream(tmp_path):
    """Two notebooks as the package ships them."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("00_start_here.ipynb", "01_rank_decomposition.ipynb"):
        (folder / name).write_text('{"version": 1}')
    return sorted(folder.iterdir())


@pytest.fixture
def mine(tmp_path, upstream):
    """The learner's folder after the first `lab`."""
    folder = tmp_path / "mine"
    assert {one.outcome for one in lab.copy_notebooks(folder, upstream)} == {"new"}
    return folder


def outcomes(folder, upstream):
    return [one.outcome for one in lab.copy_notebooks(folder, upstream)]


def test_second_call_changes_nothing(mine, upstream):
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    assert outcomes(mine, upstream) == ["kept", "kept"]
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before


def test_an_untouched_notebook_is_updated(mine, upstream):
    upstream[0].write_text('{"version": 2}')
    assert outcomes(mine, upstream) == ["updated", "kept"]
    assert (mine / upstream[0].name).read_text() == '{"version": 2}'


def test_a_changed_notebook_is_kept_when_nothing_is_newer(mine, upstream):
    (mine / upstream[0].name).write_text("my work")
    assert outcomes(mine, upstream) == ["kept", "kept"]
    assert (mine / upstream[0].name).read_text() == "my work"


def test_a_newer_notebook_is_put_beside_changed_work_once(mine, upstream):
    (mine / upstream[0].name).write_text("my work")
    upstream[0].write_text('{"version": 2}')
    first = lab.copy_notebooks(mine, upstream)[0]
    assert first.outcome == "newer beside yours"
    assert first.path.name.startswith("00_start_here.newer-")
    assert first.path.read_text() == '{"version": 2}'
    first.path.write_text("work on the newer one")
    assert outcomes(mine, upstream) == ["kept", "kept"]
    assert (mine / upstream[0].name).read_text() == "my work"
    assert first.path.read_text() == "work on the newer one"


@pytest.mark.parametrize("record", [None, "not json"])
def test_work_survives_a_lost_record(mine, upstream, record):
    (mine / upstream[0].name).write_text("my work")
    (mine / lab.HANDED_OUT).unlink()
    if record:
        (mine / lab.HANDED_OUT).write_text(record)
    assert outcomes(mine, upstream) == ["newer beside yours", "kept"]
    assert (mine / upstream[0].name).read_text() == "my work"


def test_line_ends_that_git_changed_are_no_change(mine, upstream):
    upstream[0].write_bytes(b'{"version":\r\n 1}')
    (mine / upstream[0].name).write_bytes(b'{"version":\n 1}')
    assert outcomes(mine, upstream)[0] == "kept"


def test_lab_opens_the_notebook_that_it_is_given():
    command = lab.lab_command("01_x.ipynb", browser=False, options=["--port=9"])
    assert command[:3] == [sys.executable, "-m", "jupyterlab"] and command[-1] == "--port=9"
    assert "--LabApp.default_url=/lab/tree/01_x.ipynb" in command
    assert "--no-browser" in command and "--no-browser" not in lab.lab_command("a", True, [])


def test_without_jupyterlab_lab_says_how_to_get_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["lab", "--dir", str(tmp_path)]) == 1
    assert 'pip install "lora-lessons[lab]"' in capsys.readouterr().err
    assert (tmp_path / "00_start_here.ipynb").exists()


@pytest.fixture(autouse=True)
def keep_progress(monkeypatch):
    monkeypatch.delenv("LORA_LESSONS_PROGRESS", raising=False)


def test_lab_copies_the_real_notebooks(tmp_path, capsys):
    assert cli.main(["lab", "--dir", str(tmp_path / "a b"), "--no-open"]) == 0
    assert (tmp_path / "a b" / "00_start_here.ipynb").exists()
    assert "new: " in capsys.readouterr().out


def test_only_in_a_classroom_lab_says_what_to_hand_in(tmp_path, capsys, monkeypatch):
    assert solution.KEY == lab.KEY
    says = "Hand in the notebook that your teacher gave you."
    assert cli.main(["lab", "--dir", str(tmp_path / "alone"), "--no-open"]) == 0
    assert says not in capsys.readouterr().out
    monkeypatch.setattr(lab, "KEY", tmp_path / "key.json")
    assert cli.main(["lab", "--dir", str(tmp_path / "class"), "--no-open"]) == 0
    assert says in capsys.readouterr().out


def test_lab_says_why_it_cannot_write(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["lab", "--dir", str(tmp_path / "file"), "--no-open"]) == 1
    assert "file" in capsys.readouterr().err


def test_lab_passes_its_options_on(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(lab, "open_lab", lambda *call: calls.append(call) or 0)
    folder = tmp_path / "own"
    assert cli.main(["lab", "--dir", str(folder), "--no-browser", "--", "--port=1"]) == 0
    assert calls == [(folder, "index.ipynb", False, ["--port=1"])]


def test_progress_counts_what_the_checks_kept(tmp_path, capsys):
    from lora_lessons.course import lesson, progress

    first, *others = lesson("01").exercises.values()
    progress.record("01", first.name, "right", tmp_path)
    progress.record("01", others[0].name, "wrong", tmp_path)
    assert cli.main(["progress", "--dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"01: 1 of {len(others) + 1} exercises solved" in lines
    assert f"    left: {others[0].title}" in lines and f"    left: {first.title}" not in lines


def test_progress_without_a_folder_says_how_to_make_it(tmp_path, capsys):
    assert cli.main(["progress", "--dir", str(tmp_path / "none")]) == 1
    assert "lora-lessons lab" in capsys.readouterr().err


def test_progress_finds_the_folder_from_anywhere(tmp_path, capsys, monkeypatch):
    """The one here comes first, then my-lessons here, then what `lab` used last."""
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path / "home"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.main(["progress"]) == 1
    assert "my-lessons" in capsys.readouterr().err
    assert cli.main(["lab", "--dir", str(tmp_path / "mine"), "--no-open"]) == 0
    capsys.readouterr()
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out.startswith(f"in {(tmp_path / 'mine').resolve()}\n")
    assert cli.main(["lab", "--no-open"]) == 0
    assert cli.main(["lab", "--dir", str(tmp_path / "later"), "--no-open"]) == 0
    capsys.readouterr()
    assert cli.main(["progress"]) == 0
    here = (tmp_path / "elsewhere" / "my-lessons").resolve()
    assert capsys.readouterr().out.startswith(f"in {here}\n")
    assert places.learners_folder(tmp_path) == tmp_path


def test_a_home_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORA_LESSONS_HOME", str(tmp_path / "file"))
    assert cli.main(["lab", "--dir", str(tmp_path / "mine"), "--no-open"]) == 0


def test_the_command_starts_without_loading_torch():
    code = "import sys, lora_lessons.app.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_module_runs_as_the_command_does():
    call = [sys.executable, "-m", "lora_lessons", "--version"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert done.stdout == f"lora-lessons {lora_lessons.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of POSIX")
def test_a_reader_that_has_enough_sees_no_traceback(tmp_path):
    assert cli.main(["lab", "--dir", str(tmp_path), "--no-open"]) == 0
    read, write = os.pipe()
    os.close(read)
    call = [sys.executable, "-m", "lora_lessons", "progress", "--dir", str(tmp_path)]
    done = subprocess.run(call, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_wrong_verb_is_refused_with_the_right_ones(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["labb"])
    assert stopped.value.code == 2
    assert "'lab'" in capsys.readouterr().err
