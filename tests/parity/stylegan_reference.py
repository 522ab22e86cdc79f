"""StyleGAN's networks at one stage of growth in plain PyTorch: the yardstick for the C++ program.

Karras et al., arXiv 1812.04948, section 2, section 3.1, equation 1 and appendix C; the discriminator is that of Karras et
al., arXiv 1710.10196, whose maps are smoothed before they are halved.
"""

import torch
import torch.nn.functional as F
from torch import nn

from reference_layers import Equalised, double
from progressive_reference import Discriminator as ProgressiveDiscriminator
from progressive_reference import pixel_norm

GAIN = 2**0.5


class Settings:
    def __init__(self, recipe):
        options = recipe["stylegan"]
        self.image_channels, conditioning = options.getint("image_channels", 3), options.get("conditioning", "none")
        self.classes = options.getint("classes") if conditioning != "none" else 0
        self.judged_classes = self.classes if conditioning == "projection" else 0
        self.base, self.most = options.getint("channel_base", 8192), options.getint("most_channels", 512)
        self.latent, self.style = options.getint("latent", 512), options.getint("style", 512)
        self.layers, self.average = options.getint("mapping_layers", 8), options.getfloat("style_average", 0.995)
        self.group, self.noise = options.getint("deviation_group", 4), options.get("noise", "random")
        resolution = options.getint("stage", 0) or options.getint("resolution")
        self.alpha = options.getfloat("alpha", 1)
        self.resolutions = [4]
        while self.resolutions[-1] < resolution:
            self.resolutions.append(self.resolutions[-1] * 2)

    def width(self, resolution):
        return min(self.base // (resolution // 2), self.most)


def act(x):
    return F.leaky_relu(x, 0.2)


def smooth(x):
    """Each channel filtered by (1, 2, 1) / 4 along rows and columns."""
    row = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype) / 4
    return F.conv2d(x, torch.outer(row, row).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


class Slow(nn.Module):
    """An equalised linear map that learns a hundredth as fast; He's constant is behind the activation."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return act(0.01 * (x @ self.weight.t() / self.weight.shape[1]**0.5 + self.bias)) * GAIN


class Mapping(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.classes, self.stages = s.classes, []
        if s.classes:
            self.embed = Equalised((s.style, s.classes), 1)
        width = s.latent + (s.style if s.classes else 0)
        for i in range(s.layers):
            self.stages.append(Slow(width, s.style))
            self.add_module(f"linear{i}", self.stages[-1])
            width = s.style

    def forward(self, z, labels):
        h = pixel_norm(z)
        if self.classes:
            h = torch.cat([h, pixel_norm(self.embed(F.one_hot(labels, self.classes).to(z.dtype)))], dim=1)
        for stage in self.stages:
            h = stage(h)
        return h


class Conv(nn.Module):
    """Equalised, without a bias."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))

    def forward(self, x):
        return F.conv2d(x, self.weight * (GAIN / (x.shape[1] * 9)**0.5), padding=1)


class AdaIN(nn.Module):
    def __init__(self, channels, style):
        super().__init__()
        self.affine = Equalised((2 * channels, style), 1)

    def forward(self, x, w):
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)
        away = x - x.mean(dim=(2, 3), keepdim=True)
        return away / (away.square().mean(dim=(2, 3), keepdim=True) + 1e-8).sqrt() * (scale + 1) + shift


class Styled(nn.Module):
    """Noise, bias, activation and style."""

    def __init__(self, channels, resolution, s):
        super().__init__()
        self.noisy = s.noise != "none"
        self.noise_scale, self.bias = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))
        self.norm = AdaIN(channels, s.style)
        self.register_buffer("noise", torch.empty(resolution, resolution))

    def forward(self, x, w):
        if self.noisy:
            x = x + self.noise * self.noise_scale[:, None, None]
        return self.norm(act(x + self.bias[:, None, None]), w)


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.s = s = Settings(recipe)
        self.mapping = Mapping(s)
        self.register_buffer("style_mean", torch.zeros(s.style))
        self.constant = nn.Parameter(torch.ones(s.width(4), 4, 4))
        for resolution in s.resolutions:
            width = s.width(resolution)
            if resolution > 4:
                self.add_module(f"conv{resolution}a", Conv(s.width(resolution // 2), width))
            self.add_module(f"conv{resolution}b", Conv(width, width))
            for part in "ab":
                self.add_module(f"styled{resolution}{part}", Styled(width, resolution, s))
            self.add_module(f"to_image{resolution}", Equalised((s.image_channels, width, 1, 1), 1))

    def styles(self, z, labels):
        """A w for each layer."""
        w = self.mapping(z, labels)
        with torch.no_grad():
            self.style_mean.copy_(self.s.average * self.style_mean + (1 - self.s.average) * w.mean(0))
        return w[:, None].expand(-1, 2 * len(self.s.resolutions), -1)

    def synthesise(self, ws):
        s, before = self.s, None
        h = self.constant.expand(len(ws), -1, -1, -1)
        for level, resolution in enumerate(s.resolutions):
            before = h
            if resolution > 4:
                h = smooth(getattr(self, f"conv{resolution}a")(double(h)))
            h = getattr(self, f"styled{resolution}a")(h, ws[:, 2 * level])
            h = getattr(self, f"conv{resolution}b")(h)
            h = getattr(self, f"styled{resolution}b")(h, ws[:, 2 * level + 1])
        last = s.resolutions[-1]
        image = getattr(self, f"to_image{last}")(h)
        if s.alpha < 1 and last > 4:
            image = s.alpha * image + (1 - s.alpha) * double(getattr(self, f"to_image{last // 2}")(before))
        return image

    def forward(self, z, labels):
        return self.synthesise(self.styles(z, labels))


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

    deviation = ProgressiveDiscriminator.deviation

    def forward(self, x, labels):
        s = self.settings
        last = s.resolutions[-1]
        h = act(getattr(self, f"from_image{last}")(x))
        for resolution in reversed(s.resolutions[1:]):
            h = smooth(act(getattr(self, f"conv{resolution}a")(h)))
            h = act(F.avg_pool2d(getattr(self, f"conv{resolution}b")(h), 2))
            if resolution == last and s.alpha < 1:
                before = act(getattr(self, f"from_image{last // 2}")(F.avg_pool2d(x, 2)))
                h = s.alpha * h + (1 - s.alpha) * before
        h = act(self.conv4(self.deviation(h)))
        logits = self.linear(act(self.dense(h.flatten(1))))
        return logits[range(len(x)), labels] if s.judged_classes else logits[:, 0]
