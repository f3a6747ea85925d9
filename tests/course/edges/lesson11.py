"""Lesson 11: nothing frozen, nothing trained, half bytes, no rows, frozen layers, a busy device."""

import statistics

import torch
from hypothesis import strategies as st
from torch import nn

from . import Edge, normal, whole

COUNT = st.one_of(st.just(0), whole(1, 10**11))
WIDTH = st.sampled_from([0.5, 1, 2, 4, 8])


def _states(frozen, trained, weight, grad):
    return float(frozen * weight) + sum(trained * each for each in (weight, grad, 4, 4))


@st.composite
def _layer(draw):
    in_, out = draw(whole(1, 5)), draw(whole(1, 5))
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    layer = nn.Linear(in_, out, bias=draw(st.booleans())).to(dtype)
    layer.weight.requires_grad_(draw(st.booleans()))
    layer.train(draw(st.booleans()))
    x = normal(3, draw(whole(1, 3)), draw(whole(1, 3)), in_, dtype=dtype)
    return layer, x.requires_grad_(draw(st.booleans()))


def _kept(layer, x):
    return x.numel() * x.element_size() if layer.weight.requires_grad else 0


@st.composite
def _logits(draw):
    sizes = [draw(whole(1, 9)) for _ in range(4)]
    copies = draw(st.lists(st.sampled_from([1, 2, 4, 8]), max_size=4))
    return *sizes, copies, draw(st.one_of(st.none(), whole(1, 90)))


def _logits_bytes(batch, length, hidden, vocab, copies, at_once):
    rows, total = batch * length, 0
    for row in range(rows):
        if at_once is None or row < at_once:  # of the first piece, the largest
            total += sum(vocab * width for width in copies)
        total += 0 if at_once is None else hidden * 2
    return total


class Device:
    """Launches take `launch` of the host's time; the work of step i is `work[i]`."""

    def __init__(self, work, launch, busy):
        self.work, self.launch, self.now, self.free = work, launch, 50.0, 50.0 + busy
        self.done = 0

    def step(self):
        self.now += self.launch
        self.free = max(self.free, self.now) + self.work[self.done]
        self.done += 1

    def sync(self):
        self.now = max(self.now, self.free)

    def clock(self):
        return self.now


@st.composite
def _device(draw):
    n, warm = draw(whole(1, 6)), draw(whole(0, 3))
    work = [draw(st.floats(0.001, 2)) for _ in range(n + warm)]
    one = Device(work, draw(st.floats(0.0001, 0.01)), draw(st.sampled_from([0.0, 0.7])))
    return one.step, one.sync, n, warm, one.clock


def _median(step, sync, n, warm, clock):
    device = step.__self__
    return statistics.median(1000 * (device.launch + w) for w in device.work[warm:])


EDGES = {
    "state_bytes": Edge(st.tuples(COUNT, COUNT, WIDTH, WIDTH), _states),
    "kept_for_backward": Edge(_layer(), _kept),
    "logits_bytes": Edge(_logits(), _logits_bytes),
    "median_ms": Edge(_device(), _median),
}
SEEN = {"state_bytes": lambda result, *given: float(result)}
