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
# # 12 QLoRA: train through a base in 4 bits
#
# LoRA trains few weights, but all the frozen ones must be in memory. QLoRA keeps those in 4 bits, and trains
# adapters in 16 or 32 bits beside them. In this lesson you write the 4 bits yourself, down to the byte, and train
# through them. Then you measure what they cost, and where they help.
#
# **You will be able to**
#
# 1. write NF4, its scales and its double quantization, and count the bits of a weight;
# 2. send a gradient through a frozen weight that is decoded only when it is needed;
# 3. say what few bits do to a model, what adapters repair of it, and when QLoRA is the wrong choice.
#
# **Time:** 45 minutes for the core path; what is marked *extra* takes 15 more.
#
# **You need:** the LoRA layer of lesson 02, merging from lesson 09, the parts of a step's memory from lesson 11, and
# the quantiles of the normal distribution.
#
# **How it works:** replace the line in each exercise, run the cell, then run the check below it.
# `lesson.hint.NAME()` gives three hints, each stronger than the one before.
# `lesson.solution.NAME()` shows the answer. If you are stuck, go on: later cells use the package's
# own piece in place of yours and say so.

# %%
import torch

import lora_lessons as ll
from lora_lessons.base import quantize as quantizer
from lora_lessons.base.nf4_linear import to_nf4
from lora_lessons.course.lesson12 import drawings, figures
from lora_lessons.experiments import beside_bitsandbytes
from lora_lessons.experiments import lesson12 as experiment
from lora_lessons.experiments.qlora_steps import adapters

lesson = ll.lesson("12")
SIZE = experiment.SIZES[ll.preset()]
DEVICE = "cuda" if ll.preset() == "full" else "cpu"
_ = ll.seed_everything(0)

# %% [markdown]
# ## 1. Sixteen levels
#
# Four bits name 16 things. To store a weight in 4 bits, choose 16 **levels** once and for all, and keep for each
# weight the number of the level that is nearest: its **code**. Which 16?
#
# Trained weights look much like draws from a normal distribution: many near zero, few far out. Evenly spaced levels
# would spend most codes where hardly a weight is. **NF4**, the 4-bit *normal float* of QLoRA, puts its levels at
# quantiles of $N(0,1)$, so that they are dense where weights are dense. Two details make it the format that everybody
# uses:
#
# - There are 8 levels above zero, 7 below it, and **an exact zero**: a weight of zero must stay zero.
# - The quantile of probability 1 is infinite. So the outermost probability is an *offset* just below 1,
#   0.9677083. It lies half way between $1 - 1/32$ and $1 - 1/30$.
#
# Above zero, the probabilities go from the offset down to 0.5 in 8 equal steps, and 0.5 itself is left out. Below zero
# it is the same with 7 steps, mirrored. In the end all levels are divided by the largest, so that they reach from
# -1 to 1.
#
# ### Exercise 12.1: the sixteen levels (6 minutes)
#
# Return the 16 levels as a tensor, in ascending order. `torch.special.ndtri(p)` is the quantile of $N(0,1)$ at the
# probability `p`; it takes a tensor.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "nf4_table", "locked": false, "solution": true, "task": false}
def nf4_table(offset: float = 0.9677083) -> torch.Tensor:
    """Return the 16 levels of NF4, ascending from -1 to 1."""
    ### BEGIN SOLUTION
    above = torch.special.ndtri(torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:-1])
    below = -torch.special.ndtri(torch.linspace(offset, 0.5, 8, dtype=torch.float64)[:-1])
    levels = torch.cat([below, torch.zeros(1, dtype=torch.float64), above]).sort().values
    return (levels / levels.max()).float()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_nf4_table", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.nf4_table(nf4_table)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# bitsandbytes, the library behind most QLoRA runs, ships the 16 numbers as constants. Are they yours?

# %%
make_table = lesson.use("nf4_table", nf4_table, experiment.package_table)
shipped = torch.tensor(quantizer.NF4)
apart = (make_table() - shipped).abs().max().item()
assert apart < 2e-7
print("the shipped levels:", *(f"{x:.3f}" for x in shipped.tolist()))
print("yours are the same to 6 digits:", apart < 5e-7)

# %% [markdown]
# They differ in the seventh digit, from another way to compute quantiles. For equality to the last bit, take
# the constants: `quantizer.NF4`.
#
# ## 2. A scale for each block
#
# Weights are not between -1 and 1. So they are divided by a **scale** first, the largest absolute value, and the scale
# is stored too. One for all weights? Then one large weight makes the levels coarse for all the others. QLoRA
# cuts the weights into **blocks** of 64 numbers, row after row, and each block has its own scale, `absmax`:
#
# $$\text{code}_i = \text{nearest level to } \frac{w_i}{\text{absmax}}, \qquad
# w'_i = \text{level}[\text{code}_i] \cdot \text{absmax} .$$
#
# Move the sliders. One of 4,096 weights is an outlier. Whom does it harm, with blocks of 64 and with one block?

# %% tags=["nbval-ignore-output"]
lesson.explore.levels()

# %% [markdown]
# ### Exercise 12.2: codes and scales (8 minutes)
#
# Return `(packed, absmax)`. `absmax` has one float32 for each block; the last block may be short. `packed` is uint8,
# **two codes in each byte, the first in the high half** (code 3, then code 9: byte $3 \cdot 16 + 9$). `table` holds
# the 16 levels, and the number of weights is even. A block of zeros has the scale 0, and the code 7, the level of
# zero, throughout. `W` may be bfloat16; work in float32.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "quantize", "locked": false, "solution": true, "task": false}
def quantize(W: torch.Tensor, table: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes of W, two in a byte (n / 2,), and the scale of each block (blocks,)."""
    ### BEGIN SOLUTION
    scales, codes = [], []
    for piece in W.float().flatten().split(block):
        scale = piece.abs().max()
        scales.append(scale)
        scaled = piece / scale if scale > 0 else piece
        codes.append((scaled[:, None] - table).abs().argmin(dim=1))  # (block, 16) -> (block,)
    codes = torch.cat(codes).to(torch.uint8)
    return codes[0::2] * 16 + codes[1::2], torch.stack(scales)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_quantize", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.quantize(quantize)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### Exercise 12.3: back to weights (*extra*, 5 minutes)
#
# The other way: from bytes and scales to weights of the given shape and dtype. Multiply in float32, and round to
# `dtype` once, at the end.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "dequantize", "locked": false, "solution": true, "task": false}
def dequantize(
    packed: torch.Tensor,
    absmax: torch.Tensor,
    table: torch.Tensor,
    block: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return the weights that the codes and the scales stand for."""
    ### BEGIN SOLUTION
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()  # (n / 2, 2) -> (n,)
    scales = absmax.repeat_interleave(block)[: len(codes)]
    return (table[codes.long()] * scales).view(shape).to(dtype)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_dequantize", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.dequantize(dequantize)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% tags=["nbval-ignore-output"]
own_decode = lesson.use("dequantize", dequantize, experiment.package_dequantize)
sample = torch.randn(8, 64, generator=ll.generator(2))
halves, scales = experiment.package_quantize(sample, shipped, 64)
there_and_back = own_decode(halves, scales, shipped, 64, (8, 64), torch.float32)
assert torch.equal(there_and_back, quantizer.fake_quantize(sample))

# %% [markdown]
# ### A real weight, there and back

# %%
encode = lesson.use("quantize", quantize, experiment.package_quantize)
decode = experiment.package_dequantize
base, tokenizer = ll.load_base("nano")
W = base.model.layers[0].mlp.up_proj.weight.detach()
packed, absmax = encode(W, shipped, 64)
back = decode(packed, absmax, shipped, 64, tuple(W.shape), W.dtype)
assert torch.equal(back, quantizer.fake_quantize(W))
print(f"{tuple(W.shape)}: {W.nbytes:,d} bytes in float32, {packed.nbytes:,d} of codes,")
print(f"{absmax.nbytes:,d} of scales; the error is {quantizer.relative_error(W, back):.1%} of W")

# %% [markdown]
# ### The scales cost bits too
#
# A float32 for 64 weights is half a bit a weight. **Double quantization** stores the scales themselves in 8 bits: less
# their mean, in blocks of 256, with a table of 256 levels of its own. Each 256 scales share one float32.

# %%
drawings.storage()

# %% [markdown]
# ### Exercise 12.4: bits a weight (4 minutes)
#
# Return the bits of storage for one weight: its code of 4 bits, and its share of the scales. Without `double` a block
# has one float32. With it a block has 8 bits, and `second` blocks share one float32. The mean, one number for the
# whole tensor, is not counted.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "bits_per_weight", "locked": false, "solution": true, "task": false}
def bits_per_weight(block: int, double: bool = False, second: int = 256) -> float:
    """Return the bits that one weight takes, scales included."""
    ### BEGIN SOLUTION
    if double:
        return 4 + 8 / block + 32 / (block * second)
    return 4 + 32 / block
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_bits_per_weight", "locked": true, "points": 1, "solution": false, "task": false}
verdict = lesson.check.bits_per_weight(bits_per_weight)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %%
bits = lesson.use("bits_per_weight", bits_per_weight, experiment.package_bits)
normal = torch.randn(1024, 4096, generator=ll.generator(0))
print("block   bits   doubled   error on N(0, 1)")
for block in (16, 64, 256, 1024):
    error = quantizer.relative_error(normal, quantizer.fake_quantize(normal, "nf4", block))
    print(f"{block:5d}  {bits(block):5.3f}  {bits(block, True):8.3f}   {error:.1%}")
used = quantizer.code_bits(quantizer.quantize(normal).codes, 16)
print(f"blocks of 64: doubling saves {bits(64) - bits(64, True):.3f} bits")
print(f"and the 4-bit codes carry {used:.2f} bits")

# %% [markdown]
# The last line is a caution. The paper calls NF4 *information-theoretically optimal* for normally distributed weights.
# That means that all 16 codes are used equally often, which would be 4 bits of information. Two things are loose in
# it. Equal use is not the smallest error. And a block that is divided by its *largest* weight is no longer normal: its
# end levels are always taken, so the use is not equal either.
#
# ## 3. What does the error cost?
#
# A tenth of the weights' norm is gone. Is a tenth of the model gone? Seven ways to quantize all linear layers of a
# model's blocks, without any training. **FP4** has the levels of a tiny float, **int4** evenly spaced ones, which is not
# the same thing. **NF3** and **NF2** have 8 and 4 levels, by the same formula. "One block" is one scale a matrix.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "order",
    "Of two ways to quantize the decoder: does the smaller error always end in the smaller loss?",
    options=["always", "not always"],
)

# %% tags=["nbval-ignore-output"]
live = experiment.error_table(length=SIZE["length"], valid_blocks=SIZE["valid_blocks"])
figures.errors_table(live, "Live: nano, validation loss")

# %%
by_way = {(row["form"], row["block"]): row for row in live["rows"]}
assert by_way["nf4", 64]["error"] < by_way["int4", 64]["error"] < by_way["fp4", 64]["error"]
assert live["float"] < by_way["nf4", 64]["loss"] < by_way["nf2", 64]["loss"]
print("in blocks of 64: NF4 errs least, then int4, then FP4; NF2 breaks the model")

# %% [markdown]
# The recorded run is the decoder, 36 times as large, on more text:

# %%
recorded = lesson.recorded("12_errors")
recorded

# %%
figures.errors_table(recorded.data, "Recorded: decoder, validation loss")

# %% tags=["nbval-ignore-output"]
ll.show(figures.errors_figure(recorded.data, live))

# %% tags=["nbval-ignore-output"]
exceptions = figures.out_of_order(recorded.data)
for smaller, larger in exceptions:
    print(f"{smaller} errs less than {larger}, and has the larger loss")
lesson.compare("order", {"always": not exceptions, "not always": bool(exceptions)})

# %% [markdown]
# ### What came out
#
# - NF4 in blocks of 64 costs the decoder 0.002 nats, and the nano model, 36 times smaller, plainly more.
# - The error of $W$ is a fair guide, not a law. Two errors of nearly one size change the order of the losses.
# - Bits do not cost evenly. From 4 to 3 the decoder loses little; with 2 it is gone.
#
# **A trap.** The package's SmolLM2 comes from a file in 4 bits already (Q4_1: blocks of 32 with at most 16 values
# each). To quantize it again is to compare 4 bits with 4 bits of 4 bits. So this lesson measures on our own models,
# whose weights were never rounded.
#
# ## 4. Train through it

# %%
drawings.four_bit_layer()

# %% [markdown]
# The weight is frozen, and yet gradients must pass it on their way to the layers before:
#
# $$y = x W'^{\top}, \qquad \frac{\partial L}{\partial x} = g\, W' \quad (g = \partial L / \partial y), \qquad
# \frac{\partial L}{\partial W'} \text{: nobody asks.}$$
#
# Plain autograd would keep $W'$ from the forward to the backward pass, 16 or 32 bits for each weight, in all layers at
# once. That is the memory we wanted to save. So $W'$ is thrown away after the product, and decoded **a second
# time** in the backward pass. And $x$ need not be kept for this product: it would serve the gradient of $W'$ alone.
#
# ### Exercise 12.5: through the frozen weight (8 minutes)
#
# Return $x W'^{\top}$ with $W'$ = `decode(packed)`, of shape (out, in). The gradient of `x` must be right; between the
# passes keep `packed` and nothing of the size of $W'$ or `x`. Write a `torch.autograd.Function` inside the function:
# `forward(ctx, x, packed)` and `backward(ctx, g)`, which returns one gradient for each input of `forward`, or None.


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "frozen_product", "locked": false, "solution": true, "task": false}
def frozen_product(x: torch.Tensor, packed: torch.Tensor, decode) -> torch.Tensor:
    """Return x W'^T for W' = decode(packed), which is not kept: (..., in) -> (..., out)."""

    ### BEGIN SOLUTION
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, packed):
            ctx.save_for_backward(packed)
            return x @ decode(packed).T

        @staticmethod
        def backward(ctx, g):
            (packed,) = ctx.saved_tensors
            return g @ decode(packed), None  # codes have no gradient

    return Product.apply(x, packed)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_frozen_product", "locked": true, "points": 3, "solution": false, "task": false}
verdict = lesson.check.frozen_product(frozen_product)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# The package's `NF4Linear` is this product as a layer, with double quantization. Turn a model's layers into it, put
# LoRA beside them, and train. The base is truly 4 bits now: no float copy of it exists.

# %%
product = lesson.use("frozen_product", frozen_product, experiment.package_product)
x = torch.randn(3, W.shape[1], generator=ll.generator(1), requires_grad=True)
y = product(x, packed, lambda p: decode(p, absmax, shipped, 64, tuple(W.shape), W.dtype))
y.sum().backward()
torch.testing.assert_close(x.grad, back.sum(0).expand_as(x))
before = experiment.linear_bytes(base)
names = to_nf4(base, keep=base.get_output_embeddings())
after = experiment.linear_bytes(base)
print(f"{len(names)} layers: {before:,d} bytes in float32, {after:,d} in 4 bits")

# %% tags=["nbval-ignore-output"]
codes = {name: base.get_submodule(name).weight.clone() for name in names}
model = ll.get_peft_model(base, experiment.config(r=8))
_, train, valid = experiment.load_task(
    "nano", SIZE["length"], "cpu", valid_blocks=SIZE["valid_blocks"]
)
history = ll.fit(
    model,
    ll.TokenBatches(train, SIZE["batch_size"], SIZE["length"], seed=0),
    steps=SIZE["steps"],
    lr=experiment.LIVE_RATES["nf4"],
    valid=valid,
)
print(f"validation loss {history.eval_losses[0]:.3f} before, {history.last:.3f} after")

# %%
layers = dict(model.get_base_model().named_modules())
assert all(torch.equal(layers[name].base_layer.weight, codes[name]) for name in names)
assert history.last < history.eval_losses[0]
print("the loss fell, and not one code changed")

# %% [markdown]
# ### What do adapters repair?
#
# Quantizing is damage, and adapters are trained weights right beside it. They may learn the task and mend the damage
# at once. NF2 breaks the decoder. Which share of that damage, measured against adapters on the floats, is gone after
# training?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "repaired",
    "Share of NF2's damage to the decoder that training with adapters takes away, in percent",
    low=0,
    high=100,
    step=5,
)

# %% [markdown]
# Live on the nano model, three seeds at rates tuned on others:

# %% tags=["nbval-ignore-output"]
rows = experiment.trained_rows(experiment.LIVE_RATES, device=DEVICE, **SIZE)
for form in experiment.LIVE_RATES:
    loss = figures.average(rows, form, 8)
    print(f"{figures.shown(form):7s} before {loss['before']:.3f}, after {loss['after']:.3f}")

# %%
assert all(row["after"] < row["before"] for row in rows)
loss = {form: figures.average(rows, form, 8)["after"] for form in experiment.LIVE_RATES}
assert loss["float"] < loss["nf2"]
print("training helps each of them, and does not make NF2 as good as floats")

# %% [markdown]
# Recorded: the decoder and the nano model, four formats, two ranks. Each has its own best of five learning rates, chosen
# on three seeds, and then five fresh seeds.

# %%
decoder, nano = lesson.recorded("12_formats"), lesson.recorded("12_formats_nano")
decoder

# %%
print("best rate at the edge of the grid:", figures.at_the_edge(decoder.data["tuning"]) or "none")
figures.repair_table(decoder.data, ranks=(8, 32))

# %%
ll.show(figures.repair_figure({"decoder": decoder.data["fresh"], "nano": nano.data["fresh"]}, r=8))

# %%
floats_against = {
    figures.shown(form): figures.losses(decoder.data["fresh"], form, 8)
    for form in figures.forms_of(decoder.data["fresh"])
}
ll.gap_table(
    ll.gaps_against(floats_against, "floats", family="each format against floats"),
    unit="nats per token",
    caption="decoder, r = 8, after training",
)

# %% tags=["nbval-ignore-output"]
lesson.compare("repaired", 100 * figures.repaired(decoder.data["fresh"], "nf2", 8), unit="%")

# %%
for name, run in (("decoder", decoder), ("nano", nano)):
    shares = {form: figures.repaired(run.data["fresh"], form, 8) for form in ("nf3", "nf2")}
    print(
        f"{name:8s} repaired at r = 8:",
        *(f"{shown.upper()} {share:.1%}" for shown, share in shares.items()),
    )

# %% [markdown]
# ### What came out
#
# - **NF4 is nearly free on the decoder, not free.** After training it is 0.0042 ± 0.0041 nats above floats at rank 8, hardly
#   settled. On the nano model the gap is five times as large. "Full 16-bit performance", as the paper's abstract has
#   it, is a statement about large models.
# - **Adapters repair most of the damage, not all.** NF2 starts 4.679 nats above floats and ends 0.259 ± 0.018 above
#   them: 94.5 % is gone. On the nano model it is 91.3 %.
# - **A higher rank helps all of them.** At rank 32 every row is lower than at rank 8, floats too. On the decoder only
#   NF2 comes nearer to the floats by it, by 0.045 ± 0.018; on the nano model all three do (the tables below).
# - The best rate is the same for NF4 and floats on the decoder, and three times as high for NF2: there is more to move.


# %%
def nearer(run):
    """Each format's distance to the floats, rank 32 less rank 8, one family."""
    above = {
        f"{figures.shown(form)}, r = {r}": gap
        for r in (8, 32)
        for form, gap in figures.damages(run.data["fresh"], r, "after").items()
    }
    pairs = [(f"{form}, r = 32", f"{form}, r = 8") for form in ("NF4", "NF3", "NF2")]
    return ll.paired_gaps(above, pairs, family="distance to the floats at two ranks")


ll.gap_table(nearer(decoder), unit="nats per token", caption="decoder")

# %%
ll.gap_table(nearer(nano), unit="nats per token", caption="nano")

# %% [markdown]
# ## 5. Where to put the adapter afterwards (*extra*)
#
# The adapter was trained beside $W'$. To ship one merged model, there are three places for it: $W'$ kept in floats,
# the original float $W$ (which the adapter never saw), or codes again. The last keeps the model small. Which has the
# lowest loss, for a decoder in NF3?

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "merge",
    "An adapter trained beside NF3 (decoder). Which merged model has the lowest loss?",
    options=list(figures.MERGES.values()),
)

# %%
figures.merge_table(decoder.data["fresh"], r=8)

# %%
ways = figures.merge_losses(decoder.data["fresh"], "nf3", 8)
kept = figures.MERGES["decoded"]
ll.gap_table(
    ll.gaps_against(ways, kept, family="each merge against floats that were decoded"),
    unit="nats per token",
    caption="decoder, NF3, r = 8",
)

# %% tags=["nbval-ignore-output"]
lesson.compare("merge", ways, best="lowest")

# %% [markdown]
# Beside the original $W$ the adapter is worse than beside $W'$, though $W$ is the better base: part of what it learnt
# mends the errors of $W'$, and in $W$ there is nothing to mend. Codes again lose most, and more with fewer bits: for NF3
# 0.1314 ± 0.0072 nats, several times what the format itself costs. So **decode, add, and keep floats**, or serve the
# adapter apart. For NF4 on the decoder, floats kept and the original floats are not told apart; on the nano model they
# are.
#
# And if the model that is served must be in 4 bits? Then the order can be turned: train beside floats, merge, and quantize
# once, at the end.

# %%
rows = decoder.data["fresh"]
orders = {
    "train beside NF4": figures.losses(rows, "nf4", 8),
    "train beside NF4, code again": figures.losses(rows, "nf4", 8, "again"),
    "train in floats, then code": figures.losses(rows, "float", 8, "again"),
}
ll.gap_table(
    ll.gaps_against(orders, "train beside NF4", family="each order against QLoRA served apart"),
    unit="nats per token",
    caption="decoder, NF4, r = 8",
)

# %% [markdown]
# QLoRA with its adapter apart is lower than both. A model that was trained beside the codes has seen their errors.
#
# ## 6. Memory and time
#
# On our small models 4 bits save nothing that counts. What they save is the base, and there a step is mostly
# activations. So ask `predict_memory`, for the decoder and for an 8 B Llama with one row of 2,048 tokens:

# %%
shapes = {
    "5 M decoder, 16 x 128": (ll.load_base("decoder")[0].config, 16, 128),
    "8 B Llama, 1 x 2048": (experiment.eight_billion(), 1, 2048),
}
for name, (config, batch_size, length) in shapes.items():
    for kind in ("bfloat16", "4bit"):
        found = ll.predict_memory(
            config, adapters(), batch_size=batch_size, length=length, base=kind
        )
        print(
            f"{name:22s} {kind:9s} frozen {found.frozen / 2**30:6.2f} GiB, peak {found.peak / 2**30:6.2f}"
        )

# %% [markdown]
# The output layer and the embedding stay in 16 bits, as QLoRA leaves them; that is why "4 bits" are more than a quarter
# of 16. And what does a step cost in time? A product with a 16-bit weight reads it. A product with a 4-bit weight
# decodes it first, twice a step.

# %% tags=["nbval-ignore-output"]
lesson.predict(
    "slower",
    "A step on a 1 B model, 8 x 2048 tokens, base in 4 bits: times as long as with 16 bits",
    low=0.5,
    high=3.0,
    step=0.05,
)

# %%
steps = lesson.recorded("12_steps")
steps

# %%
figures.steps_table(steps.data)

# %%
ll.show(figures.steps_figure(steps.data))

# %% tags=["nbval-ignore-output"]
lesson.compare("slower", figures.ratio(steps.data, 8, "seconds"))

# %% [markdown]
# ### What came out
#
# - **Slower, always.** With 8 rows a step takes 14 % longer in our 4 bits, and 8 % in those of bitsandbytes, whose decoder
#   is written for the GPU. With one row it takes more than twice as long: decoding costs the same for few tokens as
#   for many.
# - **The memory saved is the base's, and only that**: 1.34 GiB here. With 8 rows that is a tenth of the peak, since
#   activations and logits are most of it; with one row it is a quarter.
# - `predict_memory` was off by less than 1 % for all bases, and it ran no step.
#
# So QLoRA is the wrong choice where LoRA in 16 bits fits. It is the only one where it does not: the 8 B model above needs
# 29 GiB with a base in 16 bits and 18 GiB in 4, and a card of 24 GB holds the second alone. Before you reach
# for it, recompute activations (lesson 11) and shorten the batch: those save what 4 bits do not touch.
#
# ## 7. What you take with you
#
# ### Exercise 12.6: a block size of your own (*extra*, 5 minutes)
#
# These numbers are your own. In a course, write your student id between the quotes, as your teacher
# gave it to you; alone, leave it empty.
#
# Your weights have an outlier in each row. The next cell draws them. Try NF4 with blocks of 32, 64, 128, 256 and 512
# (`quantizer.fake_quantize(W, "nf4", block)`). First number: the **largest** of these blocks whose error,
# $\lVert W' - W \rVert / \lVert W \rVert$, is at most `limit_percent` %. Second number: the **bytes** of your layer,
# `out_features` x `in_features` weights, with that block and double quantization: codes, one byte a block, a float32
# for each 256 blocks or part of them, and one float32 for the mean. Write numbers: `return 64, 1_234`.

# %%
STUDENT = ""
mine = lesson.mine("my_block", STUDENT)
my_weights = torch.randn(16, 1024, generator=ll.generator(mine["seed"]))
my_weights[:, 0] = mine["outlier"]
mine


# %% nbgrader={"schema_version": 3, "grade": false, "grade_id": "my_block", "locked": false, "solution": true, "task": false}
def my_block() -> tuple[int, int]:
    """Return the largest block within your limit, and the bytes of your layer with it."""
    ### BEGIN SOLUTION
    return 256, 17_785_584  # for self-study: 21.2 % at 256, 29.0 % at 512; 35,291,136 weights
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade": true, "grade_id": "check_my_block", "locked": true, "points": 2, "solution": false, "task": false}
verdict = lesson.check.my_block(my_block)
verdict
### BEGIN HIDDEN TESTS
verdict.require()
### END HIDDEN TESTS

# %% [markdown]
# ### Question 12.7: your verdict (written, 5 minutes, 3 points)
#
# A colleague has one GPU of 24 GB and wants to adapt an 8 B model. They write: "QLoRA trains the weights in 4 bits, so
# it is faster, and we can merge the result into the 4-bit model." In at most five sentences: put right what is wrong
# in it, say what you would measure before you choose QLoRA, and what you would ship. Use at least two numbers
# from this page.

# %% [markdown] nbgrader={"schema_version": 3, "grade": true, "grade_id": "verdict_on_qlora", "locked": false, "points": 3, "solution": true, "task": false}
# QLoRA trains no 4-bit weight: A and B train, in 16 or 32 bits, and the codes stay as they are. It is slower, not
# faster: in the recorded steps at 1 B the same batch takes 1.14 times as long with 8 rows and 2.2 times with one. What it
# buys is memory, 18 GiB in place of 29 for the 8 B model, so with 24 GB it is needed; I would check that with
# predict_memory, and measure the validation loss against adapters on a 16-bit base on a smaller model. I would not merge
# into 4 bits: on the decoder that costs 0.0216 nats in NF4 and 0.1314 in NF3, more than the format itself. I would ship the
# adapter apart, or merge it into the decoded floats.

# %% [markdown]
# ## 8. The same in bitsandbytes
#
# bitsandbytes is what PEFT and transformers use for a base in 4 bits. It is an extra here
# (`pip install 'lora-lessons[quantized]'`). Where it is installed, the next cell runs both on the same weights;
# elsewhere it reads what both gave when that was recorded.

# %% tags=["nbval-ignore-output"]
if beside_bitsandbytes.installed():
    agreement = beside_bitsandbytes.beside_bitsandbytes()
    print("live, bitsandbytes", agreement["version"])
else:
    agreement = lesson.recorded("12_bitsandbytes").data
    print(beside_bitsandbytes.ADVICE)
figures.agreement_table(agreement)

# %%
assert not agreement["table_differs"]
for row in agreement["codes"]:
    assert row["codes_differ"] == row["scales_differ"] == row["decoded_differ"] == 0
    assert row["sha256"] == beside_bitsandbytes.own_digest(row["shape"], row["dtype"])
assert all(row["off_by_more"] == 0 for row in agreement["scales"])
assert max(agreement["layer"].values()) < 1e-4
print("table, codes, scales and decoded weights: bit for bit; 8-bit scales: within one code")

# %% [markdown]
# Three things to know when you use it:
#
# - `quantize_4bit` and `Linear4bit` take **fp4** unless you say `quant_type="nf4"`; in transformers'
#   `BitsAndBytesConfig` it is `bnb_4bit_quant_type`.
# - Double quantization is `bnb_4bit_use_double_quant=True` there. An 8-bit scale may come out one code apart where it
#   lies in the middle of two.
# - Rows that are no whole number of blocks are decoded wrongly by its code for CPUs in the version recorded. The codes
#   are right, as our decoder shows:

# %%
for row in lesson.recorded("12_bitsandbytes").data["straddled"]:
    print(
        f"rows of {row['columns']}: error {row['error_theirs']:.1%} decoded by bitsandbytes, "
        f"{row['error_ours']:.1%} by ours"
    )

# %% [markdown]
# ## Summary
#
# - NF4 is 16 quantiles with an exact zero, and a scale for each block of 64. With double quantization that is 4.127
#   bits a weight.
# - The frozen weight is decoded for each product and not kept. Gradients pass through it; codes never change.
# - The error of the weights is a guide to the loss, not a law. Adapters repair much of what few bits break, not all.
# - Merge into floats, not into codes.
# - QLoRA buys memory with time. Take it when the base in 16 bits does not leave room for a step.
#
# The card says nothing of QLoRA, so this lesson settles none of its claims.
#
# ### Cards for review
#
# Read the question, answer aloud, then open the card. Come back tomorrow, in three days and in a week.

# %%
lesson.cards()

# %% [markdown]
# ### Further reading
#
# - Dettmers and others, *QLoRA: Efficient Finetuning of Quantized LLMs*, 2023, [arXiv
#   2305.14314](https://arxiv.org/abs/2305.14314): NF4, double quantization, and a third part that we left out,
#   optimizers that page to the host's memory. A 65 B model is trained on one GPU of 48 GB.
# - Li and others, *LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models*, 2023, [arXiv
#   2310.08659](https://arxiv.org/abs/2310.08659): start A and B so that they mend the damage before the first step.
# - bitsandbytes' [page on 4-bit layers](https://huggingface.co/docs/bitsandbytes/reference/nn/linear4bit).

# %%
lesson.summary()
