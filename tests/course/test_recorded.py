"""Recorded runs: where they come from is complete, and the code still computes the same."""

from __future__ import annotations

import json
import os

import pytest

from lora_lessons.course import recorded
from lora_lessons.experiments import Recording, __main__, fingerprint, recordings

CONFIG = {"steps": 3, "seeds": [0, 1]}


def toy(steps: int, seeds: list[int]) -> dict:
    """A toy experiment.

    It trains nothing.
    """
    losses = [steps / (3 + seed) for seed in seeds]
    return {"losses": losses, "text": "whale", "seconds": 1.5, "best": min(losses)}


@pytest.fixture
def known(monkeypatch):
    table = {
        "09_toy": Recording(toy, CONFIG, {"steps": 1, "seeds": [0]}),
        "09_gpu": Recording(toy, {**CONFIG, "device": "cuda"}, None),
    }
    monkeypatch.setattr(__main__, "recordings", lambda: table)
    return table


def record(folder, *names):
    return __main__.main([*names, "--out", str(folder), "--commit", "abc1234"])


def test_a_run_is_recorded_and_read(tmp_path, known, capsys):
    assert record(tmp_path / "new", "09_toy") == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["09_toy.json"]
    run = recorded.load("09_toy", tmp_path / "new")
    assert run.data["losses"] == [1.0, 0.75]
    assert run.data["text"] == "whale"
    assert run.provenance["config"] == CONFIG
    assert run.provenance["fingerprint"] == {".losses[0]": 0.333333, ".best": 0.333333}
    text = repr(run)
    assert text.startswith("recorded 09_toy: CPU, ")
    assert "seeds 0-1, 20" in text and text.endswith("commit abc1234")
    assert "\n" not in text and text in run._repr_html_()
    assert "[1/1] 09_toy on CPU" in capsys.readouterr().out


def test_an_unknown_name_or_a_missing_device_is_refused_before_anything_runs(
    tmp_path, known, monkeypatch, capsys
):
    monkeypatch.setattr(__main__.torch.cuda, "is_available", lambda: False)
    for name, message in [
        ("09_toi", "did you mean '09_toy'?"),
        ("09_gpu", "09_gpu is recorded on a CUDA device"),
    ]:
        with pytest.raises(SystemExit):
            record(tmp_path / "none", "09_toy", name)
        assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_failed_write_leaves_the_old_file(tmp_path, known, monkeypatch):
    record(tmp_path, "09_toy")
    before = (tmp_path / "09_toy.json").read_text()

    def fail(*paths):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        record(tmp_path, "09_toy")
    assert [path.name for path in tmp_path.iterdir()] == ["09_toy.json"]
    assert (tmp_path / "09_toy.json").read_text() == before


def test_the_experiments_are_listed(capsys):
    assert __main__.main(["--list"]) == 0
    assert "01_rank_sweep: Train one adapter on all linear layers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"seeds": [0, 1, 2]}, "seeds 0-2, "),
        ({"seeds": [1, 5]}, "seeds 1, 5, "),
        ({"seed": 3}, "seed 3, "),
        ({}, ""),
    ],
)
def test_seeds_in_words(config, words):
    assert recorded._seeds(config) == words


def test_a_missing_or_incomplete_file_says_what_is_wrong(tmp_path, known):
    record(tmp_path, "09_toy")
    with pytest.raises(ValueError, match="no recorded run '09_tory'; did you mean '09_toy'"):
        recorded.load("09_tory", tmp_path)
    path = tmp_path / "09_toy.json"
    content = json.loads(path.read_text())
    del content["provenance"]["peft"], content["data"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"lacks data, provenance\.peft: record it again"):
        recorded.load("09_toy", tmp_path)
    path.write_text('{"name": "09_toy",}')
    with pytest.raises(ValueError, match=r"'09_toy' is no valid JSON .*line 1.*: restore the file"):
        recorded.load("09_toy", tmp_path)


def test_a_fingerprint_sees_behaviour_and_no_rounding():
    kept = {".a": 1.23457, ".b": 0.0, ".nan": float("nan")}
    assert fingerprint.differences(kept, {".a": 1.23456_9, ".b": 1e-12, ".nan": kept[".nan"]}) == []
    assert fingerprint.differences(kept, {".a": 1.2346, ".b": 0.0, ".c": 1}) == [
        ".a: 1.23457 recorded, 1.2346 now",
        ".c: None recorded, 1 now",
        ".nan: nan recorded, None now",
    ]
    old, new = {"[0].lost": 1.0, "[0].loss": 1.0}, {"[0].lost": 1.04, "[0].loss": 1.04}
    assert fingerprint.differences(old, new, ["lost"]) == ["[0].loss: 1.0 recorded, 1.04 now"]
    assert fingerprint.differences({"[0].lost": 1.0}, {"[0].lost": 1.06}, ["lost"])


def again(name: str) -> str:
    """Say how a recorded run is made again."""
    return f"record it again: python -m lora_lessons.experiments {name} --out lora_lessons/recorded"


def test_every_experiment_is_recorded():
    known, there = set(recordings()), set(recorded.names())
    missing, stray = sorted(known - there), sorted(there - known)
    assert not missing, f"never recorded: {missing}; {again(' '.join(missing))}"
    assert not stray, f"recorded, but in no table RECORDINGS of an experiment: {stray}"


@pytest.mark.parametrize("name", recorded.names())
def test_a_recorded_run_is_not_stale(name):
    run, recording = recorded.load(name), recordings()[name]
    assert run.name == name
    assert run.provenance["config"] == recording.settings, (
        f"{name} was recorded with other settings than its experiment has now; {again(name)}"
    )
    now = fingerprint.fingerprint(recording)
    if now is None:
        assert run.provenance["fingerprint"] is None
        return
    changed = fingerprint.differences(run.provenance["fingerprint"], now, recording.rounding)
    assert not changed, (
        f"{name}: the code computes something else than when it was recorded. If it should not, "
        f"mend the code; if it should, {again(name)}\n" + "\n".join(changed[:10])
    )
