"""trainable_token_indices: a few rows of an embedding that train, and nothing else of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ....errors import ConfigError, NoMatchingPeftModuleError, did_you_mean
from ....undo import all_or_nothing
from ...config import LoraConfig
from ...inject import InjectionPlan, replace_module
from ...layer import LoraLayer
from ...matching import check_target_module_exists, matches_suffix
from ...merge import merge_layer, unmerge_layer
from ...plugs import CONFIG_CHECKS, PARTS
from ...tuner_layer import BaseTunerLayer, StandIn, base_of
from .mixed_batch import check_rows, rows_by_adapter
from .saved_modules import refuse_parts_of_adapters


class TokenRows(NamedTuple):
    """Rows of an embedding that train."""

    module: nn.Module
    ids: list[int]


class TrainableTokensLayer(BaseTunerLayer, nn.Module):
    """An embedding of which each adapter trains some rows: their values, not a difference.

    A tied layer (the output head of a model with tied embeddings) shares the rows of another.
    """

    adapter_layer_names = ("trainable_tokens_delta",)
    other_param_names = ("token_indices",)
    alone = False  # rows are written into a tied weight, for that is what ties them

    def __init__(self, base_layer: nn.Module, tied_to: TrainableTokensLayer | None = None) -> None:
        nn.Module.__init__(self)
        self.base_layer = base_layer
        self._tied_to = [tied_to] if tied_to else []  # in a list: it is no submodule
        source = tied_to or self
        if tied_to is None:
            self.trainable_tokens_delta = nn.ParameterDict()
            self.token_indices: dict[str, list[int]] = {}
        else:
            self.trainable_tokens_delta = source.trainable_tokens_delta
            self.token_indices = source.token_indices
            self._active_adapter = source._active_adapter
        self.merged_adapters = [] if tied_to is None else source.merged_adapters
        base = self.get_base_layer()
        self.out_features, self.in_features = base.weight.shape[1], base.weight.shape[0]
        self.scaling: dict[str, float] = {}

    @property
    def tied_adapter(self) -> TrainableTokensLayer | None:
        """The layer whose rows it shows, as PEFT's helpers ask."""
        return self._tied_to[0] if self._tied_to else None

    @property
    def tied(self) -> bool:
        """Whether it shows the rows of another one."""
        return bool(self._tied_to)

    @property
    def mergeable(self) -> bool:  # type: ignore[override]
        """A tied layer follows the one it is tied to."""
        return not self.tied

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Write the adapters' rows into the weight itself; see `merge.merge_layer`."""
        with all_or_nothing(self):
            merge_layer(self, adapter_names, safe_merge)

    def unmerge(self) -> None:
        """Give the weight back as it was; see `merge.unmerge_layer`."""
        with all_or_nothing(self):
            unmerge_layer(self)

    @property
    def merged(self) -> bool:
        """Whether any adapter is merged."""
        return self._tied_to[0].merged if self.tied else bool(self.merged_adapters)

    def has_adapter(self, name: str) -> bool:
        """True where this embedding has rows of that adapter."""
        return name in self.token_indices

    def update_layer(self, adapter_name: str, ids: list[int]) -> None:
        """Make rows trainable; they start as they are."""
        if not self.tied:
            rows = self.get_base_layer().weight.detach()[ids].clone()
            active = adapter_name in self.active_adapters
            self.trainable_tokens_delta[adapter_name] = nn.Parameter(rows, requires_grad=active)
            self.token_indices[adapter_name] = ids

    def file_tensors(self, adapter_name: str) -> dict[str, Tensor]:
        """The tensors of the adapter's file; a tied layer has none of its own."""
        return {} if self.tied else super().file_tensors(adapter_name)

    def check_set_adapter(self, adapter_names: Iterable[str]) -> None:
        """Raise if two of the adapters train the same row."""
        seen: set[int] = set()
        for name in filter(self.has_adapter, adapter_names):
            if seen & set(self.token_indices[name]):
                raise ValueError(
                    "Only one adapter can be set at a time for TrainableTokensWrapper where rows "
                    f"are the same: Token indices of adapter {name} are already defined and would "
                    "result in undefined merging behavior."
                )
            seen |= set(self.token_indices[name])

    def add_to(self, values: dict[str, Tensor], adapter: str) -> set[str]:
        """Write the adapter's rows into the values to be merged; returns what was changed."""
        values["weight"] = self._with_rows(values["weight"], adapter)
        return {"weight"}

    def _with_rows(self, weight: Tensor, adapter: str) -> Tensor:
        index = torch.tensor(self.token_indices[adapter], device=weight.device)
        return weight.index_copy(0, index, self.trainable_tokens_delta[adapter].to(weight))

    def weight_with(self, adapters: Iterable[str]) -> Tensor:
        """The embedding's weight with the rows of these adapters."""
        weight = self.get_base_layer().weight
        for name in filter(self.has_adapter, adapters):
            weight = self._with_rows(weight, name)
        return weight

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """What the base layer computes with the rows of the active adapters, or of each sample's.

        x is (batch, ...): ids of an embedding, or hidden states of a head that is tied to it.
        """
        adapter_names = kwargs.pop("adapter_names", None)
        if self.disable_adapters or self.merged:
            return self.base_layer(x, *args, **kwargs)
        if adapter_names is None:
            return self._forward_with(self.active_adapters, x)
        check_rows(x, adapter_names)
        result = self.base_layer(x).clone()
        for name, rows in rows_by_adapter(adapter_names).items():
            index = torch.tensor(rows, device=x.device)
            result[index] = self._forward_with([name], x[index])
        return result

    def _forward_with(self, adapters: Iterable[str], x: Tensor) -> Tensor:
        """The base layer's own forward, whatever it is, with another weight."""
        result: Tensor = functional_call(
            self.base_layer, {"weight": self.weight_with(adapters)}, (x,)
        )
        return result


class TrainableTokensWrapper(StandIn, nn.Module):
    """Takes the embedding's place; it is there for PEFT's names, and forwards everything."""

    def __init__(self, token_adapter: TrainableTokensLayer) -> None:
        nn.Module.__init__(self)
        self.token_adapter = token_adapter

    @property
    def original_module(self) -> nn.Module:
        """The module as it was before."""
        return self.token_adapter.base_layer

    @property
    def active_adapters(self) -> list[str]:
        """The active adapters that have rows here."""
        return list(filter(self.token_adapter.has_adapter, self.token_adapter.active_adapters))

    @property
    def weight(self) -> Tensor:
        """The weight of the layer underneath."""
        adapter = self.token_adapter
        off = adapter.disable_adapters or adapter.merged
        return adapter.weight_with([] if off else adapter.active_adapters)

    def get_base_layer(self) -> nn.Module:
        """The embedding itself."""
        return self.token_adapter.get_base_layer()

    def unloaded(self, adapter_names: list[str]) -> nn.Module:
        """The embedding, which takes its place again."""
        return self.token_adapter.base_layer

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The layer with the rows in use."""
        return self.token_adapter(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            if name in ("token_adapter", "original_module", "active_adapters"):
                raise
            return getattr(self.original_module, name)


def rows_to_train(
    model: nn.Module, config: LoraConfig, modules: dict[str, nn.Module]
) -> dict[str, TokenRows]:
    """The rows to train by the embedding's name, all checked."""
    wanted = config.trainable_token_indices
    if not wanted:
        return {}
    if not isinstance(wanted, dict):
        wanted = {_input_embedding_name(model, modules): list(wanted)}
    rows = {}
    for entry, ids in wanted.items():
        found = [name for name in modules if matches_suffix(entry, name)]
        if not found:
            raise NoMatchingPeftModuleError(
                f"trainable_token_indices entry {entry!r} matches no module."
                f"{did_you_mean(entry, modules)}"
            )
        for name in found:
            rows[name] = TokenRows(modules[name], _checked_ids(name, modules[name], ids))
            if check_target_module_exists(config, name):
                raise ConfigError(f"{name} is in target_modules and trainable_token_indices")
    return rows


def _input_embedding_name(model: Any, modules: dict[str, nn.Module]) -> str:
    """The name of a transformers model's input embedding; "embed_tokens" for any other model."""
    if not hasattr(type(model), "get_input_embeddings"):
        return "embed_tokens"
    embedding = model.get_input_embeddings()
    return next(name for name, module in modules.items() if module is embedding)


def _checked_ids(name: str, module: nn.Module, ids: list[int]) -> list[int]:
    """The ids, if they are whole numbers, each once, and rows of the embedding."""
    weight = base_of(module)._parameters.get("weight")
    if weight is None or weight.ndim != 2 or isinstance(module, LoraLayer):
        raise ConfigError(f"trainable_token_indices cannot be applied to {name}, {type(module)}")
    ids = list(ids)
    count = weight.shape[0]
    if wrong := [i for i in ids if type(i) is not int or not 0 <= i < count]:
        raise ConfigError(f"trainable_token_indices for {name} must lie in 0..{count - 1}: {wrong}")
    if not ids or len(set(ids)) < len(ids):
        raise ConfigError(f"trainable_token_indices for {name} must be there, each once: {ids}")
    return ids


def train_rows(model: nn.Module, name: str, ids: list[int], adapter_name: str) -> None:
    """Make rows of an embedding, and of heads tied to it, trainable."""
    module = model.get_submodule(name)
    if isinstance(module, TrainableTokensWrapper):
        module.token_adapter.update_layer(adapter_name, ids)
        return
    wrapper = TrainableTokensWrapper(TrainableTokensLayer(module))
    wrapper.token_adapter._active_adapter = adapter_name
    wrapper.token_adapter.update_layer(adapter_name, ids)
    tied = {n: m for n, m in tied_modules(model, module).items() if n != name}
    replace_module(model, name, wrapper)
    for tied_name, head in tied.items():
        layer = TrainableTokensLayer(head, tied_to=wrapper.token_adapter)
        replace_module(model, tied_name, TrainableTokensWrapper(layer))


def tied_modules(model: nn.Module, embedding: nn.Module) -> dict[str, nn.Module]:
    """The modules whose weight is the embedding's own Parameter."""
    return {
        name: module
        for name, module in model.named_modules()
        if module._parameters.get("weight") is embedding.weight
    }


class Rows:
    """The part of a plan that `trainable_token_indices` asks for."""

    trains_alone = True

    def find(
        self, model: nn.Module, plan: InjectionPlan, modules: dict[str, nn.Module]
    ) -> dict[str, TokenRows]:
        """What the config asks of this part, by name; raises before anything is changed."""
        rows = plan.config.trainable_token_indices
        entries = rows if isinstance(rows, dict) else ()
        refuse_parts_of_adapters(plan, modules, entries, TrainableTokensWrapper)
        return rows_to_train(model, plan.config, modules)

    def put(self, model: nn.Module, adapter_name: str, name: str, found: TokenRows) -> None:
        """Put the part into the model, under the adapter's name."""
        train_rows(model, name, found.ids, adapter_name)

    def count(self, found: TokenRows) -> tuple[int, str]:
        """(numbers that it trains, what a report says of them)."""
        width = base_of(found.module).weight.shape[1]
        return len(found.ids) * width, f"{len(found.ids)} token rows"


def check_indices(config: LoraConfig) -> None:
    """Each entry of a dict is a list of token ids."""
    rows = config.trainable_token_indices
    for name, ids in rows.items() if isinstance(rows, dict) else ():
        if not isinstance(ids, list | tuple):
            raise ConfigError(
                f"trainable_token_indices[{name!r}] must be a list of token ids, and it is {ids!r}"
            )


PARTS["trainable_token_indices"] = Rows()
CONFIG_CHECKS["trainable_token_indices"] = check_indices
