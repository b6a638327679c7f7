"""Image models as frame encoders: one vector a frame, the weights from a folder or the model's hub page.

Parameters are those of the part that is loaded, counted by building it; the other facts are from each model's paper and
hub page. What InternVL3 saw is not published set by set: what is likely counts as seen.
"""

from functools import partial

from cia_bench.baselines.pretrained import FrameModel
from cia_bench.encoders import Card

image_card = partial(Card, frames=16, gives="frame")


class Dinov2(FrameModel):
    """DINOv2: the CLS vector after the last norm (arXiv 2304.07193)."""

    model_class, model_types, patch = "Dinov2Model", ("dinov2",), "patch_size"


class Dinov2Registers(FrameModel):
    """DINOv2 with registers: the CLS vector after the last norm (arXiv 2309.16588)."""

    model_class, model_types, patch = "Dinov2WithRegistersModel", ("dinov2_with_registers",), "patch_size"


class Dinov3(FrameModel):
    """DINOv3: the CLS vector after the last norm (arXiv 2508.10104)."""

    model_class, model_types, patch = "DINOv3ViTModel", ("dinov3_vit",), "patch_size"


class Clip(FrameModel):
    """CLIP's vision tower: the CLS vector after the last norm (arXiv 2103.00020)."""

    model_class, model_types = "CLIPVisionModel", ("clip_vision_model", "clip")
    left_out = ("text_model.", "text_projection.", "visual_projection.", "logit_scale")


class ClipProjected(FrameModel):
    """CLIP's vision tower and its projection, to where texts are too."""

    model_class, model_types = "CLIPVisionModelWithProjection", ("clip_vision_model", "clip")
    left_out = ("text_model.", "text_projection.", "logit_scale")

    def vectors(self, pictures):
        """Pictures (N, 3, S, S) -> image embeddings (N, D), not of unit length."""
        return self.model(pixel_values=pictures).image_embeds


class Siglip(FrameModel):
    """The vision tower of SigLIP, or of SigLIP 2 for pictures of one size: what its head pools (arXiv 2303.15343)."""

    model_class, model_types = "SiglipVisionModel", ("siglip_vision_model", "siglip")
    left_out = ("text_model.", "logit_scale", "logit_bias")


class InternVit(FrameModel):
    """InternViT-300M, the vision tower of InternVL3: the mean of its patches' vectors (arXiv 2504.10479)."""

    model_class, model_types = "InternVLVisionModel", ("internvl_vision", "internvl")
    tower = r"(model\.)?vision_tower\."
    left_out = (
        *("language_model.", "multi_modal_projector.", "lm_head."),
        *("model.language_model.", "model.multi_modal_projector."),
    )

    def vectors(self, pictures):
        """Pictures (N, 3, S, S) -> the mean over patches, without the CLS token, (N, D)."""
        return self.model(pixel_values=pictures).last_hidden_state[:, 1:].mean(dim=1)


dinov2 = partial(image_card, supervision="none", data="142 million images (LVD-142M)", licence="Apache-2.0")


class Dinov2Small(Dinov2):
    card = dinov2(
        family="DINOv2",
        parameters=22_056_576,
        dim=384,
        hub_id="facebook/dinov2-small",
        revision="ed25f3a31f01632728cabb09d1542f84ab7b0056",
    )


class Dinov2Base(Dinov2):
    card = dinov2(
        family="DINOv2",
        parameters=86_580_480,
        dim=768,
        hub_id="facebook/dinov2-base",
        revision="f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    )


class Dinov2Large(Dinov2):
    card = dinov2(
        family="DINOv2",
        parameters=304_368_640,
        dim=1024,
        hub_id="facebook/dinov2-large",
        revision="47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
    )


class Dinov2Giant(Dinov2):
    card = dinov2(
        family="DINOv2",
        parameters=1_136_480_768,
        dim=1536,
        hub_id="facebook/dinov2-giant",
        revision="611a9d42f2335e0f921f1e313ad3c1b7178d206d",
    )


class Dinov2SmallReg(Dinov2Registers):
    card = dinov2(
        family="DINOv2 with registers",
        parameters=22_058_112,
        dim=384,
        hub_id="facebook/dinov2-with-registers-small",
        revision="0d9846e56b43a21fa46d7f3f5070f0506a5795a9",
    )


class Dinov2BaseReg(Dinov2Registers):
    card = dinov2(
        family="DINOv2 with registers",
        parameters=86_583_552,
        dim=768,
        hub_id="facebook/dinov2-with-registers-base",
        revision="a1d738ccfa7ae170945f210395d99dde8adb1805",
    )


class Dinov2LargeReg(Dinov2Registers):
    card = dinov2(
        family="DINOv2 with registers",
        parameters=304_372_736,
        dim=1024,
        hub_id="facebook/dinov2-with-registers-large",
        revision="e4c89a4e05589de9b3e188688a303d0f3c04d0f3",
    )


dinov3 = partial(
    image_card,
    family="DINOv3",
    supervision="none",
    data="1.7 billion images (LVD-1689M)",
    licence="DINOv3 licence, gated",
)


class Dinov3Small(Dinov3):
    card = dinov3(
        parameters=21_596_544,
        dim=384,
        hub_id="facebook/dinov3-vits16-pretrain-lvd1689m",
        revision="114c1379950215c8b35dfcd4e90a5c251dde0d32",
    )


class Dinov3Base(Dinov3):
    card = dinov3(
        parameters=85_660_416,
        dim=768,
        hub_id="facebook/dinov3-vitb16-pretrain-lvd1689m",
        revision="5931719e67bbdb9737e363e781fb0c67687896bc",
    )


class Dinov3Large(Dinov3):
    card = dinov3(
        parameters=303_129_600,
        dim=1024,
        hub_id="facebook/dinov3-vitl16-pretrain-lvd1689m",
        revision="ea8dc2863c51be0a264bab82070e3e8836b02d51",
    )


clip = partial(
    image_card, family="CLIP", supervision="captions", data="400 million images with captions", licence="MIT"
)
clip_b32 = partial(clip, hub_id="openai/clip-vit-base-patch32", revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268")
clip_b16 = partial(clip, hub_id="openai/clip-vit-base-patch16", revision="57c216476eefef5ab752ec549e440a49ae4ae5f3")
clip_l14 = partial(clip, hub_id="openai/clip-vit-large-patch14", revision="32bd64288804d66eefd0ccbe215aa642df71cc41")


class ClipB32(Clip):
    card = clip_b32(parameters=87_456_000, dim=768)


class ClipB16(Clip):
    card = clip_b16(parameters=85_799_424, dim=768)


class ClipL14(Clip):
    card = clip_l14(parameters=303_179_776, dim=1024)


class ClipB32Projected(ClipProjected):
    card = clip_b32(parameters=87_849_216, dim=512)


class ClipB16Projected(ClipProjected):
    card = clip_b16(parameters=86_192_640, dim=512)


class ClipL14Projected(ClipProjected):
    card = clip_l14(parameters=303_966_208, dim=768)


siglip = partial(
    image_card, supervision="captions", data="billions of images with captions (WebLI)", licence="Apache-2.0"
)


class SiglipBase(Siglip):
    card = siglip(
        family="SigLIP",
        parameters=92_884_224,
        dim=768,
        hub_id="google/siglip-base-patch16-224",
        revision="7fd15f0689c79d79e38b1c2e2e2370a7bf2761ed",
    )


class SiglipSo400m(Siglip):
    card = siglip(
        family="SigLIP",
        parameters=428_225_600,
        dim=1152,
        hub_id="google/siglip-so400m-patch14-384",
        revision="9fdffc58afc957d1a03a25b10dba0329ab15c2a3",
    )


class Siglip2Base(Siglip):
    card = siglip(
        family="SigLIP 2",
        parameters=92_884_224,
        dim=768,
        hub_id="google/siglip2-base-patch16-224",
        revision="75de2d55ec2d0b4efc50b3e9ad70dba96a7b2fa2",
    )


class InternVit300m(InternVit):
    card = image_card(
        family="InternViT",
        supervision="captions, questions",
        data="InternVL3's images and videos with texts",
        saw={"ssv2": "labels", "kinetics": "labels", "charades": "clips"},
        licence="Apache-2.0",
        parameters=304_012_288,
        dim=1024,
        hub_id="OpenGVLab/InternVL3-1B-hf",
        revision="014c0583a0d4bedf29fbe2dbff4f865eb998e171",
    )
