"""PeftModel: a model with adapters, under PEFT's names, and the way to and from its files.

`PeftModel.base_model` is a LoraModel, `LoraModel.model` the model itself, changed in place: that
is where "base_model.model." in a file's keys comes from.
"""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import PeftWarning
from ..storage import refuse_misspelt, split_hub_arguments
from ..undo import all_or_nothing
from .config import LoraConfig, PeftConfig, PeftType
from .files import (
    LoadResult,
    get_peft_model_state_dict,
    load_peft_weights,
    save_adapter,
    set_peft_model_state_dict,
)
from .plugs import METHODS, MODELS_CALLED, MODELS_WITH, TASKS, initialisation
from .tuner import LoraModel, require_model_and_config
from .tuner_layer import BaseTunerLayer, Wrapper


class PeftModel(Wrapper):
    """A model with adapters. What it does not know itself, it asks of the model inside."""

    _is_prompt_learning = False  # other libraries ask
    heads: tuple[str, ...] = ()  # saved whole with the adapter, where the model has them

    def __init__(
        self,
        model: nn.Module,
        peft_config: LoraConfig,
        adapter_name: str = "default",
        autocast_adapter_dtype: bool = True,
        **options: Any,
    ) -> None:
        nn.Module.__init__(self)  # by name: beside this class another library's may stand
        self.peft_type = PeftType.LORA
        with all_or_nothing(model):
            self.base_model = LoraModel(
                model,
                self._with_heads(peft_config) if self.heads else peft_config,
                adapter_name,
                optional=self.heads,
                autocast_adapter_dtype=autocast_adapter_dtype,
                **options,
            )
            for attribute, prepare in MODELS_WITH.items():
                if attribute in sys.modules or hasattr(type(model), attribute):
                    prepare(self)
        self.training = model.training

    def inside(self) -> nn.Module:
        """What this model asks for the names that it does not have."""
        return self.base_model

    def _with_heads(self, config: LoraConfig) -> LoraConfig:
        """The config, in a copy that saves the task's heads too where it has any."""
        if self.heads:
            config = copy.deepcopy(config)
            names = [*(config.modules_to_save or ()), *self.heads]
            config.modules_to_save = list(dict.fromkeys(names))
        return config

    @property
    def peft_config(self) -> dict[str, LoraConfig]:  # type: ignore[override]
        """Adapter name -> its config."""
        return self.base_model.peft_config

    @property
    def active_adapter(self) -> str:
        """The first of the active adapters, or an empty string."""
        return next(iter(self.base_model.active_adapters), "")

    @property
    def active_adapters(self) -> list[str]:
        """The names of the active adapters."""
        return self.base_model.active_adapters

    @property
    def active_peft_config(self) -> LoraConfig:
        """The config of the active adapter."""
        return self.peft_config[self.active_adapter]

    @property
    def modules_to_save(self) -> set[str] | None:
        """The names of all adapters' saved modules."""
        return {n for c in self.peft_config.values() for n in c.modules_to_save or ()} or None

    def get_base_model(self) -> nn.Module:
        """The model inside, with its adapters."""
        return self.base_model.model

    def forward(self, *args: Any, adapter_names: list[str] | None = None, **kwargs: Any) -> Any:
        """The model's own forward. `adapter_names` gives each sample of the batch its adapter."""
        if adapter_names is None:
            return self.get_base_model()(*args, **kwargs)
        with METHODS["adapters_per_sample"](self, adapter_names):
            return self.get_base_model()(*args, **kwargs)

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """Inside it the model is the base model; after it, also after an error, as before."""
        was_off = self.base_model.are_disabled()
        self.base_model.disable_adapter_layers()
        try:
            yield
        finally:
            if not was_off:
                self.base_model.enable_adapter_layers()

    def add_adapter(
        self,
        adapter_name: str,
        peft_config: LoraConfig,
        low_cpu_mem_usage: bool = False,
        autocast_adapter_dtype: bool = True,
    ) -> None:
        """Add an untrained adapter. It is not activated."""
        self.base_model.add_adapter(
            adapter_name,
            self._with_heads(peft_config),
            optional=self.heads,
            autocast_adapter_dtype=autocast_adapter_dtype,
            low_cpu_mem_usage=low_cpu_mem_usage,
        )

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        selected_adapters: list[str] | None = None,
        save_embedding_layers: bool | str = "auto",
        is_main_process: bool = True,
        path_initial_model_for_weight_conversion: str | Path | None = None,
        state_dict: dict[str, Tensor] | None = None,
        **unused: Any,
    ) -> None:
        """Write each adapter's two files; one not called "default" has a folder of its name.

        For `path_initial_model_for_weight_conversion` see `more.init.conversion`.
        """
        refuse_misspelt(unused, self.save_pretrained)
        directory, known = Path(save_directory), list(self.peft_config)
        names = known if selected_adapters is None else list(selected_adapters)
        if directory.is_file():
            raise ValueError(f"Provided path ({directory}) should be a directory, not a file")
        if wrong := [name for name in names if name not in known]:
            raise ValueError(
                "You passed an invalid `selected_adapters` arguments, current supported adapter "
                f"names are {known} - got {wrong}."
            )
        if not safe_serialization:
            raise ValueError("only safetensors are written: a pickle can run code")
        for name in names:
            tensors = get_peft_model_state_dict(
                self, state_dict, name, save_embedding_layers=save_embedding_layers
            )
            if not tensors:
                raise ValueError(
                    f"the model has no tensors of the adapter {name!r}: `merge_and_unload` and "
                    "`unload` take adapters out and return the plain model, which has a "
                    "`save_pretrained` of its own"
                )
            config = self._config_to_save(name)
            if path_initial_model_for_weight_conversion is not None:
                initial = path_initial_model_for_weight_conversion
                config, tensors = METHODS["to_plain_lora"](self, name, config, tensors, initial)
            elif config.init_lora_weights not in (True, False):
                entry = initialisation(config.init_lora_weights)
                if entry is not None and entry.warning_on_saving:
                    warnings.warn(entry.warning_on_saving, PeftWarning, stacklevel=2)
            if is_main_process:
                folder = directory if name == "default" else directory / name
                save_adapter(folder, config.to_json(), tensors, self._facts(name))

    def _config_to_save(self, adapter_name: str) -> LoraConfig:
        """The config as files have it: for inference, and with the base model's name or class."""
        config = copy.deepcopy(self.peft_config[adapter_name])
        config.inference_mode = True
        base = self.get_base_model()
        if config.base_model_name_or_path is None:
            config.base_model_name_or_path = vars(base).get("name_or_path") or None
        if config.modules_to_save:
            config.modules_to_save = METHODS["names_for_peft"](config.modules_to_save, base)
        if config.task_type is None:
            config.auto_mapping = {
                "base_model_class": type(base).__name__,
                "parent_library": type(base).__module__,
            }
        return config

    def _facts(self, adapter_name: str) -> dict[str, Any]:
        """What a text beside the files can say of an adapter."""
        config = self.peft_config[adapter_name]
        base, targets = config.base_model_name_or_path, config.target_modules
        task, model = config.task_type, self.get_base_model()
        tags = {"lora", *(vars(model).get("model_tags") or ())}
        tags |= {f"base_model:adapter:{base}"} if base else set()
        tags |= {"transformers"} if hasattr(type(model), "base_model_prefix") else set()
        return {
            "tags": "".join(f"- {tag}\n" for tag in sorted(tags)),
            "pipeline": "pipeline_tag: text-generation\n" if task == "CAUSAL_LM" else "",
            "base_model": f"base_model: {base}\n" if base else "",
            "base": base or type(model).__name__,
            "r": config.r,
            "alpha": config.lora_alpha,
            "targets": targets if isinstance(targets, str) else ", ".join(sorted(targets or ())),
            "bias": config.bias,
            "saved": ", ".join(config.modules_to_save or ()) or "none",
            "task": getattr(task, "value", task) or "none",
        }

    @classmethod
    def from_pretrained(
        cls,
        model: nn.Module,
        model_id: str | Path,
        adapter_name: str = "default",
        is_trainable: bool = False,
        config: LoraConfig | None = None,
        autocast_adapter_dtype: bool = True,
        **options: Any,
    ) -> PeftModel:
        """Read an adapter's files and put it into the model; on an error the model is as before."""
        hub, _ = split_hub_arguments(options)
        config = config or PeftConfig.from_pretrained(model_id, options.get("subfolder"), **hub)
        config = copy.deepcopy(config)
        config.inference_mode, config._is_trained = not is_trainable, True
        kind = TASKS.get(config.task_type or "", cls)
        low = options.get("low_cpu_mem_usage", False)
        options.setdefault("key_mapping", getattr(model, "_checkpoint_conversion_mapping", None))
        with all_or_nothing(model):
            peft_model = kind(
                model, config, adapter_name, autocast_adapter_dtype, low_cpu_mem_usage=low
            )
            peft_model._load_weights(model_id, adapter_name, is_trainable, **options)
            return peft_model

    def _load_weights(
        self,
        model_id: str | Path,
        adapter_name: str,
        is_trainable: bool,
        torch_device: str | None = None,
        strict: bool = True,
        ignore_mismatched_sizes: bool = False,
        subfolder: str | None = None,
        low_cpu_mem_usage: bool = False,
        key_mapping: dict[str, str] | None = None,
        train_it: bool = False,
        **options: Any,
    ) -> LoadResult:
        """Read a file's tensors into an adapter that the model has."""
        refuse_misspelt(options, self.load_adapter)
        hub, _ = split_hub_arguments(options)
        weights = load_peft_weights(model_id, torch_device, subfolder, key_mapping, **hub)
        result = set_peft_model_state_dict(
            self, weights, adapter_name, ignore_mismatched_sizes, low_cpu_mem_usage, strict
        )
        if not is_trainable:
            self.eval()
        elif train_it:
            self.base_model.set_requires_grad(adapter_name)
        return result

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)


def get_peft_model(
    model: nn.Module,
    peft_config: LoraConfig,
    adapter_name: str = "default",
    mixed: bool = False,
    autocast_adapter_dtype: bool = True,
    revision: str | None = None,
    low_cpu_mem_usage: bool = False,
) -> PeftModel:
    """Put LoRA into a model, in place, and wrap it in the class for its task.

    Everything is checked first: on an error the model is as it was.
    """
    require_model_and_config(model, peft_config)
    if mixed:
        raise ValueError("mixed=True is not supported: LoRA is the only method here")
    config = copy.deepcopy(peft_config)
    config.base_model_name_or_path = vars(model).get("name_or_path") or None
    config.revision = revision or config.revision
    if any(isinstance(module, BaseTunerLayer) for module in model.modules()):
        warnings.warn(
            "You are trying to modify a model with PEFT for a second time. If you want to reload "
            "the model with a different config, make sure to call `.unload()` before.",
            PeftWarning,
            stacklevel=2,
        )
    for ending, check in MODELS_CALLED.items():
        if type(model).__name__.endswith(ending):
            check(model, config)
    return TASKS.get(config.task_type or "", PeftModel)(
        model,
        config,
        adapter_name,
        autocast_adapter_dtype,
        low_cpu_mem_usage=low_cpu_mem_usage,
    )


def inject_adapter_in_model(
    peft_config: LoraConfig,
    model: nn.Module,
    adapter_name: str = "default",
    low_cpu_mem_usage: bool = False,
    state_dict: dict[str, Any] | None = None,
) -> nn.Module:
    """Put LoRA into the model itself; the keys of a `state_dict` can say where (not its values)."""
    options = {"low_cpu_mem_usage": low_cpu_mem_usage, "state_dict": state_dict}
    require_model_and_config(model, peft_config)
    with all_or_nothing(model):
        tuner = LoraModel(model, peft_config, adapter_name, **options)
        for attribute, prepare in MODELS_WITH.items():
            if attribute in sys.modules or hasattr(type(model), attribute):
                prepare(tuner)
        return tuner.model
