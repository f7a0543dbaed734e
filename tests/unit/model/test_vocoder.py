"""The vocoder's configuration, its checkpoint names, and its reach."""

from dataclasses import replace

import pytest
import torch

from engine.contract.errors import ModelError
from engine.model.vocoder import Vocoder, VocoderConfig, checkpoint_tensors, fold_weight_norm
from engine.model.windows import in_windows

SMALL = VocoderConfig.from_dict(
    {
        "input_channels": 12,
        "depths": [2, 1],
        "dims": [6, 8],
        "num_mels": 8,
        "upsample_rates": [4, 2],
        "upsample_kernel_sizes": [8, 4],
        "hop_length": 8,
        "upsample_initial_channel": 8,
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
    }
)


@pytest.fixture
def vocoder() -> Vocoder:
    torch.manual_seed(0)
    return Vocoder(SMALL).eval().requires_grad_(False)


def test_an_empty_config_is_the_released_model() -> None:
    config = VocoderConfig.from_dict({"_class_name": "ADaMoSHiFiGANV1", "unknown": 1})
    assert config == VocoderConfig()
    assert config.to_dict()["dims"] == (128, 256, 384, 512)


@pytest.mark.parametrize(
    "wrong",
    [{"upsample_rates": [4, 4, 2]}, {"use_template": True}, {"kernel_sizes": [3, 7]}, {"num_mels": 128}],
)
def test_configs_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="vocoder config"):
        VocoderConfig.from_dict(wrong)


def test_the_real_vocoder_has_the_names_of_the_checkpoint() -> None:
    with torch.device("meta"):
        vocoder = Vocoder(VocoderConfig())
    names = checkpoint_tensors(vocoder)
    assert names["head.ups.0.weight_v"].shape == (1024, 512, 8)
    assert names["head.ups.0.weight_g"].shape == (1024, 1, 1)
    assert names["head.resblocks.27.convs2.2.weight_v"].shape == (8, 8, 13)
    assert names["backbone.stages.2.8.pwconv1.weight"].shape == (1536, 384)
    assert not any(name.startswith("head.") and name.endswith(".weight") for name in names)


def test_kernel_sizes_are_those_of_the_depthwise_convolutions_alone() -> None:
    shapes = {name: value.shape for name, value in Vocoder(replace(SMALL, kernel_sizes=(5,))).state_dict().items()}
    assert shapes["backbone.channel_layers.0.0.weight"] == (6, 12, 7)
    assert shapes["backbone.stages.0.0.dwconv.weight"] == (6, 1, 5)


def test_checkpoint_names_come_back_as_the_same_weights(vocoder: Vocoder) -> None:
    state = vocoder.state_dict()
    folded = fold_weight_norm(checkpoint_tensors(vocoder))
    assert folded.keys() == state.keys()
    assert all(torch.allclose(folded[name], state[name], atol=1e-7) for name in state)


def test_both_spellings_of_weight_norm_are_read() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.ConvTranspose1d(3, 2, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(1.5)
    new = {f"head.ups.0.{name}": value for name, value in layer.state_dict().items()}
    classic = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in new.items()
    }
    for tensors in (new, classic):
        folded = fold_weight_norm(tensors)
        assert set(folded) == {"head.ups.0.weight", "head.ups.0.bias"}
        assert torch.allclose(folded["head.ups.0.weight"], layer.weight, atol=1e-6)


def test_half_a_pair_is_not_hidden() -> None:
    assert set(fold_weight_norm({"head.conv_pre.weight_g": torch.ones(1)})) == {"head.conv_pre.weight_g"}


def test_no_frame_reaches_further_than_the_context(vocoder: Vocoder) -> None:
    frames = 2 * SMALL.context_frames + 5
    mel = torch.randn(1, 12, frames)
    changed = mel.clone()
    middle = frames // 2
    changed[..., middle] += 1
    different = (vocoder(mel) != vocoder(changed))[0, 0].nonzero()[:, 0] // SMALL.hop_length
    assert middle - SMALL.context_frames <= different.min()
    assert different.max() <= middle + SMALL.context_frames


def test_windows_give_the_whole_wave(vocoder: Vocoder) -> None:
    mel = torch.randn(2, 12, 150)
    parts = in_windows(vocoder, mel, window=32, context=SMALL.context_frames, up=SMALL.hop_length)
    assert torch.allclose(parts, vocoder(mel), atol=1e-6)
