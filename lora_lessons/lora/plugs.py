"""What may be added to the core, and where: tables that the core asks and never fills.

`lora.more` fills them when `lora_lessons.lora` is imported. An entry is found by a word that the
core can look up itself (a field of the config, the class of a module, a keyword), so that a plain
run asks the tables and runs nothing else. docs/engine.md says how to add an entry to each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import Tensor, nn

F = TypeVar("F", bound=Callable[..., Any])
if TYPE_CHECKING:
    from .config import LoraConfig
    from .inject import InjectionPlan
    from .layer import LoraLayer
    from .model import PeftModel


@dataclass(frozen=True)
class Initialisation:
    """A value of `init_lora_weights`: how it fills A and B."""

    fill: Callable[[LoraLayer, str, LoraConfig], None]  # (layer, adapter's name, its config)
    warning_on_saving: str = ""  # where the files do not hold all that loading needs


class Variant(Protocol):
    """Another update than scaling · B A, on one layer for one adapter; it has no state."""

    mixes: bool  # whether one batch may hold samples with other adapters

    def output(self, layer: LoraLayer, name: str, x: Tensor, base_result: Tensor) -> Tensor:
        """What the adapter adds to the base's result."""
        ...

    def delta_weight(self, layer: LoraLayer, name: str) -> Tensor:
        """What merging adds to W, in float32 at least."""
        ...

    def reset(self, layer: LoraLayer, name: str) -> None:
        """Give its own tensors the values that they start with."""
        ...


class Part(Protocol):
    """What else an injection puts into a model, where the config's field asks for it."""

    trains_alone: bool  # a config with this part needs no target_modules

    def find(
        self, model: nn.Module, plan: InjectionPlan, modules: dict[str, nn.Module]
    ) -> dict[str, Any]:
        """All that it will do, by the module's name, checked; nothing is changed yet.

        The plan has its config and the adapter's name, and no targets yet.
        """
        ...

    def put(self, model: nn.Module, adapter_name: str, name: str, found: Any) -> None:
        """Do it for one module. What it did is undone by the core if anything fails."""
        ...

    def count(self, found: Any) -> tuple[int, str]:
        """The parameters that train there, and a note for the printed plan."""
        ...


def initialisation(init: bool | str) -> Initialisation | None:
    """The entry of `INITIALISATIONS` for a value of `init_lora_weights`, if it has one."""
    return next((e for key, e in INITIALISATIONS.items() if re.fullmatch(key, str(init))), None)


def method_of(owner: type[nn.Module]) -> Callable[[F], F]:
    """Make a function a method of one of the core's classes, under its own name."""

    def put(function: F) -> F:
        setattr(owner, function.__name__, function)
        return function

    return put


# class of a module or its weight, or its dotted name -> the LoRA layer; the nearest in the MRO wins
LAYERS: dict[type[nn.Module] | str, type[Any]] = {}
# a class of LAYERS -> called with a model that gets adapters, if it has layers for that class
LAYERS_AROUND: dict[type[Any] | None, Callable[[nn.Module], None]] = {}
# (class of a parent, name of its child) -> a subclass of the child's LoRA layer, for it alone
CHILDREN: dict[tuple[type[Any], str], type[Any]] = {}
# init_lora_weights, as a regular expression -> how A and B are filled
INITIALISATIONS: dict[str, Initialisation] = {}
# switch of the config ("use_dora") -> what is called once A and B are there: (layer, adapter)
VARIANTS: dict[str, Callable[[LoraLayer, str], None]] = {}
# keyword of a layer's forward ("adapter_names") -> the forward that takes it
FORWARDS: dict[str, Callable[..., Tensor]] = {}
# field of the config ("modules_to_save") -> what it puts into the model
PARTS: dict[str, Part] = {}
# field of the config -> a check of each config that sets it
CONFIG_CHECKS: dict[str, Callable[[LoraConfig], None]] = {}
# field of the config -> a check of each plan whose config sets it
PLAN_CHECKS: dict[str, Callable[[InjectionPlan], None]] = {}
# target_modules -> the modules that it stands for ("all-linear"; "" is for None)
SHORTHANDS: dict[str, Callable[[nn.Module, LoraConfig], set[str] | str]] = {}
# task_type -> the class that get_peft_model returns
TASKS: dict[str, type[PeftModel]] = {}
# end of a model's class's name -> called before it is wrapped: (model, config)
MODELS_CALLED: dict[str, Callable[[nn.Module, LoraConfig], None]] = {}
# attribute of a model's class, or an imported module -> called once the model has adapters:
# (the PeftModel or LoraModel)
MODELS_WITH: dict[str, Callable[[Any], None]] = {}
# name of a text beside an adapter's files ("README.md") -> its template
TEXTS: dict[str, str] = {}
# name of what the core calls in a special case -> the function
METHODS: dict[str, Callable[..., Any]] = {}
