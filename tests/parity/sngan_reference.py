"""SNGAN's residual networks in plain PyTorch: the yardstick for the C++ program.

Miyato et al., arXiv 1802.05957, appendix B.4; with classes (cGAN with projection), Miyato and Koyama, arXiv
1802.05637; with attention, Zhang et al., arXiv 1805.08318.
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import AffineBatchNorm, Attention, ClassBatchNorm, ImageNorm, Layers, attention_resolutions

GENERATOR_PLAN = {32: [1, 1, 1, 1], 64: [16, 8, 4, 2, 1], 128: [16, 16, 8, 4, 2, 1]}
DISCRIMINATOR_PLAN = {
    32: ([1, 1, 1, 1], [True, True, False, False]),
    64: ([1, 2, 4, 8, 16], [True] * 5),
    128: ([1, 2, 4, 8, 16, 16], [True] * 5 + [False]),
}


class Settings:
    def __init__(self, recipe, network):
        options = recipe["sngan"]
        self.resolution, self.image_channels = options.getint("resolution", 32), options.getint("image_channels", 3)
        self.ch, self.latent = options.getint(f"{network}_channels"), options.getint("latent", 128)
        self.classes = options.getint("classes") if options.get("conditioning", "none") != "none" else 0
        self.judged_classes = 0 if options.get("conditioning", "none") == "generator" else self.classes
        self.mode = options.get("upsampling", "bilinear")
        self.attention = attention_resolutions(options)
        self.layers = Layers(options.getboolean(f"{network}_spectral_norm", network == "discriminator"),
                             options.getfloat("spectral_norm_eps", 1e-6))
        self.eps, self.group = options.getfloat("batch_norm_eps", 1e-5), recipe["gan"].getint("batch_norm_group", 0)

        self.judge_norm, self.runs = options.get("discriminator_norm", "none"), options.getint("norm_groups", 32)

    def discriminator_norm(self, channels):
        return nn.Identity() if self.judge_norm == "none" else ImageNorm(self.judge_norm, channels, self.runs, 1e-5)

    def norm(self, channels):
        if self.classes:
            return ClassBatchNorm(channels, self.classes, self.eps, self.group)
        return Unconditional(channels, self.eps, self.group)

    def larger(self, x):
        settings = {} if self.mode == "nearest" else {"align_corners": False}
        return F.interpolate(x, scale_factor=2, mode=self.mode, **settings)


class Unconditional(AffineBatchNorm):
    def forward(self, x, labels):
        return super().forward(x)


class GeneratorBlock(nn.Module):
    def __init__(self, inputs, outputs, settings):
        super().__init__()
        self.larger = settings.larger
        self.norm1, self.norm2 = settings.norm(inputs), settings.norm(outputs)
        self.conv1 = settings.layers.conv(inputs, outputs, 3)
        self.conv2 = settings.layers.conv(outputs, outputs, 3)
        self.shortcut = settings.layers.conv(inputs, outputs, 1)

    def forward(self, x, labels):
        h = self.conv1(self.larger(torch.relu(self.norm1(x, labels))))
        return self.conv2(torch.relu(self.norm2(h, labels))) + self.shortcut(self.larger(x))


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        settings = Settings(recipe, "generator")
        widths = [settings.ch * factor for factor in GENERATOR_PLAN[settings.resolution]]
        self.linear = settings.layers.linear(settings.latent, widths[0] * 16)
        self.stages = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            block = GeneratorBlock(inputs, outputs, settings)
            self.add_module(f"block{i}", block)
            self.stages.append(block)
            if 8 << i in settings.attention:
                attention = Attention(outputs, settings.layers)
                self.add_module(f"attention{i}", attention)
                self.stages.append(lambda x, labels, attention=attention: attention(x))
        self.norm = AffineBatchNorm(widths[-1], settings.eps, settings.group)
        self.to_image = settings.layers.conv(widths[-1], settings.image_channels, 3)

    def forward(self, z, labels):
        h = self.linear(z).unflatten(1, (-1, 4, 4))
        for stage in self.stages:
            h = stage(h, labels)
        return torch.tanh(self.to_image(torch.relu(self.norm(h))))


class DiscriminatorBlock(nn.Module):
    """As wide inside as what comes in, but the first: it is as wide as what goes out and sees the image itself."""

    def __init__(self, inputs, outputs, first, halve, settings):
        super().__init__()
        self.first, self.halve = first, halve
        hidden, layers = outputs if first else inputs, settings.layers
        self.norm1, self.norm2 = (nn.Identity() if first else settings.discriminator_norm(c) for c in (inputs, hidden))
        self.conv1, self.conv2 = layers.conv(inputs, hidden, 3), layers.conv(hidden, outputs, 3)
        self.shortcut = layers.conv(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()

    def forward(self, x):
        pool = (lambda t: F.avg_pool2d(t, 2)) if self.halve else (lambda t: t)
        h = pool(self.conv2(torch.relu(self.norm2(self.conv1(x if self.first else torch.relu(self.norm1(x)))))))
        return h + (self.shortcut(pool(x)) if self.first else pool(self.shortcut(x)))


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        settings = Settings(recipe, "discriminator")
        resolution, inputs = settings.resolution, settings.image_channels
        self.stages = []
        for i, (factor, halve) in enumerate(zip(*DISCRIMINATOR_PLAN[resolution], strict=True)):
            outputs = factor * settings.ch
            block = DiscriminatorBlock(inputs, outputs, i == 0, halve, settings)
            self.add_module(f"block{i}", block)
            self.stages.append(block)
            inputs, resolution = outputs, resolution // 2 if halve else resolution
            if halve and resolution in settings.attention:
                attention = Attention(inputs, settings.layers)
                self.add_module(f"attention{i}", attention)
                self.stages.append(attention)
        self.linear = settings.layers.linear(inputs, 1)
        self.embed = settings.layers.embedding(settings.judged_classes, inputs) if settings.judged_classes else None

    def forward(self, x, labels):
        for stage in self.stages:
            x = stage(x)
        h = torch.relu(x).sum(dim=(2, 3))
        logits = self.linear(h).squeeze(1)
        return logits if self.embed is None else logits + (self.embed(labels) * h).sum(1)
