"""BigGAN in plain PyTorch: the yardstick for the C++ program.

Brock et al., arXiv 1809.11096, appendix B; the plans of channels are those of the authors' PyTorch release. Readable
rather than fast, and sharing nothing with the code under test but the names of modules, so that weights can be
handed over by name.

N images, C channels, H height, W width. Images lie in [-1, 1].
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import AffineBatchNorm, Attention, ConditionalBatchNorm, Layers, attention_resolutions, double

# Widths in units of ch. G: its first map, then the output of each block, all of which double the resolution.
GENERATOR_PLAN = {
    32: [4, 4, 4, 4],
    64: [16, 16, 8, 4, 2],
    128: [16, 16, 8, 4, 2, 1],
    256: [16, 16, 8, 8, 4, 2, 1],
    512: [16, 16, 8, 8, 4, 2, 1, 1],
}
# D: the output of each block, and whether the block halves the resolution.
DISCRIMINATOR_PLAN = {
    32: ([4, 4, 4, 4], [True, True, False, False]),
    64: ([1, 2, 4, 8, 16], [True] * 4 + [False]),
    128: ([1, 2, 4, 8, 16, 16], [True] * 5 + [False]),
    256: ([1, 2, 4, 8, 8, 16, 16], [True] * 6 + [False]),
    512: ([1, 1, 2, 4, 8, 8, 16, 16], [True] * 7 + [False]),
}


class GeneratorBlock(nn.Module):
    def __init__(self, inputs, outputs, condition, eps, group, layers):
        super().__init__()
        self.norm1 = ConditionalBatchNorm(inputs, condition, eps, group, layers)
        self.conv1 = layers.conv(inputs, outputs, 3)
        self.norm2 = ConditionalBatchNorm(outputs, condition, eps, group, layers)
        self.conv2 = layers.conv(outputs, outputs, 3)
        self.shortcut = layers.conv(inputs, outputs, 1)

    def forward(self, x, condition):
        h = self.conv1(double(torch.relu(self.norm1(x, condition))))
        h = self.conv2(torch.relu(self.norm2(h, condition)))
        return h + self.shortcut(double(x))


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        options = recipe["biggan"]
        resolution, ch = options.getint("resolution"), options.getint("generator_channels")
        widths = [ch * factor for factor in GENERATOR_PLAN[resolution]]
        self.chunk, shared = options.getint("chunk"), options.getint("shared")
        eps, group = options.getfloat("batch_norm_eps", 1e-5), recipe["gan"].getint("batch_norm_group", 0)
        sn_eps = options.getfloat("spectral_norm_eps", 1e-6)
        layers = Layers(options.getboolean("generator_spectral_norm", True), sn_eps)
        # The class embedding is a plain table.
        self.shared = Layers(False, sn_eps).embedding(options.getint("classes"), shared)
        self.linear = layers.linear(self.chunk, widths[0] * 16)
        self.blocks, self.attentions = [], []
        for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
            block = GeneratorBlock(inputs, outputs, shared + self.chunk, eps, group, layers)
            self.add_module(f"block{i}", block)
            self.blocks.append(block)
            attention = None
            if 8 << i in attention_resolutions(options):
                attention = Attention(outputs, layers)
                self.add_module(f"attention{i}", attention)
            self.attentions.append(attention)
        self.norm = AffineBatchNorm(widths[-1], eps, group)
        self.to_image = layers.conv(widths[-1], options.getint("image_channels"), 3)

    def forward(self, z, labels):
        embedded = self.shared(labels)
        first, *rest = z.split(self.chunk, dim=1)
        h = self.linear(first).unflatten(1, (-1, 4, 4))
        for block, attention, chunk in zip(self.blocks, self.attentions, rest, strict=True):
            h = block(h, torch.cat([embedded, chunk], dim=1))
            if attention:
                h = attention(h)
        return torch.tanh(self.to_image(torch.relu(self.norm(h))))


class DiscriminatorBlock(nn.Module):
    """The first block has no ReLU in front and pools the image before its 1x1 shortcut; the others after."""

    def __init__(self, inputs, outputs, first, halve, layers):
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = layers.conv(inputs, outputs, 3)
        self.conv2 = layers.conv(outputs, outputs, 3)
        self.shortcut = layers.conv(inputs, outputs, 1) if halve or inputs != outputs else nn.Identity()

    def forward(self, x):
        pool = (lambda t: F.avg_pool2d(t, 2)) if self.halve else (lambda t: t)
        h = pool(self.conv2(torch.relu(self.conv1(x if self.first else torch.relu(x)))))
        return h + (self.shortcut(pool(x)) if self.first else pool(self.shortcut(x)))


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        options = recipe["biggan"]
        resolution, ch = options.getint("resolution"), options.getint("discriminator_channels")
        layers = Layers(options.getboolean("discriminator_spectral_norm", True),
                        options.getfloat("spectral_norm_eps", 1e-6))
        inputs = options.getint("image_channels")
        self.stages = []
        for i, (factor, halve) in enumerate(zip(*DISCRIMINATOR_PLAN[resolution], strict=True)):
            block = DiscriminatorBlock(inputs, factor * ch, i == 0, halve, layers)
            self.add_module(f"block{i}", block)
            self.stages.append(block)
            inputs = factor * ch
            resolution = resolution // 2 if halve else resolution
            if halve and resolution in attention_resolutions(options):
                attention = Attention(inputs, layers)
                self.add_module(f"attention{i}", attention)
                self.stages.append(attention)
        self.linear = layers.linear(inputs, 1)
        self.embed = layers.embedding(options.getint("classes"), inputs)

    def forward(self, x, labels):
        for stage in self.stages:
            x = stage(x)
        h = torch.relu(x).sum(dim=(2, 3))
        return self.linear(h).squeeze(1) + torch.einsum("nc,nc->n", self.embed(labels), h)
