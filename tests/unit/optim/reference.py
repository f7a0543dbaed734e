"""Every optimizer's step once more, from its paper, in float64 and one line at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Weights = list[Tensor]


def adam(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any], *, decoupled: bool) -> Iterator[Weights]:
    m, v = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    b1, b2 = h["beta1"], h["beta2"]
    for t, grads in enumerate(gradients, start=1):
        for i, gradient in enumerate(grads):
            g = gradient if decoupled else gradient + h["weight_decay"] * weights[i]
            m[i] = b1 * m[i] + (1 - b1) * g
            v[i] = b2 * v[i] + (1 - b2) * g * g
            update = (m[i] / (1 - b1**t)) / ((v[i] / (1 - b2**t)).sqrt() + h["eps"])
            decay = h["weight_decay"] if decoupled else 0.0
            weights[i] = weights[i] - h["lr"] * (update + decay * weights[i])
        yield weights


def adamw(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    return adam(weights, gradients, h, decoupled=True)


def plain_adam(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    return adam(weights, gradients, h, decoupled=False)


def sgd(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    velocity: Weights = []
    for grads in gradients:
        velocity = [h["momentum"] * u + g for u, g in zip(velocity, grads, strict=True)] if velocity else list(grads)
        weights = [w - h["lr"] * u for w, u in zip(weights, velocity, strict=True)]
        yield weights


def lion(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2."""
    m = [torch.zeros_like(w) for w in weights]
    for grads in gradients:
        for i, g in enumerate(grads):
            direction = torch.sign(h["beta1"] * m[i] + (1 - h["beta1"]) * g)
            weights[i] = weights[i] - h["lr"] * (direction + h["weight_decay"] * weights[i])
            m[i] = h["beta2"] * m[i] + (1 - h["beta2"]) * g
        yield weights


def adafactor(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    """Shazeer and Stern 2018, arXiv 1804.04235, algorithms 4 and 5, with relative steps; torch's floors."""
    rows: dict[int, Any] = {}
    for t, grads in enumerate(gradients, start=1):
        share = t ** h["beta2_decay"]  # of the new squares
        for i, g in enumerate(grads):
            if g.dim() == 2:
                row, column = (g * g).mean(1), (g * g).mean(0)
                if i in rows:
                    row, column = (old + share * (new - old) for old, new in zip(rows[i], (row, column), strict=True))
                rows[i] = (row, column)
                squares = torch.outer(row, column) / max(float(row.mean()), h["eps1"])
            else:
                squares = g * g if i not in rows else rows[i] + share * (g * g - rows[i])
                rows[i] = squares
            update = g / squares.sqrt().clamp(min=h["eps1"])
            update = update / max(1.0, float(update.square().mean().sqrt()) / h["d"])
            size = max(h["eps2"], float(weights[i].square().mean().sqrt())) * min(h["lr"], 1 / math.sqrt(t))
            weights[i] = weights[i] * (1 - h["lr"] * h["weight_decay"]) - size * update
        yield weights


def prodigy(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    """Mishchenko and Defazio 2023, arXiv 2306.06101, algorithm 4 without bias correction."""
    b1, b2, lr = h["beta1"], h["beta2"], h["lr"]
    b3, d = math.sqrt(b2), h["d0"]
    start = [w.clone() for w in weights]
    m, v, s = ([torch.zeros_like(w) for w in weights] for _ in range(3))
    r = 0.0
    for grads in gradients:
        for i, g in enumerate(grads):
            m[i] = b1 * m[i] + (1 - b1) * d * g
            v[i] = b2 * v[i] + (1 - b2) * d * d * g * g
            s[i] = b3 * s[i] + (d / h["d0"]) * d * lr * g
        inner = sum(float((g * (a - w)).sum()) for g, a, w in zip(grads, start, weights, strict=True))
        r = b3 * r + (d / h["d0"]) * d * lr * inner
        found = r / sum(float(x.abs().sum()) for x in s)
        step = d * lr
        d = max(d, found)
        for i in range(len(weights)):
            weights[i] = weights[i] * (1 - step * h["weight_decay"]) - step * m[i] / (v[i].sqrt() + d * h["eps"])
        yield weights


def schedule_free(weights: Weights, gradients: Iterator[Weights], h: dict[str, Any]) -> Iterator[Weights]:
    """Defazio et al. 2024, arXiv 2405.15682, algorithm 1; yields x, at which the model is judged."""
    b1, b2 = h["beta1"], h["beta2"]
    x, z = [w.clone() for w in weights], [w.clone() for w in weights]
    v = [torch.zeros_like(w) for w in weights]
    for t, grads in enumerate(gradients, start=1):
        for i, g in enumerate(grads):
            y = (1 - b1) * z[i] + b1 * x[i]
            v[i] = b2 * v[i] + (1 - b2) * g * g
            z[i] = z[i] - h["lr"] * (g / ((v[i] / (1 - b2**t)).sqrt() + h["eps"]) + h["weight_decay"] * y)
            x[i] = x[i] + (z[i] - x[i]) / t
        yield x


Reference = Callable[[Weights, Iterator[Weights], dict[str, Any]], Iterator[Weights]]


def last(reference: Reference, weights: Sequence[Tensor], gradients: Sequence[Weights], h: dict[str, Any]) -> Weights:
    """The weights after all the steps, float64."""
    as_float64 = ([g.double() for g in grads] for grads in gradients)
    *_, result = reference([w.detach().double().clone() for w in weights], as_float64, h)
    return result
