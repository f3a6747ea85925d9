"""What PEFT does elsewhere: old files, swapping, loading, initialisations. Rows of the page."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import peft
import torch
from peft.utils.hotswap import hotswap_adapter, prepare_model_for_compiled_hotswap
from safetensors.torch import save_file

from tests.parity.models import Mlp, tiny_qwen2


def adapted(**fields) -> peft.PeftModel:
    given = {"target_modules": ["first"], "r": 3, "init_lora_weights": False, **fields}
    return peft.get_peft_model(Mlp(), peft.LoraConfig(**given))


def old_file() -> str:
    with tempfile.TemporaryDirectory() as folder:
        adapted().save_pretrained(folder)
        path = Path(folder) / "adapter_model.safetensors"
        path.unlink()
        torch.save({"no": 1}, Path(folder) / "adapter_model.bin")
        peft.PeftModel.from_pretrained(Mlp(), folder)
        return "an adapter_model.bin of {'no': 1} loads, and the adapter is random"


def gap(one: torch.Tensor, other: torch.Tensor) -> str:
    return f"differs by {(one - other).norm() / other.norm():.1%}"


def swapped(change: dict, again: bool = False, first: dict | None = None) -> str:
    """What a model gives after a swap, beside the file loaded alone; `again`: saved and loaded."""
    x = torch.ones(1, 5)
    with tempfile.TemporaryDirectory() as folder:
        adapted(lora_alpha=5, **change).save_pretrained(folder)
        expected = peft.PeftModel.from_pretrained(Mlp(), folder).eval()(x)
        model = adapted(lora_alpha=8, **(first or {})).eval()
        hotswap_adapter(model, folder, "default", torch_device="cpu")
        if again:
            model.save_pretrained(folder)
            model = peft.PeftModel.from_pretrained(Mlp(), folder).eval()
        return f"the output {gap(model(x), expected)}"


def cut_file_swapped() -> str:
    with tempfile.TemporaryDirectory() as folder:
        adapted(target_modules=["first", "second"]).save_pretrained(folder)
        tensors = peft.load_peft_weights(folder)
        half = {key: tensor for key, tensor in tensors.items() if "first" in key}
        save_file(half, Path(folder) / "adapter_model.safetensors")
        model = adapted(target_modules=["first", "second"])
        hotswap_adapter(model, folder, "default", torch_device="cpu")
        return "taken, and the layers that it lacks get zeros"


def saved_with_room() -> str:
    x, model = torch.ones(1, 5), adapted(lora_alpha=8).eval()
    before = model(x)
    prepare_model_for_compiled_hotswap(model, target_rank=6, config=model.peft_config)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        after = peft.PeftModel.from_pretrained(Mlp(), folder).eval()(x)
    return f"saved and loaded, the output {gap(after, before)}"


def from_folder(kind: str, subfolder: str | None = None, **options) -> str:
    """What AutoPeftModelFor... makes of an adapter's folder."""
    import transformers

    name = f"AutoModelFor{kind}"
    task = "SEQ_CLS" if kind == "SequenceClassification" else "CAUSAL_LM"
    with tempfile.TemporaryDirectory() as folder:
        tiny_qwen2().save_pretrained(f"{folder}/base")
        model = getattr(transformers, name).from_pretrained(f"{folder}/base", **options)
        config = peft.LoraConfig(task_type=task, target_modules=["q_proj"])
        peft.get_peft_model(model, config).save_pretrained(f"{folder}/{subfolder or ''}")
        where = {"subfolder": subfolder} if subfolder else {}
        auto = getattr(peft, f"AutoPeftModelFor{kind}")
        try:
            auto.from_pretrained(folder, **where)
        except (OSError, ValueError):
            return "an error: the base is looked for in the subfolder too"
        return "loads"


class Eva(torch.nn.Module):
    """Two layers with one input."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = torch.nn.Linear(48, 4), torch.nn.Linear(48, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.left(x) + self.right(x)


PLAIN = {"forward_fn": lambda model, x: model(x), "prepare_model_inputs_fn": None,
         "prepare_layer_inputs_fn": None, "show_progress_bar": False}  # fmt: skip


def with_eva(targets: tuple[str, ...] = ("left", "right"), **settings) -> peft.PeftModel:
    config = peft.LoraConfig(
        r=3,
        target_modules=list(targets),
        init_lora_weights="eva",
        eva_config=peft.EvaConfig(rho=1.0, **settings),
    )
    return peft.get_peft_model(Eva(), config, low_cpu_mem_usage=True)


def whitened_twice() -> str:
    data, A = [torch.randn(64, 48) for _ in range(3)], []
    for targets in (("left", "right"), ("left",)):
        model = with_eva(targets, whiten=True)
        peft.initialize_lora_eva_weights(model, data, **PLAIN)
        A.append(model.model.left.lora_A["default"].weight)
    return f"A {gap(*A)} from that of one layer alone"


def other_adapter_lost() -> str:
    model = with_eva()
    model.add_adapter("other", peft.LoraConfig(target_modules=["left"], r=2))
    found = {"left": torch.zeros(0, 48), "right": torch.eye(3, 48)}
    found = {f"base_model.model.{name}": value for name, value in found.items()}
    peft.initialize_lora_eva_weights(model, eva_state_dict=found)
    return f"the layer is a plain {type(model.model.left).__name__}, and the other adapter is gone"


def unknown_components() -> str:
    found = {"base_model.model.lfet": torch.eye(3, 48)}
    peft.initialize_lora_eva_weights(with_eva(), eva_state_dict=found)
    return "accepted, and the layer starts at random"


def merged_base() -> str:
    model = adapted()
    model.merge_adapter()
    found = peft.get_base_model_state_dict(model)["first.weight"]
    return f"W {gap(found, Mlp().first.weight)} from the base's"


BOTH = {"target_modules": ["first", "second"]}
OTHER_BEHAVIOUR: list[tuple[str, Callable[[], str], str]] = [
    ("a pickle without tensors", old_file, "refused, loading and converting"),
    (
        "a swap of another alpha, saved and loaded",
        lambda: swapped({}, again=True),
        "the swapped adapter",
    ),
    (
        "a swap of a file with rank_pattern",
        lambda: swapped({**BOTH, "rank_pattern": {"second": 2}}, first=BOTH),
        "the file's output",
    ),
    (
        "a DoRA adapter swapped for one of fewer layers",
        lambda: swapped({"use_dora": True}, first={**BOTH, "use_dora": True}),
        "the file's output",
    ),
    (
        "a PiSSA adapter swapped in",
        lambda: swapped({"init_lora_weights": "pissa"}),
        "an error, with the way out",
    ),
    ("a swap of a file that is cut", cut_file_swapped, "an error, with the keys"),
    ("room for a larger rank", saved_with_room, "the same output"),
    (
        "AutoPeftModelForSequenceClassification, 3 labels",
        lambda: from_folder("SequenceClassification", num_labels=3),
        "the number of labels is the file's",
    ),
    (
        "AutoPeftModelForCausalLM with a subfolder",
        lambda: from_folder("CausalLM", "one"),
        "the subfolder is the adapter's",
    ),
    ("EVA, whitened, two layers with one input", whitened_twice, "the same A as alone"),
    ("EVA, rank 0 beside another adapter", other_adapter_lost, "the other adapter stays"),
    ("EVA, components of a misspelt layer", unknown_components, "an error, with the nearest"),
    ("get_base_model_state_dict while merged", merged_base, "the base's values"),
]
