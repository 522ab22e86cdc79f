"""Every adversarial loss of the program against formulas written from its paper: values, gradients, second derivatives.

LOSS_VALUES is the path of the program that prints ours. Errors are relative L2, in float64.
"""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

LOSSES = Path(__file__).parents[2] / "models" / "gan" / "losses"
torch.set_num_threads(1)


def entropy(logits, target):
    """Cross-entropy in nats between the target and the probability sigma(logit) of being real."""
    probability = 1 / (1 + torch.exp(-logits))
    return -target * torch.log(probability) - (1 - target) * torch.log(1 - probability)


def hinge(real, fake):
    """Miyato et al., 1802.05957, equations 16 and 17, as losses."""
    d = -torch.minimum(torch.zeros_like(real), real - 1) - torch.minimum(torch.zeros_like(fake), -fake - 1)
    return d, -fake


def logistic(real, fake, real_target=1.0):
    """Goodfellow et al., 1406.2661, section 3: G maximises log D(G(z)). Smoothing: Salimans et al., 1606.03498, 3.4."""
    return entropy(real, real_target) + entropy(fake, 0), entropy(fake, 1)


def minimax(real, fake, real_target=1.0):
    """Goodfellow et al., 1406.2661, equation 1: G minimises log(1 - D(G(z)))."""
    return entropy(real, real_target) + entropy(fake, 0), -entropy(fake, 0)


def lsgan(real, fake, a=0.0, b=1.0, c=1.0):
    """Mao et al., 1611.04076, equation 2."""
    return 0.5 * (real - b) ** 2 + 0.5 * (fake - a) ** 2, 0.5 * (fake - c) ** 2


def relativistic(real, fake):
    """Jolicoeur-Martineau, 1807.00734, RSGAN."""
    return entropy(real - fake, 1), entropy(fake - real, 1)


def relativistic_average(real, fake):
    """Jolicoeur-Martineau, 1807.00734, RaSGAN."""
    real_more, fake_more = real - fake.mean(), fake - real.mean()
    return entropy(real_more, 1) + entropy(fake_more, 0), entropy(fake_more, 1) + entropy(real_more, 0)


def wasserstein(real, fake):
    """Arjovsky et al., 1701.07875, equation 3: the critic maximises f(x) - f(G(z))."""
    return -(real - fake), -fake


CASES = [
    (hinge, {}),
    (logistic, {}),
    (logistic, {"real_target": 0.9}),
    (lsgan, {}),
    (lsgan, {"a": -1.0, "b": 1.0, "c": 0.0}),
    (minimax, {}),
    (minimax, {"real_target": 0.8}),
    (relativistic, {}),
    (relativistic_average, {}),
    (wasserstein, {}),
]


def gradient(value, by):
    if not value.requires_grad:
        return torch.zeros_like(by)
    (found,) = torch.autograd.grad(value, by, create_graph=True, allow_unused=True)
    return torch.zeros_like(by) if found is None else found


def derivatives(part, each, real, fake):
    value = (each * torch.arange(1, len(each) + 1)).sum()
    by_real, by_fake = gradient(value, real), gradient(value, fake)
    bent = by_real.sin().sum() + by_fake.sin().sum()
    found = {"": each, ".real": by_real, ".fake": by_fake,
             ".second.real": gradient(bent, real), ".second.fake": gradient(bent, fake)}
    return {part + name: tensor.detach() for name, tensor in found.items()}


def test_every_loss_has_a_case():
    assert {case.__name__ for case, _ in CASES} == {path.stem for path in LOSSES.glob("*.h")}


@pytest.mark.parametrize("case, options", CASES, ids=[f"{case.__name__}-{options}" for case, options in CASES])
def test_loss(case, options, tmp_path):
    torch.manual_seed(int(os.environ.get("PARITY_SEED", 0)))
    real, fake = 2 * torch.randn(9, dtype=torch.float64), 2 * torch.randn(9, dtype=torch.float64)
    save_file({"real": real, "fake": fake}, tmp_path / "in.safetensors")
    subprocess.run([os.environ["LOSS_VALUES"], tmp_path / "in.safetensors", tmp_path / "out.safetensors", case.__name__,
                    *[f"{case.__name__}.{key}={value}" for key, value in options.items()]], check=True)
    ours = load_file(tmp_path / "out.safetensors")
    real.requires_grad_(True)
    fake.requires_grad_(True)
    d, g = case(real, fake, **options)
    theirs = derivatives("discriminator", d, real, fake) | derivatives("generator", g, real, fake)
    assert ours.keys() == theirs.keys()
    worst = 0
    for name, expected in theirs.items():
        error = (ours[name] - expected).norm().item() / (expected.norm().item() or 1)
        worst = max(worst, error)
        assert error <= 1e-9, f"{name} is off by {error:.1e}"
    print(f"{case.__name__} {options}: {worst:.0e}")
