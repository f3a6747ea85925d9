"""The block that a model repeats: what is compiled, recomputed and sharded one by one."""

from __future__ import annotations

from torch import nn


def repeated_blocks(model: nn.Module) -> list[nn.Module]:
    """The modules of the longest `nn.ModuleList` of two or more modules of one class."""
    lists = [
        list(module)
        for module in model.modules()
        if isinstance(module, nn.ModuleList)
        and len(module) > 1
        and len(set(map(type, module))) == 1
    ]
    return max(lists, key=len, default=[])
