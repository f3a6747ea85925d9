"""PeftModel: a model with adapters, under PEFT's names, and the way to and from its files.

`PeftModel.base_model` is a LoraModel, `LoraModel.model` the model itself, changed in place: that
is where "base_model.model." in a file's keys comes from.
"""

from __future__ import annotations

import copy
import sys
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import PeftWarning
from ..storage import refuse_misspelt, split_hub_arguments
from ..undo import all_or_nothing
from .config import LoraConfig, PeftConfig, PeftType
from .files import (
    LoadResult,
    config_for_file,
    get_peft_model_state_dict,
    load_peft_weights,
    save_adapter,
    set_peft_model_state_dict,
)
from .plugs import METHODS, MODELS_CALLED, MODELS_WITH, TASKS
from .tuner import LoraModel, Wrapper, require_model_and_config
from .tuner_layer import BaseTunerLayer

NOTHING_TO_SAVE = (
    "the model has no tensors of the adapter {!r}: `merge_and_unload` and `unload` take adapters "
    "out and return the plain model, which has a `save_pretrained` of its own"
)


class PeftModel(Wrapper):
    """A model with adapters. What it does not know itself, it asks of the model inside."""

    wraps = "base_model"
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
            tuner = LoraModel(
                model,
                peft_config,
                adapter_name,
                autocast_adapter_dtype=autocast_adapter_dtype,
                **options,
            )
            self.base_model = tuner
            self.peft_config = tuner.peft_config  # the same dict
            for attribute, prepare in MODELS_WITH.items():
                if attribute in sys.modules or hasattr(type(model), attribute):
                    prepare(self)
        self.training = model.training

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
        directory, base = Path(save_directory), self.get_base_model()
        if directory.is_file():
            raise ValueError(f"Provided path ({directory}) should be a directory, not a file")
        if not safe_serialization:
            raise ValueError("only safetensors are written: a pickle can run code")
        for name in self._selected(selected_adapters):
            tensors = get_peft_model_state_dict(
                self, state_dict, name, save_embedding_layers=save_embedding_layers
            )
            if not tensors:
                raise ValueError(NOTHING_TO_SAVE.format(name))
            config = config_for_file(self.peft_config[name], base)
            if path_initial_model_for_weight_conversion is not None:
                initial = path_initial_model_for_weight_conversion
                config, tensors = METHODS["to_plain_lora"](self, name, config, tensors, initial)
            elif config.init_lora_weights not in (True, False):
                METHODS["warn_of_start"](config)
            if is_main_process:
                folder = directory if name == "default" else directory / name
                save_adapter(folder, config, tensors, base)

    def _selected(self, names: list[str] | None) -> list[str]:
        """The names of the adapters to save, all for None; raises for one that there is not."""
        known = list(self.peft_config)
        if wrong := [name for name in names or () if name not in known]:
            raise ValueError(
                "You passed an invalid `selected_adapters` arguments, current supported adapter "
                f"names are {known} - got {wrong}."
            )
        return known if names is None else list(names)

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
