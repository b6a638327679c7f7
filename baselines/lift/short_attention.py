"""Attention among so few tokens that a head's scores fit in registers: a Triton kernel each way, in half precision.

torch's fused kernels work in tiles of 64 or 128 tokens, of which LiFT's 18 fill a few. These read queries, keys and
values where the input map left them, once, and write gradients into one tensor of the same layout.

Shapes: B sequences of N tokens of width W, in heads of `size` numbers.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

LOG2_E = tl.constexpr(1.4426950408889634)


@torch.library.custom_op("cia_bench::short_attention", mutates_args=())
def short_attention(into: Tensor, query_bias: Tensor, heads: int) -> Tensor:
    """What each token takes from all: queries, keys and values (B, N, 3 W), and what queries add (W,) -> (B, N, W)."""
    B, N, W = into.shape[0], into.shape[1], into.shape[2] // 3
    mixed = into.new_empty(B, N, W)
    with torch.cuda.device_of(into):  # Triton starts on the current one
        _forward[(B * heads,)](into.contiguous(), query_bias, mixed, N, heads, **_sizes(N, W // heads))
    return mixed


@short_attention.register_fake
def _(into: Tensor, query_bias: Tensor, heads: int) -> Tensor:
    return into.new_empty(into.shape[0], into.shape[1], into.shape[2] // 3)


@torch.library.custom_op("cia_bench::short_attention_backward", mutates_args=())
def short_attention_backward(into: Tensor, query_bias: Tensor, heads: int, of_mixed: Tensor) -> Tensor:
    """The gradient of `into`, (B, N, 3 W), from that of what tokens took, (B, N, W)."""
    B, N, W = of_mixed.shape
    of_into = torch.empty(into.shape, dtype=into.dtype, device=into.device)
    of_mixed = of_mixed.contiguous()
    with torch.cuda.device_of(into):
        _backward[(B * heads,)](into.contiguous(), query_bias, of_mixed, of_into, N, heads, **_sizes(N, W // heads))
    return of_into


@short_attention_backward.register_fake
def _(into: Tensor, query_bias: Tensor, heads: int, of_mixed: Tensor) -> Tensor:
    return into.new_empty(into.shape)


def _keep(ctx, inputs: tuple, output: Tensor) -> None:
    into, query_bias, ctx.heads = inputs
    ctx.save_for_backward(into, query_bias)


def _gradients(ctx, of_mixed: Tensor) -> tuple[Tensor, Tensor, None]:
    into, query_bias = ctx.saved_tensors
    of_into = short_attention_backward(into, query_bias, ctx.heads, of_mixed)
    of_bias = of_into[..., : len(query_bias)].sum((0, 1), dtype=torch.float32)
    return of_into, of_bias.to(query_bias.dtype), None


short_attention.register_autograd(_gradients, setup_context=_keep)


def try_on(index: int) -> None:
    """Run both kernels on a GPU; raises what Triton does without a C compiler, say."""
    with torch.inference_mode(False), torch.enable_grad():
        into = torch.ones(1, 2, 48, dtype=torch.float16, device=f"cuda:{index}", requires_grad=True)
        short_attention(into, into[0, 0, :16], 1).sum().backward()


def _sizes(N: int, size: int) -> dict[str, int | float]:
    N_BLOCK, SIZE_BLOCK = (max(16, triton.next_power_of_2(number)) for number in (N, size))
    warps = max(1, N_BLOCK * SIZE_BLOCK // 2048)
    return {"scale": size**-0.5, "size": size, "N_BLOCK": N_BLOCK, "SIZE_BLOCK": SIZE_BLOCK, "num_warps": warps}


@triton.jit
def _forward(
    into, query_bias, mixed, N, heads, scale, size: tl.constexpr, N_BLOCK: tl.constexpr, SIZE_BLOCK: tl.constexpr
):
    """One program for each head of each sequence."""
    W = heads * size
    rows, columns, inside = _place(N, heads, size, N_BLOCK, SIZE_BLOCK)
    at = rows * (3 * W) + columns
    _, _, shares = _shares(into, query_bias, at, columns, inside, N, W, scale, N_BLOCK)
    value = tl.load(into + at + 2 * W, mask=inside, other=0.0)
    tl.store(mixed + rows * W + columns, tl.dot(shares.to(value.dtype), value), mask=inside)


@triton.jit
def _backward(
    into,
    query_bias,
    of_mixed,
    of_into,
    N,
    heads,
    scale,
    size: tl.constexpr,
    N_BLOCK: tl.constexpr,
    SIZE_BLOCK: tl.constexpr,
):
    """The same; shares are worked out anew."""
    W = heads * size
    rows, columns, inside = _place(N, heads, size, N_BLOCK, SIZE_BLOCK)
    at = rows * (3 * W) + columns
    query, key, shares = _shares(into, query_bias, at, columns, inside, N, W, scale, N_BLOCK)
    value = tl.load(into + at + 2 * W, mask=inside, other=0.0)
    of_out = tl.load(of_mixed + rows * W + columns, mask=inside, other=0.0)
    of_value = tl.dot(tl.trans(shares.to(value.dtype)), of_out)
    tl.store(of_into + at + 2 * W, of_value, mask=inside)
    of_shares = tl.dot(of_out, tl.trans(value))
    of_scores = shares * (of_shares - tl.sum(shares * of_shares, axis=1)[:, None]) * scale
    of_scores = of_scores.to(value.dtype)
    tl.store(of_into + at, tl.dot(of_scores, key), mask=inside)
    tl.store(of_into + at + W, tl.dot(tl.trans(of_scores), query), mask=inside)


@triton.jit
def _place(N, heads, size: tl.constexpr, N_BLOCK: tl.constexpr, SIZE_BLOCK: tl.constexpr):
    """A program's rows of all tokens, (N_BLOCK, 1), and columns of W, (1, SIZE_BLOCK), and which of them there are."""
    sequence, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    token, place = tl.arange(0, N_BLOCK)[:, None], tl.arange(0, SIZE_BLOCK)[None, :]
    return sequence.to(tl.int64) * N + token, head * size + place, (token < N) & (place < size)


@triton.jit
def _shares(into, query_bias, at, columns, inside, N, W, scale, N_BLOCK: tl.constexpr):
    """Queries, keys, and the softmax of their products, (N_BLOCK, N_BLOCK) float32."""
    bias = tl.load(query_bias + columns, mask=tl.max(inside.to(tl.int32), axis=0)[None, :] > 0, other=0.0)
    query, key = tl.load(into + at, mask=inside, other=0.0), tl.load(into + at + W, mask=inside, other=0.0)
    query = (query.to(tl.float32) + bias.to(tl.float32)).to(key.dtype)
    scores = tl.dot(query, tl.trans(key)) * (scale * LOG2_E)
    scores = tl.where(tl.arange(0, N_BLOCK)[None, :] < N, scores, float("-inf"))
    shares = tl.exp2(scores - tl.max(scores, axis=1)[:, None])
    return query, key, shares / tl.sum(shares, axis=1)[:, None]
