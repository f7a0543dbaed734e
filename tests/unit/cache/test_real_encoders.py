"""From files to a batch through the real encoders, read from a tiny checkpoint in the real layout."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from engine.batches.collate import collate
from engine.batches.reader import Draws, SampleReader
from engine.batches.sampler import GroupSampler, Pool
from engine.cache.audio_latents import AudioLatents
from engine.cache.build import build_cache
from engine.cache.key import codec_fingerprint, text_fingerprint
from engine.cache.repair import Repair
from engine.cache.store import CacheStore
from engine.cache.text_states import TextStates
from engine.lyrics.tokenizer import LyricTokenizer
from engine.model.load import load_codec, load_text_encoder, resolve_checkpoint
from engine.model.tiny import write_tiny_checkpoint
from tests.unit.cache.stand_ins import entries_of, song_of, write_songs

CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_songs_become_a_batch(tmp_path, dtype):
    write_tiny_checkpoint(tmp_path / "model")
    checkpoint = resolve_checkpoint(tmp_path / "model")
    folder = tmp_path / "songs"
    write_songs(folder, [1.0, 1.2])
    soundfile.write(folder / "2.flac", np.random.default_rng(0).uniform(-1, 1, 52_920), 44_100)
    songs = [song_of(path, folder, lyrics="[verse]\nla la") for path in sorted(folder.iterdir())]
    store = CacheStore(audio_folder=tmp_path / "cache" / "audio", text_folder=tmp_path / "cache" / "text")
    name = str(dtype).removeprefix("torch.")
    audio = AudioLatents(store, encoder_id=codec_fingerprint(checkpoint.dcae, checkpoint.vocoder, dtype="float32"))
    text = TextStates(store, encoder_id=text_fingerprint(checkpoint.text_encoder, dtype=name, max_length=256))
    repair = Repair(
        audio=audio,
        text=text,
        load_codec=lambda: load_codec(checkpoint, dtype=torch.float32, device=CPU, parts=("encoder",)),
        load_text_encoder=lambda: load_text_encoder(checkpoint, dtype=dtype, device=CPU, max_length=256),
        on_problem=lambda problem: pytest.fail(str(problem)),
    )
    captions = ["", *(caption for song in songs for caption in song.captions)]
    index = build_cache(
        entries_of(songs, duration_interval=1.0),
        captions,
        audio=audio,
        text=text,
        load_codec=repair.load_codec,
        load_text_encoder=repair.load_text_encoder,
        on_progress=lambda *_: None,
        on_problem=lambda problem: pytest.fail(str(problem)),
        should_stop=lambda: False,
        text_encoder_batch_size=2,
    )
    assert (index.num_encoded, len(index.entries)) == (7, 3)
    fresh = repair.load_text_encoder().encode([captions[1]])[0]
    torch.testing.assert_close(text.read(captions[1]), fresh)
    assert text.read("").dtype == dtype

    reader = SampleReader(
        audio=audio,
        text=text,
        tokenizer=LyricTokenizer(),
        draws=Draws(seed=0, caption_dropout=0.1),
        repair_audio=repair.audio,
        repair_text=repair.text,
        on_problem=lambda problem: pytest.fail(str(problem)),
    )
    group = GroupSampler([Pool("songs", index.entries, 3)], seed=0).group(0)
    batch = collate([reader(visit) for visit in group.micro_batches[0]], bucket=group.bucket)
    assert batch.latents.shape == (3, 8, 16, 10)
    assert batch.frame_mask is None
    assert sorted(batch.files) == ["0.wav", "1.wav", "2.flac"]
    assert bool(torch.isfinite(batch.latents).all()) and batch.text_states.dtype == dtype
