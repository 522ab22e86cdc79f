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


def began(real, fake, features, state):
    """Berthelot et al., 1703.10717, section 3.4; logits are minus the autoencoder's errors."""
    return -real - state * -fake, -fake


def boundary_seeking(real, fake, features, state):
    """Hjelm et al., 1702.08431: G minimises (log D(G(z)) - log(1 - D(G(z))))^2 / 2."""
    probability = 1 / (1 + torch.exp(-fake))
    return entropy(real, 1) + entropy(fake, 0), (torch.log(probability) - torch.log(1 - probability)) ** 2 / 2


def ebgan(real, fake, features, state, margin=1.0, pull_away=0.1):
    """Zhao et al., 1609.03126, equations 1, 2 and 4; logits are minus energies. Each image's part of N f_PT."""
    count = len(fake)
    cosines = torch.nn.functional.cosine_similarity(features[:, None], features[None], dim=2)
    others = cosines[~torch.eye(count, dtype=torch.bool)].view(count, count - 1)
    energy = -fake
    return -real + torch.relu(margin - energy), energy + pull_away * (others**2).sum(1) / (count - 1)


def hinge(real, fake, features, state):
    """Miyato et al., 1802.05957, equations 16 and 17, as losses."""
    d = -torch.minimum(torch.zeros_like(real), real - 1) - torch.minimum(torch.zeros_like(fake), -fake - 1)
    return d, -fake


def logistic(real, fake, features, state, real_target=1.0):
    """Goodfellow et al., 1406.2661, section 3: G maximises log D(G(z)). Smoothing: Salimans et al., 1606.03498, 3.4."""
    return entropy(real, real_target) + entropy(fake, 0), entropy(fake, 1)


def minimax(real, fake, features, state, real_target=1.0):
    """Goodfellow et al., 1406.2661, equation 1: G minimises log(1 - D(G(z)))."""
    return entropy(real, real_target) + entropy(fake, 0), -entropy(fake, 0)


def lsgan(real, fake, features, state, a=0.0, b=1.0, c=1.0):
    """Mao et al., 1611.04076, equation 2."""
    return 0.5 * (real - b) ** 2 + 0.5 * (fake - a) ** 2, 0.5 * (fake - c) ** 2


def relativistic(real, fake, features, state):
    """Jolicoeur-Martineau, 1807.00734, RSGAN."""
    return entropy(real - fake, 1), entropy(fake - real, 1)


def relativistic_average(real, fake, features, state):
    """Jolicoeur-Martineau, 1807.00734, RaSGAN."""
    real_more, fake_more = real - fake.mean(), fake - real.mean()
    return entropy(real_more, 1) + entropy(fake_more, 0), entropy(fake_more, 1) + entropy(real_more, 0)


def wasserstein(real, fake, features, state):
    """Arjovsky et al., 1701.07875, equation 3: the critic maximises f(x) - f(G(z))."""
    return -(real - fake), -fake


CASES = [
    (began, {}),
    (boundary_seeking, {}),
    (ebgan, {}),
    (ebgan, {"margin": 2.5, "pull_away": 3.0}),
    (ebgan, {"pull_away": 0.0}),
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


def derivatives(part, each, inputs):
    value = (each * torch.arange(1, len(each) + 1)).sum()
    first = {name: gradient(value, by) for name, by in inputs.items()}
    bent = sum(by.sin().sum() for by in first.values())
    found = {part: each}
    found |= {f"{part}.{name}": by for name, by in first.items()}
    found |= {f"{part}.second.{name}": gradient(bent, by) for name, by in inputs.items()}
    return {name: tensor.detach() for name, tensor in found.items()}


def test_every_loss_has_a_case():
    assert {case.__name__ for case, _ in CASES} == {path.stem for path in LOSSES.glob("*.h")}


@pytest.mark.parametrize("case, options", CASES, ids=[f"{case.__name__}-{options}" for case, options in CASES])
def test_loss(case, options, tmp_path):
    torch.manual_seed(int(os.environ.get("PARITY_SEED", 0)))
    draw = lambda *shape: 2 * torch.randn(*shape, dtype=torch.float64)
    inputs = {"real": draw(9), "fake": draw(9), "features": draw(9, 4)}
    state = torch.full((1,), 0.3, dtype=torch.float64)
    save_file(inputs | {"state": state}, tmp_path / "in.safetensors")
    subprocess.run([os.environ["LOSS_VALUES"], tmp_path / "in.safetensors", tmp_path / "out.safetensors", case.__name__,
                    *[f"{case.__name__}.{key}={value}" for key, value in options.items()]], check=True)
    ours = load_file(tmp_path / "out.safetensors")
    for tensor in inputs.values():
        tensor.requires_grad_(True)
    d, g = case(**inputs, state=state, **options)
    theirs = derivatives("discriminator", d, inputs) | derivatives("generator", g, inputs)
    assert ours.keys() == theirs.keys()
    worst = 0
    for name, expected in theirs.items():
        error = (ours[name] - expected).norm().item() / (expected.norm().item() or 1)
        worst = max(worst, error)
        assert error <= 1e-9, f"{name} is off by {error:.1e}"
    print(f"{case.__name__} {options}: {worst:.0e}")
