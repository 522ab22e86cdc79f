"""One step of a GAN's training in plain PyTorch: the yardstick for the C++ program's adversarial method."""

import copy
import math
from collections import defaultdict

import torch
import torch.nn.functional as F

import ada_reference
from auxiliary_reference import View, auxiliary_of, discriminator_of
from reference_layers import Normalised, networks_of


# Name: (D's part on real logits, on fake logits, G's).
LOSSES = {
    "hinge": (lambda x: torch.relu(1 - x), lambda x: torch.relu(1 + x), lambda x: -x),
    "logistic": (lambda x: -F.logsigmoid(x), lambda x: -F.logsigmoid(-x), lambda x: -F.logsigmoid(x)),
    "wasserstein": (lambda x: -x, lambda x: x, lambda x: -x),
}


def losses_of(recipe):
    """Where an autoencoder judges, a logit is minus its error."""
    if recipe["gan"]["loss"] == "ebgan":  # Zhao et al., arXiv 1609.03126, equations 1 and 2
        margin = recipe["ebgan"].getfloat("margin")
        return lambda x: -x, lambda x: torch.relu(margin + x), lambda x: -x
    if recipe["gan"]["loss"] == "began":  # Berthelot et al., arXiv 1703.10717, section 3.4; k comes by Step
        return lambda x: -x, lambda x: x, lambda x: -x
    return LOSSES[recipe["gan"]["loss"]]


def path_lengths(generator, ws, noise):
    """Karras et al., arXiv 1912.04958, section 3.2: |J^T y| of each image, a mean square over the layers' styles."""
    images = generator.synthesise(ws)
    y = noise.view(images.shape) / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()


def lazily(options, every):
    """There, appendix B: the optimiser of a player that makes every + 1 updates where it made `every`."""
    c = every / (every + 1)
    options["lr"] = repr(options.getfloat("lr") * c)
    for beta in ("beta1", "beta2"):
        options[beta] = repr(options.getfloat(beta) ** c)
    options["extra_every"] = str(every)


def gradient_penalty(kind, weight, discriminator, real, fake, labels, fake_labels, noise):
    """One number an image: on D's gradient at mixtures of real and fake images, near real ones, or at one side's."""
    if kind == "wgan-gp":
        eps = noise.view(-1, 1, 1, 1)
        x = eps * real + (1 - eps) * fake
    elif kind == "dragan":
        x = real + 0.5 * noise.view(real.shape)
    elif kind == "r2":
        x, labels = fake, fake_labels
    else:
        x = real
    x = x.detach().clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(discriminator(x, labels).sum(), x, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    return weight * (norm - 1) ** 2 if kind in ("wgan-gp", "dragan") else weight / 2 * norm**2


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


def average_decay(options, past):
    """After so many updates: StyleGAN2 with ADA ramps the half-life up with the images seen."""
    if past < options.getint("ema_start", 0):
        return 0
    every = options.getint("extra_every", 0)
    own = past - math.ceil(past / (every + 1)) if every else past  # 1 extra, every own, 1 extra, ...
    ramp, ema = options.getfloat("ema_ramp", 0), options.getfloat("ema", 0)
    return min(ema, 0.5 ** (1 / max(ramp * own, 1e-8))) if ramp else ema


class Player:
    """A network with Adam and a moving average of its weights and buffers."""

    def __init__(self, name, network, options, before, updates, dtype):
        self.name, self.network, self.options, self.updates = name, network.to(dtype), options, updates

        def stored(kind):
            prefix = f"before/{name}/{kind}/"
            names = [key for key in before if key.startswith(prefix)]
            return {key.removeprefix(prefix): before[key].to(dtype, copy=True) for key in names}

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
        for weight in self.weights.values():
            if weight.grad is None:  # layers that a stage of growth does not use
                weight.grad = torch.zeros_like(weight)
        return {key: weight.grad.clone() for key, weight in self.weights.items()}

    @torch.no_grad()
    def update(self):
        self.updates += 1
        self.step_adam()
        decay = average_decay(self.options, self.updates - 1)
        for kind, current in (("ema", self.weights), ("ema_buffer", self.buffers)):
            for key, average in self.ema[kind].items():
                average.copy_(decay * average + (1 - decay) * current[key])

    @torch.no_grad()
    def update_for_regulariser(self):
        """Averages stay."""
        self.updates += 1
        self.step_adam()

    def step_adam(self):
        clip = self.options.getfloat("clip", 0)
        norm = torch.stack([weight.grad.norm() for weight in self.weights.values()]).norm()
        if 0 < clip < norm:
            for weight in self.weights.values():
                weight.grad *= clip / norm
        self.adam.param_groups[0]["lr"] = learning_rate(self.options, self.updates)
        self.adam.step()

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
        recipe = copy.deepcopy(recipe)
        self.recipe, self.record, self.dtype = recipe, record, dtype
        self.shown, self.report = {}, defaultdict(float)
        gan, train = recipe["gan"], recipe["train"]
        self.batch, self.accumulate = train.getint("batch"), train.getint("accumulate", 1)
        self.d_steps, self.orthogonal = gan.getint("d_steps", 1), gan.getfloat("orthogonal", 0)
        self.task = auxiliary_of(recipe)
        follows_text = recipe.has_section("dcgan") and recipe["dcgan"].get("conditioning") == "text"
        self.matches = follows_text and recipe["text"].getboolean("matching_aware")
        self.between = recipe["text"].getfloat("interpolation") if follows_text else 0
        self.penalty, self.kind = gan.getfloat("gradient_penalty", 0), gan["gradient_penalty_kind"]
        self.penalty_every, self.apart = gan.getint("gradient_penalty_every"), gan.getboolean("gradient_penalty_apart")
        self.path_length, self.path_every = gan.getfloat("path_length"), gan.getint("path_length_every")
        self.path_batch = self.batch // gan.getint("path_length_shrink")
        self.ada, self.p = recipe["ada"], recipe["ada"].getfloat("p")
        self.augments = any(self.ada.getboolean(kind) for kind in ("blitting", "geometry", "color", "filter", "noise", "cutout"))
        self.augmentations = defaultdict(int)
        if self.penalty > 0 and self.apart:
            lazily(recipe["discriminator"], self.penalty_every)
        if self.path_length > 0:
            lazily(recipe["generator"], self.path_every)
        self.real_loss, self.fake_loss, self.generator_loss = losses_of(recipe)
        self.balances, self.k = gan["loss"] == "began", 0.0
        self.anchors = torch.zeros(2, dtype=torch.float64)  # LeCam's, of real and of fake logits
        make = lambda name, network: Player(name, network, recipe[name], record, updates, dtype)
        self.generator = make("generator", networks_of(recipe).Generator(recipe))
        self.discriminator = make("discriminator", discriminator_of(recipe, self.task))

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
        if self.path_length > 0:
            self.shorten_paths()
        if self.augments and self.ada.getfloat("target") > 0:
            self.report["ada_p"] = torch.tensor(self.p, dtype=torch.float64)
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
            if self.augments:
                real = self.augmented("discriminator", "real")
                fake = self.augmented("discriminator", "fake", fake)
            real_logits = d(real, labels)
            real_view = View(d.outputs, labels) if self.task else None
            fake_logits = d(fake, fake_labels)
            fake_view = View(d.outputs, fake_labels, z) if self.task else None
            judged, fake_loss = [real_logits, fake_logits], self.fake_loss(fake_logits).sum()
            if self.matches:  # Reed et al., arXiv 1605.05396, algorithm 1, line 9
                judged.append(d(real, self.input("discriminator.other_labels", k)))
                fake_loss = (fake_loss + self.fake_loss(judged[2]).sum()) / 2
            loss = (self.real_loss(real_logits).sum() + (self.k if self.balances else 1) * fake_loss) / self.batch
            self.report["loss_d"] += loss.detach() / self.d_steps
            self.report["real_logit"] += real_logits.detach().sum() / self.batch / self.d_steps
            self.report["fake_logit"] += fake_logits.detach().sum() / self.batch / self.d_steps
            means = torch.stack([real_logits.detach().mean(), fake_logits.detach().mean()]).double()
            loss = loss + self.regularisers(k, update, real_logits, fake_logits, labels, fake_labels)
            if self.penalty > 0 and not self.apart:
                loss = loss + self.penalty_term(k, real, fake, labels, fake_labels) * self.penalty_every
            if self.task:
                part = self.task.discriminator(real_view, fake_view).sum() / self.batch
                self.report["auxiliary_d"] += part.detach() / self.d_steps
                for name, figure in self.task.figures(real_view, fake_view).items():
                    self.report[name] += figure.detach().sum() / self.batch / self.d_steps
                loss = loss + part
            self.show("discriminator.fake", k, fake)
            self.show("discriminator.logits", k, torch.cat(judged))
            self.show("discriminator.loss", k, loss)
            loss.backward()
        self.show_gradients(self.discriminator, update)
        self.discriminator.update()
        self.advance(update, means)
        if self.augments and self.ada.getfloat("target") > 0:
            self.adapt(real_logits)
        if self.penalty > 0 and self.apart:
            self.penalise_apart()

    def regularisers(self, k, update, real_logits, fake_logits, labels, fake_labels):
        """Those of D's logits."""
        gan, d = self.recipe["gan"], self.discriminator.network
        weights = {name: gan.getfloat(name, 0) for name in ("drift", "lecam", "cr_real", "cr_fake", "zcr_d")}
        each = 0 * real_logits
        if weights["drift"]:  # Karras et al., arXiv 1710.10196, appendix A.1
            each = each + weights["drift"] * real_logits**2
        if weights["lecam"] and update >= gan.getint("lecam_start"):  # Tseng et al., arXiv 2104.03310, equation 3
            real_anchor, fake_anchor = self.anchors.to(self.dtype)
            each = each + weights["lecam"] * ((real_logits - fake_anchor) ** 2 + (fake_logits - real_anchor) ** 2)
        if weights["cr_real"]:  # Zhang et al., arXiv 1910.12027
            moved = d(self.input("discriminator.moved_real", k), labels)
            each = each + weights["cr_real"] * (real_logits - moved) ** 2
        if weights["cr_fake"]:  # Zhao et al., arXiv 2002.04724, algorithm 1
            moved = d(self.input("discriminator.moved_fake", k), fake_labels)
            each = each + weights["cr_fake"] * (fake_logits - moved) ** 2
        if weights["zcr_d"]:  # there, algorithm 2
            with torch.no_grad():
                changed = self.generator.network(self.input("discriminator.changed_z", k), fake_labels)
            each = each + weights["zcr_d"] * (fake_logits - d(changed, fake_labels)) ** 2
        if any(weights.values()) or gan.getfloat("zcr_g", 0):
            self.report["regularisers"] += each.detach().sum() / self.batch / self.d_steps
        return each.sum() / self.batch

    @torch.no_grad()
    def advance(self, update, means):
        """What follows D's update: of means of its real and fake logits, those before it."""
        gan = self.recipe["gan"]
        if clip := gan.getfloat("weight_clip", 0):  # Arjovsky et al., arXiv 1701.07875, algorithm 1
            for weight in self.discriminator.weights.values():
                weight.clamp_(-clip, clip)
        if gan.getfloat("lecam", 0):
            decay = gan.getfloat("lecam_decay") if update >= gan.getint("lecam_start") else 0
            self.anchors = decay * self.anchors + (1 - decay) * means
        if self.balances:
            began = self.recipe["began"]
            k = self.k + began.getfloat("lambda_k") * (means[1] - began.getfloat("gamma") * means[0]).item()
            self.k = min(max(k, 0), 1)

    def generator_losses(self, k, fake, logits, fake_features):
        """Of each image."""
        gan, d = self.recipe["gan"], self.discriminator.network
        each = self.generator_loss(logits)
        if weight := gan.getfloat("feature_matching", 0):  # Salimans et al., arXiv 1606.03498, section 3.1
            with torch.no_grad():
                d(self.input("generator.real", k), self.input("generator.real_labels", k))
            off = d.features.detach().mean(0) - fake_features.mean(0)
            each = weight * off.square().sum().expand(len(logits))
        if (share := gan.getfloat("top_k", 1)) < 1:  # Sinha et al., arXiv 2002.06224
            annealed = gan.getfloat("top_k_decay") ** ((self.recipe["train"].getint("step") - 1) // gan.getint("top_k_every"))
            count = max(1, round(max(annealed, share) * len(logits)))
            best = torch.zeros_like(logits)
            best[logits.detach().argsort(descending=True)[:count]] = len(logits) / count
            each = each * best
        if weight := gan.getfloat("zcr_g", 0):  # Zhao et al., arXiv 2002.04724, algorithm 2
            changed = self.generator.network(self.input("generator.changed_z", k), self.input("generator.labels", k))
            spread = -weight * (fake - changed).square().flatten(1).mean(1)
            self.report["regularisers"] += spread.detach().sum() / self.batch
            return each, spread
        return each, 0 * each

    def penalty_term(self, k, real, fake, labels, fake_labels):
        kind, d = self.kind, self.discriminator.network
        noise = self.input("discriminator.penalty_noise", k) if kind in ("wgan-gp", "dragan") else None
        if self.augments and kind == "r1":  # through the augmentation
            real = self.input("discriminator.ada_image_real", self.augmentations["discriminator", "real"])
            judge = lambda x, labels: d(self.augmented("discriminator", "real", x), labels)
        else:
            judge = d
        each = gradient_penalty(kind, self.penalty, judge, real, fake, labels, fake_labels, noise)
        penalty = each.sum() / self.batch
        self.show("discriminator.penalty", k, penalty)
        self.report["penalty"] += penalty.detach() / self.d_steps
        return penalty

    def penalise_apart(self):
        """R1 on the same images, in an update of its own: of one micro-batch and one update of D a step."""
        self.discriminator.begin_update()
        self.discriminator.network.zero_grad()
        real, labels = self.input("discriminator.real", 0), self.input("discriminator.labels", 0)
        (self.penalty_term(0, real, None, labels, None) * self.penalty_every).backward()
        self.show_gradients(self.discriminator, 1)
        self.discriminator.update_for_regulariser()

    def augmented(self, player, side, images=None):
        """Of one micro-batch after the other, as `player` saw them; real images are recorded."""
        k = self.augmentations[player, side]
        self.augmentations[player, side] += 1
        if images is None:
            images = self.input(f"{player}.ada_image_{side}", k)
        draws = [self.input(f"{player}.ada_{kind}_{side}", k) for kind in ("uniform", "normal")]
        noise = self.input(f"{player}.ada_noise_{side}", k) if self.ada.getboolean("noise") else None
        result = ada_reference.augmented(self.ada, self.p, images, *draws, noise)
        self.show(f"{player}.ada_result_{side}", k, result)
        return result

    def adapt(self, real_logits):
        """Section 3, equation 1: in each update of D here."""
        assert self.ada.getint("every") == self.accumulate == self.d_steps == 1
        away = torch.sign(real_logits.sign().mean() - self.ada.getfloat("target")).item()
        self.p = min(max(self.p + away * self.batch / (1000 * self.ada.getfloat("kimg")), 0), 1)

    def shorten_paths(self):
        g = self.generator.network
        self.generator.begin_update()
        g.zero_grad()
        z, labels, noise = (self.input(f"generator.path_{name}", 0) for name in ("z", "labels", "noise"))
        lengths = path_lengths(g, g.styles(z, labels), noise)
        penalty = self.path_length * (lengths - self.input("generator.path_mean", 0)).square().sum() / self.path_batch
        self.show("generator.path_lengths", 0, lengths)
        self.show("generator.path_penalty", 0, penalty)
        self.report["path_length"], self.report["path_penalty"] = lengths.detach().mean(), penalty.detach()
        (penalty * self.path_every).backward()
        self.show_gradients(self.generator, 1)
        self.generator.update_for_regulariser()

    def update_generator(self):
        g, d = self.generator.network, self.discriminator.network
        self.generator.begin_update()
        self.discriminator.begin_update()
        g.zero_grad()
        d.requires_grad_(False)
        for k in range(self.accumulate):
            z, labels = self.input("generator.z", k), self.input("generator.labels", k)
            fake = g(z, labels)
            if self.augments:
                fake = self.augmented("generator", "fake", fake)
            logits = d(fake, labels)
            each, spread = self.generator_losses(k, fake, logits, getattr(d, "features", None))
            loss = each.sum() / self.batch
            if self.between > 0:  # there, equation 5
                other = self.input("discriminator.other_labels", (self.d_steps - 1) * self.accumulate + k)
                text = self.between * labels + (1 - self.between) * other
                loss = loss + self.generator_loss(d(g(z, text), text)).sum() / self.batch
            self.report["loss_g"] += loss.detach()
            loss = loss + spread.sum() / self.batch
            each = self.task and self.task.generator(View(d.outputs, labels, z))
            if each is not None:
                part = each.sum() / self.batch
                self.report["auxiliary_g"] += part.detach()
                loss = loss + part
            self.show("generator.fake", k, fake)
            self.show("generator.logits", k, logits)
            self.show("generator.loss", k, loss)
            loss.backward()
        if self.orthogonal > 0:
            orthogonal_penalty(g, self.orthogonal).backward()
        self.show_gradients(self.generator, 0)
        self.generator.update()
