"""What runs on a GPU gives there what it gives on a CPU, to a stated tolerance."""

import numpy as np
import pytest
import torch

from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.lift.train import LiFTSettings, train
from cia_bench.demo import save_random_dinov2
from cia_bench.encoders import choose_device, load_encoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
ORIGIN = {"encoder": "toy"}


def test_auto_takes_the_gpu():
    assert choose_device("auto") == "cuda"


def test_dinov2_embeds_alike_on_both(tmp_path):
    save_random_dinov2(tmp_path / "weights")
    pictures = np.random.default_rng(0).standard_normal((3, 4, 3, 56, 56)).astype(np.float32)
    on = {device: load_encoder("dinov2-small-reg", str(tmp_path / "weights"), device) for device in ("cpu", "cuda")}
    np.testing.assert_allclose(on["cuda"].embed(pictures), on["cpu"].embed(pictures), atol=1e-3)


def test_lift_trains_and_summarises_on_the_gpu(tmp_path):
    sequences = np.random.default_rng(0).standard_normal((40, 16, 24)).astype(np.float32)
    videos = [f"v{number}" for number in range(40)]
    record = train(sequences, videos, tmp_path, ORIGIN, LiFTSettings(epochs=3, batch_size=8), device="cuda")
    assert record["epochs"][-1]["train"]["loss"] < record["epochs"][0]["train"]["loss"]
    summaries = [Lift(tmp_path, device)(sequences, videos) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*summaries, atol=1e-3)
