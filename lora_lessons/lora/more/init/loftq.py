"""LoftQ: the base in few bits, and an adapter that starts with what rounding took from it.

QLoRA starts from a rounded W and an update of zero. LoftQ (Li et al. 2023, section 3.2, algorithm
1) looks for a rounded Q and an update that together are near W, by turns:

    Q = round(W - scaling · B A)        scaling · B A = the best approximation of W - Q of rank r

Q is W's own tensor, rounded to the 2^bits levels of `base.quantize` and kept as floats: it shows
what such a base does, and saves no memory. The first W is back while the adapter is not in use.
"""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ....base.quantize import Quantized, dequantize, quantize
from ....errors import ConfigError, MergeError, PeftWarning, did_you_mean, is_number
from ....undo import write
from ...arithmetic import at_least_float32
from ...config import LoraConfig
from ...layer import LoraLayer
from ...plugs import CONFIG_CHECKS, INITIALISATIONS, Initialisation
from .principal import TakenOut, check_rank

FORMS = {2: "nf2", 3: "nf3", 4: "nf4"}  # in blocks of 64, the scales in float32


@dataclasses.dataclass
class LoftQConfig:
    """`loftq_bits`: 2, 3 or 4. `loftq_iter`: how many turns; 1 rounds W itself, as QLoRA does.

    With more turns Q is not what another program makes of W: then it must come from here.
    """

    loftq_bits: int = 4
    loftq_iter: int = 1

    def __post_init__(self) -> None:
        if self.loftq_bits not in FORMS:
            raise ConfigError(
                f"loftq_bits must be one of {', '.join(map(str, FORMS))}, and it is "
                f"{self.loftq_bits!r}: PEFT's 8 bits have no format here"
            )
        if not is_number(self.loftq_iter, whole=True) or self.loftq_iter < 1:
            raise ConfigError(f"loftq_iter must be 1 or more, and it is {self.loftq_iter!r}")


def loftq_factors(
    W: Tensor, r: int, bits: int = 4, steps: int = 1, transposed: bool = False
) -> tuple[Quantized, Tensor, Tensor]:
    """(Q, B, A) with Q + B A near W (out, in), after so many turns; scaling is 1 here.

    B (out, r) and A (r, in) share the singular values: each has their square roots. `transposed`: W
    is (in, out), and its blocks follow each other as they are stored.
    """
    held = torch.zeros_like(W)
    for _ in range(steps):
        Q = quantize(W - held, FORMS[bits])
        rest = W - dequantize(Q, W.dtype)
        U, S, Vh = torch.linalg.svd(rest.T if transposed else rest, full_matrices=False)
        root = S[:r].sqrt()
        B, A = U[:, :r] * root, root[:, None] * Vh[:r]
        held = (B @ A).T if transposed else B @ A
    return Q, B, A


class QuantizedBase(TakenOut):
    """The first W of one layer, and the rounded one of each LoftQ adapter."""

    parts: dict[str, Any]  # adapter -> Quantized

    def add(self, layer: LoraLayer, name: str) -> None:
        """Refuse PiSSA and OLoRA, which would take their part out of a rounded W."""
        raise MergeError(
            f"LoftQ has rounded W for {sorted(self.parts)}: no other method changes it"
        )

    def show(self, layer: LoraLayer) -> None:
        """Write the rounded W where its adapter is in use, and the first one where not."""
        if layer.merged:
            layer.unmerge()
        weight = layer.get_base_layer().weight
        used = [self.parts[name] for name in sorted(self.in_use(layer))]
        if any(not torch.equal(used[0].codes, other.codes) for other in used):
            raise MergeError(
                f"LoftQ rounded W in another way for each of {sorted(self.in_use(layer))}: one at "
                "a time can be active"
            )
        value = dequantize(used[0], weight.dtype) if used else self.first
        write(weight, value.to(weight.device))


def initialize(layer: LoraLayer, name: str, config: LoraConfig) -> None:
    """Round W and fill A and B with what that took from it."""
    if layer.merged:
        raise MergeError("LoftQ changes W: unmerge its adapters first")
    if layer.taken_out is not None and not isinstance(layer.taken_out, QuantizedBase):
        raise MergeError("PiSSA or OLoRA took a part out of W: LoftQ has no first W to round")
    settings = LoftQConfig(**config.loftq_config)
    _, A, B, scaling, _ = layer.adapter(name)
    stored = layer.float_weight("loftq")
    layer.taken_out = layer.taken_out or QuantizedBase(stored)
    W = at_least_float32(layer.taken_out.first.to(stored.device))
    r = len(A.weight)
    check_rank(W, r, "loftq")
    Q, up, down = loftq_factors(
        W, r, settings.loftq_bits, settings.loftq_iter, layer.fan_in_fan_out
    )
    root = scaling**0.5  # PEFT leaves it out, and is near W only where alpha = r
    A.weight = nn.Parameter((down / root).contiguous())
    B.weight = nn.Parameter((up / root).contiguous())
    layer.taken_out.parts[name] = Q
    layer.show_base()


def check_config(config: LoraConfig) -> None:
    """Make loftq_config a dict of its two numbers, checked; warn where nothing reads it."""
    given = config.loftq_config
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        given = vars(given)
    if not isinstance(given, dict):
        raise ConfigError(f"loftq_config must be a LoftQConfig or a dict, and it is {given!r}")
    known = [each.name for each in dataclasses.fields(LoftQConfig)]
    for name in given:
        if name not in known:
            raise ConfigError(f"loftq_config has no {name!r}.{did_you_mean(name, known)}")
    config.loftq_config = dict(given)
    LoftQConfig(**given)
    if given and config.init_lora_weights != "loftq":
        config.loftq_config = {}
        warn_of_no_use("loftq_config", "loftq")


def warn_of_no_use(field: str, init: str) -> None:
    """Warn, as PEFT does, of settings for another initialisation than the config's."""
    warnings.warn(
        f"`{field}` specified but will be ignored when `init_lora_weights` is not '{init}'.",
        PeftWarning,
        stacklevel=7,
    )


INITIALISATIONS["loftq"] = Initialisation(initialize)
CONFIG_CHECKS["loftq_config"] = check_config
