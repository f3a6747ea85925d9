"""Wrong answers that learners really give in lesson 12, and what the check must say to each."""

from . import WrongAnswer, afresh, joined, wrong_numbers


def _table(
    up: str = "torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:-1]",
    down: str = "torch.linspace(offset, 0.5, 8, dtype=torch.float64)[:-1]",
    parts: str = "[-q(down), torch.zeros(1).double(), q(up)]",
    end: str = "levels / levels.max()",
    sort: str = ".sort().values",
    head: str = "offset=0.9677083",
    body: str = "",
) -> str:
    return f"""
def nf4_table({head}):
    q = torch.special.ndtri
    {body or "pass"}
    up = {up}
    down = {down}
    levels = torch.cat({parts}){sort}
    return {end}
"""


def _quantize(
    scale: str = "piece.abs().max()",
    scaled: str = "piece / scale",
    code: str = "(scaled[:, None] - table).abs().argmin(1)",
    packed: str = "codes[0::2] * 16 + codes[1::2]",
    absmax: str = "torch.stack(scales)",
    flat: str = "W.float().flatten()",
    cut: str = "flat.split(block)",
    codes: str = "torch.cat(codes).to(torch.uint8)",
    guard: str = "scale = scale if scale != 0 else torch.ones(())",
) -> str:
    return f"""
def quantize(W, table, block):
    flat = {flat}
    scales, codes = [], []
    for piece in {cut}:
        scale = {scale}
        scales.append(scale)
        {guard}
        scaled = {scaled}
        codes.append({code})
    codes = {codes}
    return {packed}, {absmax}
"""


_PADDED = """
def quantize(W, table, block):
    flat = W.float().flatten()
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % block))
    blocks = flat.view(-1, block)
    absmax = blocks.abs().amax(1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = torch.bucketize(scaled, (table[1:] + table[:-1]) / 2).flatten().to(torch.uint8)
    return codes[0::2] << 4 | codes[1::2], absmax
"""
_PADDED_WITH_THE_SCALE = """
def quantize(W, table, block):
    flat = W.float().flatten()
    n, short = len(flat), -len(flat) % block
    flat = torch.cat([flat, flat.abs().max().expand(short)])
    blocks = flat.view(-1, block)
    absmax = blocks.abs().amax(1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = torch.bucketize(scaled, (table[1:] + table[:-1]) / 2).flatten()[:n].to(torch.uint8)
    return codes[0::2] << 4 | codes[1::2], absmax
"""
_IN_PLACE = """
def quantize(W, table, block):
    flat = W.view(-1)
    scales, codes = [], []
    for piece in flat.split(block):
        scale = piece.abs().max()
        scales.append(scale.float())
        piece /= scale
        codes.append((piece.float()[:, None] - table).abs().argmin(1))
    codes = torch.cat(codes).to(torch.uint8)
    return codes[0::2] * 16 + codes[1::2], torch.stack(scales)
"""
_BY_ROW = """
def quantize(W, table, block):
    W = W.float()
    absmax = W.abs().amax(1)
    codes = ((W / absmax[:, None])[..., None] - table).abs().argmin(-1).flatten().to(torch.uint8)
    return codes[0::2] * 16 + codes[1::2], absmax
"""


def _dequantize(
    codes: str = "torch.stack([packed >> 4, packed & 15], 1).flatten()",
    values: str = "table[codes.long()]",
    scales: str = "absmax.repeat_interleave(block)[: len(codes)]",
    result: str = "(values * scales).view(shape).to(dtype)",
) -> str:
    return f"""
def dequantize(packed, absmax, table, block, shape, dtype):
    codes = {codes}
    values = {values}
    scales = {scales}
    return {result}
"""


def _bits(
    double: str, plain: str = "4 + 32 / block", head: str = "double=False, second=256"
) -> str:
    return f"""
def bits_per_weight(block, {head}):
    if double:
        return {double}
    return {plain}
"""


_DOUBLE = "4 + 8 / block + 32 / (block * second)"


def _product(
    forward: str = "ctx.save_for_backward(packed)\nreturn x @ decode(packed).T",
    backward: str = "(packed,) = ctx.saved_tensors\nreturn g @ decode(packed), None",
    end: str = "Product.apply(x, packed)",
    start: str = "pass",
) -> str:
    def lines(text: str) -> str:
        return "".join(f"            {line}\n" for line in text.splitlines())

    return f"""
def frozen_product(x, packed, decode):
    {start}
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, packed):
{lines(forward)}
        @staticmethod
        def backward(ctx, g):
{lines(backward)}
    return {end}
"""


WRONG = {
    "nf4_table": [
        WrongAnswer("bfloat16", _table(end="(levels / levels.max()).bfloat16()"), "rounded to"),
        WrongAnswer("float16", _table(end="(levels / levels.max()).half()"), "rounded to"),
        WrongAnswer(
            "returns nothing", "def nf4_table(offset=0.9677083):\n    pass\n", "tensor of 16"
        ),
        WrongAnswer("a list", _table(end="(levels / levels.max()).tolist()"), "got list"),
        WrongAnswer("not divided", _table(end="levels"), "not divided by the largest"),
        WrongAnswer(
            "8 on each side, no zero",
            _table(
                down="torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:-1]",
                parts="[-q(down), q(up)]",
            ),
            "no zero",
        ),
        WrongAnswer(
            "zero twice",
            _table(
                down="torch.linspace(offset, 0.5, 7, dtype=torch.float64)",
                parts="[-q(down), torch.zeros(1).double(), q(up)]",
            ),
            "there twice",
        ),
        WrongAnswer("offset 1", _table(head="offset=1.0"), "infinite"),
        WrongAnswer(
            "the offset is not an argument",
            _table(head="", body="offset = 0.9677083"),
            "takes the offset",
        ),
        WrongAnswer(
            "the offset is ignored", _table(body="offset = 0.9677083"), "is that of 0.9677083"
        ),
        WrongAnswer(
            "the numbers alone",
            "def nf4_table(offset=0.9677083):\n    return torch.tensor([-1.0, -0.6961928009986877, "
            "-0.5250730514526367, -0.39491748809814453, -0.28444138169288635, "
            "-0.18477343022823334, "
            "-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, "
            "0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, "
            "0.7229568362236023, 1.0])\n",
            "is that of 0.9677083",
        ),
        WrongAnswer(
            "evenly spaced",
            "def nf4_table(offset=0.9677083):\n    return torch.linspace(-1, 1, 16)\n",
            "evenly spaced",
        ),
        WrongAnswer(
            "equal shares",
            "def nf4_table(offset=0.9677083):\n"
            "    q = torch.special.ndtri((torch.arange(16).double() + 0.5) / 16)\n"
            "    return q / q.max()\n",
            "16 quantiles in equal steps",
        ),
        WrongAnswer(
            "the sides exchanged",
            _table(parts="[-q(up), torch.zeros(1).double(), q(down)]"),
            "the other way round",
        ),
        WrongAnswer("not sorted", _table(sort=""), "not in ascending order"),
        WrongAnswer(
            "0.5 is kept",
            _table(up="torch.linspace(offset, 0.5, 9, dtype=torch.float64)"),
            "17 levels",
        ),
        WrongAnswer(
            "one step too many",
            _table(
                up="torch.linspace(offset, 0.5, 10, dtype=torch.float64)[:8]",
                down="torch.linspace(offset, 0.5, 9, dtype=torch.float64)[:7]",
            ),
            "skip a step",
        ),
        WrongAnswer(
            "the negative quantiles",
            _table(parts="[q(down), torch.zeros(1).double(), q(up)]"),
            "No level is below zero",
        ),
    ],
    "quantize": [
        WrongAnswer("one scale for all", _quantize(cut="[flat]"), "one absmax for all"),
        WrongAnswer(
            "without abs", _quantize(scale="piece.max()"), "not the largest absolute value"
        ),
        WrongAnswer("the mean", _quantize(scale="piece.abs().mean()"), "means of absolute values"),
        WrongAnswer("the spread", _quantize(scale="piece.std()"), "standard deviations"),
        WrongAnswer(
            "the level below",
            _quantize(code="(torch.searchsorted(table, scaled, right=True) - 1).clamp(0)"),
            "the level below",
        ),
        WrongAnswer(
            "the level above",
            _quantize(code="torch.searchsorted(table, scaled).clamp(max=15)"),
            "the level above",
        ),
        WrongAnswer(
            "low half first", _quantize(packed="codes[0::2] + codes[1::2] * 16"), "swapped"
        ),
        WrongAnswer("not divided", _quantize(scaled="piece"), "those of W itself"),
        WrongAnswer(
            "not packed", _quantize(packed="codes"), "Two codes of 4 bits go into each byte"
        ),
        WrongAnswer(
            "a wide dtype",
            _quantize(packed="(codes[0::2].int() * 16 + codes[1::2])"),
            "must be uint8",
        ),
        WrongAnswer("padding is kept", _PADDED, "Codes of a padding"),
        WrongAnswer("padded with the largest of all", _PADDED_WITH_THE_SCALE, "Expected"),
        WrongAnswer("rows for blocks", _BY_ROW, "one absmax a row"),
        WrongAnswer("W is changed", _IN_PLACE, "Your code changes `W` itself"),
        WrongAnswer("zero over zero", _quantize(guard="pass"), "A block of zeros"),
        WrongAnswer(
            "the scale 1 for zeros",
            _quantize(scale="piece.abs().max() or torch.ones(())"),
            "A block of zeros has the scale 0; absmax holds 1.",
        ),
        WrongAnswer(
            "a guard at 1e-6",
            _quantize(guard="scale = scale.clamp(min=1e-6)"),
            "Small is not zero",
        ),
        WrongAnswer(
            "a guard at 1e-3",
            _quantize(guard="scale = scale.clamp(min=1e-3)"),
            "Small is not zero",
        ),
        WrongAnswer(
            "tiny blocks taken for zero",
            _quantize(scale="piece.abs().max() * (piece.abs().max() > 1e-6)"),
            "Small is not zero",
        ),
        WrongAnswer(
            "the scale in bfloat16",
            _quantize(
                flat="W.flatten()", guard="scale = scale.float() if scale != 0 else torch.ones(())"
            ),
            "absmax must be float32",
        ),
        WrongAnswer(
            "the other way round",
            _quantize(packed="torch.stack(scales)", absmax="codes[0::2] * 16 + codes[1::2]"),
            "absmax must have the shape",
        ),
        WrongAnswer(
            "the codes alone",
            _quantize(absmax="codes").replace(
                "return codes[0::2] * 16 + codes[1::2], codes", "return codes"
            ),
            "Return two tensors",
        ),
        WrongAnswer(
            "the whole tensor's scale in the codes",
            _quantize(scaled="piece / flat.abs().max()"),
            "Each block has its own",
        ),
    ],
    "dequantize": [
        WrongAnswer(
            "low half first",
            _dequantize(codes="torch.stack([packed & 15, packed >> 4], 1).flatten()"),
            "swapped",
        ),
        WrongAnswer(
            "no scale", _dequantize(result="values.view(shape).to(dtype)"), "not multiplied"
        ),
        WrongAnswer(
            "divided",
            _dequantize(result="(values / scales).view(shape).to(dtype)"),
            "divided by the scale",
        ),
        WrongAnswer(
            "scales in turn",
            _dequantize(scales="absmax.repeat(block)[: len(codes)]"),
            "another block's scale",
        ),
        WrongAnswer(
            "a scale a row",
            _dequantize(
                scales="absmax.repeat_interleave(-(-len(codes) // shape[0]))",
                values="table[codes.long()].view(-1)",
                result="(values * scales.repeat(len(codes))[: len(codes)]).view(shape).to(dtype)",
            ),
            "a scale for each row",
        ),
        WrongAnswer("codes for levels", _dequantize(values="codes.float()"), "Look up the level"),
        WrongAnswer(
            "dtype lost", _dequantize(result="(values * scales).view(shape)"), "The dtype must be"
        ),
        WrongAnswer("flat", _dequantize(result="(values * scales).to(dtype)"), "The shape must be"),
        WrongAnswer(
            "padding kept",
            _dequantize(
                values="torch.nn.functional.pad(table[codes.long()], (0, -len(codes) % block))",
                scales="absmax.repeat_interleave(block)",
                result="(values * scales).to(dtype)",
            ),
            "Is a padding in it",
        ),
        WrongAnswer(
            "rounded before",
            _dequantize(
                values="table.to(dtype)[codes.long()]",
                scales="absmax.to(dtype).repeat_interleave(block)[: len(codes)]",
            ),
            "rounded before the product",
        ),
        WrongAnswer(
            "halves beside halves",
            _dequantize(codes="torch.cat([packed >> 4, packed & 15])"),
            "Expected",
        ),
        WrongAnswer("returns nothing", _dequantize().replace("return", "_ ="), "got NoneType"),
    ],
    "bits_per_weight": [
        WrongAnswer(
            "256 whatever is asked",
            _bits("4 + 8 / block + 32 / (block * 256)"),
            "`second` says how many",
        ),
        WrongAnswer("codes alone", _bits("4", "4"), "The scales are forgotten"),
        WrongAnswer("a scale a weight", _bits(_DOUBLE, "4 + 32"), "a block shares one"),
        WrongAnswer(
            "8 bits at once", _bits(_DOUBLE, "4 + 8 / block"), "A scale has 32 bits before"
        ),
        WrongAnswer("16 bits", _bits(_DOUBLE, "4 + 16 / block"), "this counts 16"),
        WrongAnswer("scales alone", _bits(_DOUBLE, "32 / block"), "These are the scales alone"),
        WrongAnswer("bytes", _bits(_DOUBLE, "(4 + 32 / block) / 8"), "These are bytes"),
        WrongAnswer("a whole block", _bits(_DOUBLE, "4 * block + 32"), "a whole block"),
        WrongAnswer("double makes nothing", _bits("4 + 32 / block"), "without double quantization"),
        WrongAnswer(
            "second level forgotten", _bits("4 + 8 / block"), "The second level is forgotten"
        ),
        WrongAnswer(
            "second level a block", _bits("4 + 8 / block + 32 / block"), "counted once a block"
        ),
        WrongAnswer(
            "second level by weights",
            _bits("4 + 8 / block + 32 / second"),
            "shared by `second` blocks",
        ),
        WrongAnswer(
            "on top",
            _bits("4 + 32 / block + 8 / block + 32 / (block * second)"),
            "replaces the first",
        ),
        WrongAnswer(
            "8 bits twice", _bits("4 + 8 / block + 8 / (block * second)"), "is a float32, too"
        ),
        WrongAnswer(
            "whole numbers",
            _bits("4 + 8 // block + 32 // (block * second)", "4 + 32 // block"),
            "The scales are forgotten",
        ),
    ],
    "frozen_product": [
        WrongAnswer(
            "plain autograd",
            "def frozen_product(x, packed, decode):\n    return x @ decode(packed).T\n",
            "W' is kept for the backward pass",
        ),
        WrongAnswer(
            "W' saved",
            _product(
                "W = decode(packed)\nctx.save_for_backward(W)\nreturn x @ W.T",
                "(W,) = ctx.saved_tensors\nreturn g @ W, None",
            ),
            "W' is kept for the backward pass",
        ),
        WrongAnswer(
            "W' on ctx",
            _product("ctx.W = decode(packed)\nreturn x @ ctx.W.T", "return g @ ctx.W, None"),
            "W' is still in memory",
        ),
        WrongAnswer(
            "a copy of W' on ctx",
            _product(
                "W = decode(packed)\nctx.W = W.clone()\nreturn x @ W.T",
                "return g @ ctx.W, None",
            ),
            "ctx keeps W'",
        ),
        WrongAnswer(
            "W' in a closure",
            _product("return x @ W.T", "return g @ W, None", start="W = decode(packed)"),
            "W' is still in memory",
        ),
        WrongAnswer(
            "x saved",
            _product(
                "ctx.save_for_backward(x, packed)\nreturn x @ decode(packed).T",
                "x, packed = ctx.saved_tensors\nreturn g @ decode(packed), None",
            ),
            "x is kept for the backward pass",
        ),
        WrongAnswer(
            "x on ctx",
            _product(
                "ctx.x = x\nctx.save_for_backward(packed)\nreturn x @ decode(packed).T",
            ),
            "ctx keeps x",
        ),
        WrongAnswer(
            "no gradient",
            _product(end="Product.apply(x.detach(), packed)"),
            "y has no gradient",
        ),
        WrongAnswer(
            "under no_grad",
            "def frozen_product(x, packed, decode):\n    with torch.no_grad():\n        return "
            "x @ decode(packed).T\n",
            "y has no gradient",
        ),
        WrongAnswer(
            "not transposed",
            _product("ctx.save_for_backward(packed)\nreturn x @ decode(packed)"),
            "mat1 and mat2",
        ),
        WrongAnswer(
            "gradient through the transpose",
            _product(backward="(packed,) = ctx.saved_tensors\nreturn g @ decode(packed).T, None"),
            "cannot be multiplied",
        ),
        WrongAnswer(
            "no gradient for x",
            _product(backward="return None, None"),
            "x gets no gradient",
        ),
        WrongAnswer(
            "one gradient for two inputs",
            _product(backward="(packed,) = ctx.saved_tensors\nreturn g @ decode(packed)"),
            "incorrect number of gradients",
        ),
        WrongAnswer(
            "g left out",
            _product(backward="return torch.ones_like(g) @ decode(ctx.saved_tensors[0]), None"),
            "leaves g out",
        ),
        WrongAnswer(
            "a mean over the batch",
            _product(
                backward="(packed,) = ctx.saved_tensors\nreturn g @ decode(packed) / len(g), None"
            ),
            "a mean over the rows",
        ),
        WrongAnswer(
            "a minus",
            _product(backward="(packed,) = ctx.saved_tensors\nreturn -g @ decode(packed), None"),
            "wrong sign",
        ),
        WrongAnswer(
            "zeros",
            _product(backward="(packed,) = ctx.saved_tensors\nreturn 0 * g @ decode(packed), None"),
            "The gradient is zero",
        ),
        WrongAnswer(
            "not decoded",
            "def frozen_product(x, packed, decode):\n    return x * 1.0\n",
            "decode was not called",
        ),
    ],
}

WRONG["my_block"] = wrong_numbers(
    "my_block",
    {
        "codes alone": ("256, 17_645_568", "These are the codes alone"),
        "scales in 32 bits": ("256, 18_196_992", "without double quantization"),
        "no second level": ("256, 17_783_428", "The scales of the scales are left out"),
        "no mean": ("256, 17_785_580", "The mean is left out"),
        "neither": ("256, 17_783_424", "Both float32 parts"),
        "bits": ("256, 142_284_672", "These are bits"),
        "a byte a weight": ("256, 35_431_152", "a byte for each weight"),
        "one scale": ("256, 17_645_572", "Each block has one"),
        "the next block": ("512, 17_714_980", "Its error is above your limit"),
        "a smaller block": ("128, 17_926_788", "A larger block is still within your limit"),
        "another student's": ("64, 20_200_284", "not the answer to your numbers"),
        "the wrong way round": ("17_785_584, 256", "not the answer to your numbers"),
    },
)
WRONG = joined(WRONG, afresh("12"))
