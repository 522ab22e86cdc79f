"""A fully connected GAN with a maxout discriminator in plain PyTorch: the yardstick for the C++ program.

Goodfellow et al., arXiv 1406.2661, section 5; maxout: arXiv 1302.4389; labels beside the inputs: Mirza and
Osindero, arXiv 1411.1784.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import Layers


def widths_of(options, key, default):
    return [int(word) for word in options.get(key, default).split(",") if word.strip()]


class Settings:
    def __init__(self, recipe, told):
        options = recipe["fully_connected"]
        self.shape = [options.getint(key, default) for key, default in
                      (("image_channels", 1), ("height", 28), ("width", 28))]
        self.pixels = math.prod(self.shape)
        self.classes = options.getint("classes") if options.get("conditioning", "none") in told else 0
        self.layers = Layers(False, 1e-6)

    def join(self, x, labels):
        return torch.cat([x, F.one_hot(labels, self.classes).to(x.dtype)], dim=1) if self.classes else x


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings, options = Settings(recipe, ["concatenation", "generator"]), recipe["fully_connected"]
        self.uniform = options.get("latent_distribution", "uniform") == "uniform"
        self.tanh = options.get("output", "tanh") == "tanh"
        self.stages, inputs = [], options.getint("latent", 100) + self.settings.classes
        for i, width in enumerate(widths_of(options, "generator_widths", "1200, 1200")):
            self.stages.append(self.settings.layers.linear(inputs, width))
            self.add_module(f"linear{i}", self.stages[-1])
            inputs = width
        self.to_image = self.settings.layers.linear(inputs, self.settings.pixels)

    def forward(self, z, labels):
        h = self.settings.join(torch.erf(z / 2**0.5) if self.uniform else z, labels)
        for stage in self.stages:
            h = torch.relu(stage(h))
        h = self.to_image(h).unflatten(1, self.settings.shape)
        return torch.tanh(h) if self.tanh else h


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings, options = Settings(recipe, ["concatenation"]), recipe["fully_connected"]
        self.pieces, inputs, self.stages = options.getint("pieces", 5), self.settings.pixels + self.settings.classes, []
        for i, width in enumerate(widths_of(options, "discriminator_widths", "240, 240")):
            self.stages.append(self.settings.layers.linear(inputs, width * self.pieces))
            self.add_module(f"linear{i}", self.stages[-1])
            inputs = width
        self.linear = self.settings.layers.linear(inputs, 1)

    def forward(self, x, labels):
        h = self.settings.join(x.flatten(1), labels)
        for stage in self.stages:
            h = torch.stack(stage(h).split(stage.weight.shape[0] // self.pieces, dim=1)).amax(0)
        return self.linear(h).squeeze(1)
