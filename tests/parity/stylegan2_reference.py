"""StyleGAN2's networks in plain PyTorch: the yardstick for the C++ program.

Karras et al., arXiv 1912.04958, sections 2 to 4 and appendix B; labels and the choice of D as in Karras et al., arXiv
2006.06676, appendix C. Filters resample as that paper's figure: (1, 3, 3, 1) in both directions.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from progressive_reference import Discriminator as ProgressiveDiscriminator

GAIN = 2**0.5


class Settings:
    def __init__(self, recipe):
        options = recipe["stylegan2"]
        self.image_channels = options.getint("image_channels", 3)
        self.classes = options.getint("classes") if options.get("conditioning", "none") != "none" else 0
        self.base, self.most = options.getint("channel_base", 32768), options.getint("most_channels", 512)
        self.latent, self.style = options.getint("latent", 512), options.getint("style", 512)
        self.layers, self.clamp = options.getint("mapping_layers", 8), options.getfloat("clamp", 256)
        self.residual = options.get("discriminator", "residual") == "residual"
        self.group, self.noise = options.getint("deviation_group", 4), options.get("noise", "random")
        self.average = options.getfloat("style_average", 0.995)
        self.resolutions = [4]
        while self.resolutions[-1] < options.getint("resolution"):
            self.resolutions.append(self.resolutions[-1] * 2)

    def width(self, resolution):
        return min(self.base // resolution, self.most)

    def act(self, x, gain=1.0):
        """The leaky ReLU at gain sqrt(2), and what follows it in a map: no value beyond the clamp."""
        return self.bounded(F.leaky_relu(x, 0.2) * (GAIN * gain), gain)

    def bounded(self, x, gain=1.0):
        return x.clamp(-self.clamp * gain, self.clamp * gain) if self.clamp > 0 else x


class Dense(nn.Module):
    """Equalised; `rate` slows learning."""

    def __init__(self, inputs, outputs, rate=1.0, start=0.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs)), nn.Parameter(torch.full((outputs,), start))
        self.scale, self.rate = rate / inputs**0.5, rate

    def forward(self, x):
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


def unit(x):
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    def __init__(self, latent, s, layers):
        super().__init__()
        self.s, self.latent = s, latent
        if s.classes:
            self.embed = Dense(s.classes, s.style)
        width = latent + (s.style if s.classes else 0)
        self.stages = []
        for i in range(layers):
            self.stages.append(Dense(width, s.style, rate=0.01))
            self.add_module(f"linear{i}", self.stages[-1])
            width = s.style

    def forward(self, z, labels):
        parts = [unit(z)] if self.latent else []
        if self.s.classes:
            parts.append(unit(self.embed(F.one_hot(labels, self.s.classes).to(self.embed.weight.dtype))))
        h = torch.cat(parts, dim=1)
        for stage in self.stages:
            h = F.leaky_relu(stage(h), 0.2) * GAIN
        return h


def taps(channels, like):
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype) / 8
    return torch.outer(row, row).expand(channels, 1, 4, 4)


def filtered(x, before, after, gain=1):
    """Each channel filtered, `before` and `after` zeros added on each side first."""
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, taps(x.shape[1], x) * gain, groups=x.shape[1])


def enlarged(x):
    """Zeros between the pixels, then the filter."""
    n, c, h, w = x.shape
    spread = torch.zeros(n, c, 2 * h, 2 * w, dtype=x.dtype)
    spread[..., ::2, ::2] = x
    return filtered(spread, 2, 1, 4)


def reduced(x):
    return filtered(x, 1, 1)[..., ::2, ::2]


class Modulated(nn.Module):
    """A convolution whose kernel each image scales by its style: equations 1 and 3."""

    def __init__(self, inputs, outputs, kernel, s, demodulate=True, upsample=False, resolution=0):
        super().__init__()
        self.s, self.demodulate, self.upsample = s, demodulate, upsample
        self.affine = Dense(s.style, inputs, start=1.0)
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel)), nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        if resolution:
            self.noise_strength = nn.Parameter(torch.zeros(()))
            self.register_buffer("noise", torch.empty(resolution, resolution))

    def forward(self, x, w):
        maps = []
        for image, style in zip(x, self.affine(w)):
            weight = self.weight * self.scale * style[:, None, None]
            if self.demodulate:
                weight = weight / (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            if self.upsample:
                h = F.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2)
                maps.append(filtered(h, 1, 1, 4))
            else:
                maps.append(F.conv2d(image[None], weight, padding=weight.shape[-1] // 2))
        return torch.cat(maps)


class StyledLayer(Modulated):
    def forward(self, x, w):
        h = super().forward(x, w)
        if self.s.noise != "none":
            h = h + self.noise * self.noise_strength
        return self.s.act(h + self.bias[:, None, None])


class ToImage(Modulated):
    def forward(self, x, w):
        return self.s.bounded(super().forward(x, w) + self.bias[:, None, None])


class Constant(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 4, 4))


class Generator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.s = s = Settings(recipe)
        self.mapping = Mapping(s.latent, s, s.layers)
        self.register_buffer("style_mean", torch.zeros(s.style))
        self.constant = Constant(s.width(4))
        for resolution in s.resolutions:
            width = s.width(resolution)
            if resolution > 4:
                self.add_module(f"conv{resolution}a", StyledLayer(
                    s.width(resolution // 2), width, 3, s, upsample=True, resolution=resolution))
            self.add_module(f"conv{resolution}b", StyledLayer(width, width, 3, s, resolution=resolution))
            self.add_module(f"to_image{resolution}", ToImage(width, s.image_channels, 1, s, demodulate=False))

    def styles(self, z, labels):
        """A w for each layer."""
        w = self.mapping(z, labels)
        with torch.no_grad():
            self.style_mean.copy_(self.s.average * self.style_mean + (1 - self.s.average) * w.mean(0))
        return w[:, None].expand(-1, 2 * len(self.s.resolutions), -1)

    def synthesise(self, ws):
        h, image = self.constant.weight.expand(len(ws), -1, -1, -1), 0
        for level, resolution in enumerate(self.s.resolutions):
            if resolution > 4:
                h = getattr(self, f"conv{resolution}a")(h, ws[:, 2 * level - 1])
                image = enlarged(image)
            h = getattr(self, f"conv{resolution}b")(h, ws[:, 2 * level])
            image = image + getattr(self, f"to_image{resolution}")(h, ws[:, 2 * level + 1])
        return image

    def forward(self, z, labels):
        return self.synthesise(self.styles(z, labels))


class Conv(nn.Module):
    """Equalised; halving filters first."""

    def __init__(self, inputs, outputs, kernel, bias=True, halve=False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.halve = 1 / math.sqrt(inputs * kernel**2), halve

    def forward(self, x):
        weight = self.weight * self.scale
        if not self.halve:
            return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)
        margin = 1 + weight.shape[-1] // 2
        return F.conv2d(filtered(x, margin, margin), weight, self.bias, stride=2)


class Discriminator(nn.Module):
    def __init__(self, recipe):
        super().__init__()
        self.s = s = Settings(recipe)
        self.settings = s
        top = s.resolutions[-1]
        self.from_image = Conv(s.image_channels, s.width(top), 1)
        for resolution in reversed(s.resolutions[1:]):
            width, smaller = s.width(resolution), s.width(resolution // 2)
            self.add_module(f"conv{resolution}a", Conv(width, width, 3))
            self.add_module(f"conv{resolution}b", Conv(width, smaller, 3, halve=True))
            if s.residual:
                self.add_module(f"shortcut{resolution}", Conv(width, smaller, 1, bias=False, halve=True))
        last = s.width(4)
        self.conv4 = Conv(last + 1, last, 3)
        self.dense = Dense(last * 16, last)
        if s.classes:
            self.mapping = Mapping(0, s, 8)
        self.linear = Dense(last, s.style if s.classes else 1)

    deviation = ProgressiveDiscriminator.deviation

    def forward(self, x, labels):
        s = self.s
        h = s.act(self.from_image(x))
        for resolution in reversed(s.resolutions[1:]):
            inner = s.act(getattr(self, f"conv{resolution}a")(h))
            gain = 0.5**0.5 if s.residual else 1.0
            inner = s.act(getattr(self, f"conv{resolution}b")(inner), gain)
            h = inner + getattr(self, f"shortcut{resolution}")(h) * gain if s.residual else inner
        h = s.act(self.conv4(self.deviation(h)))
        h = F.leaky_relu(self.dense(h.flatten(1)), 0.2) * GAIN
        logits = self.linear(h)
        if not s.classes:
            return logits[:, 0]
        return (logits * self.mapping(None, labels)).sum(1) / s.style**0.5
