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
# # 09 Save, merge, switch: what happens to an adapter after training
#
# A trained adapter is a small file. It can be loaded beside the base, written into the base's weights,
# taken out again, exchanged for another, or run in one batch with others. Each of these has a way to go
# wrong without an error. Build them all, and measure what each one costs.
#
# **You will be able to**
#
# 1. write and load an adapter's file so that a wrong one cannot slip through;
# 2. say what merging rounds away for a given dtype, before you merge, and undo a merge bit for bit;
# 3. serve several adapters on one base: switched, mixed in one batch, or summed.
#
# **Time:** 45 minutes for the core path; what is marked *extra* takes 28 more.
#
# **You need:** the LoRA layer of lesson 02, the scaling $s = \alpha/r$ of lesson 03, `state_dict`.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import lora_lessons as ll
from lora_lessons.course.lesson09 import figures
from lora_lessons.experiments import lesson09 as experiment

lesson = ll.lesson("09")
SIZE = experiment.SIZES[ll.preset()]  # quick, small or full: how long the live runs are
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
FOLDER = Path(tempfile.mkdtemp(prefix="lesson09_"))
_ = ll.seed_everything(0)

# %% [markdown]
# ## 0. Two authors (*core*)
#
# The drawing has the three ways to use an adapter that this lesson builds.

# %%
ll.show(figures.three_ways())

# %% [markdown]
# Everything below uses two real adapters on one base, the nano model. One learns from Moby Dick, the other
# from State of the Union addresses since about 1999. (The base has read the presidents, so there is less
# left to learn from them.) Each has rank 8, on all linear layers. They start from different seeds.

# %% tags=["nbval-ignore-output"]
trained, unread = experiment.two_authors(**SIZE, device=DEVICE)
unread = {author: blocks.cpu() for author, blocks in unread.items()}
base, tokenizer = ll.load_base("nano")
model = ll.get_peft_model(base, experiment.config(), adapter_name="melville")
model.add_adapter("president", experiment.config())
for author, result in trained.items():
    ll.set_peft_model_state_dict(model, result.adapter_state_dict(), author)
model.eval().print_trainable_parameters()

# %% [markdown]
# ## 1. The adapter's file (*core*)
#
# Inside the model an adapter's tensors have names such as
#
# `model.layers.0.self_attn.q_proj.lora_A.melville.weight`
#
# The file, `adapter_model.safetensors`, has PEFT's keys. They differ in two ways:
#
# `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight`
#
# - In front stands `base_model.model.`: PEFT wraps a model twice, and the names of both wrappers are kept.
# - The adapter's own name is gone, so that the file can be loaded under any name.
#
# The base is *not* in the file. That is why it is small, and why it is of no use without the same base.
#
# ### Exercise 9.1: the adapter's file (*core*, 5 minutes)
#
# `state` is the `state_dict()` of the model with its adapters: base weights and the factors of *all*
# adapters. Return a dict from the file's keys to the tensors of `adapter`: the tensors themselves, not copies, for
# later cells load into them.
#
# Cut out the adapter's name only where it stands, whole between the dots, after `lora_A.` or `lora_B.` and before
# `weight`: `sea` is not the end of `deepsea`, and a *module* that has the name of an adapter keeps it. ([PEFT issue
# 3584](https://github.com/huggingface/peft/issues/3584): there a layer with the name of another adapter was left out of
# the file.) An adapter that is not there has no tensors.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "file_tensors", "locked": false, "solution": true, "task": false}
def file_tensors(state: dict[str, torch.Tensor], adapter: str) -> dict[str, torch.Tensor]:
    """Return this adapter's A and B under the keys of PEFT's file."""
    ### BEGIN SOLUTION
    found = {}
    for name, tensor in state.items():
        for factor in ("lora_A", "lora_B"):
            end = f".{factor}.{adapter}.weight"
            if name.endswith(end):
                found[f"base_model.model.{name.removesuffix(end)}.{factor}.weight"] = tensor
    return found
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_file_tensors", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.file_tensors(file_tensors)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Write the file with your function, and let the package write its own. Both must hold the same.

# %% tags=["nbval-ignore-output"]
to_file = lesson.use("file_tensors", file_tensors, experiment.package_file_tensors)
tensors = to_file(model.get_base_model().state_dict(), "melville")
save_file(
    {key: tensor.contiguous() for key, tensor in tensors.items()}, FOLDER / "mine.safetensors"
)
model.save_pretrained(FOLDER)  # one folder for each adapter

# %%
mine = load_file(FOLDER / "mine.safetensors")
theirs = load_file(FOLDER / "melville" / "adapter_model.safetensors")
assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)
print(len(mine), "tensors, the first two:")
for key in sorted(mine)[:2]:
    print(" ", key, tuple(mine[key].shape))
print("beside it:", ", ".join(sorted(path.name for path in (FOLDER / "melville").iterdir())))

# %% [markdown]
# `adapter_config.json` is the other half. `r`, `lora_alpha` and `target_modules` are in it, and **the scaling
# is nowhere else**: change `lora_alpha` in the text and the same tensors make another model. Keep the two
# files together.
#
# ## 2. Loading it strictly (*core*)
#
# What may be wrong with a file? A key is missing (that layer keeps its random $A$ and zero $B$: no update,
# no error). A key is extra (a typo, another model's layer: what was trained is thrown away). A shape differs. A
# number is NaN. `load_state_dict(strict=False)` passes over the first two, and PEFT loads that way. A warning
# in a log of thousands of lines is no help.
#
# `copy_` has a trap of its own: it repeats a tensor of shape (1, in) to fill (r, in), without a word.
#
# ### Exercise 9.2: loading it strictly (*core*, 8 minutes)
#
# `targets` holds the model's live tensors by key, `given` the file's. Copy every value *into* the live tensors
# (they require a gradient, so under `torch.no_grad()`). If a key is missing or extra, if a shape differs,
# or if a value is not finite (NaN, or infinity of either sign, anywhere), raise **one** `ValueError` whose message
# names every key at fault, and those alone. Then nothing at all may have been written.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "load_strictly", "locked": false, "solution": true, "task": false}
def load_strictly(targets: dict[str, torch.Tensor], given: dict[str, torch.Tensor]) -> None:
    """Copy all tensors of `given` into `targets`, or raise ValueError and change nothing."""
    ### BEGIN SOLUTION
    faults = [f"missing {key}" for key in targets if key not in given]
    for key, tensor in given.items():
        if key not in targets:
            faults.append(f"unexpected {key}")
        elif tensor.shape != targets[key].shape:
            faults.append(f"{key} has shape {tuple(tensor.shape)}")
        elif not tensor.isfinite().all():
            faults.append(f"{key} is not finite")
    if faults:
        raise ValueError("; ".join(faults))
    with torch.no_grad():
        for key, target in targets.items():
            target.copy_(given[key])
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_load_strictly", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.load_strictly(load_strictly)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Load the file into a fresh model, once as it is and once with one key misspelt.

# %% tags=["nbval-ignore-output"]
load = lesson.use("load_strictly", load_strictly, experiment.package_load)
fresh = ll.get_peft_model(ll.load_base("nano")[0], experiment.config()).eval()
# keep_vars: the live Parameters themselves, not detached copies
live = to_file(fresh.get_base_model().state_dict(keep_vars=True), "default")
bad = {
    key.replace("layers.2.self_attn.q_proj", "layers.2.attn.q_proj"): t for key, t in mine.items()
}

# %%
try:
    load(live, bad)
except ValueError as error:
    wrong = live.keys() ^ bad.keys()
    assert len(wrong) == 4 and all(key in str(error) for key in wrong)
    print("refused, and all four keys are named: two missing, two unexpected")
assert not any(live[key].any() for key in live if "lora_B" in key)
load(live, mine)
model.set_adapter("melville")
tokens = torch.cat([unread["melville"][:2], unread["president"][:2]])
with torch.no_grad():
    assert torch.equal(fresh(tokens).logits, model(tokens).logits)
print("the whole file, loaded: the same logits, bit for bit")

# %% [markdown]
# ## 3. Merging, and what it rounds away (*core*)
#
# $W + s\,BA$ is a matrix of $W$'s shape. Written into $W$, the branch costs nothing any more. It is exact in
# mathematics; in a computer the sum must be rounded to $W$'s dtype. bfloat16 keeps 8 significant bits (float16
# 11, float32 24): 128 steps between 1 and 2, so a step is 1/128 of 1 and 1/256 of 2. The neighbours of any weight are
# that far from it. **A change of less than
# half that gap is lost altogether**: the weight stays what it was. Updates by LoRA are small beside $W$. How
# small is too small?
#
# Imagine that the update is 1 % of the weights: $\lVert\Delta W\rVert / \lVert W\rVert = 0.01$. Which share of bfloat16 weights
# does not move?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "unchanged",
    "Weights left as they were by an update of 1 %, bfloat16, in percent",
    low=0,
    high=100,
    step=1,
)

# %% [markdown]
# ### Exercise 9.3: merging, rounded once (*core*, 6 minutes)
#
# Return `(merged, unchanged)`. `merged` is $W + s\,BA$ in the dtype of `W`, rounded **once**: add in float32,
# and convert at the end. Rounding $BA$ to bfloat16 first rounds twice. `W` itself must stay as it is, or a
# cell that is run again merges twice. `unchanged` is a share from 0 to 1: of the weights that have an
# update ($BA \neq 0$), how many kept their value? `A` and `B` are float32.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "merge_rounded", "locked": false, "solution": true, "task": false}
def merge_rounded(
    W: torch.Tensor, A: torch.Tensor, B: torch.Tensor, scaling: float
) -> tuple[torch.Tensor, float]:
    """Return W + scaling * B A (out, in) in W's dtype, and the share of weights unchanged."""
    ### BEGIN SOLUTION
    delta = scaling * (B @ A)  # (out, r) (r, in) -> (out, in), float32
    merged = (W.float() + delta).to(W.dtype)
    unchanged = (merged == W)[delta != 0].float().mean().item()
    return merged, unchanged
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_merge_rounded", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.merge_rounded(merge_rounded)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
merge = lesson.use("merge_rounded", merge_rounded, experiment.package_merge)
gen = ll.generator(0)
W = 0.02 * torch.randn(1024, 1024, generator=gen)
A, B = torch.randn(8, 1024, generator=gen), torch.randn(1024, 8, generator=gen)
sizes = (0.001, 0.01, 0.1)  # of the update, beside that of the weights
shares = {
    dtype: [
        merge(W.to(dtype), A, B, size * (W.norm() / (B @ A).norm()).item())[1] for size in sizes
    ]
    for dtype in (torch.float32, torch.float16, torch.bfloat16)
}
ll.Table(
    ("weights unchanged by an update of", *(f"{size:.1%} of their size" for size in sizes)),
    [(str(dtype)[6:], *(f"{share:.0%}" for share in row)) for dtype, row in shares.items()],
)

# %% tags=["nbval-ignore-output"]
lesson.compare("unchanged", 100 * shares[torch.bfloat16][1], unit="%")

# %% [markdown]
# Move the sliders. On the left is one weight: the change it should get, and the change it gets, a
# staircase. When is the whole blue band on one step?

# %% tags=["nbval-ignore-output"]
lesson.explore.rounding()

# %% [markdown]
# Now the adapters. The package tells before it merges: `merge_report()` has one line a layer. First the real
# one, in bfloat16:

# %% tags=["nbval-ignore-output"]
half = ll.PeftModel.from_pretrained(
    ll.load_base("nano", dtype=torch.bfloat16)[0], FOLDER / "melville"
)
report = half.merge_report()
ll.Table(
    ("layer, the first five", "‖ΔW‖ / ‖W‖", "unchanged (%)", "error (%)"),
    [
        (row.name, f"{row.update:.4f}", f"{100 * row.unchanged:.2f}", f"{100 * row.error:.2f}")
        for row in half.merge_report()[:5]
    ],
)

# %% [markdown]
# Does the lost part matter? The next cell merges the Moby Dick adapter, and the same adapter at a tenth and at a
# hundredth of its size, into the base rounded to each dtype. "Gain left" is how much better than the base the
# merged model is, as a share of what the separate adapter gains. It may come out a little above 100 %: rounding
# moves the loss in either direction. Small updates are what a low learning rate, a short run or a small $\alpha$
# leaves.

# %% tags=["nbval-ignore-output"]
plain, _ = ll.load_base("nano")
live_rows = experiment.rounding_rows(
    plain,
    {name: delta.cpu() for name, delta in experiment.deltas(trained["melville"]).items()},
    unread["melville"],
    factors=(1.0, 0.1, 0.01),
)
figures.rounding_table(live_rows)

# %%
by_dtype = {row["dtype"]: row for row in live_rows if row["factor"] == 0.01}
assert by_dtype["float32"]["unchanged"] < 0.01
assert by_dtype["float16"]["unchanged"] < by_dtype["bfloat16"]["unchanged"]
print("float32 moves all weights; bfloat16 leaves more of them alone than float16")

# %% [markdown]
# The recorded run: five adapters of the decoder, each from another seed, 400 steps of 16 x 64 tokens. Points are
# means over the seeds, with the 95 % interval of the mean where it is wider than the marker. Lines on the left are
# normal weights with a normal update.

# %%
recorded = lesson.recorded("09_merge_rounding")
recorded

# %%
ll.show(
    figures.rounding_figure(recorded.data["rows"]),
)

# %%
figures.rounding_table(recorded.data["rows"])

# %%
whole, small = figures.gains(recorded.data["rows"], (1.0, 0.01))
above = 100 * figures.above_curves(recorded.data["rows"])
print(f"the adapter's gain: {whole:.2f} nats a token; at a hundredth of its size {small:.3f}")
print(f"measured shares: up to {above:.1f} percentage points above the curves")

# %% [markdown]
# ### What came out
#
# What rounding leaves unchanged depends on the update's relative size and on the dtype; the curves of normal weights
# are a forecast, too low by some points. The decoder's adapters, as trained, are 19 % of its weights, and merging
# them into bfloat16 loses nothing that the loss could show. At a hundredth of that, 64 % of the weights do not move
# and the update is off by 60 %. Yet 79.4 ± 0.6 % of the gain is left. **Rounding hurts the update more than the loss.**
# float16 keeps 99.9 % of the gain or more at every size.
#
# <details><summary>More</summary>
#
# At three hundredths, 33 % of the weights do not move, and 98.5 ± 0.4 % of the gain is left. Why so much is left was
# not measured; a likely reason is that the larger changes get through, and what is lost has no direction of its own.
# Mind that the small updates are large ones shrunk: at a hundredth the whole gain is 0.017 nats a token, of 0.95.
#
# </details>
#
# And mind the model. SmolLM2-135M, 120 steps of 8 x 64 tokens, three seeds:

# %%
larger = lesson.recorded("09_merge_rounding_smollm2")
larger

# %%
figures.rounding_table(larger.data["rows"])

# %%
above = 100 * figures.above_curves(larger.data["rows"])
print(f"measured shares: up to {above:.1f} percentage points above the curves")

# %% [markdown]
# Its adapters, as trained, are only 1.3 % of its weights (they had fewer steps, too). Merging them into bfloat16
# leaves 18 % of the weights unchanged, and still costs nothing. But a tenth of that update keeps 85 % of its gain,
# and a hundredth 32 %, and 78 % in float16. So the report matters more the smaller the update is beside its weights.
# (Its shares are up to 6.4 percentage points above the curves.)

# %% [markdown]
# What to do about it: look at the report first. If the error is large, merge into float32 and store that, or
# keep the adapter apart. Weights of 4 bits have 16 values in all, so merging into them needs a detour through
# 16 bits, and what was gained may be lost on the way back (lesson 12). And look for **tied weights**: section 7.
#
# ## 4. An exact way back (*core*)
#
# To switch adapters on a merged model, take the first one out. $W = \text{merged} - \Delta W$, as the LoRA paper has it
# (section 4.1)? The merge rounded, and the subtraction rounds again. Predict: after one merge and one subtraction of an update of 1 % in bfloat16, which
# share of the weights differs from what it was?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "back",
    "Weights that differ after merging and subtracting again, bfloat16, in percent",
    low=0,
    high=100,
    step=1,
)

# %% [markdown]
# ### Exercise 9.4: an exact way back (*core*, 8 minutes)
#
# Write `merge(delta)` and `unmerge()` for one linear layer, so that the weights come back **bit for bit**.
#
# - `merge` adds `delta` (float32) to `linear.weight` *in place*: an optimizer and tied layers hold the same
#   Parameter. Add in float32, round once, under `torch.no_grad()`.
# - `merge` may be called several times. `unmerge` goes back to before the first.
# - After `unmerge` nothing is kept: a copy costs memory, and the weights may get new values.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "ExactMerge", "locked": false, "solution": true, "task": false}
class ExactMerge:
    """Merge updates into a linear layer, and take them out without a trace."""

    def __init__(self, linear: torch.nn.Linear):
        """Remember the layer. Nothing is merged yet."""
        ### BEGIN SOLUTION
        self.linear = linear
        self.kept = None
        ### END SOLUTION

    def merge(self, delta: torch.Tensor) -> None:
        """Add delta (out, in) to the layer's weight, in place."""
        ### BEGIN SOLUTION
        weight = self.linear.weight
        if self.kept is None:
            self.kept = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(weight.float() + delta)
        ### END SOLUTION

    def unmerge(self) -> None:
        """Give the weight the values from before the first merge."""
        ### BEGIN SOLUTION
        with torch.no_grad():
            self.linear.weight.copy_(self.kept)
        self.kept = None
        ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_ExactMerge", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.ExactMerge(ExactMerge)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
undone = figures.undone_rows(W, B @ A)
figures.undone_table(undone)

# %% tags=["nbval-ignore-output"]
lesson.compare("back", 100 * undone["bfloat16", 0.01].changed, unit="%")

# %% [markdown]
# **Why subtraction does not undo a merge.** Between two powers of two, a *binade*, all neighbours of a dtype have
# one distance; in the next binade it is twice as large. Where the sum stays in its weight's binade, merging moves the
# weight by a whole number of steps, and subtracting the same delta comes back to the nearest step, the old one.
# Where the sum lands in a *higher* binade, its last bit is rounded away. Half of these weights can't be told from
# their neighbour any more: the table's third column has how many of the changed weights are such. In bfloat16 and
# float16 nearly all are, once the update is 1 % or more. So the share grows with the update: a larger one lifts more
# weights into a higher binade.
#
# <details><summary>And in float32?</summary>
#
# There $\Delta W$ has only a few bits beyond the last one of $W$, so a sum often falls exactly half way between two
# neighbours, and may come back to the wrong one. So a part changes inside its binade.
#
# </details>
#
# No dtype is safe, float32 included. The package keeps a copy while something is merged, as you do
# (`merge_adapter(backup="cpu")` keeps it in the computer's memory, `backup=None` goes without). What it costs:

# %%
layers = model.base_model.lora_layers().values()
before = [layer.base_layer.weight.detach().clone() for layer in layers]
model.merge_adapter(["melville"])
kept = sum(value.nbytes for layer in layers for value in layer.kept_base.values.values())
factors = sum(tensor.nbytes for tensor in mine.values())
model.unmerge_adapter()
assert all(torch.equal(a, b.base_layer.weight) for a, b in zip(before, layers, strict=True))
print("after unmerging every weight is bit for bit what it was")
print(f"kept while merged: {kept:,d} bytes; one adapter's file: {factors:,d} bytes of tensors")

# %% [markdown]
# The copy is as large as the adapted weights and biases, whatever the rank. For an 8 B model in bfloat16 with
# LoRA on all linear layers that is about 14 GB, and for q and v alone 1.3 GB (32 blocks of 4096 x 4096 and
# 1024 x 4096). There are two cheaper ways: keep the adapter
# apart (it costs a little time at each token), or read the base from disk again.
#
# ## 5. Switched, and mixed in one batch (*extra*)
#
# Both adapters are in the model. `set_adapter` chooses; nothing is copied, so it takes no time. Each adapter
# should be best on its own author:

# %% tags=["nbval-ignore-output"]
table = {}
for author in experiment.AUTHORS:
    model.set_adapter(author)
    table[author] = experiment.loss_table(model, unread)
with model.disable_adapter():
    table = {"base": experiment.loss_table(model, unread), **table}
ll.show(figures.loss_bars(table))

# %%
assert table["melville"]["melville"] < table["president"]["melville"]
assert table["president"]["president"] < table["melville"]["president"]
print("each adapter reads its own author better than the other adapter does")

# %% tags=["nbval-ignore-output"]
for author in experiment.AUTHORS:
    model.set_adapter(author)
    print(f"{author}:", ll.generate(model, tokenizer, "The people", 30, temperature=0.7), "\n")

# %% [markdown]
# A server gets requests for both at once. Switching between requests would leave the batch of one. But the costly
# part, $Wx$, has the same $W$ for all. So run the base once for the whole batch, and add each row's own branch. That
# is also why nothing may be merged here: a merged weight is the same for every row.
#
# ### Exercise 9.5: many adapters in one batch (*extra*, 7 minutes)
#
# `x` is (batch, time, in). `names[i]` is the adapter of row `i`, or `None` for the plain base. `adapters` maps a
# name to `(A, B, scaling)`; ranks may differ. A batch may have no row of an adapter, and `linear` no bias. Return
# (batch, time, out), rows in their order and in the dtype of `x`. Call `linear` once. Gradients of `x` must still flow,
# for a layer above one that trains is run so too.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "serve_batch", "locked": false, "solution": true, "task": false}
def serve_batch(
    x: torch.Tensor,
    linear: torch.nn.Linear,
    adapters: dict[str, tuple[torch.Tensor, torch.Tensor, float]],
    names: list[str | None],
) -> torch.Tensor:
    """Return the layer's output, each row with the branch of its own adapter."""
    ### BEGIN SOLUTION
    y = linear(x)  # (batch, time, out)
    for name, (A, B, scaling) in adapters.items():
        rows = [i for i, wanted in enumerate(names) if wanted == name]
        y[rows] = y[rows] + scaling * (x[rows] @ A.T @ B.T)
    return y
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_serve_batch", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.serve_batch(serve_batch)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# For a whole model that is `model(..., adapter_names=[...])`, where `"__base__"` stands for no adapter. First
# one layer by your function, then the model: each row must be what its adapter alone gives.

# %%
serve = lesson.use("serve_batch", serve_batch, experiment.package_serve)
layer = model.base_model.lora_layers()["model.layers.0.mlp.up_proj"]
own = {}
for author, result in trained.items():
    A1, B1 = (factor.cpu() for factor in result.factors["model.layers.0.mlp.up_proj"])
    own[author] = (A1, B1, 16 / 8)
rows = torch.randn(3, 5, 64, generator=ll.generator(1))
mixed = ["president", None, "melville"]
with torch.no_grad():
    by_hand = serve(rows, layer.base_layer, own, mixed)
    by_package = layer(rows, adapter_names=["president", "__base__", "melville"])
torch.testing.assert_close(by_hand, by_package)
print("one layer: the same as the package's")

# %%
names = ["melville", "__base__", "president", "melville"]
with torch.no_grad():
    together = model(tokens, adapter_names=names).logits
    for i, name in enumerate(names):
        with model.disable_adapter():
            alone = model(tokens).logits[i]
        if name != "__base__":
            model.set_adapter(name)
            alone = model(tokens).logits[i]
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-4)
print("one batch, two authors and the base: each row is as if it were served alone")

# %% [markdown]
# ## 6. The sum of adapters (*extra*)
#
# Half Melville, half president: $\Delta W = \tfrac12 s_1 B_1 A_1 + \tfrac12 s_2 B_2 A_2$. The obvious way is to average the files: one $A$ and
# one $B$, the means of both. Multiply it out:
#
# $$\tfrac12(B_1 + B_2)\,\tfrac12(A_1 + A_2) = \tfrac14 (B_1 A_1 + B_2 A_2 + \underbrace{B_1 A_2 + B_2 A_1}_\text{nobody trained these}) .$$
#
# Lesson 02 said it: only the product means something. The sum has an exact form all the same:
#
# $$w_1 s_1 B_1 A_1 + w_2 s_2 B_2 A_2 = \begin{pmatrix} w_1 s_1 B_1 & w_2 s_2 B_2 \end{pmatrix} \begin{pmatrix} A_1 \\ A_2 \end{pmatrix} .$$
#
# ### Exercise 9.6: the sum of adapters (*extra*, 7 minutes)
#
# `adapters` is a list of `(A, B, scaling)`, whose ranks may differ. Return `(A, B)` of one adapter with scaling
# 1 whose update is the weighted sum of theirs. A weight may be negative, or 0. The rank is the sum of all the ranks.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "weighted_sum", "locked": false, "solution": true, "task": false}
def weighted_sum(
    adapters: list[tuple[torch.Tensor, torch.Tensor, float]], weights: list[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A (R, in) and B (out, R) with B A = the sum of w * scaling * B_i A_i."""
    ### BEGIN SOLUTION
    A = torch.cat([A for A, _, _ in adapters])
    scaled = [w * scaling * B for w, (_, B, scaling) in zip(weights, adapters, strict=True)]
    return A, torch.cat(scaled, dim=1)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_weighted_sum", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.weighted_sum(weighted_sum)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# Now for the whole model: the exact half-and-half sum, and an adapter made of the averaged files.

# %% tags=["nbval-ignore-output"]
combine = lesson.use("weighted_sum", weighted_sum, experiment.package_sum)
files = {author: result.adapter_state_dict() for author, result in trained.items()}
averaged = {
    key: (files["melville"][key] + files["president"][key]) / 2 for key in files["melville"]
}
summed = {}
for key in [key for key in averaged if "lora_A" in key]:
    other = key.replace("lora_A", "lora_B")
    pair = [(files[a][key].cpu(), files[a][other].cpu(), 2.0) for a in experiment.AUTHORS]
    summed[key], summed[other] = combine(pair, [0.5, 0.5])
model.add_adapter("averaged files", experiment.config())
model.add_adapter("exact sum", experiment.config(r=16, alpha=16))  # scaling 1
ll.set_peft_model_state_dict(model, averaged, "averaged files")
ll.set_peft_model_state_dict(model, summed, "exact sum")
for name in ("averaged files", "exact sum"):
    model.set_adapter(name)
    table[name] = experiment.loss_table(model.eval(), unread)
ll.show(figures.loss_bars(table))

# %% tags=["nbval-ignore-output"]
figures.loss_rows(table)

# %%
errors = model.add_weighted_adapter(list(experiment.AUTHORS), [0.5, 0.5], "package", "cat")
exact = {name: layer.get_delta_weight("package") for name, layer in model.lora_layers().items()}
for name, layer in model.lora_layers().items():
    torch.testing.assert_close(layer.get_delta_weight("exact sum"), exact[name])
off = [
    ((layer.get_delta_weight("averaged files") - exact[name]).norm() / exact[name].norm()).item()
    for name, layer in model.lora_layers().items()
]
assert max(errors.values()) < 1e-5 and min(off) > 0.1
print("your sum is the package's; it reports its error, which is rounding")
print("the averaged files make another update in every layer")

# %% [markdown]
# Look at the numbers, not at the names. The exact sum need not read better than either adapter, nor than the base:
# half of an adapter may gain nearly as much as all of it, or half of the other one may take more away. **The update is
# exact; the model's behaviour is not a mean of two behaviours**, for the layers between are not linear. One seed and
# a short run settle nothing about which reads best. What is settled is the algebra: averaged files are another update
# in every layer. KnOTS (Stoica and others, 2024) finds that updates by LoRA merge worse than those of full
# fine-tuning, because they are less aligned, and aligns them by an SVD of all stacked side by side before it adds.
#
# PEFT's `add_weighted_adapter` has `cat`, which is this sum for plain LoRA. Its `linear` adds files and has the cross
# terms. Its default, `svd`, cuts the sum down to one adapter's rank, and counted the scaling twice in version 0.20. With
# rsLoRA not even `cat` is the sum, as the next cell shows: PEFT sets the new adapter's $\alpha$ to its rank, which is a
# scaling of 1 by $\alpha/r$, but of $\sqrt{r} = 4$ by rsLoRA's rule. The package's version returns the error of each layer, so that you need not believe a name.

# %% tags=["nbval-ignore-output"]
import peft

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # PEFT's notes on names
    rs = peft.LoraConfig(
        r=8, lora_alpha=16, target_modules=["q_proj"], use_rslora=True, init_lora_weights=False
    )
    of_peft = peft.get_peft_model(ll.load_base("nano")[0], rs, adapter_name="one")
    of_peft.add_adapter("two", rs)
    of_peft.add_weighted_adapter(["one", "two"], [0.5, 0.5], "both", combination_type="cat")
layer = of_peft.base_model.model.model.layers[0].self_attn.q_proj
exact = (layer.get_delta_weight("one") + layer.get_delta_weight("two")) / 2
factor = (layer.get_delta_weight("both").norm() / exact.norm()).item()
print(f"PEFT's cat of two rsLoRA adapters: {factor:.3f} times the sum that was asked for")

# %% [markdown]
# ## 7. One weight under two names (*extra*, 10 minutes)
#
# In our models, as in many small ones, the input embedding *is* the output layer: `embed_tokens.weight` and
# `lm_head.weight` are one Parameter, which saves 512 x 64 numbers here. They are **tied**. An adapter on `lm_head`
# acts on the logits alone. What if it is merged?

# %%
_ = ll.seed_everything(0)
plain, _ = ll.load_base("nano")
print(plain.lm_head.weight is plain.model.embed_tokens.weight, plain.config.tie_word_embeddings)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    on_head = ll.LoraConfig(r=8, lora_alpha=16, target_modules=["lm_head"], task_type="CAUSAL_LM")
    apart = ll.get_peft_model(plain, on_head)
print(said[0].message)
experiment.train_on_melville(apart)
update = apart.lora_layers()["lm_head"].get_delta_weight("default").detach()  # (512, 64)

# %% [markdown]
# It is trained, and reads Moby Dick better than the base. Now add its update to `lm_head.weight`, as for any
# layer. How does that model read?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "tied",
    "The loss after the update is merged into the tied weight",
    options=["as with the adapter apart", "between the adapter and the base", "above the base"],
)

# %% tags=["nbval-ignore-output"]
careless, _ = ll.load_base("nano")
with torch.no_grad():
    careless.lm_head.weight += update
heads = {}
with apart.disable_adapter():
    heads["the base"] = experiment.loss_table(apart, unread)["melville"]
heads["adapter apart"] = experiment.loss_table(apart, unread)["melville"]
heads["merged, tied"] = experiment.loss_table(careless, unread)["melville"]
ll.Table(
    ("way", "loss on Melville (nats)"), [(name, f"{loss:.3f}") for name, loss in heads.items()]
)

# %%
assert heads["adapter apart"] < heads["the base"] < heads["merged, tied"]
print("merged into the tied weight, the adapter is worse than no adapter")

# %% tags=["nbval-ignore-output"]
apart_loss, base_loss, tied_loss = (heads[k] for k in ("adapter apart", "the base", "merged, tied"))
lesson.compare(
    "tied",
    {
        "as with the adapter apart": abs(tied_loss - apart_loss) < 1e-3,
        "between the adapter and the base": apart_loss + 1e-3 <= tied_loss < base_loss,
        "above the base": tied_loss > base_loss,
    },
)

# %% [markdown]
# The update was learnt for the way out. Merged, it moves every token on its way *in* too, and all blocks
# read other inputs than they were trained on. No error is raised: shapes and dtypes fit.
#
# ### Exercise 9.7: untie, then merge (*extra*, 5 minutes)
#
# Add `delta`, the update of the output layer, to that layer's weight; the input embedding must keep its
# values. `model.get_output_embeddings()` and `model.get_input_embeddings()` return the two modules.
#
# - If their weights are **one** Parameter, first give the output layer a Parameter of its own, and set
#   `model.config.tie_word_embeddings` to False: `tie_weights()`, which transformers calls when it resizes the
#   vocabulary, would tie them again, and the update would be lost.
# - If they are two, write in place: an optimizer holds that Parameter. Mind that two matrices may be equal and
#   still be two, and that a config may be wrong.
#
# The weight keeps its dtype, which may be bfloat16. Return nothing.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "merge_into_head", "locked": false, "solution": true, "task": false}
def merge_into_head(model: torch.nn.Module, delta: torch.Tensor) -> None:
    """Add delta (vocabulary, hidden) to the output layer's weight, and to no other's."""
    ### BEGIN SOLUTION
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False
    with torch.no_grad():
        head.weight += delta
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_merge_into_head", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.merge_into_head(merge_into_head)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
into_head = lesson.use("merge_into_head", merge_into_head, experiment.package_merge_into_head)
untied, _ = ll.load_base("nano")
into_head(untied, update)
untied.tie_weights()  # ties nothing now: the config says so
loss = experiment.loss_table(untied, unread)["melville"]
print(f"merged, untied {loss:.3f}")

# %%
assert abs(loss - heads["adapter apart"]) < 1e-4
print("untied first, the merged model reads as the adapter does")

# %% [markdown]
# The package does not untie for you, because the model becomes larger and is another one on disk. It refuses:

# %%
try:
    apart.merge_and_unload()
except ll.MergeError as error:
    print(error)

# %% [markdown]
# ## 8. What you take with you (*core*)
#
# ### Question 9.8: your verdict (*core*, written, 5 minutes, 3 points)
#
# A colleague trains with a very low learning rate, merges into the bfloat16 base, and finds that "the merged model
# forgot the training". They want to train longer. In at most five sentences: what do you measure first, what
# result would prove that rounding is at fault, and which two ways out do you offer?

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_merging", "locked": false, "points": 3, "solution": true, "task": false}
# First I compare the separate adapter's loss with the merged model's and with the base's. If the separate
# one is good and the merged one is near the base, then training is not at fault. The merge report proves
# it: the update is about two thousandths of the weights, more than half of them are unchanged, and the same
# merge into float32 keeps the gain. Ways out: serve the adapter apart, or merge into float32 (or float16,
# if the values fit) and store that. Training longer may help only because it makes the update larger.

# %% [markdown]
# ### Exercise 9.9: a merge of your own (*extra*, 4 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# One weight, stored in bfloat16, and what two adapters add to it. Return two numbers: the weight after
# both are merged **at once**, rounded once; and after one is merged, stored, and **then** the other.
# `torch.tensor(number).bfloat16().item()` rounds one number. Return what came out, with all its digits:
# `return 1.5078125, 1.515625`.

# %%
STUDENT = ""
mine = lesson.mine("my_merge", STUDENT)
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_merge", "locked": false, "solution": true, "task": false}
def my_merge() -> tuple[float, float]:
    """Return the merged weight: both updates at once, and one after the other."""
    ### BEGIN SOLUTION
    return 6.0, 6.03125  # for self-study: 6.00625 rounds to 6.0; 5.9875 to 6.0, then 6.01875 up
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_merge", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.my_merge(my_merge)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ## 9. The same in PEFT (*core*)
#
# Files go both ways. PEFT reads the adapter written above; it writes one, and the package reads it. The logits
# are equal each time.

# %% tags=["nbval-ignore-output"]
import peft

# PEFT asks a model for something by its old name; transformers warns, but it concerns PEFT alone
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
theirs = peft.PeftModel.from_pretrained(ll.load_base("nano")[0], FOLDER / "melville").eval()
theirs.save_pretrained(FOLDER / "from_peft")
back = ll.PeftModel.from_pretrained(ll.load_base("nano")[0], FOLDER / "from_peft").eval()
model.set_adapter("melville")

# %%
with torch.no_grad():
    ours, peft_logits, again = (each(tokens).logits for each in (model, theirs, back))
torch.testing.assert_close(ours, peft_logits, rtol=1e-4, atol=1e-4)
torch.testing.assert_close(ours, again, rtol=1e-4, atol=1e-4)
print("package -> PEFT -> package: the same logits")

# %% [markdown]
# Its unmerge subtracts. Measure that on the same adapter, in bfloat16, after 1 and after 20 cycles:

# %% tags=["nbval-ignore-output"]
in_half = ll.load_base("nano", dtype=torch.bfloat16)[0]
theirs = peft.PeftModel.from_pretrained(in_half, FOLDER / "melville").eval()
adapted = [m for m in theirs.modules() if isinstance(m, peft.tuners.lora.Linear)]
start = torch.cat([m.base_layer.weight.detach().flatten() for m in adapted])
drift = {}
for cycle in range(1, 21):
    theirs.merge_adapter()
    theirs.unmerge_adapter()
    now = torch.cat([m.base_layer.weight.detach().flatten() for m in adapted])
    drift[cycle] = (now != start).float().mean().item()
for cycle in (1, 20):
    print(f"PEFT, cycle {cycle:2d}: {drift[cycle]:.1%} of the base's weights differ")

# %%
start = [layer.base_layer.weight.detach().clone() for layer in half.lora_layers().values()]
for _ in range(20):
    half.merge_adapter()
    half.unmerge_adapter()
layers = half.lora_layers().values()
assert all(torch.equal(a, b.base_layer.weight) for a, b in zip(start, layers, strict=True))
assert drift[1] > 0 and abs(drift[20] - drift[1]) < 0.005
print("the package, 20 cycles: no weight differs; PEFT, one cycle: some do")

# %% [markdown]
# That is more than the 1 % row of section 4, because this adapter's update is larger (its merge report says how
# large), and PEFT rounds the update itself to bfloat16 before it adds and subtracts. With one adapter it does not get
# worse: what the first cycle moved, the next ones give back as they found it.

# %% [markdown]
# And the misspelt file of section 2, loaded by PEFT, then by the package:

# %%
(FOLDER / "bad").mkdir()
save_file(bad, FOLDER / "bad" / "adapter_model.safetensors")
config = (FOLDER / "melville" / "adapter_config.json").read_text()
_ = (FOLDER / "bad" / "adapter_config.json").write_text(config)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    theirs = peft.PeftModel.from_pretrained(ll.load_base("nano")[0], FOLDER / "bad")
told = [str(warning.message) for warning in said if "missing" in str(warning.message)]
assert len(told) == 1
lost = theirs.base_model.model.model.layers[2].self_attn.q_proj.lora_B["default"].weight
assert not lost.any()
print("PEFT: loaded with a warning, and the layer's B is zero: its training is lost")
try:
    ll.PeftModel.from_pretrained(ll.load_base("nano")[0], FOLDER / "bad")
except ll.AdapterFileError as error:
    print("package:", str(error).splitlines()[0])

# %% [markdown]
# PEFT does warn of the missing keys, in one line among a log's thousands.
#
# ### The tied adapter in PEFT (*extra*)
#
# Last, the adapter of section 7. PEFT warns too, and then merges it into both:

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # both warn of the tied weight
    apart.save_pretrained(FOLDER / "head")
    theirs = peft.PeftModel.from_pretrained(ll.load_base("nano")[0], FOLDER / "head")
    theirs = theirs.merge_and_unload()
assert theirs.lm_head.weight is theirs.model.embed_tokens.weight
loss = experiment.loss_table(theirs.eval(), unread)["melville"]
assert abs(loss - heads["merged, tied"]) < 1e-4
print("PEFT's merged model is still tied, and has the loss of the careless merge")

# %% [markdown]
# ## Summary
#
# - An adapter's file holds $A$ and $B$ under `base_model.model.<path>.lora_A.weight`; the scaling is in the json.
#   Look at all keys, shapes and values before you copy one.
# - Merging rounds $W + s\,BA$ to $W$'s dtype: once, from float32. In bfloat16 an update of 1 % of the weights leaves
#   about a fifth of them unchanged, one of 0.1 % about four fifths. Ask the report before you merge.
# - Subtracting does not undo a merge, in no dtype: sums that land in a higher binade lose a bit. A copy does, at the
#   size of the adapted weights.
# - A merge into a tied weight changes the input embedding and the output layer. Untie first, and say so in the
#   config.
# - In one batch the base runs once, and each row adds its own adapter's branch. Nothing is merged there.
# - Sums of adapters: stack the factors. Averaged files have cross terms that nobody trained.
#
# The card says nothing of merging, so this lesson settles none of its claims.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Hu and others, [*LoRA: Low-Rank Adaptation of Large Language Models*](https://arxiv.org/abs/2106.09685), 2021: section 4.1, no
#   extra latency after merging, and switching by subtraction; section 4.2, the trouble with batches of different
#   tasks.
# - Sheng and others, [*S-LoRA: Serving Thousands of Concurrent LoRA Adapters*](https://arxiv.org/abs/2311.03285), 2023: the batch of
#   exercise 9.5 at the scale of a service.
# - Chen and others, [*Punica: Multi-Tenant LoRA Serving*](https://arxiv.org/abs/2310.18547), 2023: one kernel for a
#   batch of different adapters on a single copy of the base.
# - Stoica and others, [*Model merging with SVD to tie the Knots*](https://arxiv.org/abs/2410.19735), 2024 (KnOTS).
# - Yadav and others, [*TIES-Merging: Resolving Interference When Merging Models*](https://arxiv.org/abs/2306.01708), 2023: what to do
#   when a plain sum is not enough.
# - The safetensors format, and PEFT's page on the checkpoint format.
#
# Next: [lesson 10](10_choosing_parameters.ipynb) chooses the parameters by measurement.

# %%
lesson.summary()
