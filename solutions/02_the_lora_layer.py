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
# # 02 The LoRA layer: one frozen matrix and two small ones beside it
#
# Lesson 01 had the arithmetic, $W + s\,BA$. Now build the layer that trains: which numbers it starts from,
# what is frozen and what that does *not* mean, which gradients arrive, and how it gets into a model.
#
# **You will be able to**
#
# 1. write a LoRA layer from a blank file, and put it into a language model;
# 2. say what the first step of training does to $A$, to $B$ and to the layer, before you run it;
# 3. compare what two adapters have learnt, and judge the result against chance.
#
# **Time:** 39 minutes for the core path; what is marked *extra* takes 39 more.
#
# **You need:** matrix products, the chain rule, `requires_grad`, and lesson 01's singular vectors for
# sections 6 and 7.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import math

import torch

import lora_lessons as ll
from lora_lessons.course.lesson02 import figures, tables
from lora_lessons.course.mechanisms import lora_layer
from lora_lessons.experiments import amplification, first_step
from lora_lessons.experiments import lesson02 as experiment

lesson = ll.lesson("02")
SIZE = experiment.SIZES[ll.preset()]
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Where the layer starts (*core*)
#
# A linear layer computes $Wx + b$ with $W$ of shape (out, in). LoRA leaves it as it is and adds a branch:
#
# $$y = W x + b + s \, B A x, \qquad s = \frac{\alpha}{r},$$
#
# with $A$ of shape ($r$, in) and $B$ of shape (out, $r$).

# %%
ll.show(lora_layer(scaling="alpha / r", output="y"))

# %% [markdown]
# Two things must be true at the start. The model
# must be the model you began with, so $B A = 0$. And something must be able to learn, so $A$ and $B$ must
# not both be zero (section 3 shows why). The paper takes $B = 0$ and $A$ random.
#
# How wide should the random $A$ be? The paper says "Gaussian" and gives no width. Its authors' code, and
# PEFT by default, draw $A$ uniformly:
#
# $$A_{ij} \sim \text{uniform}\left(-\frac{1}{\sqrt{\text{in}}}, \frac{1}{\sqrt{\text{in}}}\right),$$
#
# so that each number of $Ax$ has about a third of the mean square of $x$'s numbers, whatever the width. (A uniform
# number between $-c$ and $c$ has the mean square $c^2/3$, here $1/(3\,\text{in})$, and "in" such terms are summed.)
#
# ### Exercise 2.1: the first values (*core*, 3 minutes)
#
# Return `(A, B)` in float32: `A` uniform as above, `B` zero. Draw from the generator `gen`, so that the
# same seed gives the same layer. `torch.rand`, `torch.empty(...).uniform_` and the functions of
# `torch.nn.init` all take `generator=gen`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "start_factors", "locked": false, "solution": true, "task": false}
def start_factors(
    in_features: int, out_features: int, r: int, gen: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (r, in), uniform within 1/sqrt(in) of zero, and B (out, r), zero."""
    ### BEGIN SOLUTION
    bound = 1 / math.sqrt(in_features)
    A = torch.empty(r, in_features).uniform_(-bound, bound, generator=gen)
    return A, torch.zeros(out_features, r)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_start_factors", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.start_factors(start_factors)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# PEFT has the Gaussian too, as `init_lora_weights="gaussian"`, with a standard deviation of $1/r$. That
# width does not fall with the layer's size. Compare the two, at rank 8:

# %%
widths = []
for width in (64, 1024, 4096):
    x, spread = torch.randn(2048, width, generator=ll.generator(1)), {}
    for init in (True, "gaussian"):
        layer = ll.LoraLinear(torch.nn.Linear(width, 8), r=8, init_lora_weights=init)
        A = layer.adapter("default").A.weight.detach()
        spread[init] = A.std().item()
        if init is True:
            size = (x @ A.T).square().mean().item()
            assert abs(size - 1 / 3) < 0.05, "a third of x's mean square, at any width"
    uniform, normal = 1 / math.sqrt(3 * width), 1 / 8
    assert abs(spread[True] / uniform - 1) < 0.1 and abs(spread["gaussian"] / normal - 1) < 0.1
    widths.append((f"{width:,d}", f"{uniform:.4f}", f"{normal:.4f}"))
print("with the uniform A the mean square of Ax is a third of that of x, at all three widths")
ll.Table(("width of the layer", "deviation of A, uniform", "Gaussian, as PEFT draws it"), widths)

# %% [markdown]
# At width 4,096 the Gaussian is 14 times as wide. Lesson 03 shows what the width of $A$ does: it acts
# on the size of the first steps.
#
# ### Exercise 2.2: base plus branch (*core*, 3 minutes)
#
# Return $Wx + b + \frac{\alpha}{r} BAx$ for every row of `x`. The rank is not given: `A` knows it. `x` has
# any number of leading dimensions, (batch, in) or (batch, time, in), so multiply from the right: a row
# $x$ becomes $x A^\top B^\top$. Do not form $BA$: it is as large as $W$.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "forward_with_branch", "locked": false, "solution": true, "task": false}
def forward_with_branch(
    x: torch.Tensor, linear: torch.nn.Linear, A: torch.Tensor, B: torch.Tensor, alpha: float
) -> torch.Tensor:
    """Return the output (..., out) of the linear plus its LoRA branch, for x (..., in)."""
    ### BEGIN SOLUTION
    r = A.shape[0]
    return linear(x) + alpha / r * (x @ A.T @ B.T)  # (..., in) -> (..., r) -> (..., out)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_forward_with_branch", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.forward_with_branch(forward_with_branch)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 2. Frozen is not no_grad (*core*)
#
# "The base is frozen" means that $W$ and $b$ are not updated: `requires_grad` is False, no gradient is
# stored for them, and no optimizer holds them. It does **not** mean that no gradient passes *through* them.
# The layers below need it. For $y = Wx + b + sBAx$ let $G = \partial L / \partial y$ be the loss's gradient by the layer's
# *output*, one row for each token; $G$ means this in the whole lesson. The layer below receives
#
# $$\frac{\partial L}{\partial x} = G\,W + s\,G\,B\,A .$$
#
# At the start $B$ is zero, so the first term is *all* that the layers below get. Ask autograd:

# %%
layer = ll.LoraLinear(torch.nn.Linear(31, 23), r=3, lora_alpha=7).double()
W, adapter = layer.base_layer.weight, layer.adapter("default")
A, B = adapter.A, adapter.B
torch.nn.init.normal_(B.weight, generator=ll.generator(2))
x, G = (torch.randn(5, n, generator=ll.generator(n), dtype=torch.float64) for n in (31, 23))
# the gradient by x of the layer's output, where G is what comes from above
(received,) = torch.autograd.grad(layer(x.requires_grad_()), x, G)
torch.testing.assert_close(received, G @ W + 7 / 3 * G @ B.weight @ A.weight)
print("the layer below receives G W + s G B A")

# %% [markdown]
#
# ### Exercise 2.3: frozen is not no_grad (*core*, 7 minutes)
#
# Write the layer. It keeps the given `linear` itself as a part (not a copy), freezes it, and trains
# exactly two parameters, `self.A` and `self.B`. Start them as in 2.1, drawing from `gen`, and give them
# the dtype of `linear.weight`.
#
# - `torch.nn.Parameter(tensor)` is a tensor that a module counts among its parameters.
# - `module.requires_grad_(False)` freezes all parameters of a module. Mind the underscore at the end:
#   `module.requires_grad = False` sets an attribute that nobody reads.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "AdaptedLinear", "locked": false, "solution": true, "task": false}
class AdaptedLinear(torch.nn.Module):
    """A frozen linear layer and a LoRA branch: x (..., in) -> (..., out)."""

    def __init__(self, linear: torch.nn.Linear, r: int, alpha: float, gen: torch.Generator):
        """Keep and freeze `linear`; make the parameters self.A (r, in) and self.B (out, r)."""
        super().__init__()
        ### BEGIN SOLUTION
        self.linear = linear.requires_grad_(False)
        self.scaling = alpha / r
        dtype, bound = linear.weight.dtype, 1 / math.sqrt(linear.in_features)
        A = torch.empty(r, linear.in_features, dtype=dtype).uniform_(-bound, bound, generator=gen)
        self.A = torch.nn.Parameter(A)
        self.B = torch.nn.Parameter(torch.zeros(linear.out_features, r, dtype=dtype))
        ### END SOLUTION

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the base's output plus the scaled branch's."""
        ### BEGIN SOLUTION
        return self.linear(x) + self.scaling * (x @ self.A.T @ self.B.T)
        ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_AdaptedLinear", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.AdaptedLinear(AdaptedLinear)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# What happens if somebody does put the base under `no_grad`, "because it is frozen"? No error is raised
# and the loss still falls. The next cell makes that mistake on a real model of three blocks and
# compares the gradients of every $B$ with the right ones. A gradient is spoilt if it has to come back
# through an adapted layer further up.

# %% tags=["nbval-ignore-output"]
mistake = first_step.frozen_is_not_no_grad()
ll.Table(
    ("layer", "gradient of B, off by this share of its length"),
    [(row["layer"], f"{row['error']:.1%}") for row in mistake],
)

# %%
top = [row["error"] for row in mistake if "layers.2" in row["layer"]]
below = [row["error"] for row in mistake if "layers.2" not in row["layer"]]
assert max(top) == 0 and min(below) > 0.05
print("the topmost block is right, every block below it is wrong, and nothing says so")

# %% [markdown]
# ## 3. The first step, by hand (*core*)
#
# Write $s$ for the scaling and let $x$ and $G$ be matrices with one row for each token: $x$ is (n, in) and
# $G$ is (n, out). Then $y = x W^\top + s\, h B^\top$ with the $r$ numbers $h = x A^\top$ between $A$ and $B$. Two
# rules are all you need. For a product $z = u M^\top$ with the gradient $G_z$ by $z$,
#
# $$\frac{\partial L}{\partial M} = G_z^\top u, \qquad \frac{\partial L}{\partial u} = G_z M .$$
#
# ### Exercise 2.4: the gradients by hand (*extra*, 15 minutes)
#
# Return `(grad_A, grad_B, grad_x)`. Here `x` is (batch, time, in) and `G` is (batch, time, out). The
# gradients of `A` and `B` sum over all rows, so flatten the first two dimensions for them. A mean over
# tokens, where the loss has one, is inside `G` already. An answer that asks autograd is refused.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "gradients_by_hand", "locked": false, "solution": true, "task": false}
def gradients_by_hand(
    x: torch.Tensor,
    G: torch.Tensor,
    W: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    scaling: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of A (r, in), B (out, r) and x (batch, time, in)."""
    ### BEGIN SOLUTION
    rows, G_rows = x.flatten(0, -2), G.flatten(0, -2)  # (n, in), (n, out)
    grad_A = scaling * (G_rows @ B).T @ rows  # (r, n) (n, in)
    grad_B = scaling * G_rows.T @ (rows @ A.T)  # (out, n) (n, r)
    grad_x = G @ W + scaling * G @ B @ A
    return grad_A, grad_B, grad_x
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_gradients_by_hand", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.gradients_by_hand(gradients_by_hand)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### What the rules say of the first step (*core*)
#
# The two rules give
#
# $$\frac{\partial L}{\partial A} = s\,(GB)^\top x, \qquad \frac{\partial L}{\partial B} = s\,G^\top x A^\top .$$
#
# With $B = 0$ the first is zero, and the second is not, because $A$ is not. Had both been zero, both gradients would
# be zero, at this step and for ever.
#
# Check it on the nano base and real text. First the identity: a new adapter changes nothing.

# %%
adapted, batch = first_step.adapted_and_batch(r=8)
with torch.no_grad():
    with_adapter = adapted(**batch).logits
    with adapted.disable_adapter():
        without = adapted(**batch).logits
assert torch.equal(with_adapter, without)
print("before the first step every logit is bit for bit the base's")

# %%
norms = first_step.gradients_at_start()
assert norms["A"] == 0 and norms["B"] > 0
print("gradient of every A: exactly zero; of B: not zero")

# %% [markdown]
# So which of the two does the *first step of AdamW* move, with its usual weight decay of 0.01? Commit to
# an answer.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "first_step",
    "What the first AdamW step moves (weight decay 0.01)",
    options=["neither", "A alone", "B alone", "both"],
)

# %%
steps = first_step.first_adamw_step(weight_decays=(0.0, 0.01, 0.1), lr=1e-3)
for row in steps:
    assert math.isclose(row["A"], 1e-3 * row["decay"], rel_tol=1e-6, abs_tol=1e-12)
    assert row["B"] > 0
print("B moves in all three; A by lr x weight decay, though its gradient is zero")
ll.Table(
    ("weight decay", "A moves, as a share of itself"),
    [(f"{row['decay']:.2f}", f"{row['A']:.1e}") for row in steps],
)

# %% tags=["nbval-ignore-output"]
usual = next(row for row in steps if row["decay"] == 0.01)
lesson.compare("first_step", figures.what_moved(usual["A"] > 0, usual["B"] > 0))

# %% [markdown]
# AdamW's decay is decoupled from the gradient: it multiplies every weight by $1 - \text{lr}\cdot\text{decay}$ whatever the
# gradient is. For $B$, which is zero, there is nothing to shrink yet.
#
# ### What the first step does to the layer (*core*)
#
# Plain SGD makes it exact. Only $B$ moves, $B_1 = -\text{lr}\, s\, G^\top x A^\top$, so the layer's weight moves by
#
# $$\Delta W = s B_1 A = -\text{lr}\; s^2 \; \nabla_W L \; A^\top A , \qquad \nabla_W L = G^\top x .$$
#
# $\nabla_W L$ is the gradient that full fine-tuning would follow. LoRA's first step is that same gradient, seen
# through $A$: each row of it is projected on the span of $A$'s $r$ rows (and weighted by $A^\top A$ there).
# If the gradient knows nothing of $A$, about $r/\text{in}$ of its energy (the sum of its squared entries) lies in that
# span.

# %% tags=["nbval-ignore-output"]
first = first_step.first_sgd_step(lr=0.1, r=8)
ll.Table(
    ("layer", "formula off by", "energy of the gradient kept in the span"),
    [(row["layer"], f"{row['error']:.0e}", f"{row['kept']:.1%}") for row in first],
)

# %%
assert all(row["error"] < 1e-10 for row in first)
kept = sum(row["kept"] for row in first) / len(first)
assert abs(kept - first[0]["chance"]) < 0.05
print("the formula is exact; what is kept of the full gradient is near r / in = 8 / 64")

# %% [markdown]
# That a random eighth of the gradient is enough to begin with is the surprise of LoRA. It does not
# stay random: from the second step on $B \neq 0$, $A$ gets a gradient too, and its rows turn.

# %%
turning, batch = first_step.adapted_and_batch(r=8)
factors = [p for p in turning.parameters() if p.requires_grad]
sgd, of_A = torch.optim.SGD(factors, lr=0.1), []
for _ in range(2):
    found = first_step.branch_gradients(turning, batch)
    of_A.append(max(row["A"].abs().max().item() for row in found.values()))
    sgd.step()
assert of_A[0] == 0 and of_A[1] > 0
print("largest gradient of A: exactly zero at the first step, not at the second")

# %% [markdown]
#
# ## 4. Only the product has a meaning (*core*)
#
# Take any invertible $R$ of shape ($r$, $r$). The factors $BR$ and $R^{-1}A$ look different, and
# $(BR)(R^{-1}A) = BA$: the same function. So no single number in $A$ or $B$ means anything, nor do their
# norms or singular values. Compare products, or subspaces, which $R$ leaves alone.

# %%
twin = first_step.same_product(steps=5, lr=0.1)
assert twin["update"] < 1e-12 and twin["logits"] < 1e-5 and twin["A"] > 0.1
print("A was changed a lot, the update B A not at all")

# %% tags=["nbval-ignore-output"]
print(
    f"A changed by {twin['A']:.0%}, B A by {twin['update']:.0e}, the logits by {twin['logits']:.0e}"
)
print(f"after 5 more steps of SGD the two updates are {twin['later']:.0%} apart")

# %% [markdown]
# The second line is the fine print. The *function* is the same, but its next steps are not: gradients
# depend on the factors ($\partial L/\partial B = sG^\top xA^\top$), so two equal adapters may train differently. That
# is why the initialisation matters although $BA$ starts at zero either way.
#
# ## 5. Into the model (*core*)
#
# A model is a tree of modules. `model.named_modules()` lists all of them with their full names, such as
# `model.layers.0.self_attn.q_proj`. To replace one, set the attribute on its **parent**. Assigning to the
# loop's variable changes the variable and leaves the model alone.
#
# ### Exercise 2.5: into the model (*core*, 15 minutes)
#
# Replace every `torch.nn.Linear` whose name's *last part* is in `names` by `make(linear)`; `make` is a function that
# gets the old layer and returns the new one. Return the full names of the replaced layers.
#
# - If there is nothing to replace, change nothing at all, not even `requires_grad`: a notebook's cell is often run
#   twice, and what trains must go on training.
# - Else freeze every weight that the model has, then replace. What `make` returns stays as it is.
#
# `model.get_submodule("a.b")` returns a module by its full name, and `model.get_submodule("")` the model
# itself. `"layers.0.q_proj".rpartition(".")` gives `("layers.0", ".", "q_proj")`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "inject", "locked": false, "solution": true, "task": false}
def inject(model: torch.nn.Module, names: list[str], make) -> list[str]:
    """Replace the linear layers of these names by make(linear); return their full names."""
    ### BEGIN SOLUTION
    targets = [
        name
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in names and isinstance(module, torch.nn.Linear)
    ]
    if targets:  # a second run finds none, and must not freeze the adapters of the first
        model.requires_grad_(False)  # before make adds what trains
    for name in targets:
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, make(model.get_submodule(name)))
    return targets
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_inject", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.inject(inject)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now your own layer, put in by your own function, learns to read Moby Dick.

# %% tags=["nbval-ignore-output"]
TARGETS = ["q_proj", "v_proj"]
R, ALPHA = 8, 16

layer_class = lesson.use("AdaptedLinear", AdaptedLinear, experiment.package_layer)
put_in = lesson.use("inject", inject, experiment.package_inject)
mine, tokenizer = ll.load_base("nano")
frozen = [(weight, weight.detach().clone()) for weight in mine.parameters()]
gen = ll.generator(0)
replaced = put_in(mine, TARGETS, lambda linear: layer_class(linear, R, ALPHA, gen))

# %%
trained = sum(p.numel() for p in mine.parameters() if p.requires_grad)
print(len(replaced), "layers adapted;", f"{trained:,d} numbers train")

# %% tags=["nbval-ignore-output"]
text = ll.load_text("moby_dick")
train_ids = ll.encode(tokenizer, text.train[:300_000])
valid = ll.blocks(ll.encode(tokenizer, text.valid[:30_000]), SIZE["length"])[: SIZE["blocks"]]
loss_before = ll.evaluate(mine, valid)
batches = ll.TokenBatches(train_ids, 4, SIZE["length"], seed=0)
history = ll.fit(mine, batches, steps=SIZE["fit"], lr=5e-3, valid=valid, seed=0, progress=False)
print(f"loss {loss_before:.3f} before, {history.last:.3f} after {SIZE['fit']} steps")

# %%
assert history.last < loss_before
assert all(torch.equal(weight, before) for weight, before in frozen)
print("the loss fell on chapters that it has not read, and no tensor of the base moved")

# %% [markdown]
# The card makes three promises of this kind: small matrices are added, to the selected layers, and the
# base stays frozen. Count all three, on recorded runs of the decoder and of SmolLM2-135M. The second is
# short, 10 steps on a CPU: what is counted does not depend on the steps.

# %%
promises = [lesson.recorded(name) for name in ("02_what_trains", "02_what_trains_smollm2")]
promises[0]

# %%
promises[1]

# %%
counted = [run.data for run in promises]
ll.Table(
    ("counted", "decoder", "SmolLM2-135M"),
    [
        ("layers named", *(str(one["named"]) for one in counted)),
        ("layers injected", *(str(one["injected"]) for one in counted)),
        ("tensors trained outside A and B", *(str(one["trained_outside"]) for one in counted)),
        (
            "A and B together, at most (of their W)",
            *(f"{one['largest_share']:.1%}" for one in counted),
        ),
        ("base tensors that changed", *(str(one["changed"]) for one in counted)),
        ("largest rank of an update", *(f"{one['rank']} of r = {one['r']}" for one in counted)),
    ],
)

# %% [markdown]
# ## 6. What do two adapters have in common? (*extra*)
#
# Train the same task with $r = 8$ and with $r = 64$. Do they find the same directions? The paper (section
# 7.2) takes the right-singular vectors of the two $A$: the directions in the layer's *input* that the
# adapter listens to, the strongest first. With $V_M^i$ for the first $i$ of them as rows, the overlap is
#
# $$\varphi(M, N, i, j) = \frac{\lVert V_M^i \, (V_N^j)^\top \rVert_F^2}{\min(i, j)} \in [0, 1] .$$
#
# (The paper has them as columns $U$; equation 4 and appendix G.) 1 means that one subspace lies inside
# the other, 0 that they are at right angles.
#
# ### Exercise 2.6: the overlap of two subspaces (*extra*, 6 minutes)
#
# Return $\varphi$ as a float. In `torch.linalg.svd(M, full_matrices=False)` the right-singular vectors are the
# *rows* of `Vh`.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "overlap", "locked": false, "solution": true, "task": false}
def overlap(M: torch.Tensor, N: torch.Tensor, i: int, j: int) -> float:
    """Return φ, how far the first i right-singular vectors of M and j of N span the same."""
    ### BEGIN SOLUTION
    first = torch.linalg.svd(M, full_matrices=False).Vh[:i]
    second = torch.linalg.svd(N, full_matrices=False).Vh[:j]
    return (first @ second.T).square().sum().item() / min(i, j)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_overlap", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.overlap(overlap)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# A number between 0 and 1 invites a verdict. But two *random* subspaces overlap too. A random direction
# has a share of $j/d$ of its square in $j$ given directions of $d$, so on average
#
# $$\varphi_\text{chance}(i, j) = \frac{1}{\min(i,j)} \cdot \frac{i\,j}{d} = \frac{\max(i, j)}{d} .$$
#
# For GPT-3, $d = 12{,}288$ and $j = 64$ give 0.005. Move the sliders: how many directions are shared, and how wide is
# the layer? Find the setting in which $\varphi(8, 64)$ looks like agreement with nothing shared.

# %% tags=["nbval-ignore-output"]
lesson.explore.subspaces()

# %% [markdown]
# Now real adapters. One thing must be right in the comparison: **no two runs may share a seed**. With a
# shared seed they would read the same text in the same order, and adapters of one rank would even start
# from the same $A$. The experiment trains the small rank once and the large rank twice for each seed, all
# apart, on q and v. It measures $\varphi$ for $A$, as the paper does, and for the update $BA$, which section 4
# says is the thing with a meaning.
#
# Predict the recorded run on the decoder (width 256): the overlap of the *first* direction of the q
# layers' $A$, $r = 8$ against $r = 64$. Chance is $1/256 = 0.4\,\%$.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "first_direction",
    "Overlap of the first direction, r = 8 against r = 64, q layers, in percent",
    low=0,
    high=100,
    step=1,
)

# %% [markdown]
# First live, on the nano model (width 64), so with ranks 4 and 16:

# %% tags=["nbval-ignore-output"]
live = experiment.subspace_overlap(
    base="nano",
    small=4,
    large=16,
    lrs=(2e-3,),
    seeds=SIZE["seeds"],
    steps=SIZE["steps"],
    batch_size=SIZE["batch"],
    length=SIZE["length"],
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
)
ll.show(
    figures.overlap_curves(live),
)

# %%
row = figures.find(live, experiment.UNTRAINED, "q_proj", "A")
grid = torch.tensor(row["phi"])
by_chance = experiment.chance(4, 16, live["width"])
assert abs(grid[-1, -1].item() - by_chance) < 0.1
print("untrained, phi(4, 16) is near chance, which is", by_chance)

# %% [markdown]
# The recorded run: the decoder, ranks 8 and 64, each at the best of three learning rates, 400 steps of
# 16 x 128 tokens, five seeds, on an H100. Bands are 95 % intervals of the mean over the seeds.

# %%
recorded = lesson.recorded("02_subspaces")
recorded

# %%
ll.show(
    figures.overlap_curves(recorded.data),
)

# %%
ll.show(
    figures.overlap_maps(recorded.data),
)

# %% tags=["nbval-ignore-output"]
top = figures.find(recorded.data, "small and large", "q_proj", "A")["phi"][0][0]
lesson.compare("first_direction", 100 * top, unit="%")

# %% [markdown]
# ### What came out (*extra*)
#
# **The paper's finding holds here in part.**
#
# - Training does find something that both ranks share: the first directions overlap by 0.38 in q and 0.35 in v,
#   and those of untrained factors by 0.003, as by chance.
# - The paper reports more than 0.5 for the first direction and little beyond it. Ours stays below 0.5, and for
#   all eight directions it is still 0.31 and 0.32, ten times chance. What is shared is a subspace.
# - Two runs of $r = 64$ share more than $r = 8$ and $r = 64$ do. For eight directions that is settled in all
#   four cases (q and v, each for $A$ and $BA$), for the first one in none.
# - $BA$ against $A$: for eight directions $BA$ overlaps more in all four cases; that is settled in v, by 0.0123
#   and 0.0225. In q, and for the first direction, it is not.

# %%
tables.overlaps(recorded.data)

# %%
tables.ranks_apart(recorded.data, 8)

# %%
tables.products_and_factors(recorded.data, 8)

# %% [markdown]
# <details><summary>The first direction alone, and how to read an overlap</summary>
#
# The tables below hold the first direction. The two ranks took different learning rates (0.003 for $r = 8$,
# 0.001, the lowest tried, for $r = 64$), which may be part of what sets them apart. The whole subspaces,
# $\varphi(8, 64)$ in q, reach 0.56; chance alone gives 0.25 there.
#
# - The untrained curve must lie on chance. If it did not, the measure or the seeds would be at fault.
# - $A$ starts random and keeps part of its start, so its own noise counts as directions. $BA$ starts at zero: all
#   that it contains was learnt. And the $R$ of section 4 leaves the span of all rows of $A$ as it is, but changes
#   which directions in it come first. Where the two disagree, $BA$ is the better witness.
# - Overlap of two runs shows what both found. It does not show that the rest is noise: two adapters may be
#   equally good in different directions (section 4's fine print).
#
# Others froze $A$ at its random start and lost little: Zhu and others (2024) find that $B$ matters more than $A$.
#
# </details>

# %%
tables.ranks_apart(recorded.data, 1)

# %%
tables.products_and_factors(recorded.data, 1)

# %% [markdown]
# ### Question 2.7: your verdict (*extra*, written, 5 minutes, 3 points)
#
# A colleague has trained one adapter with $r = 8$ and one with $r = 64$ on a layer of width 128 from the
# same seed. They report $\varphi(8, 64) = 0.6$ and conclude: "the two learnt the same, so $r = 8$ is enough." In
# at most five sentences: what is wrong with the comparison, what would chance alone give, and what would
# you measure instead?

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_overlap", "locked": false, "points": 3, "solution": true, "task": false}
# Chance alone gives max(8, 64) / 128 = 0.5, so 0.6 is hardly more than two random subspaces have. The
# two runs share a seed, so they read the same text in the same order, and agreement may come from that.
# I would use independent seeds, several of them with an interval, and show an untrained pair as control.
# I would compare the leading directions, such as phi(1, 1) with its chance of 1/128, and those of BA
# beside those of A. And an overlap says nothing about the loss: whether r = 8 is enough is for the
# validation loss to say, with the learning rate tuned for each rank.

# %% [markdown]
# ## 7. Does the update amplify what $W$ leaves out? (*extra*)
#
# Section 6 compared two adapters. The paper's section 7.3 compares an adapter with $W$ itself. Take the trained
# update apart, $\Delta W = U S V^\top$ of rank $r$. The columns of $V$ (in, $r$) are the directions that it
# listens to, those of $U$ (out, $r$) the ones that it writes to. What $W$ does between the same directions is
# $U^\top W V$, an $r \times r$ matrix. The paper's **amplification factor** is
#
# $$\frac{\lVert \Delta W \rVert_F}{\lVert U^\top W V \rVert_F} .$$
#
# In GPT-3, for one q layer and $r = 4$, it is $6.91 / 0.32 = 21.6$ (the paper prints 21.5). The paper concludes that the update amplifies
# directions that $W$ has and does not emphasise. (Its table 7; appendix H.4 says why $r = 64$ has only about 2.)
#
# What would chance give? Each of the $r^2$ entries $u^\top W v$ of random directions has the mean square
# $\lVert W \rVert_F^2 / (\text{out} \cdot \text{in})$, so
#
# $$\lVert U^\top W V \rVert_\text{chance} = \frac{r \, \lVert W \rVert_F}{\sqrt{\text{out} \cdot \text{in}}} .$$
#
# It grows with $r$. So the factor falls with $r$ by itself, if $\lVert \Delta W \rVert_F$ does not grow as fast.
#
# Predict the factor of the decoder's q layers at $r = 8$:

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "amplification",
    "Amplification factor, q layers of the decoder, r = 8",
    low=0,
    high=40,
    step=0.5,
)

# %% [markdown]
# First live, on the nano model, with ranks 4 and 16:

# %% tags=["nbval-ignore-output"]
live = amplification.amplification(
    base="nano",
    ranks=(4, 16),
    lrs=(3e-3,),
    seeds=SIZE["seeds"],
    steps=SIZE["fit"],
    batch_size=SIZE["batch"],
    length=SIZE["length"],
    valid_blocks=SIZE["blocks"],
    device=DEVICE,
)
tables.amplification(figures.amplification_table(live), "Live, nano model")

# %%
for row in figures.amplification_table(live):
    assert abs(row["in_random"] / row["chance"] - 1) < 0.3
    assert row["in_update"] < row["in_own"]
print("random directions hold what chance says; the update's hold less of W than W's own")

# %% [markdown]
# The recorded run: the decoder, 160 steps of 4 x 64 tokens on a CPU, three seeds, each rank at the best of three
# learning rates by its first seed. All layers of a kind are taken together by the root mean square. Below it is the
# paper's layer of GPT-3, with what chance gives there.

# %%
recorded = lesson.recorded("02_amplification")
recorded

# %%
tables.amplification(figures.amplification_table(recorded.data), "Recorded, decoder")

# %%
tables.amplification(figures.paper_table(), "The paper's layer")

# %%
ll.show(
    figures.held_norms(recorded.data),
)

# %% tags=["nbval-ignore-output"]
q_at_8 = next(
    row
    for row in figures.amplification_table(recorded.data)
    if (row["layer"], row["r"]) == ("q_proj", 8)
)
lesson.compare("amplification", q_at_8["factor"])

# %% [markdown]
# ### What came out (*extra*)
#
# - The update does not repeat what $W$ does most: at $r = 4$ its directions in q hold 0.74 of $W$, and $W$'s own
#   four hold 8.34.
# - The factor is below 1 at $r = 64$, as the paper's is smaller there. From 4 to 8 it falls in v; in q that is
#   not settled, with three seeds.
# - But a large factor is no sign of special directions: random ones would give a larger one (divide the update's
#   norm by chance), and chance alone makes it fall 16 times from $r = 4$ to 64.
# - What tells the update's directions from any others is *times chance*. All six are above 1: in q 2.7 times at
#   $r = 4$ and 1.3 at 64; in v 1.3 and 1.05, hardly anything. The paper's layer has 16 and 6.
#
# On the live nano model the factor can be near 1: runs this short move little, and it grows with the length
# of the update. *Times chance* takes its directions alone.

# %%
tables.factor_falls(recorded.data)

# %%
tables.over_chance(recorded.data)

# %% [markdown]
# ## 8. Two gradients of your own (*extra*)
#
# ### Exercise 2.8: two gradients of your own (*extra*, 5 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# One token `x`, the gradient `G` of the layer's output, and $A$ (2, 3) and $B$ (2, 2) row by row; so
# $r = 2$. The branch is $\frac{\alpha}{r} B A x$. Return two numbers: the gradient of the entry `A[0][1]`
# and that of `B[1][0]` (the first index is the row, and both count from 0). Work them out by hand or in
# any cell, and return what came out: `return 1.5, 20`.

# %%
STUDENT = ""
numbers = lesson.mine("my_gradients", STUDENT)
numbers


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_gradients", "locked": false, "solution": true, "task": false}
def my_gradients() -> tuple[float, float]:
    """Return the gradients of A[0][1] and B[1][0], as numbers."""
    ### BEGIN SOLUTION
    return 638, 5_005  # for self-study: s = 5.5; s (9 + 7 * 7) * 2 and s * 7 * (48 + 18 + 64)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_gradients", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_gradients(my_gradients)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 9. The same in PEFT (*core*)
#
# PEFT's layer holds your two matrices under other names. Copy the factors that *you* trained into a
# PEFT model of the same base, and it computes the same logits.

# %% tags=["nbval-ignore-output"]
import warnings

import peft

# PEFT asks a model for something by its old name; transformers warns, but it concerns PEFT alone
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
base, _ = ll.load_base("nano")
theirs = peft.get_peft_model(
    base, peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
)
with torch.no_grad():
    for name in replaced:
        their_layer = theirs.base_model.model.get_submodule(name)
        A, B = experiment.factors_of(mine.get_submodule(name))
        their_layer.lora_A["default"].weight.copy_(A)
        their_layer.lora_B["default"].weight.copy_(B)
    our_logits, their_logits = mine.eval()(valid[:2]).logits, theirs.eval()(valid[:2]).logits

# %%
torch.testing.assert_close(our_logits, their_logits, rtol=1e-4, atol=1e-4)
print("PEFT computes the logits of the layer built here")
print("PEFT trains", f"{theirs.get_nb_trainable_parameters()[0]:,d}", "numbers, as counted above")
assert theirs.get_nb_trainable_parameters()[0] == trained

# %% [markdown]
# ## What the card says, and what was measured

# %%
lesson.claims()

# %% [markdown]
# ## Summary
#
# - A LoRA layer is $Wx + b + sBAx$. $A$ is random and $B$ is zero, so it starts as the base, bit for bit.
# - Frozen means not updated. Gradients pass through $W$ to the layers below; under `no_grad` they are lost
#   without an error.
# - At the first step $A$'s gradient is zero and $B$'s is not. Weight decay moves $A$ all the same. SGD's first
#   update is $-\text{lr}\,s^2\,\nabla_W L\,A^\top A$: the full gradient, seen through the rows of $A$.
# - Only $BA$ has a meaning for the output; how it trains depends on the factors.
# - An overlap of subspaces means something against chance, $\max(i,j)/d$, and with independent seeds only.
# - The amplification factor falls with $r$ by chance alone, so compare
#   $\lVert U^\top W V \rVert$ with $r \lVert W \rVert / \sqrt{\text{out} \cdot \text{in}}$.
#
# ### Review cards
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, [*LoRA*](https://arxiv.org/abs/2106.09685), 2021: section 4.1
#   for the layer, section 7.2 and appendix G for the overlap of subspaces, section 7.3 and appendix H.4 for the
#   amplification.
# - Hayou and others, *The Impact of Initialization on LoRA Finetuning Dynamics*, 2024, [arXiv 2406.08447](https://arxiv.org/abs/2406.08447): which
#   of $A$ and $B$ should be zero.
# - Hayou and others, *LoRA+: Efficient Low Rank Adaptation of Large Models*, 2024, [arXiv 2402.12354](https://arxiv.org/abs/2402.12354): why $A$ and
#   $B$ may want different learning rates.
# - Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, 2017, [arXiv 1711.05101](https://arxiv.org/abs/1711.05101): why AdamW moves
#   a weight without a gradient.
#
# - Zhu and others, *Asymmetry in Low-Rank Adapters of Foundation Models*, 2024,
#   [arXiv 2402.16842](https://arxiv.org/abs/2402.16842): a random $A$ that stays does nearly as well.
#
# "The card" is the page that [lesson 00](00_start_here.ipynb) shows.
# Next: [lesson 03](03_alpha_scaling.ipynb) takes the scaling $s = \alpha / r$ apart.

# %%
lesson.summary()
