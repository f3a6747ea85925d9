"""The command `python -m lora_lessons.base.pretrain`."""

from __future__ import annotations

import json

import pytest

from lora_lessons.base.pretrain.__main__ import main


def test_the_command_overrides_the_recipe_and_says_its_loss(tmp_path, capsys):
    out = tmp_path / "model"
    options = ["--steps", "4", "--lr", "1e-3", "--eval-every", "2", "--length", "24"]
    main(["tiny_encoder", "--out", str(out), "--device", "cpu", "--seed", "3", *options])
    report = json.loads((out / "training.json").read_text())
    changed = {"steps": 4, "lr": 1e-3, "eval_every": 2, "length": 24}
    assert changed.items() <= report["recipe"].items() and report["seed"] == 3
    best = min(loss for _, loss in report["evaluations"])
    told = f"tiny_encoder: best validation loss {best:.4f} nats per masked token"
    assert told in capsys.readouterr().out


def test_an_unknown_model_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["encodr", "--out", str(tmp_path)])
    assert "invalid choice: 'encodr'" in capsys.readouterr().err
