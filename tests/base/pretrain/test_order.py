"""What the order of an encoder's input is worth, and a model that learns to use it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from lora_lessons.base.pretrain import RECIPES
from lora_lessons.base.pretrain.batches import Batches
from lora_lessons.base.pretrain.loss import token_loss
from lora_lessons.base.pretrain.models import look_at_neighbours
from lora_lessons.base.pretrain.objectives import OBJECTIVES, SpanCorruption, all_seen
from lora_lessons.base.pretrain.order import order_gain, shuffle
from lora_lessons.base.pretrain.run import make_optimizer
from lora_lessons.base.pretrain.step import TrainStep
from lora_lessons.seeding import generator, seed_everything
from lora_lessons.train.modes import evaluation_mode

RECIPE = replace(
    RECIPES["tiny_encoder_decoder"],
    **{"hidden": 32, "heads": 4, "feed_forward": 64, "length": 32, "batch_size": 16, "lr": 5e-3},
    **{"span": 3.0, "weight_decay": 0.1},
)


def make(**changes) -> SpanCorruption:
    kind = OBJECTIVES["span_corruption"]
    return kind(replace(RECIPE, **changes), kind.train_tokenizer("", 384))


def chain(length: int, seed: int, jump: float = 0.02) -> torch.Tensor:
    """Letters that follow each other in a fixed cycle of 26, but for a jump now and then.

    Every letter of a span but the first follows from the one before. The first follows from the
    letter before the hole, and from nothing else, for each letter is as frequent as the others.
    """
    noise = generator(seed)
    cycle = torch.randperm(26, generator=generator(99)) + ord("a") + 3  # ByT5's ids
    jumps = torch.rand(length, generator=noise) < jump
    steps = torch.where(jumps, torch.randint(26, (length,), generator=noise), 1)
    return cycle[steps.cumsum(0) % 26]


def order_sensitivity(
    model: torch.nn.Module, ids: torch.Tensor, fixed: torch.Tensor, noise: torch.Generator
) -> float:
    """How much of the encoder's states, of ids (B, T), depends on the order of its input.

    With E the states and P a shuffle of the places that are not `fixed`, the root mean square of
    E(P ids) - P E(ids), over that of E(ids) - mean E(ids). It is 0 for an encoder that is blind to
    order.
    """
    shuffled, places = shuffle(ids, fixed, noise)
    with evaluation_mode(model):
        states, after = (
            model.encoder(input_ids=x, attention_mask=all_seen(x)).last_hidden_state
            for x in (ids, shuffled)
        )  # (B, T, hidden) each
    before = states.gather(1, places[..., None].expand_as(states))
    spread = states - states.mean((0, 1))
    return float((after - before).pow(2).mean().sqrt() / spread.pow(2).mean().sqrt())


def fixed_batch(objective: SpanCorruption, rows: int = 64):
    return objective.batch(chain(rows * objective.window, 1).view(rows, -1), generator(0))


def test_a_shuffle_moves_what_is_not_fixed():
    ids = torch.arange(400).view(4, 100)
    fixed = ids % 7 == 0
    shuffled, places = shuffle(ids, fixed, generator(0))
    assert torch.equal(shuffled[fixed], ids[fixed])
    assert torch.equal(shuffled.sort(1).values, ids)  # each row keeps its own
    assert torch.equal(ids.gather(1, places), shuffled)
    assert (shuffled != ids)[~fixed].float().mean() > 0.9
    assert torch.equal(shuffle(ids, fixed, generator(0))[0], shuffled)


def test_the_marks_are_the_sentinels_and_the_end():
    objective = make()
    inputs = fixed_batch(objective)["input_ids"]
    assert torch.equal(objective.is_mark(inputs), (inputs < 3) | (inputs > 258))
    assert (objective.is_mark(inputs).sum(1) == len(objective.sentinels) + 1).all()


@pytest.fixture
def blind():
    """A model whose encoder has no positions: its bias is the same for every distance."""
    objective = make()
    model = objective.build_model()
    with torch.no_grad():
        model.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.zero_()
    return objective, model


def test_an_encoder_without_positions_is_blind_to_order(blind):
    objective, model = blind
    batch = fixed_batch(objective)
    fixed = objective.is_mark(batch["input_ids"])
    assert order_sensitivity(model, batch["input_ids"], fixed, generator(0)) < 1e-5
    assert abs(order_gain(objective, model, batch, fixed, generator(0))) < 1e-5
    assert model.training


def test_heads_on_neighbours_see_order_before_any_training():
    seen = []
    for neighbours in (False, True):
        objective = make(neighbours=neighbours)
        seed_everything(0)
        model, ids = objective.build_model(), fixed_batch(objective)["input_ids"]
        seen.append(order_sensitivity(model, ids, objective.is_mark(ids), generator(0)))
    assert seen[1] > 0.2 > 3 * seen[0]


def test_half_of_the_heads_give_their_attention_to_a_neighbour_each():
    objective = make(heads=8)
    model = objective.build_model()
    attention = model.encoder.block[0].layer[0].SelfAttention
    width = objective.window
    with torch.no_grad():
        attention.relative_attention_bias.weight.zero_()
        look_at_neighbours(model.encoder, width)
        shares = attention.compute_bias(width, width)[0].softmax(-1)  # (heads, T, T)
    middle = width // 2
    places = middle + torch.tensor([-1, 1, -2, 2])
    share = math.exp(4) * width / (math.exp(4) * width + width - 1)
    torch.testing.assert_close(shares[torch.arange(4), middle, places], torch.full((4,), share))
    torch.testing.assert_close(shares[4:], torch.full_like(shares[4:], 1 / width))


def bias_gradients(objective: SpanCorruption, model: torch.nn.Module, device: str, exact: bool):
    """The gradients of both stacks' biases, by the pretraining's kernels or by float64 formulas."""
    batch = {name: ids.to(device) for name, ids in fixed_batch(objective, 8).items()}
    model = model.to(device, torch.float64 if exact else torch.float32)
    model.zero_grad()
    if exact:
        with sdpa_kernel(SDPBackend.MATH):
            logits = objective.logits(model, batch).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, batch["labels"].flatten())
    else:
        loss = token_loss(objective, model, batch)
    loss.backward()
    stacks = (model.encoder, model.decoder)
    biases = [s.block[0].layer[0].SelfAttention.relative_attention_bias.weight for s in stacks]
    # copies: moving the model to another device moves the gradients that it holds
    return [bias.grad.to("cpu", torch.float64, copy=True) for bias in biases]


CUDA = pytest.param(
    *("cuda", 0.05),  # bfloat16: 8 bits
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ],
)


@pytest.mark.parametrize(("device", "tolerance"), [("cpu", 1e-4), CUDA])
def test_the_biases_get_the_gradient_of_the_formula(device, tolerance):
    objective = make(length=64, neighbours=True)
    seed_everything(0)
    model = objective.build_model()
    exact = bias_gradients(objective, model, "cpu", exact=True)
    kernels = bias_gradients(objective, model, device, exact=False)
    for wanted, found in zip(exact, kernels, strict=True):
        assert (found - wanted).norm() < tolerance * wanted.norm()


def trained_gain(neighbours: bool, steps: int = 120) -> float:
    """Train on the chain; what the order is worth to the model then, in nats."""
    objective = make(neighbours=neighbours)
    seed_everything(0)
    model = objective.build_model()
    optimizer = make_optimizer(model, objective.recipe, torch.device("cpu"))
    step = TrainStep(model, optimizer, partial(token_loss, objective))
    batches = Batches(objective, chain(100_000, 0), objective.recipe.batch_size, 0, "cpu")
    for _ in range(steps):
        step(next(batches))
    batch = fixed_batch(objective)
    fixed = objective.is_mark(batch["input_ids"])
    return order_gain(objective, model, batch, fixed, generator(0))


def test_neighbours_lead_the_training_to_the_order_of_the_text():
    without, with_them = trained_gain(False), trained_gain(True)
    assert with_them > 0.3 > 10 * abs(without)
