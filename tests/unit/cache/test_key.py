from __future__ import annotations

import dataclasses
import os
import shutil

import pytest
import safetensors.torch
import torch

from engine.cache.key import audio_key, codec_fingerprint, folder_fingerprint, text_fingerprint, text_key
from engine.contract.errors import ModelError
from tests.unit.batches.factory import make_entries


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    weights = torch.arange(500_000, dtype=torch.float32)
    safetensors.torch.save_file({"w": weights}, folder / "model.safetensors")
    return folder


def test_whatever_changes_the_latents_changes_the_name():
    clip = make_entries(1)[0].clips[0]
    song = clip.song
    others = [
        clip,
        dataclasses.replace(clip, start_s=1.0),
        dataclasses.replace(clip, length_s=9.0),
        dataclasses.replace(clip, channels=1),
        dataclasses.replace(clip, song=dataclasses.replace(song, relative_path="000.mp3")),
        dataclasses.replace(clip, song=dataclasses.replace(song, size_bytes=song.size_bytes + 1)),
        dataclasses.replace(clip, song=dataclasses.replace(song, mtime_ns=song.mtime_ns + 1)),
    ]
    keys = {audio_key(other, encoder_id="a") for other in others}
    keys.add(audio_key(clip, encoder_id="b"))
    keys |= {audio_key(clip, encoder_id="a", ssl_id=ssl_id) for ssl_id in ("x", "y")}
    assert len(keys) == 10
    assert all(len(key) == 64 for key in keys)


def test_songs_alike_in_all_but_their_bytes_have_names_of_their_own(tmp_path):
    clip = make_entries(1)[0].clips[0]
    keys = set()
    for album, place in (("a", 0), ("b", 500_000), ("c", 999_999), ("copy of a", 0)):
        path = tmp_path / album / "001.wav"
        path.parent.mkdir()
        content = bytearray(1_000_000)
        content[place] = 1
        path.write_bytes(content)
        song = dataclasses.replace(clip.song, path=path, size_bytes=1_000_000)
        keys.add(audio_key(dataclasses.replace(clip, song=song), encoder_id="a"))
    assert len(keys) == 3


def test_lyrics_captions_and_the_bucket_do_not_change_the_name():
    clip = make_entries(1)[0].clips[0]
    other = dataclasses.replace(
        clip, bucket="x", whole=False, song=dataclasses.replace(clip.song, lyrics="la", captions=("b",))
    )
    assert audio_key(clip, encoder_id="a") == audio_key(other, encoder_id="a")


def test_text_keys_depend_on_caption_and_encoder():
    assert len({text_key(caption, encoder_id=encoder) for caption in ("", "a") for encoder in ("x", "y")}) == 4


def test_the_fingerprint_follows_weights_header_and_config_but_not_the_time(model, tmp_path):
    before = folder_fingerprint(model)
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    os.utime(copy / "model.safetensors", (1, 1))
    assert folder_fingerprint(copy) == before

    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x99")
    changed_weights = folder_fingerprint(copy)
    (copy / "config.json").write_text('{"a": 1}')
    assert len({before, changed_weights, folder_fingerprint(copy)}) == 3


def test_the_fingerprint_of_a_codec_follows_its_mel_settings_and_dtype(model, tmp_path):
    vocoder = tmp_path / "vocoder"
    vocoder.mkdir()
    (vocoder / "config.json").write_text('{"f_min": 40}')
    first = codec_fingerprint(model, vocoder, dtype="float32")
    half = codec_fingerprint(model, vocoder, dtype="bfloat16")
    (vocoder / "config.json").write_text('{"f_min": 20}')
    assert len({first, half, codec_fingerprint(model, vocoder, dtype="float32")}) == 3


def test_the_fingerprint_of_a_text_encoder_follows_tokenizer_dtype_and_length(model):
    (model / "tokenizer.json").write_text("{}")
    first = text_fingerprint(model, dtype="float32", max_length=256)
    others = {
        text_fingerprint(model, dtype="bfloat16", max_length=256),
        text_fingerprint(model, dtype="float32", max_length=128),
    }
    (model / "tokenizer.json").write_text("{ }")
    assert len({first, *others, text_fingerprint(model, dtype="float32", max_length=256)}) == 4


def test_a_folder_without_weights_is_a_model_error(model):
    (model / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="no weights"):
        folder_fingerprint(model)
    (model / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json"):
        folder_fingerprint(model)
