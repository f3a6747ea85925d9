"""The LoRA layer: a frozen layer with low-rank updates beside it, one for each adapter name."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from .arithmetic import lora_delta
from .config import LoraConfig
from .scaling import lora_scaling
from .tuner_layer import BaseTunerLayer
from .validation import require_sizes

if TYPE_CHECKING:
    from .merge import KeptBase


class Adapter(NamedTuple):
    """One adapter of one layer: all that the arithmetic needs."""

    name: str
    A: Any  # a module, or in an embedding a Parameter: r rows
    B: Any  # the same with r columns
    scaling: float
    dropout: nn.Module


class LoraLayer(BaseTunerLayer):
    """What all LoRA layers share. A subclass says how to make, apply and multiply out A and B."""

    adapter_layer_names = (
        "lora_A",
        "lora_B",
        "lora_embedding_A",
        "lora_embedding_B",
        "lora_magnitude_vector",
    )
    other_param_names = (
        "r",
        "lora_alpha",
        "scaling",
        "lora_dropout",
        "use_rslora",
        "use_dora",
        "lora_bias",
        "lora_variant",
    )

    def __init__(self, base_layer: nn.Module, **kwargs: Any) -> None:
        self.base_layer = base_layer
        self.r: dict[str, int] = {}
        self.lora_alpha: dict[str, float] = {}
        self.scaling: dict[str, float] = {}
        self.use_rslora: dict[str, bool] = {}
        self.use_dora: dict[str, bool] = {}
        self.lora_bias: dict[str, bool] = {}
        self.lora_variant: dict[str, Any] = {}
        self.lora_dropout = nn.ModuleDict()
        self.lora_A, self.lora_B = nn.ModuleDict(), nn.ModuleDict()
        self.lora_embedding_A, self.lora_embedding_B = nn.ParameterDict(), nn.ParameterDict()
        self.lora_magnitude_vector = nn.ModuleDict()
        self.merged_adapters = []
        self.kept_base: KeptBase | None = None
        self.in_features, self.out_features = self._sizes(self.get_base_layer())

    @staticmethod
    def _sizes(base: nn.Module) -> tuple[int | None, int | None]:
        """(in, out) of the base layer."""
        return getattr(base, "in_features", None), getattr(base, "out_features", None)

    def adapter(self, name: str) -> Adapter:
        """The view of one adapter; the dicts by adapter name are read here and nowhere else."""
        if name in self.lora_embedding_A:
            A, B = self.lora_embedding_A[name], self.lora_embedding_B[name]
        else:
            A, B = self.lora_A[name], self.lora_B[name]
        return Adapter(name, A, B, self.scaling[name], self.lora_dropout[name])

    def has_adapter(self, name: str) -> bool:
        """True where this layer has an adapter of that name."""
        return name in self.lora_A or name in self.lora_embedding_A

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
        self._initialize(adapter_name, config.init_lora_weights)
        self._move_to_base(adapter_name)
        if config.use_dora:
            from .more.variants import add_dora

            add_dora(self, adapter_name)
        active = adapter_name in self.active_adapters
        self.set_requires_grad(adapter_name, active and not config.inference_mode)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        """Create A and B under the adapter's name."""
        raise NotImplementedError

    def _initialize(self, adapter_name: str, init: bool | str) -> None:
        """Fill A and B. The methods that look at W, such as PiSSA, live in `init`."""
        if isinstance(init, str) and init != "gaussian":
            from .more.init import initialize

            initialize(self, adapter_name, init)
        elif init is not False:
            self.reset_lora_parameters(adapter_name, init)

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
        if getattr(B, "bias", None) is not None:
            nn.init.zeros_(B.bias)

    def _move_to_base(self, adapter_name: str) -> None:
        """Give the adapter the device of W, and its dtype where that is a float."""
        weight = getattr(self.get_base_layer(), "weight", None)
        if weight is None:
            return
        floating = weight.is_floating_point() and weight.element_size() > 1
        dtype = weight.dtype if floating else None
        no_memory = torch.empty(0).is_meta  # inside `with torch.device("meta")`
        device = torch.device("meta") if no_memory else weight.device
        for name, part in self._adapter_parts():
            if name == adapter_name and isinstance(part, nn.Parameter):
                part.data = part.data.to(device, dtype)
            elif name == adapter_name:
                part.to(device, dtype)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """h = base(x) + sum over the active adapters of scaling · B A dropout(x)."""
        adapter_names = kwargs.pop("adapter_names", None)
        if adapter_names is not None:
            from .more.adapters.mixed_batch import mixed_forward

            return mixed_forward(self, x, adapter_names, *args, **kwargs)
        if self.disable_adapters and self.merged:
            self.unmerge()
        result = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters or self.merged:
            return result
        dtype, base_result = result.dtype, result
        for name in filter(self.has_adapter, self.active_adapters):
            result = result + self.lora_output(name, x, base_result)
        return result.to(dtype)

    def lora_output(self, name: str, x: Tensor, base_result: Tensor) -> Tensor:
        """What one adapter adds to the base's result."""
        if name in self.lora_variant:
            return self.lora_variant[name].output(self, name, x, base_result)
        return self.plain_output(name, x)

    def plain_output(self, name: str, x: Tensor) -> Tensor:
        """scaling · B A dropout(x), in the dtype of A (float32 as a rule, whatever W has)."""
        adapter = self.adapter(name)
        x = x.to(adapter.A.weight.dtype)
        return adapter.B(adapter.A(adapter.dropout(x))) * adapter.scaling

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
        bias = getattr(self.adapter(adapter).B, "bias", None)
        return None if bias is None else at_least_float32(bias) * self.scaling[adapter]

    def add_to(self, values: dict[str, Tensor], adapter: str) -> set[str]:
        """Add an adapter's updates to the values to be merged; returns which were changed."""
        deltas = {"weight": self.get_delta_weight(adapter), "bias": self.get_delta_bias(adapter)}
        changed = {key for key, delta in deltas.items() if delta is not None}
        for key in changed:
            values[key] = values[key] + deltas[key].to(values[key].device)
        return changed


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor without its gradient, in float32 unless it is wider."""
    tensor = tensor.detach()
    return tensor if tensor.dtype == torch.float64 else tensor.float()


class Linear(LoraLayer, nn.Module):
    """LoRA on a linear layer: h = W x + b + (alpha / r) B A dropout(x).

    W (out, in) stays frozen; A (r, in) starts random and B (out, r) at zero, so that the layer
    starts as it was (Hu et al. 2021, section 4.1).

    Fields of LoraConfig may stand in place of a config: `Linear(base, r=4, lora_alpha=8)`.
    """

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
        if config is None:
            given = {"r": r, "lora_alpha": lora_alpha}
            config = LoraConfig(**{k: v for k, v in given.items() if v is not None}, **fields)
        LoraLayer.__init__(self, base_layer)
        require_sizes(self)
        base_layer.requires_grad_(False)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, r or config.r, lora_alpha or config.lora_alpha, config)

    def _make_factors(self, adapter_name: str, r: int, config: LoraConfig) -> None:
        self.lora_A[adapter_name] = nn.Linear(self.in_features, r, bias=False)
        self.lora_B[adapter_name] = nn.Linear(r, self.out_features, bias=config.lora_bias)

    def plain_delta(self, name: str) -> Tensor:
        adapter = self.adapter(name)
        A, B = at_least_float32(adapter.A.weight), at_least_float32(adapter.B.weight)
        return lora_delta(A, B, adapter.scaling)  # (out, in)


LoraLinear = Linear
