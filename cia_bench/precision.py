"""The arithmetic that an encoder runs in: float32, or half precision where it keeps the numbers good."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from cia_bench.errors import ConfigError

PRECISIONS = ("float32", "float16", "bfloat16")


def check_precision(precision: str, device: str) -> None:
    """Raise ConfigError for a precision that is unknown, or that torch does not have on the device."""
    if precision not in PRECISIONS:
        raise ConfigError(f"unknown precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    if precision == "float32":
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # torch warns, then goes on in float32
            _autocast(precision, device)
    except Exception as error:  # of three kinds, by what it is that the device lacks
        reason = " ".join(str(error).split())
        raise ConfigError(f"torch can't run {precision} on {device} ({reason}); take --precision float32") from error


@contextmanager
def in_precision(precision: str, device: str) -> Iterator[None]:
    """Run an encoder's torch code on a device in one of PRECISIONS, whatever the encoder does itself.

    float16 and bfloat16 are torch.autocast: weights stay float32, matrix products and convolutions run in half
    precision, and in float32 what torch lists as losing by it on that device. float32 on CUDA is float32: without this,
    torch rounds what goes into a convolution to TF32, which keeps 10 bits of 23. TF32 stays where somebody asked torch
    for it: for matrix products, or by an fp32_precision.
    """
    with ExitStack() as settings:
        if _kind(device) == "cuda":
            settings.enter_context(_no_tf32())
        if precision != "float32":
            settings.enter_context(_autocast(precision, device))
        yield


def _kind(device: str) -> str:
    """cuda, of cuda:1."""
    return device.partition(":")[0]


def _autocast(precision: str, device: str):
    import torch

    return torch.autocast(_kind(device), getattr(torch, precision))


@contextmanager
def _no_tf32() -> Iterator[None]:
    from torch.backends import cudnn

    try:
        before = cudnn.allow_tf32
    except RuntimeError:  # somebody set torch's newer fp32_precision of convolutions, which this one can't tell
        yield
        return
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32 = before


@contextmanager
def one_thread():
    """Torch on one thread for a while: how sums are divided over threads would change their last bits."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
