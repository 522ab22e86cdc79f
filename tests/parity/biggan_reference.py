"""BigGAN in plain PyTorch: the yardstick for the C++ program.

Brock et al., arXiv 1809.11096, appendix B; the plans of channels are those of the authors' PyTorch release. Readable
rather than fast, and sharing nothing with the code under test but the names of modules, so that weights can be
handed over by name.

N images, C channels, H height, W width. Images lie in [-1, 1].
"""

import configparser

import torch
import torch.nn.functional as F
from torch import nn

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


def read_recipe(text):
    recipe = configparser.ConfigParser(inline_comment_prefixes=("#",))
    recipe.read_string(text)
    return recipe


def attention_resolutions(options):
    return [int(word) for word in options.get("attention", "").split(",") if word.strip()]


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

    def embedding(self, count, width):
        return Embedding((count, width), False, *self.settings)


class Conv(Normalised):
    def forward(self, x):
        return F.conv2d(x, self.normalised_weight(), self.bias, padding=self.weight.shape[-1] // 2)


class Linear(Normalised):
    def forward(self, x):
        return F.linear(x, self.normalised_weight(), self.bias)


class Embedding(Normalised):
    def forward(self, labels):
        return F.embedding(labels, self.normalised_weight())


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


def double(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


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


def parameter_counts(recipe):
    """{"generator": ..., "discriminator": ...}, from networks without memory."""
    with torch.device("meta"):
        networks = {"generator": Generator(recipe), "discriminator": Discriminator(recipe)}
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}
