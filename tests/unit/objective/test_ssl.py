import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine.objective.ssl import ssl_losses, stretch_in_time


@pytest.mark.parametrize(("num_valid", "num_frames"), [(13, 29), (13, 5), (7, 7), (1, 9), (9, 1)])
def test_stretching_is_linear_interpolation_of_the_valid_frames(num_valid: int, num_frames: int) -> None:
    sequence = torch.randn(13, 4)
    expected = F.interpolate(sequence[:num_valid].T[None], size=num_frames, mode="linear", align_corners=False)[0].T
    actual = stretch_in_time(sequence, torch.tensor(num_valid), num_frames)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


class TwoProjections:
    """Two projectors, hidden states of a padded batch and targets of different lengths."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.names = ("mert", "m-hubert")
        self.projectors = nn.ModuleList([nn.Linear(6, 5), nn.Linear(6, 3)])
        self.hidden = [torch.randn(2, 10, 6) for _ in self.names]
        self.targets = {"mert": [torch.randn(17, 5), torch.randn(11, 5)], "m-hubert": [torch.randn(9, 3), None]}
        self.mask = torch.ones(2, 10)
        self.mask[1, 6:] = 0

    def losses(self, **changes: object) -> dict[str, torch.Tensor]:
        arguments = {"frame_mask": self.mask, "padding": "valid"} | changes
        return ssl_losses(self.projectors, self.hidden, self.targets, self.names, **arguments)  # type: ignore[arg-type]


def test_valid_form_is_the_mean_of_the_samples_alone() -> None:
    setup = TwoProjections()
    alone = []
    for sample, num_valid in enumerate((10, 6)):
        hidden = [states[sample : sample + 1, :num_valid] for states in setup.hidden]
        targets = {name: [setup.targets[name][sample]] for name in setup.names}
        alone.append(ssl_losses(setup.projectors, hidden, targets, setup.names, None)["mert"])
    torch.testing.assert_close(setup.losses()["mert"], torch.stack(alone).mean())


def test_a_sample_without_features_adds_nothing_but_is_counted() -> None:
    setup = TwoProjections()
    only = ssl_losses(setup.projectors[1:], [setup.hidden[1][:1]], {"x": setup.targets["m-hubert"][:1]}, ["x"], None)
    torch.testing.assert_close(setup.losses()["m-hubert"], only["x"] / 2)


def test_upstream_form_differs_with_padding_only() -> None:
    setup = TwoProjections()
    assert not torch.isclose(setup.losses()["mert"], setup.losses(padding="upstream")["mert"])
    no_padding = torch.ones(2, 10)
    torch.testing.assert_close(
        setup.losses(frame_mask=no_padding)["mert"], setup.losses(frame_mask=no_padding, padding="upstream")["mert"]
    )


def test_perfect_alignment_costs_nothing_and_opposite_two() -> None:
    hidden = torch.randn(1, 8, 4)
    for sign, expected in ((1, 0.0), (-1, 2.0)):
        loss = ssl_losses([nn.Identity()], [hidden], {"x": [sign * 3 * hidden[0]]}, ["x"], None)["x"]
        assert float(loss) == pytest.approx(expected, abs=1e-6)
