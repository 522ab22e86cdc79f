"""GANs with an encoder in plain PyTorch, a step of training each: the yardstick for models/encoders.

bigan: Donahue et al., arXiv 1605.09782, equation 3 and section 3.4; Dumoulin et al., arXiv 1606.00704, algorithm 1.
vae_gan: Larsen et al., arXiv 1512.09300, algorithm 1. adversarial_autoencoder: Makhzani et al., arXiv 1511.05644,
section 2.
"""

from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import nn

from adversarial_reference import Player
from fully_connected_reference import widths_of
from reference_layers import AffineBatchNorm, Layers, networks_of

LAYERS = Layers(False, 1e-6)


def entropy(logits, target):
    """In nats, between the target and the probability sigma(logit)."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction="none")


class Trunk(nn.Module):
    def __init__(self, options, shape):
        super().__init__()
        channels, height, width = shape
        self.stages, self.linears = [], []
        if options["network"] == "convolutional":
            inputs, i = channels, 0
            while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
                outputs = options.getint("channels") * 2**i
                conv = LAYERS.halving(inputs, outputs, options.getint("kernel"), bias=i == 0)
                norm = AffineBatchNorm(outputs, 1e-5, 0) if i else None
                self.add_module(f"conv{i}", conv)
                if norm:
                    self.add_module(f"norm{i}", norm)
                self.stages.append((conv, norm))
                inputs, height, width, i = outputs, height // 2, width // 2, i + 1
            self.features = inputs * height * width
        else:
            self.features = channels * height * width
            for i, outputs in enumerate(widths_of(options, "widths", "")):
                self.linears.append(LAYERS.linear(self.features, outputs))
                self.add_module(f"linear{i}", self.linears[-1])
                self.features = outputs

    def forward(self, x):
        for conv, norm in self.stages:
            x = conv(x)
            x = F.leaky_relu(norm(x) if norm else x, 0.2)
        x = x.flatten(1)
        for linear in self.linears:
            x = F.leaky_relu(linear(x), 0.2)
        return x


class Leaky(nn.Module):
    def __init__(self, inputs, widths):
        super().__init__()
        self.layers = []
        for i, outputs in enumerate(widths):
            self.layers.append(LAYERS.linear(inputs, outputs))
            self.add_module(f"linear{i}", self.layers[-1])
            inputs = outputs

    def forward(self, x):
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return x


class Encoder(nn.Module):
    def __init__(self, options, shape, latent, gaussian):
        super().__init__()
        self.trunk = Trunk(options, shape)
        self.mean = LAYERS.linear(self.trunk.features, latent)
        self.log_variance = LAYERS.linear(self.trunk.features, latent) if gaussian else None

    def forward(self, x):
        h = self.trunk(x)
        return self.mean(h), self.log_variance(h) if self.log_variance else None


class Joint(nn.Module):
    def __init__(self, options, shape, latent):
        super().__init__()
        self.trunk = Trunk(options, shape)
        latents, joints = widths_of(options, "latent_widths", ""), widths_of(options, "joint_widths", "")
        self.latent = Leaky(latent, latents)
        self.joint = Leaky(self.trunk.features + latents[-1], joints)
        self.linear = LAYERS.linear(joints[-1], 1)

    def forward(self, x, z):
        return self.linear(self.joint(torch.cat([self.trunk(x), self.latent(z)], dim=1))).squeeze(1)


class Latent(nn.Module):
    def __init__(self, options, latent):
        super().__init__()
        widths = widths_of(options, "latent_widths", "")
        self.latent, self.linear = Leaky(latent, widths), LAYERS.linear(widths[-1], 1)

    def forward(self, z):
        return self.linear(self.latent(z)).squeeze(1)


class Step:
    """One step from a recorded state, on recorded images and noise; as adversarial_reference.Step."""

    def __init__(self, recipe, record, updates, dtype):
        self.record, self.dtype, self.shown, self.report = record, dtype, {}, defaultdict(float)
        self.times = defaultdict(int)
        train, self.method = recipe["train"], recipe["train"]["method"]
        self.batch, self.accumulate = train.getint("batch"), train.getint("accumulate", 1)
        self.own, options = recipe[self.method], recipe["encoders"]
        networks = networks_of(recipe)
        shape, latent = record["observed/discriminator.real/0"].shape[1:], record["observed/generator.z/0"].shape[1]
        gaussian = self.method == "vae_gan" or self.own["posterior"] == "gaussian"
        discriminator = {"bigan": lambda: Joint(options, shape, latent),
                         "vae_gan": lambda: networks.Discriminator(recipe),
                         "adversarial_autoencoder": lambda: Latent(options, latent)}[self.method]()
        make = lambda name, network: Player(name, network, recipe[name], record, updates, dtype)
        self.players = {"encoder": make("encoder", Encoder(options, shape, latent, gaussian)),
                        "generator": make("generator", networks.Generator(recipe)),
                        "discriminator": make("discriminator", discriminator)}
        self.e, self.g, self.d = (player.network for player in self.players.values())
        self.features = None
        if self.method == "vae_gan":
            self.d.linear.register_forward_pre_hook(lambda _, inputs: setattr(self, "features", inputs[0]))

    def input(self, name, k):
        value = self.record[f"observed/{name}/{k}"]
        return value.to(self.dtype) if value.is_floating_point() else value

    def show(self, name, value):
        self.shown[f"observed/{name}/{self.times[name]}"] = value.detach().clone()
        self.times[name] += 1

    def mean(self, each):
        return each.sum() / self.batch

    def tell(self, **figures):
        for name, figure in figures.items():
            self.report[name] += figure.detach()

    def code(self, mean, log_variance):
        code = mean
        if log_variance is not None:
            noise = self.input("encoder.noise", self.times["encoder.noise"])
            self.show("encoder.noise", noise)
            code = mean + torch.exp(log_variance / 2) * noise
        self.show("encoder.code", code)
        return code

    def phase(self, losses, learners):
        """Every learner's gradient is its own loss's, at the weights before any of them moves."""
        for player in self.players.values():
            player.begin_update()
        sums = {name: None for name in learners}
        for k in range(self.accumulate):
            for name, loss in losses(k).items():
                assert name in learners
                self.show(f"{name}.loss", loss)
                weights = self.players[name].weights.values()
                found = torch.autograd.grad(loss, list(weights), retain_graph=True, allow_unused=True)
                found = [torch.zeros_like(w) if grad is None else grad for w, grad in zip(weights, found)]
                sums[name] = found if sums[name] is None else [a + b for a, b in zip(sums[name], found)]
        for name in learners:
            for (key, weight), gradient in zip(self.players[name].weights.items(), sums[name]):
                weight.grad = gradient
                self.show(f"{name}.gradient.{key}", gradient)
        for name in learners:
            self.players[name].update()

    def run(self):
        everyone = list(self.players)
        if self.method == "bigan":
            self.phase(self.bigan, everyone)
        elif self.method == "vae_gan":
            self.phase(self.vae_gan, everyone)
        else:
            self.phase(self.reconstruction, ["encoder", "generator"])
            self.phase(self.regularisation, ["encoder", "discriminator"])
        self.shown |= {f"observed/method.report/{name}": figure for name, figure in self.report.items()}
        for player in self.players.values():
            self.shown |= {f"after/{key}": value for key, value in player.state().items()}
        return self.shown

    def bigan(self, k):
        x, z, labels = (self.input(name, k) for name in ("discriminator.real", "generator.z", "discriminator.labels"))
        fake, code = self.g(z, labels), self.code(*self.e(x))
        real_logits, fake_logits = self.d(x, code), self.d(fake, z)
        self.show("generator.fake", fake)
        self.show("discriminator.logits", torch.cat([real_logits, fake_logits]))
        d = self.mean(entropy(real_logits, 1) + entropy(fake_logits, 0))
        e, g = self.mean(entropy(real_logits, 0)), self.mean(entropy(fake_logits, 1))
        self.tell(loss_d=d, loss_g=g, loss_e=e, real_logit=self.mean(real_logits), fake_logit=self.mean(fake_logits))
        return {"encoder": e, "generator": g, "discriminator": d}

    def judged(self, x, labels):
        logits = self.d(x, labels)
        return logits, self.features

    def vae_gan(self, k):
        x, z, labels = (self.input(name, k) for name in ("discriminator.real", "generator.z", "discriminator.labels"))
        drawn_labels = self.input("generator.labels", k)
        mean, log_variance = self.e(x)
        again = self.g(self.code(mean, log_variance), labels)
        fake = self.g(z, drawn_labels)
        (real, f), (again_logits, f_again), (fake_logits, _) = (
            self.judged(x, labels), self.judged(again, labels), self.judged(fake, drawn_labels))
        self.show("generator.again", again)
        self.show("generator.fake", fake)
        self.show("discriminator.logits", torch.cat([real, again_logits, fake_logits]))
        posterior = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
        unit = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
        prior = self.mean(torch.distributions.kl_divergence(posterior, unit))
        like = self.mean(0.5 * (f.detach() - f_again) ** 2)
        d = self.mean(entropy(real, 1) + entropy(again_logits, 0) + entropy(fake_logits, 0))
        e = self.own.getfloat("prior") * prior + like
        g = self.own.getfloat("gamma") * like + self.mean(entropy(again_logits, 1) + entropy(fake_logits, 1))
        self.tell(loss_d=d, loss_g=g, loss_e=e, prior=prior, like=like, real_logit=self.mean(real),
                  fake_logit=self.mean(fake_logits))
        return {"encoder": e, "generator": g, "discriminator": d}

    def reconstruction(self, k):
        x, labels = self.input("discriminator.real", k), self.input("discriminator.labels", k)
        again = self.g(self.code(*self.e(x)), labels)
        self.show("generator.again", again)
        error = ((x - again) ** 2).mean(dim=(1, 2, 3)).sum() / self.batch
        self.tell(reconstruction=error)
        return {"encoder": error, "generator": error}

    def regularisation(self, k):
        x, z = self.input("discriminator.real", k), self.input("generator.z", k)
        code = self.code(*self.e(x))
        prior_logits, code_logits = self.d(z), self.d(code)
        self.show("discriminator.logits", torch.cat([prior_logits, code_logits]))
        e, d = self.mean(entropy(code_logits, 1)), self.mean(entropy(prior_logits, 1) + entropy(code_logits, 0))
        self.tell(loss_d=d, loss_e=e, real_logit=self.mean(prior_logits), fake_logit=self.mean(code_logits))
        return {"encoder": e, "discriminator": d}
