"""The codec's two networks read from a checkpoint's folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from engine.contract.errors import ModelError
from engine.contract.model_files import read_config
from engine.model.mel import LogMel
from engine.model.vocoder import Vocoder, VocoderConfig, fold_weight_norm
from engine.model.weights import assign_tensors, read_tensors

if TYPE_CHECKING:
    from diffusers import AutoencoderDC

Part = Literal["encoder", "decoder"]
BOTH_PARTS: tuple[Part, ...] = ("encoder", "decoder")

EXPECTED_DCAE: dict[str, Any] = {
    "in_channels": 2,
    "latent_channels": 8,
    "attention_head_dim": 32,
    "encoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"],
    "decoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"],
    "encoder_block_out_channels": [128, 256, 512, 1024],
    "decoder_block_out_channels": [128, 256, 512, 1024],
    "encoder_layers_per_block": [2, 2, 3, 3],
    "decoder_layers_per_block": [3, 3, 3, 3],
    "encoder_qkv_multiscales": [[], [], [5], [5]],
    "decoder_qkv_multiscales": [[], [], [5], [5]],
    "downsample_block_type": "Conv",
    "upsample_block_type": "interpolate",
    "decoder_norm_types": "rms_norm",
    "decoder_act_fns": "silu",
    "scaling_factor": 0.41407,
}


def load_dcae(
    folder: Path, files: Sequence[Path], *, dtype: torch.dtype, device: torch.device, parts: Collection[Part]
) -> tuple[AutoencoderDC, tuple[str, ...]]:
    """The mel autoencoder, without the half that is not in ``parts``, and what is worth telling.

    Raises:
        ModelError: As `engine.model.autoencoder.MusicCodec.from_folders`.
    """
    # diffusers costs seconds to import; only loading a codec pays for it.
    from diffusers import AutoencoderDC

    values = read_config(folder)
    try:
        with torch.device("meta"):
            dcae = AutoencoderDC.from_config({key: value for key, value in values.items() if key[0] != "_"})
    except (TypeError, ValueError, KeyError, IndexError, RuntimeError) as error:
        raise ModelError(f"{folder / 'config.json'} does not describe an AutoencoderDC: {error}") from error
    for part in BOTH_PARTS:
        if part not in parts:
            setattr(dcae, part, None)
    prefixes = tuple(f"{part}." for part in BOTH_PARTS if part not in parts)
    tensors = read_tensors(files, dtype=dtype, device=device, keep=lambda name: not name.startswith(prefixes))
    assign_tensors(dcae, tensors, source=files[0])
    return dcae, _differences(folder, values, EXPECTED_DCAE)


def load_vocoder(
    folder: Path, files: Sequence[Path], *, dtype: torch.dtype, device: torch.device, with_network: bool
) -> tuple[VocoderConfig, Vocoder | None, tuple[str, ...]]:
    """The vocoder's configuration, itself if ``with_network``, and what is worth telling.

    Raises:
        ModelError: As `engine.model.autoencoder.MusicCodec.from_folders`.
    """
    values = read_config(folder)
    try:
        config = VocoderConfig.from_dict(values)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} does not describe the vocoder: {error}") from error
    notices = _differences(folder, values, VocoderConfig().to_dict())
    if not with_network:
        return config, None, notices
    with torch.device("meta"):
        vocoder = Vocoder(config)
    # Folding the weight norm in float32 keeps the direction exact even when the network then runs in half precision.
    stored = read_tensors(
        files, dtype=torch.float32, device=device, keep=lambda name: name.split(".")[0] != "mel_transform"
    )
    tensors = {name: value.to(dtype) for name, value in fold_weight_norm(stored).items()}
    assign_tensors(vocoder, tensors, source=files[0])
    return config, vocoder, notices


def _differences(folder: Path, values: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[str, ...]:
    """One notice when a configuration is not the released model's; the file is followed all the same."""
    different = [key for key, value in expected.items() if key in values and _as_list(values[key]) != _as_list(value)]
    if not different:
        return ()
    return (
        f"{folder / 'config.json'} differs from the released model in {', '.join(different)}; the file is followed",
    )


def _as_list(value: Any) -> Any:
    return [_as_list(item) for item in value] if isinstance(value, list | tuple) else value


def check_mel_buffers(log_mel: LogMel, files: Sequence[Path]) -> tuple[str, ...]:
    """Compare the mel window and filter bank that a vocoder file carries with the computed ones (spec 6.1)."""
    stored = read_tensors(
        files, dtype=torch.float32, device=torch.device("cpu"), keep=lambda name: name.startswith("mel_transform.")
    )
    computed = {"window": log_mel.window, "fb": log_mel.filter_bank}
    notices = []
    for name, value in stored.items():
        ours = computed.get(name.rsplit(".", 1)[-1])
        # One per cent of the largest value: wide enough for a file in bfloat16, far below another filter bank.
        if ours is not None and (value.shape != ours.shape or (value - ours).abs().max() > 0.01 * ours.abs().max()):
            notices.append(f"{files[0]}: {name} is not the mel transform of its config.json; the computed one is used")
    return tuple(notices)
