"""An operation that is interrupted, wherever in the engine, leaves the model as it was."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lora_lessons as ll
from tests.parity.models import Mlp

ENGINE = str(Path(ll.__file__).parent / "lora")
X = torch.randn(3, 5, generator=torch.Generator().manual_seed(4))
FIELDS = {"r": 2, "target_modules": ["first", "second"], "init_lora_weights": False}
NOT_STATE = ("versions", "plans")  # counters of writes; reports


class Interrupt(BaseException):
    """What Ctrl-C raises, by a name of its own."""


@contextmanager
def interrupted_at(line: int):
    """Raise Interrupt when the engine comes to its `line`th line; yields how many it came to."""
    count = [0]

    def watch(frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ENGINE):
            return None
        if event == "line":
            count[0] += 1
            if count[0] == line:
                sys.settrace(None)
                raise Interrupt
        return watch

    sys.settrace(watch)
    try:
        yield count
    finally:
        sys.settrace(None)


def plain(value: Any) -> Any:
    """A value that can be compared: tensors by their bits."""
    if isinstance(value, torch.Tensor):
        bits = value.detach().flatten().view(torch.uint8) if value.numel() else value
        return (str(value.dtype), tuple(value.shape), value.requires_grad, bits.tolist())
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if key not in NOT_STATE}
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, nn.Module) or not hasattr(value, "__dict__"):
        return type(value).__name__
    return (type(value).__name__, plain(vars(value)))


def state_of(model: nn.Module) -> dict[str, Any]:
    """All that an operation could change: structure, values, flags, and what layers remember."""
    return {
        name: (
            id(module),
            {k: plain(v) for k, v in vars(module).items() if k not in NOT_STATE},
            {k: id(v) for k, v in vars(module)["_modules"].items()},
        )
        for name, module in model.named_modules()
    }


def base(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    model = Mlp().to(dtype)
    model.first.weight.requires_grad_(False)  # not all of it trained before
    return model


def with_two(dtype: torch.dtype = torch.float32, **fields: Any) -> ll.PeftModel:
    """A model with two adapters, "default" the active one."""
    model = ll.get_peft_model(base(dtype), ll.LoraConfig(**{**FIELDS, **fields}))
    model.add_adapter("other", ll.LoraConfig(**FIELDS))
    return model.eval()


def merged(model: ll.PeftModel, backup: str | None = "device") -> ll.PeftModel:
    model.base_model.merge_adapter(["default"], backup=backup)
    return model


def saved(folder: Path) -> Path:
    with_two().save_pretrained(folder)
    return folder


def full() -> ll.LoraConfig:
    """One config that uses all that a plan can hold."""
    return ll.LoraConfig(
        r=2,
        target_modules=["first"],
        modules_to_save=["second"],
        bias="all",
        use_dora=True,
    )


def pissa() -> ll.PeftModel:
    return with_two(init_lora_weights="pissa")


def half_way(model: ll.PeftModel) -> ll.PeftModel:
    model.base_model.disable_adapter_layers()
    return model


def disabled_for_a_while(model: ll.PeftModel) -> None:
    with model.disable_adapter():
        pass


DTYPES = [torch.float32, torch.bfloat16, torch.float16]
BACKUPS = ["device", "cpu", None]
# name -> (how the model is made, what is interrupted)
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any]]] = {
    **{
        f"merge-{backup}-{str(dtype)[6:]}": (
            lambda dtype=dtype: with_two(dtype),
            lambda m, backup=backup: m.base_model.merge_adapter(backup=backup),
        )
        for backup in BACKUPS
        for dtype in DTYPES
    },
    **{
        f"merge-second-{first}-{second}": (
            lambda first=first: merged(with_two(torch.bfloat16), first),
            lambda m, second=second: m.base_model.merge_adapter(["other"], backup=second),
        )
        for first in BACKUPS
        for second in BACKUPS
    },
    **{
        f"unmerge-{backup}": (
            lambda backup=backup: merged(with_two(torch.bfloat16), backup),
            lambda m: m.unmerge_adapter(),
        )
        for backup in BACKUPS
    },
    "merge-and-unload": (with_two, lambda m: m.merge_and_unload()),
    "merge-and-unload-safely": (with_two, lambda m: m.merge_and_unload(safe_merge=True)),
    "unload": (with_two, lambda m: m.unload()),
    "unload-merged": (lambda: merged(with_two()), lambda m: m.unload()),
    "unload-pissa": (pissa, lambda m: m.unload()),
    "set-adapter": (with_two, lambda m: m.set_adapter("other")),
    "set-adapter-merged": (lambda: merged(with_two()), lambda m: m.set_adapter("other")),
    "set-adapter-biases": (lambda: with_two(bias="all"), lambda m: m.set_adapter("other")),
    "set-adapter-pissa": (pissa, lambda m: m.set_adapter("other")),
    "delete": (with_two, lambda m: m.delete_adapter("default")),
    "delete-biases": (lambda: with_two(bias="all"), lambda m: m.delete_adapter("default")),
    "delete-pissa": (pissa, lambda m: m.delete_adapter("default")),
    "add": (with_two, lambda m: m.add_adapter("third", ll.LoraConfig(**FIELDS))),
    "add-all": (with_two, lambda m: m.add_adapter("third", full_on(m))),
    "add-pissa": (
        with_two,
        lambda m: m.add_adapter("third", ll.LoraConfig(**FIELDS | {"init_lora_weights": "pissa"})),
    ),
    "disable": (lambda: with_two(bias="all"), lambda m: m.base_model.disable_adapter_layers()),
    "enable": (
        lambda: half_way(with_two(bias="all")),
        lambda m: m.base_model.enable_adapter_layers(),
    ),
    "combine": (
        with_two,
        lambda m: m.base_model.add_weighted_adapter(["default", "other"], [1.0, 1.0], "third"),
    ),
    "first": (base, lambda m: ll.get_peft_model(m, full())),
    "inject": (base, lambda m: ll.inject_adapter_in_model(full(), m)),
}


def full_on(model: ll.PeftModel) -> ll.LoraConfig:
    """`full` for a model that has LoRA on both layers."""
    return ll.LoraConfig(r=2, target_modules=["first"], bias="all", use_dora=True)


def check_interruptions(make: Callable[[], nn.Module], act: Callable[[Any], Any]) -> None:
    """Interrupt `act` at lines all over what it runs in the engine."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with interrupted_at(-1) as lines:
            act(make())
        assert lines[0] > 10
        # Thirty lines, spread over all.
        wanted = range(1, lines[0] + 1, max(1, lines[0] // 30))
        model = make()
        before = state_of(model)
        for line in wanted:
            try:
                with interrupted_at(line):
                    act(model)
            except Interrupt:
                now = state_of(model)
                assert now == before, f"line {line} of {lines[0]}: {difference(before, now)}"
            else:
                model = make()
                before = state_of(model)


def difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first module that differs, and where."""
    for name in before.keys() | now.keys():
        if before.get(name) != now.get(name):
            if name not in before or name not in now:
                return f"{name!r} is new or gone"
            old, new = before[name][1], now[name][1]
            keys = [k for k in old.keys() | new.keys() if old.get(k) != new.get(k)]
            return f"{name!r}: {keys or 'its children'}"
    return "nothing"


@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_operation_leaves_the_model_as_it_was(name):
    check_interruptions(*CASES[name])


@pytest.mark.parametrize("adapter", ["default", "new"])
def test_an_interrupted_load_leaves_the_model_as_it_was(adapter, tmp_path):
    folder = saved(tmp_path)
    check_interruptions(with_two, lambda m: m.load_adapter(folder, adapter))


def test_an_interrupted_from_pretrained_leaves_the_base_as_it_was(tmp_path):
    folder = saved(tmp_path)
    check_interruptions(base, lambda m: ll.PeftModel.from_pretrained(m, folder))
