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
    "load_text": "text",
    "encode": "tokens",
    "TokenBatches": "tokens",
    "blocks": "tokens",
    "load_base": "base",
    "is_available": "base",
    "generate": "base",
    # the arithmetic of one layer
    "lora_forward": "lora_math",
    "lora_delta": "lora_math",
    "truncate": "lora_math",
    "factor": "lora_math",
    "parameter_count": "lora_math",
    "break_even_rank": "lora_math",
    "lora_scaling": "scaling",
    # LoraConfig -> injected model -> merge and files
    "LoraConfig": "config",
    "PeftConfig": "config",
    "TaskType": "config",
    "PeftType": "config",
    "PeftError": "errors",
    "MergeError": "errors",
    "AdapterFileError": "errors",
    "ConfigError": "errors",
    "PeftWarning": "errors",
    "NoMatchingPeftModuleError": "errors",
    "check_target_module_exists": "matching",
    "inspect_matched_modules": "adapters.injection_report",
    "BaseTunerLayer": "holder",
    "LoraLayer": "layer",
    "LoraLinear": "layer",
    "get_peft_model_state_dict": "files",
    "set_peft_model_state_dict": "files",
    "load_peft_weights": "files",
    "LoraModel": "adapters.tuner",
    "ModulesToSaveWrapper": "adapters.saved_modules",
    "TrainableTokensWrapper": "adapters.token_rows",
    "MergeReport": "adapters.merge_report",
    "plan_injection": "inject",
    "fused_qkv": "layers.fused_qkv",
    "rescale_adapter_scale": "helpers",
    "get_layer_status": "adapters.status",
    "get_model_status": "adapters.status",
    "PeftModel": "model",
    "get_peft_model": "model",
    "inject_adapter_in_model": "model",
    "PeftModelForCausalLM": "task_models",
    "PeftModelForSeq2SeqLM": "task_models",
    "PeftModelForSequenceClassification": "task_models",
    "PeftModelForTokenClassification": "task_models",
    "PeftModelForQuestionAnswering": "task_models",
    "PeftModelForFeatureExtraction": "task_models",
    # training
    "fit": "train.loop",
    "evaluate": "train.loop",
    "History": "train.history",
    "predict_memory": "train.memory",
    "MemoryEstimate": "train.memory",
    "memory_panel": "course.explorers.memory",
    "Job": "train.sweep",
    "train_many": "train.sweep",
    "pack": "train.packing",
    "shard": "train.distributed",
    # the course
    "lesson": "course",
    "preset": "course.preset",
    "show": "course.plots",
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
