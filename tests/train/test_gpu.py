"""The captured step on a GPU: it must give what the eager step gives, and give its memory back."""

from __future__ import annotations

import contextlib

import pytest
import torch
from models import tiny_decoder, token_ids
from other_models import KINDS as OTHER_KINDS
from other_models import adapted, padded_batch

from lora_lessons.base.tokens import TokenBatches, blocks
from lora_lessons.train.fast.capture import CapturedStep
from lora_lessons.train.loop import fit

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    # other packages' deprecations differ between the oldest and the newest versions we run on
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]

IDS = token_ids()
KINDS = ("ours", "peft", "full")


def model_of(kind, dtype=torch.float32, dropout=0.0, bias="none", **changes):
    base = tiny_decoder(dtype=dtype, **changes).cuda()
    if kind == "full":
        return base.requires_grad_(True)
    if kind == "ours":
        from lora_lessons.lora.config import LoraConfig
        from lora_lessons.lora.model import get_peft_model
    else:
        from peft import LoraConfig, get_peft_model
    torch.manual_seed(0)
    options = {"lora_dropout": dropout, "bias": bias, "task_type": "CAUSAL_LM"}
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **options)
    return get_peft_model(base, config)


def run(model, steps=30, batches=None, **settings):
    source = batches or TokenBatches(IDS, 4, 16, seed=0, device="cuda")
    return fit(model, source, steps=steps, **{"lr": 1e-2, "progress": False, **settings})


def fell(history):
    """Whether the last losses are below the first; one batch is too few to tell."""
    return sum(history.losses[-5:]) < sum(history.losses[:5])


def weights(model):
    return torch.cat([p.detach().float().flatten() for p in model.parameters() if p.requires_grad])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_captured_steps_equal_eager_steps(kind, precision, tolerance):
    settings = {"precision": precision, "schedule": "cosine", "warmup": 5, "weight_decay": 0.1}
    captured, eager = model_of(kind), model_of(kind)
    a = run(captured, capture=True, **settings)
    b = run(eager, capture=False, **settings)
    assert a.captured, a.why_not_captured
    assert not b.captured
    assert a.losses == pytest.approx(b.losses, rel=tolerance)
    assert fell(a)
    gap = (weights(captured) - weights(eager)).norm() / weights(eager).norm()
    print(f"{kind} {precision}: equal losses {a.losses == b.losses}, weights differ by {gap:.1e}")
    assert gap < tolerance


def test_a_bf16_base_keeps_float32_adapters():
    model = model_of("ours", dtype=torch.bfloat16)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    history = run(model)
    assert history.captured, history.why_not_captured
    assert fell(history)


@pytest.mark.parametrize(
    ("dtype", "precision", "tolerance"),
    [(torch.float32, "fp32", 1e-5), (torch.bfloat16, "bf16", 2e-3)],
)
def test_accumulation_is_captured(dtype, precision, tolerance):
    a = run(model_of("ours", dtype), accumulate=3, capture=True, precision=precision)
    b = run(model_of("ours", dtype), accumulate=3, capture=False, precision=precision)
    assert a.captured
    assert a.losses == pytest.approx(b.losses, rel=tolerance)


# each case takes the compiler some seconds: one of each way that a layer's product is made
COMPILED = {
    "ours, float32": ({"kind": "ours"}, {"precision": "fp32"}, 1e-4),
    "ours, autocast": ({"kind": "ours"}, {"precision": "bf16"}, 5e-3),
    "ours, bf16 base, biases": (
        {"kind": "ours", "dtype": torch.bfloat16, "bias": "lora_only"},
        {"precision": "bf16"},
        5e-3,
    ),
    "peft, autocast": ({"kind": "peft"}, {"precision": "bf16"}, 5e-3),
}


@pytest.mark.parametrize("case", COMPILED)
def test_compiled_and_captured_steps_equal_eager_steps(case):
    made, settings, tolerance = COMPILED[case]
    valid = blocks(token_ids(160, seed=9), 16)
    how = {"valid": valid, "eval_every": 10, "lr": 1e-3, **settings}
    a = run(model_of(**made), compile=True, capture=True, **how)
    b = run(model_of(**made), compile=False, capture=False, **how)
    assert a.compiled and a.captured
    assert not b.compiled and not b.captured
    assert a.losses == pytest.approx(b.losses, rel=tolerance)
    assert a.eval_losses == pytest.approx(b.eval_losses, rel=tolerance)


def test_a_compiled_step_of_the_decoders_sizes_equals_the_eager_one():
    """The compiler's code for a few small sizes can be right where that for larger ones is not."""
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model

    sizes = {"hidden_size": 256, "intermediate_size": 704, "num_attention_heads": 8}
    sizes |= {"num_key_value_heads": 4, "max_position_embeddings": 128}
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")

    def losses(**how):
        base = tiny_decoder(dtype=torch.bfloat16, **sizes).cuda()
        torch.manual_seed(0)
        model = get_peft_model(base, config)
        batches = TokenBatches(token_ids(5000), 16, 128, seed=0, device="cuda")
        return run(model, steps=12, batches=batches, lr=1e-3, precision="bf16", **how).losses

    fast = losses(compile=True, capture=True)
    assert fast == pytest.approx(losses(compile=False, capture=False), rel=5e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"bias": "lora_only"}])
def test_packed_adapters_train_as_copies_one_by_one_do(dtype, options, monkeypatch):
    from lora_lessons.train.fast import masters

    valid = blocks(token_ids(160, seed=9), 16)
    how = {"precision": "bf16", "lr": 1e-3, "valid": valid, "eval_every": 10}
    a = run(model_of("ours", dtype, **options), capture=True, **how)
    monkeypatch.setattr(masters, "wants_packing", lambda *_: False)
    b = run(model_of("ours", dtype, **options), capture=False, **how)
    assert a.losses == pytest.approx(b.losses, rel=5e-3)
    assert a.eval_losses == pytest.approx(b.eval_losses, rel=5e-3)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_models_whose_batches_bring_masks_are_captured_and_equal_eager_ones(kind):
    batches = [{n: v.cuda() for n, v in padded_batch(kind).items()}]
    how = {"batches": batches, "lr": 1e-3, "precision": "fp32", "steps": 12}
    a = run(adapted(kind).cuda(), capture=True, **how)
    b = run(adapted(kind).cuda(), capture=False, **how)
    assert a.losses == pytest.approx(b.losses, rel=1e-4)
    assert a.losses[-1] < a.losses[0]
    history = run(adapted(kind).cuda(), **how | {"precision": "auto"})
    assert history.captured, history.why_not_captured


def test_packed_examples_are_captured():
    from lora_lessons.train.packing import pack

    examples = [token_ids(n, seed=n) for n in (3, 9, 16, 2, 5, 7, 11, 4)]
    batches = [{n: v.cuda() for n, v in b.items()} for b in pack(examples, 16, 2)]
    a = run(model_of("ours"), batches=batches, precision="fp32", capture=True)
    b = run(model_of("ours"), batches=batches, precision="fp32", capture=False)
    assert a.losses == pytest.approx(b.losses, rel=1e-4)


def test_copies_in_bf16_give_what_autocast_gives(monkeypatch):
    from lora_lessons.train import step
    from lora_lessons.train.fast import masters

    monkeypatch.setattr(masters, "wants_packing", lambda *_: False)
    a = run(model_of("ours", torch.bfloat16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "master_weights", lambda *_: contextlib.nullcontext())
        b = run(model_of("ours", torch.bfloat16))
    assert a.losses == pytest.approx(b.losses, rel=2e-3)


def test_dropout_is_random_between_replays_of_compiled_blocks():
    batch = [next(TokenBatches(IDS, 4, 16, seed=0, device="cuda"))]
    model = model_of("ours", dropout=0.5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.1)
    history = run(model, steps=12, batches=batch, lr=1e-12, compile=True)
    assert history.compiled and history.captured
    assert len(set(history.losses)) == 12


@pytest.mark.parametrize("kind", ["ours", "peft"])
def test_dropout_differs_between_replays_and_repeats_with_the_seed(kind):
    batch = [next(TokenBatches(IDS, 4, 16, seed=0, device="cuda"))]

    def losses(seed):
        model = model_of(kind, dropout=0.5)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.fill_(0.1)  # so that the dropout reaches the loss
        history = run(model, steps=12, batches=batch, lr=1e-12, seed=seed, precision="fp32")
        assert history.captured, history.why_not_captured
        return history.losses

    first = losses(1)
    assert len(set(first)) == len(first)
    assert losses(1) == first
    assert losses(2) != first


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["Qwen2", "Llama"])
def test_attention_is_given_no_mask_in_either_path(kind, family, monkeypatch):
    from torch.nn import functional as F

    seen = []
    attention = F.scaled_dot_product_attention

    def spy(*arguments, **named):
        capturing = torch.cuda.is_current_stream_capturing()
        seen.append((capturing, named.get("attn_mask"), named.get("is_causal")))
        return attention(*arguments, **named)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    model = model_of(kind, family=family)
    run(model, capture=True)
    run(model, capture=False)
    assert {capturing for capturing, _, _ in seen} == {True, False}
    assert {(mask, causal) for _, mask, causal in seen} == {(None, True)}


def test_a_model_that_waits_for_the_gpu_stays_eager_and_trains_the_same():
    def waits(model, batch):
        loss = model(**batch).loss
        return loss if loss.item() > 0 else loss * 2

    def does_not(model, batch):
        return model(**batch).loss

    a = run(model_of("ours"), loss_fn=waits, precision="fp32")
    b = run(model_of("ours"), loss_fn=does_not, precision="fp32", capture=False)
    assert not a.captured
    assert "waits for the GPU" in a.why_not_captured
    assert a.losses == pytest.approx(b.losses, rel=1e-5)


def test_after_a_failed_capture_training_goes_on_as_if_it_had_not_been_tried():
    def asks_the_default_stream(model, batch):  # the warm-up can, a capture cannot
        torch.cuda.default_stream().wait_stream(torch.cuda.current_stream())
        return model(**batch).loss

    def does_not(model, batch):
        return model(**batch).loss

    settings = {"precision": "fp32", "seed": 3}
    stream = torch.cuda.current_stream()
    a = run(model_of("ours", dropout=0.2), loss_fn=asks_the_default_stream, **settings)
    assert torch.cuda.current_stream() == stream
    b = run(model_of("ours", dropout=0.2), loss_fn=does_not, capture=False, **settings)
    assert not a.captured
    assert "capturing failed" in a.why_not_captured
    assert "previous error" not in a.why_not_captured  # it names the first
    assert a.losses == pytest.approx(b.losses, rel=1e-5)
    again = run(model_of("ours", dropout=0.2), capture=True, **settings)
    assert again.captured and fell(again)
    with pytest.raises(RuntimeError, match="cannot be captured"):
        run(model_of("ours"), loss_fn=asks_the_default_stream, capture=True)


@pytest.mark.parametrize("at_once", [True, False])
def test_any_error_while_capturing_leaves_a_generator_that_draws(at_once):
    def refuses(model, batch):
        loss = 0 if at_once else model(**batch).loss
        if torch.cuda.is_current_stream_capturing():
            raise LookupError("not now")
        return model(**batch).loss + 0 * loss

    with pytest.raises((LookupError, RuntimeError), match="not now"):  # CUDA's comes last, if any
        run(model_of("ours", dropout=0.2), loss_fn=refuses, capture=True)
    torch.rand(1, device="cuda")
    assert run(model_of("ours", dropout=0.2), capture=True).captured


def test_gradient_checkpointing_stays_eager():
    model = model_of("full")
    model.gradient_checkpointing_enable()
    history = run(model, steps=10)
    assert "checkpointing" in history.why_not_captured
    with pytest.raises(RuntimeError, match="checkpointing"):
        run(model, steps=10, capture=True)


def test_evaluation_between_replays_changes_nothing():
    valid = blocks(token_ids(160, seed=9), 16)
    a, b = (
        run(model_of("ours", dropout=0.1), valid=given, eval_every=7, precision="fp32")
        for given in (valid, None)
    )
    assert a.captured and b.captured
    assert a.losses == b.losses
    assert a.eval_steps == [0, 7, 14, 21, 28, 30]
    eager = run(model_of("ours"), valid=valid, eval_every=7, precision="fp32", capture=False)
    assert a.eval_losses[0] == pytest.approx(eager.eval_losses[0], rel=1e-5)


def test_a_batch_of_another_shape_is_trained_on_eagerly():
    def batches():
        for i in range(100):
            length = 9 if i % 5 == 4 else 16
            yield next(TokenBatches(IDS, 4, length, seed=i, device="cuda"))

    a = run(model_of("ours"), batches=batches(), precision="fp32", capture=True)
    b = run(model_of("ours"), batches=batches(), precision="fp32", capture=False)
    assert a.captured
    assert a.losses == pytest.approx(b.losses, rel=1e-5)


def test_a_change_of_the_model_inside_fit_is_refused():
    model = model_of("ours")

    def freezes(m):
        next(p for p in m.parameters() if p.requires_grad).requires_grad = len(calls) == 0
        calls.append(1)
        return 0.0

    calls = []
    with pytest.raises(RuntimeError, match="changed during fit"):
        run(model, valid=freezes, eval_every=10)


def test_an_interrupt_between_replays_keeps_history_and_weights():
    def interrupted():
        source = TokenBatches(IDS, 4, 16, seed=0, device="cuda")
        for i in range(100):
            if i == 20:
                raise KeyboardInterrupt
            yield next(source)

    model, shorter = model_of("ours"), model_of("ours")
    a = run(model, batches=interrupted(), steps=60, precision="fp32")
    run(shorter, steps=20, precision="fp32")
    assert a.interrupted and a.captured and a.steps == list(range(1, 21))
    torch.testing.assert_close(weights(model), weights(shorter), rtol=1e-4, atol=1e-6)


def test_twenty_fits_leave_the_memory_flat_after_an_exception_too():
    def breaks():
        source = TokenBatches(IDS, 4, 16, seed=0, device="cuda")
        for _ in range(12):
            yield next(source)
        raise OSError("disk")

    model = model_of("ours")
    reserved, errors = [], []
    for i in range(20):
        if i % 4 == 3:
            with pytest.raises(OSError, match="disk") as error:
                run(model, batches=breaks())
            errors.append(error)  # as a notebook's last traceback would
        else:
            assert run(model, steps=10).captured
        reserved.append(torch.cuda.memory_reserved())
    # the allocator's smallest segment; a graph that stays takes at least one each time, ten in all
    segment = 2 * 2**20
    assert max(reserved[10:]) <= max(reserved[:10]) + segment
    assert all(p.grad is None for p in model.parameters())


def test_many_adapters_captured_equal_eager_ones_and_separate_fits():
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model
    from lora_lessons.train.fast.sweep import Job, train_many

    def config(r, targets):
        return LoraConfig(r=r, lora_alpha=2 * r, target_modules=targets, task_type="CAUSAL_LM")

    jobs = [
        Job(config(2, "all-linear"), lr=1e-3, seed=0),
        Job(config(16, ["q_proj", "v_proj"]), lr=3e-3, seed=1),
        Job(config(8, "all-linear"), lr=5e-4, seed=2),
    ]
    how = {"steps": 30, "batch_size": 4, "length": 16, "precision": "fp32", "progress": False}
    valid = blocks(token_ids(320, seed=9), 16)
    captured = train_many(
        tiny_decoder().cuda(), jobs, IDS, valid=valid, eval_every=10, capture=True, **how
    )
    eager = train_many(
        tiny_decoder().cuda(), jobs, IDS, valid=valid, eval_every=10, capture=False, **how
    )
    compiled = train_many(tiny_decoder().cuda(), jobs, IDS, capture=True, compile=True, **how)
    for a, b in zip(compiled, eager, strict=True):
        assert a.history.compiled and a.history.captured
        assert a.history.losses == pytest.approx(b.history.losses, rel=1e-3)
    for job, a, b in zip(jobs, captured, eager, strict=True):
        assert a.history.captured and not b.history.captured
        assert a.history.losses == pytest.approx(b.history.losses, rel=1e-4)
        assert a.history.eval_losses == pytest.approx(b.history.eval_losses, rel=1e-4)
        base = tiny_decoder()
        torch.manual_seed(job.seed)
        model = get_peft_model(base, job.config).cuda()
        batches = TokenBatches(IDS, 4, 16, seed=job.seed, device="cuda")
        alone = run(model, batches=batches, lr=job.lr, precision="fp32")
        assert a.history.losses == pytest.approx(alone.losses, rel=1e-3)


def test_closing_a_step_frees_the_graph():
    model = model_of("ours")
    seen = []
    close = CapturedStep.close

    def spy(self):
        close(self)
        seen.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CapturedStep, "close", spy)
        assert run(model).captured
    assert {step.graph for step in seen} == {None}


def test_a_captured_run_resumes_bit_for_bit_when_deterministic(tmp_path):
    settings = {"deterministic": True, "schedule": "cosine", "capture": True, "steps": 24}
    source = {"checkpoint": tmp_path, "checkpoint_every": 10}

    def interrupts(model):
        if len(list(tmp_path.iterdir())) and evaluated:
            raise KeyboardInterrupt
        evaluated.append(1)
        return 0.0

    evaluated = []
    whole, resumed = model_of("ours", dropout=0.1), model_of("ours", dropout=0.1)
    expected = run(whole, **settings, eval_every=15)
    run(model_of("ours", dropout=0.1), valid=interrupts, eval_every=15, **settings, **source)
    history = run(resumed, eval_every=15, **settings, **source)
    assert history.captured, history.why_not_captured
    assert history.losses == expected.losses
    assert torch.equal(weights(resumed), weights(whole))


PREDICTED = {
    "ours": ("ours", {}),
    "full": ("full", {}),
    "ours, recomputed": ("ours", {"recompute": True}),
    "full, recomputed": ("full", {"recompute": True}),
    "ours, captured": ("ours", {"capture": True}),
    "ours, compiled and captured": ("ours", {"compile": True, "capture": True}),
}


@pytest.mark.parametrize("case", PREDICTED)
def test_memory_is_predicted_within_a_tenth_or_64_mb(case):
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.train.memory.predict import predict_memory

    sizes = {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 8}
    sizes |= {"max_position_embeddings": 512, "vocab_size": 8192}
    kind, changes = PREDICTED[case]
    model = model_of(kind, dtype=torch.bfloat16, **sizes)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear") if kind == "ours" else None
    how = {"capture": False, "compile": False, "recompute": False, **changes}
    step = {name: how[name] for name in ("compile", "recompute")}
    predicted = predict_memory(model.config, config, batch_size=16, length=256, **step).peak
    one = [next(TokenBatches(IDS, 16, 256, seed=0, device="cuda"))]
    run(model, steps=1, batches=one, capture=how["capture"])  # cuBLAS takes its workspaces once
    held = sum(p.numel() * p.element_size() for p in model.parameters())
    before = torch.cuda.memory_allocated() - held
    torch.cuda.reset_peak_memory_stats()
    run(model, steps=3, batches=one, **how)
    measured = torch.cuda.max_memory_allocated() - before
    print(f"{case}: predicted {predicted / 2**20:.0f} MiB, measured {measured / 2**20:.0f} MiB")
    assert abs(predicted - measured) <= max(0.1 * measured, 64e6)


@pytest.mark.parametrize("compile", [False, True])
def test_a_step_that_recomputes_is_captured_where_nothing_is_random(compile):
    how = {"recompute": True, "compile": compile}
    a = run(model_of("ours", dtype=torch.bfloat16), **how)
    b = run(model_of("ours", dtype=torch.bfloat16), capture=False, compile=False)
    assert a.captured, a.why_not_captured
    assert a.compiled is compile
    assert a.losses == pytest.approx(b.losses, rel=2e-2)
    assert fell(a)
    how["compile"] = "auto"  # with dropout blocks are not compiled on a GPU
    eager = run(model_of("ours", dropout=0.05, dtype=torch.bfloat16), **how)
    assert "recompute=True saves" in eager.why_not_captured
    assert not eager.compiled
    assert fell(eager)
    with pytest.raises(RuntimeError, match="recompute=True saves"):
        run(model_of("ours", dropout=0.2), recompute=True, capture=True)


@pytest.fixture
def in_4_bits():
    """Makes a bfloat16 decoder with bitsandbytes' layers in 4 bits, and adapters beside them."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    from lora_lessons.experiments.qlora_steps import to_bitsandbytes
    from lora_lessons.lora.config import LoraConfig
    from lora_lessons.lora.model import get_peft_model

    def make(**fields):
        sizes = {"hidden_size": 128, "intermediate_size": 192}
        base = tiny_decoder(dtype=torch.bfloat16, **sizes).cuda()
        to_bitsandbytes(base, keep=base.get_output_embeddings())
        torch.manual_seed(0)
        config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", **fields)
        return get_peft_model(base, config)

    return make


@pytest.mark.parametrize("recompute", [False, True])
def test_a_base_in_4_bits_is_compiled_and_captured_and_equals_the_eager_one(in_4_bits, recompute):
    how = {"precision": "bf16", "lr": 1e-3, "recompute": recompute}
    model = in_4_bits()
    packed = {n: p.clone() for n, p in model.named_parameters() if p.dtype == torch.uint8}
    a = run(model, compile=True, capture=True, **how)
    b = run(in_4_bits(), compile=False, capture=False, **how)
    assert a.compiled and a.captured, a.why_not_captured
    assert a.losses == pytest.approx(b.losses, rel=5e-3)
    assert fell(a) and packed
    for name, codes in packed.items():
        assert torch.equal(model.get_parameter(name), codes), name


def test_dora_beside_4_bits_trains_on_a_gpu_as_eagerly(in_4_bits):
    how = {"precision": "bf16", "lr": 1e-3}
    a = run(in_4_bits(use_dora=True), capture=True, **how)
    b = run(in_4_bits(use_dora=True), compile=False, capture=False, **how)
    assert a.losses == pytest.approx(b.losses, rel=5e-3)
    assert fell(a)
