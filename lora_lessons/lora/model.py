"""PeftModel: a model with adapters, under PEFT's names, and the way to and from its files.

`PeftModel.base_model` is a LoraModel, `LoraModel.model` the model itself, changed in place: that
is where "base_model.model." in a file's keys comes from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from ..undo import all_or_nothing
from .config import LoraConfig, PeftConfig, PeftType
from .files import LoadResult, load_peft_weights, save_adapter, set_peft_model_state_dict
from .storage import refuse_misspelt, split_hub_arguments
from .trainable import count_parameters
from .validation import require_model_and_config


class PeftModel(nn.Module):
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
        from .more.task_models import let_inputs_require_grad
        from .tuner import LoraModel

        super().__init__()
        self.peft_type = PeftType.LORA
        self.base_model = LoraModel(
            model,
            self._with_heads(peft_config),
            adapter_name,
            optional=self.heads,
            autocast_adapter_dtype=autocast_adapter_dtype,
            **options,
        )
        let_inputs_require_grad(model)
        self.training = model.training

    def _with_heads(self, config: LoraConfig) -> LoraConfig:
        """A copy of the config that saves the task's heads too."""
        config = copy.deepcopy(config)
        if self.heads:
            config.modules_to_save = list(
                dict.fromkeys([*(config.modules_to_save or ()), *self.heads])
            )
        return config

    @property
    def peft_config(self) -> dict[str, LoraConfig]:
        return self.base_model.peft_config

    @property
    def active_adapter(self) -> str:
        return self.base_model.active_adapters[0] if self.base_model.active_adapters else ""

    @property
    def active_adapters(self) -> list[str]:
        return self.base_model.active_adapters

    @property
    def active_peft_config(self) -> LoraConfig:
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
        with self._per_sample(adapter_names):
            return self.get_base_model()(*args, **kwargs)

    def generate(self, *args: Any, adapter_names: list[str] | None = None, **kwargs: Any) -> Any:
        """The model's own `generate`."""
        with self._per_sample(adapter_names, kwargs):
            return self.get_base_model().generate(*args, **kwargs)

    def _per_sample(
        self, adapter_names: list[str] | None, generation: dict[str, Any] | None = None
    ) -> AbstractContextManager[None]:
        from .more.adapters.mixed_batch import adapters_per_sample

        return adapters_per_sample(self, adapter_names, generation)

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

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """(trainable parameters, all parameters)."""
        return count_parameters(self)

    def print_trainable_parameters(self) -> None:
        """Print both counts and their ratio."""
        trainable, total = self.get_nb_trainable_parameters()
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || "
            f"trainable%: {100 * trainable / total:.4f}"
        )

    def save_pretrained(
        self,
        save_directory: str | Path,
        safe_serialization: bool = True,
        selected_adapters: list[str] | None = None,
        save_embedding_layers: bool | str = "auto",
        is_main_process: bool = True,
        path_initial_model_for_weight_conversion: str | Path | None = None,
        state_dict: dict | None = None,
        **unused: Any,
    ) -> None:
        """Write each adapter's two files; one not called "default" has a folder of its name.

        For `path_initial_model_for_weight_conversion` see `init.conversion`.
        """
        from .more.adapters.card import write_card
        from .more.adapters.saving import adapters_to_save, contents

        refuse_misspelt(unused, self.save_pretrained)
        for name, folder in adapters_to_save(self, save_directory, selected_adapters).items():
            if not safe_serialization:
                raise ValueError("only safetensors are written: a pickle can run code")
            initial = path_initial_model_for_weight_conversion
            config, tensors = contents(self, name, state_dict, save_embedding_layers, initial)
            if is_main_process:
                save_adapter(folder, config.to_json(), tensors)
                write_card(folder, self, name)

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
        from .more.task_models import class_for

        hub, _ = split_hub_arguments(options)
        config = config or PeftConfig.from_pretrained(model_id, options.get("subfolder"), **hub)
        config = copy.deepcopy(config)
        config.inference_mode = not is_trainable
        kind = class_for(config.task_type, cls)
        low = options.get("low_cpu_mem_usage", False)
        with all_or_nothing(model):
            peft_model = kind(
                model, config, adapter_name, autocast_adapter_dtype, low_cpu_mem_usage=low
            )
            peft_model.load_adapter(model_id, adapter_name, is_trainable, **options)
            return peft_model

    def load_adapter(
        self,
        model_id: str | Path,
        adapter_name: str,
        is_trainable: bool = False,
        torch_device: str | None = None,
        autocast_adapter_dtype: bool = True,
        strict: bool = True,
        ignore_mismatched_sizes: bool = False,
        subfolder: str | None = None,
        low_cpu_mem_usage: bool = False,
        **options: Any,
    ) -> LoadResult:
        """Read an adapter's files into the model. It is added if it is new, and not activated."""
        from .more.adapters.load_report import warn_of_other_scaling

        refuse_misspelt(options, self.load_adapter)
        hub, _ = split_hub_arguments(options)
        weights = load_peft_weights(model_id, torch_device, subfolder, **hub)
        is_new = adapter_name not in self.peft_config
        with all_or_nothing(self):
            if is_new:
                config = PeftConfig.from_pretrained(model_id, subfolder, **hub)
                config.inference_mode = not is_trainable
                self.add_adapter(adapter_name, config, low_cpu_mem_usage, autocast_adapter_dtype)
            else:
                warn_of_other_scaling(self.peft_config[adapter_name], model_id, subfolder, **hub)
            result = set_peft_model_state_dict(
                self, weights, adapter_name, ignore_mismatched_sizes, low_cpu_mem_usage, strict
            )
            if not is_trainable:
                self.eval()
            elif is_new:
                self.base_model.set_requires_grad(adapter_name)
            return result

    def push_to_hub(self, repo_id: str, **options: Any) -> Any:
        """Save the adapters and upload the folder with the hub's client."""
        from .more.adapters import saving

        return saving.push_to_hub(self, repo_id, **options)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
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
    from .more.task_models import class_for, warn_of_forgotten_task, warn_of_second_time

    require_model_and_config(model, peft_config)
    if mixed:
        raise ValueError("mixed=True is not supported: LoRA is the only method here")
    config = copy.deepcopy(peft_config)
    config.base_model_name_or_path = model.__dict__.get("name_or_path") or None
    config.revision = revision or config.revision
    warn_of_second_time(model)
    warn_of_forgotten_task(model, config)
    return class_for(config.task_type, PeftModel)(
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
    state_dict: dict | None = None,
) -> nn.Module:
    """Put LoRA into the model itself; the keys of a `state_dict` can say where (not its values)."""
    from .tuner import LoraModel

    options = {"low_cpu_mem_usage": low_cpu_mem_usage, "state_dict": state_dict}
    return LoraModel(model, peft_config, adapter_name, **options).model
