"""One more adapter for a model that has some, new or from a file, and another scaling named."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

from ....errors import PeftWarning
from ....storage import refuse_misspelt, split_hub_arguments
from ....undo import all_or_nothing
from ...config import LoraConfig, PeftConfig
from ...files import LoadResult
from ...model import PeftModel
from ...plugs import method_of

SCALING_FIELDS = ("lora_alpha", "use_rslora", "alpha_pattern")


def warn_of_other_scaling(
    config: LoraConfig, model_id: str | Path, subfolder: str | None, **hub: Any
) -> None:
    """Warn where a file's own config scales its update otherwise than the adapter it goes into."""
    try:
        saved = PeftConfig.from_pretrained(model_id, subfolder, **hub)
    except (ValueError, OSError):  # no config beside the weights
        return
    pairs = [(name, getattr(saved, name), getattr(config, name)) for name in SCALING_FIELDS]
    differing = [
        f"{name}={theirs!r}, and not {ours!r}" for name, theirs, ours in pairs if theirs != ours
    ]
    if differing:
        warnings.warn(
            "the file was trained with another scaling than the adapter it is loaded into has: "
            f"{'; '.join(differing)}. The update's strength is not what it was.",
            PeftWarning,
            stacklevel=3,
        )


@method_of(PeftModel)
def add_adapter(
    model: PeftModel,
    adapter_name: str,
    peft_config: LoraConfig,
    low_cpu_mem_usage: bool = False,
    autocast_adapter_dtype: bool = True,
) -> None:
    """Add an untrained adapter. It is not activated."""
    model.base_model.add_adapter(
        adapter_name,
        with_heads(peft_config, model.heads),
        optional=model.heads,
        autocast_adapter_dtype=autocast_adapter_dtype,
        low_cpu_mem_usage=low_cpu_mem_usage,
    )


def with_heads(config: LoraConfig, heads: tuple[str, ...]) -> LoraConfig:
    """The config, in a copy that saves the task's heads too where there are any."""
    if heads:
        config = copy.deepcopy(config)
        names = [*(config.modules_to_save or ()), *heads]
        config.modules_to_save = list(dict.fromkeys(names))
    return config


@method_of(PeftModel)
def load_adapter(
    model: PeftModel,
    model_id: str | Path,
    adapter_name: str,
    is_trainable: bool = False,
    torch_device: str | None = None,
    autocast_adapter_dtype: bool = True,
    strict: bool = True,
    ignore_mismatched_sizes: bool = False,
    subfolder: str | None = None,
    low_cpu_mem_usage: bool = False,
    key_mapping: dict[str, str] | None = None,
    **options: Any,
) -> LoadResult:
    """Read an adapter's files into the model. It is added if it is new, and not activated."""
    refuse_misspelt(options, load_adapter)
    hub, _ = split_hub_arguments(options)
    is_new = adapter_name not in model.peft_config
    with all_or_nothing(model):
        if is_new:
            config = PeftConfig.from_pretrained(model_id, subfolder, **hub)
            config.inference_mode, config._is_trained = not is_trainable, True
            model.add_adapter(adapter_name, config, low_cpu_mem_usage, autocast_adapter_dtype)
        else:
            mine = model.peft_config[adapter_name]
            warn_of_other_scaling(mine, model_id, subfolder, **hub)
        return model._load_weights(
            model_id,
            adapter_name,
            is_trainable,
            torch_device=torch_device,
            strict=strict,
            ignore_mismatched_sizes=ignore_mismatched_sizes,
            subfolder=subfolder,
            low_cpu_mem_usage=low_cpu_mem_usage,
            key_mapping=key_mapping,
            train_it=is_new,
            **hub,
        )
