"""What the models of transformers share as encoders: how they are loaded, told apart and run."""

from abc import abstractmethod

import numpy as np

from cia_bench.baselines.preprocessing import OF_IMAGES, OF_VIDEOS, read_preprocessing
from cia_bench.encoders import Encoder, FrameSpec, folder_digest
from cia_bench.errors import EncoderError

SAME_SIZE = 0.01  # share of a card's parameters that the model may have more or less


class Pretrained(Encoder):
    """A model of transformers with a card; a subclass says which class it is, and what of its output is the embedding.

    `weights` is a folder as transformers saves it, or a hub id; by default the card's page of the hub.

    Raises EncoderError if there is no such folder or page, it is of another architecture, any tensor of the model is
    not the file's, or frames are asked for that the model was not trained on.
    """

    model_class = ""  # of transformers
    model_types: tuple[str, ...] = ()  # of config.json: the model's own, and those of files that hold it among others
    tower = ""  # see checkpoints.Layout, as the next two
    left_out: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()  # parts of the model that the embedding does not need
    options: dict = {}  # of the class's constructor
    patch: str | None = None  # of the config: any side that is a multiple of it will do; None: its image size alone

    def __init__(self, weights: str | None = None, device: str = "cpu"):
        import transformers

        from cia_bench.baselines.checkpoints import (
            Layout,
            find_weights,
            load_config,
            load_proven,
            refuse_other_architecture,
            weight_files,
        )

        if not hasattr(transformers, self.model_class):
            raise EncoderError(
                f"transformers {transformers.__version__} has no {self.model_class}; install a newer one"
            )
        model_class = getattr(transformers, self.model_class)
        folder = find_weights(self.card, weights)
        refuse_other_architecture(folder, self.model_types)
        config = load_config(model_class.config_class, folder)
        layout = Layout(self.tower, self.left_out, self.tables)
        self.device, self.model = device, load_proven(model_class, config, folder, layout, self.options)
        for part in self.unused:
            setattr(self.model, part, None)
        self.model.to(device)
        self.parameters = sum(tensor.numel() for tensor in self.model.parameters())
        self.weights_sha256 = folder_digest(folder, ["config.json", *weight_files(folder)])
        self.frames = self.read_frames(folder, config)
        self._check_side(folder, config)
        self._refuse_siblings_weights(folder)

    @abstractmethod
    def read_frames(self, folder, config) -> FrameSpec:
        """The frames that the folder's files ask for."""

    @abstractmethod
    def vectors(self, pictures):
        """The embeddings of what the model takes, a tensor on its device."""

    def _refuse_siblings_weights(self, folder) -> None:
        """Raise EncoderError if the weights have the size of another model of the family, and not of this one."""
        for sibling in (self.card, *(other.card for other in type(self).__base__.__subclasses__())):
            if abs(self.parameters / sibling.parameters - 1) < SAME_SIZE:
                if sibling.parameters != self.card.parameters:
                    raise EncoderError(
                        f"{folder} holds {self.parameters:,} parameters, as {sibling.hub_id or sibling.url} does; "
                        f"this name is for {self.card.hub_id or self.card.url}"
                    )
                return

    def _check_side(self, folder, config) -> None:
        side = self.frames.size
        if self.patch is not None:
            step = getattr(config, self.patch)
            if side % step:
                raise EncoderError(f"{folder} asks for frames of {side} pixels, which patches of {step} don't fill")
            return
        trained = getattr(config, "crop_size", None) or config.image_size
        high, wide = trained if isinstance(trained, list | tuple) else (trained, trained)
        if (high, wide) != (side, side):
            raise EncoderError(f"{folder} asks for frames of {side} pixels; its model was trained on {high} x {wide}")


class FrameModel(Pretrained):
    """An image model, which gives each frame a vector."""

    def read_frames(self, folder, config) -> FrameSpec:
        return read_preprocessing(folder, self.card.frames, OF_IMAGES)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Frames (B, T, 3, S, S) -> vectors (B, T, D); the frames of all clips go through the model at once."""
        import torch

        B, T = frames.shape[:2]
        with torch.inference_mode():
            pictures = torch.from_numpy(frames).flatten(0, 1).to(self.device)  # (B * T, 3, S, S)
            return self.vectors(pictures).view(B, T, -1).float().cpu().numpy()

    def vectors(self, pictures):
        """Pictures (N, 3, S, S) -> the vector that the model makes of each, (N, D)."""
        return self.model(pixel_values=pictures).pooler_output


class VideoModel(Pretrained):
    """A video model, which gives each clip a vector."""

    count = "num_frames"  # what the config calls the number of frames that the model was trained on
    preprocessing: dict = {}  # what holds in place of what the preprocessor's file says

    def read_frames(self, folder, config) -> FrameSpec:
        count, tubelet = getattr(config, self.count), getattr(config, "tubelet_size", 1)
        at_once = tubelet[0] if isinstance(tubelet, list | tuple) else tubelet  # frames that one token spans
        if count % at_once:
            raise EncoderError(
                f"{folder} asks for {count} frames; this model takes {at_once} at a time, without a rest"
            )
        return read_preprocessing(folder, count, OF_VIDEOS, self.preprocessing)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        """Frames (B, T, 3, S, S) -> vectors (B, D); raises EncoderError for another T than the model was trained on."""
        import torch

        if frames.shape[1] != self.frames.count:
            raise EncoderError(
                f"{type(self).__name__} was trained on {self.frames.count} frames a clip, not {frames.shape[1]}"
            )
        with torch.inference_mode():
            return self.vectors(torch.from_numpy(frames).to(self.device)).float().cpu().numpy()

    def vectors(self, pictures):
        """Clips (B, T, 3, S, S) -> the mean of each clip's tokens, (B, D)."""
        return self.model(pixel_values=pictures).last_hidden_state.mean(dim=1)
