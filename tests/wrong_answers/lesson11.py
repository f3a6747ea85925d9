"""Wrong answers that learners really give in lesson 11, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers

_STATES = "def state_bytes(frozen, trained, weight, grad):\n    return "

_KEPT = """
def kept_for_backward(layer, x):
    own = {t.untyped_storage().data_ptr() for t in [*layer.parameters(), *layer.buffers()]}
    seen = []
    def pack(t):
        seen.append(t)
        return t
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = layer(x)
    other = [t for t in seen if t.untyped_storage().data_ptr() not in own]
    size = lambda t: t.numel() * t.element_size()
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in other}
    return """

_LOGITS = """
def logits_bytes(batch, length, hidden, vocab, copies, at_once):
    rows = batch * length
    each = sum(copies)
    piece = rows if at_once is None else min(at_once, rows)
    kept = 0 if at_once is None else rows * hidden * 2
    return """

_MEDIAN = """
import statistics, time
def median_ms(step, sync, n, warm, clock=time.perf_counter):
"""
_WARM = "    for _ in range(warm):\n        step()\n"
_TIMED = """    times = []
    for _ in range(n):
        sync()
        start = clock()
        step()
        sync()
        times.append(clock() - start)
"""


def _median(body: str) -> str:
    return _MEDIAN + body


def _timed(result: str, warm: str = _WARM, timed: str = _TIMED) -> str:
    return _MEDIAN + warm + timed + f"    return {result}\n"


_MIDDLE = "1e3 * statistics.median(times)"

WRONG = {
    "state_bytes": [
        WrongAnswer(
            "everything trains",
            _STATES + "(frozen + trained) * (weight + grad + 8)\n",
            "no gradient and no moments",
        ),
        WrongAnswer(
            "gradients for W",
            _STATES + "(frozen + trained) * (weight + grad) + trained * 8\n",
            "requires_grad is False",
        ),
        WrongAnswer(
            "moments for W",
            _STATES + "(frozen + trained) * (weight + 8) + trained * grad\n",
            "the optimizer never sees them",
        ),
        WrongAnswer(
            "one moment",
            _STATES + "(frozen + trained) * weight + trained * (grad + 4)\n",
            "two moments for each number",
        ),
        WrongAnswer(
            "no moments",
            _STATES + "(frozen + trained) * weight + trained * grad\n",
            "which this leaves out",
        ),
        WrongAnswer(
            "moments of the weight's size",
            _STATES + "(frozen + trained) * weight + trained * (grad + 2 * weight)\n",
            "whatever the weights are",
        ),
        WrongAnswer(
            "moments of the gradient's size",
            _STATES + "(frozen + trained) * weight + trained * 3 * grad\n",
            "whatever the gradients are",
        ),
        WrongAnswer(
            "moments of 8 bytes each",
            _STATES + "(frozen + trained) * weight + trained * (grad + 16)\n",
            "this has two of float64",
        ),
        WrongAnswer(
            "frozen weights forgotten",
            _STATES + "trained * (weight + grad + 8)\n",
            "the forward pass needs them",
        ),
        WrongAnswer(
            "trained weights forgotten",
            _STATES + "frozen * weight + trained * (grad + 8)\n",
            "beside the frozen ones",
        ),
        WrongAnswer(
            "gradients forgotten",
            _STATES + "(frozen + trained) * weight + trained * 8\n",
            "The gradients are missing",
        ),
        WrongAnswer(
            "GiB", _STATES + "((frozen + trained) * weight + trained * (grad + 8)) / 2**30\n", "GiB"
        ),
        WrongAnswer(
            "GB", _STATES + "((frozen + trained) * weight + trained * (grad + 8)) / 1e9\n", "GB"
        ),
        WrongAnswer(
            "bits", _STATES + "8 * ((frozen + trained) * weight + trained * (grad + 8))\n", "bits"
        ),
        WrongAnswer(
            "half a byte rounded away",
            _STATES + "(frozen + trained) * int(weight) + trained * (grad + 8)\n",
            "round the product",
        ),
        WrongAnswer(
            "4 bytes for every weight",
            _STATES + "(frozen + trained) * 4 + trained * (grad + 8)\n",
            "frozen ones too",
        ),
        WrongAnswer(
            "a text", _STATES + "f'{(frozen + trained) * weight} bytes'\n", "Return a number"
        ),
    ],
    "kept_for_backward": [
        WrongAnswer("every tensor counted", _KEPT + "sum(size(t) for t in other)\n", "more than"),
        WrongAnswer(
            "every tensor's storage counted",
            _KEPT + "sum(t.untyped_storage().nbytes() for t in other)\n",
            "more than once",
        ),
        WrongAnswer(
            "by the tensor's own pointer",
            _KEPT + "sum({t.data_ptr(): size(t) for t in other}.values())\n",
            "ask tensor.untyped_storage()",
        ),
        WrongAnswer(
            "one view of each storage",
            _KEPT + "sum({t.untyped_storage().data_ptr(): size(t) for t in other}.values())\n",
            "take the whole storage's",
        ),
        WrongAnswer(
            "with the weights",
            _KEPT + "sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() "
            "for t in seen}.values())\n",
            "own weights are counted",
        ),
        WrongAnswer(
            "with the buffers",
            _KEPT + "sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() "
            "for t in seen if t.untyped_storage().data_ptr() not in "
            "{p.untyped_storage().data_ptr() for p in layer.parameters()}}.values())\n",
            "A buffer of the layer",
        ),
        WrongAnswer(
            "x left out",
            _KEPT + "sum(n for p, n in storages.items() if p != x.untyped_storage().data_ptr())\n",
            "x is left out",
        ),
        WrongAnswer(
            "x alone",
            _KEPT + "storages.get(x.untyped_storage().data_ptr(), 0)\n",
            "Only x is counted",
        ),
        WrongAnswer(
            "LoRA keeps its input, always",
            "def kept_for_backward(layer, x):\n    layer(x)\n    return x.numel() * 4\n",
            "a LoRA layer",
        ),
        WrongAnswer(
            "the result's bytes",
            "def kept_for_backward(layer, x):\n    out = layer(x)\n"
            "    return out.numel() * out.element_size()\n",
            "This is the result",
        ),
        WrongAnswer(
            "nothing", "def kept_for_backward(layer, x):\n    layer(x)\n    return 0\n", "No"
        ),
        WrongAnswer(
            "numbers",
            _KEPT + "sum({t.untyped_storage().data_ptr(): t.numel() for t in other}.values())\n",
            "These are numbers",
        ),
        WrongAnswer(
            "float32 taken for granted",
            _KEPT + "sum(n // t.element_size() * 4 for t, n in "
            "{t.untyped_storage().data_ptr(): (t, t.untyped_storage().nbytes()) for t in other}"
            ".values())\n",
            "taken for 4 bytes",
        ),
        WrongAnswer(
            "the parameters",
            "def kept_for_backward(layer, x):\n    layer(x)\n"
            "    return sum(p.numel() * p.element_size() for p in layer.parameters())\n",
            "the layer's parameters",
        ),
        WrongAnswer(
            "x made to require a gradient",
            _KEPT.replace("        out = layer(x)", "        out = layer(x.requires_grad_())")
            + "sum(storages.values())\n",
            "x",
        ),
        WrongAnswer(
            "the layer is not run",
            "def kept_for_backward(layer, x):\n    return x.numel() * x.element_size()\n",
            "Run layer(x)",
        ),
        WrongAnswer(
            "a backward pass that leaves gradients",
            _KEPT.replace("        out = layer(x)\n", "        out = layer(x)\n")
            + "(out.sum().backward() if out.requires_grad else None, sum(storages.values()))[1]\n",
            "grad",
        ),
        WrongAnswer(
            "without gradients",
            _KEPT.replace(
                "        out = layer(x)\n",
                "        with torch.no_grad():\n            out = layer(x)\n",
            )
            + "sum(storages.values())\n",
            "Nothing is counted",
        ),
    ],
    "logits_bytes": [
        WrongAnswer(
            "T - 1", _LOGITS + "batch * (length - 1) * vocab * each + kept\n", "T and not T - 1"
        ),
        WrongAnswer(
            "hidden for vocab",
            _LOGITS + "piece * hidden * each + kept\n",
            "not for each hidden one",
        ),
        WrongAnswer("the head", _LOGITS + "vocab * hidden * each\n", "which is no logits"),
        WrongAnswer("no length", _LOGITS + "batch * vocab * each + kept\n", "`length` is missing"),
        WrongAnswer("no batch", _LOGITS + "length * vocab * each + kept\n", "`batch` is missing"),
        WrongAnswer("one copy", _LOGITS + "piece * vocab * copies[0] + kept\n", "counts one copy"),
        WrongAnswer(
            "largest copy", _LOGITS + "piece * vocab * max(copies) + kept\n", "largest copy"
        ),
        WrongAnswer(
            "copies counted", _LOGITS + "piece * vocab * len(copies) + kept\n", "add them up"
        ),
        WrongAnswer(
            "4 bytes each", _LOGITS + "piece * vocab * 4 * len(copies) + kept\n", "not all of 4"
        ),
        WrongAnswer("bits", _LOGITS + "8 * (piece * vocab * each + kept)\n", "bits"),
        WrongAnswer("GiB", _LOGITS + "(piece * vocab * each + kept) / 2**30\n", "GiB"),
        WrongAnswer("whole, always", _LOGITS + "rows * vocab * each\n", "this counts them all"),
        WrongAnswer(
            "whole, with the gradient",
            _LOGITS + "rows * vocab * each + kept\n",
            "counts all of them, with the gradient",
        ),
        WrongAnswer(
            "the kept gradient forgotten",
            _LOGITS + "piece * vocab * each\n",
            "What the loss keeps is missing",
        ),
        WrongAnswer(
            "a piece larger than the batch",
            _LOGITS + "(at_once or rows) * vocab * each + kept\n",
            "No piece has more rows",
        ),
        WrongAnswer(
            "kept for one piece",
            _LOGITS + "piece * (vocab * each + (hidden * 2 if at_once is not None else 0))\n",
            "for all rows, not for one piece",
        ),
        WrongAnswer(
            "kept when whole too",
            _LOGITS + "piece * vocab * each + rows * hidden * 2\n",
            "no gradient of hidden states is kept",
        ),
        WrongAnswer("kept in float32", _LOGITS + "piece * vocab * each + 2 * kept\n", "is bf16"),
        WrongAnswer(
            "pieces, not rows of a piece",
            _LOGITS.replace("min(at_once, rows)", "-(-rows // at_once)")
            + "piece * vocab * each + kept\n",
            "rows of a piece, not of pieces",
        ),
        WrongAnswer(
            "copies read away",
            _LOGITS.replace(
                "each = sum(copies)", "each = 0\n    while copies:\n        each += copies.pop()"
            )
            + "piece * vocab * each + kept\n",
            "copies",
        ),
    ],
    "median_ms": [
        WrongAnswer(
            "no sync at all",
            _timed(_MIDDLE, timed=_TIMED.replace("        sync()\n", "")),
            "You timed the launch",
        ),
        WrongAnswer(
            "sync before, not after",
            _timed(
                _MIDDLE,
                timed=_TIMED.replace("        step()\n        sync()\n", "        step()\n"),
            ),
            "You timed the launch",
        ),
        WrongAnswer(
            "sync after the clock",
            _timed(
                _MIDDLE,
                warm=_WARM + "    sync()\n",
                timed="    times = []\n    for _ in range(n):\n        start = clock()\n"
                "        step()\n        times.append(clock() - start)\n        sync()\n",
            ),
            "You timed the launch",
        ),
        WrongAnswer(
            "no sync before the first clock",
            _timed(_MIDDLE, timed=_TIMED.replace("        sync()\n        start", "        start")),
            "sync() before the first clock",
        ),
        WrongAnswer(
            "one sync at the end",
            _timed(
                "1e3 * (clock() - start) / n",
                warm=_WARM + "    sync()\n",
                timed="    start = clock()\n    for _ in range(n):\n        step()\n    sync()\n",
            ),
            "mean of all steps at once",
        ),
        WrongAnswer(
            "the last one alone waits",
            _timed(
                _MIDDLE,
                timed="    times = []\n    for i in range(n):\n        start = clock()\n"
                "        step()\n        if i == n - 1:\n            sync()\n"
                "        times.append(clock() - start)\n",
            ),
            "call sync() before the first clock",
        ),
        WrongAnswer("no warm-up", _timed(_MIDDLE, warm=""), "comes before the n steps"),
        WrongAnswer(
            "the warm-up is timed",
            _timed(_MIDDLE, warm="", timed=_TIMED.replace("range(n)", "range(n + warm)")),
            "The warm-up is timed too",
        ),
        WrongAnswer(
            "the warm-up is taken from n",
            _timed("1e3 * statistics.median(times[warm:] or [0])", warm=""),
            "comes before the n steps",
        ),
        WrongAnswer("the mean", _timed("1e3 * statistics.fmean(times)"), "This is the mean"),
        WrongAnswer("the fastest", _timed("1e3 * min(times)"), "fastest step"),
        WrongAnswer("the slowest", _timed("1e3 * max(times)"), "slowest step"),
        WrongAnswer("the sum", _timed("1e3 * sum(times)"), "This is the sum"),
        WrongAnswer("seconds", _timed("statistics.median(times)"), "These are seconds"),
        WrongAnswer("microseconds", _timed("1e6 * statistics.median(times)"), "microseconds"),
        WrongAnswer(
            "the upper middle", _timed("1e3 * sorted(times)[n // 2]"), "mean of the middle two"
        ),
        WrongAnswer(
            "the lower middle", _timed("1e3 * sorted(times)[(n - 1) // 2]"), "the two in the middle"
        ),
        WrongAnswer("not sorted", _timed("1e3 * times[n // 2]"), "not sorted"),
        WrongAnswer("all times", _timed("[1e3 * t for t in times]"), "Return a number"),
        WrongAnswer(
            "its own clock",
            _timed(_MIDDLE, timed=_TIMED.replace("clock()", "time.perf_counter()")),
            "It never reads `clock`",
        ),
        WrongAnswer("never runs", _median("    return 1.0\n"), "It never calls step()"),
        WrongAnswer(
            "one step too many",
            _timed(_MIDDLE, warm=_WARM + "    step()\n"),
            "times; it ran",
        ),
    ],
    "my_step": wrong_numbers(
        "my_step",
        {
            "k and v as wide as q": ("3_317_760, 4.42017, 55", "not as q"),
            "one kv head": ("2_964_480, 3.74107, 57", "kv_heads heads. This counts one"),
            "one block": ("153_600, 0.67575, 66", "This is one block"),
            "r in out": ("5_473_566_720, 3.94775, 56", "not r in out"),
            "head counted twice": ("3_072_000, 4.45129, 55", "tied to the embedding"),
            "embedding forgotten": ("3_072_000, 3.44421, 58", "The embedding is missing"),
            "gradients for W": ("3_072_000, 27.35962, 56", "no gradients and no moments"),
            "GB for GiB": ("3_072_000, 4.23887, 56", "This is GB"),
            "rounded up": ("3_072_000, 3.94775, 57", "round down"),
            "states forgotten for the rows": ("3_072_000, 3.94775, 68", "are in the way"),
            "two digits": ("3_072_000, 3.95, 56", "rounded too far"),
            "one number": ("3_072_000", "Return 3 numbers"),
        },
    ),
}
WRONG = joined(WRONG, afresh("11"))
