"""The checkpoint that LiFT's authors released: files with its keys, its table and its company, honest or not."""

import argparse
import hashlib
import io
import json
import math
import os
import pickle
import random
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from conftest import snapshot
from test_lift import random_model, random_sequences
from test_store import add_shard, description, failures_of, rows_of

from cia_bench.baselines.lift import LiFT, LiFTConfig, load_lift
from cia_bench.baselines.lift.checkpoint import FILE_NAME, convert, load_with_origin, save_lift
from cia_bench.baselines.lift.released import ORIGIN
from cia_bench.baselines.lift.summary import Lift
from cia_bench.baselines.preprocessing import read_preprocessing
from cia_bench.cli import main
from cia_bench.embeddings import load_model
from cia_bench.encoders import FrameSpec, load_converter
from cia_bench.errors import ConfigError, EncoderError
from cia_bench.store_writing import open_folder

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = LiFTConfig(feature_dim=6, width=16, layers=2)  # with the published heads, which the file does not tell
NAME = "ggwirp95-epoch=458-step=834003.ckpt"
TABLE = "model.encoder.pos_encoder.pe"
KEY = "model.encoder.transformer.layers.1.linear2.bias"
GONE = types.ModuleType("gone")
GONE.Settings = type("Settings", (), {"__module__": "gone"})


def their_table(width: int) -> torch.Tensor:
    """The table of time codes as it is usually made, in float32: (1, 5000, W)."""
    place = torch.arange(5000).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(1, 5000, width)
    table[0, :, 0::2] = torch.sin(place * rate)
    table[0, :, 1::2] = torch.cos(place * rate)
    return table


def their_content(model: LiFT) -> dict:
    """What Lightning saves of a training: the model under its key, and all that came with it."""
    state = OrderedDict((f"model.{key}", tensor.clone()) for key, tensor in model.state_dict().items())
    state[TABLE] = their_table(model.config.width)
    state._metadata = OrderedDict({"": {"version": 1}})
    moments = {"step": torch.tensor(834003.0), "exp_avg": torch.zeros(3, 4).t(), "exp_avg_sq": torch.ones(2).half()}
    settings = GONE.Settings()
    settings.lr = [1e-4, settings]
    return {
        "epoch": 458,
        "global_step": 834003,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 459}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val/loss'}": {"best": torch.tensor(0.25), "path": Path("a")}},
        "optimizer_states": [
            {"state": {0: moments, 1: moments}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999)}]}
        ],
        "lr_schedulers": [{"factor": 0.5, "best": -math.inf, "seen": {1, 2}, "digest": b"\x00\xff"}],
        "hyper_parameters": {"args": argparse.Namespace(dim=384, norm=True, big=2**70), "settings": settings},
    }


def write(content: object, path: Path) -> Path:
    """Save a content as torch does, with a class in it that nobody can import when it is read."""
    sys.modules["gone"] = GONE
    torch.save(content, path)
    del sys.modules["gone"]
    return path


@pytest.fixture
def model() -> LiFT:
    return random_model(SMALL)


@pytest.fixture
def released(model, tmp_path) -> Path:
    return write(their_content(model), tmp_path / NAME)


def same(a: LiFT, b: LiFT) -> bool:
    """Whether two models are equal to the bit, in what they hold and in what they give."""
    x = torch.from_numpy(random_sequences(3, T=5, D=a.config.feature_dim))
    held = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(name == other and torch.equal(one, two) for (name, one), (other, two) in held) and all(
        torch.equal(one, two) for one, two in zip(a(x), b(x), strict=True)
    )


# reading


def test_the_released_file_is_the_model_that_was_saved(model, released):
    before = torch.get_rng_state()
    again = load_lift(released)
    assert again.config == SMALL and not again.training and same(model, again)
    assert torch.equal(torch.get_rng_state(), before) and "gone" not in sys.modules
    assert all(parameter.requires_grad for parameter in again.parameters())


def test_the_content_tells_the_kind_of_file_and_not_its_name(model, released, tmp_path):
    released.rename(tmp_path / FILE_NAME)
    assert same(load_lift(tmp_path), model)
    save_lift(model, released, {"encoder": "made up"})
    assert same(load_lift(released), model) and load_with_origin(released)[1] == {"encoder": "made up"}


def test_tensors_of_one_storage_are_read_each_from_its_place(model, tmp_path):
    content = their_content(model)
    shared = torch.arange(40.0)
    content["state_dict"] |= {KEY: shared[3:19], "model.encoder.static_norm.bias": shared[16:32]}
    again = load_lift(write(content, tmp_path / NAME)).state_dict()
    storages = [again[key.removeprefix("model.")].untyped_storage() for key in (KEY, "model.encoder.static_norm.bias")]
    assert storages[0].data_ptr() == storages[1].data_ptr()  # else many names of one storage could fill the memory
    assert again[KEY.removeprefix("model.")].tolist() == list(range(3, 19))
    assert again["encoder.static_norm.bias"].tolist() == list(range(16, 32))


def test_the_origin_is_the_published_encoder_on_its_frames_with_weights_unknown(released, tmp_path):
    config = {
        "size": {"shortest_edge": 256},
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    origin = load_with_origin(released)[1]
    assert set(origin) == {"encoder", "frames", "saw"} and origin["encoder"] == "dinov2-small-reg"
    frames = {key: tuple(value) if isinstance(value, list) else value for key, value in origin["frames"].items()}
    assert FrameSpec(**frames) == read_preprocessing(tmp_path, count=16)
    assert json.loads(json.dumps(origin)) == origin == Lift(released).trained_on
    assert Lift(released).saw == {"kinetics": "clips"} and Lift(released).saw_clips is None


def test_the_released_weights_summarise_sequences_of_that_encoder_whatever_its_own_weights(released, tmp_path):
    def summarised(weights: str | None, **settings):
        store = tmp_path / f"store-{weights}-{len(settings)}"
        about = description(
            **{"encoder": "dinov2-small-reg", **ORIGIN["frames"], "count": 4, **settings}, weights=weights
        )
        add_shard(open_folder(store, about), "epic", rows_of("ab"), random_sequences(2), failures_of(""))
        return load_model(store, f"{about['encoder']}:lift", {"lift": str(released)})

    for weights in ("w0", None):
        found = summarised(weights)
        assert found.vectors.shape == (2, 32)
        digest = hashlib.sha256(released.read_bytes()).hexdigest()
        assert found.origin["summary"] == {"name": "lift", "weights_sha256": digest}
    with pytest.raises(EncoderError, match="were trained on the sequences of dinov2-small-reg, not eye; train others"):
        summarised("w0", encoder="eye")
    with pytest.raises(EncoderError, match="of dinov2-small-reg with other weights or frames; train others"):
        summarised("w1", short_side=None)


# refusing


def drop(content):
    del content["state_dict"][KEY]


def drop_the_input(content):
    del content["state_dict"]["model.encoder.input_proj.weight"]


def drop_a_layer(content):
    for key in [key for key in content["state_dict"] if ".layers.0." in key]:
        del content["state_dict"][key]


def add(content):
    content["state_dict"]["model.encoder.more"] = torch.zeros(2)


def add_outside(content):
    content["state_dict"]["loss.weight"] = torch.zeros(2)


def reshape(content):
    content["state_dict"][KEY] = torch.zeros(16, 1)


def reshape_the_input(content):
    content["state_dict"]["model.encoder.input_proj.weight"] = torch.zeros(16, 6, 1)


def narrow(content):
    content["state_dict"]["model.encoder.input_proj.weight"] = torch.zeros(12, 6)
    content["state_dict"][TABLE] = their_table(12)


def halve(content):
    content["state_dict"][KEY] = content["state_dict"][KEY].half()


def spoil(content):
    content["state_dict"][KEY][3] = math.nan


def turn(content):
    content["state_dict"]["model.decoder.model.3.weight"] = torch.zeros(32, 32).t()


def expand(content):
    content["state_dict"][KEY] = torch.zeros(1).expand(16)


def name_by_number(content):
    content["state_dict"][5] = torch.zeros(2)


def hold_a_list(content):
    content["state_dict"][KEY] = [0.0] * 16


def hold_a_parameter(content):
    content["state_dict"][KEY] = torch.nn.Parameter(torch.zeros(16))


def lack_the_state(content):
    content["model"] = content.pop("state_dict")


def empty_the_state(content):
    content["state_dict"] = {}


def drop_the_table(content):
    del content["state_dict"][TABLE]


def shorten_the_table(content):
    content["state_dict"][TABLE] = content["state_dict"][TABLE][:, :4999].clone()


def change_the_table(content):
    content["state_dict"][TABLE][0, 4999, 15] += 0.01


def change_the_start_of_the_table(content):
    content["state_dict"][TABLE][0, 1, 0] += 1e-5


def spoil_the_table(content):
    content["state_dict"][TABLE][0, 7, 2] = math.nan


REFUSALS = {
    drop: "lacks tensor 'encoder.transformer.layers.1.linear2.bias'",
    drop_the_input: "lacks tensor 'model.encoder.input_proj.weight'",
    drop_a_layer: r"lacks tensor 'encoder.transformer.layers.0.linear1.bias' and \d+ more",
    add: "has tensor 'encoder.more', which LiFT does not",
    add_outside: "has tensor 'loss.weight', which LiFT does not; its own begin with model.",
    reshape: r"tensor 'encoder\.\S+' is \(16, 1\); the model needs \(16,\)",
    reshape_the_input: r"tensor 'model.encoder.input_proj.weight' is \(16, 6, 1\), not \(width, features\)",
    narrow: "has no usable LiFT config: LiFT's width 12 can't be divided among 8 attention heads",
    halve: f"tensor '{KEY.removeprefix('model.')}' is torch.float16; it should be torch.float32",
    spoil: r"tensor 'encoder\.\S+linear2.bias' holds a number that is not finite",
    turn: "tensor 'model.decoder.model.3.weight' does not lie in one piece inside its storage",
    expand: f"tensor '{KEY}' does not lie in one piece inside its storage",
    name_by_number: "has tensor None, which LiFT does not",
    hold_a_list: "no LiFT checkpoint: it has no state_dict of names and tensors",
    hold_a_parameter: "no LiFT checkpoint: it has no state_dict of names and tensors",
    lack_the_state: "no LiFT checkpoint: it has no state_dict of names and tensors",
    empty_the_state: "lacks tensor 'model.encoder.input_proj.weight'",
    drop_the_table: f"lacks tensor '{TABLE}'",
    shorten_the_table: rf"tensor '{TABLE}' is \(1, 4999, 16\); the model needs \(1, 5000, 16\)",
    change_the_table: f"tensor '{TABLE}' holds other time codes than LiFT's",
    change_the_start_of_the_table: f"tensor '{TABLE}' holds other time codes than LiFT's",
    spoil_the_table: f"tensor '{TABLE}' holds other time codes than LiFT's",
}


@pytest.mark.parametrize("damage", REFUSALS, ids=lambda damage: damage.__name__)
def test_a_released_file_with_other_tensors_is_refused_by_file_and_key(model, tmp_path, damage):
    content = their_content(model)
    damage(content)
    path = write(content, tmp_path / NAME)
    with pytest.raises(EncoderError, match=REFUSALS[damage]) as refusal:
        load_lift(path)
    assert str(refusal.value).startswith(str(path))


@pytest.mark.parametrize("content", [[1, 2], None, {}, "state_dict", torch.zeros(3)])
def test_what_else_torch_saves_is_refused(tmp_path, content):
    for read in (load_lift, load_with_origin):
        with pytest.raises(EncoderError, match="no LiFT checkpoint: it has no state_dict of names and tensors"):
            read(write(content, tmp_path / NAME))


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self):
        """So that what a trap gives may be the function of another."""


def traps(sprung: Path) -> list[Trap]:
    write_it = f"open({str(sprung)!r}, 'w')"
    return [
        Trap(os.system, f"echo > '{sprung}'"),
        Trap(open, str(sprung), "w"),
        Trap(eval, write_it),
        Trap(exec, write_it),
        Trap(Trap(getattr, Trap(__import__, "os"), "mkdir"), str(sprung)),
    ]


class KeyTrap(str):
    """A text that leaves a file behind when it is unpickled."""

    def __reduce__(self):
        return eval, (str(self),)


def test_a_trap_beside_the_model_does_nothing(model, tmp_path):
    sprung = tmp_path / "sprung"
    content = their_content(model)
    content["hyper_parameters"] = traps(sprung)
    content[KeyTrap(f"open({str(sprung)!r}, 'w')")] = 1
    assert same(load_lift(write(content, tmp_path / NAME)), model)
    assert not sprung.exists()


def test_a_trap_in_the_model_does_nothing_and_is_refused(model, tmp_path):
    sprung = tmp_path / "sprung"
    content = their_content(model)
    tensors = content["state_dict"]
    states = [{**tensors, KEY: trap} for trap in traps(sprung)]
    states += [Trap(OrderedDict, [(KEY, trap)]) for trap in traps(sprung)]
    rebuild = torch._utils._rebuild_tensor_v2
    states += [{**tensors, KEY: Trap(rebuild, trap, 0, (16,), (1,), False, None)} for trap in traps(sprung)]
    states += [{**tensors, KeyTrap(f"open({str(sprung)!r}, 'w')"): tensors[KEY]}, *traps(sprung)]
    for state in states:
        path = write({**content, "state_dict": state}, tmp_path / NAME)
        with pytest.raises(EncoderError, match="no LiFT checkpoint|which LiFT does not|lacks tensor"):
            load_lift(path)
    assert not sprung.exists()
    with zipfile.ZipFile(path) as archive, pytest.raises(pickle.UnpicklingError, match="persistent"):
        pickle.load(archive.open(f"{path.stem}/data.pkl"))  # the last trap is a real one
    assert sprung.exists()


@pytest.mark.parametrize("protocol", range(6))
def test_a_trap_of_any_protocol_does_nothing(tmp_path, protocol):
    sprung, path = tmp_path / "sprung", tmp_path / NAME
    for trap in traps(sprung):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps({"state_dict": trap, "more": trap}, protocol))
        said = (
            "no LiFT checkpoint: it has no state_dict" if protocol == 2 else "another protocol than torch.save writes"
        )
        with pytest.raises(EncoderError, match=said):
            load_lift(path)
    assert not sprung.exists()


class Raw:
    """Writes a zip as torch lays it out, with a description and numbers of one's own."""

    def __init__(self, path: Path, described: bytes, numbers: bytes = bytes(64), **kind):
        with zipfile.ZipFile(path, "w", **kind) as archive:
            archive.writestr("archive/data.pkl", described)
            archive.writestr("archive/data/0", numbers)


def pickled_tensor(offset: int, shape: tuple, stride: tuple) -> bytes:
    """A file's description with one tensor of storage 0 (16 numbers), whatever it claims."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, 2)
    pickler.persistent_id = lambda thing: ("storage", torch.FloatStorage, "0", "cpu", 16) if thing is Raw else None
    rebuilt = Trap(torch._utils._rebuild_tensor_v2, Raw, offset, shape, stride, False, OrderedDict())
    pickler.dump({"state_dict": {"model.x": rebuilt}})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (17,), (1,)),
        (1, (16,), (1,)),
        (-1, (2,), (1,)),
        (0, (-1,), (1,)),
        (0, (0, 10**30), (1, 1)),
        (0, (10**30,), (1,)),
        (0, (10**9, 4), (0, 1)),
        (0, (2, 2), (1, 1)),
        (0, (4,), (4,)),
        (0, ("a",), (1,)),
        (0, (None,), (None,)),
        (10**40, (1,), (1,)),
    ],
)
def test_a_tensor_that_claims_other_numbers_than_its_own_is_refused(tmp_path, offset, shape, stride):
    Raw(tmp_path / NAME, pickled_tensor(offset, shape, stride))
    with pytest.raises(EncoderError, match=f"{NAME}: tensor 'model.x' does not lie in one piece inside its storage"):
        load_lift(tmp_path / NAME)
    Raw(tmp_path / NAME, pickled_tensor(4, (3, 1, 4), (4, 9, 1)))
    with pytest.raises(EncoderError, match="lacks tensor 'model.encoder.input_proj.weight'"):
        load_lift(tmp_path / NAME)


@pytest.mark.parametrize(
    ("described", "kind", "said"),
    [
        (b"\x80\x02" + b"N" * 100_000 + b".", {"compression": zipfile.ZIP_DEFLATED}, "holds more than its size"),
        (b"\x80\x02" + b"N" * 2**24 + b".", {}, "has a data.pkl of 16,777,219 bytes"),
        (b"\x80\x02r\xff\xff\xff\x7f.", {}, "can't be read as a checkpoint of torch"),  # remembered under 2**31 - 1
        (b"\x80\x02]r\xff\xff\xff\x7f.", {}, "has no state_dict"),
        (b"\x80\x02\x96\xff\xff\xff\xff\xff\xff\xff\x0f.", {}, "can't be read as a checkpoint of torch"),
        (b"\x80\x02))" + b"\x86q\x00h\x00" * 200 + b"K\x00u.", {}, "can't be read as a checkpoint of torch"),
        (b"\x80\x02}(" + b")" + b"2\x86" * 200 + b"K\x00u.", {}, "has no state_dict"),  # as a key, hashed for ages
        (b"\x80\x02" + b")" + b"\x85" * 100_000 + b".", {}, "has no state_dict"),
        (b"\x80\x02R.", {}, "takes more than was there"),
        (b"\x80\x02N", {}, "can't be read as a checkpoint of torch"),
        (b"", {}, "another protocol"),
    ],
    ids=range(11),
)
def test_a_description_that_would_fill_the_memory_or_never_end_is_refused(tmp_path, described, kind, said):
    Raw(tmp_path / NAME, described, **kind)
    with pytest.raises(EncoderError, match=said):
        load_lift(tmp_path / NAME)


def test_a_cut_file_is_refused_wherever_it_is_cut(released):
    whole = released.read_bytes()
    generator = random.Random(0)
    ends = [0, 1, 4, 30, 64, len(whole) - 1, *(generator.randrange(len(whole)) for _ in range(20))]
    for end in [*ends, *range(len(whole) - 600, len(whole), 30)]:
        released.write_bytes(whole[:end])
        with pytest.raises(EncoderError, match=r"can't be read as (a checkpoint of torch|safetensors)"):
            load_lift(released)


def check_flipped_bits(released: Path, model: LiFT, count: int, seed: int) -> int:
    """Flip bits of a file one at a time, most of them outside the long table; returns how many flips were refused."""
    whole, generator, refused = released.read_bytes(), random.Random(seed), 0
    table = whole.index(their_table(16).numpy().tobytes())
    for _ in range(count):
        place = generator.choice((generator.randrange(table), generator.randrange(table + 5000 * 16 * 4, len(whole))))
        content = bytearray(whole)
        content[place] ^= 1 << generator.randrange(8)
        released.write_bytes(content)
        try:
            assert same(load_lift(released), model), place
        except EncoderError as error:
            refused += 1
            assert str(error).startswith(str(released)) and "\n" not in str(error)
    return refused


def test_a_flipped_bit_is_refused_or_changes_nothing(released, model):
    assert 10 < check_flipped_bits(released, model, 60, seed=0) < 60


def test_another_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("word/document.xml", "<text/>")
    with pytest.raises(EncoderError, match="no checkpoint of torch: it is a zip with 0 data.pkl, not one"):
        load_lift(tmp_path / NAME)


# converting


def test_converting_gives_the_same_model_and_twice_the_same_bytes(model, released, tmp_path):
    said = convert(released, tmp_path / "new" / "out")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert said == f"{parameters:,} parameters in 2 layers, for 6 features a frame"
    assert load_converter("lift") is convert
    assert list(snapshot(tmp_path / "new")) == [f"out/{FILE_NAME}"]
    again = load_lift(tmp_path / "new" / "out")
    assert again.config == SMALL and same(again, model)
    digest = hashlib.sha256(released.read_bytes()).hexdigest()
    converted = {"converted_from": {"name": NAME, "sha256": digest}}
    assert load_with_origin(tmp_path / "new" / "out")[1] == {**ORIGIN, **converted}
    before = snapshot(tmp_path)
    convert(released, tmp_path / "new" / "out")
    assert snapshot(tmp_path) == before
    convert(released, tmp_path / "other")
    assert (tmp_path / "other" / FILE_NAME).read_bytes() == before[f"new/out/{FILE_NAME}"]


def test_converting_leaves_another_checkpoint_alone(model, released, tmp_path):
    save_lift(model, tmp_path / FILE_NAME, ORIGIN)
    before = snapshot(tmp_path)
    with pytest.raises(EncoderError, match="holds another checkpoint; delete it or choose another --out"):
        convert(released, tmp_path)
    assert snapshot(tmp_path) == before


def test_what_can_not_be_converted_is_refused_in_one_line_with_nothing_written(model, released, tmp_path):
    save_lift(model, tmp_path / "ours.safetensors", ORIGIN)
    (tmp_path / "cut.ckpt").write_bytes(released.read_bytes()[:5000])
    before = snapshot(tmp_path)
    for file, said in {
        "nowhere.ckpt": "nowhere.ckpt is no file like the checkpoint that LiFT's authors released, a zip of torch",
        "ours.safetensors": "ours.safetensors is no file like the checkpoint that LiFT's authors released, a zip",
        ".": "is no file like the checkpoint that LiFT's authors released, a zip of torch",
        "cut.ckpt": "cut.ckpt can't be read as a checkpoint of torch",
    }.items():
        run = CliRunner().invoke(main, ["convert", "lift", str(tmp_path / file), "--out", str(tmp_path / "out")])
        assert run.exit_code == 1 and run.stderr.startswith("Error: ") and run.stderr.count("\n") == 1, run.output
        assert said in run.stderr
    with pytest.raises(ConfigError, match="unknown converter 'left'; choose from lift"):
        load_converter("left")
    assert snapshot(tmp_path) == before


def test_a_file_of_the_published_size_is_converted(tmp_path):
    published = random_model(LiFTConfig())
    content = their_content(published)
    assert len(content["state_dict"]) == 71 and content["state_dict"][TABLE].shape == (1, 5000, 384)
    file = write(content, tmp_path / NAME)
    run = CliRunner().invoke(main, ["convert", "lift", str(file), "--out", str(tmp_path / "out")])
    expected = f"lift: 8,728,320 parameters in 4 layers, for 384 features a frame\nwrote {tmp_path / 'out'}\n"
    assert run.output == expected
    assert same(load_lift(tmp_path / "out"), published)
