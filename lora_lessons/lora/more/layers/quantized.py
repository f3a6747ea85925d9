"""LoRA beside a frozen layer of few bits: bitsandbytes' 4 and 8 bits, torchao's tensors, our NF4.

The base computes with weights that it decodes for each product, and the adapter beside it is in
floats, as QLoRA has it (Dettmers et al. 2023, equation 5). What needs W itself, as DoRA's norms do,
gets it decoded. What would write into W is refused: a sum of W and an update would be rounded to
the few values that the codes have, and an update is smaller than the steps between them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....base.nf4_linear import NF4Linear
from ....errors import ConfigError, MergeError
from ...config import LoraConfig
from ...layer import Linear
from ...plugs import LAYERS
from ...tuner_layer import base_of

if TYPE_CHECKING:
    _Linear = Linear
else:
    _Linear = object  # a mixin for each kind of storage

WRITES_INTO_W = ("pissa", "olora", "loftq")  # by init_lora_weights


class Quantized(_Linear):
    """What all of them share: sizes from the layer, W by decoding it, and no writing into it."""

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse what would have to change W, and DoRA where W is not in memory."""
        init = str(config.init_lora_weights)
        kind = f"{name} is quantized ({kind_of(base_of(module))})"
        rounded = init == "loftq" and config._is_trained  # this is the base that it is made for
        if init.startswith(WRITES_INTO_W) and not rounded:
            raise ConfigError(
                f"init_lora_weights={init!r} writes into W, and {kind}: its codes cannot hold what "
                "is left of W. Start the adapter on the float base. One of PiSSA or OLoRA is saved "
                "as a plain one by save_pretrained(path_initial_model_for_weight_conversion=...)."
            )
        if config.use_dora and base_of(module).weight.is_meta and not torch.empty(0).is_meta:
            raise ConfigError(
                f"DoRA needs the norms of W, and {kind} and offloaded: its weight is on the "
                "meta device. Keep it on a device, or leave use_dora out."
            )

    def _initialize(self, adapter_name: str, config: LoraConfig) -> None:
        """As everywhere; a trained LoftQ adapter only waits for its file's values."""
        if config.init_lora_weights == "loftq":
            self.reset_lora_parameters(adapter_name)
        else:
            super()._initialize(adapter_name, config)

    def float_weight(self, purpose: str) -> Tensor:
        """W (out, in) as the layer computes with it: decoded from its codes."""
        base = self.get_base_layer()
        if base.weight.is_meta:
            raise ConfigError(f"{purpose} looks at W, and that of {kind_of(base)} is not in memory")
        return self.decoded(base)

    @staticmethod
    def decoded(base: Any) -> Tensor:
        """The base layer's W (out, in) in floats."""
        raise NotImplementedError

    def check_merge(self, adapter_names: list[str]) -> None:
        """Refuse it, and say how to merge."""
        raise MergeError(
            f"cannot merge into quantized weights ({kind_of(self.get_base_layer())}): W + ΔW would "
            "be rounded to the few values that codes have, and most of the update lost. Merge into "
            "the float base: model.save_pretrained(folder), load the base again without "
            "quantization, then PeftModel.from_pretrained(base, folder).merge_and_unload()."
        )


def bitsandbytes() -> Any:
    """The library, which is there where its layers are."""
    return importlib.import_module("bitsandbytes")


def kind_of(base: Any) -> str:
    """What a quantized layer is called in a message."""
    stored = type(base.weight)
    of_torchao = stored.__module__.startswith("torchao.")
    return f"{type(base).__name__}{f' of {stored.__name__}' if of_torchao else ''}"


class Linear4bit(Quantized, Linear):
    """LoRA on bitsandbytes' `Linear4bit`: NF4 or FP4, two codes a byte, a scale for each block."""

    @staticmethod
    def decoded(base: Any) -> Tensor:
        """W (out, in), in the dtype it was quantized from."""
        state = base.weight.quant_state
        if state is None:  # it is quantized when it is moved to its device
            return base.weight
        return bitsandbytes().functional.dequantize_4bit(base.weight.data, state)

    def _move_to_base(self, adapter_name: str) -> None:
        """A and B go to W's device, and get the dtype that the layer computes in."""
        super()._move_to_base(adapter_name)
        base = self.get_base_layer()
        state = getattr(base.weight, "quant_state", None)
        dtype = base.compute_dtype or (base.weight.dtype if state is None else state.dtype)
        self.lora_A[adapter_name].to(dtype)
        self.lora_B[adapter_name].to(dtype)


class Linear8bitLt(Quantized, Linear):
    """LoRA on bitsandbytes' `Linear8bitLt`: whole numbers, and a scale for each row."""

    @staticmethod
    def decoded(base: Any) -> Tensor:
        """W (out, in) in float32: codes times their row's scale / 127."""
        scales = base.state.SCB if base.weight.SCB is None else base.weight.SCB
        if scales is None:  # kept in floats, or not moved to its device yet
            return base.weight
        return bitsandbytes().functional.int8_vectorwise_dequant(base.weight.data, scales)


class NF4LoraLinear(Quantized, Linear):
    """LoRA on this package's `NF4Linear`."""

    @staticmethod
    def decoded(base: NF4Linear) -> Tensor:
        """W (out, in) in float32."""
        return base.decoded(torch.float32)


class TorchaoLoraLinear(Quantized, Linear):
    """LoRA on an `nn.Linear` whose weight is one of torchao's tensors."""

    @classmethod
    def check(cls, name: str, module: nn.Module, config: LoraConfig, r: int) -> None:
        """Refuse also what is no linear layer, and a weight that gives x no gradient."""
        super().check(name, module, config, r)
        base = base_of(module)
        if not isinstance(base, nn.Linear):
            raise ConfigError(
                f"{name} is {kind_of(base)}, and of torchao's weights only those of linear layers "
                "are supported: leave this module in floats, or out of target_modules"
            )
        if not config.inference_mode and (reason := no_gradient(base.weight)):
            raise ConfigError(
                f"{name} is {kind_of(base)}, and training cannot go through it: {reason}. Quantize "
                "weights alone (Int8WeightOnlyConfig), or use bitsandbytes."
            )

    @staticmethod
    def decoded(base: Any) -> Tensor:
        """W (out, in), in the dtype that the tensor stands for."""
        return base.weight.dequantize()


def no_gradient(weight: Tensor) -> str:
    """Why a product with this weight gives x no gradient, found by making one; else nothing."""
    if weight.is_meta:
        return ""
    x = torch.zeros(1, weight.shape[1], dtype=weight.dtype, device=weight.device)
    try:
        with torch.enable_grad():
            y = F.linear(x.requires_grad_(), weight)
            if not y.requires_grad:
                return "its product passes no gradient on to the layers before it"
            y.sum().backward()
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        return str(error).splitlines()[0][:200]
    return ""


LAYERS[NF4Linear] = NF4LoraLinear
LAYERS["bitsandbytes.nn.modules.Linear4bit"] = Linear4bit  # by name: they are not imported
LAYERS["bitsandbytes.nn.modules.Linear8bitLt"] = Linear8bitLt
LAYERS["torchao.utils.TorchAOBaseTensor"] = TorchaoLoraLinear  # the class of a layer's weight
