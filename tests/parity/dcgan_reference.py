"""DCGAN in plain PyTorch: the yardstick for the C++ program.

"paper": Radford et al., arXiv 1511.06434, section 3 and figure 1. "counted": the networks that PyTorch-StudioGAN
calls DCGAN, as its published parameter counts and description give them. "text": Reed et al., arXiv 1605.05396, section 4.1.
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import AffineBatchNorm, ImageNorm, Layers


class Settings:
    def __init__(self, recipe, network):
        options = recipe["dcgan"]
        self.counted = options.get("variant", "paper") == "counted"
        self.resolution, self.image_channels = options.getint("resolution", 64), options.getint("image_channels", 3)
        self.ch, self.latent = options.getint(f"{network}_channels", 128), options.getint("latent", 100)
        self.uniform = options.get("latent_distribution", "uniform") == "uniform"
        self.kernel = 4 if self.counted else options.getint("kernel", 5)
        self.eps, self.group = options.getfloat("batch_norm_eps", 1e-5), recipe["gan"].getint("batch_norm_group", 0)
        self.references = options.getint("reference_batch", 64) if options.get("generator_norm") == "virtual" else 0
        self.judge_norm, self.runs = options.get("discriminator_norm", "batch"), options.getint("norm_groups", 32)
        self.minibatch = [options.getint(f"minibatch_{what}", 0) for what in ("kernels", "width", "group")]
        self.layers = Layers(False, 1e-6)
        told = ["generator", "concatenation"] if network == "generator" else ["concatenation"]
        self.classes = options.getint("classes", 1) if options.get("conditioning", "none") in told else 0
        self.text = options.get("conditioning") == "text"
        if self.text:
            self.text_sizes = recipe["text"].getint("embedding"), recipe["text"].getint("compressed")
        self.halvings = (self.resolution // 4).bit_length() - 1

    def generator_norm(self, channels):
        return VirtualBatchNorm(channels, self.eps, self.references) if self.references else self.norm(channels)

    def norm(self, channels):
        return AffineBatchNorm(channels, self.eps, self.group)

    def discriminator_norm(self, channels):
        if self.judge_norm in ("batch", "none"):
            return self.norm(channels) if self.judge_norm == "batch" else None
        return ImageNorm(self.judge_norm, channels, self.runs, self.eps)


class VirtualBatchNorm(nn.Module):
    """Salimans et al., arXiv 1606.03498, section 3.4: of the first images by themselves, of others by those and it."""

    def __init__(self, channels, eps, references):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps, self.references = eps, references

    def forward(self, x):
        first = x[: self.references]
        batches = [first] + [torch.cat([first, image[None]]) for image in x[self.references:]]
        parts = [F.batch_norm(batch, None, None, self.weight, self.bias, training=True, eps=self.eps)
                 for batch in batches]
        return torch.cat([parts[0]] + [part[-1:] for part in parts[1:]])


class ReferenceBatch(nn.Module):
    def __init__(self, count, latent):
        super().__init__()
        self.register_buffer("z", torch.zeros(count, latent))


class MinibatchDiscrimination(nn.Module):
    """Salimans et al., section 3.2."""

    def __init__(self, features, kernels, width, group, layers):
        super().__init__()
        self.t, self.kernels, self.group = layers.linear(features, kernels * width, bias=False), kernels, group

    def forward(self, x):
        near = []
        for part in self.t(x).unflatten(1, (self.kernels, -1)).split(self.group or len(x)):
            near += [torch.exp(-(part - image).abs().sum(2)).sum(0) for image in part]
        return torch.cat([x, torch.stack(near)], dim=1)


def beside(x, labels, classes):
    """The label as a one-hot vector beside x, at each of its positions."""
    label = F.one_hot(labels, classes).to(x.dtype) if classes else x[:, :0].flatten(1)[:, :0]
    return torch.cat([x, label.view(*label.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])], dim=1)


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings = s = Settings(recipe, "generator")
        self.reference = ReferenceBatch(s.references, s.latent) if s.references else None
        steps = s.halvings if s.counted else s.halvings - 1
        widths = [s.ch << (steps - i) for i in range(steps + 1)]
        self.text = s.layers.linear(*s.text_sizes) if s.text else None
        told = s.text_sizes[1] if s.text else s.classes
        self.linear = s.layers.linear(s.latent + told, widths[0] * 16, bias=s.counted)
        self.norm = None if s.counted else s.generator_norm(widths[0])
        self.stages = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            conv, norm = s.layers.doubling(inputs, outputs, s.kernel, bias=s.counted), s.generator_norm(outputs)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"norm{i}", norm)
            self.stages.append((conv, norm))
        last = s.layers.conv if s.counted else s.layers.doubling
        self.to_image = last(widths[-1], s.image_channels, 3 if s.counted else s.kernel)

    def forward(self, z, labels):
        if self.reference:
            count = self.settings.references
            z = torch.cat([self.reference.z, z])
            labels = torch.cat([torch.arange(count) % max(self.settings.classes, 1), labels])
        if self.settings.uniform:
            z = torch.erf(z / 2**0.5)
        if self.text:
            told = torch.cat([z, F.leaky_relu(self.text(labels), 0.2)], dim=1)
        else:
            told = beside(z, labels, self.settings.classes)
        h = self.linear(told).unflatten(1, (-1, 4, 4))
        if self.norm:
            h = torch.relu(self.norm(h))
        for conv, norm in self.stages:
            h = torch.relu(norm(conv(h)))
        return torch.tanh(self.to_image(h)[self.settings.references:])


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings = s = Settings(recipe, "discriminator")
        self.stages = []
        inputs = s.image_channels + s.classes

        def add(name, conv, norm):
            self.add_module(f"conv{name}", conv)
            if norm:
                self.add_module(f"norm{name}", norm)
            self.stages.append((conv, norm))

        for i in range(s.halvings):
            outputs = s.ch << i
            if s.counted:
                add(f"{i}a", s.layers.conv(inputs, outputs, 3), s.discriminator_norm(outputs))
                add(f"{i}b", s.layers.halving(outputs, outputs, s.kernel), s.discriminator_norm(outputs))
            else:
                norm = s.discriminator_norm(outputs) if i > 0 else None
                add(str(i), s.layers.halving(inputs, outputs, s.kernel, bias=i == 0 or s.judge_norm == "none"), norm)
            inputs = outputs
        if s.counted:
            add("_last", s.layers.conv(inputs, inputs * 2, 3), s.discriminator_norm(inputs * 2))
        inputs = inputs * 2 if s.counted else inputs
        features, kernels = inputs if s.counted else inputs * 16, s.minibatch[0]
        self.text = s.layers.linear(*s.text_sizes) if s.text else None
        if s.text:
            width = inputs + s.text_sizes[1]
            self.conv_text = s.layers.conv(width, inputs, 1, bias=s.counted or s.judge_norm == "none")
            self.norm_text = s.discriminator_norm(inputs)
        self.minibatch = MinibatchDiscrimination(features, *s.minibatch, s.layers) if kernels else None
        self.linear = s.layers.linear(features + kernels, 1)

    def forward(self, x, labels):
        activation = torch.relu if self.settings.counted else lambda h: F.leaky_relu(h, 0.2)
        x = x if self.text else beside(x, labels, self.settings.classes)
        for conv, norm in self.stages:
            x = conv(x)
            x = activation(norm(x) if norm else x)
        if self.text:
            text = F.leaky_relu(self.text(labels), 0.2)[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = self.conv_text(torch.cat([x, text], dim=1))
            x = activation(self.norm_text(x) if self.norm_text else x)
        x = x.sum(dim=(2, 3)) if self.settings.counted else x.flatten(1)
        return self.linear(self.minibatch(x) if self.minibatch else x).squeeze(1)
