"""Auxiliary tasks of a discriminator in plain PyTorch: what their references share.

A task is a module <gan.auxiliary>_auxiliary with a class Auxiliary(recipe): outputs(recipe), verdict(logits, outputs),
discriminator(real, fake) and generator(fake) one number an image (or None), figures(real, fake) one number an image by
name. It also has CASES and REFUSED, which test_auxiliaries.py runs.
"""

import importlib
from typing import NamedTuple

import torch
from torch import nn

from reference_layers import Equalised, Layers, networks_of

STEP = "train.batch=8 train.accumulate=1 gan.d_steps=1 generator.ema=0.9 generator.ema_start=0 perturb=0.1 updates=6"
ARGUMENTS = {
    "dcgan": f"{STEP} dcgan.generator_channels=4 dcgan.discriminator_channels=4 dcgan.latent=15",
    "progressive": f"{STEP} progressive.channel_base=64 progressive.most_channels=12 progressive.latent=15"
                  " growth.from=0 gan.drift=0 gan.gradient_penalty_target=1",
    "stylegan": f"{STEP} stylegan.channel_base=64 stylegan.most_channels=12 stylegan.latent=15 stylegan.style=9"
                " stylegan.noise=fixed stylegan.style_mixing=0 stylegan.deviation_group=4 growth.from=0",
}


class View(NamedTuple):
    outputs: torch.Tensor
    labels: torch.Tensor
    z: torch.Tensor | None = None


def entropy(outputs, labels):
    """In nats, one number an image."""
    probabilities = torch.exp(outputs) / torch.exp(outputs).sum(1, keepdim=True)
    return -torch.log(probabilities[range(len(labels)), labels])


def hits(outputs, labels):
    return (outputs.argmax(1) == labels).double()


def auxiliary_of(recipe):
    """The recipe's auxiliary task, or None."""
    name = recipe["gan"].get("auxiliary", "none")
    return None if name == "none" else importlib.import_module(f"{name}_auxiliary").Auxiliary(recipe)


class Headed(nn.Module):
    """A discriminator with a linear map on its last layer's input; `outputs` is what that said last."""

    def __init__(self, recipe, task):
        super().__init__()
        self.body, self.task = networks_of(recipe).Discriminator(recipe), task
        self.body.linear.register_forward_pre_hook(self.keep)
        features = self.body.linear.weight.shape[1]
        equalised = recipe["gan"]["network"] in ("progressive", "stylegan", "stylegan2")
        outputs = task.outputs(recipe)
        self.head = Equalised((outputs, features), 1) if equalised else Layers(False, 1e-6).linear(features, outputs)

    def keep(self, _, inputs):
        (self.features,) = inputs

    def forward(self, x, labels):
        logits = self.body(x, labels)
        self.outputs = self.head(self.features)
        return self.task.verdict(logits, self.outputs)


def discriminator_of(recipe, task):
    return Headed(recipe, task) if task else networks_of(recipe).Discriminator(recipe)
