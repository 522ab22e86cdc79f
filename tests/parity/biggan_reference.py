"""BigGAN and one step of its adversarial training in plain PyTorch: the yardstick for the C++ program.

Brock et al., arXiv 1809.11096, appendix B; the plans of channels are those of the authors' PyTorch release. Readable
rather than fast, and sharing nothing with the code under test but the names of modules, so that weights can be
handed over by name.

N images, C channels, H height, W width. Images lie in [-1, 1].
"""

import configparser
import math
from collections import defaultdict

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


# Name: (D's part on real logits, on fake logits, G's).
LOSSES = {
    "hinge": (lambda x: torch.relu(1 - x), lambda x: torch.relu(1 + x), lambda x: -x),
    "logistic": (lambda x: -F.logsigmoid(x), lambda x: -F.logsigmoid(-x), lambda x: -F.logsigmoid(x)),
    "wasserstein": (lambda x: -x, lambda x: x, lambda x: -x),
}


def gradient_penalty(kind, weight, discriminator, real, fake, labels, eps):
    """One number an image: on D's gradient at mixtures of real and fake images, or at the real ones."""
    if kind == "wgan-gp":
        eps = eps.view(-1, 1, 1, 1)
        x = eps * real + (1 - eps) * fake
    else:
        x = real
    x = x.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(x, labels).sum(), x, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    return weight * (norm - 1) ** 2 if kind == "wgan-gp" else weight / 2 * norm**2


def orthogonal_penalty(generator, strength):
    """Brock et al., equation 3, halved: of every weight but the class embedding, rows need not be unit vectors."""
    total = 0
    for name, weight in generator.named_parameters():
        if weight.dim() >= 2 and name != "shared.weight":
            products = weight.flatten(1) @ weight.flatten(1).t()
            total = total + (products - torch.diag(products.diagonal())).square().sum()
    return strength / 2 * total


def learning_rate(options, t):
    """At the t-th update, t = 1, 2, ..."""
    lr, warmup = options.getfloat("lr"), options.getint("warmup", 0)
    begin, end = options.getint("decay_from", 0), options.getint("decay_until", 0)
    decay, final = options.get("decay", "constant"), options.getfloat("final_factor", 0)
    if t <= warmup:
        return lr * t / warmup
    if decay == "constant" or t <= begin:
        return lr
    progress = min(1, (t - begin) / max(end - begin, 1))
    remaining = 1 - progress if decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return lr * (final + (1 - final) * remaining)


class Player:
    """A network with Adam and a moving average of its weights and buffers."""

    def __init__(self, name, network, options, before, updates, dtype):
        self.name, self.network, self.options, self.updates = name, network.to(dtype), options, updates

        def stored(kind):
            prefix = f"before/{name}/{kind}/"
            return {key.removeprefix(prefix): value.to(dtype, copy=True) for key, value in before.items() if key.startswith(prefix)}

        network.load_state_dict(stored("weight") | stored("buffer"), strict=True)
        self.weights, self.buffers = dict(network.named_parameters()), dict(network.named_buffers())
        self.adam = torch.optim.Adam(
            self.weights.values(),
            betas=(options.getfloat("beta1"), options.getfloat("beta2")),
            eps=options.getfloat("eps", 1e-6),
            foreach=False,
        )
        m, v = stored("adam_m"), stored("adam_v")
        for key, weight in self.weights.items():
            self.adam.state[weight] = {"step": torch.tensor(float(updates)), "exp_avg": m[key], "exp_avg_sq": v[key]}
        self.ema = {"ema": stored("ema"), "ema_buffer": stored("ema_buffer")}

    def begin_update(self):
        """Every network that takes part in an update makes one power step there."""
        for module in self.network.modules():
            if isinstance(module, Normalised):
                module.power_step()

    def gradients(self):
        return {key: weight.grad.clone() for key, weight in self.weights.items()}

    @torch.no_grad()
    def update(self):
        self.updates += 1
        clip = self.options.getfloat("clip", 0)
        norm = torch.stack([weight.grad.norm() for weight in self.weights.values()]).norm()
        if 0 < clip < norm:
            for weight in self.weights.values():
                weight.grad *= clip / norm
        self.adam.param_groups[0]["lr"] = learning_rate(self.options, self.updates)
        self.adam.step()
        decay = self.options.getfloat("ema", 0) if self.updates > self.options.getint("ema_start", 0) else 0
        for kind, current in (("ema", self.weights), ("ema_buffer", self.buffers)):
            for key, average in self.ema[kind].items():
                average.copy_(decay * average + (1 - decay) * current[key])

    def state(self):
        state = {f"weight/{key}": value.detach() for key, value in self.weights.items()}
        state |= {f"buffer/{key}": value for key, value in self.buffers.items()}
        for kind, entry in (("adam_m", "exp_avg"), ("adam_v", "exp_avg_sq")):
            state |= {f"{kind}/{key}": self.adam.state[weight][entry] for key, weight in self.weights.items()}
        for kind, averages in self.ema.items():
            state |= {f"{kind}/{key}": value for key, value in averages.items()}
        return {f"{self.name}/{key}": value for key, value in state.items()}


class Step:
    """One step (d_steps updates of D, one of G) from a recorded state, on recorded images and noise.

    `record` holds "before/..." and the inputs among "observed/...", as tests/parity/biggan_step.cpp writes them.
    run() returns all other "observed/..." and "after/..." by the same names.
    """

    def __init__(self, recipe, record, updates, dtype):
        self.recipe, self.record, self.dtype = recipe, record, dtype
        self.shown, self.report = {}, defaultdict(float)
        gan, train = recipe["gan"], recipe["train"]
        self.batch, self.accumulate = train.getint("batch"), train.getint("accumulate", 1)
        self.d_steps, self.orthogonal = gan.getint("d_steps", 1), gan.getfloat("orthogonal", 0)
        self.penalty = gan.getfloat("gradient_penalty", 0)
        self.real_loss, self.fake_loss, self.generator_loss = LOSSES[gan["loss"]]
        make = lambda name, network: Player(name, network, recipe[name], record, updates, dtype)
        self.generator = make("generator", Generator(recipe))
        self.discriminator = make("discriminator", Discriminator(recipe))

    def input(self, name, k):
        value = self.record[f"observed/{name}/{k}"]
        return value.to(self.dtype) if value.is_floating_point() else value

    def show(self, name, k, value):
        self.shown[f"observed/{name}/{k}"] = value.detach().clone()

    def show_gradients(self, player, k):
        for name, value in player.gradients().items():
            self.show(f"{player.name}.gradient.{name}", k, value)

    def run(self):
        for k in range(self.d_steps):
            self.update_discriminator(k)
        self.update_generator()
        self.shown |= {f"observed/method.report/{name}": figure for name, figure in self.report.items()}
        for player in (self.generator, self.discriminator):
            self.shown |= {f"after/{key}": value for key, value in player.state().items()}
        return self.shown

    def update_discriminator(self, update):
        g, d = self.generator.network, self.discriminator.network
        self.generator.begin_update()
        self.discriminator.begin_update()
        d.zero_grad()
        for k in range(update * self.accumulate, (update + 1) * self.accumulate):
            real, labels = self.input("discriminator.real", k), self.input("discriminator.labels", k)
            z, fake_labels = self.input("discriminator.z", k), self.input("discriminator.fake_labels", k)
            with torch.no_grad():
                fake = g(z, fake_labels)
            real_logits, fake_logits = d(real, labels), d(fake, fake_labels)
            loss = (self.real_loss(real_logits).sum() + self.fake_loss(fake_logits).sum()) / self.batch
            self.report["loss_d"] += loss.detach() / self.d_steps
            self.report["real_logit"] += real_logits.detach().sum() / self.batch / self.d_steps
            self.report["fake_logit"] += fake_logits.detach().sum() / self.batch / self.d_steps
            if self.penalty > 0:
                kind, eps = self.recipe["gan"]["gradient_penalty_kind"], self.input("discriminator.penalty_eps", k)
                penalty = gradient_penalty(kind, self.penalty, d, real, fake, labels, eps).sum() / self.batch
                self.show("discriminator.penalty", k, penalty)
                self.report["penalty"] += penalty.detach() / self.d_steps
                loss = loss + penalty
            self.show("discriminator.fake", k, fake)
            self.show("discriminator.logits", k, torch.cat([real_logits, fake_logits]))
            self.show("discriminator.loss", k, loss)
            loss.backward()
        self.show_gradients(self.discriminator, update)
        self.discriminator.update()

    def update_generator(self):
        g, d = self.generator.network, self.discriminator.network
        self.generator.begin_update()
        self.discriminator.begin_update()
        g.zero_grad()
        d.requires_grad_(False)
        for k in range(self.accumulate):
            z, labels = self.input("generator.z", k), self.input("generator.labels", k)
            fake = g(z, labels)
            logits = d(fake, labels)
            loss = self.generator_loss(logits).sum() / self.batch
            self.report["loss_g"] += loss.detach()
            self.show("generator.fake", k, fake)
            self.show("generator.logits", k, logits)
            self.show("generator.loss", k, loss)
            loss.backward()
        if self.orthogonal > 0:
            orthogonal_penalty(g, self.orthogonal).backward()
        self.show_gradients(self.generator, 0)
        self.generator.update()


def parameter_counts(recipe):
    """{"generator": ..., "discriminator": ...}, from networks without memory."""
    with torch.device("meta"):
        networks = {"generator": Generator(recipe), "discriminator": Discriminator(recipe)}
    return {name: sum(weight.numel() for weight in network.parameters()) for name, network in networks.items()}
