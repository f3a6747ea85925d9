"""Initialisations beyond a random A and a zero B: orthogonal, PiSSA, OLoRA, LoftQ, EVA."""

from __future__ import annotations

import warnings

from torch import nn

from ....errors import ConfigError, PeftWarning
from ...arithmetic import at_least_float32
from ...config import LoraConfig
from ...layer import LoraLayer
from ...plugs import CONFIG_CHECKS, INITIALISATIONS, METHODS, Initialisation, initialisation
from . import conversion, eva, loftq
from .orthogonal import orthogonal_factors
from .principal import olora_factors, pissa_factors, take_out


def initialize(layer: LoraLayer, adapter_name: str, config: LoraConfig) -> None:
    """Fill a linear layer's A and B; PiSSA and OLoRA take their part out of W."""
    init = str(config.init_lora_weights)
    _, A, B, scaling, _ = layer.adapter(adapter_name)
    r = len(A.weight)
    if init == "orthogonal":
        up, down = orthogonal_factors(layer.in_features, layer.out_features, r)
    else:
        weight = at_least_float32(layer.float_weight(init))
        weight = layer.output_rows(weight)  # (out, in)
        make = olora_factors if init == "olora" else pissa_factors
        up, down = make(weight, r, scaling, init)
    A.weight, B.weight = nn.Parameter(down.contiguous()), nn.Parameter(up.contiguous())
    if init != "orthogonal":
        take_out(layer, adapter_name)


def check_config(config: LoraConfig) -> None:
    """Refuse odd ranks, and warn of an adapter that could not be turned into plain LoRA later.

    EVA without settings gets its defaults.
    """
    init, ranks = str(config.init_lora_weights), (config.r, *config.rank_pattern.values())
    if init == "orthogonal" and any(r % 2 for r in ranks):
        raise ConfigError("Orthogonal initialization requires the LoRA rank to be even")
    if init == "eva" and config.eva_config is None:
        config.eva_config = eva.EvaConfig()  # type: ignore[assignment]
    changes_base = init.startswith(("pissa", "olora"))
    if changes_base and config.use_rslora and (config.rank_pattern or config.alpha_pattern):
        warnings.warn(
            "Using Rank-Stabilized LoRA with rank_pattern/alpha_pattern and post-training "
            "conversion of modified base weights PiSSA/OLoRA means that you won't be able to pass "
            "`path_initial_model_for_weight_conversion` to `save_pretrained`.",
            PeftWarning,
            stacklevel=5,
        )


def warn_of_start(config: LoraConfig) -> None:
    """Warn where the files of an adapter do not hold all that loading it needs."""
    entry = initialisation(config.init_lora_weights)
    if entry is not None and entry.warning_on_saving:
        warnings.warn(entry.warning_on_saving, PeftWarning, stacklevel=3)


for _name in ("orthogonal", "pissa", "olora"):
    INITIALISATIONS[_name] = Initialisation(initialize)
INITIALISATIONS[r"pissa_niter_\d+"] = Initialisation(
    initialize,
    "pissa_niter_N starts from random numbers that the files do not hold: whoever loads them "
    "takes another part out of W, and gets other outputs. Save with "
    "`path_initial_model_for_weight_conversion` instead.",
)
CONFIG_CHECKS["init_lora_weights"] = check_config
METHODS["warn_of_start"] = warn_of_start

__all__ = ["conversion", "eva", "initialize", "loftq"]
