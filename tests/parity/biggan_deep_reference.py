"""BigGAN-deep in plain PyTorch: the yardstick for the C++ program.

Brock et al., arXiv 1809.11096, appendix B, figure 16 and tables 7 to 9.
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import AffineBatchNorm, Attention, ConditionalBatchNorm, Layers, attention_resolutions, double

# Widths in units of ch at 4x4, 8x8, ...; each resolution has two blocks, the second of which G doubles in.
GENERATOR_PLAN = {
    32: [4, 4, 4, 4],
    64: [16, 16, 8, 4, 2],
    128: [16, 16, 8, 4, 2, 1],
    256: [16, 16, 8, 8, 4, 2, 1],
    512: [16, 16, 8, 8, 4, 2, 1, 1],
}
# D's, from the image down; it halves in the first of two blocks.
DISCRIMINATOR_PLAN = {
    32: ([4, 4, 4, 4], 2),
    64: ([1, 2, 4, 8, 16], 4),
    128: ([1, 2, 4, 8, 16, 16], 5),
    256: ([1, 2, 4, 8, 8, 16, 16], 6),
    512: ([1, 1, 2, 4, 8, 8, 16, 16], 7),
}


class Block(nn.Module):
    """The bottleneck of both networks: 1x1, 3x3, 3x3, 1x1, a quarter as wide inside as its wider end."""

    def add_convolutions(self, inputs, hidden, outputs, layers):
        self.conv1, self.conv4 = layers.conv(inputs, hidden, 1), layers.conv(hidden, outputs, 1)
        self.conv2, self.conv3 = layers.conv(hidden, hidden, 3), layers.conv(hidden, hidden, 3)


class GeneratorBlock(Block):
    def __init__(self, inputs, outputs, upsample, norm, layers):
        super().__init__()
        self.outputs, self.upsample = outputs, upsample
        hidden = inputs // 4
        self.add_convolutions(inputs, hidden, outputs, layers)
        self.norm1 = norm(inputs)
        self.norm2, self.norm3, self.norm4 = norm(hidden), norm(hidden), norm(hidden)

    def forward(self, x, condition):
        resize = double if self.upsample else lambda t: t
        h = self.conv1(torch.relu(self.norm1(x, condition)))
        h = self.conv2(resize(torch.relu(self.norm2(h, condition))))
        h = self.conv3(torch.relu(self.norm3(h, condition)))
        h = self.conv4(torch.relu(self.norm4(h, condition)))
        return h + resize(x[:, : self.outputs])


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        options = recipe["biggan_deep"]
        resolution, ch = options.getint("resolution"), options.getint("generator_channels")
        latent, shared = options.getint("latent", 128), options.getint("shared", 128)
        eps, group = options.getfloat("batch_norm_eps", 1e-5), recipe["gan"].getint("batch_norm_group", 0)
        sn_eps = options.getfloat("spectral_norm_eps", 1e-6)
        layers = Layers(options.getboolean("generator_spectral_norm", True), sn_eps)
        norm = lambda channels: ConditionalBatchNorm(channels, latent + shared, eps, group, layers)
        widths = [ch * factor for factor in GENERATOR_PLAN[resolution]]
        self.shared = Layers(False, sn_eps).embedding(options.getint("classes"), shared)
        self.linear = layers.linear(latent + shared, widths[0] * 16)
        self.stages = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            for name, block in (("a", GeneratorBlock(inputs, inputs, False, norm, layers)),
                                ("b", GeneratorBlock(inputs, outputs, True, norm, layers))):
                self.add_module(f"block{i}{name}", block)
                self.stages.append(block)
            if 8 << i in attention_resolutions(options):
                attention = Attention(outputs, layers)
                self.add_module(f"attention{i}", attention)
                self.stages.append(lambda x, condition, attention=attention: attention(x))
        self.norm = AffineBatchNorm(widths[-1], eps, group)
        self.to_image = layers.conv(widths[-1], options.getint("image_channels"), 3)

    def forward(self, z, labels):
        condition = torch.cat([self.shared(labels), z], dim=1)
        h = self.linear(condition).unflatten(1, (-1, 4, 4))
        for stage in self.stages:
            h = stage(h, condition)
        return torch.tanh(self.to_image(torch.relu(self.norm(h))))


class DiscriminatorBlock(Block):
    """What the shortcut lacks in channels a 1x1 convolution of it adds."""

    def __init__(self, inputs, outputs, halve, layers):
        super().__init__()
        self.halve = halve
        self.add_convolutions(inputs, outputs // 4, outputs, layers)
        self.shortcut = layers.conv(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x):
        pool = (lambda t: F.avg_pool2d(t, 2)) if self.halve else (lambda t: t)
        h = self.conv2(torch.relu(self.conv1(torch.relu(x))))
        h = self.conv4(pool(torch.relu(self.conv3(torch.relu(h)))))
        x = pool(x)
        return h + (torch.cat([x, self.shortcut(x)], dim=1) if self.shortcut else x)


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        options = recipe["biggan_deep"]
        resolution, ch = options.getint("resolution"), options.getint("discriminator_channels")
        layers = Layers(options.getboolean("discriminator_spectral_norm", True),
                        options.getfloat("spectral_norm_eps", 1e-6))
        factors, halvings = DISCRIMINATOR_PLAN[resolution]
        widths = [ch * factor for factor in factors]
        self.from_image = layers.conv(options.getint("image_channels"), widths[0], 3)
        self.stages = []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            halve = i < halvings
            for name, block in (("a", DiscriminatorBlock(inputs, outputs, halve, layers)),
                                ("b", DiscriminatorBlock(outputs, outputs, False, layers))):
                self.add_module(f"block{i}{name}", block)
                self.stages.append(block)
            resolution = resolution // 2 if halve else resolution
            if halve and resolution in attention_resolutions(options):
                attention = Attention(outputs, layers)
                self.add_module(f"attention{i}", attention)
                self.stages.append(attention)
        self.linear = layers.linear(widths[-1], 1)
        self.embed = layers.embedding(options.getint("classes"), widths[-1])

    def forward(self, x, labels):
        h = self.from_image(x)
        for stage in self.stages:
            h = stage(h)
        h = torch.relu(h).sum(dim=(2, 3))
        return self.linear(h).squeeze(1) + (self.embed(labels) * h).sum(1)
