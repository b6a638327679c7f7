"""The LiFT model: a feature sequence becomes a static vector and a velocity that together redraw it.

Source: Bagad & Zisserman, "Chirality in Action: Time-Aware Video Representation Learning by Latent Straightening",
arXiv 2509.08502, with the details of the code its authors released. The released checkpoint fits these modules key by
key, except its table of time codes, which is computed here for the length at hand.

Shapes: B sequences of T frames with D features each; W is the width of the latent space.
"""

import functools
import logging
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cia_bench.errors import ConfigError

logger = logging.getLogger(__name__)

ORTHOGONALITY_WEIGHT = 0.1
MOST_TOKENS, LARGEST_HEAD, HALF = 64, 128, (torch.float16, torch.bfloat16)  # for the kernels of short_attention


@dataclass(frozen=True)
class LiFTConfig:
    """What rebuilds a model; raises ConfigError for settings that make none.

    The defaults are the published model's, on the features of DINOv2 ViT-S/14: 8,728,320 parameters.
    """

    feature_dim: int = 384
    width: int = 384
    layers: int = 4
    heads: int = 8
    dropout: float = 0.1  # in training only

    def __post_init__(self):
        for name in ("feature_dim", "width", "layers", "heads"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"LiFT's {name} is {value!r}; it needs a whole number of at least 1")
        if self.width % self.heads:
            raise ConfigError(f"LiFT's width {self.width} can't be divided among {self.heads} attention heads")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"LiFT's dropout is {self.dropout!r}; it needs a number from 0 to below 1")


class LiFT(nn.Module):
    """Encode a sequence as a straight walk through a latent space, and decode each step of the walk to a frame."""

    def __init__(self, config: LiFTConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The static vector z_s and the velocity z_d of each sequence: (B, T, D) -> (B, W), (B, W).

        Raises ConfigError unless x is (B, T, D) with at least 2 frames and the model's own D.
        """
        if x.ndim != 3 or x.shape[1] < 2 or x.shape[2] != self.config.feature_dim:
            raise ConfigError(
                f"LiFT takes (sequences, at least 2 frames, {self.config.feature_dim} features), not {tuple(x.shape)}"
            )
        return self.encoder(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sequences drawn anew, and what they were drawn from: (B, T, D) -> (B, T, D), (B, W), (B, W).

        Raises ConfigError like `encode`.
        """
        z_s, z_d = self.encode(x)
        return self.decoder(walk(z_s, z_d, x.shape[1])), z_s, z_d


class Layer(nn.TransformerEncoderLayer):
    """torch's layer before-norm, worked out for no more tokens than are read."""

    def forward(self, x: Tensor, read: int | None = None) -> Tensor:
        """Tokens (B, N, W) -> (B, N, W); or, of the first `read` tokens alone, (B, read, W).

        Without gradients and dropout x may be overwritten.
        """
        normed = self.norm1(x)
        mixed = self._attend_all(normed) if read is None else self._attend_first(normed, read)
        x = x[:, :read]
        differs = self.training or torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type)
        if x.device.type == "cpu" and not differs:
            return self._added_in_place(x.contiguous(), mixed)
        x = x + self.dropout1(F.linear(mixed, self.self_attn.out_proj.weight, self._mixed_bias()))
        hidden = self.dropout(F.relu(self.linear1(self.norm2(x)), inplace=True))
        return x + self.dropout2(self.linear2(hidden))

    def _added_in_place(self, x: Tensor, mixed: Tensor) -> Tensor:
        """What is left to do after attention, (B, N, W) -> (B, N, W), in fewer passes over memory.

        Products are added into x. relu(h + b) is max(h, -b) + b, of which the last term joins the next map's bias.
        """
        tokens, first, second = x.flatten(0, 1), self.linear1, self.linear2
        tokens.addmm_(mixed.flatten(0, 1), self.self_attn.out_proj.weight.t()).add_(self._mixed_bias())
        hidden = F.linear(self.norm2(tokens), first.weight).clamp_min_(-first.bias)
        tokens.addmm_(hidden, second.weight.t()).add_(second.bias + second.weight @ first.bias)
        return x

    def _attend_all(self, x: Tensor) -> Tensor:
        """What each token takes from all, before the output's linear map: (B, N, W) -> (B, N, W).

        A key's bias moves all scores of a query alike, and so no share; a value's joins `_mixed_bias` if it can.
        """
        B, N, W = x.shape
        heads, size = self.self_attn.num_heads, W // self.self_attn.num_heads
        query_bias, _, value_bias = self.self_attn.in_proj_bias.view(3, heads, 1, size)
        into = F.linear(x, self.self_attn.in_proj_weight)  # (B, N, 3 W)
        if not self._dropout() and fits_short_attention(into, size):
            return torch.ops.cia_bench.short_attention(into, query_bias.flatten(), heads)
        query, key, value = into.view(B, N, 3, heads, size).permute(2, 0, 3, 1, 4)  # (B, heads, N, size)
        if torch.is_grad_enabled():
            query = query + query_bias
        else:  # in place, which saves a copy
            query += query_bias
        if self._dropout():
            value = value + value_bias
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=self._dropout())
        return mixed.transpose(1, 2).reshape(B, N, W)

    def _attend_first(self, x: Tensor, read: int) -> Tensor:
        """The same of the first tokens alone, (B, N, W) -> (B, read, W), without a key or a value of any token.

        With R queries, (q K) x^T is less work than q (x K^T)^T, and (shares x) V than shares (x V).
        """
        B, N, W = x.shape
        heads, size = self.self_attn.num_heads, W // self.self_attn.num_heads
        of_query, of_key, of_value = self.self_attn.in_proj_weight.view(3, heads, size, W)
        query_bias, _, value_bias = self.self_attn.in_proj_bias.view(3, heads, size)
        query = F.linear(x[:, :read], of_query.flatten(0, 1), query_bias.flatten()).view(B, read, heads, size)
        scores = torch.einsum("brhs,hsw->brhw", query, of_key).reshape(B, read * heads, W) @ x.transpose(1, 2)
        shares = F.dropout((scores / size**0.5).softmax(dim=-1), self._dropout())  # (B, read heads, N)
        mixed = torch.einsum("brhw,hsw->brhs", (shares @ x).reshape(B, read, heads, W), of_value)
        if self._dropout():
            mixed = mixed + shares.sum(dim=-1).view(B, read, heads, 1) * value_bias
        return mixed.reshape(B, read, W)

    def _mixed_bias(self) -> Tensor:
        """What attention's output map adds, (W,): its bias, and all of the values' where the shares add up to 1."""
        out = self.self_attn.out_proj
        if self._dropout():
            return out.bias
        return out.bias + out.weight @ self.self_attn.in_proj_bias.view(3, -1)[2]

    def _dropout(self) -> float:
        return self.self_attn.dropout if self.training else 0.0


def fits_short_attention(into: Tensor, size: int) -> bool:
    """Whether the kernels of short_attention are for (B, N, 3 W) such numbers in heads of a size, and run there."""
    few = into.shape[1] <= MOST_TOKENS and size <= LARGEST_HEAD
    return into.is_cuda and into.dtype in HALF and few and has_short_attention(into.device.index)


def has_short_attention(gpu: int) -> bool:
    """Whether the kernels of short_attention run on a GPU; compiled code takes the answer as a constant."""
    return _tried_short_attention(gpu)


@functools.cache
def _tried_short_attention(gpu: int) -> bool:
    try:
        from cia_bench.baselines.lift.short_attention import try_on

        try_on(gpu)
    except Exception as error:  # without Triton or a C compiler, of many kinds
        logger.warning(
            "LiFT's attention runs by torch's own kernels, which are slower: %s", " ".join(str(error).split())
        )
        return False
    return True


class Encoder(nn.Module):
    """A transformer over the frames and two learnt vectors, which become z_s and z_d."""

    def __init__(self, config: LiFTConfig):
        super().__init__()
        width = config.width
        self.cls_static = nn.Parameter(torch.randn(1, 1, width))
        self.cls_dynamic = nn.Parameter(torch.randn(1, 1, width))
        self.input_proj = nn.Linear(config.feature_dim, width)
        layer = Layer(
            width, config.heads, 4 * width, config.dropout, activation="relu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.static_proj = nn.Linear(width, width)
        self.dynamic_proj = nn.Linear(width, width)
        self.static_norm = nn.LayerNorm(width)
        self.dynamic_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        B, T, _ = x.shape
        frames = self.input_proj(x)  # (B, T, W)
        frames += time_codes(T, frames.shape[2], x.device).to(frames)
        learnt = torch.cat([self.cls_static, self.cls_dynamic], dim=1).expand(B, -1, -1)  # (B, 2, W), without a time
        tokens = torch.cat([learnt, frames], dim=1)  # (B, 2 + T, W)
        *layers, last = self.transformer.layers
        for layer in layers:
            tokens = layer(tokens)
        tokens = last(tokens, read=2)
        z_s = self.static_norm(self.static_proj(tokens[:, 0]))
        z_d = self.dynamic_norm(self.dynamic_proj(tokens[:, 1]))
        return z_s, z_d


class Decoder(nn.Module):
    """A perceptron that draws the features of one frame from its latent point, (..., W) -> (..., D)."""

    def __init__(self, config: LiFTConfig):
        super().__init__()
        hidden = 2 * config.width
        self.model = nn.Sequential(
            nn.Linear(config.width, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.GELU(),
            nn.Linear(hidden, config.feature_dim),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)


def time_codes(T: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """The sinusoidal code of each frame index 0..T-1: (T, width), sines on even places, cosines on odd ones.

    In float64, or float32 on mps, which has no other.
    """
    exact = torch.float32 if torch.device(device).type == "mps" else torch.float64
    frame, place = torch.arange(T, dtype=exact, device=device), torch.arange(width, device=device)
    angle = frame[:, None] / 10000 ** ((place - place % 2).to(exact) / width)  # (T, width)
    return torch.where(place % 2 == 0, angle.sin(), angle.cos())


def walk(z_s: Tensor, z_d: Tensor, T: int) -> Tensor:
    """T points on the straight path from z_s to z_s + z_d: (B, W), (B, W) -> (B, T, W)."""
    exact = torch.promote_types(
        z_s.dtype, torch.float32
    )  # for the times: bfloat16 has none between 125/128 and 126/128
    times = torch.arange(T, dtype=exact, device=z_s.device) / (T - 1)
    return (z_s[:, None] + times[:, None] * z_d[:, None]).to(z_s.dtype)


def lift_loss(
    x: Tensor, x_hat: Tensor, z_s: Tensor, z_d: Tensor, orthogonality_weight: float = ORTHOGONALITY_WEIGHT
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss and its two terms: the reconstruction's mean squared error, and the mean |cos| of z_s and z_d.

    The mean is over all elements as in the released code; the paper writes a sum over frames.
    """
    reconstruction = F.mse_loss(x_hat, x)
    orthogonality = F.cosine_similarity(z_s, z_d, dim=-1).abs().mean()
    return reconstruction + orthogonality_weight * orthogonality, reconstruction, orthogonality
