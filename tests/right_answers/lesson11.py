"""Right answers to lesson 11 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined

RIGHT = {
    "state_bytes": [
        RightAnswer(
            "summed over four kinds",
            """
def state_bytes(frozen, trained, weight, grad):
    kinds = [(frozen, [weight]), (trained, [weight, grad, 4, 4])]
    return sum(count * sum(sizes) for count, sizes in kinds)
""",
        ),
        RightAnswer(
            "a tensor without dimensions",
            """
def state_bytes(frozen, trained, weight, grad):
    total = (frozen + trained) * weight + trained * (grad + 8)
    return torch.tensor(total, dtype=torch.float64)
""",
        ),
        RightAnswer(
            "half bytes rounded down",
            """
def state_bytes(frozen, trained, weight, grad):
    return int((frozen + trained) * weight) + trained * (grad + 2 * torch.float32.itemsize)
""",
        ),
    ],
    "kept_for_backward": [
        RightAnswer(
            "a list first, then a dict",
            """
def kept_for_backward(layer, x):
    seen = []
    def pack(t):
        seen.append(t)
        return t
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = layer(x)
    own = {t.untyped_storage()._cdata for t in list(layer.parameters()) + list(layer.buffers())}
    found = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in seen}
    return sum(size for key, size in found.items() if key not in own)
""",
        ),
        RightAnswer(
            "the packed tensor wrapped",
            """
def kept_for_backward(layer, x):
    skip = {p.untyped_storage().data_ptr() for p in layer.state_dict(keep_vars=True).values()}
    known, total = set(skip), 0
    def pack(t):
        nonlocal total
        place = t.untyped_storage().data_ptr()
        if place not in known:
            known.add(place)
            total += len(t.untyped_storage())
        return (t,)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed[0]):
        result = layer(x)
    return total
""",
        ),
        RightAnswer(
            "parameters taken out afterwards",
            """
def kept_for_backward(layer, x):
    kept = {}
    def keep(t):
        s = t.untyped_storage()
        kept[s.data_ptr()] = s.size()
        return t
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y = layer(x)
    for t in [*layer.parameters(), *layer.buffers()]:
        kept.pop(t.untyped_storage().data_ptr(), None)
    return sum(kept.values())
""",
        ),
    ],
    "logits_bytes": [
        RightAnswer(
            "the larger piece first",
            """
def logits_bytes(batch, length, hidden, vocab, copies, at_once):
    rows = batch * length
    piece = min(rows, at_once or rows)
    total = sum(piece * vocab * size for size in copies)
    return total if at_once is None else total + 2 * hidden * rows
""",
        ),
        RightAnswer(
            "piece by piece",
            """
def logits_bytes(batch, length, hidden, vocab, copies, at_once):
    rows = batch * length
    if at_once is None:
        return sum(copies) * rows * vocab
    largest = max(min(at_once, rows - start) for start in range(0, rows, at_once))
    return largest * vocab * sum(copies) + torch.bfloat16.itemsize * hidden * rows
""",
        ),
        RightAnswer(
            "meta tensors",
            """
def logits_bytes(batch, length, hidden, vocab, copies, at_once):
    states = torch.empty(batch * length, hidden, dtype=torch.bfloat16, device="meta")
    rows = len(states) if at_once is None else len(states.split(at_once)[0])
    kept = 0 if at_once is None else states.nbytes
    return rows * vocab * sum(copies) + kept
""",
        ),
    ],
    "median_ms": [
        RightAnswer(
            "one reading between two steps",
            """
import statistics
def median_ms(step, sync, n, warm, clock):
    for _ in range(warm):
        step()
    sync()
    marks = [clock()]
    for _ in range(n):
        step()
        sync()
        marks.append(clock())
    return statistics.median(1000 * (b - a) for a, b in zip(marks, marks[1:]))
""",
        ),
        RightAnswer(
            "numpy's median",
            """
import numpy as np
def median_ms(step, sync, n, warm, clock):
    times = []
    for i in range(warm + n):
        sync()
        start = clock()
        step()
        sync()
        if i >= warm:
            times.append(clock() - start)
    return np.median(times) * 1e3
""",
        ),
        RightAnswer(
            "torch's quantile",
            """
def median_ms(step, sync, n, warm, clock):
    def once():
        sync()
        start = clock()
        step()
        sync()
        return clock() - start
    for _ in range(warm):
        once()
    times = torch.tensor([once() for _ in range(n)], dtype=torch.float64)
    return 1e3 * torch.quantile(times, 0.5)
""",
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("11"))
