"""Terms of the variational bound against PyTorch in float64, by the formulas of arXiv 2006.11239 and 2102.09672."""

import math

import numpy as np
import pytest
import torch

from diffusion_tool import error, tool

STEPS = 50
SHAPE = (3, 5, 4)  # of an image


def betas_of(schedule):
    if schedule == "linear":
        return np.linspace(1e-4, 0.02, STEPS)
    f = np.cos((np.arange(STEPS + 1) / STEPS + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


def reference(betas, x0, xt, estimate, v, times):
    """Divergence of the backward steps, in bits a dimension, [N]; at time 0 the likelihood of bytes. `times` are integers."""
    betas = torch.as_tensor(betas, dtype=torch.float64)
    bars = (1 - betas).cumprod(0)
    before = torch.cat([bars.new_ones(1), bars[:-1]])
    posterior = betas * (1 - before) / (1 - bars)
    least = torch.cat([posterior[1:2], posterior[1:]]).log()
    bits = []
    for i, t in enumerate(times.tolist()):
        def mean(x):
            return betas[t] * before[t].sqrt() / (1 - bars[t]) * x + (1 - before[t]) * (1 - betas[t]).sqrt() / (1 - bars[t]) * xt[i]
        part = (v[i] + 1) / 2
        log_variance = part * betas[t].log() + (1 - part) * least[t]
        if t == 0:
            below, above = (0.5 * torch.erfc(-(x0[i] - mean(estimate[i]) + side / 255) / (log_variance / 2).exp() / math.sqrt(2))
                            for side in (-1, 1))
            mass = torch.where(x0[i] > 0.999, 1, above) - torch.where(x0[i] < -0.999, 0, below)
            nats = -mass.clamp_min(1e-12).log()
        else:
            nats = (log_variance - least[t] - 1 + (least[t] - log_variance).exp()
                    + (mean(x0[i]) - mean(estimate[i])) ** 2 * (-log_variance).exp()) / 2
        bits.append(nats.mean() / math.log(2))
    return torch.stack(bits)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_terms(schedule, tmp_path):
    betas = betas_of(schedule)
    bars = np.cumprod(1 - betas)
    random = np.random.default_rng(0)
    times = np.array([0, 0, 1, 2, 17, 30, STEPS - 2, STEPS - 1])
    x0 = random.integers(0, 256, (len(times), *SHAPE)) / 127.5 - 1
    x0[:2, 0, 0] = [-1, 1, -1, 1]  # whose intervals have no end
    column = (len(times), 1, 1, 1)
    xt = np.sqrt(bars[times]).reshape(column) * x0 + np.sqrt(1 - bars[times]).reshape(column) * random.normal(size=x0.shape)
    estimate, v = x0 + 0.01 * random.normal(size=x0.shape), random.uniform(-1, 1, x0.shape)
    ours = tool("bound", tmp_path, {name: torch.from_numpy(array) for name, array in (
        ("x0", x0), ("xt", xt), ("estimate", estimate), ("v", v), ("times", times.astype(float)))},
        f"ddpm.schedule={schedule} ddpm.steps={STEPS}")
    expected = reference(betas, *map(torch.from_numpy, (x0, xt, estimate, v, times)))
    prior = (1 - bars[-1] + bars[-1] * x0**2 - 1 - np.log(1 - bars[-1])).mean((1, 2, 3)) / 2 / np.log(2)
    worst = max(error(ours["bound"], expected), error(ours["prior"], torch.from_numpy(prior)))
    print(f"bits a dimension {expected.numpy().round(4).tolist()}, worst {worst:.1e}")
    assert worst < 1e-9
