"""A preparation in a process of its own, to be killed or limited (``python -m``, folder, largest file in bytes)."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from engine.cache.build import build_cache
from engine.contract.errors import UserError
from tests.unit.cache.stand_ins import StandInCodec, StandInTextEncoder, caches, entries_of, song_of


class SlowCodec(StandInCodec):
    """Takes long enough to be killed in the middle of something."""

    def encode(self, audio: Tensor, **more: object) -> tuple[Tensor, Tensor]:
        time.sleep(0.05)
        return super().encode(audio, **more)  # type: ignore[arg-type]


def main(folder: Path, *, largest_file_bytes: int | None) -> None:
    torch.set_num_threads(1)
    songs = [song_of(path, folder / "songs") for path in sorted((folder / "songs").glob("*.wav"))]
    audio, text = caches(folder / "cache")
    if largest_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file_bytes, largest_file_bytes))
    try:
        build_cache(
            entries_of(songs, duration_interval=0.5),
            [],
            audio=audio,
            text=text,
            load_codec=SlowCodec,  # type: ignore[arg-type]
            load_text_encoder=StandInTextEncoder,  # type: ignore[arg-type]
            on_progress=lambda event: print(event.done, flush=True),
            on_problem=print,
            should_stop=lambda: False,
        )
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main(Path(sys.argv[1]), largest_file_bytes=int(sys.argv[2]) if len(sys.argv) > 2 else None)
