"""Schedule-free AdamW that changes between training and judging without losing a bit (spec config-formats.md 1.11)."""

from __future__ import annotations

import torch
from schedulefree import AdamWScheduleFree

KEPT = "trained_at"
"""Entry of a weight's state while it is judged: the value at which gradients are taken."""


class ScheduleFreeAdamW(AdamWScheduleFree):  # type: ignore[misc]
    """`schedulefree.AdamWScheduleFree` (Defazio et al. 2024, arXiv 2405.15682) with exact changes of mode.

    Gradients are taken at y, the model is judged, saved and shared at x, an average of all steps. The library computes
    one from the other, which rounds: a run that saves would then differ from one that does not. Here y is kept aside
    while x stands in the model, and put back as it was.
    """

    @torch.no_grad()
    def eval(self) -> None:
        """Put x into the weights and keep y."""
        for group in self.param_groups:
            if group["train_mode"]:
                for parameter in group["params"]:
                    if "z" in self.state[parameter]:
                        self.state[parameter][KEPT] = parameter.detach().clone()
        super().eval()

    @torch.no_grad()
    def train(self) -> None:
        """Put y back."""
        super().train()
        for group in self.param_groups:
            for parameter in group["params"]:
                if KEPT in self.state[parameter]:
                    parameter.copy_(self.state[parameter].pop(KEPT))
