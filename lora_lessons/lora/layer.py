"""The LoRA layer: a frozen layer with low-rank updates beside it, one for each adapter name.

Inside `fit` another class may stand in for `Linear`: `lora_lessons.train.fast` has layers that
compute the same in fewer kernels. `fit(..., fast_layers=False)` trains this very class, so that a
print or a breakpoint in `forward` shows the training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import ConfigError, MergeError
from ..undo import all_or_nothing
from .arithmetic import at_least_float32, lora_delta, lora_scaling
from .config import LoraConfig
from .merge import merge_layer, refuse_tied, unmerge_layer
from .plugs import FORWARDS, LAYERS, METHODS, VARIANTS, Variant, initialisation
from .tuner_layer import BaseTunerLayer, base_of


class Adapter(NamedTuple):
    """One adapter of one layer: all that the arithmetic needs."""

    name: str
    A: Any  # called with x: (..., in) -> (..., r); its `weight` is (r, in)
    B: Any  # called with that: (..., r) -> (..., out); its `weight` is (out, r)
    scaling: float
    dropout: nn.Module


class LoraLayer(BaseTunerLayer):
    """What all LoRA layers share. A subclass says how A and B are made."""

    adapter_layer_names = (
        "lora_A",
        "lora_B",
        "lora_embedding_A",
        "lora_embedding_B",
        "lora_magnitude_vector",
    )
    other_param_names: tuple[str, ...] = (
        "r",
        "lora_alpha",
        "scaling",
        "lora_dropout",
        "use_rslora",
        "use_dora",
        "lora_bias",
        "lora_variant",
    )

    is_linear = False  # whether the base is one that "all-linear" means
    is_known = False  # whether it is the library's own: a user's is warned of

    def __init__(self, base_layer: nn.Module, **kwargs: Any) -> None:
        self.base_layer = base_layer
        self.r: dict[str, int] = {}
        self.lora_alpha: dict[str, float] = {}
        self.scaling: dict[str, float] = {}
        self.use_rslora: dict[str, bool] = {}
        self.use_dora: dict[str, bool] = {}
        self.lora_bias: dict[str, bool] = {}
        self.lora_variant: dict[str, Variant] = {}
        self.lora_dropout = nn.ModuleDict()
        self.lora_A, self.lora_B = nn.ModuleDict(), nn.ModuleDict()
        self.lora_embedding_A, self.lora_embedding_B = nn.ParameterDict(), nn.ParameterDict()
        self.lora_magnitude_vector = nn.ModuleDict()
        self.merged_adapters: list[str] = []
        self.taken_out: Any = None  # what an initialisation took out of W: `more.init.principal`
        self.sharing: list[tuple[str, nn.Module]] = []  # other modules with W, by name
        self.in_features, self.out_features = self._sizes(self.get_base_layer())

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Raise where a config asks for what this kind of layer cannot have."""

    @classmethod
    def shape(cls, module: nn.Module) -> tuple[int, int]:
        """(in, out) of a layer, counted as A and B have them; 0 where it is not known."""
        in_, out = cls._sizes(base_of(module))
        return in_ or 0, out or 0

    @staticmethod
    def _sizes(base: Any) -> tuple[Any, Any]:
        """(in, out) of the base layer."""
        return getattr(base, "in_features", None), getattr(base, "out_features", None)

    def adapter(self, name: str) -> Adapter:
        """The view of one adapter; the dicts by adapter name are read here and nowhere else."""
        A, B = self.lora_A[name], self.lora_B[name]
        return Adapter(name, A, B, self.scaling[name], self.lora_dropout[name])

    def has_adapter(self, name: str) -> bool:
        """Whether this layer has the adapter."""
        return name in self.lora_A

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """h = W x + b + the sum over the adapters in use of scaling · B A dropout(x).

        x is (..., in), the result (..., out). The base layer computes the first part.
        """
        for word in FORWARDS if kwargs else ():  # such as a name of an adapter for each sample
            if (value := kwargs.pop(word, None)) is not None:
                return FORWARDS[word](self, x, value, *args, **kwargs)
        base = h = self.base_layer(x, *args, **kwargs)  # (..., in) -> (..., out)
        for name, A, B, scaling, dropout in self.adapters_in_use():
            if name in self.lora_variant:
                h = h + self.lora_variant[name].output(self, name, x, base)
                continue
            if self.cast_input_dtype_enabled and x.is_floating_point():  # and no ids of tokens
                x = x.to(A.weight.dtype)  # float32 as a rule, whatever W has
            h = h + B(A(dropout(x))) * scaling  # (..., in) -> (..., r) -> (..., out)
        return h.to(base.dtype)

    def adapters_in_use(self) -> list[Adapter]:
        """The active adapters, to be added to the base's result: none while off or merged."""
        if self._disable_adapters and self.merged_adapters:
            self.unmerge()
        if self._disable_adapters or self.merged_adapters:
            return []
        active = self._active_adapter
        names = [active] if isinstance(active, str) else active
        return [self.adapter(name) for name in names if name in self.scaling]

    def update_layer(
        self, adapter_name: str, r: int, lora_alpha: float, config: LoraConfig, **kwargs: Any
    ) -> None:
        """Put a new adapter of rank r on this layer, initialised as the config says."""
        if r <= 0:
            raise ValueError(f"`r` should be a positive integer value but the value passed is {r}")
        self.r[adapter_name], self.lora_alpha[adapter_name] = r, lora_alpha
        self.scaling[adapter_name] = lora_scaling(lora_alpha, r, config.use_rslora)
        self.use_rslora[adapter_name] = config.use_rslora
        self.use_dora[adapter_name] = config.use_dora
        self.lora_bias[adapter_name] = config.lora_bias
        p = config.lora_dropout
        self.lora_dropout[adapter_name] = nn.Dropout(p) if p > 0 else nn.Identity()
        self._make_factors(adapter_name, r, config)
        self._initialize(adapter_name, config)
        self._move_to_base(adapter_name)
        for switch, add in VARIANTS.items():
            if getattr(config, switch):
                add(self, adapter_name)
        active = adapter_name in self.active_adapters
        self.set_requires_grad(adapter_name, active and not config.inference_mode)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        """Create A and B under the adapter's name."""
        raise NotImplementedError

    def _initialize(self, adapter_name: str, config: LoraConfig) -> None:
        """Fill A and B. The methods that look at W, such as PiSSA, are `plugs.INITIALISATIONS`."""
        init = config.init_lora_weights
        if init in (True, "gaussian"):
            self.reset_lora_parameters(adapter_name, init)
        elif entry := initialisation(init):
            entry.fill(self, adapter_name, config)

    def reset_lora_parameters(
        self, adapter_name: str, init_lora_weights: bool | str = True
    ) -> None:
        """A random, B zero: the update starts at nothing, and B's gradient does not.

        True: A is Kaiming uniform with a = sqrt(5), as in Microsoft's code and in PEFT.
        "gaussian": A is normal with standard deviation 1 / r (the paper's section 4.1 says
        Gaussian; the 1 / r is PEFT's).
        """
        A, B = self.adapter(adapter_name)[1:3]
        if init_lora_weights == "gaussian":
            nn.init.normal_(A.weight, std=1 / self.r[adapter_name])
        else:
            nn.init.kaiming_uniform_(A.weight, a=math.sqrt(5))
        nn.init.zeros_(B.weight)
        if B.bias is not None:
            nn.init.zeros_(B.bias)

    def _move_to_base(self, adapter_name: str) -> None:
        """Give the adapter the device of W, and its dtype where that is a float."""
        weight = getattr(self.get_base_layer(), self.weight_name, None)
        if weight is None:
            return
        floating = weight.is_floating_point() and weight.element_size() > 1
        dtype = weight.dtype if floating else None
        no_memory = torch.empty(0).is_meta  # inside `with torch.device("meta")`
        device = torch.device("meta") if no_memory else weight.device
        if weight.is_meta and not no_memory:  # offloaded
            device = METHODS["device_of_hook"](self.get_base_layer(), weight)
        for name, part in self._adapter_parts():
            if name == adapter_name and isinstance(part, nn.Parameter):
                part.data = part.data.to(device, dtype)
            elif name == adapter_name:
                part.to(device, dtype)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Add the adapters' updates to W itself; refused where another module has this W too."""
        W = self.base_weight
        others = [n for n, m in self.sharing if any(p is W for p in m.parameters())]
        refuse_tied(["the layer", *others] if others else [])
        with all_or_nothing(self):
            merge_layer(self, adapter_names, safe_merge)

    def unmerge(self) -> None:
        """Give W back as it was, bit for bit; see `merge.unmerge_layer`."""
        with all_or_nothing(self):
            unmerge_layer(self)

    def get_delta_weight(self, adapter: str) -> Tensor:
        """What merging this adapter adds to W, in W's shape and in float32 at least."""
        if adapter in self.lora_variant:
            return self.lora_variant[adapter].delta_weight(self, adapter)
        return self.plain_delta(adapter)

    def plain_delta(self, name: str) -> Tensor:
        """scaling · B A in W's shape."""
        raise NotImplementedError

    def get_delta_bias(self, adapter: str) -> Tensor | None:
        """What merging adds to the bias: scaling · the bias of B, under `lora_bias`."""
        _, _, B, scaling, _ = self.adapter(adapter)
        return None if B.bias is None else at_least_float32(B.bias) * scaling

    def add_to(self, values: dict[str, Tensor], adapter: str) -> set[str]:
        """Add the adapter's update to `values`; returns the names that it changed."""
        deltas = {self.weight_name: self.get_delta_weight(adapter)}
        bias = self.get_delta_bias(adapter) if self.lora_bias.get(adapter) else None
        if bias is not None:
            deltas["bias"] = bias
        for key, delta in deltas.items():
            values[key] = values[key] + delta.to(values[key].device)
        return set(deltas)

    def output_rows(self, weight: Tensor) -> Tensor:
        """A tensor of W's shape as (out, all the rest): one row for each output."""
        return weight

    def norm_delta(self, name: str) -> Tensor:
        """The update whose norm DoRA takes."""
        return self.plain_delta(name)

    def magnitude_shape(self) -> tuple[int, ...]:
        """The shape of a vector that scales the outputs."""
        return (-1,)

    def float_weight(self, purpose: str) -> Tensor:
        """W, for `purpose` that needs its values; raises where they are packed into few bits."""
        W: Tensor = self.base_weight
        if not W.is_floating_point() or W.element_size() == 1:
            raise ConfigError(
                f"{purpose} looks at W, and that of {type(self.base_layer).__name__} is stored as "
                f"{W.dtype}"
            )
        return W

    def show_base(self) -> None:
        """PiSSA and OLoRA took the adapters' start out of W: while they are in use, it is out."""
        if self.taken_out is not None:
            self.taken_out.show(self)

    def delete_adapter(self, adapter_name: str) -> None:
        """Forget an adapter, here and in what a variant keeps of it."""
        super().delete_adapter(adapter_name)
        if self.taken_out is not None:
            self.taken_out.parts.pop(adapter_name, None)
            self.show_base()

    def check_rows(self, adapter_names: Iterable[str]) -> None:
        """Raise ValueError where samples cannot each have an adapter of their own."""
        if self.taken_out is not None:
            self.taken_out.check_rows(self, adapter_names)

    def check_merge(self, adapter_names: list[str]) -> None:
        """Raise for a bias without a place, and for a W that fits other adapters."""
        biased = any(self.lora_bias.get(name) for name in adapter_names)
        if biased and getattr(self.get_base_layer(), "bias", None) is None:
            raise MergeError(
                "Impossible to merge LoRA with `lora_bias=True` because the base layer has no bias."
            )
        if self.taken_out is not None:
            self.taken_out.check_merge(self, adapter_names)


class Linear(LoraLayer, nn.Module):
    """LoRA on a linear layer: h = W x + b + (alpha / r) B A dropout(x).

    W (out, in) stays frozen; A (r, in) starts random and B (out, r) at zero, so that the layer
    starts as it was (Hu et al. 2021, section 4.1).

    Fields of LoraConfig may stand in place of a config: `Linear(base, r=4, lora_alpha=8)`. Beside
    a config, `r` and `lora_alpha` are this layer's own.
    """

    is_linear = is_known = True

    def __init__(
        self,
        base_layer: nn.Module,
        adapter_name: str = "default",
        config: LoraConfig | None = None,
        r: int | None = None,
        lora_alpha: float | None = None,
        **fields: Any,
    ) -> None:
        nn.Module.__init__(self)
        both = {"r": r, "lora_alpha": lora_alpha}
        given: dict[str, Any] = {k: value for k, value in both.items() if value is not None}
        if config is None:
            config = LoraConfig(**given, **fields)
        elif fields:
            raise TypeError(
                f"{type(self).__name__}() got a config and {', '.join(sorted(fields))} beside it: "
                "set them in the config"
            )
        LoraLayer.__init__(self, base_layer)
        if self.in_features is None or self.out_features is None:
            raise TypeError(
                f"LoraLinear wraps a linear layer, and not {type(base_layer).__name__}: name it "
                "in a config's target_modules, and get_peft_model takes the class that fits"
            )
        base_layer.requires_grad_(False)
        self._active_adapter = adapter_name
        rank, alpha = given.get("r", config.r), given.get("lora_alpha", config.lora_alpha)
        self.update_layer(adapter_name, rank, alpha, config)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        self.lora_B[adapter_name] = nn.Linear(r, self.out_features, bias=config.lora_bias)

    def plain_delta(self, name: str) -> Tensor:
        """The update in the weight's own layout, in float32 at least, without a variant's part."""
        _, A, B, scaling, _ = self.adapter(name)
        A, B = at_least_float32(A.weight), at_least_float32(B.weight)
        return lora_delta(A, B, scaling)  # (out, in)


LoraLinear = Linear
LAYERS[nn.Linear] = Linear
