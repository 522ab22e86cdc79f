"""pix2pix and CycleGAN in plain PyTorch: the yardstick for the C++ program.

Written from Isola et al., arXiv 1611.07004, and Zhu et al., arXiv 1703.10593. N images, C channels, H height, W width.
"""

from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import nn

from adversarial_reference import LOSSES, Player
from reference_layers import AffineBatchNorm, Layers

LOSSES = LOSSES | {
    "lsgan": (lambda x: (x - 1) ** 2 / 2, lambda x: x**2 / 2, lambda x: (x - 1) ** 2 / 2),
    "minimax": (lambda x: -F.logsigmoid(x), lambda x: -F.logsigmoid(-x), lambda x: F.logsigmoid(-x)),
}
LAYERS = Layers(False, 1e-6)


class Conv(nn.Module):
    """With any stride and padding, of zeros or of what a mirror at the edge shows."""

    def __init__(self, inputs, outputs, kernel, stride=1, padding=0, reflect=0, bias=True):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        self.stride, self.padding, self.reflect = stride, padding, reflect

    def forward(self, x):
        if self.reflect:
            x = F.pad(x, [self.reflect] * 4, mode="reflect")
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class Norm:
    """Makes the norms of one network; instance norm has no parameters."""

    def __init__(self, kind, group):
        self.instance, self.group = kind == "instance", group

    def __call__(self, owner, name, channels):
        if self.instance:
            return F.instance_norm
        owner.add_module(name, AffineBatchNorm(channels, 1e-5, self.group))
        return getattr(owner, name)


class UNet(nn.Module):
    """C64-C128-...-C512 and back, with skips; dropout's masks [N, C, H, W] are handed in by layer, as they multiply."""

    def __init__(self, recipe):
        super().__init__()
        o = recipe["pix2pix"]
        self.depth = o.getint("depth")
        norm, instance = Norm(o["norm"], o.getint("batch_norm_group")), o["norm"] == "instance"
        widths = [o.getint("source_channels")] + [o.getint("generator_channels") * min(2**i, 8) for i in range(self.depth)]
        self.norms = {}
        for i in range(1, self.depth + 1):
            self.add_module(f"down{i}", LAYERS.halving(widths[i - 1], widths[i], 4, bias=instance))
            if 1 < i < self.depth:
                self.norms[f"down{i}"] = norm(self, f"down_norm{i}", widths[i])
        for i in range(1, self.depth + 1):
            inputs = widths[i] * (1 if i == self.depth else 2)
            outputs = widths[i - 1] if i > 1 else o.getint("image_channels")
            self.add_module(f"up{i}", LAYERS.doubling(inputs, outputs, 4, bias=instance or i == 1))
            if i > 1:
                self.norms[f"up{i}"] = norm(self, f"up_norm{i}", outputs)

    def forward(self, x, masks):
        return torch.tanh(self.beyond(x, 1, masks))

    def beyond(self, x, i, masks):
        """From the map that goes into down<i> to the one that comes out of up<i>."""
        x = getattr(self, f"down{i}")(x if i == 1 else F.leaky_relu(x, 0.2))
        if f"down{i}" in self.norms:
            x = self.norms[f"down{i}"](x)
        if i < self.depth:
            x = torch.cat([x, self.beyond(x, i + 1, masks)], dim=1)
        x = getattr(self, f"up{i}")(torch.relu(x))
        if f"up{i}" in self.norms:
            x = self.norms[f"up{i}"](x)
        return x * masks.get(f"up{i}", 1)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv1, self.conv2 = Conv(width, width, 3, reflect=1), Conv(width, width, 3, reflect=1)

    def forward(self, x):
        return x + F.instance_norm(self.conv2(F.relu(F.instance_norm(self.conv1(x)))))


class ResNet(nn.Module):
    """c7s1-64, d128, d256, blocks of R256, u128, u64, c7s1-3."""

    def __init__(self, options, source_channels, image_channels):
        super().__init__()
        width = options.getint("generator_channels")
        self.first = Conv(source_channels, width, 7, reflect=3)
        self.down1 = Conv(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = Conv(2 * width, 4 * width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList([Block(4 * width) for _ in range(options.getint("blocks"))])
        self.up2 = LAYERS.doubling(4 * width, 2 * width, 3)
        self.up1 = LAYERS.doubling(2 * width, width, 3)
        self.last = Conv(width, image_channels, 7, reflect=3)

    def forward(self, x):
        for layer in (self.first, self.down1, self.down2):
            x = F.relu(F.instance_norm(layer(x)))
        for block in self.blocks:
            x = block(x)
        for layer in (self.up2, self.up1):
            x = F.relu(F.instance_norm(layer(x)))
        return torch.tanh(self.last(x))


class PatchGAN(nn.Module):
    def __init__(self, options, channels, kind, group=0):
        super().__init__()
        width, layers, norm = options.getint("discriminator_channels"), options.getint("patch_layers"), Norm(kind, group)
        kernel, padding = (4, 1) if layers else (1, 0)
        strides = [2] * layers + [1] if layers else [1, 1]
        widths = [channels] + [width * min(2**i, 8) for i in range(len(strides))]
        self.count, self.norms = len(strides) + 1, {}
        for i, stride in enumerate(strides):
            bias = i == 0 or kind == "instance"
            self.add_module(f"conv{i}", Conv(widths[i], widths[i + 1], kernel, stride, padding, bias=bias))
            if i > 0:
                self.norms[i] = norm(self, f"norm{i}", widths[i + 1])
        self.add_module(f"conv{self.count - 1}", Conv(widths[-1], 1, kernel, 1, padding))

    def forward(self, x):
        for i in range(self.count - 1):
            x = getattr(self, f"conv{i}")(x)
            x = F.leaky_relu(self.norms[i](x) if i in self.norms else x, 0.2)
        return getattr(self, f"conv{self.count - 1}")(x)


def networks_of(recipe):
    """{"generator": ..., "discriminator": ...}"""
    if recipe["train"]["method"] == "pix2pix":
        o = recipe["pix2pix"]
        channels = o.getint("source_channels") + o.getint("image_channels")
        judge = PatchGAN(o, channels, o["norm"], o.getint("batch_norm_group"))
        return {"generator": UNet(recipe), "discriminator": judge}
    o = recipe["cyclegan"]
    sources, images = o.getint("source_channels"), o.getint("image_channels")
    return {
        "generator": nn.ModuleDict({"to_images": ResNet(o, sources, images), "to_sources": ResNet(o, images, sources)}),
        "discriminator": nn.ModuleDict({"of_images": PatchGAN(o, images, "instance"),
                                        "of_sources": PatchGAN(o, sources, "instance")}),
    }


def parameter_counts(recipe):
    """As the program lists them: CycleGAN's networks one by one."""
    with torch.device("meta"):
        networks = networks_of(recipe)
    if recipe["train"]["method"] == "cyclegan":
        networks = {name: each for player in networks.values() for name, each in player.items()}
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}


class TranslationStep:
    """One step from a recorded state, on recorded images: see adversarial_reference.Step."""

    def __init__(self, recipe, record, updates, dtype):
        self.record, self.dtype, self.shown, self.report = record, dtype, {}, defaultdict(float)
        self.paired = recipe["train"]["method"] == "pix2pix"
        self.options = recipe["pix2pix" if self.paired else "cyclegan"]
        self.batch, self.accumulate = recipe["train"].getint("batch"), recipe["train"].getint("accumulate")
        self.real_loss, self.fake_loss, self.generator_loss = LOSSES[recipe["gan"]["loss"]]
        networks = networks_of(recipe)
        make = lambda name: Player(name, networks[name], recipe[name], record, updates, dtype)
        self.generator, self.discriminator = make("generator"), make("discriminator")
        self.adversarial = self.options.getfloat("adversarial")
        self.factor = self.options.getfloat("discriminator_factor")

    def input(self, name, k):
        return self.record[f"observed/{name}/{k}"].to(self.dtype)

    def show(self, name, k, value):
        self.shown[f"observed/{name}/{k}"] = value.detach().clone()

    def add(self, name, each):
        """The sum over images of a mean over all else, over the global batch."""
        part = each.flatten(1).mean(1).sum() / self.batch
        self.report[name] = self.report[name] + part.detach()
        return part

    def update(self, player):
        for name, value in player.gradients().items():
            self.show(f"{player.name}.gradient.{name}", 0, value)
        player.update()

    def run(self):
        self.step_pix2pix() if self.paired else self.step_cyclegan()
        self.shown |= {f"observed/method.report/{name}": figure for name, figure in self.report.items()}
        for player in (self.generator, self.discriminator):
            self.shown |= {f"after/{key}": value for key, value in player.state().items()}
        return self.shown

    def masks(self, k):
        names = [name for name in self.record if name.startswith("dropout/")]
        count = self.batch // self.accumulate
        return {name.removeprefix("dropout/"): self.record[name][k * count:(k + 1) * count].to(self.dtype) for name in names}

    def step_pix2pix(self):
        g, d = self.generator.network, self.discriminator.network
        fakes = [g(self.input("discriminator.source", k), self.masks(k)) for k in range(self.accumulate)]
        for k, fake in enumerate(fakes):
            source, image = self.input("discriminator.source", k), self.input("discriminator.real", k)
            real_logits = d(torch.cat([source, image], 1))
            fake_logits = d(torch.cat([source, fake.detach()], 1))
            loss = (self.real_loss(real_logits) + self.fake_loss(fake_logits)) * self.factor
            loss = self.add("loss_d", loss)
            self.add("real_logit", real_logits)
            self.add("fake_logit", fake_logits)
            self.show("discriminator.fake", k, fake)
            self.show("discriminator.logits", k, torch.cat([real_logits, fake_logits]))
            self.show("discriminator.loss", k, loss)
            loss.backward()
        self.update(self.discriminator)
        d.requires_grad_(False)
        for k, fake in enumerate(fakes):
            source, image = self.input("discriminator.source", k), self.input("discriminator.real", k)
            logits = d(torch.cat([source, fake], 1))
            adversarial = self.add("loss_g", self.generator_loss(logits))
            loss = self.adversarial * adversarial + self.options.getfloat("l1") * self.add("l1", (image - fake).abs())
            self.show("generator.fake", k, fake)
            self.show("generator.logits", k, logits)
            self.show("generator.loss", k, loss)
            loss.backward()
        self.update(self.generator)

    def step_cyclegan(self):
        g, f = self.generator.network["to_images"], self.generator.network["to_sources"]
        d_y, d_x = self.discriminator.network["of_images"], self.discriminator.network["of_sources"]
        lam, identity = self.options.getfloat("cycle"), self.options.getfloat("identity")
        self.discriminator.network.requires_grad_(False)
        for k in range(self.accumulate):
            x, y = self.input("generator.source", k), self.input("generator.real", k)
            fake_y, fake_x = g(x), f(y)
            loss = self.adversarial * (self.add("loss_g", self.generator_loss(d_y(fake_y))) +
                                       self.add("loss_g", self.generator_loss(d_x(fake_x))))
            loss = loss + lam * (self.add("cycle", (f(fake_y) - x).abs()) + self.add("cycle", (g(fake_x) - y).abs()))
            if identity > 0:
                same = self.add("identity", (g(y) - y).abs()) + self.add("identity", (f(x) - x).abs())
                loss = loss + lam * identity * same
            self.show("generator.fake_image", k, fake_y)
            self.show("generator.fake_source", k, fake_x)
            self.show("generator.loss", k, loss)
            loss.backward()
        self.update(self.generator)
        self.discriminator.network.requires_grad_(True)
        for k in range(self.accumulate):
            total = 0
            for d, real, pooled in ((d_y, "real", "image"), (d_x, "source", "source")):
                real_logits = d(self.input(f"generator.{real}", k))
                fake_logits = d(self.input(f"discriminator.pooled_{pooled}", k))
                total = total + self.add("loss_d", (self.real_loss(real_logits) + self.fake_loss(fake_logits)) * self.factor)
                self.add("real_logit", real_logits / 2)
                self.add("fake_logit", fake_logits / 2)
            self.show("discriminator.loss", k, total)
            total.backward()
        self.update(self.discriminator)
