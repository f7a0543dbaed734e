import pytest

from engine.objective.dropout import draw_dropout
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
