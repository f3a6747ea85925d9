"""LoraConfig: PEFT's fields, defaults and json, checked when the config is made."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigError, PeftWarning, did_you_mean
from ..storage import CONFIG_NAME, adapter_path, refuse_misspelt, split_hub_arguments, write_whole
from .plugs import METHODS, initialisation
from .validation import OtherFields, as_names, as_set, check_config, names_misspelt_fields

PEFT_VERSION = "0.21.2"  # the PEFT release whose file format is written and read


class NamedType(str, Enum):  # noqa: UP042 (as in PEFT)
    """Values that are strings too; one that is none of them raises ConfigError, which lists all."""

    @classmethod
    def _missing_(cls, value: object) -> None:
        kind, names = cls.__name__.removesuffix("Type").lower(), [each.value for each in cls]
        raise ConfigError(
            f"Invalid {kind} type: '{value}'. Must be one of the following: {', '.join(names)}."
            f"{did_you_mean(str(value), names)}"
        )


class TaskType(NamedType):
    """What the model is trained for: it picks the wrapper class and the heads that are saved."""

    SEQ_CLS = "SEQ_CLS"
    SEQ_2_SEQ_LM = "SEQ_2_SEQ_LM"
    CAUSAL_LM = "CAUSAL_LM"
    TOKEN_CLS = "TOKEN_CLS"
    QUESTION_ANS = "QUESTION_ANS"
    FEATURE_EXTRACTION = "FEATURE_EXTRACTION"


class PeftType(NamedType):
    """The adapter methods that the engine knows: one."""

    LORA = "LORA"


@dataclass
class PeftConfig:
    """The fields that every adapter file has, and reading and writing adapter_config.json."""

    task_type: TaskType | str | None = None
    peft_type: PeftType | str | None = PeftType.LORA
    auto_mapping: dict[str, Any] | None = None
    peft_version: str | None = None
    base_model_name_or_path: str | None = None
    revision: str | None = None
    inference_mode: bool = False
    is_prompt_learning = False  # other libraries ask

    def __post_init__(self) -> None:
        if self.task_type is not None:
            self.task_type = TaskType(self.task_type)
        self.peft_type = PeftType(self.peft_type)
        self.peft_version = self.peft_version or PEFT_VERSION

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, sets among them."""
        return asdict(self)

    def to_json(self) -> str:
        """The text of adapter_config.json: sorted keys, sets as sorted lists."""
        plain = {k: sorted(v) if isinstance(v, set) else v for k, v in asdict(self).items()}
        return json.dumps(plain, indent=2, sort_keys=True)

    def save_pretrained(self, save_directory: str | Path, **changes: Any) -> None:
        """Write adapter_config.json into a folder, whole or not at all."""
        if Path(save_directory).is_file():
            raise AssertionError(f"Provided path ({save_directory}) should be a directory")
        if "auto_mapping_dict" in changes:
            changes["auto_mapping"] = changes.pop("auto_mapping_dict")
        text = json.dumps({**json.loads(self.to_json()), **changes}, indent=2, sort_keys=True)
        write_whole({Path(save_directory) / CONFIG_NAME: text.encode()})

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, subfolder: str | None = None, **changes: Any
    ) -> LoraConfig:
        """Read adapter_config.json from a folder or the hub; `changes` override its values."""
        hub, changes = split_hub_arguments(changes)
        path = adapter_path(pretrained_model_name_or_path, CONFIG_NAME, subfolder, **hub)
        return LoraConfig.from_json_file(path, **changes)

    @classmethod
    def from_json_file(cls, path_json_file: str | Path, **changes: Any) -> LoraConfig:
        """Read a config's json. Keys that no version known here has are dropped with a warning."""
        try:
            values = json.loads(Path(path_json_file).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path_json_file} is not valid json: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"{path_json_file} must hold one json object")
        known = {f.name for f in fields(LoraConfig)}
        if not {"peft_type", "r"} & values.keys():
            raise ConfigError(
                f"{path_json_file} has neither peft_type nor r: it is no adapter's config, and may "
                "be a base model's"
            )
        start = values.get("init_lora_weights", True)
        if start not in (True, False, "gaussian") and initialisation(str(start).lower()) is None:
            values = METHODS["values_without_start"](values)
        if changes:
            refuse_misspelt(changes, LoraConfig)
        if unknown := sorted(set(values) - known):
            warnings.warn(
                f"Unexpected keyword arguments {unknown} for class LoraConfig, these are ignored. "
                "The file may come from a newer version.",
                PeftWarning,
                stacklevel=2,
            )
        return LoraConfig(**{k: v for k, v in {**values, **changes}.items() if k in known})


@names_misspelt_fields
@dataclass
class LoraConfig(OtherFields, PeftConfig):
    """Which modules get a low-rank update, and which one: W + scaling · B A.

    Names, defaults and meaning are those of PEFT's LoraConfig; lesson 05 onward takes the
    arguments one by one.
    """

    _custom_modules = dict[type, type]()  # noqa: RUF012 (replaced, never changed) module -> layer
    _is_trained = False  # whether it came with tensors, which say more than its fields
    r: int = 8
    target_modules: list[str] | set[str] | str | None = None
    exclude_modules: list[str] | set[str] | str | None = None
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    fan_in_fan_out: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"
    use_rslora: bool = False
    modules_to_save: list[str] | None = None
    init_lora_weights: bool | str = True
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    rank_pattern: dict[str, int] = field(default_factory=dict)
    alpha_pattern: dict[str, float] = field(default_factory=dict)
    trainable_token_indices: list[int] | dict[str, list[int]] | None = None
    use_dora: bool = False
    lora_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.target_modules = as_set(self.target_modules, "target_modules")
        self.exclude_modules = as_set(self.exclude_modules, "exclude_modules")
        self.rank_pattern = self.rank_pattern or {}
        self.alpha_pattern = self.alpha_pattern or {}
        self.modules_to_save = as_names(self.modules_to_save, "modules_to_save")
        check_config(self)

    def _register_custom_module(self, mapping: dict[type, type]) -> None:
        """Use your own layer class (a LoraLayer) for a module class: {module: layer}."""
        self._custom_modules = {**self._custom_modules, **mapping}

    def sets(self, name: str) -> bool:
        """Whether a field asks for anything."""
        value = getattr(self, name, None)
        return bool(value) and value != "none"
