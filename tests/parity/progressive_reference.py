"""Progressive GAN's networks at one stage in plain PyTorch: the yardstick for the C++ program.

Karras et al., arXiv 1710.10196, section 3, 4 and appendix A, table 2.
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import Equalised, double

GAIN = 2**0.5


class Settings:
    def __init__(self, recipe):
        options = recipe["progressive"]
        self.image_channels, self.classes = options.getint("image_channels", 3), 0
        if options.get("conditioning", "none") != "none":
            self.classes = options.getint("classes")
        self.judged_classes = 0 if options.get("conditioning", "none") == "generator" else self.classes
        self.base, self.most = options.getint("channel_base", 8192), options.getint("most_channels", 512)
        self.latent, self.group = options.getint("latent", 512), options.getint("deviation_group", 4)
        resolution = options.getint("stage", 0) or options.getint("resolution")
        self.alpha = options.getfloat("alpha", 1)
        self.resolutions = [4]
        while self.resolutions[-1] < resolution:
            self.resolutions.append(self.resolutions[-1] * 2)

    def width(self, resolution):
        """Of the maps of that resolution."""
        return min(self.base // (resolution // 2), self.most)


def pixel_norm(x):
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def act(x):
    return F.leaky_relu(x, 0.2)


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings = s = Settings(recipe)
        first = s.width(4)
        self.dense = EqualisedMap(s.latent + s.classes, first, GAIN / 4)
        self.conv4 = Equalised((first, first, 3, 3), GAIN)
        for resolution in s.resolutions:
            width = s.width(resolution)
            if resolution > 4:
                self.add_module(f"conv{resolution}a", Equalised((width, s.width(resolution // 2), 3, 3), GAIN))
                self.add_module(f"conv{resolution}b", Equalised((width, width, 3, 3), GAIN))
            self.add_module(f"to_image{resolution}", Equalised((s.image_channels, width, 1, 1), 1))

    def forward(self, z, labels):
        s = self.settings
        if s.classes:
            z = torch.cat([z, F.one_hot(labels, s.classes).to(z.dtype)], dim=1)
        h = pixel_norm(act(self.dense(pixel_norm(z))))
        h = pixel_norm(act(self.conv4(h)))
        before = None
        for resolution in s.resolutions[1:]:
            before = h
            h = pixel_norm(act(getattr(self, f"conv{resolution}a")(double(h))))
            h = pixel_norm(act(getattr(self, f"conv{resolution}b")(h)))
        last = s.resolutions[-1]
        image = getattr(self, f"to_image{last}")(h)
        if s.alpha < 1 and before is not None:
            image = s.alpha * image + (1 - s.alpha) * double(getattr(self, f"to_image{last // 2}")(before))
        return image


class EqualisedMap(nn.Module):
    """Linear to a map of 4x4 positions with one bias a channel."""

    def __init__(self, inputs, channels, gain):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(channels * 16, inputs)), nn.Parameter(torch.zeros(channels))
        self.scale = gain / inputs**0.5

    def forward(self, x):
        return F.linear(x, self.weight * self.scale).unflatten(1, (-1, 4, 4)) + self.bias[:, None, None]


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.settings = s = Settings(recipe)
        for resolution in s.resolutions:
            width = s.width(resolution)
            self.add_module(f"from_image{resolution}", Equalised((width, s.image_channels, 1, 1), GAIN))
            if resolution > 4:
                self.add_module(f"conv{resolution}a", Equalised((width, width, 3, 3), GAIN))
                self.add_module(f"conv{resolution}b", Equalised((s.width(resolution // 2), width, 3, 3), GAIN))
        last = s.width(4)
        self.conv4 = Equalised((last, last + 1, 3, 3), GAIN)
        self.dense = Equalised((s.width(2), last * 16), GAIN)
        self.linear = Equalised((s.judged_classes or 1, s.width(2)), 1)

    def deviation(self, h):
        """Of each group of consecutive images one number, as a channel more."""
        maps = []
        for part in h.split(self.settings.group or len(h)):
            deviation = (part.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
            maps.append(deviation.expand(len(part), 1, *h.shape[2:]))
        return torch.cat([h, torch.cat(maps)], dim=1)

    def forward(self, x, labels):
        s = self.settings
        last = s.resolutions[-1]
        h = act(getattr(self, f"from_image{last}")(x))
        for resolution in reversed(s.resolutions[1:]):
            h = act(getattr(self, f"conv{resolution}a")(h))
            h = F.avg_pool2d(act(getattr(self, f"conv{resolution}b")(h)), 2)
            if resolution == last and s.alpha < 1:
                before = act(getattr(self, f"from_image{last // 2}")(F.avg_pool2d(x, 2)))
                h = s.alpha * h + (1 - s.alpha) * before
        h = act(self.conv4(self.deviation(h)))
        logits = self.linear(act(self.dense(h.flatten(1))))
        return logits[range(len(x)), labels] if s.judged_classes else logits[:, 0]
