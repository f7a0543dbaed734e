"""The codec loaded from checkpoint folders: parts, damage, notices, windows, precision."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.contract.errors import ExitCode, ModelError
from engine.contract.model_files import DIFFUSERS_WEIGHTS
from engine.model import autoencoder, codec_load, codec_memory
from engine.model.autoencoder import MusicCodec
from engine.model.card import FRAME_SAMPLES
from engine.model.codec_form import AS_LOADED, CodecForm, in_form
from engine.model.codec_memory import visiting, window_frames
from engine.model.load import Checkpoint
from engine.model.mel import LogMel
from engine.model.vocoder import VocoderConfig
from engine.planning.codec_window import USUAL_WINDOW, window_within

Folders = tuple[Path, Path]


def load(folders: Folders, *, dtype: torch.dtype = torch.float32, **options: object) -> MusicCodec:
    return MusicCodec.from_folders(*folders, dtype=dtype, device="cpu", **options)


@pytest.fixture(scope="module")
def codec(tiny: Checkpoint) -> MusicCodec:
    return load((tiny.dcae, tiny.vocoder))


@pytest.fixture
def folders(tiny: Checkpoint, tmp_path: Path) -> Folders:
    """A codec that a test may damage."""
    return Path(shutil.copytree(tiny.dcae, tmp_path / "dcae")), Path(
        shutil.copytree(tiny.vocoder, tmp_path / "vocoder")
    )


def noise(*shape: int, scale: float = 0.1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3)) * scale


def narrow_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 64 mel frames in encoding and decoding."""
    monkeypatch.setattr(autoencoder, "WINDOW_FRAMES", 64)
    monkeypatch.setattr(autoencoder, "window_frames", lambda _weight: 64)


def test_a_batch_is_its_clips(codec: MusicCodec) -> None:
    audio = noise(3, 2, 30_000)
    latents, lengths = codec.encode(audio, lengths=[30_000, 20_000, 5_000])
    assert latents.shape == (3, 8, 16, 7)
    assert lengths.tolist() == [6, 4, 1]
    alone = [codec.encode(clip[None])[0] for clip in audio]
    assert torch.equal(latents, torch.cat(alone))
    waves = codec.decode(latents)
    assert all(torch.equal(wave, codec.decode(latent[None])[0]) for wave, latent in zip(waves, latents, strict=True))


def test_channels_are_decoded_apart(codec: MusicCodec) -> None:
    wave = codec.decode(codec.encode(noise(1, 2, 30_000))[0])[0]
    assert wave.dtype == torch.float32
    assert wave.shape[0] == 2
    assert not torch.equal(wave[0], wave[1])
    assert wave.abs().max() <= 1.5


def test_decoding_cuts_to_the_lengths(codec: MusicCodec) -> None:
    latents = noise(2, 8, 16, 4, scale=1.0)
    short, long = codec.decode(latents, lengths=torch.tensor([100, 10_000]))
    assert (short.shape, long.shape) == ((2, 100), (2, 10_000))
    assert codec.decode(latents, sample_rate=44_100)[0].shape == (2, 4 * FRAME_SAMPLES)


def test_long_clips_in_windows_are_the_same(codec: MusicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(1, 2, 40 * FRAME_SAMPLES)
    latents, _ = codec.encode(audio, sample_rate=44_100)
    (wave,) = codec.decode(latents)
    narrow_windows(monkeypatch)
    windowed_latents, _ = codec.encode(audio, sample_rate=44_100)
    (windowed_wave,) = codec.decode(latents)
    assert torch.allclose(windowed_latents, latents, atol=1e-5)
    assert torch.allclose(windowed_wave, wave, atol=1e-5)


def test_windows_bound_what_the_convolutions_see(codec: MusicCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow_windows(monkeypatch)
    widths = []
    hooks = [
        module.register_forward_hook(lambda _module, inputs, _output: widths.append(inputs[0].shape[-1]))
        for module in (codec.dcae.encoder.conv_in, codec.dcae.decoder.conv_out)
    ]
    codec.decode(codec.encode(noise(1, 2, 60 * FRAME_SAMPLES), sample_rate=44_100)[0])
    for hook in hooks:
        hook.remove()
    assert max(widths) <= 64 + 2 * 32
    assert len(widths) == 16


def test_the_attention_of_long_clips_sees_the_whole_clip_in_windows(
    codec: MusicCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow_windows(monkeypatch)
    widths = []

    def note(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        widths.append(inputs[0].shape[-1])

    hooks = [
        module.register_forward_hook(note)
        for module in codec.dcae.modules()
        if type(module).__name__ in ("GLUMBConv", "SanaMultiscaleAttentionProjection")
    ]
    latents, _ = codec.encode(noise(1, 2, 60 * FRAME_SAMPLES), sample_rate=44_100)
    codec.decode(latents)
    for hook in hooks:
        hook.remove()
    assert widths and max(widths) <= 64 // 8 + 2 * 2
    # And still one attention: a change at the very end reaches the very beginning.
    audio = noise(1, 2, 60 * FRAME_SAMPLES)
    changed = audio.clone()
    changed[..., -FRAME_SAMPLES:] *= -3
    before, after = (codec.encode(one, sample_rate=44_100)[0] for one in (audio, changed))
    assert not torch.equal(before[..., 0], after[..., 0])


def test_decoder_and_vocoder_are_on_the_device_one_after_the_other(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = load((tiny.dcae, tiny.vocoder), parts=("decoder",))
    latents = noise(2, 8, 16, 4, scale=1.0)
    waves, there, moments = codec.decode(latents), [], []

    @contextlib.contextmanager
    def visit(part: torch.nn.Module, device: torch.device) -> Iterator[torch.nn.Module]:
        there.append((type(part).__name__, device.type))
        yield part
        there.pop()

    monkeypatch.setattr(autoencoder, "visiting", visit)
    for part in (codec.dcae.decoder.conv_out, codec.vocoder):
        part.register_forward_hook(lambda module, *_: moments.append((type(module).__name__, *there)))
    codec.place(torch.device("cpu"), stays=False)
    again = codec.decode(latents)
    assert all(torch.equal(one, other) for one, other in zip(again, waves, strict=True))
    assert moments == [("Conv2d", ("Decoder", "cpu"))] * 2 + [("Vocoder", ("Vocoder", "cpu"))] * 2
    codec.place(torch.device("cpu"))
    moments.clear()
    codec.decode(latents)
    assert moments == [("Conv2d",)] * 2 + [("Vocoder",)] * 2 and not there


def test_the_form_for_a_device_is_made_once_and_waits_in_main_memory(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = load((tiny.dcae, tiny.vocoder), parts=("decoder",))
    latents = noise(1, 8, 16, 4, scale=1.0)
    form, made, visited = CodecForm(is_fused=True), [], []
    monkeypatch.setattr(autoencoder, "best_form", lambda _dtype, _device: form)

    def make(part: torch.nn.Module, wanted: CodecForm) -> torch.nn.Module:
        made.append((type(part).__name__, wanted))
        return in_form(part, wanted)

    @contextlib.contextmanager
    def visit(part: torch.nn.Module, device: torch.device) -> Iterator[torch.nn.Module]:
        visited.append(part)
        yield part

    monkeypatch.setattr(autoencoder, "in_form", make)
    monkeypatch.setattr(autoencoder, "visiting", visit)
    codec.place(torch.device("cpu"), stays=False)
    waves = [codec.decode(latents, is_exact=False)[0] for _ in range(2)]
    assert torch.equal(*waves)
    assert made == [("Decoder", form), ("Vocoder", AS_LOADED)]
    assert visited[:2] == visited[2:] and visited[0] is not codec.dcae.decoder and visited[1] is codec.vocoder
    assert torch.allclose(waves[0], codec.decode(latents)[0], atol=1e-4)
    assert visited[4:] == [codec.dcae.decoder, codec.vocoder], "exactly: the modules themselves"


def test_a_visit_leaves_the_weights_as_they_were() -> None:
    layer = torch.nn.Linear(2, 2)
    before = [(tensor, tensor.data_ptr()) for tensor in layer.parameters()]
    with pytest.raises(KeyError), visiting(layer, torch.device("cpu")):
        raise KeyError
    assert [(tensor, tensor.data_ptr()) for tensor in layer.parameters()] == before


GIB = 2**30


@pytest.mark.parametrize(
    ("total_gib", "free_gib", "frames"),
    [(80, 70, 2048), (16, 12, 2048), (12, 9, 1024), (8, 5, 1024), (5.2, 4, 512), (80, 1.0, 1024), (80, 0.3, 512)],
)
def test_windows_are_as_wide_as_the_card_allows(
    total_gib: float, free_gib: float, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec_memory, "memory_room", lambda _device: (total_gib * GIB, free_gib * GIB))
    assert window_frames(torch.zeros(1)) == frames


def test_large_cards_have_wider_windows() -> None:
    sizes = {gib: window_within(gib * GIB, gib * GIB, kind="cuda") for gib in (6, 12, 24, 48, 80)}
    assert sizes == {6: 512, 12: 1024, 24: 2048, 48: 4096, 80: 8192}
    assert window_within(80 * GIB, 80 * GIB) == USUAL_WINDOW == 2048


def test_a_cap_on_what_torch_may_take_counts_as_a_smaller_card(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "mem_get_info": lambda _device: (70 * GIB, 80 * GIB),
        "memory_allocated": lambda _device: 2 * GIB,
        "memory_reserved": lambda _device: 3 * GIB,
        "get_per_process_memory_fraction": lambda _device: 5.2 / 80,
        "current_device": lambda: 0,
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)
    assert codec_memory.memory_room(torch.device("cuda")) == pytest.approx((5.2 * GIB, 3.2 * GIB))
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _device: 1.0)
    assert codec_memory.memory_room(torch.device("cuda")) == pytest.approx((80 * GIB, 71 * GIB))
    assert window_frames(torch.zeros(1)) == 2048, "more would gain a processor nothing"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near(codec: MusicCodec, tiny: Checkpoint, dtype: torch.dtype) -> None:
    half = load((tiny.dcae, tiny.vocoder), dtype=dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    audio = noise(1, 2, 30_000)
    latents, half_latents = codec.encode(audio)[0], half.encode(audio)[0]
    assert half_latents.dtype == torch.float32
    assert (half_latents - latents).abs().max() < 0.1 * latents.abs().max()
    wave, half_wave = codec.decode(latents)[0], half.decode(latents)[0]
    assert half_wave.dtype == torch.float32
    assert (half_wave - wave).abs().max() < 0.1


def test_autocast_around_it_changes_nothing(codec: MusicCodec) -> None:
    audio = noise(1, 2, 20_000)
    latents = codec.encode(audio)[0]
    (wave,) = codec.decode(latents)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(codec.encode(audio)[0], latents)
        assert torch.equal(codec.decode(latents)[0], wave)


def test_only_what_is_needed_is_loaded(codec: MusicCodec, tiny: Checkpoint) -> None:
    audio = noise(1, 2, 20_000)
    encoder = load((tiny.dcae, tiny.vocoder), parts=("encoder",))
    assert encoder.vocoder is None
    assert encoder.dcae.decoder is None
    latents, _ = encoder.encode(audio)
    assert torch.equal(latents, codec.encode(audio)[0])
    decoder = load((tiny.dcae, tiny.vocoder), parts=("decoder",))
    assert decoder.dcae.encoder is None
    assert torch.equal(decoder.decode(latents)[0], codec.decode(latents)[0])


def test_a_codec_trains_nothing(codec: MusicCodec) -> None:
    assert not codec.training
    assert not any(parameter.requires_grad for parameter in codec.parameters())


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "unexpected", "of another shape"])
def test_weights_that_do_not_fit_are_named(folders: Folders, which: int, damage: str) -> None:
    path = folders[which] / DIFFUSERS_WEIGHTS
    tensors = load_file(path)
    names = sorted(name for name in tensors if name.endswith(".bias"))[:4]
    for name in names:
        if damage == "missing":
            del tensors[name]
        elif damage == "unexpected":
            tensors[f"{name}_too"] = torch.zeros(1)
        else:
            tensors[name] = torch.zeros(tensors[name].shape[0] + 1)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=f"4 {damage} ") as caught:
        load(folders)
    assert str(path) in caught.value.message
    assert all(name in caught.value.message for name in names[:3])
    assert caught.value.exit_code == ExitCode.MODEL


@pytest.mark.parametrize("which", [0, 1])
def test_a_cut_off_file_is_named(folders: Folders, which: int) -> None:
    path = folders[which] / DIFFUSERS_WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match=DIFFUSERS_WEIGHTS):
        load(folders)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("text", ["", "[1]", '{"decoder_layers_per_block": [1], "upsample_rates": [3]}'])
def test_a_config_that_cannot_work_is_named(folders: Folders, which: int, text: str) -> None:
    (folders[which] / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"config"):
        load(folders)


def test_any_single_weight_file_will_do(codec: MusicCodec, folders: Folders) -> None:
    for folder in folders:
        (folder / DIFFUSERS_WEIGHTS).rename(folder / "anything.safetensors")
    audio = noise(1, 2, 9_000)
    assert torch.equal(load(folders).encode(audio)[0], codec.encode(audio)[0])
    shutil.copy(folders[0] / "anything.safetensors", folders[0] / "second.safetensors")
    with pytest.raises(ModelError, match="files and no index"):
        load(folders)


def test_another_latent_clock_is_refused(folders: Folders) -> None:
    path = folders[1] / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sampling_rate": 48_000}), encoding="utf-8")
    with pytest.raises(ModelError, match="48000 Hz"):
        load(folders)


def test_what_differs_from_the_released_model_is_said(codec: MusicCodec) -> None:
    assert any("attention_head_dim" in notice and "the file is followed" in notice for notice in codec.notices)
    assert any("upsample_rates" in notice for notice in codec.notices)


def test_the_released_values_need_no_notice(tmp_path: Path) -> None:
    released = codec_load.EXPECTED_DCAE | {"_class_name": "AutoencoderDC"}
    assert codec_load._differences(tmp_path, released, codec_load.EXPECTED_DCAE) == ()


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mel_buffers_in_the_file_are_compared(folders: Folders, changed: bool, dtype: torch.dtype) -> None:
    log_mel = LogMel(VocoderConfig())
    tensors = load_file(folders[1] / DIFFUSERS_WEIGHTS)
    tensors["mel_transform.spectrogram.window"] = log_mel.window.to(dtype)
    bank = log_mel.filter_bank.roll(1, dims=0) if changed else log_mel.filter_bank
    tensors["mel_transform.mel_scale.fb"] = bank.to(dtype).contiguous()
    save_file(tensors, folders[1] / DIFFUSERS_WEIGHTS)
    reported = [notice for notice in load(folders).notices if "mel_transform" in notice]
    assert len(reported) == changed
    assert all("mel_scale.fb" in notice for notice in reported)


def test_the_real_configuration_can_be_windowed() -> None:
    values = codec_load.EXPECTED_DCAE
    num_local = autoencoder._num_local_stages(values["encoder_block_types"], values["encoder_layers_per_block"])
    assert num_local == 3
    assert autoencoder._context_frames(values["encoder_layers_per_block"][:3], multiple=8) == 56
