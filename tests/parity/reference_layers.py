"""Layers in plain PyTorch that the reference networks share: the yardstick for models/layers.

Readable rather than fast, and sharing nothing with the code under test but the names of modules, so that weights can
be handed over by name. A reference network is a module <gan.network>_reference with Generator(recipe) and
Discriminator(recipe).

N images, C channels, H height, W width. Images lie in [-1, 1].
"""

import configparser
import importlib
import math

import torch
import torch.nn.functional as F
from torch import nn


def read_recipe(text):
    recipe = configparser.ConfigParser(inline_comment_prefixes=("#",))
    recipe.read_string(text)
    return recipe


def attention_resolutions(options):
    return [int(word) for word in options.get("attention", "").split(",") if word.strip()]


def networks_of(recipe):
    """The module that holds the recipe's reference networks."""
    return importlib.import_module(f"{recipe['gan']['network']}_reference")


def parameter_counts(recipe):
    """{"generator": ..., "discriminator": ...}, from networks without memory."""
    with torch.device("meta"):
        module = networks_of(recipe)
        networks = {"generator": module.Generator(recipe), "discriminator": module.Discriminator(recipe)}
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}


class Normalised(nn.Module):
    """A weight divided by an estimate of its largest singular value, which one power step improves."""

    def __init__(self, shape, bias, spectral_norm, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(shape[0])) if bias else None
        self.spectral_norm, self.eps = spectral_norm, eps
        if spectral_norm:
            self.register_buffer("u", torch.empty(shape[0]))

    @torch.no_grad()
    def power_step(self):
        if self.spectral_norm:
            matrix = self.weight.flatten(1)
            self.v = F.normalize(matrix.t() @ self.u, dim=0, eps=self.eps)
            self.u.copy_(F.normalize(matrix @ self.v, dim=0, eps=self.eps))

    def normalised_weight(self):
        if not self.spectral_norm:
            return self.weight
        return self.weight / (self.u.clone() @ self.weight.flatten(1) @ self.v)


class Layers:
    """Makes the layers of one network: they share spectral norm's settings."""

    def __init__(self, spectral_norm, eps):
        self.settings = (spectral_norm, eps)

    def conv(self, inputs, outputs, kernel, bias=True):
        return Conv((outputs, inputs, kernel, kernel), bias, *self.settings)

    def linear(self, inputs, outputs, bias=True):
        return Linear((outputs, inputs), bias, *self.settings)

    def halving(self, inputs, outputs, kernel, bias=True):
        return Halving((outputs, inputs, kernel, kernel), bias, *self.settings)

    def doubling(self, inputs, outputs, kernel, bias=True):
        return Doubling(inputs, outputs, kernel, bias)

    def embedding(self, count, width):
        return Embedding((count, width), False, *self.settings)


class Conv(Normalised):
    def forward(self, x):
        return F.conv2d(x, self.normalised_weight(), self.bias, padding=self.weight.shape[-1] // 2)


class Halving(Normalised):
    """A convolution of stride 2."""

    def forward(self, x):
        return F.conv2d(x, self.normalised_weight(), self.bias, stride=2, padding=(self.weight.shape[-1] - 1) // 2)


class Doubling(nn.ConvTranspose2d):
    """A fractionally strided convolution; its weight is [in, out, k, k]."""

    def __init__(self, inputs, outputs, kernel, bias):
        super().__init__(inputs, outputs, kernel, 2, (kernel - 1) // 2, kernel % 2, bias=bias)


class Linear(Normalised):
    def forward(self, x):
        return F.linear(x, self.normalised_weight(), self.bias)


class Embedding(Normalised):
    def forward(self, labels):
        return F.embedding(labels, self.normalised_weight())


class Equalised(nn.Module):
    """The weight is stored divided by what is multiplied here: gain / sqrt(fan in)."""

    def __init__(self, shape, gain):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(shape)), nn.Parameter(torch.zeros(shape[0]))
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def forward(self, x):
        if self.weight.dim() == 2:
            return F.linear(x, self.weight * self.scale, self.bias)
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=self.weight.shape[-1] // 2)


class Attention(nn.Module):
    """Self-attention over positions; keys and values are max-pooled."""

    def __init__(self, channels, layers):
        super().__init__()
        self.theta = layers.conv(channels, channels // 8, 1, bias=False)
        self.phi = layers.conv(channels, channels // 8, 1, bias=False)
        self.g = layers.conv(channels, channels // 2, 1, bias=False)
        self.o = layers.conv(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2).flatten(2)
        value = F.max_pool2d(self.g(x), 2).flatten(2)
        weights = torch.softmax(torch.einsum("ncq,nck->nqk", query, key), dim=2)
        mixed = torch.einsum("nck,nqk->ncq", value, weights)
        return x + self.gamma * self.o(mixed.unflatten(2, x.shape[2:]))


class BatchNorm(nn.Module):
    """Normalisation as torch.nn.BatchNorm2d trains, over groups of consecutive images; gain and bias come after."""

    def __init__(self, channels, eps, group):
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.eps, self.group = eps, group

    def normalise(self, x):
        parts, means, variances = [], [], []
        for part in x.split(self.group or len(x)):
            means.append(self.running_mean.clone())
            variances.append(self.running_var.clone())
            parts.append(F.batch_norm(part, means[-1], variances[-1], training=True, momentum=0.1, eps=self.eps))
        self.running_mean.copy_(torch.stack(means).mean(0))
        self.running_var.copy_(torch.stack(variances).mean(0))
        return torch.cat(parts)


class AffineBatchNorm(BatchNorm):
    def __init__(self, channels, eps, group):
        super().__init__(channels, eps, group)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.normalise(x) * self.weight[:, None, None] + self.bias[:, None, None]


class ConditionalBatchNorm(BatchNorm):
    def __init__(self, channels, condition, eps, group, layers):
        super().__init__(channels, eps, group)
        self.gain = layers.linear(condition, channels, bias=False)
        self.bias = layers.linear(condition, channels, bias=False)

    def forward(self, x, condition):
        return self.normalise(x) * (1 + self.gain(condition))[..., None, None] + self.bias(condition)[..., None, None]


class ClassBatchNorm(BatchNorm):
    """A gain and a bias for each class."""

    def __init__(self, channels, classes, eps, group):
        super().__init__(channels, eps, group)
        self.gain = nn.Parameter(torch.ones(classes, channels))
        self.bias = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x, labels):
        return self.normalise(x) * self.gain[labels][..., None, None] + self.bias[labels][..., None, None]


class ImageNorm(nn.Module):
    """Each image by itself: all of it ("layer"), each channel ("instance"), or runs of channels ("group")."""

    def __init__(self, kind, channels, groups, eps):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.runs, self.eps = {"layer": 1, "instance": channels, "group": groups}[kind], eps

    def forward(self, x):
        runs = x.reshape(len(x), self.runs, -1)
        away = runs - runs.mean(dim=2, keepdim=True)
        y = (away / (away.square().mean(dim=2, keepdim=True) + self.eps).sqrt()).view_as(x)
        return y * self.weight[:, None, None] + self.bias[:, None, None]


def double(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")
