"""AutoPeftModel...: from an adapter's folder to the base that it names, with the adapter on it.

transformers makes the base and is imported when one is asked for.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import ConfigError, did_you_mean
from ...storage import WEIGHTS_NAME, adapter_path, split_hub_arguments
from ..config import LoraConfig, PeftConfig, TaskType
from ..model import PeftModel
from . import task_models
from .task_models import TASK_CLASSES

# What an adapter's file may name as its base's library, and so have imported.
IMPORT_ALLOWLIST = ("diffusers", "lerobot", "megatron-core", "transformers")
HEAD = re.compile(r"\.(?:classifier|score)(?:\.out_proj)?\.weight$")
TO_THE_ADAPTER = (
    "subfolder",
    "key_mapping",
    "ignore_mismatched_sizes",
    "low_cpu_mem_usage",
    "autocast_adapter_dtype",
    "torch_device",
    "strict",
)


class AutoPeftModel:
    """The base by its class's name, as adapters without a task type have it (`auto_mapping`)."""

    _target_class: str | None = None  # a class of transformers
    _target_peft_class: type[PeftModel] = PeftModel

    def __init__(self, *_: Any, **__: Any) -> None:
        name = type(self).__name__
        raise OSError(f"{name} is made by `{name}.from_pretrained(folder)`")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: LoraConfig | None = None,
        revision: str | None = None,
        import_allowlist: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> PeftModel:
        """Load the base that the adapter's config names, and the adapter into it.

        `revision` is the adapter's; the base's stands in its config. What
        `PeftModel.from_pretrained` knows goes there (`subfolder`, `key_mapping`,
        `ignore_mismatched_sizes`, ...), the hub's arguments to both, the rest (`dtype`,
        `device_map`, `num_labels`, ...) to the base's `from_pretrained`. A classifier's number of
        labels is the file's where it is not given, and a tokenizer in the folder that is larger
        than the embedding has the embedding resized, as it was for training.

        Raises ConfigError for an adapter of another task (the right class is named), one that names
        no base, and a base from a library outside `import_allowlist`, whose import could run code.
        """
        hub, _ = split_hub_arguments({**kwargs, "revision": revision})
        place = {"subfolder": kwargs.get("subfolder"), **hub}
        config = config or PeftConfig.from_pretrained(pretrained_model_name_or_path, **place)
        base_class = cls._base_class(config, import_allowlist)
        for_adapter = {key: value for key, value in kwargs.items() if key in TO_THE_ADAPTER}
        for_base = {key: value for key, value in kwargs.items() if key not in TO_THE_ADAPTER}
        if base_class.__name__.endswith(("SequenceClassification", "TokenClassification")):
            labels = labels_in(pretrained_model_name_or_path, **place)
            for_base = {**({} if labels is None else {"num_labels": labels}), **for_base}
        base = base_class.from_pretrained(
            config.base_model_name_or_path, revision=config.revision, **for_base
        )
        resize_for_tokenizer(base, pretrained_model_name_or_path, for_base, **hub)
        return cls._target_peft_class.from_pretrained(
            base,
            pretrained_model_name_or_path,
            adapter_name,
            is_trainable,
            config,
            **for_adapter,
            **hub,
        )

    @classmethod
    def _base_class(cls, config: LoraConfig, allowlist: Iterable[str] | None) -> Any:
        """The class that makes the base; raises where the config has another in mind, or none."""
        if not config.base_model_name_or_path:
            raise ConfigError(
                "the adapter's config names no base (base_model_name_or_path): load the base "
                "yourself, and give it to PeftModel.from_pretrained(base, folder)"
            )
        if config.task_type is not None:
            task = TaskType(config.task_type)
            wanted = TASK_CLASSES[task]
            if cls._target_peft_class is not wanted:
                raise ConfigError(
                    f"the adapter's task type is {task.value}: use Auto{wanted.__name__} in the "
                    f"place of {cls.__name__}"
                )
        elif config.auto_mapping:
            return class_named(config.auto_mapping, allowlist)
        if cls._target_class is None:
            raise ConfigError(
                "the adapter's config has neither a task type nor an auto_mapping: use the class "
                "of its task, such as AutoPeftModelForCausalLM"
            )
        return getattr(importlib.import_module("transformers"), cls._target_class)


def class_named(auto_mapping: dict[str, Any], allowlist: Iterable[str] | None) -> Any:
    """The base's class by its name and library; a library that is not allowed is not imported."""
    library, name = auto_mapping.get("parent_library"), auto_mapping.get("base_model_class")
    allowed = IMPORT_ALLOWLIST if allowlist is None else tuple(allowlist)
    if not isinstance(library, str) or not isinstance(name, str):
        raise ConfigError(f"auto_mapping must name a library and a class, and it is {auto_mapping}")
    if not any(library == each or library.startswith(f"{each}.") for each in allowed):
        raise ConfigError(
            f"The auto mapping wants to import {library!r} which is not in the import allowlist. "
            "If you are sure that importing it is safe, specify "
            f"`import_allowlist=[{library!r}]`; or load the base yourself."
        )
    module = importlib.import_module(library)
    kind = getattr(module, name, None)
    if not inspect.isclass(kind) or not hasattr(kind, "from_pretrained"):
        raise ConfigError(
            f"{library} has no class {name!r} with a `from_pretrained`."
            f"{did_you_mean(name, vars(module))}"
        )
    return kind


def labels_in(model_id: str | Path, subfolder: str | None = None, **hub: Any) -> int | None:
    """The number of outputs of the classifier in an adapter's file; None where it has none."""
    from safetensors import SafetensorError, safe_open

    path = adapter_path(model_id, WEIGHTS_NAME, subfolder, **hub)
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys() if HEAD.search(key)]  # noqa: SIM118
    except SafetensorError:  # loading says what is wrong with it
        return None
    return int(shapes[0][0]) if len(shapes) == 1 else None


def resize_for_tokenizer(
    base: nn.Module, model_id: str | Path, options: dict[str, Any], **hub: Any
) -> None:
    """Give the base the rows that the adapter's own tokenizer has beyond its embedding."""
    if not hasattr(base, "get_input_embeddings") or not _has_tokenizer(model_id, hub):
        return
    from transformers import AutoTokenizer

    trust = options.get("trust_remote_code", False)
    tokenizer = AutoTokenizer.from_pretrained(model_id, trust_remote_code=trust, **hub)
    model: Any = base
    if len(tokenizer) > len(model.get_input_embeddings().weight):
        model.resize_token_embeddings(len(tokenizer))


def _has_tokenizer(model_id: str | Path, hub: dict[str, Any]) -> bool:
    """Whether an adapter's folder, here or on the hub, has a tokenizer."""
    folder = Path(model_id).expanduser()
    if folder.is_dir():
        return (folder / "tokenizer_config.json").is_file()
    try:
        adapter_path(model_id, "tokenizer_config.json", **hub)
    except ValueError:
        return False
    return True


class AutoPeftModelForCausalLM(AutoPeftModel):
    """Language models that predict the next token (`transformers.AutoModelForCausalLM`)."""

    _target_class = "AutoModelForCausalLM"
    _target_peft_class = task_models.PeftModelForCausalLM


class AutoPeftModelForSeq2SeqLM(AutoPeftModel):
    """Language models with an encoder and a decoder (`transformers.AutoModelForSeq2SeqLM`)."""

    _target_class = "AutoModelForSeq2SeqLM"
    _target_peft_class = task_models.PeftModelForSeq2SeqLM


class AutoPeftModelForSequenceClassification(AutoPeftModel):
    """One class for each text (`transformers.AutoModelForSequenceClassification`)."""

    _target_class = "AutoModelForSequenceClassification"
    _target_peft_class = task_models.PeftModelForSequenceClassification


class AutoPeftModelForTokenClassification(AutoPeftModel):
    """One class for each token (`transformers.AutoModelForTokenClassification`)."""

    _target_class = "AutoModelForTokenClassification"
    _target_peft_class = task_models.PeftModelForTokenClassification


class AutoPeftModelForQuestionAnswering(AutoPeftModel):
    """The span of an answer (`transformers.AutoModelForQuestionAnswering`)."""

    _target_class = "AutoModelForQuestionAnswering"
    _target_peft_class = task_models.PeftModelForQuestionAnswering


class AutoPeftModelForFeatureExtraction(AutoPeftModel):
    """Embeddings, without a head (`transformers.AutoModel`)."""

    _target_class = "AutoModel"
    _target_peft_class = task_models.PeftModelForFeatureExtraction
