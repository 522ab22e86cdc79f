"""InfoGAN: Chen et al., arXiv 1606.03657, equations 4 to 6. Codes are the last numbers of z."""

import torch

from auxiliary_reference import ARGUMENTS, entropy, hits


class Auxiliary:
    def __init__(self, recipe):
        options = recipe["infogan"]
        self.categories = [int(word) for word in options.get("categorical").split(",") if word.strip()]
        self.continuous, self.learned = options.getint("continuous"), options["deviation"] == "learned"
        self.weights = options.getfloat("categorical_weight"), options.getfloat("continuous_weight")

    def outputs(self, recipe):
        return sum(self.categories) + self.continuous * (2 if self.learned else 1)

    def verdict(self, logits, outputs):
        return logits

    def taken_apart(self, fake):
        """[(outputs, code) for each categorical code], and the mean, log deviation and values of continuous ones."""
        widths = [*self.categories, self.continuous]
        *outputs, mean = fake.outputs[:, : sum(widths)].split(widths, dim=1)
        *codes, numbers = fake.z[:, -sum(widths):].split(widths, dim=1)
        log_deviation = fake.outputs[:, sum(widths):] if self.learned else torch.zeros_like(mean)
        return [(each, code.argmax(1)) for each, code in zip(outputs, codes)], mean, log_deviation, numbers

    def generator(self, fake):
        categorical, mean, log_deviation, numbers = self.taken_apart(fake)
        cost = -torch.distributions.Normal(mean, log_deviation.exp()).log_prob(numbers).sum(1) * self.weights[1]
        for outputs, code in categorical:
            cost = cost + self.weights[0] * entropy(outputs, code)
        return cost

    def discriminator(self, real, fake):
        return self.generator(fake)

    def figures(self, real, fake):
        categorical, mean, _, numbers = self.taken_apart(fake)
        figures = {}
        if categorical:
            figures["code_hits"] = sum(hits(*each) for each in categorical) / len(categorical)
        if self.continuous:
            figures["code_error"] = (numbers - mean).square().mean(1)
        return figures


OPTIONS = f"{ARGUMENTS['dcgan']} dcgan.latent_distribution=normal gan.auxiliary=infogan"
DCGAN = f"dcgan-cifar10 {OPTIONS}"
CASES = {
    "dcgan": f"{DCGAN} gan.d_steps=2 train.batch=16 train.accumulate=2",
    # Large gradients: without biases in front of batch norms, whose rounding errors Adam would make steps of.
    "learned": f"dcgan-lsun64 {OPTIONS} dcgan.resolution=16 infogan.categorical=3,4 infogan.continuous=3 infogan.deviation=learned "
               "infogan.categorical_weight=0.5 infogan.continuous_weight=2",
    "continuous": f"{DCGAN} infogan.categorical= infogan.continuous=4",
    "categorical": f"{DCGAN} infogan.categorical=2,2 infogan.continuous=0",
    "progressive": f"progressive-cifar10 {ARGUMENTS['progressive']} gan.auxiliary=infogan gan.loss=wasserstein "
                   "gan.gradient_penalty=10 gan.gradient_penalty_kind=wgan-gp",
    "stylegan": f"stylegan-cifar-small {ARGUMENTS['stylegan']} stylegan.conditioning=none gan.auxiliary=infogan",
}
REFUSED = {
    "no codes": (f"{DCGAN} infogan.categorical= infogan.continuous=0", "without codes"),
    "no noise": (f"{DCGAN} infogan.categorical=13", "must be left for noise"),
    "uniform": (f"{DCGAN} dcgan.latent_distribution=uniform", "dcgan.latent_distribution = normal"),
    "mixing": ("stylegan2-ffhq256 gan.auxiliary=infogan", "stylegan2.style_mixing = 0"),
}
