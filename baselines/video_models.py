"""Video models: one vector a clip, the weights from a folder or the model's hub page.

Parameters and other facts are as in image_models.
"""

from functools import partial

from cia_bench.baselines.pretrained import VideoModel
from cia_bench.encoders import Card


class VideoMae(VideoModel):
    """VideoMAE's encoder: the mean of its tokens (arXiv 2203.12602)."""

    model_class, model_types = "VideoMAEModel", ("videomae",)
    left_out = ("decoder.", "encoder_to_decoder.", "mask_token", "classifier.", "fc_norm.")


class VJepa(VideoModel):
    """V-JEPA (1), as `cia convert vjepa` writes it: the mean of its tokens (arXiv 2404.08471).

    Its encoder is VideoMAE's with another table of positions, which is in the file.
    """

    model_class, model_types = "VideoMAEModel", ("videomae",)
    tables = ("embeddings.position_embeddings",)


class VJepa2(VideoModel):
    """V-JEPA 2's encoder: the mean of its tokens (arXiv 2506.09985)."""

    model_class, model_types = "VJEPA2Model", ("vjepa2",)
    count, unused = "frames_per_clip", ("predictor",)

    def vectors(self, pictures):
        """Clips (B, T, 3, S, S) -> the mean of each clip's tokens, (B, D)."""
        return self.model(pixel_values_videos=pictures, skip_predictor=True).last_hidden_state.mean(dim=1)


class VideoPrism(VideoModel):
    """VideoPrism's encoder: the mean of its tokens (arXiv 2402.13217)."""

    model_class, model_types = "VideoPrismVisionModel", ("videoprism_vision_model",)

    def vectors(self, pictures):
        """Clips (B, T, 3, S, S) -> the mean of each clip's tokens, (B, D)."""
        return self.model(pixel_values_videos=pictures).last_hidden_state.mean(dim=1)


class Timesformer(VideoModel):
    """TimeSformer: the CLS vector (arXiv 2102.05095)."""

    model_class, model_types = "TimesformerModel", ("timesformer",)
    left_out = ("classifier.",)

    def vectors(self, pictures):
        """Clips (B, T, 3, S, S) -> CLS vectors (B, D)."""
        return self.model(pixel_values=pictures).last_hidden_state[:, 0]


class Vivit(VideoModel):
    """ViViT: the CLS vector (arXiv 2103.15691).

    It was trained on values from -1 to 1 (scenic's vivit_base_k400.py). The hub's file asks for that, and on top of it
    for a mean and a deviation of 0.5, which would make it -3 to 1: these are left out.
    """

    model_class, model_types = "VivitModel", ("vivit",)
    left_out = ("classifier.",)
    options = {"add_pooling_layer": False}  # the file has none
    preprocessing = {"offset": True, "do_normalize": False}

    def vectors(self, pictures):
        """Clips (B, T, 3, S, S) -> CLS vectors (B, D)."""
        return self.model(pixel_values=pictures).last_hidden_state[:, 0]


videomae = partial(Card, family="VideoMAE", licence="CC-BY-NC-4.0", frames=16)
of_kinetics = partial(videomae, supervision="none", data="Kinetics-400", saw={"kinetics": "clips"})
with_kinetics_labels = partial(videomae, supervision="labels", data="Kinetics-400", saw={"kinetics": "labels"})
with_ssv2_labels = partial(videomae, supervision="labels", data="Something-Something v2", saw={"ssv2": "labels"})


class VideoMaeBase(VideoMae):
    card = of_kinetics(
        parameters=86_227_200,
        dim=768,
        hub_id="MCG-NJU/videomae-base",
        revision="dc740ceda42fce44faed2ea03c6d447db72f6af9",
    )


class VideoMaeLarge(VideoMae):
    card = of_kinetics(
        parameters=303_860_736,
        dim=1024,
        hub_id="MCG-NJU/videomae-large",
        revision="12da269a02d3e1fbbb7011e610e591fea8061dca",
    )


class VideoMaeSmallKinetics(VideoMae):
    card = with_kinetics_labels(
        parameters=21_879_168,
        dim=384,
        hub_id="MCG-NJU/videomae-small-finetuned-kinetics",
        revision="240e9734611173accbbf74cbdf4b641e4c431264",
    )


class VideoMaeBaseKinetics(VideoMae):
    card = with_kinetics_labels(
        parameters=86_225_664,
        dim=768,
        hub_id="MCG-NJU/videomae-base-finetuned-kinetics",
        revision="488eb9a0565f257b32866000305c8178965eb9f6",
    )


class VideoMaeLargeKinetics(VideoMae):
    card = with_kinetics_labels(
        parameters=303_858_688,
        dim=1024,
        hub_id="MCG-NJU/videomae-large-finetuned-kinetics",
        revision="0f6adcd5f6902900aa0281f9daacfe52bb3c4ad4",
    )


class VideoMaeSmallSsv2(VideoMae):
    card = with_ssv2_labels(
        parameters=21_879_168,
        dim=384,
        hub_id="MCG-NJU/videomae-small-finetuned-ssv2",
        revision="b2159d047b799d3966821631116421b9cf9c38c3",
    )


class VideoMaeBaseSsv2(VideoMae):
    card = with_ssv2_labels(
        parameters=86_225_664,
        dim=768,
        hub_id="MCG-NJU/videomae-base-finetuned-ssv2",
        revision="e3f23b7a9bcc6f6b0bbf44da097c0f94548c6ec5",
    )


vjepa = partial(
    Card,
    family="V-JEPA",
    supervision="none",
    data="VideoMix2M: HowTo100M, Kinetics-400, -600 and -700, Something-Something v2",
    licence="CC-BY-NC-4.0",
    frames=16,
    saw={"ssv2": "clips", "kinetics": "clips"},
    converter="vjepa",
)


class VJepaLarge(VJepa):
    card = vjepa(parameters=303_860_736, dim=1024, url="https://dl.fbaipublicfiles.com/jepa/vitl16/vitl16.pth.tar")


class VJepaHuge(VJepa):
    card = vjepa(parameters=631_607_040, dim=1280, url="https://dl.fbaipublicfiles.com/jepa/vith16/vith16.pth.tar")


vjepa2 = partial(
    Card,
    family="V-JEPA 2",
    supervision="none",
    data="VideoMix22M: Something-Something v2, Kinetics, HowTo100M, YT-Temporal-1B, ImageNet",
    licence="MIT",
    frames=64,
    saw={"ssv2": "clips", "kinetics": "clips"},
)


class VJepa2Large(VJepa2):
    card = vjepa2(
        parameters=303_885_312,
        dim=1024,
        hub_id="facebook/vjepa2-vitl-fpc64-256",
        revision="b3c1679b7c34d3255ef3547f27c7b226aefab26f",
    )


class VJepa2Huge(VJepa2):
    card = vjepa2(
        parameters=631_648_000,
        dim=1280,
        hub_id="facebook/vjepa2-vith-fpc64-256",
        revision="b5eac8703e3efdc1547fbb6ddfbeb133dc0bdee5",
    )


class VJepa2Giant(VJepa2):
    card = vjepa2(
        licence="Apache-2.0",
        parameters=1_012_173_952,
        dim=1408,
        hub_id="facebook/vjepa2-vitg-fpc64-256",
        revision="875c192b7b704b87d1e1d99345769632dd5f739a",
    )


videoprism = partial(
    Card,
    family="VideoPrism",
    supervision="captions",
    data="WebLI's images with texts; clips with texts, and 582 million without",
    licence="Apache-2.0",
)


class VideoPrismBase(VideoPrism):
    card = videoprism(
        parameters=114_365_184,
        dim=768,
        frames=16,
        hub_id="google/videoprism-base-f16r288",
        revision="2be2ef51d0d611d0fadf21a6d1470a4ad4af9249",
    )


class VideoPrismLarge(VideoPrism):
    card = videoprism(
        parameters=353_965_056,
        dim=1024,
        frames=8,
        hub_id="google/videoprism-large-f8r288",
        revision="2e20e540e1cb89e734e2f2477590b7f8197250ca",
    )


timesformer = partial(Card, family="TimeSformer", supervision="labels", licence="CC-BY-NC-4.0", frames=8, dim=768)


class TimesformerK400(Timesformer):
    card = timesformer(
        data="ImageNet, Kinetics-400",
        parameters=121_258_752,
        saw={"kinetics": "labels"},
        hub_id="facebook/timesformer-base-finetuned-k400",
        revision="8aaf40ea7d3d282dcb0a5dea01a198320d15d6c0",
    )


class TimesformerSsv2(Timesformer):
    card = timesformer(
        data="ImageNet, Something-Something v2",
        parameters=121_258_752,
        saw={"ssv2": "labels"},
        hub_id="facebook/timesformer-base-finetuned-ssv2",
        revision="3b045270472c79cf9c1b60189ba425e92ed7f004",
    )


class VivitK400(Vivit):
    card = Card(
        family="ViViT",
        supervision="labels",
        data="ImageNet-21k, Kinetics-400",
        licence="MIT",
        parameters=88_646_400,
        dim=768,
        frames=32,
        saw={"kinetics": "labels"},
        hub_id="google/vivit-b-16x2-kinetics400",
        revision="8a7171a57f79b9aaa58bc8d977c002a0ea0f0d42",
    )
