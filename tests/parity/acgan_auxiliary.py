"""The auxiliary classifier: Odena et al., arXiv 1610.09585, equations 2 and 3, as losses."""

from auxiliary_reference import ARGUMENTS, entropy, hits


class Auxiliary:
    def __init__(self, recipe):
        options = recipe["acgan"]
        self.real, self.fake, self.by_generator = (
            options.getfloat(key) for key in ("real_weight", "fake_weight", "generator_weight"))

    @staticmethod
    def outputs(recipe):
        return recipe[recipe["gan"]["network"]].getint("classes")

    def verdict(self, logits, outputs):
        return logits

    def discriminator(self, real, fake):
        return self.real * entropy(real.outputs, real.labels) + self.fake * entropy(fake.outputs, fake.labels)

    def generator(self, fake):
        return self.by_generator * entropy(fake.outputs, fake.labels)

    def figures(self, real, fake):
        return {"class_real": hits(real.outputs, real.labels), "class_fake": hits(fake.outputs, fake.labels)}


DCGAN = f"dcgan-cifar10 {ARGUMENTS['dcgan']} dcgan.conditioning=generator dcgan.classes=5 gan.auxiliary=acgan"
CASES = {
    "dcgan": f"{DCGAN} gan.d_steps=2 train.batch=16 train.accumulate=2",
    "dcgan-weights": f"{DCGAN} acgan.real_weight=2 acgan.fake_weight=0 acgan.generator_weight=0.1",
    "progressive": f"progressive-cifar10 {ARGUMENTS['progressive']} progressive.conditioning=generator "
                   "progressive.classes=7 gan.auxiliary=acgan gan.loss=wasserstein gan.gradient_penalty=10 "
                   "gan.gradient_penalty_kind=wgan-gp",
}
REFUSED = {
    "no classes": ("dcgan-cifar10 dcgan.classes=1 gan.auxiliary=acgan", "of one at most"),
    "told": ("dcgan-cifar10 dcgan.classes=5 dcgan.conditioning=concatenation gan.auxiliary=acgan", "is told the class"),
    "always told": ("biggan-cifar10 gan.auxiliary=acgan", "is told the class"),
    "generator not told": ("dcgan-cifar10 dcgan.classes=5 dcgan.conditioning=none gan.auxiliary=acgan", "not told"),
    "a weight": (f"{DCGAN} acgan.real_weight=-1", "acgan.real_weight"),
    "another's option": ("dcgan-cifar10 acgan.real_weight=1", "acgan.real_weight"),
}
