"""First and second derivatives of every pair of networks against the references, whatever losses and penalties ask for.

NETWORK_DERIVATIVES is the path of the program; a network needs a line in CASES.
"""

import os
import subprocess

import pytest
import torch
from safetensors import safe_open

import reference_layers as reference
from step_comparison import RECIPES, relative_errors
from test_biggan import cifar
from test_networks import CASES as STEPS, network_names

torch.set_num_threads(1)

CASES = {
    "autoencoding": STEPS["autoencoding"],
    "biggan": cifar(),
    "biggan_deep": STEPS["biggan-deep"],
    "dcgan": STEPS["dcgan"],
    "dcgan-counted": STEPS["dcgan-counted"],
    "fully_connected": STEPS["fully-connected-classes"],
    "progressive": STEPS["progressive-fading"],
    "sngan": STEPS["sngan-classes"],
    "sagan": STEPS["sagan-64"],
    "stylegan": STEPS["stylegan-fading"],
    "stylegan2": STEPS["stylegan2"],
}


def test_every_network_has_a_case():
    assert network_names() <= CASES.keys()


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    recipe, *changes = (word for word in CASES[case].split() if not word.startswith(("perturb=", "updates=")))
    out = tmp_path / "derivatives.safetensors"
    subprocess.run([os.environ["NETWORK_DERIVATIVES"], RECIPES / f"{recipe}.cfg", out, *changes], check=True)
    with safe_open(out, framework="pt") as file:
        record = {name: file.get_tensor(name) for name in file.keys()}
        resolved = reference.read_recipe(file.metadata()["recipe"])
    theirs = {}
    for player in ("generator", "discriminator"):
        network = getattr(reference.networks_of(resolved), player.capitalize())(resolved).double()
        theirs |= derivatives_of(network, player, record)
    ours = {name: value for name, value in record.items() if name.startswith("after/")}
    worst = relative_errors(ours, theirs, negligible=1e-10)
    print(f"fp64 {case}: " + ", ".join(f"{kind} {error:.0e}" for kind, (error, _) in worst.items()))
    for kind, (error, name) in worst.items():
        assert error <= 1e-9, f"{kind}: {name} is off by {error:.2e}"


def derivatives_of(network, player, record):
    prefixes = [f"before/{player}/{kind}/" for kind in ("weight", "buffer")]
    state = {name.removeprefix(prefix): value for prefix in prefixes for name, value in record.items() if name.startswith(prefix)}
    network.load_state_dict(state, strict=True)
    for module in network.modules():
        if isinstance(module, reference.Normalised):
            module.power_step()
    x, labels, probe = (record[f"given/{player}/{name}"] for name in ("input", "labels", "probe"))
    x.requires_grad_(True)
    output = network(x, labels)
    (gradient,) = torch.autograd.grad((output * probe).sum(), x, create_graph=True)
    names, weights = zip(*network.named_parameters())
    second = torch.autograd.grad(gradient.square().sum(), weights, allow_unused=True)
    second = [torch.zeros_like(weight) if of is None else of for weight, of in zip(weights, second)]
    # That of the last bias is zero, and so are those in front of a layer that only shifts.
    assert sum(bool(of.norm() > 1e-12) for of in second) >= len(second) / 2, player
    found = {f"after/{player}/second/{name}": of for name, of in zip(names, second)}
    return found | {f"after/{player}/output": output.detach(), f"after/{player}/gradient": gradient.detach()}
