"""Models as people make them, each with something that a fast path might stumble over."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

SIZE = 16
NAMES = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "down_proj")


class Toy(nn.Module):
    """Layers with the names of attention and of an MLP at top level."""

    def __init__(self) -> None:
        super().__init__()
        for name in NAMES:
            setattr(self, name, nn.Linear(SIZE, SIZE))

    def after(self) -> None:
        """What happens to the model once the adapters are in it."""

    def forward(self, x: Tensor) -> Tensor:
        h = x + torch.tanh(self.q_proj(x)) * torch.sigmoid(self.k_proj(x)) + self.v_proj(x)
        return self.down_proj(F.silu(self.gate_proj(h)) * self.up_proj(h))


class PlainMlp(Toy):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        layers = (nn.Linear(SIZE, 24), nn.ReLU(), nn.Linear(24, 24), nn.Tanh())
        self.layers = nn.Sequential(*layers, nn.Linear(24, SIZE))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class CalledTwice(Toy):
    def forward(self, x: Tensor) -> Tensor:
        h = self.gate_proj(x) + self.up_proj(x) * self.gate_proj(x)
        return self.down_proj(self.up_proj(torch.tanh(h)) + self.gate_proj(torch.tanh(h)))


class OtherOrder(Toy):
    def forward(self, x: Tensor) -> Tensor:
        h = self.up_proj(x) * torch.sigmoid(self.gate_proj(x))
        v = self.v_proj(h)
        return self.down_proj(v + self.k_proj(h) * torch.tanh(self.q_proj(h)))


class NotAll(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(torch.tanh(self.k_proj(x)) + self.up_proj(x))


class EveryOtherStep(Toy):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        h = torch.tanh(self.gate_proj(x))
        return self.down_proj(h * self.up_proj(x) if self.calls % 2 else h)


class TakesTurns(EveryOtherStep):
    """In each step one sibling only, and never the same: what it left for the other is stale."""

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.down_proj(torch.tanh((self.gate_proj if self.calls % 2 else self.up_proj)(x)))


class OneInFullPrecision(Toy):
    """One layer outside of autocast, which then runs as written among packed ones."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            h = torch.tanh(self.gate_proj(x.to(self.gate_proj.weight.dtype)))
        return self.down_proj(h * self.up_proj(x))


class SharedUnderTwoNames(Toy):
    def after(self) -> None:
        self.k_proj = self.q_proj

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.q_proj(x) * torch.tanh(self.k_proj(x)) + self.v_proj(x))


class SharedByTwoParents(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Toy(), Toy()

    def after(self) -> None:
        for name in NAMES:
            setattr(self.second, name, getattr(self.first, name))

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.second(torch.tanh(self.first(x))) + self.gate_proj(x))


class Identity(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.gate_proj(x)
        return self.down_proj(h * torch.tanh(self.up_proj(self.same(x))))


class FrozenBranch(Toy):
    """One sibling as a fixed target: no gradient, and the first to be asked."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = self.q_proj(x)
        return self.down_proj(torch.tanh(self.k_proj(x)) + self.v_proj(x) - target)


class FrozenAfterwards(Toy):
    """One sibling's result is cut off: no gradient reaches it, though it is in the product."""

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.gate_proj(x) * self.up_proj(x).detach())


class DifferentX(Toy):
    def forward(self, x: Tensor) -> Tensor:
        context = x.flip(0)
        scores = self.q_proj(x) @ self.k_proj(context).mT
        return self.down_proj(torch.sigmoid(scores) @ self.v_proj(context))


class OneInCheckpoint(Toy):
    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.q_proj(x))
        gate = self.gate_proj(h)
        up = checkpoint(self.up, h, use_reentrant=self.reentrant)
        return self.down_proj(F.silu(gate) * up)

    def up(self, h: Tensor) -> Tensor:
        return torch.tanh(self.up_proj(h))


class OneInReentrantCheckpoint(OneInCheckpoint):
    reentrant = True


class AllInCheckpoint(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=False)


class TiedWeights(Toy):
    def after(self) -> None:
        self.up_proj.base_layer.weight = self.gate_proj.base_layer.weight
        self.v_proj.base_layer.weight = self.down_proj.base_layer.weight


class TiedFactors(Toy):
    def after(self) -> None:
        self.up_proj.lora_A["default"].weight = self.gate_proj.lora_A["default"].weight


class WrittenOver(Toy):
    """Results that are written to, as `nn.ReLU(inplace=True)` does."""

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        h = F.silu(gate) * F.relu(up, inplace=True)
        return F.relu(self.down_proj(h), inplace=True)


class WritesToX(Toy):
    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.q_proj(x)).detach()
        gate = self.gate_proj(h.clone()) + self.k_proj(h.clone())
        with torch.no_grad():
            before = self.up_proj(h)
            h.mul_(2)
            after = self.gate_proj(h)
        return self.down_proj(gate * (before + after))


class NoRows(Toy):
    """Two experts, one of which gets nothing."""

    def forward(self, x: Tensor) -> Tensor:
        wanted = torch.zeros(len(x), dtype=torch.bool)
        h = x.new_zeros(x.shape)
        h[wanted] = self.gate_proj(x[wanted]).to(h.dtype)
        h[~wanted] = self.up_proj(x[~wanted]).to(h.dtype)
        return self.down_proj(torch.tanh(h))


class Watched(Toy):
    """Somebody listens to a base layer, and changes what it says."""

    def after(self) -> None:
        self.gate_proj.base_layer.register_forward_hook(lambda module, args, result: 2 * result)


TOYS = {
    toy.__name__: toy
    for toy in (
        *(Toy, PlainMlp, CalledTwice, OtherOrder, NotAll, EveryOtherStep, TakesTurns),
        *(
            OneInFullPrecision,
            SharedUnderTwoNames,
            SharedByTwoParents,
            Identity,
            FrozenBranch,
            FrozenAfterwards,
            DifferentX,
        ),
        *(OneInCheckpoint, OneInReentrantCheckpoint, AllInCheckpoint, TiedWeights, TiedFactors),
        *(WrittenOver, WritesToX, NoRows, Watched),
    )
}


def batches(same_x: bool) -> list[dict[str, Tensor]]:
    """Eight batches of x and y; or one, so that x is the very same tensor in every step."""
    made = torch.Generator().manual_seed(3)
    pairs = [torch.randn(2, 6, SIZE, generator=made) for _ in range(8)]  # (x and y, rows, SIZE)
    whole = [{"x": x, "y": y.clone()} for x, y in pairs]
    return whole[:1] if same_x else whole


def square_loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The mean square error, in float32."""
    return F.mse_loss(model(batch["x"]).float(), batch["y"])
