"""BEGAN's networks (Berthelot et al., arXiv 1703.10717, figure 1) in plain PyTorch: the yardstick for the C++ program."""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import Layers


class Settings:
    def __init__(self, recipe):
        options = recipe["autoencoding"]
        self.n, self.latent = options.getint("channels", 64), options.getint("latent", 64)
        self.image_channels = options.getint("image_channels", 3)
        self.levels = options.getint("resolution", 32).bit_length() - 3
        self.squares = options.get("error", "l1") == "l2"
        self.layers = Layers(False, 1e-6)


class Decoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.n, self.count = s.n, 2 * s.levels
        self.linear = s.layers.linear(s.latent, 64 * s.n)
        for i in range(self.count):
            self.add_module(f"conv{i}", s.layers.conv(s.n, s.n, 3))
        self.to_image = s.layers.conv(s.n, s.image_channels, 3)

    def forward(self, code):
        h = self.linear(code).view(-1, self.n, 8, 8)
        for i in range(self.count):
            if i in range(2, self.count, 2):
                h = F.interpolate(h, scale_factor=2, mode="nearest")
            h = F.elu(getattr(self, f"conv{i}")(h))
        return self.to_image(h)


class Encoder(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.levels = s.levels
        self.from_image = s.layers.conv(s.image_channels, s.n, 3)
        for level in range(s.levels):
            width, wider = (level + 1) * s.n, min(level + 2, s.levels) * s.n
            self.add_module(f"conv{2 * level}", s.layers.conv(width, width, 3))
            self.add_module(f"conv{2 * level + 1}", s.layers.conv(width, wider, 3))
        self.linear = s.layers.linear(s.levels * s.n * 64, s.latent)

    def forward(self, x):
        h = F.elu(self.from_image(x))
        for level in range(self.levels):
            h = F.elu(getattr(self, f"conv{2 * level}")(h))
            h = getattr(self, f"conv{2 * level + 1}")(h)
            h = F.elu(F.avg_pool2d(h, 2) if level + 1 < self.levels else h)
        return self.linear(h.flatten(1))


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.decoder = Decoder(Settings(recipe))

    def forward(self, z, labels):
        return self.decoder(z)


class Discriminator(nn.Module):
    """What it says of an image is less the larger its error: the mean over its numbers."""

    def __init__(self, recipe):
        super().__init__()
        s = Settings(recipe)
        self.encoder, self.decoder, self.squares = Encoder(s), Decoder(s), s.squares

    def forward(self, x, labels):
        self.features = self.encoder(x)
        off = x - self.decoder(self.features)
        return -(off.square() if self.squares else off.abs()).flatten(1).mean(1)
