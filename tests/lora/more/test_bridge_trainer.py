"""transformers' Trainer around our PeftModel: nothing else has to be said."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file
from torch import nn
from transformers import Trainer, TrainingArguments

import lora_lessons as ll
from tests.lora.more.trainer_models import Rows, bert, llama

# PEFT asks a model of transformers by a name that it will drop
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
SETTINGS = {
    "max_steps": 2,
    "report_to": [],
    "use_cpu": True,
    "disable_tqdm": True,
    "learning_rate": 0.05,
    "logging_steps": 1,
}


def causal(tied: bool = False, **fields: Any) -> Any:
    return ll.get_peft_model(llama(tied), ll.LoraConfig(r=2, task_type="CAUSAL_LM", **fields))


def classifier(labels: int = 2) -> Any:
    return ll.get_peft_model(bert(labels), ll.LoraConfig(r=2, task_type="SEQ_CLS"))


def trainer(model: Any, folder: Path, *, classes: int = 0, **settings: Any) -> Trainer:
    """A Trainer with default arguments but for what makes it short and quiet."""
    metrics = settings.pop("compute_metrics", None)
    return Trainer(
        model,
        TrainingArguments(str(folder), **{**SETTINGS, **settings}),
        train_dataset=Rows(classes),
        eval_dataset=Rows(classes),
        compute_metrics=metrics,
    )


def vector(model: Any) -> torch.Tensor:
    return torch.cat([t.flatten() for t in ll.get_peft_model_state_dict(model).values()])


def checkpoint(folder: Path, step: int = 2) -> Path:
    return folder / f"checkpoint-{step}"


def assert_adapter_only(folder: Path, model: Any) -> None:
    """The folder has the adapter's tensors, as they are in the model, and no base's."""
    saved, live = (
        load_file(folder / "adapter_model.safetensors"),
        ll.get_peft_model_state_dict(model),
    )
    assert saved.keys() == live.keys()
    assert all(torch.equal(saved[key], live[key]) for key in saved)
    assert (folder / "adapter_config.json").is_file()
    assert not list(folder.glob("model*.safetensors"))


@pytest.mark.parametrize("tied", [False, True])
def test_defaults_train_and_a_checkpoint_holds_the_adapter(tmp_path, tied):
    model = causal(tied)
    before, base = vector(model).clone(), model.get_base_model().lm_head.weight.clone()
    trainer(model, tmp_path).train()
    assert not torch.equal(vector(model), before)
    assert torch.equal(model.get_base_model().lm_head.weight, base)
    assert_adapter_only(checkpoint(tmp_path), model)


def test_the_checkpoint_loads_into_a_new_base(tmp_path):
    model = causal()
    trainer(model, tmp_path).train()
    ids = Rows()[0]["input_ids"][None]
    expected = model.eval()(ids).logits
    for kind in (ll.PeftModel, peft.PeftModel):
        again = kind.from_pretrained(llama(), checkpoint(tmp_path))
        torch.testing.assert_close(again(ids).logits, expected)


def test_a_classifier_keeps_its_columns_and_its_head(tmp_path):
    model = classifier(3)
    head = model.get_base_model().classifier.weight.detach().clone()
    mine = trainer(model, tmp_path, classes=3)
    assert {"input_ids", "attention_mask"} <= set(next(iter(mine.get_train_dataloader())))
    mine.train()
    assert not torch.equal(model.get_base_model().classifier.weight, head)
    assert_adapter_only(checkpoint(tmp_path), model)


def test_the_losses_are_those_of_peft(tmp_path):
    found = []
    for library in (ll, peft):
        config = library.LoraConfig(
            r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=True
        )
        model = library.get_peft_model(llama(), config)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.manual_seed(len(name))
                torch.nn.init.normal_(parameter, std=0.1)
        mine = trainer(model, tmp_path / library.__name__)
        mine.train()
        found.append([row["loss"] for row in mine.state.log_history if "loss" in row])
    assert len(found[0]) == 2
    assert found[0] == pytest.approx(found[1], abs=1e-4)


def test_evaluation_gives_loss_and_metrics(tmp_path):
    def accuracy(predicted: Any) -> dict[str, float]:
        return {"accuracy": float(np.mean(predicted.predictions.argmax(-1) == predicted.label_ids))}

    mine = trainer(classifier(), tmp_path, classes=2, compute_metrics=accuracy)
    scores = mine.evaluate()
    assert scores["eval_loss"] > 0
    assert 0 <= scores["eval_accuracy"] <= 1
    assert mine.label_names == ["labels"]
    assert mine.predict(Rows(2)).predictions.shape == (8, 2)


def test_the_best_model_comes_back_at_the_end(tmp_path):
    model = causal()
    mine = trainer(
        model,
        tmp_path,
        max_steps=4,
        learning_rate=3.0,  # so large that the loss grows
        eval_strategy="steps",
        eval_steps=1,
        save_steps=1,
        load_best_model_at_end=True,
    )
    mine.train()
    losses = [row["eval_loss"] for row in mine.state.log_history if "eval_loss" in row]
    best = Path(mine.state.best_model_checkpoint)
    assert mine.state.best_metric == min(losses) < losses[-1]
    assert_adapter_only(best, model)


def test_resuming_ends_where_one_run_would(tmp_path):
    whole = causal()
    trainer(whole, tmp_path / "a", max_steps=4, save_steps=2).train()
    again = causal()
    resumed = trainer(again, tmp_path / "b", max_steps=4, save_steps=2)
    resumed.train(resume_from_checkpoint=str(checkpoint(tmp_path / "a")))
    assert resumed.state.global_step == 4
    torch.testing.assert_close(vector(again), vector(whole))


def test_resuming_finds_the_last_checkpoint_by_itself(tmp_path):
    model = causal()
    trainer(model, tmp_path).train()
    mine = trainer(causal(), tmp_path, max_steps=3)
    mine.train(resume_from_checkpoint=True)
    assert mine.state.global_step == 3


def test_a_second_adapter_is_saved_and_loaded_too(tmp_path):
    model = causal()
    model.add_adapter("other", ll.LoraConfig(r=3, target_modules=["q_proj"]))
    trainer(model, tmp_path).train()
    assert_adapter_only(checkpoint(tmp_path), model)
    other = load_file(checkpoint(tmp_path) / "other" / "adapter_model.safetensors")
    assert other.keys() == ll.get_peft_model_state_dict(model, adapter_name="other").keys()
    again = causal()
    again.add_adapter("other", ll.LoraConfig(r=3, target_modules=["q_proj"]))
    trainer(again, tmp_path, max_steps=3).train(resume_from_checkpoint=True)
    assert again.active_adapter == "default"


def test_gradient_checkpointing_trains(tmp_path):
    model = causal()
    trainer(model, tmp_path, activation_checkpointing=True, save_strategy="no").train()
    B = [t for key, t in ll.get_peft_model_state_dict(model).items() if "lora_B" in key]
    assert all(t.abs().max() > 0 for t in B)


def test_a_regression_head_trains(tmp_path):
    model = classifier(1)
    model.config.problem_type = "regression"

    class Scores(Rows):
        def __getitem__(self, i):
            return {**super().__getitem__(i), "labels": float(i)}

    mine = trainer(model, tmp_path, classes=2)
    mine.train_dataset = Scores(2)
    assert mine.train().training_loss > 0


@pytest.mark.filterwarnings("ignore:Could not find a config file")  # of a base that is not there
def test_save_model_writes_the_adapter_and_a_card_with_each_key_once(tmp_path):
    model = causal()
    model.get_base_model().name_or_path = "owner/base"
    model.peft_config["default"].base_model_name_or_path = "owner/base"
    mine = trainer(model, tmp_path, save_strategy="no")
    mine.train()
    mine.create_model_card(tags=["mine"])
    mine.save_model()
    assert_adapter_only(tmp_path, model)
    head = (tmp_path / "README.md").read_text("utf-8").split("---")[1]
    keys = [line.split(":")[0] for line in head.splitlines() if line and line[0].isalpha()]
    assert len(keys) == len(set(keys))
    card = yaml.safe_load(head)
    assert card["library_name"] == "peft"
    assert {"lora", "transformers", "base_model:adapter:owner/base", "mine"} <= set(card["tags"])
    assert card["base_model"] == "owner/base"


def test_a_quantized_base_passes_the_trainers_check():
    model = causal()
    base = model.get_base_model()
    base.is_quantized = True
    base.hf_quantizer = SimpleNamespace(is_trainable=True)  # as bitsandbytes' is
    with pytest.raises(ValueError, match="purely quantized"):
        transformers.trainer_utils.validate_quantization_for_training(base)
    transformers.trainer_utils.validate_quantization_for_training(model)


class Plain(nn.Module):
    """A module of one's own that computes its loss, as the Trainer asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.head(torch.tanh(self.first(x)))[:, 0]
        return {"loss": ((y - labels) ** 2).mean(), "logits": y}


def test_a_plain_module_keeps_its_columns_and_saves_its_adapter(tmp_path):
    config = ll.LoraConfig(r=2, target_modules=["first"], modules_to_save=["head"])
    model = ll.get_peft_model(Plain(), config)
    rows = [{"x": torch.full((4,), i / 8), "labels": float(i), "other": i} for i in range(8)]
    Trainer(model, TrainingArguments(str(tmp_path), **SETTINGS), train_dataset=rows).train()
    assert_adapter_only(checkpoint(tmp_path), model)
    again = ll.PeftModel.from_pretrained(Plain(), checkpoint(tmp_path))
    assert torch.equal(vector(again), vector(model))
