"""What is said when scheduled sampling begins in the middle of a run: the loss jumps, and nothing is wrong."""

from __future__ import annotations

from engine.contract.config import Config
from engine.planning.rollout_plan import rollout_plan, uses_reflexflow


def begins_later(config: Config, step: int) -> bool:
    """Whether no song is rolled out yet after ``step`` steps, and some will be."""
    plan = rollout_plan(config)
    return plan is not None and plan.probability_at(step) == 0.0


def rollout_begins(config: Config, step: int) -> tuple[str, str]:
    """Code and words of the warning at the first step of a run in which a song was rolled out."""
    own = ", and ReflexFlow adds a loss of its own" if uses_reflexflow(config) else ""
    message = (
        f"scheduled sampling begins at step {step:,}: songs that walk a way of the model's own are harder{own}, so the "
        "loss jumps here and does not compare with that of the steps before; the held-out loss does"
    )
    return "rollout_begins", message
