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
# # 04 Dropout: noise on the branch, none on the base
#
# `lora_dropout` drops elements of the input of the LoRA branch while it trains. The card says that this
# reduces over-fitting on small data. This lesson builds it, derives the penalty that it stands for, and
# measures what it does to the best and to the last loss.
#
# **You will be able to**
#
# 1. put the mask where it belongs, and say why evaluation and merging know nothing of it;
# 2. compute the penalty on the update that dropout implies for a squared loss;
# 3. tell from measurements what `lora_dropout` gave beyond early stopping and weight decay.
#
# **Time:** 55 minutes in all. The **core path** takes 30: the sections marked *core*.
#
# **You need:** the LoRA layer of lesson 02, mean and variance, and what over-fitting looks like.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import torch

import lora_lessons as ll
from lora_lessons.course.lesson04 import figures
from lora_lessons.experiments import lesson04 as experiment

lesson = ll.lesson("04")
SIZE = experiment.SIZES[ll.preset()]
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Where the mask is (*core*)
#
# In training, a LoRA layer with dropout $p$ computes
#
# $$h = W x + b + s\, B A\, \tilde x, \qquad \tilde x_j = \frac{m_j}{1 - p}\, x_j, \qquad
# m_j = \begin{cases} 0 & \text{with probability } p \\ 1 & \text{else.} \end{cases}$$
#
# Read it slowly, for three things are easily got wrong:
#
# - The mask is on the **input of the branch**. It is not on $W x$, not on $A x$ and not on the result. The
#   base always sees all of $x$: what is dropped are input features *of the update*.
# - Each **element** of $x$ has its own draw: each token, each feature, at each step anew.
# - What is kept is divided by $1 - p$, the share that is kept. So the mean of $\tilde x$ over the masks
#   is $x$.
#
# ### Exercise 4.1: the branch with a mask (*core*, 5 minutes)
#
# Return $s\,B A\,\tilde x$, the branch alone. To make it checkable you are given the random numbers:
# `noise` has the shape of `x` and is uniform between 0 and 1. Drop an element where its noise is
# **below** `p`. Leave `x` and `noise` themselves as they are: the base still needs all of `x`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "dropped_branch", "locked": false, "solution": true, "task": false}
def dropped_branch(
    x: torch.Tensor,
    noise: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    scaling: float,
    p: float,
) -> torch.Tensor:
    """Return the branch of x (..., in) with the mask from noise (..., in): (..., out)."""
    ### BEGIN SOLUTION
    kept = x * (noise >= p) / (1 - p)  # (..., in)
    return scaling * kept @ A.T @ B.T
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_dropped_branch", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.dropped_branch(dropped_branch)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now look at it. On the left is the input under one mask. On the right is one output of the branch under
# 2,000 masks. Move `p`: the mean stays and the spread grows. Move the number of features: many
# small terms make less noise than a few large ones.

# %% tags=["nbval-ignore-output"]
lesson.explore.mask()

# %%
lesson.explore.mask.static()

# %% [markdown]
# ## 2. Training and evaluation (*core*)
#
# After training there is nothing to regularise, so evaluation uses the branch without a mask. Thanks to
# the division by $1 - p$, that is the mean of what training saw: no correction is needed.
#
# ### Exercise 4.2: the layer, in training and in evaluation (*core*, 8 minutes)
#
# Build the whole layer as a module: frozen base plus branch. With `layer.train()` it draws a new mask at
# each call, with `layer.eval()` it draws none. `torch.nn.Dropout` may help: it follows the mode of the
# module that it is a part of. `linear` comes frozen; gradients still pass through it, to the layers below
# (lesson 02). `A` and `B` may be parameters or plain tensors: nothing is trained here.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "DropoutLora", "locked": false, "solution": true, "task": false}
class DropoutLora(torch.nn.Module):
    """A frozen linear layer and a LoRA branch with dropout: x (..., in) -> (..., out)."""

    def __init__(
        self,
        linear: torch.nn.Linear,
        A: torch.Tensor,
        B: torch.Tensor,
        scaling: float,
        p: float,
    ):
        """Keep the frozen `linear`, the factors A (r, in) and B (out, r), the scaling and p."""
        super().__init__()
        ### BEGIN SOLUTION
        self.linear = linear
        self.A, self.B = torch.nn.Parameter(A), torch.nn.Parameter(B)
        self.scaling = scaling
        self.dropout = torch.nn.Dropout(p)
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the base's output plus the branch's, with a mask while training."""
        ### BEGIN SOLUTION
        branch = self.dropout(x) @ self.A.T @ self.B.T
        return self.linear(x) + self.scaling * branch
        ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_DropoutLora", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.DropoutLora(DropoutLora)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Three facts about your layer. With masks on, its base path is what it was. The mean over many masks is
# the output without one. And that is the output of the **merged** weight, $W + s B A$, which has no $p$
# in it: merging ignores dropout because there is nothing left to merge.

# %%
layer_class = lesson.use("DropoutLora", DropoutLora, experiment.package_layer)
linear, A, B, scaling, x = experiment.one_layer()
layer = layer_class(linear, A, B, scaling, 0.5)
silent = layer_class(linear, A, torch.zeros_like(B), scaling, 0.5)
with torch.no_grad():
    base_only = silent.train()(x)
    masked = layer.train()(x.expand(5_000, *x.shape))  # (masks, n, out)
    quiet = layer.eval()(x)
    merged = x @ (linear.weight + scaling * B @ A).T + linear.bias

# %%
torch.testing.assert_close(base_only, linear(x))
torch.testing.assert_close(quiet, merged)
error = (masked.mean(0) - quiet).abs() / (masked.std(0) / 5_000**0.5)
assert error.max() < 6, "the mean over the masks is the output without a mask, up to chance"
assert masked.std(0).min() > 0.05
print("base path with masks on: unchanged")
print("evaluation: the merged weight's output")
print("mean over 5,000 masks: the same, within six standard errors")

# %% [markdown]
# One caution. This holds for one layer, which is linear. A whole network is not: the mean of its outputs
# over the masks is *close to* the output without masks, not equal.
#
# ## 3. The penalty that dropout implies (*core*)
#
# What does the noise do to training? For a squared loss there is an exact answer. Write
# $\Delta W = s B A$ and let $t$ be the target. The mean of $\tilde x$ is $x$, and the variance of
# $\tilde x_j$ is $\frac{p}{1-p} x_j^2$, independently for each $j$. The mean of a square is the square of
# the mean plus the variance, so over the masks
#
# $$\mathbb E\,\lVert t - W x - b - \Delta W \tilde x \rVert^2
#   = \underbrace{\lVert t - W x - b - \Delta W x \rVert^2}_{\text{the loss without a mask}}
#   + \underbrace{\frac{p}{1-p} \sum_j x_j^2\, \lVert \Delta W_j \rVert^2}_{\text{a penalty}},$$
#
# where $\Delta W_j$ is **column** $j$: all that feature $j$ feeds. Over the data, $x_j^2$ becomes
# $\mathbb E[x_j^2]$. Three things to see in it:
#
# - It is ridge regression (a squared loss plus a price on squared weights) with a price for each feature: a
#   feature that is often large is dear to use.
# - It pulls the **update** to zero, and so the model to its base. It does not touch $W$.
# - It grows with $p/(1-p)$. How much stronger is the penalty at $p = 0.9$ than at $p = 0.1$?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "penalty_ratio",
    "The penalty at p = 0.9 is so many times the penalty at p = 0.1",
    low=1,
    high=120,
    step=1,
)

# %% [markdown]
# ### Exercise 4.3: the penalty that dropout implies (*core*, 6 minutes)
#
# Return $\frac{p}{1-p} \sum_j \mathbb E[x_j^2] \lVert \Delta W_j \rVert^2$ as a number. You are given
# rows of input `X`, the weight before training and the weight after it. $\mathbb E$ is the mean over
# the rows of `X`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "implied_penalty", "locked": false, "solution": true, "task": false}
def implied_penalty(
    X: torch.Tensor, W_base: torch.Tensor, W_tuned: torch.Tensor, p: float
) -> float:
    """Return the penalty for inputs X (n, in) and weights (out, in) before and after training."""
    ### BEGIN SOLUTION
    delta = W_tuned - W_base
    size = X.square().mean(0)  # (in,): how large each feature is
    columns = delta.square().sum(0)  # (in,): how much of the update each feature feeds
    return (p / (1 - p) * (size * columns).sum()).item()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_implied_penalty", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.implied_penalty(implied_penalty)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Do not trust the algebra: sample it. For each `p` the next cell draws 4,000 masks, measures the squared
# loss with and without them, and compares the difference with the closed form.

# %%
sampled = experiment.penalty_by_sampling()
ll.show(
    figures.penalty(sampled),
    alt="The rise of the squared loss by the masks against p: sampled points lie on the curve of the "
    "closed form, which is flat up to p = 0.3 and steep beyond 0.6.",
)

# %%
penalty_of = lesson.use("implied_penalty", implied_penalty, experiment.implied_penalty)
tuned = linear.weight + scaling * B @ A
for row in sampled:
    mine = penalty_of(x, linear.weight, tuned, row["p"])
    assert abs(row["sampled"] - mine) <= 5 * row["error"] + 1e-9
print("the closed form agrees with 4,000 masks at each p, within five standard errors")

# %% tags=["nbval-ignore-output"]
at = {row["p"]: row["formula"] for row in sampled}
lesson.compare("penalty_ratio", at[0.9] / at[0.1], unit="times")

# %% [markdown]
# So the card's range, 0.05 to 0.1, is a light touch: a factor of 1/19 to 1/9. At 0.5 it is 1, at 0.9 it
# is 9. For cross-entropy there is such a penalty only nearly, for small noise, and how sharply the loss
# bends at each output weighs it too (Wager and others, below).
#
# **Weight decay is another penalty.** AdamW's decay shrinks $A$ and $B$ themselves, whatever the inputs
# are. For the product that means: over all $A$ and $B$ with the same product, the lowest that half of
# $\lVert A \rVert^2 + \lVert B \rVert^2$ can be is the sum of the singular values of $BA$. So it prefers
# updates of low rank; dropout prefers updates that spread over many features. Section 5 measures what each
# does to the loss.
#
# ## 4. Measure without the noise (10 minutes)
#
# A frequent mistake: a loss measured while the model is still in training mode. It is too high, and it
# differs at every call. The other half of the mistake is to forget to switch back.
#
# ### Exercise 4.4: measure without the noise (7 minutes)
#
# Return `measure(model)`, called in evaluation mode and without gradients. Afterwards the model must be
# as it was, also when `measure` fails. Parts of a model may be in different modes (a frozen part is
# often kept in evaluation mode): put back the mode of **each module**.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "measure_quietly", "locked": false, "solution": true, "task": false}
def measure_quietly(model: torch.nn.Module, measure):
    """Return measure(model) in evaluation mode, without gradients; then restore all modes."""
    ### BEGIN SOLUTION
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            return measure(model)
    finally:
        for module, mode in modes:
            module.training = mode
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_measure_quietly", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.measure_quietly(measure_quietly)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Try it on a trained model. The next cell fine-tunes the nano model on only 3,000 tokens of Moby Dick
# with `lora_dropout=0.3`, and keeps three losses on the way: on the text that it learns, on a
# validation text and on a test text.

# %% tags=["nbval-ignore-output"]
run = experiment.one_small_run(p=0.3, steps=SIZE["steps"], blocks=SIZE["blocks"], device=DEVICE)
adapted, blocks = run["model"], run["blocks"].to(DEVICE)


def loss_of(model: torch.nn.Module) -> float:
    return model(input_ids=blocks, labels=blocks).loss.item()


quietly = lesson.use("measure_quietly", measure_quietly, experiment.measure_quietly)
_ = adapted.train()
noisy = [loss_of(adapted) for _ in range(5)]
without_noise = quietly(adapted, loss_of)
print("in training mode:", ", ".join(f"{loss:.4f}" for loss in noisy))
print(f"in evaluation mode: {without_noise:.4f}, every time")

# %%
assert len(set(noisy)) > 1, "masks make the loss random"
assert quietly(adapted, loss_of) == without_noise
print("the model is still in training mode:", adapted.training)

# %% [markdown]
# Now merge it and leave it in training mode. The noise is gone: a merged weight has no branch to drop
# from. So merging too early, in the middle of training, silently turns dropout off.

# %%
merged_model = adapted.merge_and_unload().train()
losses = {loss_of(merged_model) for _ in range(3)}
assert len(losses) == 1 and abs(losses.pop() - without_noise) < 1e-3
print("merged: the same loss at each call, also in training mode")

# %% [markdown]
# ## 5. Over-fitting against p (*core*)
#
# First the three curves of that run.
#
# ### Exercise 4.5: where to stop, and what it saves (*core*, 5 minutes)
#
# **Early stopping** keeps the weights of the moment with the lowest *validation* loss. A loss may rise once and
# fall again, so it is the lowest of all moments that counts.
#
# Three lists hold the losses of the training, the validation and the test text, measured at the same
# moments. Return `(place, loss, cost)`: the index at which early stopping would stop, the **test**
# loss there, and what it costs on the **test** text to go on to the end instead (negative, where going on
# helps).


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "stopping_report", "locked": false, "solution": true, "task": false}
def stopping_report(
    train: list[float], valid: list[float], test: list[float]
) -> tuple[int, float, float]:
    """Return (index of the best moment, test loss there, last test loss minus that one)."""
    ### BEGIN SOLUTION
    at = valid.index(min(valid))  # never by test: a text that helped to choose is no test
    return at, test[at], test[-1] - test[at]
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_stopping_report", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.stopping_report(stopping_report)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
report = lesson.use("stopping_report", stopping_report, experiment.stopping_report)
place, loss, cost = report(run["train"], run["valid"], run["test"])
print(f"stop at step {run['steps'][place]}: test loss {loss:.3f}; going on costs {cost:.3f}")
ll.show(
    figures.stopping(run, place),
    alt="Training, validation and test loss of one run of the nano model on 3,000 tokens. The training "
    "loss is far lower at the end than at the start; the other two fall, then rise. A dashed line marks "
    "the lowest validation loss.",
)

# %% [markdown]
# The usual picture of dropout shows the **last** loss: it falls with $p$, and steeply. But nobody has to
# keep the last weights. So look at two numbers of each run: the last loss, and the **best**, which is what
# early stopping keeps. And tune the learning rate for each $p$: noise and step size go together.
#
# Predict the recorded run (decoder, 12,000 tokens, each $p$ at the best of four learning rates): which
# $p$ has the lowest *best* validation loss?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "best_p",
    "The p with the lowest best validation loss on 12,000 tokens (recorded run)",
    options=[0.0, 0.05, 0.1, 0.3, 0.6, 0.9],
)

# %% [markdown]
# First live, on the nano model and 3,000 tokens, with fewer values of $p$ and one learning rate:

# %% tags=["nbval-ignore-output"]
live = experiment.dropout_sweep(
    ps=SIZE["ps"],
    seeds=SIZE["seeds"],
    steps=SIZE["steps"],
    eval_every=max(1, SIZE["steps"] // 6),
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
    progress=True,
)
figures.print_table(live)

# %% tags=["nbval-ignore-output"]
ll.show(
    figures.best_and_last(live, "Live: nano model, 3,000 tokens"),
    alt="Best and last validation loss against p on the nano model, with intervals over the seeds.",
)

# %%
assert len(live["rows"]) == len(SIZE["ps"]) * len(SIZE["seeds"])
assert all(row["best"] <= row["last"] for row in live["rows"])
print("the sweep is complete; no best loss is above its last")

# %% [markdown]
# Now the recorded run: the decoder on the first 12,000 tokens of Moby Dick, 480 steps of 4 x 64 tokens (each
# token about ten times), six values of $p$, and three strengths of weight decay at $p = 0$ (0.1, 1 and 10),
# each at four learning rates with five seeds. The bars are 95 % intervals of the mean. A *best* loss is the
# lowest of twelve readings of the validation text, at the best of four rates on the same text: it flatters
# every arm a little, in the same way.

# %%
little = lesson.recorded("04_dropout_little_data")
little

# %%
ll.show(
    figures.best_and_last(little.data, "12,000 tokens"),
    alt="Recorded decoder, 12,000 tokens: best and last validation loss for six values of p and three "
    "weight decays, each at the rate tuned for the best loss, and at the rate tuned for the last. Left, "
    "the last loss falls as p grows; the best losses are level from 0 to 0.6 and lower at 0.9. Right, "
    "best and last nearly coincide, near 4.61 for most arms, and p = 0.9 is lowest again.",
)

# %%
print("each arm at the learning rate with its lowest best loss:")
figures.print_table(little.data)

# %%
ll.show(
    figures.curves(little.data, lr=1e-3),
    alt="Recorded decoder, 12,000 tokens, learning rate 0.001, one line for each p with intervals over "
    "five seeds. The training loss falls less, the larger p is. The validation loss turns up after 80 "
    "steps for p up to 0.3, after 160 for 0.6, and levels off for 0.9.",
)

# %% tags=["nbval-ignore-output"]
lesson.compare("best_p", figures.winner(little.data))

# %% [markdown]
# ## 6. Slow learning
#
# The card says of a dropout that is too high: slow learning. Give the model *all* of Moby Dick, so that
# there is next to nothing to over-fit in 200 steps of 8 x 64 tokens, and count the steps to a fixed loss: the
# one at which $p = 0$, at the lowest rate, has made four fifths of its way. Two clocks: the training loss, as
# the card's reader would watch it, and the validation loss. The first is measured **with** the masks, so part
# of its delay is the noise in the reading. The second is not.
#
# At $p = 0.9$ each step sees a tenth of the branch's input. Is learning then ten times as slow? Predict the clock
# of the validation loss.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "delay",
    "Steps to the same validation loss at p = 0.9, times those at p = 0 (recorded, rate 0.003)",
    low=1,
    high=12,
    step=0.5,
)

# %%
full = lesson.recorded("04_dropout_full_data")
full

# %%
ll.show(
    figures.curves(full.data, lr=3e-3),
    alt="Recorded decoder, all of Moby Dick, learning rate 0.003, one line for each p with intervals "
    "over five seeds. The training loss is higher, the larger p is. The validation losses of p up to "
    "0.3 lie together, 0.6 starts slower and joins them, and 0.9 stays above.",
)

# %%
for key in ("train", "valid"):
    target = figures.target_loss(full.data, key)
    print(f"steps to bring the {key} loss to {target:.3f} at learning rate 0.003:")
    for p, lr, needed in figures.steps_to(full.data, key, target):
        if lr == 3e-3:
            print(f"  p = {p:<4g} {figures.in_steps(needed)}")

# %% tags=["nbval-ignore-output"]
clock = figures.steps_to(full.data, "valid", figures.target_loss(full.data, "valid"))
reached = {p: sum(steps) for p, lr, steps in clock if lr == 3e-3}
lesson.compare("delay", reached[0.9] / reached[0.0], unit="times")

# %%
print("each p at the learning rate with its lowest best loss, all of Moby Dick:")
figures.print_table(full.data)

# %% [markdown]
# ### A larger model
#
# Does this carry to SmolLM2-135M, 25 times the size? It has runs on both texts: three learning rates, three
# seeds, 240 steps of 4 x 64 tokens on the 12,000 tokens (there a weight decay of 1 too) and 120 steps of 8 x 64
# on all of Moby Dick. On the decoder, $p = 0.9$ had the lowest best loss on little data and the highest on all
# of it. What do you expect here?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "smollm2",
    "SmolLM2: p = 0.9 has the lowest best loss of all p",
    options=["on neither text", "on 12,000 tokens alone", "on all of Moby Dick alone", "on both"],
)

# %%
larger = {text: lesson.recorded(f"04_dropout_{text}_data_smollm2") for text in ("little", "full")}
for text, run in larger.items():
    print(run)
    print(f"{text} data, each arm at the learning rate with its lowest best loss:")
    figures.print_table(run.data)

# %% tags=["nbval-ignore-output"]
lesson.compare("smollm2", "on neither text")

# %% [markdown]
# The learning rate 0.001 shows the over-fitting on little data, as it did on the decoder:

# %%
ll.show(
    figures.curves(larger["little"].data, lr=1e-3),
    alt="SmolLM2-135M, 12,000 tokens, learning rate 0.001, one line for each p with intervals over three "
    "seeds. The training loss falls less, the larger p is. The validation loss is lowest after 40 steps, with "
    "0.9 after 60, and then rises: to between 5.0 and 5.1 for p up to 0.1, 4.9 for 0.3, 4.7 for 0.6 and 4.3 for 0.9.",
)

# %%
print("little data, last minus best validation loss at learning rate 0.001:")
for p, cost, half in figures.costs_of_going_on(larger["little"].data, lr=1e-3):
    print(f"  p = {p:<4g} {cost:.3f} +- {half:.3f}")
target = figures.target_loss(larger["full"].data, "valid")
print(f"full data, steps to bring the valid loss to {target:.3f} at learning rate 0.001:")
for p, lr, needed in figures.steps_to(larger["full"].data, "valid", target):
    if lr == 1e-3:
        print(f"  p = {p:<4g} {figures.in_steps(needed)}")

# %% [markdown]
# ### What came out
#
# First the decoder, five seeds, then SmolLM2, three seeds. Each arm is at its best rate, unless another is named.
#
# - **On little data going on costs less, the higher $p$ is.** At rate 0.001 the last loss falls from
#   5.388 ± 0.035 at $p = 0$ to 5.240 at 0.1, 4.779 at 0.6 and 4.594 at 0.9, where nothing is left to cure.
# - **Up to 0.6 the best loss does not move.** It is 4.607 ± 0.006 at $p = 0$ and 4.607, 4.606, 4.604
#   and 4.606 at 0.05, 0.1, 0.3 and 0.6. There, dropout gave nothing that stopping early does not give, nor
#   anything that a lower rate does not: at 0.0001 the run without dropout *ends* at 4.611 ± 0.008.
# - **At 0.9 it does more than stopping:** 4.585 ± 0.008, and seed by seed 0.022 ± 0.007 below $p = 0$. Even its
#   *last* loss is 0.015 ± 0.010 below the best of $p = 0$. It needs a higher rate for that (0.001 and 0.003 do
#   as well) and more steps: the best comes after 240 to 480 of them, that of $p = 0$, at 0.0003, after 200 to
#   280. It is a small gain: the runs start from 5.099.
# - **Weight decay only slows.** A decay of 10 has 4.611 ± 0.002 at best and 4.637 ± 0.009 at the end, against
#   4.716 without. The usual 0.1 changes nothing: 4.607 and 4.714.
# - **A high $p$ slows learning.** On all of Moby Dick, at rate 0.003, the validation loss is at 4.418 after
#   38 steps at $p = 0$, 40 at 0.1, 48 at 0.6 and 104 at 0.9 (read every ten steps). Seed by seed the delay is
#   4 ± 7 steps at 0.3, 10 ± 9 at 0.6 and 66 ± 21 at 0.9: up to 0.3 none is shown. The best loss is level up to
#   0.6 (4.243 to 4.249); at 0.9 it is worse, 4.333 ± 0.029 against 4.244 ± 0.025.
# - **The card's 0.05 to 0.1** is harmless on both texts, and so is no dropout at all.
# - **SmolLM2 agrees on the last loss.** On little data, at rate 0.001, last minus best falls from
#   1.017 ± 0.192 at $p = 0$ to 0.967 at 0.1, 0.666 at 0.6 and 0.232 ± 0.040 at 0.9 (at 0.05 it is 1.044, no
#   less). At its best rate, 0.0001, there is nothing to cure within 240 steps: without dropout going on costs
#   0.004 ± 0.013.
# - **It agrees that a high $p$ slows.** On all of Moby Dick, at rate 0.001, the validation loss is at 4.020
#   after 20 steps up to $p = 0.3$, 33 at 0.6 and 40 at 0.9 (read every twenty steps). After all 120 the best
#   loss is worse by 0.019 ± 0.008 at 0.6 and by 0.048 ± 0.014 at 0.9, and even at 0.1 by 0.003 ± 0.002.
# - **It does not agree on the gain at 0.9.** On little data the best loss is 4.030 ± 0.001 at $p = 0$, 4.029 to
#   4.031 up to 0.6, and 4.041 ± 0.007 at 0.9: *worse* by 0.011 ± 0.007. Mind that its runs had half the steps, and
#   that all up to 0.6 are best at the lowest rate tried, after 200 to 240 steps: longer runs may change it.
# - **What you may conclude:** that dropout slows over-fitting, and learning, showed on both models. That a
#   high $p$ lowers the best loss showed on one of two. Test it before you count on it.
#
# How to read such runs, whatever the numbers are:
#
# - A last loss that falls with $p$ shows that dropout *slows* over-fitting. Only the best loss shows
#   whether it does more than a stop at the right step.
# - A larger $p$ wants more steps or a higher learning rate. Compared at the rate that is best for $p = 0$, 0.9
#   has 4.605: it looks useless. Compared at 0.003 it looks like a cure, 4.585 against 4.688. Both mislead.
# - The training loss with masks is no measure of fit. Compare validation losses.

# %% [markdown]
# ### Question 4.6: your verdict (written, 5 minutes, 3 points)
#
# A colleague fine-tunes on 300 examples and reports: "with `lora_dropout=0.1` the final validation loss
# is 4.9, with 0.6 it is 4.6, so dropout cured the over-fitting." In at most five sentences: what would you
# ask for before you believe it, what do the recorded runs show, and what would you do? Use at least two
# numbers from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_dropout", "locked": false, "points": 3, "solution": true, "task": false}
# I would ask for the best loss of both runs, each with a learning rate of its own, for several seeds, and
# for a run with weight decay. On this page too the final loss went down, from 5.388 without dropout to 4.779 with
# 0.6 at one rate, yet the best losses of the two, each at its own rate, are 4.607 ± 0.006 and 4.606 ± 0.005.
# So the two final numbers say that training went on for too long, and they do not show a cure. I would stop
# by the validation loss and keep a low p or none. If there is time I would try 0.9 at a higher rate on the
# colleague's own model: it gained 0.022 ± 0.007 on the decoder and nothing on SmolLM2.

# %% [markdown]
# ### Exercise 4.7: your own mask and its penalty (4 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# Two questions. A branch from `in_features` to `out_features` reads a batch of so many `tokens`, with
# dropout `p`: how many zeros does its mask have, on average? And a smaller layer has three inputs and
# one output; `x` is one input, `delta` the update $\Delta W$, one row. What penalty does dropout with
# `p` imply for it? Return both numbers, with five digits at least: `return 1_234.5, 67.891`.

# %%
STUDENT = ""
mine = lesson.mine("my_dropout", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_dropout", "locked": false, "solution": true, "task": false}
def my_dropout() -> tuple[float, float]:
    """Return the expected zeros of the mask, and the penalty."""
    ### BEGIN SOLUTION
    return 160_243.2, 1_758.176  # for self-study: 0.15 * 428 * 2496, and 0.15 / 0.85 * 9_963
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_dropout", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_dropout(my_dropout)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 7. The same in PEFT
#
# PEFT puts `torch.nn.Dropout(lora_dropout)` before `lora_A`, and an `Identity` where it is 0. With the same
# factors it computes your layer's output in evaluation, and with the same random seed the package's
# masked output in training.

# %% tags=["nbval-ignore-output"]
import peft

holder = torch.nn.Sequential()
holder.add_module("proj", torch.nn.Linear(31, 23))
holder.proj.load_state_dict(linear.state_dict())
config = peft.LoraConfig(
    r=len(A), lora_alpha=scaling * len(A), lora_dropout=0.5, target_modules=["proj"]
)
theirs = peft.get_peft_model(holder, config)
proj = theirs.base_model.model.proj
with torch.no_grad():
    proj.lora_A["default"].weight.copy_(A)
    proj.lora_B["default"].weight.copy_(B)

# %%
package_layer = experiment.package_layer(linear, A, B, scaling, 0.5)
with torch.no_grad():
    torch.testing.assert_close(proj.eval()(x), layer.eval()(x))
    outputs = []
    for module in (proj, package_layer):
        torch.manual_seed(1)
        outputs.append(module.train()(x))
    torch.testing.assert_close(*outputs)
    proj.merge()
    torch.testing.assert_close(proj.weight, linear.weight + scaling * B @ A)
print("PEFT drops with:", proj.lora_dropout["default"])
print("evaluation, the masks of one seed, and the merged weight agree")

# %% [markdown]
# ## What the card says, and what was measured
#
# Read the column "Tested as" with care. Four of these tests were worded anew when the last runs were
# recorded, **after** numbers had been seen: *small datasets*, *too low*, *too high* and *preventing*. A test
# that is worded after its numbers can be bent until it fits, so the table says what the first wording was and
# what it gives. For *too low* it matters: as first worded, that claim does not hold.

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - The mask is on the branch's input, per element, scaled by $1/(1-p)$. The base path never sees it.
# - Evaluation and the merged weight have no $p$ in them. Measure in evaluation mode, and put the mode back.
# - For a squared loss dropout is a penalty on the update:
#   $\frac{p}{1-p}\sum_j \mathbb E[x_j^2]\,\lVert\Delta W_j\rVert^2$. It pulls the model to its base.
# - Judge dropout by the best loss, each $p$ at its own learning rate, beside early stopping and weight
#   decay.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Srivastava and others, *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 15,
#   2014: section 9.1 has the penalty for linear regression.
# - Wager, Wang and Liang, *Dropout Training as Adaptive Regularization*, 2013, arXiv 1307.1493: beyond the
#   squared loss.
# - Lin and others, *LoRA Dropout as a Sparsity Regularizer for Overfitting Control*, 2024,
#   arXiv 2404.09610: masks on $A$ and $B$, which is another method than PEFT's.
# - Hu and others, *LoRA: Low-Rank Adaptation of Large Language Models*, 2021, arXiv 2106.09685: the layer
#   itself.
#
# Next: lesson 05 asks which layers should get an adapter.

# %%
lesson.summary()
