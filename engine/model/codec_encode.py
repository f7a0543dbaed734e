"""The encoder half of the mel autoencoder, in a form of its device (`engine.model.codec_form`).

The mel before it and the sums of the attention inside stay float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from engine.model.codec_form import AS_LOADED, CodecForm, in_form, with_channels_last
from engine.model.codec_stage import run_stage
from engine.model.windows import in_windows

if TYPE_CHECKING:
    from diffusers.models.autoencoders.autoencoder_dc import Encoder


class MelEncoder(nn.Module):
    """Normalised log-mel ``(B, 2, n_mels, W)`` to raw latents; long ones in windows, the attention over all of them.

    Args:
        encoder: Of `diffusers.AutoencoderDC`.
        num_local: How many of its first stages are plain convolutions that halve the resolution once each.
        context: Mel frames that reach into one position through those.
        form: How it is computed; anything but `AS_LOADED` works on a copy.
    """

    def __init__(self, encoder: Encoder, *, num_local: int, context: int, form: CodecForm = AS_LOADED) -> None:
        super().__init__()
        self.form, self.num_local, self.context = form, num_local, context
        self.encoder = in_form(encoder, form)
        self._local: nn.Module = nn.Sequential(self.encoder.conv_in, *self.encoder.down_blocks[:num_local])
        if form.is_compiled:
            # The last window of each song has a width of its own: one compilation for all.
            self._local.compile(dynamic=True)

    def forward(self, mel: Tensor, *, window: int) -> Tensor:
        """Raw latents ``(B, C, H, W/factor)`` in the form's dtype.

        Args:
            mel: Any floating dtype.
            window: Mel frames worked on at once, a multiple of the encoder's factor.
        """
        form, encoder = self.form, self.encoder
        mel = mel.to(form.dtype or next(encoder.parameters()).dtype)
        if form.is_channels_last:
            mel = with_channels_last(mel)
        if not self.num_local or (form == AS_LOADED and mel.shape[-1] <= window):
            return encoder(mel)
        factor = 2**self.num_local
        hidden = in_windows(self._local, mel, window=window, context=self.context, down=factor)
        for stage in encoder.down_blocks[self.num_local :]:
            hidden = run_stage(stage, hidden, window=window // factor)
        raw = encoder.conv_out(hidden)
        if encoder.out_shortcut:
            raw = raw + hidden.unflatten(1, (-1, encoder.out_shortcut_average_group_size)).mean(dim=2)
        return raw
