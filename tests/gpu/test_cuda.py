"""On a CUDA device: `pytest -m gpu tests/gpu`. The same worker, the same tiny model, every precision."""

from __future__ import annotations

import pytest
import torch

from engine.model.load import load_transformer, resolve_checkpoint
from engine.model.transformer import ConditionInputs
from tests.worker.conftest import Workshop, cache, checkpoint, events, songs, workshop  # noqa: F401 - fixtures

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("model_type", ["lora", "full"])
def test_it_trains_saves_and_resumes(workshop: Workshop, precision: str, model_type: str):  # noqa: F811
    run_dir = workshop.run_dir(
        mixed_precision=precision,
        model_type=model_type,
        max_train_steps=6,
        checkpointing_steps=3,
        validation_prompt="a bell",
        validation_step_interval=3,
        validation_num_inference_steps=4,
        validation_audio_duration=2.0,
        validation_split=0.2,
        dataloader_num_workers=2,
    )
    assert workshop.train(run_dir) == 0
    assert not events(run_dir, "warning") or all(
        event["code"] in ("no_ssl_features", "no_erg", "seconds_unused", "clip_verdict")
        for event in events(run_dir, "warning")
    )
    (run_dir.path / "checkpoint-6" / ".guard").unlink()
    assert workshop.train(run_dir) == 0
    assert events(run_dir, "run_started")[-1]["resumed_step"] == 3
    proofs = events(run_dir, "proofs")[-1]
    assert proofs["works"] and proofs["loads"] and proofs["resumes"]


def test_the_device_agrees_with_the_processor(checkpoint, monkeypatch):  # noqa: F811
    for backend in (torch.backends.cuda.matmul, torch.backends.cudnn):  # as a run before may have set them
        monkeypatch.setattr(backend, "allow_tf32", False)
    models = {
        device: load_transformer(resolve_checkpoint(checkpoint), dtype=torch.float32, device=device)
        for device in ("cpu", "cuda")
    }
    config = models["cpu"].config
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(2, 8, config.latent_height, 37, generator=generator)
    inputs = ConditionInputs(
        text_states=torch.randn(2, 5, config.text_embedding_dim, generator=generator),
        text_mask=torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        lyric_ids=torch.randint(1, 6000, (2, 9), generator=generator),
        lyric_mask=torch.tensor([[1] * 9, [1] * 4 + [0] * 5]),
        speaker=None,
    )
    results = {}
    for device, model in models.items():
        moved = ConditionInputs(
            inputs.text_states.to(device),
            inputs.text_mask.to(device),
            inputs.lyric_ids.to(device),
            inputs.lyric_mask.to(device),
            None,
        )
        with torch.no_grad():
            t = torch.tensor([900.0, 100.0], device=device)
            results[device] = model(x_t.to(device), t, model.encode_conditions(moved)).velocity.cpu()
    assert torch.allclose(results["cuda"], results["cpu"], atol=2e-3, rtol=2e-3)
