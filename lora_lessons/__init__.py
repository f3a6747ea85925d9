"""LoRA Lessons: low-rank adaptation built from scratch, and the course that teaches it.

The names below are loaded when they are first used, so that `import lora_lessons` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> the module that defines it, in the order of the data flow
_EXPORTS: dict[str, str] = {
    # text -> tokens -> base model
    "seed_everything": "seeding",
    "generator": "seeding",
    "load_text": "base.text",
    "encode": "base.tokens",
    "TokenBatches": "base.tokens",
    "blocks": "base.tokens",
    "load_base": "base.load",
    "is_available": "base.load",
    "generate": "base.load",
    # the arithmetic of one layer
    "lora_forward": "lora.arithmetic",
    "lora_delta": "lora.arithmetic",
    "truncate": "lora.arithmetic",
    "factor": "lora.arithmetic",
    "parameter_count": "lora.arithmetic",
    "break_even_rank": "lora.arithmetic",
    "lora_scaling": "lora.scaling",
    # LoraConfig -> injected model -> merge and files
    "LoraConfig": "lora.config",
    "PeftConfig": "lora.config",
    "TaskType": "lora.config",
    "PeftType": "lora.config",
    "PeftError": "errors",
    "MergeError": "errors",
    "AdapterFileError": "errors",
    "ConfigError": "errors",
    "PeftWarning": "errors",
    "NoMatchingPeftModuleError": "errors",
    "check_target_module_exists": "lora.matching",
    "inspect_matched_modules": "lora.more.adapters.injection_report",
    "BaseTunerLayer": "lora.tuner_layer",
    "LoraLayer": "lora.layer",
    "LoraLinear": "lora.layer",
    "get_peft_model_state_dict": "lora.files",
    "set_peft_model_state_dict": "lora.files",
    "load_peft_weights": "lora.files",
    "LoraModel": "lora.tuner",
    "ModulesToSaveWrapper": "lora.more.adapters.saved_modules",
    "TrainableTokensWrapper": "lora.more.adapters.token_rows",
    "MergeReport": "lora.more.adapters.merge_report",
    "plan_injection": "lora.inject",
    "fused_qkv": "lora.more.layers.fused_qkv",
    "rescale_adapter_scale": "lora.more.helpers",
    "get_layer_status": "lora.more.adapters.status",
    "get_model_status": "lora.more.adapters.status",
    "PeftModel": "lora.model",
    "get_peft_model": "lora.model",
    "inject_adapter_in_model": "lora.model",
    "PeftModelForCausalLM": "lora.more.task_models",
    "PeftModelForSeq2SeqLM": "lora.more.task_models",
    "PeftModelForSequenceClassification": "lora.more.task_models",
    "PeftModelForTokenClassification": "lora.more.task_models",
    "PeftModelForQuestionAnswering": "lora.more.task_models",
    "PeftModelForFeatureExtraction": "lora.more.task_models",
    # training
    "fit": "train.loop",
    "evaluate": "train.loop",
    "History": "train.history",
    "predict_memory": "train.memory.predict",
    "MemoryEstimate": "train.memory.predict",
    "memory_panel": "course.explorers.memory",
    "Job": "train.fast.sweep",
    "train_many": "train.fast.sweep",
    "pack": "train.packing",
    "shard": "train.distributed",
    # the course
    "lesson": "course",
    "preset": "course.preset",
    "show": "course.plots",
    "card": "course.card",
    "by_seed": "course.statistics",
    "paired_gap": "course.statistics",
    "paired_gaps": "course.statistics",
    "gaps_against": "course.statistics",
    "gap_table": "course.statistics",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        from .errors import did_you_mean

        hint = "" if name.startswith("_") else did_you_mean(name, _EXPORTS)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}.{hint}", name=name)
    value = getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
