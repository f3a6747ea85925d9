from __future__ import annotations

import copy
import math

import pytest
import torch
from models import batch, tiny_decoder, token_ids

from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.lora.config import LoraConfig
from lora_lessons.lora.model import get_peft_model
from lora_lessons.train.loop import evaluate, fit


def run(model, batches=None, **settings):
    settings = {"steps": 4, "lr": 1e-2, "progress": False, **settings}
    return fit(model, batches or TokenBatches(token_ids(), 4, 16, seed=0), **settings)


def trainable(**changes):
    return tiny_decoder(**changes).requires_grad_(True)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def reference(model, batches, steps, lr, clip=1.0, factor=lambda step: 1.0):
    """The plain loop of a textbook with the model's own loss."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    losses = []
    for step, one in zip(range(steps), batches, strict=False):
        optimizer.param_groups[0]["lr"] = lr * factor(step)
        loss = model(**one).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_equals_a_plain_loop():
    ours, plain = trainable(dtype=torch.float64), trainable(dtype=torch.float64)
    history = run(ours, TokenBatches(token_ids(), 4, 16, seed=3), steps=10)
    losses = reference(plain, TokenBatches(token_ids(), 4, 16, seed=3), steps=10, lr=1e-2)
    assert history.losses == pytest.approx(losses, rel=1e-6)  # the model's own loss is float32
    assert history.steps == list(range(1, 11))
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-4, atol=1e-6)


def test_each_step_takes_the_rate_of_the_schedule():
    def factor(step):  # half and whole while it warms up, then down to zero in six steps
        return (step + 1) / 2 if step < 2 else 1 - (step - 2) / 6

    ours, plain = trainable(dtype=torch.float64), trainable(dtype=torch.float64)
    how = {"steps": 8, "warmup": 2, "schedule": "linear"}
    history = run(ours, TokenBatches(token_ids(), 4, 16, seed=3), **how)
    batches = TokenBatches(token_ids(), 4, 16, seed=3)
    losses = reference(plain, batches, steps=8, lr=1e-2, factor=factor)
    assert history.losses == pytest.approx(losses, rel=1e-6)
    torch.testing.assert_close(weights(ours), weights(plain), rtol=1e-4, atol=1e-6)


def test_loss_falls_and_is_evaluated_before_between_and_after():
    history = run(
        trainable(), steps=30, valid=blocks(token_ids(300, seed=9), 16), eval_every=10, warmup=3
    )
    assert history.eval_steps == [0, 10, 20, 30]
    assert history.last < history.eval_losses[0] - 0.3
    assert history.best == min(history.eval_losses[1:])
    assert history.eval_steps[history.eval_losses.index(history.best)] == history.best_step
    assert not (history.diverged or history.interrupted)


def test_same_seed_same_run_and_the_callers_random_state_is_kept():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    dropout = {"attention_dropout": 0.3}
    first, second = trainable(**dropout), trainable(**dropout)
    torch.manual_seed(5)
    a = run(first, seed=7)
    assert torch.equal(torch.rand(3), expected)
    b = run(second, seed=7)
    c = run(trainable(**dropout), seed=8)
    assert a.losses == b.losses
    assert torch.equal(weights(first), weights(second))
    assert c.losses != a.losses


@pytest.mark.parametrize("split", [1, 2, 4])
def test_accumulation_is_the_gradient_of_all_labels_together(split):
    """Batches of unequal numbers of labels: a mean of means would be wrong."""
    whole = batch(rows=4, seed=2)
    whole["labels"][0, 2:] = -100
    whole["labels"][3, 5:] = -100
    parts = [
        {name: value[i : i + 4 // split] for name, value in whole.items()}
        for i in range(0, 4, 4 // split)
    ]
    together, apart = trainable(dtype=torch.float64), trainable(dtype=torch.float64)
    one = run(together, [whole], steps=3, clip=None)
    many = run(apart, parts, steps=3, accumulate=split, clip=None)
    assert many.losses == pytest.approx(one.losses, rel=1e-6)
    # AdamW divides by the gradient's size, so the smallest gradients carry float32 noise
    torch.testing.assert_close(weights(apart), weights(together), rtol=1e-3, atol=1e-4)


def test_accumulation_differs_from_a_mean_of_means():
    parts = [batch(rows=2, seed=1), batch(rows=2, seed=2)]
    parts[0]["labels"][:, 3:] = -100
    model = trainable(dtype=torch.float64)
    means = [model(**part).loss.item() for part in parts]
    history = run(model, parts, steps=1, accumulate=2)
    counts = [4, 18]
    expected = sum(m * c for m, c in zip(means, counts, strict=True)) / sum(counts)
    assert history.losses[0] == pytest.approx(expected, rel=1e-6)
    assert abs(history.losses[0] - sum(means) / 2) > 1e-3


def test_clipping_bounds_the_gradient():
    model = trainable()
    free, clipped = copy.deepcopy(model), copy.deepcopy(model)
    run(free, steps=1, clip=None)
    run(clipped, steps=1, clip=1e-9)  # far below AdamW's epsilon: nothing moves
    assert (weights(clipped) - weights(model)).abs().max() < (
        0.5 * (weights(free) - weights(model)).abs().max()
    )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.853553, 0.5, 0.146447]),
    ],
)
def test_schedule(schedule, expected):
    from lora_lessons.train.optim import schedule_factor

    factors = [schedule_factor(i, 6, 2, schedule) for i in range(6)]
    assert factors == pytest.approx(expected, abs=1e-6)


def test_an_interrupt_keeps_the_history_and_the_model():
    def interrupted():
        source = TokenBatches(token_ids(), 4, 16)
        for i, one in enumerate(source):
            if i == 5:
                raise KeyboardInterrupt
            yield one

    model = trainable()
    history = run(model, interrupted(), steps=50)
    assert history.interrupted
    assert history.steps == [1, 2, 3, 4, 5]
    assert not model.training
    assert math.isfinite(evaluate(model, blocks(token_ids(64), 16)))


def test_each_modules_mode_is_kept():
    model = trainable()
    model.model.layers[0].train()
    run(model, steps=1)
    assert model.model.layers[0].training
    assert not model.model.layers[1].training
    assert not model.training


def test_a_loss_that_is_not_finite_ends_the_run():
    model = trainable()
    history = run(model, steps=20, loss_fn=lambda m, b: m(**b).loss * float("nan"))
    assert history.diverged
    assert history.steps == [1]
    assert math.isnan(history.losses[0])


def test_a_loss_function_may_return_a_mean():
    layer = torch.nn.Linear(3, 1)
    x, y = torch.randn(8, 3), torch.randn(8, 1)
    history = fit(
        layer,
        [{"x": x, "y": y}],
        steps=50,
        lr=0.1,
        progress=False,
        loss_fn=lambda m, b: torch.nn.functional.mse_loss(m(b["x"]), b["y"]),
    )
    assert history.losses[-1] < history.losses[0]


def test_a_valid_function_sees_the_model_in_evaluation_mode():
    modes = []

    def measure(model):
        modes.append((model.training, torch.is_grad_enabled()))
        return 1.5

    history = run(trainable(), valid=measure, eval_every=2)
    assert history.eval_losses == [1.5, 1.5, 1.5]
    assert modes == [(False, False)] * 3


def test_evaluate_is_the_mean_over_tokens():
    model = tiny_decoder()
    ids = blocks(token_ids(160), 16)
    assert evaluate(model, ids, batch_size=3) == pytest.approx(
        model(input_ids=ids, labels=ids).loss.item(), rel=1e-5
    )


def test_history_goes_through_json():
    import json

    from lora_lessons.train.history import History

    history = run(trainable(), valid=blocks(token_ids(64), 16))
    assert History.from_dict(json.loads(json.dumps(history.to_dict()))) == history


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be"),
        ({"steps": True}, "steps must be"),
        ({"lr": -1.0}, "lr must be"),
        ({"lr": float("inf")}, "lr must be"),
        ({"lr": "1e-3"}, "lr must be a finite number above 0, got '1e-3'"),
        ({"clip": 0.0}, "clip must be"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"precision": "fp16"}, "expected one of"),
        ({"accumulate": 0}, "accumulate must be"),
    ],
)
def test_bad_settings_are_refused_before_anything_changes(settings, message):
    model = trainable()
    before = weights(model).clone()
    with pytest.raises(ValueError, match=message):
        run(model, **settings)
    assert torch.equal(weights(model), before)


def test_bad_batches_are_named():
    with pytest.raises(ValueError, match="no 'labels'"):
        run(trainable(), [{"input_ids": batch()["input_ids"]}])
    with pytest.raises(ValueError, match="ended before"):
        run(trainable(), iter([batch()]))
    with pytest.raises(ValueError, match="empty"):
        fit(trainable(), [], steps=1, lr=1e-3, progress=False)
    with pytest.raises(TypeError, match=r"pass \[batch\]"):
        run(trainable(), batch())


def test_nothing_to_train_says_how_to_get_something():
    with pytest.raises(ValueError, match="get_peft_model"):
        run(tiny_decoder().requires_grad_(False))


def test_labels_that_are_all_ignored_are_refused():
    one = batch()
    nothing = {**one, "labels": torch.full_like(one["labels"], -100)}
    with pytest.raises(ValueError, match="every label of the first step is -100"):
        run(trainable(), [nothing, nothing], accumulate=2)
    run(trainable(), [one, nothing], accumulate=2)  # a part of a step may be empty


def test_merged_adapters_are_not_trained():
    model = get_peft_model(tiny_decoder(), LoraConfig(r=2, target_modules=["q_proj"]))
    model.merge_adapter()
    with pytest.raises(ValueError, match=r"merged into 2 layers.*unmerge_adapter\(\)"):
        run(model)
    model.unmerge_adapter()
    assert len(run(model, steps=1).losses) == 1


@pytest.mark.parametrize(
    ("blocks_", "message"),
    [
        (torch.zeros(3, 1, dtype=torch.long), "T >= 2"),
        (torch.zeros(0, 5, dtype=torch.long), "n >= 1"),
        (torch.zeros(3, 5), "token ids, .* got torch.float32"),
        (3, "token ids, .* got int"),
    ],
)
def test_blocks_that_cannot_be_scored_are_named(blocks_, message):
    with pytest.raises((TypeError, ValueError), match=message):
        evaluate(tiny_decoder(), blocks_)


def test_labels_that_are_no_tensor_are_named():
    with pytest.raises(TypeError, match="its 'labels' are a list"):
        run(trainable(), [{"input_ids": [[1, 2]], "labels": [[1, 2]]}])
