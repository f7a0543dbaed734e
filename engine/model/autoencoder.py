"""The audio codec of ACE-Step v1: stereo waveform to latents and back (spec section 6)."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import nn
from torch.nn import functional as F

from engine.contract.errors import ModelError
from engine.contract.model_files import weight_files
from engine.model.card import CODEC_RATE, FRAME_SAMPLES, LATENT_SCALE, LATENT_SHIFT, SAMPLE_RATE, whole_frames
from engine.model.codec_encode import MelEncoder
from engine.model.codec_form import AS_LOADED, CodecForm, best_form, in_form, laid_out, vocoder_form
from engine.model.codec_load import BOTH_PARTS, Part, check_mel_buffers, load_dcae, load_vocoder
from engine.model.codec_memory import memory_room, on_processor, visiting, window_frames
from engine.model.codec_stage import run_stage
from engine.model.mel import LogMel, denormalise, normalise
from engine.model.overlap import overlapped_mel, overlapped_wave
from engine.model.resample import resample
from engine.model.vocoder import Vocoder, VocoderConfig
from engine.model.windows import in_windows
from engine.planning.codec_window import USUAL_WINDOW

if TYPE_CHECKING:
    from diffusers import AutoencoderDC

Network = TypeVar("Network", bound=nn.Module)

# Mel frames encoded at once by the full-resolution convolutions (24 s): about 140 MB a tensor in float32 with the real
# widths, instead of 1.4 GB for four minutes.
WINDOW_FRAMES = USUAL_WINDOW

_ROOM_FOR_COPIES = 2 * 2**30
"""Free bytes of a device from which copies of the codec in another form, 0.4 GiB, stay there till `forget_copies`."""


class MusicCodec(nn.Module):
    """Encodes stereo audio to latents and decodes latents to stereo audio (spec 6.2).

    The mel front end and the resampler always run in float32; the autoencoder and the vocoder in the dtype they were
    loaded in, encoding for the cache as fast as that allows (`engine.model.codec_encode`). Clips are worked on one at a
    time, so a batch gives exactly what its clips give alone; on a CUDA card several short ones fill a window together.

    Args:
        dcae: The mel autoencoder; its encoder or decoder may be None when only the other way is needed.
        vocoder: The vocoder, None when nothing will be decoded.
        mel_config: Settings of the mel transform (they stand in the vocoder's config.json).
        notices: What loading found worth telling.

    Raises:
        ModelError: The configurations do not make the latent clock of the model (4096 samples at 44.1 kHz per frame).
    """

    def __init__(
        self,
        dcae: AutoencoderDC,
        vocoder: Vocoder | None,
        mel_config: VocoderConfig,
        *,
        notices: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.dcae, self.vocoder, self.notices = dcae, vocoder, notices
        self._visits: torch.device | None = None
        self._placed: tuple[torch.device, bool] | None = None
        # Beside the modules, not among them: a copy of weights is no part of the codec.
        self._forms: dict[tuple[nn.Module, CodecForm], nn.Module] = {}
        self.log_mel = LogMel(mel_config)
        self.mel_factor = 2 ** (len(dcae.config.encoder_block_out_channels) - 1)
        if mel_config.sampling_rate != CODEC_RATE or mel_config.hop_length * self.mel_factor != FRAME_SAMPLES:
            raise ModelError(
                f"codec config: {self.mel_factor} mel frames of {mel_config.hop_length} samples at "
                f"{mel_config.sampling_rate} Hz per latent frame; ACE-Step v1 has 8 of 512 at {CODEC_RATE} Hz"
            )
        self._encoders: dict[CodecForm, MelEncoder] = {}

    @classmethod
    def from_folders(
        cls,
        dcae_dir: Path,
        vocoder_dir: Path,
        *,
        dtype: torch.dtype,
        device: torch.device | str,
        parts: Collection[Part] = BOTH_PARTS,
        variant: str | None = None,
    ) -> MusicCodec:
        """Load from two folders of a checkpoint, each tensor straight to its dtype and device.

        Args:
            dcae_dir: ``music_dcae_f8c8`` of the checkpoint.
            vocoder_dir: ``music_vocoder`` of the checkpoint.
            dtype: Of autoencoder and vocoder.
            device: Where they run.
            parts: What is needed: caching takes the encoder, validation clips the decoder (and with it the vocoder).
            variant: Which weight files are read where a folder has several.

        Raises:
            ModelError: A file is missing or damaged, or its tensors do not fit its configuration.
        """
        device = torch.device(device)
        dcae_files = weight_files(dcae_dir, variant=variant)
        vocoder_files = weight_files(vocoder_dir, variant=variant)
        dcae, dcae_notices = load_dcae(dcae_dir, dcae_files, dtype=dtype, device=device, parts=parts)
        config, vocoder, vocoder_notices = load_vocoder(
            vocoder_dir, vocoder_files, dtype=dtype, device=device, with_network="decoder" in parts
        )
        codec = cls(dcae, vocoder, config, notices=dcae_notices)
        codec.notices += vocoder_notices + check_mel_buffers(codec.log_mel, vocoder_files)
        return codec.eval().requires_grad_(False)

    def place(self, device: torch.device, *, stays: bool = True) -> None:
        """Choose where clips are decoded.

        Args:
            device: There.
            stays: Whether the weights lie there from now on; else they wait in main memory, and autoencoder and vocoder
                come one after the other, each only while it works.
        """
        if self._placed == (device, stays):
            return
        self.to(device if stays else "cpu")
        self._visits, self._placed = None if stays else device, (device, stays)
        self._forms.clear()

    def forget_copies(self) -> None:
        """Give back what further clips would have used again on the device."""
        if self._visits is None:
            self._forms.clear()

    @contextlib.contextmanager
    def _at_work(self, part: Network, *, is_exact: bool) -> Iterator[Network]:
        """The decoder or the vocoder where it works, itself or a copy in the form that is fastest there."""
        weight = next(part.parameters())
        device = weight.device if self._visits is None else self._visits
        choose = vocoder_form if part is self.vocoder else best_form
        form = AS_LOADED if is_exact else choose(weight.dtype, device)
        if self._visits is not None:
            # Made in main memory, where it waits: the device never holds both, and less comes across.
            with visiting(self._kept(part, form), device) as network:
                yield network
        elif (part, form) in self._forms or memory_room(device)[1] >= _ROOM_FOR_COPIES:
            yield self._kept(part, form)
        else:
            yield in_form(part, form)

    def _kept(self, part: Network, form: CodecForm) -> Network:
        """A part in a form, made once: making it again would cost a clip as much as many steps."""
        if (part, form) not in self._forms:
            self._forms[part, form] = in_form(part, form)
        return cast(Network, self._forms[part, form])

    @torch.no_grad()
    def encode(
        self,
        audio: torch.Tensor,
        *,
        sample_rate: int = SAMPLE_RATE,
        lengths: Sequence[int] | torch.Tensor | None = None,
        is_exact: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of a batch of clips.

        Args:
            audio: Float ``(B, 2, n)`` in -1…1, zero-padded where clips are shorter.
            sample_rate: Hz of `audio`.
            lengths: Valid samples of each clip; all n when None.
            is_exact: Compute as the codec was loaded, even where a card has a faster form with as many digits (and
                less range: its latents may come out not finite).

        Returns:
            Latents ``(B, 8, 16, T)`` float32 on the codec's device, and the whole valid frames of each clip, ``(B,)``
            int64 on the CPU. T covers all n samples, the last frame padded with zeros. On a CUDA card this does not
            wait for the device.
        """
        num_samples = [audio.shape[-1]] * len(audio) if lengths is None else [int(length) for length in lengths]
        weight = next(self.dcae.encoder.parameters())
        encoder = self.mel_encoder(AS_LOADED if is_exact else best_form(weight.dtype, weight.device))
        # On the CPU: CUDA convolutions round float32 to TF32 unless told otherwise.
        waves = audio.float() if sample_rate == CODEC_RATE else resample(audio.float().cpu(), sample_rate, CODEC_RATE)
        num_frames = -(-waves.shape[-1] // FRAME_SAMPLES) * self.mel_factor
        at_once = max(1, WINDOW_FRAMES // num_frames) if weight.device.type == "cuda" else 1
        latents = []
        for some in waves.split(at_once):
            with _own_precision(weight.device):
                wave = F.pad(some.to(weight.device, non_blocking=True), (0, -some.shape[-1] % FRAME_SAMPLES))
                raw = encoder(normalise(self.log_mel(wave)), window=WINDOW_FRAMES).float()
            latents.append((raw - LATENT_SHIFT) * LATENT_SCALE)
        frames = torch.tensor([whole_frames(count, sample_rate=sample_rate) for count in num_samples])
        return torch.cat(latents), frames

    def mel_encoder(self, form: CodecForm) -> MelEncoder:
        """The autoencoder's encoder half in a form, made at the first call."""
        # Beside the modules, not among them: a copy of weights is no part of the codec.
        if form not in self._encoders:
            config = self.dcae.config
            layers = config.encoder_layers_per_block
            num_local = _num_local_stages(config.encoder_block_types, layers)
            context = _context_frames(layers[:num_local], multiple=self.mel_factor)
            self._encoders[form] = MelEncoder(self.dcae.encoder, num_local=num_local, context=context, form=form)
        return self._encoders[form]

    @torch.no_grad()
    def decode(
        self,
        latents: torch.Tensor,
        *,
        sample_rate: int = SAMPLE_RATE,
        lengths: Sequence[int] | torch.Tensor | None = None,
        overlapped: bool = False,
        is_exact: bool = True,
    ) -> list[torch.Tensor]:
        """Waveforms of a batch of latents.

        Args:
            latents: ``(B, 8, 16, T)``.
            sample_rate: Hz wanted; 44100 skips the last resampling.
            lengths: Samples at `sample_rate` to cut each clip to; all when None.
            overlapped: Decode in cross-faded blocks as the original can. Long clips need no such help here: memory is
                bounded either way.
            is_exact: As in `encode`; what is not finite in a faster form is decoded again as the codec was loaded.

        Returns:
            Per clip a float32 CPU tensor ``(2, samples)`` in -1…1.
        """
        with self._at_work(self.dcae.decoder, is_exact=is_exact) as decoder:
            mels = [self._mel_of(latent[None], decoder, overlapped=overlapped) for latent in latents]
        del decoder  # perhaps a copy
        assert self.vocoder is not None, "the codec was loaded without its decoder"
        clips = []
        with self._at_work(self.vocoder, is_exact=is_exact) as vocoder:
            for index, mel in enumerate(mels):
                if overlapped:
                    wave = overlapped_wave(partial(self._vocode, vocoder), mel)
                    length = latents.shape[-1] * FRAME_SAMPLES * sample_rate // CODEC_RATE
                else:
                    wave = self._vocode(vocoder, mel)
                    length = -(-wave.shape[-1] * sample_rate // CODEC_RATE)
                wave = resample(wave.float(), CODEC_RATE, sample_rate)
                clips.append(wave[:, : length if lengths is None else int(lengths[index])])
        del vocoder
        # Looked at where they are: a processor takes longer over it than the card takes for the clip.
        if not is_exact and not all(bool(torch.isfinite(clip).all()) for clip in clips):
            return self.decode(latents, sample_rate=sample_rate, lengths=lengths, overlapped=overlapped)
        return [on_processor(clip) for clip in clips]

    def _mel_of(self, latent: torch.Tensor, decoder: nn.Module, *, overlapped: bool) -> torch.Tensor:
        """Log-mel ``(2, n_mels, 8·T)`` in float32 of latents ``(1, 8, 16, T)``."""
        whole = partial(self._decode_mel, decoder)
        mel = overlapped_mel(whole, latent, factor=self.mel_factor) if overlapped else whole(latent)
        return denormalise(mel[0].float())

    @torch.no_grad()
    def decode_mel(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised log-mel ``(B, 2, n_mels, 8·T)`` of latents ``(B, 8, 16, T)``, in the codec's dtype."""
        return self._decode_mel(self.dcae.decoder, latents)

    def _decode_mel(self, decoder: nn.Module, latents: torch.Tensor) -> torch.Tensor:
        weight = next(decoder.parameters())
        raw = latents.to(weight.device, torch.float32) / LATENT_SCALE + LATENT_SHIFT
        with _own_precision(weight.device):
            return self._decode_raw(decoder, laid_out(raw.to(weight.dtype), decoder))

    def _vocode(self, vocoder: Vocoder, mel: torch.Tensor) -> torch.Tensor:
        """Both channels of a log-mel ``(2, n_mels, frames)`` to ``(2, samples)`` at 44.1 kHz."""
        weight, config = next(vocoder.parameters()), vocoder.config
        with _own_precision(weight.device):
            wave = in_windows(
                vocoder,
                laid_out(mel.to(weight.dtype), vocoder),
                window=window_frames(weight),
                context=config.context_frames,
                up=config.hop_length,
            )
        return wave[:, 0]

    def _decode_raw(self, decoder: nn.Module, raw: torch.Tensor) -> torch.Tensor:
        """`Decoder.forward` of diffusers in windows; its attention still sees the whole clip."""
        config = self.dcae.config
        num_local = _num_local_stages(config.decoder_block_types, config.decoder_layers_per_block)
        window = window_frames(next(decoder.parameters()))
        if raw.shape[-1] * self.mel_factor <= window or not num_local:
            return decoder(raw)
        hidden = decoder.conv_in(raw)
        if decoder.in_shortcut:
            hidden = hidden + raw.repeat_interleave(decoder.in_shortcut_repeats, dim=1)
        for stage in reversed(decoder.up_blocks[num_local:]):
            hidden = run_stage(stage, hidden, window=window // self.mel_factor)

        def to_mel(part: torch.Tensor) -> torch.Tensor:
            for block in reversed(decoder.up_blocks[:num_local]):
                part = block(part)
            part = decoder.norm_out(part.movedim(1, -1)).movedim(-1, 1)
            return decoder.conv_out(decoder.conv_act(part))

        factor = 2**num_local
        context = _context_frames(config.decoder_layers_per_block[:num_local], multiple=self.mel_factor)
        return in_windows(to_mel, hidden, window=window // factor, context=context // factor, up=factor)


def _own_precision(device: torch.device) -> torch.autocast:
    """Keeps the caller's autocast (a training loop's, say) away from the codec, whose dtype was chosen at loading."""
    return torch.autocast(device.type, enabled=False)


def _num_local_stages(block_types: str | Sequence[str], layers: Sequence[int]) -> int:
    """How many of the finest stages are plain convolutions and change the resolution once each."""
    num_stages = len(layers)
    types = [block_types] * num_stages if isinstance(block_types, str) else block_types
    for stage in range(num_stages - 1):
        if types[stage] != "ResBlock" or layers[stage] == 0:
            return stage
    return num_stages - 1


def _context_frames(layers: Sequence[int], *, multiple: int) -> int:
    """Mel frames that reach into one position through the finest stages, rounded up to a multiple.

    Two 3x3 convolutions per ResBlock, one for the change of resolution (and one position lost to alignment), at stage i
    of stride 2^i; one more convolution at the outside.
    """
    reach = 1 + sum((2 * count + 2) * 2**stage for stage, count in enumerate(layers))
    return -(-reach // multiple) * multiple
