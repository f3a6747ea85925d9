"""How other tools know our models and layers: by PEFT's classes, where PEFT is installed.

transformers' Trainer, TRL, accelerate and diffusers ask `isinstance(model, peft.PeftModel)` or
`isinstance(layer, BaseTunerLayer)`, and treat what is neither as a plain model: their checkpoints
would hold the whole base and no adapter. So a PeftModel around a model of transformers or
diffusers gets a class that is both ours and PEFT's. All that runs is ours: PEFT's class gives its
name, and the few methods that ours has not.

The class is made when the first such model is wrapped. Importing this module imports no PEFT. A
plain `nn.Module` gets the class only where transformers' Trainer is there to ask for it: PEFT takes
a second to import, which a model of one's own need not pay.
"""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from ...undo import all_or_nothing
from ..layer import LoraLayer
from ..model import PeftModel
from ..plugs import MODELS_WITH
from ..tuner import LoraModel
from ..tuner_layer import BaseTunerLayer
from .adapters.saved_modules import ModulesToSaveWrapper
from .adapters.token_rows import TrainableTokensWrapper


class Bridged:
    """Marks the classes that are PEFT's too, and says how an instance is copied and pickled."""

    own_class: type[Any]  # ours alone

    def add_adapter(self, *args: Any, **kwargs: Any) -> None:
        """As ours; what it put into the model is known to tools as well."""
        with all_or_nothing(self):  # type: ignore[arg-type]
            super().add_adapter(*args, **kwargs)  # type: ignore[misc]
            be_known_to_tools(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """By our own class, which has a name to be found by; PEFT's is added again."""
        return _new, (self.own_class,), self.__dict__


def _new(own_class: Any) -> Any:
    """An instance without a state, for `copy` and `pickle`."""
    kind = bridged(own_class)
    return kind.__new__(kind)


class FromInside:
    """An attribute that PEFT's class has and ours has not: the model inside is asked first."""

    def __init__(self, name: str, theirs: Any) -> None:
        self.name, self.theirs = name, theirs

    def __get__(self, model: Any, kind: type | None = None) -> Any:
        bound = getattr(self.theirs, "__get__", None)
        if model is None:
            return self.theirs if bound is None else bound(None, kind)
        try:
            return getattr(model.base_model, self.name)
        except AttributeError:
            return self.theirs if bound is None else bound(model, kind)


@functools.cache
def bridged(own_class: Any) -> Any:
    """The class that is `own_class` and PEFT's class of that name; itself where PEFT is missing."""
    try:
        import peft
    except ImportError:
        return own_class
    _register_layers(peft)
    places = (peft, peft.utils.other)
    named = (getattr(place, c.__name__, None) for c in own_class.__mro__ for place in places)
    theirs: Any = next(kind for kind in named if kind is not None)
    not_ours = {
        name: FromInside(name, value)
        for kind in reversed(theirs.__mro__)
        if kind not in nn.Module.__mro__
        for name, value in vars(kind).items()
        if issubclass(own_class, PeftModel) and not hasattr(own_class, name)
    }
    about = {"__doc__": own_class.__doc__, "__module__": own_class.__module__}
    members = {**not_ours, **about, "own_class": own_class}
    return type(own_class.__name__, (Bridged, own_class, theirs), members)


def _register_layers(peft: Any) -> None:
    """Let `isinstance` take our layers for PEFT's: diffusers switches and scales them by that."""
    from peft.tuners import lora, tuners_utils

    tuners_utils.BaseTunerLayer.register(BaseTunerLayer)
    tuners_utils.BaseTuner.register(LoraModel)
    lora.LoraLayer.register(LoraLayer)


def be_known_to_tools(wrapper: Any) -> None:
    """Give a PeftModel, and what it saves whole, the classes that other tools look for."""
    bridged(PeftModel)  # the layers are known from here on, also where a model is only injected
    of_its_kind: tuple[type[Any], ...] = (PeftModel, ModulesToSaveWrapper, TrainableTokensWrapper)
    for module in wrapper.modules():
        if isinstance(module, of_its_kind) and not isinstance(module, Bridged):
            own_class: Any = type(module)
            module.__class__ = bridged(own_class)


MODELS_WITH["transformers.trainer"] = be_known_to_tools  # the Trainer may ask for any model
MODELS_WITH["base_model_prefix"] = be_known_to_tools  # a model of transformers
MODELS_WITH["register_to_config"] = be_known_to_tools  # a model of diffusers
