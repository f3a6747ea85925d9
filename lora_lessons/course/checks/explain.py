"""An error of the learner's code in plain words: what it says, where, and what it mostly means."""

from __future__ import annotations

import builtins
import difflib
import inspect
import re
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .exercise import Exercise

if TYPE_CHECKING:
    from .watch import Watch

NO_GRAD = (
    "A tensor that trains is written to: do that inside `with torch.no_grad():`, so that it is not "
    "recorded."
)
NONE = "Something is None here: a bias that is not there, or a function without `return`."
# type, pattern of the text, and what to say; \1, \2 are the pattern's groups
MEANINGS: tuple[tuple[type[BaseException], str, str], ...] = (
    (RuntimeError, r"leaf Variable that requires grad|view of a leaf", NO_GRAD),
    (RuntimeError, r"numpy\(\) on Tensor that requires grad", "Detach it first: x.detach()."),
    (RuntimeError, r"does not require grad and does not have a grad_fn",
     "Nothing was recorded, so there is no gradient: was it computed under no_grad, or detached?"),
    (RuntimeError, r"backward through the graph a second time",
     "A graph is used up by one backward: compute the loss anew."),
    (RuntimeError, r"mat1 and mat2 shapes cannot be multiplied \((\S+) and (\S+)\)",
     r"The inner sides of \1 and \2 differ: is a transpose, .T, missing or too much?"),
    (RuntimeError, r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
     r"Two shapes meet that do not fit, \1 against \2: print both .shape."),
    (RuntimeError, r"[Ss]ize mismatch|inconsistent tensor size|[Ee]xpected size|Sizes of tensors",
     "Two shapes meet that do not fit: print both .shape."),
    (RuntimeError, r"is invalid for input of size",
     "The new shape holds another number of elements than the tensor has."),
    (RuntimeError, r"(?:dtype, but got:?|scalar type) (\S+).*?(?:!=|and|found) (\S+)",
     r"Numbers of two dtypes meet, \1 and \2: give new tensors the dtype of what you are given, "
     "dtype=x.dtype."),
    (RuntimeError, r"on the same device",
     "Tensors lie on two devices: make new ones with device=x.device."),
    (RuntimeError, r"Boolean value of Tensor with more than one|ambiguous",
     "`if`, `and` and `not` need one True or False: use .any() or .all(), or & for each element."),
    (RuntimeError, r"cannot be converted to Scalar", "`.item()` is for a tensor of one number."),
    (ValueError, r"not enough values to unpack \(expected (?:at least )?(\d+), got (\d+)\)",
     r"Left of `=` are \1 names, and the right side has \2 values."),
    (ValueError, r"too many values to unpack \(expected (\d+)\)",
     r"Left of `=` are \1 names, and the right side has more values."),
    (ValueError, r"truth value of an array", "Use .any() or .all() of the array."),
    (TypeError, r"'NoneType' object is not|NoneType",
     NONE),
    (TypeError, r"object is not subscriptable|object is not iterable",
     "Print its type: it is not the list or tensor that this line takes it for."),
    (TypeError, r"'(\w+)' object is not callable",
     r"A value of type \1 is called like a function: is a sign missing before the bracket?"),
    (ZeroDivisionError, r"", "A divisor is zero for these inputs: look at the edges, such as empty "
     "ones."),
    (IndexError, r"", "It reaches past the end: indices go from 0 to len - 1. Look at short and "
     "empty inputs."),
    (OverflowError, r"", "A number became too large for a float: divide before you take the "
     "power."),
    (RecursionError, r"", "It calls itself without an end."),
    (NotImplementedError, r"missing the required", "Write the method forward(self, x)."),
    (NotImplementedError, r"not implemented for '(\w+)'",
     r"PyTorch has no such operation for \1: convert first, x.float()."),
)  # fmt: skip
OF_A_CALL = re.compile(r"([\w.<>]+)\(\) (?:takes|missing|got an unexpected|got multiple values)")


def is_a_stub(error: NotImplementedError) -> bool:
    """True for the stub's own error, False for one of PyTorch's."""
    return re.search(r"not implemented for|required \"forward\"|Could not run", str(error)) is None


def explain(error: BaseException, answer: Any, exercise: Exercise, watch: Watch) -> str:
    """The error, the learner's line, what it means, and what the call was given."""
    if said := _of_the_call(error, answer, exercise):
        return said
    where = _line(error, answer)
    name = type(error).__name__
    if not where and not _in_answer(error, answer):
        return (
            f"The check cannot use what your code returned, a value of type "
            f"{type(watch.returned).__name__} ({name}: {error})."
        )
    text = str(error).splitlines()[0].rstrip(".") if str(error) else ""
    said = f"Your code raised {name}{f': {text}' if text else ''}{where}."
    said = f"{said} {_meaning(error, answer)}".rstrip()
    given = [text for name, value in watch.given.items() if (text := shown(name, value))]
    return f"{said} It was given {', '.join(given)}." if given else said


def shown(name: str, value: Any) -> str:
    """An argument in short: a tensor by its shape, a layer by its sides, a number as it is."""
    if isinstance(value, Tensor):
        dtype = "" if value.dtype == torch.float32 else f" in {str(value.dtype)[6:]}"
        return f"{name} {tuple(value.shape)}{dtype}"
    if isinstance(value, nn.Linear):
        bias = "with" if value.bias is not None else "without"
        return f"{name} from {value.in_features} to {value.out_features}, {bias} a bias"
    if isinstance(value, bool | int | float | str | list | tuple) and len(repr(value)) <= 60:
        return f"{name} = {value!r}"
    return ""


def _of_the_call(error: BaseException, answer: Any, exercise: Exercise) -> str:
    """The sentence for an answer that cannot be called as the check calls it."""
    if not callable(answer):
        return (
            f"Hand in {exercise.name} itself, what you defined; got {type(answer).__name__}. "
            "(TypeError: it cannot be called)"
        )
    found = OF_A_CALL.match(str(error)) if isinstance(error, TypeError) else None
    if not found:
        return ""
    owner, _, called = found[1].rpartition(".")  # ("", "task") or ("task", "__init__")
    name = getattr(answer, "__name__", "")
    if isinstance(answer, type) and owner.rpartition(".")[2] == name and called != "__init__":
        return f"The method {called} cannot be called as it must be ({error}). (TypeError)"
    if name != (owner.rpartition(".")[2] if called == "__init__" else called):
        return ""
    if not exercise.takes:
        return f"The check calls {exercise.name} otherwise than it is written: {error}. (TypeError)"
    return (
        f"{exercise.name} is called with {', '.join(exercise.takes)}: keep these arguments, in "
        f"this order. (TypeError: {error})"
    )


def _meaning(error: BaseException, answer: Any) -> str:
    if isinstance(error, NameError | AttributeError | KeyError):
        return _nearest(error, answer)
    for kind, pattern, meaning in MEANINGS:
        found = re.search(pattern, str(error)) if isinstance(error, kind) else None
        if found:
            return found.expand(meaning)
    return ""


def _nearest(error: NameError | AttributeError | KeyError, answer: Any) -> str:
    """The nearest name to one that is not there."""
    if isinstance(error, KeyError):
        return "The dict has no such key: print its keys()."
    if isinstance(error, UnboundLocalError):
        name = (re.findall(r"'(\w+)'", str(error)) or ["A name"])[0]
        return f"`{name}` is used before it has a value on the way to this line."
    if "'NoneType' object" in str(error):
        return NONE
    name = getattr(error, "name", None)
    if not name:
        return ""
    if isinstance(error, NameError):
        known = [*_names_in(answer), *dir(builtins)]
    elif error.obj is None:
        return NONE
    else:
        known = [n for n in dir(getattr(error, "obj", None)) if not n.startswith("__")]
    near = difflib.get_close_matches(name, known, 1)
    if not near and isinstance(error, AttributeError):
        kind = type(error.obj).__name__
        return f"Not every input has `{name}`, a {kind} has none: ask what it is by isinstance()."
    return f"Did you mean `{near[0]}`?" if near else ""


def _names_in(answer: Any) -> list[str]:
    names: list[str] = []
    for function in _functions(answer):
        names += [*function.__code__.co_varnames, *function.__globals__]
    return [name for name in names if not name.startswith("_")]


def _functions(answer: Any) -> list[Callable[..., Any]]:
    """The functions that the answer is made of: itself, or the methods of a class."""
    answer = inspect.unwrap(answer) if callable(answer) else answer
    found = list(vars(answer).values()) if isinstance(answer, type) else [answer]
    return [f for f in found if hasattr(f, "__code__") and hasattr(f, "__globals__")]


def _frames(error: BaseException, answer: Any) -> list[traceback.FrameSummary]:
    files = {function.__code__.co_filename for function in _functions(answer)}
    return [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files]


def _line(error: BaseException, answer: Any) -> str:
    frames = _frames(error, answer)
    return f", at the line `{frames[-1].line}`" if frames and frames[-1].line else ""


def _in_answer(error: BaseException, answer: Any) -> bool:
    """True if the error arose below a call of the answer."""
    if _frames(error, answer):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return any(f.filename.endswith("watch.py") and f.name == "call" for f in frames)
