import pytest
import torch

from engine.model.transformer import ConditionInputs
from engine.objective.dropout import ConditionDropout, draw_dropout, drop_conditions
from engine.objective.randomness import sample_generator


def test_rates_of_the_specification() -> None:
    draws = [draw_dropout(sample_generator(0, p, "dropout"), caption_probability=0.1) for p in range(4000)]
    for name, rate in {"caption": 0.1, "text": 0.15, "speaker": 0.5, "lyrics": 0.15}.items():
        seen = sum(getattr(draw, name) for draw in draws) / len(draws)
        assert seen == pytest.approx(rate, abs=0.025), name
    both = sum(draw.text and draw.lyrics for draw in draws) / len(draws)
    assert both == pytest.approx(0.0225, abs=0.01)


def test_the_caption_rate_does_not_move_the_other_draws() -> None:
    for position in range(50):
        without = draw_dropout(sample_generator(0, position, "dropout"))
        always = draw_dropout(sample_generator(0, position, "dropout"), caption_probability=1.0)
        assert not without.caption and always.caption
        assert (without.text, without.speaker, without.lyrics) == (always.text, always.speaker, always.lyrics)


def test_what_is_zeroed_and_what_stays() -> None:
    inputs = ConditionInputs(
        text_states=torch.ones(3, 4, 5),
        text_mask=torch.ones(3, 4),
        lyric_ids=torch.full((3, 6), 7),
        lyric_mask=torch.ones(3, 6, dtype=torch.int64),
        speaker=torch.ones(3, 2),
    )
    drops = [
        ConditionDropout(caption=False, text=True, speaker=False, lyrics=False),
        ConditionDropout(caption=True, text=False, speaker=False, lyrics=True),
        ConditionDropout(caption=False, text=False, speaker=True, lyrics=False),
    ]
    result = drop_conditions(inputs, drops)
    assert result.text_states.amax(dim=(1, 2)).tolist() == [0, 1, 1]
    assert torch.equal(result.text_mask, inputs.text_mask)
    assert result.lyric_ids.amax(dim=1).tolist() == [7, 0, 7]
    assert result.lyric_mask.amax(dim=1).tolist() == [1, 0, 1]
    assert result.speaker is not None and result.speaker.amax(dim=1).tolist() == [1, 1, 0]
    assert int(inputs.lyric_ids.min()) == 7, "the inputs themselves must not change"
