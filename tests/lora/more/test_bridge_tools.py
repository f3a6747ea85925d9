"""Other people's trainers around our models, at night and where they are installed.

pip install -c constraints.txt -e '.[dev,tools]'
pytest -m nightly tests/lora/more/test_bridge_tools.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import lora_lessons as ll
from tests.lora.more.trainer_models import VOCABULARY, Rows, bert, llama

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("default")]
QUIET: dict[str, Any] = {
    "max_steps": 2,
    "report_to": [],
    "use_cpu": True,
    "disable_tqdm": True,
    "learning_rate": 0.05,
    "bf16": False,
    "per_device_train_batch_size": 2,
}


def causal() -> Any:
    return ll.get_peft_model(llama(), ll.LoraConfig(r=2, task_type="CAUSAL_LM"))


@pytest.fixture
def tokenizer() -> Any:
    """Words "w0" to "w39", one id each, with a chat's form."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(VOCABULARY - 2)} | {"<pad>": 38, "<eos>": 39}
    inner = Tokenizer(models.WordLevel(words, unk_token="w0"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="w0"
    )


def assert_trained_and_saved(model: Any, before: dict[str, torch.Tensor], folder: Path) -> None:
    """The adapter moved, and the checkpoint holds it alone."""
    live = ll.get_peft_model_state_dict(model)
    assert any(not torch.equal(live[key], before[key]) for key in live)
    saved = load_file(folder / "adapter_model.safetensors")
    assert saved.keys() == live.keys()
    assert not list(folder.glob("model*.safetensors"))
    assert json.loads((folder / "adapter_config.json").read_text("utf-8"))["r"] == 2


def snapshot(model: Any) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in ll.get_peft_model_state_dict(model).items()}


def test_the_trainer_with_a_data_set(tmp_path):
    datasets = pytest.importorskip("datasets")
    from transformers import Trainer, TrainingArguments

    rows = datasets.Dataset.from_list([dict(Rows()[i]) for i in range(8)])
    model = causal()
    before = snapshot(model)
    settings = {k: v for k, v in QUIET.items() if k != "bf16"}
    Trainer(model, TrainingArguments(str(tmp_path), **settings), train_dataset=rows).train()
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


def test_trl_sft(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"text": f"w1 w{i} w2 w3"} for i in range(4, 12)])
    model = causal()
    before = snapshot(model)
    settings = trl.SFTConfig(str(tmp_path), **QUIET)
    trl.SFTTrainer(model, settings, train_dataset=rows, processing_class=tokenizer).train()
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


def test_trl_dpo_takes_the_base_for_its_reference(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    pairs = [{"prompt": f"w1 w{i}", "chosen": " w2 w3", "rejected": " w4 w5"} for i in range(6, 14)]
    model = causal()
    before = snapshot(model)
    trainer = trl.DPOTrainer(
        model,
        args=trl.DPOConfig(str(tmp_path), logging_steps=1, **QUIET),
        train_dataset=datasets.Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.ref_model is None
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[0] == pytest.approx(0.6931, abs=1e-3)  # log 2: policy and reference are equal
    assert losses[1] < losses[0]
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


def test_trl_reward(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    pairs = [{"chosen": f"w1 w2 w{i}", "rejected": f"w4 w5 w{i}"} for i in range(6, 14)]
    base = bert(1)
    base.config.pad_token_id = tokenizer.pad_token_id
    model = ll.get_peft_model(base, ll.LoraConfig(r=2, task_type="SEQ_CLS"))
    before = snapshot(model)
    trl.RewardTrainer(
        model,
        args=trl.RewardConfig(str(tmp_path), **QUIET),
        train_dataset=datasets.Dataset.from_list(pairs),
        processing_class=tokenizer,
    ).train()
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


@pytest.mark.parametrize("kind", ["GRPO", "RLOO"])
def test_trl_online(tmp_path, tokenizer, kind):
    """Answers are drawn from the model itself; the reward is their count of one word."""
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list([{"prompt": f"w1 w{i}"} for i in range(4, 12)])
    model = causal()
    before = snapshot(model)
    drawn = {"num_generations": 2, "max_completion_length": 6, "logging_steps": 1, "beta": 0.1}
    settings = getattr(trl, f"{kind}Config")(str(tmp_path), **drawn, **QUIET)

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(len(set(text))) for text in completions]

    trainer = getattr(trl, f"{kind}Trainer")(
        model, reward, args=settings, train_dataset=rows, processing_class=tokenizer
    )
    trainer.train()
    assert trainer.ref_model is None  # the reference is the adapter switched off
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


def test_trl_kto(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    rows = [
        {"prompt": f"w1 w{i}", "completion": f" w{2 + i % 2} w5", "label": i % 2 == 0}
        for i in range(6, 14)
    ]
    model = causal()
    before = snapshot(model)
    trainer = trl.KTOTrainer(
        model,
        args=trl.KTOConfig(str(tmp_path), logging_steps=1, **QUIET),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    assert trainer.ref_model is None
    assert_trained_and_saved(model, before, tmp_path / "checkpoint-2")


def test_accelerate_prepares_saves_and_loads(tmp_path):
    accelerate = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True)
    model = causal()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    ids = Rows()[0]["input_ids"][None]
    accelerator.backward(model(input_ids=ids, labels=ids).loss)
    optimizer.step()
    accelerator.save_state(str(tmp_path))
    kept = snapshot(accelerator.unwrap_model(model))
    optimizer.step()
    accelerator.load_state(str(tmp_path))
    again = snapshot(accelerator.unwrap_model(model))
    assert all(torch.equal(again[key], kept[key]) for key in kept)


def test_lightning_trains(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = causal()

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            ids = batch["input_ids"]
            return self.model(input_ids=ids, labels=ids).loss

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW([p for p in self.parameters() if p.requires_grad], lr=0.05)

    module = Module()
    before = snapshot(module.model)
    rows = torch.utils.data.DataLoader(
        [{"input_ids": Rows()[i]["input_ids"]} for i in range(8)], batch_size=4
    )
    trainer = lightning.Trainer(
        max_steps=2, accelerator="cpu", logger=False, default_root_dir=tmp_path
    )
    trainer.fit(module, rows)
    assert any(not torch.equal(t, before[key]) for key, t in snapshot(module.model).items())


def test_diffusers_switches_act_on_injected_layers():
    diffusers = pytest.importorskip("diffusers")
    from diffusers.utils import peft_utils

    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
    ).eval()
    x = torch.randn(1, 3, 8, 8)
    plain = unet(x, 1).sample
    config = ll.LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False)
    ll.inject_adapter_in_model(config, unet)
    adapted = unet(x, 1).sample
    assert not torch.allclose(adapted, plain)
    peft_utils.set_adapter_layers(unet, enabled=False)
    torch.testing.assert_close(unet(x, 1).sample, plain)
    peft_utils.set_adapter_layers(unet, enabled=True)
    torch.testing.assert_close(unet(x, 1).sample, adapted)
    peft_utils.scale_lora_layers(unet, 0.0)
    torch.testing.assert_close(unet(x, 1).sample, plain)


def test_diffusers_casts_a_layer_to_fewer_bits():
    """Its layerwise casting keeps weights in float8 and asks the layers for its switch."""
    pytest.importorskip("diffusers")
    from diffusers.hooks import apply_layerwise_casting

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    x = torch.randn(3, 8)
    config = ll.LoraConfig(r=2, target_modules=["0", "2"], init_lora_weights=False)
    ll.inject_adapter_in_model(config, model)
    expected = model(x)
    apply_layerwise_casting(model, torch.float8_e4m3fn, torch.float32)
    assert model[0].base_layer.weight.dtype == torch.float8_e4m3fn
    torch.testing.assert_close(model(x), expected, atol=0.2, rtol=0.1)


def test_sentence_transformers_takes_our_model(tmp_path, tokenizer):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    datasets = pytest.importorskip("datasets")
    base = tmp_path / "base"
    bert().bert.save_pretrained(base)
    tokenizer.save_pretrained(base)
    parts = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    word = parts.Transformer(str(base))
    model = sentence_transformers.SentenceTransformer(
        modules=[word, parts.Pooling(16)], device="cpu"
    )
    inner = next(n for n, m in word.named_children() if isinstance(m, nn.Module))
    adapted = ll.get_peft_model(getattr(word, inner), ll.LoraConfig(r=2))
    setattr(word, inner, adapted)
    rows = datasets.Dataset.from_list(
        [{"anchor": f"w1 w{i}", "positive": f"w2 w{i}"} for i in range(4, 12)]
    )
    before = snapshot(adapted)
    settings = sentence_transformers.SentenceTransformerTrainingArguments(
        str(tmp_path / "out"), **{**QUIET, "save_strategy": "no"}
    )
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    loss = losses.MultipleNegativesRankingLoss(model)
    sentence_transformers.SentenceTransformerTrainer(
        model, args=settings, train_dataset=rows, loss=loss
    ).train()
    assert any(not torch.equal(t, before[key]) for key, t in snapshot(adapted).items())
