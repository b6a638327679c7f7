import subprocess
import sys
import warnings

import pytest
import torch

from cia_bench.errors import ConfigError
from cia_bench.precision import PRECISIONS, check_precision, in_precision

cudnn = torch.backends.cudnn


@pytest.fixture
def convolutions():
    """torch's settings of cuDNN, put back at the end; they can be set and read without a GPU."""
    precisions = {part: part.fp32_precision for part in (cudnn.conv, cudnn.rnn)}
    yield
    cudnn.allow_tf32 = True
    for part, precision in precisions.items():
        part.fp32_precision = precision


def product_of_ones() -> torch.Tensor:
    return torch.ones(2, 2) @ torch.ones(2, 2)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_matrix_products_run_in_the_precision_and_only_within(precision):
    check_precision(precision, "cpu")
    with in_precision(precision, "cpu"):
        assert product_of_ones().dtype == getattr(torch, precision)
    assert product_of_ones().dtype == torch.float32


def test_an_unknown_precision_is_refused():
    with pytest.raises(ConfigError, match="unknown precision 'half'; choose from float32, float16, bfloat16"):
        check_precision("half", "cpu")


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_refused_in_one_line_where_the_device_lacks_it(precision):
    devices = ["meta"] if torch.cuda.is_available() else ["meta", "cuda:0"]  # of which torch raises, and warns
    for device in devices:
        with warnings.catch_warnings(record=True) as told:
            with pytest.raises(ConfigError, match=f"torch can't run {precision} on {device} .*--precision float32$"):
                check_precision(precision, device)
        assert not told
        check_precision("float32", device)


def test_float32_on_cuda_has_no_tf32_convolutions(convolutions):
    cudnn.allow_tf32 = True
    with pytest.raises(ZeroDivisionError), in_precision("float32", "cuda:0"):
        assert not cudnn.allow_tf32
        assert {cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision}.isdisjoint({"tf32"})
        raise ZeroDivisionError
    assert cudnn.allow_tf32
    with in_precision("float32", "cpu"):
        assert cudnn.allow_tf32


def test_precisions_that_an_author_gave_convolutions_stay(convolutions):
    cudnn.conv.fp32_precision = "ieee"  # torch's newer setting; allow_tf32 can't be read any more
    with in_precision("float32", "cuda"):
        assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee", "tf32")
    assert (cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision) == ("ieee", "tf32")


def test_float32_on_the_cpu_does_without_torch():
    code = """
import sys
from cia_bench.precision import check_precision, in_precision
check_precision("float32", "cpu")
with in_precision("float32", "cpu"):
    assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
