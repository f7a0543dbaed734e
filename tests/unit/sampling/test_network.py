"""The network as sampling calls it: recorded where that pays, as it is where it cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.memory.runner import runner_of
from engine.model.transformer import AceStepTransformer
from engine.sampling import network
from engine.sampling.erg import BluntedLinear, blunt_blocks
from engine.sampling.network import CallSettings, NetworkCall, can_record, compiled_blocks
from engine.sampling.sampler import sample_latents
from tests.unit.model.small import small_inputs, small_latent, small_transformer
from tests.unit.sampling.test_sampler import DEEP, PLAIN

CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def model() -> AceStepTransformer:
    return small_transformer(DEEP)


def sample(model: AceStepTransformer, **options: object) -> Tensor:
    settings = replace(PLAIN, num_steps=16, scheduler_type="heun", use_erg_diffusion=True)
    inputs = options.pop("inputs", None) or small_inputs()
    return sample_latents(model, inputs, noise=small_latent(), settings=settings, **options)


class Replayed:
    """Stands in for a recorded graph: fixed tensors are read and written, nothing else."""

    made = 0

    def __init__(self, function, x_t: Tensor) -> None:
        Replayed.made += 1
        self.function, self.x_t, self.t = function, x_t.clone(), torch.zeros(len(x_t))
        self.shape = x_t.shape
        self.result = function(self.x_t, self.t)

    def __call__(self, x_t: Tensor, timestep: float) -> Tensor:
        self.x_t.copy_(x_t)
        self.t.fill_(timestep)
        self.result.copy_(self.function(self.x_t, self.t))
        return self.result.clone()


def test_recorded_calls_give_the_same_clip(model, monkeypatch) -> None:
    expected = sample(model)
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", Replayed)
    Replayed.made = 0
    assert torch.equal(sample(model), expected)
    assert Replayed.made == 2, "calls with and without guidance"


def test_only_the_first_call_of_a_kind_is_not_recorded(monkeypatch) -> None:
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", Replayed)
    model, x_t = small_transformer(DEEP), small_latent()
    with torch.no_grad():
        conditions = model.encode_conditions(small_inputs())
        clips = []
        for _ in range(2):
            call = NetworkCall(
                model, [conditions], is_blunted=[False], num_calls=50, settings=CallSettings(), on_fallback=pytest.fail
            )
            Replayed.made, made, clip = 0, [], []
            for timestep in (900.0, 500.0):
                clip.append(call(x_t, timestep)[0])
                made.append(Replayed.made)
            assert made == ([1, 1] if clips else [0, 1]), "libraries make themselves ready in the first"
            clips.append(clip)
        call(x_t[..., :-1], 100.0)
        assert Replayed.made == 1, "another length is another kind"
    assert all(torch.equal(one, other) for one, other in zip(*clips, strict=True))


def test_recordings_are_kept_from_clip_to_clip_where_that_is_asked_for(model, monkeypatch) -> None:
    others = replace(small_inputs(), text_states=small_inputs().text_states.flip(0))
    expected = [sample(model), sample(model, inputs=others)]
    assert not torch.equal(*expected)
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", Replayed)
    room = [80e9]
    monkeypatch.setattr(network, "memory_room", lambda _device: (80e9, room[0]))
    Replayed.made = 0
    with network.kept_recordings(model):
        for inputs, clip in ((small_inputs(), expected[0]), (others, expected[1]), (small_inputs(), expected[0])):
            assert torch.equal(sample(model, inputs=inputs), clip)
        assert Replayed.made == 2, "with and without guidance, for all clips"
        room[0] = 4e9
        assert torch.equal(sample(model, inputs=others), expected[1])
        assert Replayed.made == 4, "given back before: too little memory to keep them"
        assert not network._KEPT[model], "and none is kept behind the clip"
    assert model not in network._KEPT
    sample(model)
    sample(model)
    assert Replayed.made == 8, "each clip its own"


def test_conditions_of_compiled_calls_are_filled_up_and_give_the_same(model) -> None:
    with torch.no_grad():
        conditions = model.encode_conditions(small_inputs())
        filled = network.filled_up(conditions)
        assert filled.tokens.shape[1] == filled.mask.shape[1] == 129
        assert torch.equal(filled.mask.sum(1), conditions.mask.sum(1))
        assert network.filled_up(filled).tokens.shape == filled.tokens.shape
        t = torch.full((len(conditions.mask),), 500.0)
        velocities = [model(small_latent(), t, given).velocity for given in (conditions, filled)]
    torch.testing.assert_close(*velocities)


def test_what_cannot_be_recorded_is_said_and_called_as_it_is(model, monkeypatch) -> None:
    expected = sample(model)
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", _refuse)
    told: list[str] = []
    assert torch.equal(sample(model, on_fallback=told.append), expected)
    assert len(told) == 2 and all("CUDA graph" in reason and "not today" in reason for reason in told)


def _refuse(_function: object, _x_t: Tensor) -> None:
    raise RuntimeError("not today")


def test_without_memory_for_a_recording_calls_are_made_as_they_are(model, monkeypatch) -> None:
    def full(_function: object, _x_t: Tensor) -> None:
        raise torch.OutOfMemoryError("full")

    expected, told = sample(model), []
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", full)
    assert torch.equal(sample(model, on_fallback=told.append), expected)
    assert len(told) == 2 and all("too little memory" in reason for reason in told)


def test_a_recording_does_not_read_casts_that_are_gone_when_autocast_is_left(model, monkeypatch) -> None:
    seen = []

    def look(function, x_t: Tensor) -> Replayed:
        def looking(*given: Tensor) -> Tensor:
            hook = model.transformer_blocks[0].register_forward_pre_hook(lambda *_: seen.append(_autocast()))
            result = function(*given)
            hook.remove()
            return result

        return Replayed(looking, x_t)

    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    monkeypatch.setattr(network, "_Recording", look)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sample(model)
        assert _autocast() == (True, torch.bfloat16, True)
    assert set(seen) == {(True, torch.bfloat16, False)}
    seen.clear()
    sample(model)
    assert {enabled for enabled, _, _ in seen} == {False}


def _autocast() -> tuple[bool, torch.dtype, bool]:
    return torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()


def test_few_calls_are_not_recorded(model, monkeypatch) -> None:
    monkeypatch.setattr(network, "can_record", lambda _model, _device: True)
    conditions = model.encode_conditions(small_inputs())
    for num_calls, settings in ((5, CallSettings()), (50, CallSettings(uses_graphs=False))):
        call = NetworkCall(
            model, [conditions], is_blunted=[False], num_calls=num_calls, settings=settings, on_fallback=pytest.fail
        )
        assert not call.is_recorded


def test_recording_needs_an_nvidia_card_room_and_all_weights_on_it(model, monkeypatch) -> None:
    assert not can_record(model, torch.device("cpu"))
    monkeypatch.setattr(network, "memory_room", lambda _device: (80e9, 10e9))
    assert can_record(model, CUDA)
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert not can_record(model, CUDA)
    monkeypatch.setattr(torch.version, "hip", None)
    runner_of(model).swap = object()  # type: ignore[assignment]
    assert not can_record(model, CUDA) and not network.has_room(model, torch.device("cpu"))
    runner_of(model).swap = None
    monkeypatch.setattr(network, "memory_room", lambda _device: (6e9, 2e9))
    assert not can_record(model, CUDA)


def test_keys_that_are_kept_are_those_of_every_call(model, monkeypatch) -> None:
    expected = sample(model)
    before = dict(model.named_modules())
    made = []
    keys_of = network._keys_of
    monkeypatch.setattr(network, "_keys_of", lambda *given: made.append(1) or keys_of(*given))
    kept = sample(model)
    monkeypatch.setattr(network, "has_room", lambda _model, _device: False)
    assert torch.equal(kept, expected) and torch.equal(sample(model), expected)
    assert len(made) == 2, "once for calls with guidance, once for those without"
    assert dict(model.named_modules()) == before


def test_a_factor_of_one_leaves_a_sample_as_it_is() -> None:
    layer = torch.nn.Linear(8, 8).bfloat16()
    x = torch.randn(2, 5, 8, dtype=torch.bfloat16)
    each = BluntedLinear(layer, torch.tensor([1.0, 0.01])[:, None, None])(x)
    assert each.dtype == torch.bfloat16
    assert torch.equal(each[0], layer(x)[0])
    assert torch.equal(each[1], BluntedLinear(layer, 0.01)(x)[1])


def test_the_layers_are_back_after_an_error(model) -> None:
    before = dict(model.named_modules())
    with pytest.raises(KeyError), blunt_blocks(model):
        assert isinstance(model.transformer_blocks[15].attn.to_q, BluntedLinear)
        raise KeyError
    assert dict(model.named_modules()) == before


def test_compiled_calls_are_near_and_leave_the_model_as_it_was(model, monkeypatch) -> None:
    compiled = []

    def stand_in(function, **how):
        compiled.append(how)
        return function

    # The compiler itself is proved on a card (tests/gpu): here it would take a minute.
    monkeypatch.setattr(torch, "compile", stand_in)
    before = model.call_block
    expected = sample(model)
    settings = replace(PLAIN, num_steps=16, scheduler_type="heun", use_erg_diffusion=True)
    settings = replace(settings, calls=CallSettings(is_compiled=True))
    latents = sample_latents(model, small_inputs(), noise=small_latent(), settings=settings)
    torch.testing.assert_close(latents, expected)
    assert model.call_block is before
    assert compiled == [{"dynamic": False, "fullgraph": True, "options": {"emulate_precision_casts": True}}]
    with pytest.raises(KeyError), compiled_blocks(model):
        raise KeyError
    assert model.call_block is before
