"""Small random checkpoints in the layout of each model's hub page, which load as the real ones do.

Each is saved by the class of transformers that wrote the real one: with its text tower, decoder or classifier.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers

SIDE = 32  # pixels
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
PICTURES = {**VIT, "image_size": SIDE, "patch_size": 16}
TEXT = {**VIT, "vocab_size": 40, "max_position_embeddings": 8}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
SQUARE = {"height": SIDE, "width": SIDE}
CUT = {"do_center_crop": True, "crop_size": SQUARE}


@dataclass(frozen=True)
class Tiny:
    """One checkpoint: the class of transformers that saves it, its settings, and what its pictures are."""

    saved_as: str
    config: Callable[[], object]
    preprocessing: dict
    config_file: str = "preprocessor_config.json"

    @property
    def norm(self) -> dict:
        """What its pictures are normalised by."""
        return {name: self.preprocessing[name] for name in ("image_mean", "image_std")}


def clip_config():
    return transformers.CLIPConfig(
        text_config={**TEXT, "projection_dim": 16}, vision_config={**PICTURES, "projection_dim": 16}, projection_dim=16
    )


def videomae_config(pretraining: bool):
    decoder = {"decoder_hidden_size": 16, "decoder_num_attention_heads": 2, "decoder_num_hidden_layers": 1}
    return transformers.VideoMAEConfig(
        **PICTURES, num_frames=4, use_mean_pooling=not pretraining, **decoder, decoder_intermediate_size=16
    )


def vjepa2_config(frames: int = 6):
    predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
    return transformers.VJEPA2Config(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        crop_size=SIDE,
        patch_size=16,
        frames_per_clip=frames,
        **predictor,
    )


def internvl_config():
    vision = {**PICTURES, "image_size": [SIDE, SIDE], "patch_size": [16, 16], "attention_bias": True}
    text = {**TEXT, "model_type": "qwen2", "num_key_value_heads": 2}
    return transformers.InternVLConfig(vision_config=vision, text_config=text, image_token_id=5)


DINOV2 = {"size": {"shortest_edge": 40}, **CUT, "resample": 3, **IMAGENET, "crop_size": {"height": 28, "width": 28}}
VIDEO = {"size": {"shortest_edge": SIDE}, **CUT, "resample": 2, **IMAGENET}
TINY = {
    "dinov2": Tiny("Dinov2Model", lambda: transformers.Dinov2Config(**VIT, image_size=42, patch_size=14), DINOV2),
    "dinov2-giant": Tiny(
        "Dinov2Model",
        lambda: transformers.Dinov2Config(**VIT, image_size=42, patch_size=14, use_swiglu_ffn=True),
        DINOV2,
    ),
    "dinov2-reg": Tiny(
        "Dinov2WithRegistersModel",
        lambda: transformers.Dinov2WithRegistersConfig(**VIT, image_size=42, patch_size=14, num_register_tokens=4),
        DINOV2,
    ),
    "dinov3": Tiny(
        "DINOv3ViTModel",
        lambda: transformers.DINOv3ViTConfig(**PICTURES, num_register_tokens=4),
        {"size": SQUARE, "do_center_crop": None, "crop_size": None, "resample": 2, **IMAGENET},
    ),
    "clip": Tiny("CLIPModel", clip_config, {"size": SIDE, "crop_size": SIDE, "resample": 3, **IMAGENET}),
    "siglip": Tiny(
        "SiglipModel",
        lambda: transformers.SiglipConfig(text_config=TEXT, vision_config=PICTURES),
        {"size": SQUARE, "resample": 3, **HALF},
    ),
    "internvit": Tiny("InternVLForConditionalGeneration", internvl_config, {"size": SQUARE, "resample": 3, **IMAGENET}),
    "videomae": Tiny("VideoMAEForPreTraining", lambda: videomae_config(True), VIDEO),
    "videomae-labels": Tiny("VideoMAEForVideoClassification", lambda: videomae_config(False), VIDEO),
    "vjepa2": Tiny(
        "VJEPA2Model", vjepa2_config, {**VIDEO, "size": {"shortest_edge": 36}}, "video_preprocessor_config.json"
    ),
    "videoprism": Tiny(
        "VideoPrismVisionModel",
        lambda: transformers.VideoPrismVisionConfig(
            **{**VIT, "num_hidden_layers": 4},
            image_size=36,
            num_frames=4,
            num_spatial_layers=2,
            num_temporal_layers=2,
        ),
        {"size": {"height": 36, "width": 36}, "resample": 3, "do_normalize": False},
        "video_preprocessor_config.json",
    ),
    "timesformer": Tiny(
        "TimesformerForVideoClassification",
        lambda: transformers.TimesformerConfig(**PICTURES, num_frames=4),
        {**VIDEO, "image_mean": [0.45] * 3, "image_std": [0.225] * 3},
    ),
    "vivit": Tiny(
        "VivitForVideoClassification",
        lambda: transformers.VivitConfig(**VIT, image_size=SIDE, num_frames=6, tubelet_size=[2, 16, 16]),
        {**VIDEO, "size": {"shortest_edge": 40}, "rescale_factor": 1 / 127.5, "offset": True, **HALF},
    ),
}


def kind_of(name: str) -> str:
    """The kind of checkpoint that a bundled encoder loads."""
    special = {"dinov2-giant": "dinov2-giant", "siglip2-base": "siglip"}
    if name.endswith("-reg"):
        return "dinov2-reg"
    family = name.partition("-")[0]
    if family == "videomae" and name.count("-") == 2:
        return "videomae-labels"
    return special.get(name, family)


def save_tiny(kind: str, folder: Path, seed: int = 0) -> Path:
    """Save a checkpoint of a kind of TINY; weights are drawn wide, so that the embedding depends on the pictures."""
    tiny = TINY[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, tiny.saved_as)(tiny.config())
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.normal_(std=tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3)
    model.save_pretrained(folder)
    (folder / tiny.config_file).write_text(json.dumps(tiny.preprocessing))
    return folder
