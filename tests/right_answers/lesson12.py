"""Right answers to lesson 12 that are written in another way than the solution."""

from . import RightAnswer, afresh, joined


def _product(forward: str, backward: str) -> str:
    def lines(text: str) -> str:
        return "".join(f"            {line}\n" for line in text.splitlines())

    return f"""
def frozen_product(x, packed, decode):
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, packed):
{lines(forward)}
        @staticmethod
        def backward(ctx, g):
{lines(backward)}
    return Product.apply(x, packed)
"""


RIGHT = {
    "nf4_table": [
        RightAnswer(
            "the standard library's quantiles",
            """
def nf4_table(offset=0.9677083):
    from statistics import NormalDist

    q = NormalDist().inv_cdf
    up = [q(offset - i * (offset - 0.5) / 8) for i in range(8)]
    down = [-q(offset - i * (offset - 0.5) / 7) for i in range(7)]
    return torch.tensor(sorted(up + down + [0.0])) / max(up)
""",
        ),
        RightAnswer(
            "the lower tail's probabilities",
            """
def nf4_table(offset=0.9677083):
    up = torch.linspace(offset, 0.5, 9)[:-1].double()
    down = torch.linspace(1 - offset, 0.5, 8).double()[:-1]
    both = torch.cat([torch.special.ndtri(down), torch.special.ndtri(up), torch.zeros(1)])
    return both.sort()[0] / torch.special.ndtri(torch.tensor(offset).double())
""",
        ),
        RightAnswer(
            "a distribution object",
            """
def nf4_table(offset=0.9677083):
    normal = torch.distributions.Normal(0.0, 1.0)
    up = normal.icdf(torch.linspace(0.5, offset, 9, dtype=torch.float64)[1:])
    down = normal.icdf(torch.linspace(1 - offset, 0.5, 8, dtype=torch.float64))
    down[-1] = 0
    return torch.cat([down, up]) / up[-1]
""",
        ),
    ],
    "quantize": [
        RightAnswer(
            "all blocks at once",
            """
def quantize(W, table, block):
    flat = W.float().flatten()
    n = len(flat)
    blocks = torch.nn.functional.pad(flat, (0, -n % block)).view(-1, block)
    absmax = blocks.abs().amax(1)
    scaled = blocks / absmax.clamp(min=1e-30)[:, None]
    codes = torch.bucketize(scaled, (table[1:] + table[:-1]) / 2).flatten()[:n].to(torch.uint8)
    return codes[0::2] << 4 | codes[1::2], absmax
""",
        ),
        RightAnswer(
            "in float64, with searchsorted",
            """
def quantize(W, table, block):
    table = table.double()
    middles = (table[1:] + table[:-1]) / 2
    scales, codes = [], []
    for piece in torch.split(W.double().reshape(-1), block):
        scales.append(piece.abs().max())
        codes.append(torch.searchsorted(middles, piece / max(scales[-1].item(), 1e-300)))
    pairs = torch.cat(codes).view(-1, 2)
    return (16 * pairs[:, 0] + pairs[:, 1]).byte(), torch.stack(scales).float()
""",
        ),
        RightAnswer(
            "nan_to_num for the block of zeros",
            """
def quantize(W, table, block):
    pieces = W.float().flatten().split(block)
    absmax = torch.stack([piece.abs().max() for piece in pieces])
    scaled = torch.cat([p / s for p, s in zip(pieces, absmax)]).nan_to_num(0.0)
    codes = torch.cdist(scaled[:, None], table[:, None]).argmin(1).to(torch.uint8)
    return codes.view(-1, 2) @ torch.tensor([16, 1], dtype=torch.uint8), absmax
""",
        ),
    ],
    "dequantize": [
        RightAnswer(
            "division and remainder",
            """
def dequantize(packed, absmax, table, block, shape, dtype):
    codes = torch.stack([packed // 16, packed % 16], -1).reshape(-1).int()
    return (table[codes] * absmax[torch.arange(len(codes)) // block]).reshape(shape).to(dtype)
""",
        ),
        RightAnswer(
            "in float64",
            """
def dequantize(packed, absmax, table, block, shape, dtype):
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    scales = absmax.double().repeat_interleave(block)[: len(codes)]
    return (table.double()[codes] * scales).to(dtype).view(*shape)
""",
        ),
        RightAnswer(
            "into an empty tensor, block by block",
            """
def dequantize(packed, absmax, table, block, shape, dtype):
    codes = torch.empty(2 * len(packed), dtype=torch.long)
    codes[0::2], codes[1::2] = packed >> 4, packed & 0x0F
    out = [table[part] * scale for part, scale in zip(codes.split(block), absmax)]
    return torch.cat(out).view(shape).type(dtype)
""",
        ),
    ],
    "bits_per_weight": [
        RightAnswer(
            "one formula",
            """
def bits_per_weight(block, double=False, second=256):
    return 4 + ((8 + 32 / second) if double else 32) / block
""",
        ),
        RightAnswer(
            "bits of a whole group, divided",
            """
def bits_per_weight(block, double=False, second=256):
    weights = block * second
    scales = 8 * second + 32 if double else 32 * second
    return (4 * weights + scales) / weights
""",
        ),
        RightAnswer(
            "a fraction",
            """
def bits_per_weight(block, double=False, second=256):
    from fractions import Fraction

    scale = 8 + Fraction(32, second) if double else Fraction(32)
    return float(4 + scale / block)
""",
        ),
    ],
    "frozen_product": [
        RightAnswer(
            "packed on ctx",
            _product(
                "ctx.packed = packed\nreturn x @ decode(packed).T",
                "return g @ decode(ctx.packed), None",
            ),
        ),
        RightAnswer(
            "packed from outside, by linear",
            _product(
                "return torch.nn.functional.linear(x, decode(packed))",
                "return g.matmul(decode(packed)), None",
            ),
        ),
        RightAnswer(
            "einsum, and asks what needs a gradient",
            _product(
                "ctx.save_for_backward(packed)\n"
                "return torch.einsum('...i,oi->...o', x, decode(packed))",
                "if not ctx.needs_input_grad[0]:\n    return None, None\n"
                "return torch.einsum('...o,oi->...i', g, decode(*ctx.saved_tensors)), None",
            ),
        ),
    ],
}
RIGHT = joined(RIGHT, afresh("12"))
