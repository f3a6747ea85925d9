"""The guards of all checks: arguments, the world, the gradient, the dtype. One spoils no other."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lora_lessons.course.checks.core import NOT_ATTEMPTED, RIGHT, WRONG, Exercise, expect, run_check

HINTS = ("a", "b", "c")


def exercise(check, takes, **contract) -> Exercise:
    return Exercise("task", "9.9 A task", 1, 1, HINTS, check, takes=takes, **contract)


def check_double(answer, rng):
    x, items = torch.randn(3, generator=rng), [1, 2]
    expect(answer(x, items, {"a": x.clone()}), 2 * x.double())


DOUBLE = exercise(check_double, ("x", "items", "table"))


def right(x, items, table):
    return 2 * x


def model() -> nn.Module:
    parts = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)))
    parts.config = SimpleNamespace(tie=True)
    parts.branch_on = True
    return parts


def check_model(answer, rng):
    expect(answer(model()), torch.tensor(24.0, dtype=torch.float64))


MODEL = exercise(check_model, ("model",))


def count(model):
    return sum(p.numel() for p in model.parameters()) + 6


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda x, items, table: x.mul_(2), "changes `x` itself"),
        (lambda x, items, table: x.data.mul_(2), "changes `x` itself"),
        (lambda x, items, table: x.add_(torch.ones(3).requires_grad_()), "changes `x` itself"),
        (lambda x, items, table: x.requires_grad_(), "`x.requires_grad` is True"),
        (lambda x, items, table: items.sort(reverse=True), "the list `items` itself"),
        (lambda x, items, table: table.pop("a"), "the dict `table` itself"),
        (lambda x, items, table: table["a"].zero_(), "changes `table['a']` itself"),
        (lambda x, items, table: x.requires_grad_().sum().backward(), "`x.requires_grad`"),
    ],
)
def test_an_argument_that_was_changed_is_named(change, says):
    def answer(x, items, table):
        result = 2 * x.detach().clone()
        change(x, items, table)
        return result

    verdict = run_check(DOUBLE, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert run_check(DOUBLE, right).outcome == RIGHT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.eval(), "`model` is left in eval mode"),
        (lambda m: m[1][0].eval(), "`model.1.0` is left in eval mode"),
        (lambda m: m[0].weight.requires_grad_(False), "`model.0.weight.requires_grad` is False"),
        (lambda m: setattr(m[0], "weight", nn.Parameter(m[0].weight.detach().clone())),
         "`model.0.weight` is another object"),
        (lambda m: m[0].weight.data.zero_(), "changes `model.0.weight` itself"),
        (lambda m: m[1][1].running_mean.add_(1), "changes `model.1.1.running_mean` itself"),
        (lambda m: m[1][0].register_forward_hook(print), "A hook is left on `model.1.0`"),
        (lambda m: m[0].bias.register_hook(print), "A hook is left on `model.0.bias`"),
        (lambda m: m.add_module("new", nn.ReLU()), "`model.new` is another object"),
        (lambda m: setattr(m, "branch_on", False), "`model.branch_on` is False"),
        (lambda m: setattr(m[1], "done", True), "`model.1.done` is True"),
        (lambda m: setattr(m[1], "modes", [True]), "`model.1.modes` is new"),
        (lambda m: setattr(m.config, "tie", False), "`model.config.tie` is False"),
        (lambda m: m[0](torch.ones(3)).sum().backward(), "changes `model.0.weight.grad`"),
    ],
)  # fmt: skip
def test_a_model_that_was_changed_is_named_and_put_back(change, says):
    shared = model()
    before = [p.clone() for p in shared.parameters()]

    def check(answer, rng):
        expect(answer(shared), torch.tensor(24.0, dtype=torch.float64))

    def answer(model):
        change(model)
        return 24

    sharing = exercise(check, ("model",))
    verdict = run_check(sharing, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert run_check(sharing, lambda model: 24).outcome == RIGHT
    assert all(part.training for part in shared.modules())
    now = list(shared.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))
    assert all(p.requires_grad and p.grad is None for p in now)
    assert not hasattr(shared[1], "modes")
    assert shared.branch_on and shared.config.tie and len(shared) == 2
    assert not shared[1][0]._forward_hooks and not shared[0].bias._backward_hooks


@pytest.mark.parametrize(
    ("mutates", "outcome"),
    [((), WRONG), (("model",), RIGHT), (("model.training",), RIGHT), (("model.values",), WRONG)],
)
def test_an_exercise_says_what_may_change(mutates, outcome):
    changing = exercise(check_model, ("model",), mutates=mutates)
    assert run_check(changing, lambda model: 24 + 0 * len(model.eval())).outcome == outcome


def test_what_may_change_must_be_an_argument():
    with pytest.raises(ValueError, match="modle"):
        exercise(check_model, ("model",), mutates=("modle.training",))


def test_a_class_must_leave_what_it_was_made_from():
    def check(answer, rng):
        layer = answer(nn.Linear(3, 2))
        layer(torch.randn(4, 3, generator=rng))

    class Writes(nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.linear = linear

        def forward(self, x):
            self.linear.bias.data.add_(1)
            return self.linear(x)

    assert "changes `linear.bias` itself" in run_check(exercise(check, ("linear",)), Writes).message


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        (lambda: torch.set_grad_enabled(False), "recording of gradients is off"),
        (lambda: torch.set_default_dtype(torch.float64), "default dtype is torch.float64"),
        (lambda: torch.set_autocast_enabled("cpu", True), "autocast is on"),
        (lambda: sys.setrecursionlimit(50_000), "limit of recursion"),
        (lambda: setattr(F, "linear", F.bilinear), "replaces torch.nn.functional.linear"),
        (lambda: setattr(torch, "zeros", torch.ones), "replaces torch.zeros"),
        (lambda: setattr(torch.Tensor, "double", torch.Tensor.float), "replaces Tensor.double"),
        (lambda: setattr(nn.Module, "__call__", print), "replaces Module.__call__"),
        (lambda: setattr(nn.Linear, "forward", lambda self, x: x), "replaces Linear.forward"),
        (lambda: setattr(math, "sqrt", math.exp), "replaces math.sqrt"),
        (lambda: nn.modules.module.register_module_forward_hook(print), "hook on all modules"),
    ],
)
def test_a_world_that_was_changed_is_named_and_put_back(leave, says):
    def answer(x, items, table):
        leave()
        return 2 * x

    def linear(answer, rng):
        x = torch.randn(4, 3, generator=rng)
        layer = nn.Linear(3, 2)
        W, b = layer.weight.double(), layer.bias.double()
        expect(answer(x, layer), x.double() @ W.T + b, k=3)

    verdict = run_check(DOUBLE, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert run_check(exercise(linear, ("x", "layer")), lambda x, layer: layer(x)).outcome == RIGHT
    assert run_check(DOUBLE, right).outcome == RIGHT
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_a_world_changed_before_an_error_is_put_back_too():
    def answer(x, items, table):
        torch.set_grad_enabled(False)
        raise KeyError("no")

    assert "KeyError" in run_check(DOUBLE, answer).message
    assert torch.is_grad_enabled()


def test_a_check_changes_no_later_draw_and_repeats_its_own():
    def noise(x, items, table):
        return torch.rand(3)

    torch.manual_seed(1)
    wanted = torch.rand(4)
    torch.manual_seed(1)
    first, second = (run_check(DOUBLE, noise, seed=5).message for _ in range(2))
    assert torch.equal(torch.rand(4), wanted)
    assert first == second


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda x, items, table: (2 * x).detach(), "no gradient flows back to `x`"),
        (torch.no_grad()(lambda x, items, table: 2 * x), "no gradient flows back to `x`"),
        (lambda x, items, table: 2 * x.detach() + 0 * nn.Parameter(torch.ones(3)),
         "no gradient flows back to `x`: is it"),
        (lambda x, items, table: 2 * x + torch.zeros(3, dtype=torch.float64), "torch.float64"),
        (lambda x, items, table: (2 * x).float(), "torch.float32"),
        (lambda x, items, table: (x[None] @ (2 * torch.eye(3)))[0], "fails for numbers in"),
    ],
)  # fmt: skip
def test_the_gradient_flows_and_the_dtype_holds_where_it_is_promised(answer, says):
    promising = exercise(
        check_double, ("x", "items", "table"), differentiable=("x",), dtype="input"
    )
    assert run_check(DOUBLE, answer).outcome == RIGHT
    verdict = run_check(promising, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert run_check(promising, right).outcome == RIGHT


def peeks(x, items, table):
    return sys._getframe(4).f_locals["x"] * 2


def starts_a_thread(x, items, table):
    threading.Thread(target=print).start()
    return 2 * x


def drops_the_profiler(x, items, table):
    sys.setprofile(None)
    return 2 * x


def swallows(x, items, table):
    from lora_lessons.lora.more.low_rank import truncate

    with contextlib.suppress(BaseException):
        truncate(torch.ones(3, 3), 1)
    return 2 * x


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (peeks, "frames of the check"),
        (starts_a_thread, "starts a thread"),
        (drops_the_profiler, "replaces the profiler"),
        (swallows, "Write it yourself"),
    ],
)
def test_an_answer_cannot_leave_the_guard(answer, says):
    verdict = run_check(DOUBLE, answer)
    assert verdict.outcome == WRONG
    assert says in verdict.message
    assert sys.getprofile() is None
    assert run_check(DOUBLE, right).outcome == RIGHT


@pytest.mark.filterwarnings("ignore:careful")
def test_what_an_answer_prints_comes_after_and_a_warning_costs_nothing(capsys):
    def answer(x, items, table):
        print("seen", len(items))
        print("to stderr", file=sys.stderr)
        warnings.warn("careful", stacklevel=1)
        return 2 * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run_check(DOUBLE, answer).outcome == RIGHT
    said = capsys.readouterr()
    assert "seen 2" in said.out and "to stderr" in said.out
    assert said.err == ""


def test_only_the_stub_is_not_attempted():
    assert run_check(DOUBLE, lambda x, items, table: x.svd_no()).outcome == WRONG

    class Blank(nn.Module):
        def __init__(self, linear):
            super().__init__()

    def check(answer, rng):
        answer(nn.Linear(3, 2))(torch.ones(3))

    verdict = run_check(exercise(check, ("linear",)), Blank)
    assert verdict.outcome == WRONG
    assert "forward" in verdict.message

    def stub(x, items, table):
        raise NotImplementedError("Your turn: replace this line.")

    assert run_check(DOUBLE, stub).outcome == NOT_ATTEMPTED
