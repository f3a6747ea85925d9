"""`train_many`: a sweep of adapters in one step. Each comes out as if trained alone.

The base is frozen, so K adapters can share its forward and backward pass: their batches are one
batch of K times the rows. The loss is the sum of the adapters' mean losses, since the gradient of
a sum with respect to one adapter is that adapter's own; a mean would make every gradient K times
too small. Clipping, learning rate and optimizer state are each adapter's own too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from ...lora.layer import LoraLayer
from ...lora.more.layers.by_weight import ByWeight
from ...lora.more.layers.encoder import EncoderLinear
from ...lora.tuner_layer import AdapterHolder
from ..data import to_device
from ..distributed import ALONE
from ..history import History
from ..loop import run
from ..loss import IGNORED, Batch, shift, token_losses
from ..modes import evaluation_mode, random_state, training_mode
from ..optim import adamw_rows, autocast, device_of, set_learning_rate, uses_bf16
from ..settings import FitSettings
from ..vocabulary import Vocabulary
from .blocks import compiled_blocks
from .capture import prepare
from .stack import AdapterStack, LayerAdapter

ADAPTER = "default"
# an option that trains or changes more than A and B of a linear layer
UNSUPPORTED = (
    "modules_to_save",
    "use_dora",
    "lora_bias",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
)
INITS = (True, False, "gaussian", "orthogonal")  # they leave the base's weights alone
Evaluator = Callable[[torch.Tensor], list[float]]  # blocks (n, T) -> the loss of each adapter
EVALUATION_TOKENS = {"cpu": 2**14, "cuda": 2**17}  # in one pass, of all adapters together


@dataclasses.dataclass(frozen=True)
class Job:
    """One adapter to train.

    `seed` gives A's first values and the order of the text: the run equals
    `seed_everything(seed)`, `get_peft_model(base, config)` and `fit` on
    `TokenBatches(ids, batch_size, length, seed)`. `train_ids` (n,) is its own text, if any.
    """

    config: Any
    lr: float
    seed: int = 0
    train_ids: torch.Tensor | None = None
    weight_decay: float = 0.0


@dataclasses.dataclass
class JobResult:
    """A trained adapter: its history, and its A (r, in) and B (out, r) by layer name."""

    job: Job
    history: History
    factors: dict[str, tuple[torch.Tensor, torch.Tensor]]

    def adapter_state_dict(self) -> dict[str, torch.Tensor]:
        """The adapter under the keys of PEFT's adapter_model.safetensors."""
        state = {}
        for name, (A, B) in self.factors.items():
            state[f"base_model.model.{name}.lora_A.weight"] = A
            state[f"base_model.model.{name}.lora_B.weight"] = B
        return state


class ManyStep:
    """One step of K adapters: forward and backward once, clip and update each for itself."""

    def __init__(
        self,
        base: nn.Module,
        stack: AdapterStack,
        jobs: Sequence[Job],
        clip: float | None,
        precision: str,
    ) -> None:
        self.model, self.stack, self.jobs = base, stack, jobs
        self.clip, self.precision = clip, precision
        self.processes = ALONE  # one: a sweep on several would be several sweeps
        self.device = stack.flat.device
        bf16 = uses_bf16(self.device, precision)
        self.dtype = torch.bfloat16 if bf16 else stack.flat.dtype  # of the products
        self.parameters = [stack.flat]
        # rows of `flat` that share its memory, so that one AdamW has a group for each adapter
        self.rows = [nn.Parameter(row) for row in stack.flat.detach()]
        self.optimizer = adamw_rows(self.rows, jobs)

    def __call__(self, batches: Sequence[Batch]) -> torch.Tensor:
        """One update of the K adapters; returns their losses, (K,)."""
        losses, gradient = self.gradients(batches)
        if self.clip is not None:
            norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)  # (K, 1)
            gradient *= (self.clip / (norm + 1e-6)).clamp(max=1.0)
        for row, piece in zip(self.rows, gradient, strict=True):
            row.grad = piece
        self.optimizer.step()
        return losses

    def why_not_captured(self) -> str:
        """Nothing that a step shows speaks against capturing it."""
        return ""

    def refresh(self) -> None:
        """Nothing is copied: each forward makes its factors from the parameters."""

    def gradients(self, batches: Sequence[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
        """The losses (K,), and the gradient (K, P) of their sum in the dtype of the weights."""
        (batch,) = batches
        factors = self.stack.set_factors(self.dtype)
        with autocast(self.device, self.precision):
            losses = self.losses(batch["input_ids"], batch["labels"])
        (gradient,) = torch.autograd.grad(losses.sum(), factors)
        return losses.detach(), gradient.to(self.stack.flat.dtype)

    def losses(self, input_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean loss of each adapter (K,) on its rows of the batch (K * batch, T)."""
        losses = token_losses(self.model, labels, input_ids=input_ids)
        count = (shift(labels) != IGNORED).view(len(self.jobs), -1).sum(1).clamp(min=1)
        return losses.view(len(self.jobs), -1).sum(1) / count

    def set_learning_rate(self, factor: float) -> None:
        """Multiply the rates of this step by `factor`."""
        set_learning_rate(self.optimizer, factor)

    def evaluate(self, blocks: torch.Tensor) -> list[float]:
        """Mean loss of each adapter over `blocks` (n, T), all adapters in one pass."""
        K, length = len(self.jobs), blocks.shape[1]
        at_once = max(1, EVALUATION_TOKENS.get(self.device.type, 2**14) // (K * length))
        total = torch.zeros(K, dtype=torch.float64, device=self.device)
        with evaluation_mode(self.model), autocast(self.device, self.precision):
            self.stack.set_factors(self.dtype)
            for chunk in blocks.split(at_once):
                ids = chunk.to(self.device).repeat(K, 1)  # (K * n, T)
                total += self.losses(ids, ids) * len(chunk)
        return (total / len(blocks)).tolist()


def train_many(
    model: nn.Module,
    jobs: Sequence[Job],
    train_ids: torch.Tensor | None = None,
    *,
    steps: int,
    batch_size: int,
    length: int,
    valid: torch.Tensor | Callable[[Evaluator], list[float]] | None = None,
    eval_every: int = 0,
    warmup: int = 0,
    schedule: str = "constant",
    clip: float | None = 1.0,
    precision: str = "auto",
    capture: str | bool = "auto",
    compile: str | bool = "auto",
    seed: int = 0,
    progress: bool = True,
) -> list[JobResult]:
    """Train one adapter for each job on the frozen `model`, all in the same steps.

    Args:
        model: a causal language model without adapters. It is unchanged afterwards.
        jobs: configs may differ in r, alpha, rsLoRA, dropout and target modules, jobs in learning
            rate, seed and text. Not for bias, modules_to_save, DoRA and the like.
        train_ids: (n,) token ids for the jobs that bring none.
        valid: (n, T) blocks, evaluated for every adapter before the first step, every
            `eval_every` steps and after the last. Or a function that is given `evaluate`
            (blocks -> each adapter's loss) and returns each adapter's loss, to measure several
            texts.
        seed: of dropout, which is drawn for all adapters together.

    The other arguments are `fit`'s. Returns the results in the order of the jobs.
    """
    if not jobs:
        raise ValueError("no jobs to train")
    if wrong := next((job for job in jobs if not isinstance(job, Job)), None):
        raise TypeError(f"each job is a Job(config, lr), not a {type(wrong).__name__}")
    settings = FitSettings(
        steps=steps,
        lr=jobs[0].lr,
        warmup=warmup,
        schedule=schedule,
        clip=clip,
        eval_every=eval_every,
        precision=precision,
        capture=capture,
        compile=compile,
        seed=seed,
    )
    for job in jobs:  # each with its own numbers, checked as `fit`'s are
        dataclasses.replace(settings, lr=job.lr, weight_decay=job.weight_decay, seed=job.seed)
    stack = AdapterStack(model, initial_adapters(model, jobs))
    source = job_batches(Vocabulary(model), jobs, train_ids, batch_size, length)
    histories = [History() for _ in jobs]
    with (
        training_mode(model),
        random_state(seed, device_of(model)),
        stack.installed(),
        compiled_blocks(model, compile, steps) as blocks,
    ):
        step = prepare(ManyStep(model, stack, jobs, clip, precision), capture, steps, blocks)
        run(
            step,
            lambda: [to_device(next(source), step.device)],
            settings,
            histories=histories,
            measure=None if valid is None else partial(measured, step.step.evaluate, valid),
            progress=progress,
        )
    return [JobResult(job, histories[k], stack.tensors(k)) for k, job in enumerate(jobs)]


def measured(
    evaluate: Evaluator, valid: torch.Tensor | Callable[[Evaluator], list[float]]
) -> list[float]:
    """Each adapter's loss on blocks, or what a function of `evaluate` makes of it."""
    return valid(evaluate) if callable(valid) else evaluate(valid)


def job_batches(
    vocabulary: Vocabulary,
    jobs: Sequence[Job],
    train_ids: torch.Tensor | None,
    batch_size: int,
    length: int,
) -> Iterator[Batch]:
    """Endless batches of K * batch_size rows: the jobs' own batches one below the other."""
    from ...base.tokens import TokenBatches

    sources = []
    for index, job in enumerate(jobs):
        ids = train_ids if job.train_ids is None else job.train_ids
        if ids is None:
            raise ValueError(f"job {index} has no train_ids, and train_many was given none")
        sources.append(TokenBatches(ids, batch_size, length, seed=job.seed))
        vocabulary.require_known(ids, "train_ids")

    def draw() -> Iterator[Batch]:
        while True:
            parts = [next(source) for source in sources]
            yield {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return draw()


def initial_adapters(model: nn.Module, jobs: Sequence[Job]) -> list[dict[str, LayerAdapter]]:
    """Every job's adapter as `get_peft_model` initialises it with the job's seed."""
    for job in jobs:
        check_config(job.config)
    require_bare(model)
    flags = [(p, p.requires_grad) for p in model.parameters()]
    try:
        return [initial_adapter(model, job) for job in jobs]
    finally:
        for parameter, flag in flags:
            parameter.requires_grad = flag


def require_bare(model: nn.Module) -> None:
    """Raise for a model that has adapters: taking the job's out again would take these out too."""
    holders = [name for name, m in model.named_modules() if isinstance(m, AdapterHolder)]
    if holders:
        raise ValueError(
            f"train_many needs a model without adapters, and {holders[0]} has some: load the base "
            "again, or take them out by unload()"
        )


def initial_adapter(model: nn.Module, job: Job) -> dict[str, LayerAdapter]:
    """Inject the adapter, read its first values, and take it out again."""
    from ...lora.model import get_peft_model

    with random_state(job.seed, device_of(model)):
        wrapped = get_peft_model(model, job.config)
    try:
        return {
            name: _read(name, module)
            for name, module in model.named_modules()
            if isinstance(module, LoraLayer)
        }
    finally:
        wrapped.unload()


def _read(name: str, module: LoraLayer) -> LayerAdapter:
    base = module.get_base_layer()
    if not isinstance(base, nn.Linear):
        raise ValueError(f"train_many adapts nn.Linear only; {name!r} is a {type(base).__name__}")
    if isinstance(module, ByWeight | EncoderLinear):
        raise ValueError(
            f"train_many adapts layers that are called, and {name!r} is one whose parent reads its "
            "weight: train it with fit"
        )
    _, A, B, scaling, dropout = module.adapter(ADAPTER)
    return LayerAdapter(
        A=A.weight.detach(),
        B=B.weight.detach(),
        scaling=float(scaling),
        dropout=dropout.p if isinstance(dropout, nn.Dropout) else 0.0,
    )


def check_config(config: Any) -> None:
    """Raise for an option that trains or changes more than the factors of linear layers."""
    wrong = [name for name in UNSUPPORTED if getattr(config, name, None)]
    if getattr(config, "bias", "none") != "none":
        wrong.append(f"bias={config.bias!r}")
    init = getattr(config, "init_lora_weights", True)
    if init not in INITS:
        wrong.append(f"init_lora_weights={init!r}")
    if wrong:
        raise ValueError(
            f"train_many trains A and B only; train with fit instead: {', '.join(wrong)}"
        )
