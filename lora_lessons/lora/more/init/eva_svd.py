"""EVA's components: the main directions of each layer's inputs, and which of them are worth a rank.

Paischer et al. 2024, section 3 and algorithm 1: an incremental decomposition of what goes into each
layer, batch by batch until the directions stand still, and then one budget of ranks for all layers,
which the directions share out by the variance that they explain.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import ConfigError, did_you_mean
from ...config import LoraConfig
from ...inject import layer_class_for, resolved, targetable_modules
from ...layer import LoraLayer
from ...matching import check_target_module_exists, get_pattern_key
from ...tuner import Wrapper
from .incremental_pca import IncrementalPCA

PASSES = 100  # over the data, after which directions that still move are an error
LayerInputs = Callable[[Any, Any, str], Tensor]
LayersInputs = LayerInputs | Mapping[str, LayerInputs] | None  # one for all, or one for each
ModelInputs = Callable[[Any, LoraConfig], Any] | None


def forward_fn_dict(model: nn.Module, inputs: Mapping[str, Any]) -> Any:
    """Call the model with a batch that is a dict of its arguments."""
    return model(**inputs)


def prepare_model_inputs_fn_language_modeling(inputs: Any, config: LoraConfig) -> Tensor:
    """The places (n, 2) of a batch's tokens that count: no padding, and labelled if asked."""
    if not isinstance(inputs, Mapping):
        raise TypeError(
            "When using `prepare_model_inputs_fn_language_modeling` inputs must be a dictionary: "
            "for other batches give `forward_fn`, and None or your own for the two `prepare_` ones"
        )
    mask = inputs.get("attention_mask", torch.ones_like(inputs["input_ids"])).bool()
    settings: Any = config.eva_config
    if settings.use_label_mask and "labels" in inputs:
        mask = mask & (inputs["labels"] != settings.label_mask_value)
    return mask.nonzero()


def prepare_layer_inputs_fn_language_modeling(
    layer_input: Any, model_input: Tensor, layer_name: str
) -> Tensor:
    """The rows (n, features) of a layer's input (batch, tokens, features) at those places."""
    first: Tensor = _first(layer_input, layer_name)
    return first[model_input.T.unbind()]


def all_rows(layer_input: Any, model_input: Any, layer_name: str) -> Tensor:
    """A layer's input (..., features) as rows (n, features)."""
    first = _first(layer_input, layer_name)
    return first.reshape(-1, first.shape[-1])


def _first(layer_input: Any, layer_name: str) -> Tensor:
    first = layer_input[0] if isinstance(layer_input, tuple | list) else layer_input
    if not isinstance(first, Tensor):
        raise TypeError(
            f"the input of {layer_name} is a {type(first).__name__}: give prepare_layer_inputs_fn"
        )
    return first


class Watch:
    """The components of what goes into one layer, and which of them stand still."""

    def __init__(self, name: str, module: nn.Module, k: int, tau: float, rows: LayerInputs) -> None:
        self.name, self.module, self.k, self.tau, self.rows = name, module, k, tau, rows
        self.pca = IncrementalPCA(k)
        self.still = torch.zeros(k, dtype=torch.bool)
        self.model_input: Any = None
        self.handle: Any = None
        self.digest, self.comparing, self.most_rows = "", True, 0

    def listen(self, on: bool) -> None:
        """Look at the layer's inputs from now on, or no longer."""
        if on and self.handle is None:
            self.handle = self.module.register_forward_pre_hook(self)
        elif not on and self.handle is not None:
            self.handle.remove()
            self.handle = None

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Take one batch's inputs in. Too few rows for the components are passed over."""
        rows = self.rows(inputs, self.model_input, self.name).detach()
        if self.comparing:
            data = rows.cpu().contiguous().view(torch.uint8).numpy().tobytes()
            self.digest = self.digest or hashlib.blake2b(data).hexdigest()
            return
        if not rows.isfinite().all():
            raise ValueError(f"the input of {self.name} is not finite")
        self.most_rows = max(self.most_rows, len(rows))
        if len(rows) < self.k:
            return
        old = getattr(self.pca, "components", None)
        self.pca.update(rows.float())
        if old is not None:
            values = self.pca.singular_values
            alike = torch.cosine_similarity(self.pca.components, old) >= self.tau
            nothing = values <= values[0] * 1e-6  # a direction without variance is any direction
            self.still = (alike | nothing).cpu()


@torch.no_grad()
def get_eva_state_dict(
    model: nn.Module,
    dataloader: Iterable[Any],
    peft_config: LoraConfig | None = None,
    forward_fn: Callable[[nn.Module, Any], Any] = forward_fn_dict,
    prepare_model_inputs_fn: ModelInputs = prepare_model_inputs_fn_language_modeling,
    prepare_layer_inputs_fn: LayersInputs = prepare_layer_inputs_fn_language_modeling,
    adapter_name: str = "default",
    gather_distributed_inputs: bool = True,
    show_progress_bar: bool = True,
) -> dict[str, Tensor]:
    """The components (rank, in) that each targeted linear layer is to start from, by its name.

    `model` has adapters, which are switched off meanwhile, or is the base, beside a `peft_config`.
    The data are gone over until the directions stand still. Layers with the same input share the
    work. The defaults are for language models; for others give `forward_fn(model, batch)`, and None
    for both `prepare_` functions.

    Raises ValueError for data that are empty or end too early, batches of fewer rows than a layer's
    components, inputs that are not finite, and directions that never stand still; the model has its
    mode and its hooks back.
    """
    if gather_distributed_inputs:
        _refuse_several_processes()
    config, layers = _targets(model, peft_config, adapter_name)
    if config.eva_config is None:
        raise ConfigError('the config has no eva_config: make it with init_lora_weights="eva"')
    watches = _watches(layers, config, prepare_layer_inputs_fn)
    adapted: Any = model
    off = adapted.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()
    was_training = model.training
    run = _Run(model, config, forward_fn, prepare_model_inputs_fn)
    try:
        with off:
            model.eval()
            return _components(run, watches, dataloader, show_progress_bar)
    finally:
        for watch in watches.values():
            watch.listen(False)
        model.train(was_training)


def _refuse_several_processes() -> None:
    """Raise where the inputs would have to be gathered from other processes."""
    if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
        raise ValueError(
            "the inputs of several processes are not gathered: get the components in one of them, "
            "with gather_distributed_inputs=False, and give them to the others as `eva_state_dict`"
        )


def _targets(
    model: nn.Module, config: LoraConfig | None, adapter_name: str
) -> tuple[LoraConfig, dict[str, nn.Module]]:
    """The config, and the linear layers that it targets, by the names in this model."""
    if isinstance(model, Wrapper):
        if adapter_name not in model.peft_config:
            hint = did_you_mean(adapter_name, model.peft_config)
            raise ValueError(f"Adapter {adapter_name} not found.{hint}")
        chosen = config or model.peft_config[adapter_name]
        found: dict[str, nn.Module] = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, LoraLayer)
            and module.is_linear
            and module.has_adapter(adapter_name)
        }
    else:
        if config is None:
            raise ValueError("peft_config is required if model is not a PeftModel")
        chosen = resolved(config, model)
        found = {
            name: module
            for name, module in targetable_modules(model)
            if check_target_module_exists(chosen, name)
            and getattr(layer_class_for(module, chosen), "is_linear", False)
        }
    if not found:
        raise ValueError("no linear layer is targeted: EVA is for linear layers")
    return chosen, found


def rank_of(config: LoraConfig, name: str) -> int:
    """The rank that a config gives the module of this name."""
    ranks = config.rank_pattern
    return ranks.get(get_pattern_key(ranks, name), config.r)


def _watches(layers: dict[str, nn.Module], config: LoraConfig, rows: Any) -> dict[str, Watch]:
    """A watch for each layer, with rho times its rank as components, at most its inputs' number."""
    of_layer = dict(rows) if isinstance(rows, Mapping) else {}
    if unknown := of_layer.keys() - layers.keys():
        name = min(unknown)
        raise ValueError(f"prepare_layer_inputs_fn: no layer {name!r}.{did_you_mean(name, layers)}")
    every = all_rows if rows is None or isinstance(rows, Mapping) else rows
    settings: Any = config.eva_config
    return {
        name: Watch(
            name,
            module,
            min(round(rank_of(config, name) * settings.rho), features(module)),
            settings.tau,
            of_layer.get(name, every),
        )
        for name, module in layers.items()
    }


def features(module: nn.Module) -> int:
    """How many numbers a linear layer's input has."""
    if isinstance(module, LoraLayer | nn.Linear):
        return int(module.in_features)
    weight: Any = module.weight  # transformers' Conv1D has (in, out)
    return len(weight)


class _Run:
    """How a batch goes through the model."""

    def __init__(self, model: nn.Module, config: LoraConfig, forward: Any, prepare: Any) -> None:
        self.model, self.config, self.forward, self.prepare = model, config, forward, prepare
        places = (p.device for p in model.parameters() if not p.is_meta)
        self.device = next(places, torch.device("cpu"))

    def batch(self, inputs: Any, watches: Iterable[Watch]) -> None:
        """Send one batch through; the watches that listen take it in."""
        inputs = _moved(inputs, self.device)
        about = inputs if self.prepare is None else self.prepare(inputs, self.config)
        for watch in watches:
            watch.model_input = about
        self.forward(self.model, inputs)


def _moved(value: Any, device: torch.device) -> Any:
    if hasattr(value, "to"):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: _moved(each, device) for key, each in value.items()}
    return type(value)(_moved(each, device) for each in value) if _is_list(value) else value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _components(
    run: _Run, watches: dict[str, Watch], data: Iterable[Any], show_progress: bool
) -> dict[str, Tensor]:
    """Go over the data until all directions that are worth a rank stand still."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    leader = _leaders(run, watches, data)
    leaders = {name: watch for name, watch in watches.items() if leader[name] == name}
    most = {name: watches[leader[name]].k for name in watches}
    wanted = {name: rank_of(run.config, name) for name in watches}
    ranks = dict(most)
    with tqdm(desc="EVA", unit="batch", leave=False, disable=not show_progress) as bar:
        for batch in _again_and_again(data, leaders):
            moving = [w for name, w in leaders.items() if not w.still[: ranks[name]].all()]
            if not moving:
                break
            for watch in leaders.values():
                watch.listen(watch in moving)
            run.batch(batch, leaders.values())
            if all(hasattr(watch.pca, "components") for watch in leaders.values()):
                ranks = shared_out(sum(wanted.values()), most, leader, leaders)
            bar.set_postfix_str(f"{len(leaders) - len(moving)}/{len(leaders)} layers stand still")
            bar.update()
    settings: Any = run.config.eva_config
    result = {}
    for name, rank in ranks.items():
        pca = leaders[leader[name]].pca
        scale = pca.singular_values[:rank, None].sqrt() if settings.whiten else 1
        result[name] = pca.components[:rank] / scale
    return result


def _leaders(run: _Run, watches: dict[str, Watch], data: Iterable[Any]) -> dict[str, str]:
    """By layer: the first layer that has the same input, as the first batch shows it."""
    nothing = object()
    first = next(iter(data), nothing)
    if first is nothing:
        raise ValueError("dataloader is empty")
    for watch in watches.values():
        watch.listen(True)
    run.batch(first, watches.values())
    by_digest: dict[str, str] = {}
    leader = {}
    for name, watch in watches.items():
        watch.listen(False)
        watch.comparing = False
        if not watch.digest:
            raise ValueError(f"the first batch does not go through {name}")
        leader[name] = by_digest.setdefault(watch.digest, name)
    for name, watch in watches.items():  # whoever needs most components says how many
        first_watch = watches[leader[name]]
        if watch.k > first_watch.k:
            watches[leader[name]] = Watch(
                leader[name], first_watch.module, watch.k, watch.tau, first_watch.rows
            )
            watches[leader[name]].comparing = False
    return leader


def _again_and_again(data: Iterable[Any], leaders: dict[str, Watch]) -> Any:
    """The batches, over and over; raises where another pass cannot help."""
    for count in range(PASSES):
        before = count
        for batch in data:
            before = -1
            yield batch
        if before >= 0:
            raise ValueError("the data ended early: give a DataLoader or a list, not an iterator")
        for name, watch in leaders.items():
            if not hasattr(watch.pca, "components"):
                raise ValueError(
                    f"{name} needs {watch.k} components, and no batch has more than "
                    f"{watch.most_rows} rows for it: use larger batches, or a smaller r or rho"
                )
    moving = [name for name, watch in leaders.items() if not watch.still.all()]
    raise ValueError(
        f"after {PASSES} passes the directions of {', '.join(moving[:4])} still move: use larger "
        "batches, or a smaller tau"
    )


def shared_out(
    budget: int, most: dict[str, int], leader: dict[str, str], leaders: dict[str, Watch]
) -> dict[str, int]:
    """Each layer's rank: the budget goes to the directions of the largest share of variance.

    Of layers with one input the first has the largest rank, since its components are the ones that
    were waited for.
    """
    order = [*leaders, *(name for name in leader if name not in leaders)]
    shares = {name: leaders[leader[name]].pca.variance_ratio[: most[name]].cpu() for name in order}
    owners = [name for name in order for _ in shares[name]]
    best = torch.cat([shares[name] for name in order]).argsort(descending=True)[:budget]
    counts = Counter(owners[place] for place in best.tolist())
    ranks = {name: counts.get(name, 0) for name in order}
    for name in order:
        first = leader[name]
        if ranks[first] < ranks[name]:
            ranks[first], ranks[name] = ranks[name], ranks[first]
    return ranks
