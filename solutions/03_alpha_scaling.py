# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 03 Alpha and scaling: is alpha a learning rate?
#
# LoRA's update enters the weight with a factor in front, $W + s\,B A$. The number `lora_alpha` sets
# that factor. The card says: think of it as a learning rate. This lesson takes the sentence apart
# until it is exact, and then measures what a weak, a good and a too large alpha do.
#
# **You will be able to**
#
# 1. say what `lora_alpha` does to the weight, and keep the scaling when `r` changes;
# 2. replace a change of alpha by an exactly equal change of the learning rate, for SGD and AdamW;
# 3. say what `use_rslora` changes, and read off recorded runs whether you need it;
# 4. fit a power law, and define "unstable" so that it can be counted.
#
# **Time:** 42 minutes for the core path; what is marked *extra* takes 26 more.
#
# **You need:** lesson 02's layer (A random, B zero, W frozen), and what one step of SGD and of Adam
# does.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import math

import torch

import lora_lessons as ll
from lora_lessons.course import mechanisms
from lora_lessons.course.lesson03 import comparisons, figures
from lora_lessons.experiments import alpha_algebra as algebra
from lora_lessons.experiments import lesson03 as experiment

lesson = ll.lesson("03")
SIZE = experiment.SIZES[ll.preset()]  # quick, small or full: how long the live runs are
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Where alpha stands (*core*)
#
# The weight that a layer uses is
#
# $$W + s\,B A, \qquad s = \frac{\alpha}{r} \;\text{(LoRA)} \qquad\text{or}\qquad
# s = \frac{\alpha}{\sqrt{r}} \;\text{(rsLoRA)} .$$
#
# So $\alpha / r$ is not "the effective weight", as the card has it. It is the factor of the update.
# (The card is the list of statements that this course tests; lesson 00 shows it.)

# %%
ll.show(mechanisms.lora_layer(scaling="alpha / r"))

# %% [markdown]
# ### Exercise 3.1: the weight that the layer has (*core*, 4 minutes)
#
# Return $W + s\,B A$. The rank is not among the arguments: read it off `A`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "adapted_weight", "locked": false, "solution": true, "task": false}
def adapted_weight(
    W: torch.Tensor, B: torch.Tensor, A: torch.Tensor, alpha: float, stabilized: bool
) -> torch.Tensor:
    """Return W + s B A: W (out, in), B (out, r), A (r, in); rsLoRA's s where stabilized."""
    ### BEGIN SOLUTION
    r = A.shape[0]
    s = alpha / math.sqrt(r) if stabilized else alpha / r
    return W + s * (B @ A)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_adapted_weight", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.adapted_weight(adapted_weight)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# With $B$ and $A$ held still, the update is proportional to alpha. That is algebra, and true.
#
# Now a trap that people fall into: they raise `r` to 128 and leave `lora_alpha` at the default of
# 8. The scaling falls from $8/8 = 1$ to $8/128 = 0.0625$. One reports: "LoRA does not learn." What
# does the **first step** do then? Say first what you expect.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "trap",
    "AdamW, r from 8 to 128, alpha left at 8: the first step's fall in loss is divided by (1: it stays)",
    options=[256, 16, 4, 1],
)

# %% tags=["nbval-ignore-output"]
lesson.explore.scaling()

# %% [markdown]
# Does a language model agree with the panel? The nano's layers are 64 wide, so its rank goes from 2 to
# 32 here: 16 times too. One step of AdamW from the start:

# %% tags=["nbval-ignore-output"]
trap = algebra.first_step_laws(ranks=(2, 32), seeds=(0, 1))
trap_falls = {
    r: sum(row["fall, AdamW"] for row in trap if (row["r"], row["rule"]) == (r, "alpha / r"))
    for r in (2, 32)
}
lesson.compare("trap", trap_falls[2] / trap_falls[32])

# %% [markdown]
# With SGD the first step takes 16 times less off the loss. With Adam it takes as much as before.
# Section 2 shows why (and section 4, an extra one, measures more of it). First: how do you keep the scaling?
#
# ### Exercise 3.2: keep the scaling when r changes (*core*, 5 minutes)
#
# Return the alpha at `new_r` that gives the same scaling as `old_alpha` at `old_r`, under either
# rule.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "alpha_for", "locked": false, "solution": true, "task": false}
def alpha_for(new_r: int, old_r: int, old_alpha: float, stabilized: bool) -> float:
    """Return the alpha that keeps the scaling when the rank goes from old_r to new_r."""
    ### BEGIN SOLUTION
    ratio = new_r / old_r
    return old_alpha * (math.sqrt(ratio) if stabilized else ratio)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_alpha_for", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.alpha_for(alpha_for)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 2. The first step (*core*)
#
# Let $G$, of shape (out, in), be the gradient of the loss with respect to the layer's weight: what
# full fine-tuning would step along. $B$ starts at zero, so $A$ gets no gradient and only $B$ moves:
#
# $$\nabla_B = s\,G A^\top .$$
#
# SGD moves $B$ by $-\text{lr}\,\nabla_B$. Adam divides each gradient by its own size, so its
# **first** step is $-\text{lr}\,\operatorname{sign}(\nabla_B)$, whatever the size of the gradient.
#
# ### Exercise 3.3: what the first step does to W (*core*, 8 minutes)
#
# Return the change of the layer's weight, $s\,B A$ after one step, for `"sgd"` and for `"adam"`.
# Where does $s$ stand, and how often?


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "first_update", "locked": false, "solution": true, "task": false}
def first_update(
    G: torch.Tensor, A: torch.Tensor, s: float, lr: float, optimizer: str
) -> torch.Tensor:
    """Return s B A (out, in) after one step from B = 0; G (out, in), A (r, in)."""
    ### BEGIN SOLUTION
    gradient = s * G @ A.T  # of B: (out, r)
    step = gradient if optimizer == "sgd" else torch.sign(gradient)
    return -lr * s * step @ A
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_first_update", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.first_update(first_update)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Does PyTorch agree with your formula?

# %% tags=["nbval-ignore-output"]
formula = lesson.use("first_update", first_update, algebra.first_update)

# %%
for optimizer in ("sgd", "adam"):
    G, A, update = algebra.first_update_of_torch(s=7 / 3, lr=0.01, optimizer=optimizer)
    torch.testing.assert_close(formula(G, A, 7 / 3, 0.01, optimizer), update, rtol=1e-5, atol=1e-9)
    print(optimizer, "agrees with torch.optim")

# %% [markdown]
# So alpha times $k$ makes the first update $k^2$ times as large with SGD, and $k$ times with Adam.
# On a whole language model, with $k = 3$:

# %%
for optimizer, expected in (("sgd", 9), ("adamw", 3)):
    factor = algebra.first_update_factor(optimizer, k=3)
    assert abs(factor / expected - 1) < 1e-3
    print(f"{optimizer}: alpha x 3 makes the first update {factor:.2f} times as long")

# %% [markdown]
# ## 3. Is alpha a learning rate? (*core*)
#
# If it were one, alpha times $k$ would be the same run as the learning rate times $k$. Think it
# through. Alpha times $k$ makes $s\,B A$ larger by $k$. Leave $s$ alone and give the $k$ to the
# factors instead:
#
# $$(k s)\, B A \;=\; s\,(\sqrt{k}\,B)(\sqrt{k}\,A) \;=\; s\,(k B)\,A .$$
#
# For the run to stay the same at every later step, the steps of the larger factors must be larger
# in the same measure. How large the learning rate must be for that depends on what the optimizer
# makes of the gradients, which *shrink*: if $A$ is $\sqrt{k}$ times as large, its gradient is
# $\sqrt{k}$ times as small. With SGD a step is the rate times the gradient: it must be $\sqrt{k}$ times as long, and
# the gradient alone makes it $\sqrt{k}$ times as short. With AdamW the size of the gradient does not matter.
#
# ### Exercise 3.4: the same run without alpha (*core*, 15 minutes)
#
# Alpha is to stay where it is. Return the settings that give the run that alpha times `k` would
# give (Adam's tiny `eps` left aside), when $A$ and $B$ take $\sqrt{k}$ each:
#
# - `lr`: the learning rate of both $A$ and $B$;
# - `start_A`: what $A$'s first values are multiplied by ($B$ starts at zero anyway);
# - `weight_decay`: each step shrinks a weight by lr times decay times the weight, for both
#   optimizers.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "same_run", "locked": false, "solution": true, "task": false}
def same_run(k: float, lr: float, weight_decay: float, optimizer: str) -> dict[str, float]:
    """Return lr, weight_decay and start_A that equal alpha x k, for "adamw" or "sgd"."""
    ### BEGIN SOLUTION
    root = math.sqrt(k)
    factor = root if optimizer == "adamw" else k
    return {"lr": lr * factor, "weight_decay": weight_decay / factor, "start_A": root}
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_same_run", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.same_run(same_run)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now the proof by experiment: a language model in float64, several training steps with alpha times
# 3, and the same steps with each candidate. "The same run" means that all updates $s\,B A$ agree to
# ten digits at the end. Adam adds a small `eps` to the size of the gradient. Since the gradients
# shrink, `eps` must shrink with them.

# %%
runs = {
    optimizer: algebra.compare_runs(optimizer, k=3, lr=lr, steps=SIZE["exact_steps"])
    for optimizer, lr in (("adamw", 1e-2), ("sgd", 0.1))
}
candidates = [(optimizer, row) for optimizer, found in runs.items() for row in found]
ll.Table(
    ("optimizer, in place of alpha x 3", "it is"),
    [
        (
            f"{optimizer}: {row['instead']}",
            "the same run" if row["update"] < 1e-10 else "ANOTHER run",
        )
        for optimizer, row in candidates
    ],
)

# %% [markdown]
# By how much the others differ, and two everyday settings that break even the right one:

# %% tags=["nbval-ignore-output"]
lengths = [
    (f"{optimizer}: {row['instead']}", f"{row['update']:.1e}") for optimizer, row in candidates
]
only = ("lr of B x k",)
for name, extra in (("decay 0.1", {"weight_decay": 0.1}), ("clipping at 0.1", {"clip": 0.1})):
    (row,) = algebra.compare_runs("adamw", lr=1e-2, steps=SIZE["exact_steps"], only=only, **extra)
    assert row["update"] > 1e-5
    lengths.append((f"adamw: {row['instead']}, with {name}, not adjusted", f"{row['update']:.1e}"))
ll.Table(
    (
        "optimizer, in place of alpha x 3",
        "length of the difference of all updates, relative to the updates of alpha x 3",
    ),
    lengths,
)

# %% [markdown]
# So the sentence of the card, made exact:
#
# - **AdamW** (no decay, no clipping, `eps` scaled along): alpha times $k$ **is** the learning rate
#   of $B$ times $k$. It is also the learning rate times $\sqrt{k}$ on both factors with $A$ started
#   $\sqrt{k}$ times larger. It is **not** the learning rate times $k$.
# - **SGD**: alpha times $k$ is the learning rate times $k$ with $A$ started $\sqrt{k}$ times
#   larger, or the learning rate of $B$ times $k^2$. It is **not** the learning rate times $k$
#   alone.
# - With decay, clipping or Adam's `eps` left as they are, the right ones are close, and no longer
#   equal.
#
# The LoRA paper says it with the same condition (section 4.1): "When optimizing with Adam, tuning α is
# roughly the same as tuning the learning rate if we scale the initialization appropriately."
#
# ## 4. The first step as a power of the rank (*extra*)
#
# Exercise 3.3 has one consequence more. Try it before you read on. Under rsLoRA, $s = \alpha/\sqrt r$,
# keep alpha and raise `r` from 1 to 16. Then $s$ is a quarter of what it was, and $A$ has 16 times as
# many rows. How many times as much does AdamW's first step take off the loss?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "rslora",
    "AdamW, alpha / sqrt(r), r from 1 to 16: the first step's fall in loss, times what it was",
    options=[0.25, 1, 4, 16],
)

# %% [markdown]
# $A$ has $r$ rows of the same spread, so $G A^\top$ has $r$ columns of the same size. Hence, to first
# order in the learning rate:
#
# | at the first step | grows as | $\alpha$ fixed, $s = \alpha/r$ | $\alpha$ fixed, $s = \alpha/\sqrt r$ | $\alpha = 2r$, $s = 2$ |
# |---|---|---|---|---|
# | norm of $B$'s gradient | $s\sqrt r$ | $r^{-1/2}$ | $r^0$ | $r^{1/2}$ |
# | fall in loss, SGD: lr times the squared norm | $s^2 r$ | $r^{-1}$ | $r^0$ | $r^1$ |
# | fall in loss, Adam: lr times the sum of sizes | $s\,r$ | $r^0$ | $r^{1/2}$ | $r^1$ |
#
# A table of theory is a set of predictions. To test them you need the exponent of a measured law.
#
# ### Exercise 3.5: the exponent of a measured law (*extra*, 6 minutes)
#
# Return the least-squares estimate of $p$ in $y = c\,x^p$ from all points. Raise `ValueError` if a
# value is not above zero (the gradient of $A$ at the start *is* zero, and has no exponent).


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "power_law", "locked": false, "solution": true, "task": false}
def power_law(x: list[float], y: list[float]) -> float:
    """Return the exponent p of y = c x^p, by least squares in log y against log x."""
    ### BEGIN SOLUTION
    if min(x) <= 0 or min(y) <= 0:
        raise ValueError("a power law needs values above zero")
    log_x, log_y = torch.tensor(x).double().log(), torch.tensor(y).double().log()
    log_x, log_y = log_x - log_x.mean(), log_y - log_y.mean()
    return (log_x @ log_y / (log_x @ log_x)).item()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_power_law", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.power_law(power_law)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Measure: one step from the start, for several ranks, three rules, two optimizers and several
# seeds.

# %% tags=["nbval-ignore-output"]
laws = algebra.first_step_laws(ranks=SIZE["ranks"], seeds=SIZE["law_seeds"])
fit = lesson.use("power_law", power_law, algebra.exponent)
one = [row for row in laws if row["seed"] == 0 and row["rule"] == "alpha / r"]
ll.Table(
    ("alpha / r, one seed", "goes as r to the power"),
    [
        (what, f"{fit([row['r'] for row in one], [row[what] for row in one]):.2f}")
        for what in figures.MEASURES
    ],
)

# %% tags=["nbval-ignore-output"]
ll.show(figures.first_step(laws, title="Live"))

# %%
exponents = figures.exponent_table(laws)
assert all(abs(fitted - theory) < 0.15 for _, _, theory, fitted, _ in exponents)
print("each exponent is within 0.15 of theory's:")
ll.Table(
    ("at the first step", "rule", "goes as r to the power"),
    [(what, rule, f"{theory:.1f}") for what, rule, theory, _, _ in exponents],
)

# %% tags=["nbval-ignore-output"]
falls = {
    r: sum(row["fall, AdamW"] for row in laws if (row["r"], row["rule"]) == (r, "alpha / sqrt(r)"))
    for r in (1, 16)
}
lesson.compare("rslora", falls[16] / falls[1], unit="times")

# %% [markdown]
# The same on the decoder, recorded; the interval is over five seeds:

# %%
recorded_laws = lesson.recorded("03_first_step")
recorded_laws

# %%
comparisons.law_table(recorded_laws.data)

# %% [markdown]
# Three things follow.
#
# - rsLoRA's $\alpha/\sqrt{r}$ makes the *gradient* independent of the rank, and so SGD's first
#   step. For AdamW, which this course trains with, it is the plain $\alpha/r$ that does: there the
#   first step does not depend on `r`. The paper hopes for that: its scaling "helps to reduce the need
#   to retune hyperparameters when we vary r" (section 4.1).
# - The rule "alpha = 2r" makes the first step grow with `r` for both. That fits lesson 01: at the
#   learning rate 0.01 training broke from `r` = 32 on under that rule, and at no rank with alpha
#   fixed.
# - The trap of section 1, `r` raised and alpha left: with SGD it is real. With AdamW it is not
#   visible in the first step. Lesson 01 has recorded what happens in 400 steps. Predict it:

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "trap_later",
    "AdamW at 0.001, r raised from 8 to 128, alpha left at 16: the best loss in 400 steps is then",
    options=["higher", "the same within 0.01", "lower"],
)

# %%
ranks_recorded = lesson.recorded("01_rank_sweep").data
kept_or_not = comparisons.at_two_ranks(ranks_recorded, rates=(3e-4, 1e-3))
raised = ll.paired_gap(*(kept_or_not[1e-3][f"alpha = 16, r = {r}"] for r in (128, 8)))

# %% tags=["nbval-ignore-output"]
came = "lower" if raised.high < -0.01 else "higher" if raised.low > 0.01 else "the same within 0.01"
lesson.compare("trap_later", came)

# %%
ll.gap_table(
    comparisons.gaps_at_two_ranks(kept_or_not, 3e-4), "nats per token", "AdamW at 0.0003, best loss"
)

# %%
ll.gap_table(
    comparisons.gaps_at_two_ranks(kept_or_not, 1e-3), "nats per token", "AdamW at 0.001, best loss"
)

# %% [markdown]
# Alpha left at 16 while `r` goes from 8 to 128 did no harm: the loss fell at both rates. Keeping the
# scaling (alpha = 2r) was better at 0.0003 and worse at 0.001: it acts as a higher rate, which helps
# where the rate is low.
#
# ## 5. Should you set `use_rslora`? (*core*)
#
# rsLoRA divides by $\sqrt r$, so with alpha left alone its scaling is $\sqrt r$ times LoRA's: nearly 3
# times at $r = 8$, 11 times at 128. The first step says little about a whole run. So here is one:
# the decoder, alpha = 16, 1,000 steps, four learning rates. Each rule gets the rate that was best
# on two *other* seeds (10 and 11); seeds 0 to 4 are reported.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "use_rslora",
    "The lower loss after 1,000 steps at r = 128, each rule at its own learning rate",
    options=["alpha / r", "alpha / sqrt(r)", "cannot be told"],
)

# %%
long_runs = lesson.recorded("03_rank_scaling")
long_runs

# %%
reported = [row for row in long_runs.data if row["seed"] not in comparisons.TUNING]
ll.show(figures.rank_scaling(reported))

# %%
comparisons.rank_scaling_table(long_runs.data)

# %% tags=["nbval-ignore-output"]
at_128 = {rule: comparisons.tuned(long_runs.data, 128, rule) for rule in comparisons.SCALINGS}
lesson.compare("use_rslora", at_128, best="lowest", tied="cannot be told")

# %%
ll.gap_table(
    comparisons.rank_scaling_gaps(long_runs.data), "nats per token", "best loss, rates tuned"
)

# %%
ll.gap_table(comparisons.rates_gaps(long_runs.data, 128), "nats per token", "r = 128, at one rate")

# %% [markdown]
# At $r = 128$ rsLoRA is better by a hundredth of a nat, each rule at its own rate. At $r = 8$ nothing is
# settled, and the mean points the other way. At *one* rate the two rules look very different: rsLoRA wins
# at the two lower rates and loses at the two higher ones, for its scaling is the larger one. So `use_rslora`
# is above all a change of alpha: whoever sets it without tuning the rate again compares two rates. (The rates here
# are a factor of three apart, and a finer grid could move a hundredth of a nat. So whether rsLoRA's *rule* is better
# stays open.)
#
# ## 6. Weak, best, too much (*core*)
#
# The card: alpha too low, weak updates; too high, instability; typical, 16 to 32. "Instability"
# needs a definition before it can be counted. One that can be computed: compare each training loss
# with what the **untrained base** has on the *same* batch, for some batches are hard for everybody.
#
# ### Exercise 3.6: which runs broke (*extra*, 6 minutes)
#
# Return, in this order of tests:
#
# - `"diverged"` if a loss is not finite, or if the last tenth of the run (at least one step) is *on
#   average* more than `margin` above the base;
# - `"spiked"` if the run came back, but some single loss was more than `margin` above the base's on
#   its batch;
# - `"stable"` otherwise.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "run_outcome", "locked": false, "solution": true, "task": false}
def run_outcome(losses: list[float], untrained: list[float], margin: float) -> str:
    """Return "stable", "spiked" or "diverged"; untrained: the base's losses on the same batches."""
    ### BEGIN SOLUTION
    if not all(math.isfinite(loss) for loss in losses):
        return "diverged"
    excess = [loss - base for loss, base in zip(losses, untrained, strict=True)]
    last = excess[-max(1, len(excess) // 10) :]
    if sum(last) / len(last) > margin:
        return "diverged"
    return "spiked" if max(excess) > margin else "stable"
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_run_outcome", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.run_outcome(run_outcome)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### Which alpha is best? (*core*)
#
# Predict: which alpha has the lowest loss at `r = 8`, if each gets its own best learning rate?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "best_alpha",
    "The alpha with the lowest validation loss, each at its best learning rate (recorded decoder)",
    options=[0.25, 1, 4, 16, 32, 64, 256, 1024],
)

# %% [markdown]
# First live, on the nano model, all alphas side by side at one learning rate. Every gradient is
# clipped at norm 1, and the margin is 0.25 nats, here and in the recorded run:

# %% tags=["nbval-ignore-output"]
rows = experiment.alpha_sweep(
    alphas=SIZE["alphas"],
    seeds=SIZE["seeds"],
    steps=SIZE["steps"],
    batch_size=SIZE["batch"],
    length=SIZE["length"],
    eval_every=max(1, SIZE["steps"] // 2),
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
    progress=True,
)
ll.show(figures.alpha_sweep(rows, title="Live: nano, AdamW"))

# %%
sizes = [min(row["update"] for row in rows if row["alpha"] == a) for a in SIZE["alphas"]]
assert sizes == sorted(sizes), "the update grows with alpha"
worst = min(row["best"] for row in rows if row["alpha"] == 1024)
assert worst > min(row["best"] for row in rows) + 0.2
print("after the same steps, a larger alpha has the longer update; 1024 is too much at this rate")

# %% [markdown]
# An alpha may break in all seeds and still show a low *best* loss: the best reading came before it broke.
#
# Now recorded on the decoder, with $r = 8$ on all linear layers: eight alphas, six learning rates,
# five seeds, 200 steps of AdamW on an H100. The band is the 95 % interval of the mean over the seeds.

# %%
recorded = lesson.recorded("03_alpha_sweep")
recorded

# %%
ll.show(figures.alpha_sweep(recorded.data, title="Recorded decoder", top=5.1))

# %% [markdown]
# The same runs as a map. Follow the valley of low loss: a larger alpha wants a lower learning rate.

# %%
ll.show(figures.loss_map(recorded.data, worst=5.0))

# %%
comparisons.alpha_table(recorded.data)

# %% tags=["nbval-ignore-output"]
lesson.compare("best_alpha", comparisons.at_best_rates(recorded.data), best="lowest")

# %%
against_32 = comparisons.alpha_gaps(recorded.data, 32)
ll.gap_table(against_32, "nats per token", "decoder, each alpha at its best rate")

# %% [markdown]
# ### A larger model (*extra*)
#
# Does the valley carry? SmolLM2-135M has 25 times the decoder's size. The same sweep on it has
# six alphas, four learning rates, three seeds and 120 steps of 8 x 64 tokens. Its loss before training is 4.444.

# %%
larger = lesson.recorded("03_alpha_sweep_smollm2")
larger

# %%
ll.show(figures.alpha_sweep(larger.data, title="Recorded SmolLM2-135M", top=4.5))

# %%
comparisons.alpha_table(larger.data)

# %%
ll.gap_table(
    comparisons.alpha_gaps(larger.data, 16), "nats per token", "SmolLM2, each at its best rate"
)

# %% [markdown]
# ### What came out (*core*)
#
# - **Too low, weak updates: holds in part.** The update is shorter at every rate. The loss is higher
#   only where the rate is low: a higher rate makes up for a low alpha.
# - **Too high, instability: holds** at a given rate. At its own rate even alpha = 1024 breaks no seed.
# - **Typical, 16 to 32: holds in part.** Each at its best rate, 32 is the lowest; 1 and 4 are not told
#   from it, and 16 is worse. (64 has a lower mean than 4 and *is* told from 32: seed by seed it differs from 32 by
#   nearly the same.) From 1 to 256 all lie within 0.02. 32 was picked as the best of eight on the seeds that are
#   reported, which flatters it.
# - **Stabilizes training: holds in part.** A larger alpha breaks runs sooner. But dividing by `r` does
#   stabilize: at 0.01 lesson 01's runs broke with alpha = 2r and not with alpha fixed.
# - **Controls the update's magnitude: holds.**
# - **What carries over:** keep one alpha, and tune the rate.

# %%
comparisons.breaking_table(recorded.data)

# %% [markdown]
# ### More tables (*extra*)
#
# The slope below says: the best rate falls nearly as the root of alpha. If alpha acted as a learning rate, the slope
# would be -1; if as a factor shared between A and B, -0.5. (The highest alphas, 1024 on the decoder, 64 and 256 on
# SmolLM2, are best at the lowest rate tried, so the slope may be steeper.) SmolLM2 agrees: its alphas from 1 to 256 are
# not told apart at their own rates, and a larger alpha wants a lower rate. At which rate an alpha is too much differs from model to model.

# %%
ll.Table(
    ("model", "the best rate goes as alpha to the power"),
    [
        (name, f"{comparisons.valley_slope(run.data):.2f}")
        for name, run in (("decoder", recorded), ("SmolLM2-135M", larger))
    ],
)

# %%
ll.gap_table(
    comparisons.low_alpha_gaps(recorded.data), "nats per token", "decoder, alpha = 1 less 16"
)

# %%
ll.gap_table(
    comparisons.low_alpha_gaps(larger.data), "nats per token", "SmolLM2, alpha = 1 less 16"
)

# %% [markdown]
# ### Question 3.7: the colleague's bug report (*extra*, written, 5 minutes, 3 points)
#
# A colleague writes: "I raised r from 8 to 128, left lora_alpha at 8, and LoRA does not learn.
# Alpha is just a learning rate, so I will multiply the learning rate by 16." In at most five
# sentences: what happened to the scaling, what does it change for SGD and for AdamW, is the cure
# exact, and what would you do? Use at least two numbers from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_alpha", "locked": false, "points": 3, "solution": true, "task": false}
# The scaling fell from 1 to 0.0625, 16 times. With SGD the first step then takes 16 times less off
# the loss; with AdamW, alpha / r makes it independent of r, and lesson 01's runs with alpha left at
# 16 even improved, by 0.0468 ± 0.0070 from r = 8 to 128 at the rate 0.001. The cure is not exact:
# alpha x 16 is the learning rate of B x 16, or x 4 on both factors with A started 4 times larger, and not the learning
# rate x 16. I would set alpha to 128 to keep the scaling, then tune the learning rate again for the
# new r, with several seeds.

# %% [markdown]
# ### Exercise 3.8: the alphas of your own (*extra*, 3 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# You train with `r` and `lora_alpha` below, and go to `new_r`. Which alpha keeps the scaling under
# $\alpha/r$, and which under rsLoRA's $\alpha/\sqrt{r}$? Return the two, in this order, with five digits at
# least. Call your function of exercise 3.2 in a cell of its own. Here return the plain numbers that came out, as in
# `return 12.5, 7.0711`: only numbers are read.

# %%
STUDENT = ""
mine = lesson.mine("my_alphas", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_alphas", "locked": false, "solution": true, "task": false}
def my_alphas() -> tuple[float, float]:
    """Return the alpha for new_r under alpha / r, and under alpha / sqrt(r)."""
    ### BEGIN SOLUTION
    return 2_786.667, 495.2037  # for self-study: 88 * 95 / 3, and 88 * (95 / 3) ** 0.5
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_alphas", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_alphas(my_alphas)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 7. The same in PEFT (*extra*)
#
# PEFT keeps the scaling in each layer. The trap, its cure, and the equivalence of section 3, in the
# production library:

# %% tags=["nbval-ignore-output"]
import peft


def adapted(alpha: float, r: int, **fields):
    """A PEFT model around one linear layer, the same start each time, and its LoRA layer."""
    ll.seed_everything(0)
    base = torch.nn.Sequential()
    base.add_module("proj", torch.nn.Linear(31, 23).double())
    config = peft.LoraConfig(r=r, lora_alpha=alpha, target_modules=["proj"], **fields)
    model = peft.get_peft_model(base, config)
    return model, model.base_model.model.proj


keep = lesson.use("alpha_for", alpha_for, figures.alpha_for)

# %%
in_peft = {
    "r = 8, alpha = 8": adapted(8, 8),
    "r = 128, alpha = 8": adapted(8, 128),
    "r = 128, alpha by 3.2": adapted(keep(128, 8, 8, False), 128),
    "rsLoRA, r = 8, alpha = 8": adapted(8, 8, use_rslora=True),
    "rsLoRA, r = 128, alpha by 3.2": adapted(keep(128, 8, 8, True), 128, use_rslora=True),
}
ll.Table(
    ("config", "scaling in PEFT"),
    [(name, f"{layer.scaling['default']:.4f}") for name, (_, layer) in in_peft.items()],
)


# %%
def five_steps(alpha: float, lr_of_B: float) -> torch.Tensor:
    """The update s B A after five steps of AdamW without decay, and with a tiny eps."""
    model, proj = adapted(alpha, r=4)
    A, B = proj.lora_A["default"].weight, proj.lora_B["default"].weight
    with torch.no_grad():
        A.data, B.data = A.double(), B.double()
    groups = [{"params": [A], "lr": 0.01}, {"params": [B], "lr": lr_of_B}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0, eps=1e-30)
    x = torch.randn(64, 31, generator=ll.generator(1), dtype=torch.float64)
    y = torch.randn(64, 23, generator=ll.generator(2), dtype=torch.float64)
    for _ in range(5):
        optimizer.zero_grad()
        (model(x) - y).square().mean().backward()
        optimizer.step()
    return proj.get_delta_weight("default").detach()


torch.testing.assert_close(five_steps(24, 0.01), five_steps(8, 0.03), rtol=1e-9, atol=1e-12)
print("PEFT, AdamW: alpha x 3 and the learning rate of B x 3 give the same update")

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - The weight is $W + s\,BA$, $s = \alpha/r$ or $\alpha/\sqrt r$. Raise `r` and leave alpha, and
#   the scaling falls.
# - Alpha is not *the* learning rate. With AdamW it is that of $B$, or its root on both factors with $A$
#   started larger; with SGD it is the rate with $A$ started larger, or the square of it on $B$.
# - With AdamW and $\alpha/r$ the first step does not depend on the rank; with SGD $\alpha/\sqrt r$
#   has that property.
# - `use_rslora` makes the scaling $\sqrt r$ times as large. Tune the rate again before you judge it.
# - "Unstable" means nothing until it is defined. Tune the learning rate before you blame alpha.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a
# week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, [LoRA: Low-Rank Adaptation of Large Language Models](https://arxiv.org/abs/2106.09685),
#   2021: section 4.1 on alpha.
# - Kalajdzievski, [A Rank Stabilization Scaling Factor for Fine-Tuning with
#   LoRA](https://arxiv.org/abs/2312.03732), 2023.
# - Hayou and others, [LoRA+](https://arxiv.org/abs/2402.12354), 2024: a learning rate of its own for B.
# - Chen, Villar and Hayou, [Learning Rate Scaling across LoRA Ranks and Transfer to Full
#   Finetuning](https://arxiv.org/abs/2602.06204), 2026: where the best rate stays as the rank grows, and
#   where it falls as 1 / r, by the start of A and B and the scaling.
# - [LoraConfig](https://huggingface.co/docs/peft/package_reference/lora) in PEFT's documentation.
#
# Next: [lesson 04](04_dropout.ipynb) takes `lora_dropout`.

# %%
lesson.summary()
