"""Writes docs/peft-parity.md: what agrees with the installed PEFT, and what PEFT does elsewhere.

Run `python -m tests.parity.table`. The page records what one named version does, and no test
compares that; `test_page.py` compares the rest with the tables here.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import peft
import torch
from torch import nn

from tests.parity import test_layers, test_quantized, test_weights
from tests.parity.layer_differences import LAYER_BEHAVIOUR
from tests.parity.models import Mlp
from tests.parity.other_differences import OTHER_BEHAVIOUR
from tests.parity.quantized_differences import QUANTIZED_BEHAVIOUR
from tests.parity.weight_differences import WEIGHT_BEHAVIOUR
from tests.parity.weight_models import CASES, FIELDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "peft-parity.md"
CHECKS = (
    test_layers.test_outputs_and_gradients,
    test_layers.test_files_go_both_ways,
    test_layers.test_merged_weights,
)


def agreement(layer: str, fields: str) -> str:
    """One cell: "yes", what differs, or a dash where one library has no such thing."""
    if (layer, fields) not in test_layers.CASES:
        return "-"
    checks = [c for c in CHECKS if layer != "grouped" or c is not test_layers.test_merged_weights]
    return what_fails(checks, layer, fields)


def what_fails(checks: Iterable[Callable], layer: str, fields: str) -> str:
    """ "yes", or the checks that fail."""
    failed = []
    for check in checks:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = (Path(folder),) if "files" in check.__name__ else ()
            try:
                check(layer, fields, *arguments)
            except Exception:
                failed.append(check.__name__.removeprefix("test_").replace("_", " "))
    return ", ".join(failed) or "yes"


def agreement_table() -> str:
    """Layers down, configs across."""
    columns = list(test_layers.FIELDS)
    lines = ["| layer | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for layer in test_layers.LAYERS:
        cells = " | ".join(agreement(layer, fields) for fields in columns)
        lines.append(f"| {layer} | {cells} |")
    return "\n".join(lines)


def weights_table() -> str:
    """The same for what goes through a weight."""
    checks = (
        test_weights.test_outputs_and_gradients,
        test_weights.test_files_go_both_ways,
        test_weights.test_merged_weights,
    )
    lines = ["| weights | " + " | ".join(FIELDS) + " |", "|---" * (len(FIELDS) + 1) + "|"]
    for case in CASES:
        cells = " | ".join(what_fails(checks, case, fields) for fields in FIELDS)
        lines.append(f"| {case} | {cells} |")
    return "\n".join(lines)


def quantized_table() -> str:
    """The same beside layers of few bits; a merge is refused there."""
    checks = (test_quantized.test_outputs_and_gradients, test_quantized.test_files_go_both_ways)
    columns = list(test_quantized.FIELDS)
    lines = ["| few bits | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for kind in test_quantized.THEIRS:
        cells = [
            what_fails(checks, kind, fields) if (kind, fields) in test_quantized.CASES else "-"
            for fields in columns
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


SMALL = {"r": 3, "lora_alpha": 7, "init_lora_weights": False}


def adapted(model: nn.Module | None = None, **fields) -> peft.PeftModel:
    given = {"target_modules": ["first", "second"], **SMALL, **fields}
    return peft.get_peft_model(model or Mlp(), peft.LoraConfig(**given))


def unmerging(dtype: torch.dtype) -> str:
    model = nn.Sequential(nn.Linear(512, 512)).to(dtype)
    before = model[0].weight.clone()
    model = adapted(model, target_modules=["0"], r=8)
    model.merge_adapter()
    model.unmerge_adapter()
    changed = (model.base_model.model[0].weight != before).float().mean()
    return f"{changed:.1%} of the weights differ after one cycle"


def biases_after_disabling() -> str:
    base = Mlp()
    before = base(torch.ones(1, 5))
    model = adapted(base, bias="all", target_modules=["first"])
    with torch.no_grad():
        base.head.bias.add_(1)  # as a training step would
    with model.disable_adapter():
        same = torch.equal(model(torch.ones(1, 5)), before)
    return "the base's output comes back" if same else "the trained biases stay in the output"


def outcome(function: Callable[[], str]) -> str:
    """What a call ends with: its sentence, or the error that it raises."""
    torch.manual_seed(0)  # the page is the same each time
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            sentence = function()
        except Exception as error:
            return f"{type(error).__name__}: {str(error).splitlines()[0][:90]}"
    return sentence + (" (with a warning)" if caught else " (no warning)")


def silent(**fields) -> Callable[[], str]:
    """A config with a mistake in it: accepted, or not."""

    def function() -> str:
        adapted(**fields)
        return "accepted"

    return function


def suffix_without_dot() -> str:
    base = Mlp()
    base.overhead = nn.Linear(3, 3)
    model = adapted(base, modules_to_save=["head"])
    return "trains overhead too" if hasattr(model.model.overhead, "modules_to_save") else "head"


def half_wrapped() -> str:
    base = Mlp()
    base.relu = nn.ReLU()
    with contextlib.suppress(ValueError):
        adapted(base, target_modules=["first", "relu"])
    return f"afterwards base.first is {type(base.first).__module__}.{type(base.first).__name__}"


def colliding_name() -> str:
    model = adapted()
    model.add_adapter("first", peft.LoraConfig(target_modules=["second"], **SMALL))
    return f"default is saved with {len(peft.get_peft_model_state_dict(model))} tensors of 4"


def changed_file(change: Callable[[dict], None]) -> Callable[[], str]:
    def function() -> str:
        tensors = peft.get_peft_model_state_dict(adapted())
        change(tensors)
        peft.set_peft_model_state_dict(adapted(), tensors)
        return "loads"

    return function


def weighted(kind: str, **fields) -> Callable[[], str]:
    def function() -> str:
        model = adapted(target_modules=["first"], **fields)
        config = peft.LoraConfig(target_modules=["first"], **{**SMALL, **fields})
        model.add_adapter("b", config)
        model.add_weighted_adapter(["default", "b"], [1.0, 1.0], "sum", combination_type=kind)
        layer = model.base_model.model.first
        exact = layer.get_delta_weight("default") + layer.get_delta_weight("b")
        error = (layer.get_delta_weight("sum") - exact).norm() / exact.norm()
        return f"relative error {error:.2g}"

    return function


def full_name_and_layers() -> str:
    layers = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(4, 4)}) for _ in range(2))
    model = nn.ModuleDict({"model": nn.ModuleDict({"layers": layers})})
    names = ["model.layers.0.lin", "model.layers.1.lin"]
    config = {"target_modules": names, "layers_to_transform": [1], "r": 2}
    return f"targets {adapted(model, **config).targeted_module_names}"


def layers_at_the_top() -> str:
    layers = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(4, 4)}) for _ in range(2))
    model = nn.ModuleDict({"layers": layers})
    adapted(model, target_modules=["lin"], layers_to_transform=[1])
    return "accepted"


def unknown_adapter() -> str:
    model = adapted()
    model.base_model.set_adapter("zzz")
    return "accepted, and no adapter is used"


def shared_weight() -> str:
    base = Mlp()
    base.third = nn.Linear(11, 7, bias=False)
    base.third.weight = base.second.weight
    untouched = base.third.weight.clone()
    adapted(base, target_modules=["second"]).merge_and_unload()
    changed = not torch.equal(base.third.weight, untouched)
    return "merging changes the other side too" if changed else "only the target changes"


def mutated_config() -> str:
    config = peft.LoraConfig(target_modules="all-linear", **SMALL)
    peft.get_peft_model(Mlp(), config)
    return f"the caller's target_modules is now {type(config.target_modules).__name__}"


def merged_by_another_name() -> str:
    model = adapted()
    with_adapter = model(torch.ones(1, 5))
    plain = model.merge_and_unload(adapter_names=["defualt"])
    lost = not torch.allclose(plain(torch.ones(1, 5)), with_adapter)
    return "accepted, and the update is lost" if lost else "accepted"


def trained_after_disabling() -> str:
    model = adapted(inference_mode=True)
    before = model.get_nb_trainable_parameters()[0]
    with model.disable_adapter():
        pass
    return f"{before} parameters train before, {model.get_nb_trainable_parameters()[0]} after"


def saved_after_unloading() -> str:
    model = adapted()
    model.merge_and_unload()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return f"a file of {len(peft.load_peft_weights(folder))} tensors"


def loaded_into_another_alpha() -> str:
    model = adapted(lora_alpha=28)
    with tempfile.TemporaryDirectory() as folder:
        adapted().save_pretrained(folder)
        model.load_adapter(folder, "default")
    return "loads, four times as strong"


def misspelt_argument() -> str:
    with tempfile.TemporaryDirectory() as folder:
        adapted().save_pretrained(folder)
        model = peft.PeftModel.from_pretrained(Mlp(), folder, is_trainble=True)
    return f"accepted, and {model.get_nb_trainable_parameters()[0]} parameters train"


def layers_that_are_not_there() -> str:
    layers = nn.ModuleList(nn.ModuleDict({"lin": nn.Linear(4, 4)}) for _ in range(2))
    model = nn.ModuleDict({"model": nn.ModuleDict({"layers": layers})})
    config = {"target_modules": ["lin"], "layers_to_transform": [0, 99], "r": 2}
    return f"targets {adapted(model, **config).targeted_module_names}"


def biases_in_a_mixed_batch() -> str:
    base, x = Mlp().eval(), torch.ones(1, 5)
    before = base(x)
    model = adapted(base, bias="all").eval()
    with torch.no_grad():
        model.base_model.model.first.base_layer.bias.add_(1.0)
    same = torch.equal(model(x, adapter_names=["__base__"]), before)
    return "the base's output" if same else "a row of the base has the adapter's biases"


BEHAVIOUR: list[tuple[str, Callable[[], str], str]] = [
    ("merge, then unmerge, float32", lambda: unmerging(torch.float32), "every bit comes back"),
    ("merge, then unmerge, bfloat16", lambda: unmerging(torch.bfloat16), "every bit comes back"),
    ("merge, then unmerge, float16", lambda: unmerging(torch.float16), "every bit comes back"),
    ('disable_adapter after training with bias="all"', biases_after_disabling, "the base's output"),
    (
        "a typo in target_modules",
        silent(target_modules=["first", "secnd"]),
        "an error, with the name",
    ),
    ("a typo in modules_to_save", silent(modules_to_save=["haed"]), "an error, with the name"),
    ("a typo in rank_pattern", silent(rank_pattern={"frist": 2}), "an error, with the name"),
    ('modules_to_save=["head"] beside overhead', suffix_without_dot, "head alone"),
    ("a target of an unsupported type", half_wrapped, "the model is as before"),
    ("an adapter named as a module", colliding_name, "refused"),
    ("an unexpected key in a file", changed_file(lambda t: t.update(x=torch.ones(1))), "an error"),
    (
        "a NaN in a file",
        changed_file(lambda t: next(iter(t.values())).fill_(torch.nan)),
        "an error",
    ),
    ("sum of two adapters: svd", weighted("svd"), "the best of its rank; its error is returned"),
    ("sum of two adapters: linear", weighted("linear"), "exact (1e-7)"),
    ("sum of two adapters: cat", weighted("cat"), "exact (1e-7)"),
    ("the same with rsLoRA: cat", weighted("cat", use_rslora=True), "exact (1e-7)"),
    ("full names with layers_to_transform=[1]", full_name_and_layers, "model.layers.1.lin alone"),
    (
        "layers_to_transform=[1], the list at the model's top",
        layers_at_the_top,
        "an error, with the layers_pattern that mends it",
    ),
    ("base_model.set_adapter of an unknown name", unknown_adapter, "an error, with the nearest"),
    ("merging a target whose weight is shared", shared_weight, "a warning, and merging is refused"),
    ("bias=None", silent(bias=None), "an error when the config is made"),
    ("lora_alpha=0", silent(lora_alpha=0), "an error when the config is made"),
    ("r above the layer's size", silent(r=50), "one warning"),
    ("the caller's config", mutated_config, "left as it was"),
    ("a typo in exclude_modules", silent(exclude_modules=["secnd"]), "an error, with the name"),
    ("layers_to_transform=[0, 99] of two", layers_that_are_not_there, "an error, with the number"),
    ("merging an adapter by a wrong name", merged_by_another_name, "an error, with the nearest"),
    ("saving after merge_and_unload", saved_after_unloading, "an error, and no file"),
    ("disable_adapter, adapter for inference", trained_after_disabling, "it stays frozen"),
    ("is_trainble=True, misspelt", misspelt_argument, "an error, with the right name"),
    ("a file into an adapter of another alpha", loaded_into_another_alpha, "a warning"),
    ('"__base__" beside bias="all" in a batch', biases_in_a_mixed_batch, "an error"),
]


def page() -> str:
    """The whole page."""
    behaviour = BEHAVIOUR + LAYER_BEHAVIOUR + OTHER_BEHAVIOUR + WEIGHT_BEHAVIOUR
    behaviour += QUANTIZED_BEHAVIOUR
    rows = "\n".join(f"| {name} | {outcome(f)} | {ours} |" for name, f, ours in behaviour)
    return f"""# LoRA Lessons and PEFT {peft.__version__}

Written by `python -m tests.parity.table`, with PEFT {peft.__version__} and torch
{torch.__version__}. It records what that version does. No test compares this with a later one, so a
new PEFT cannot break a build.

## What agrees

Both libraries get the same seed. "yes": the same weights, outputs (to 1e-6 in float32) and
gradients; files go both ways; merged weights are the same. A dash: one of them has no such thing.
Other words name the one check that fails: files do not hold the random start of pissa_niter_N.

{agreement_table()}

Where a model computes with a weight itself, LoRA goes through the weight: `target_parameters`,
and `nn.MultiheadAttention`. PEFT adds the update of an attention's output twice, and its files mean
that, so here it counts twice as well. Its gradient is twice PEFT's, which forgets the second time.
"patterns": another rank and another alpha for some of them.

{weights_table()}

Beside layers of few bits (bitsandbytes' nf4, fp4, int8; torchao's int8), on a CPU, outputs to 1e-5.
It takes the extra `quantized` to write this table and the rows below that name these libraries.

{quantized_table()}

## Where the two differ

| case | PEFT {peft.__version__} | here |
|---|---|---|
{rows}

Each entry of the last column is a test in `tests/lora/`, `tests/lora/more/` or `tests/app/`.

## What PEFT has and this library has not

CorDA, LoRA-GA, aLoRA, Arrow and the other methods; GPTQ, AWQ and other quantized layers than those
above; `PeftMixedModel`. Such a field in a config is refused by its name.

## Among other tools

- transformers' Trainer, trl, accelerate, Lightning, sentence-transformers and diffusers know a
  model by PEFT's classes. A model of transformers or diffusers that is wrapped here is of both
  classes, ours and PEFT's. A plain `nn.Module` is so only if `transformers.Trainer` was imported
  before it was wrapped: importing PEFT takes a second, which a model of one's own need not pay.
- trl's `peft_config=` takes PEFT's config alone, and with it PEFT's engine would train. Hand over
  `ll.get_peft_model(model, config)` in its place.
- A config is copied when it is handed over; PEFT keeps the caller's object and changes it.
- `fit` warns of adapters that no gradient reached in its first step, by name.

## What is here and not in PEFT

A fused qkv projection with ranks of its own for q, k and v is here and not in PEFT; its file is a
plain adapter of the summed rank, which PEFT loads. So is an `nn.MultiheadAttention` with a rank for
each of q, k, v and the output (`attention_parts`).
"""


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
