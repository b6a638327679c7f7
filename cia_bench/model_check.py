"""Check in seconds, on a few made-up clips, that a model keeps the contract of docs/model.md.

A check ends in ok, fails, or note: a note tells what may be as its author wants it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cia_bench.embeddings import load_part
from cia_bench.encoders import (
    Encoder,
    FrameSpec,
    Summary,
    checked_embedding,
    choose_device,
    make_encoder,
    parse_parts,
)
from cia_bench.errors import ConfigError, EncoderError, printable
from cia_bench.precision import in_precision

OK, FAILS, NOTE = "ok", "fails", "note"
TOLERANCE_CPU, TOLERANCE_ELSEWHERE = 1e-5, 1e-3  # of the embedding's largest absolute number
CLIPS = 2  # of the batch
PICTURE = (96, 128)  # pixels, H and W, before the encoder's resize


@dataclass(frozen=True)
class Check:
    """What came of one check."""

    name: str
    outcome: str  # ok, fails or note
    words: str


@dataclass(frozen=True, repr=False)
class CheckReport:
    """What came of all checks of a model."""

    model: str
    facts: dict  # frames and size in pixels that it wants, dim of its vectors (None: it gives none), parameters
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == FAILS)

    @property
    def passed(self) -> bool:
        return not self.failed

    @property
    def verdict(self) -> str:
        """In one line which checks fail."""
        if self.passed:
            return f"{self.model} passes {len(self.checks)} checks"
        names = ", ".join(check.name for check in self.failed)
        return f"{self.model} fails {len(self.failed)} of {len(self.checks)} checks: {names}"

    def __repr__(self) -> str:
        """The verdict and what fails first: pytest prints it below a failed `assert check(...).passed`."""
        first = "" if self.passed else f" ({self.failed[0].words})"
        return printable(f"<{self.verdict}{first}>")

    def __str__(self) -> str:
        """A line of facts, and a line a check."""
        frames, size, dim, parameters = (self.facts[name] for name in ("frames", "size", "dim", "parameters"))
        wants = f"{self.model}: {frames} frames of {size} x {size} pixels"
        lines = [f"{wants} -> {dim or 'no'} numbers, {parameters:,} parameters"]
        lines += [f"  {check.outcome:<5}  {check.name:<12}  {check.words}" for check in self.checks]
        return "\n".join(printable(line) for line in lines)


def check(
    model: str | type[Encoder] | Encoder, weights: Mapping[str, str] | None = None, device: str = "cpu"
) -> CheckReport:
    """Try a model on made-up clips: what it gives, whether that depends on the clip alone, and what it sees.

    `model` is a name with or without a summary, a subclass of Encoder, or an encoder. `weights` maps the encoder's name
    (of a class: its own) or the summary's to its weights. `device` is where it runs, or an encoder that is made is.

    Raises ConfigError or EncoderError if the model can't be loaded. What `embed` raises on the frames that it asked for
    is not caught.
    """
    subject = _load(model, weights or {}, choose_device(device))
    checks = [_outcome("embedding", subject.check_embedding)]
    if checks[0].outcome == OK:
        checks += [_outcome(name, test) for name, test in subject.further_checks().items()]
    else:
        checks[0] = Check("embedding", FAILS, f"{checks[0].words}; the other checks need an embedding")
    spec = subject.encoder.frames
    facts = {"frames": spec.count, "size": spec.size, "dim": subject.dim, "parameters": subject.parameters}
    return CheckReport(subject.name, facts, tuple(checks))


class _Unfit(Exception):
    """The model gave what it should not; the words say what."""


def _outcome(name: str, test: Callable[[], tuple[str, str]]) -> Check:
    try:
        return Check(name, *test())
    except _Unfit as unfit:
        return Check(name, FAILS, str(unfit))


def _load(model: object, weights: Mapping[str, str], device: str) -> "_Subject":
    """The model that is to be checked; raises ConfigError for what is none, EncoderError if it can't be loaded."""
    if isinstance(model, Encoder):
        if weights:
            raise ConfigError("weights are for a model that is yet to be made; this encoder has its own")
        return _Subject(type(model).__name__, model, None, None, device)
    if isinstance(model, type):
        name = model.__name__
        unknown = sorted(set(weights) - {name})
        if unknown:
            raise ConfigError(f"weights of {unknown[0]!r}; the class to check is {name}")
        return _Subject(name, make_encoder(name, model, weights.get(name), device), None, None, device)
    if not isinstance(model, str):
        raise ConfigError(f"a model to check is a name, an Encoder class or an Encoder, not {type(model).__name__}")
    parts = parse_parts(model)
    if len(parts) > 1:
        raise ConfigError(f"check the parts of {model!r} one by one: {' and '.join(map(str, parts))}")
    (part,) = parts
    encoder, summary = load_part(part, weights, device)
    return _Subject(part.encoder, encoder, part.summary, summary, device)


class _Subject:
    """The model under check, and what it gave so far."""

    def __init__(self, encoder_name: str, encoder: Encoder, summary_name: str | None, summary: Summary | None, device):
        self.encoder_name, self.encoder, self.summary_name, self.summary = encoder_name, encoder, summary_name, summary
        self.name = f"{encoder_name}:{summary_name}" if summary_name else encoder_name
        if not isinstance(encoder.frames, FrameSpec):
            raise EncoderError(f"{self.name} wants frames {encoder.frames!r}; they must be a FrameSpec")
        for made in (encoder, summary):
            if made is not None and (not isinstance(made.parameters, int) or made.parameters < 0):
                raise EncoderError(f"{self.name} has {made.parameters!r} parameters; that must be a whole number")
        self.parameters = encoder.parameters + (summary.parameters if summary else 0)
        self.device, self.dim = device, None
        self.tolerance = TOLERANCE_CPU if device == "cpu" else TOLERANCE_ELSEWHERE
        self.clips = [moving_pictures(seed, encoder.frames.count) for seed in range(CLIPS)]

    def embed(self, clips: list[np.ndarray]) -> np.ndarray:
        """The embeddings of clips of pictures, (B, T, D) or (B, D); raises _Unfit if they are none."""
        given = self.raw(clips)
        try:
            return checked_embedding(self.encoder_name, given, len(clips), len(clips[0]))
        except EncoderError as error:
            raise _Unfit(str(error)) from error

    def raw(self, clips: list[np.ndarray]) -> object:
        """What `embed` gives for them; frames are made afresh, in case it writes into them."""
        spec = self.encoder.frames
        frames = spec.values(np.stack([spec.crop(np.ascontiguousarray(clip)) for clip in clips]))
        with in_precision("float32", self.device):  # as cia extract runs it
            return self.encoder.embed(frames)

    def summarise(self, embeddings: np.ndarray, first: int = 0) -> np.ndarray:
        """One vector a clip, (B, E), of clips numbered from `first`; raises _Unfit if the summary gives none."""
        if self.summary is None:
            return embeddings
        B = len(embeddings)
        vectors = np.asarray(self.summary(embeddings.copy(), [f"made up {first + number}" for number in range(B)]))
        if vectors.ndim != 2 or len(vectors) != B or not vectors.shape[1] or vectors.dtype.kind != "f":
            raise _Unfit(
                f"{self.summary_name} gave {vectors.dtype} {vectors.shape} for {B} sequences, not floating ({B}, E)"
            )
        if not np.isfinite(vectors).all():
            raise _Unfit(f"{self.summary_name} gave numbers that are NaN or infinite")
        return vectors

    @cached_property
    def alone(self) -> np.ndarray:
        """The embedding of the last clip, in a batch of its own."""
        return self.embed(self.clips[-1:])

    def check_embedding(self) -> tuple[str, str]:
        self.batch = self.embed(self.clips)
        if self.summary and self.batch.ndim == 2:
            raise ConfigError(f"{self.encoder_name} gives one vector a clip; give --model {self.encoder_name}")
        self.dim = self.batch.shape[-1]
        letters = "(B, T, D)" if self.batch.ndim == 3 else "(B, D)"
        unit = "frame" if self.batch.ndim == 3 else "clip"
        return OK, f"{letters} = {self.batch.shape}: one vector a {unit}, floating, finite"

    def further_checks(self) -> dict[str, Callable[[], tuple[str, str]]]:
        """What to check of a model that gives embeddings; what may upset the device comes last."""
        one_vector = self.summary is not None or self.batch.ndim == 2
        return {
            "batch size": self.check_batch_size,
            "batch order": self.check_batch_order,
            "repeatable": self.check_repeatable,
            **({"summary": self.check_summary} if self.summary else {}),
            "colour order": self.check_colour_order,
            "frame order": self.check_direction if one_vector else self.check_own_frame,
            "frame count": self.check_frame_count,
        }

    def check_batch_size(self) -> tuple[str, str]:
        return self.equal(self.alone, self.batch[-1:], f"alone and in a batch of {CLIPS}")

    def check_batch_order(self) -> tuple[str, str]:
        order = np.roll(np.arange(CLIPS), 1)
        turned = self.embed([self.clips[number] for number in order])
        return self.equal(turned, self.batch[order], "at another place in the batch")

    def check_repeatable(self) -> tuple[str, str]:
        tolerance = 0 if self.device == "cpu" else self.tolerance
        return self.equal(self.embed(self.clips), self.batch, "when the same batch is embedded twice", tolerance)

    def check_summary(self) -> tuple[str, str]:
        whole = self.summarise(self.batch)
        self.dim = whole.shape[1]
        alone = self.summarise(self.batch[-1:], first=CLIPS - 1)
        return self.equal(alone, whole[-1:], f"alone and among {CLIPS}, one vector of {self.dim} numbers a clip")

    def check_colour_order(self) -> tuple[str, str]:
        if self.moves(self.embed([self.clips[-1][..., ::-1]]), self.alone):
            return OK, "changes when red and blue are exchanged"
        return NOTE, "blind to colour order: right only for an encoder that reads grey"

    def check_direction(self) -> tuple[str, str]:
        backwards = self.embed([self.clips[-1][::-1]])
        if self.moves(self.summarise(backwards), self.summarise(self.alone)):
            return OK, "changes when the frames are played backwards"
        return NOTE, "blind to frame order: chance on chiral groups"

    def check_own_frame(self) -> tuple[str, str]:
        """Play two clips backwards, with every other frame from the other one."""
        first, second = self.clips[:2]
        odd = (np.arange(len(first)) % 2 == 1)[:, None]
        mixed = np.where(odd[..., None, None], second[::-1], first[::-1])
        wanted = np.where(odd, self.batch[1, ::-1], self.batch[0, ::-1])
        if self.moves(self.embed([mixed])[0], wanted):
            return NOTE, "a frame's vector depends on other frames too, or on the frame's place"
        return OK, "each frame's vector depends on its own frame alone"

    def check_frame_count(self) -> tuple[str, str]:
        T = self.encoder.frames.count
        said = [self.try_frames(count) for count in (T - 1, T + 1) if count > 0]
        return OK, "; ".join(said)

    def try_frames(self, count: int) -> str:
        """How it takes that many frames, which it did not ask for; raises _Unfit if it gives an embedding of others."""
        try:
            given = np.asarray(self.raw([moving_pictures(0, count)]))
        except Exception as error:  # whatever its author or a library raises is a refusal
            return f"refuses {count} ({type(error).__name__})"
        a_frame = self.batch.ndim == 3
        if a_frame and given.shape == (1, count, self.batch.shape[-1]):
            return f"gives {count} vectors for {count}"
        wanted = "raise an error" + (", or give one vector a frame" if a_frame else "")
        raise _Unfit(f"wants {self.encoder.frames.count} frames, takes {count} and gives {given.shape}: {wanted}")

    def equal(self, one: np.ndarray, other: np.ndarray, when: str, tolerance: float | None = None) -> tuple[str, str]:
        """That two embeddings are equal, within the tolerance."""
        if one.shape != other.shape:
            raise _Unfit(f"{one.shape} and {other.shape} {when}")
        allowed = self.tolerance if tolerance is None else tolerance
        difference = relative_difference(one, other)
        measured = f"difference {difference:.1g} of the largest number, tolerance {allowed:g}"
        if difference > allowed:
            return FAILS, f"not the same {when}: {measured}"
        return OK, f"the same {when}: {measured}"

    def moves(self, one: np.ndarray, other: np.ndarray) -> bool:
        """Whether two embeddings differ by more than the tolerance."""
        return one.shape != other.shape or relative_difference(one, other) > self.tolerance


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest absolute difference of two arrays, as a share of their largest absolute number; 0 if all are 0."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    largest = max(np.abs(one).max(), np.abs(other).max())
    return float(np.abs(one - other).max() / largest) if largest else 0.0


def moving_pictures(seed: int, count: int) -> np.ndarray:
    """A made-up clip: waves of red, green and blue drift and fade; uint8, (count, H, W, 3)."""
    generator = np.random.default_rng(seed)
    across, down, drift, start = generator.uniform([[0.5], [0.5], [0.4], [0]], [[3], [3], [1.2], [1]], (4, 3))  # (3,)
    level = generator.permutation([90, 125, 160])  # so that no two colours are alike
    H, W = PICTURE
    y, x = np.mgrid[:H, :W][..., None] / H
    t = np.linspace(0, 1, count)[:, None, None, None]  # (count, 1, 1, 1)
    waves = np.sin(2 * np.pi * (across * x + down * y + drift * t + start))  # (count, H, W, 3)
    return np.round((level + 80 * waves) * (1 - 0.4 * t)).astype(np.uint8)
