"""A discriminator of C + 1 classes: Salimans et al., arXiv 1606.03498, section 5."""

import torch

from auxiliary_reference import ARGUMENTS, entropy, hits


class Auxiliary:
    def __init__(self, recipe):
        self.weight = recipe["extra_class"].getfloat("weight")

    @staticmethod
    def outputs(recipe):
        return recipe[recipe["gan"]["network"]].getint("classes")

    def verdict(self, logits, outputs):
        """The log-odds of the first C of C + 1 classes under a softmax over all."""
        probabilities = torch.softmax(torch.cat([outputs, -logits[:, None]], dim=1), dim=1)
        return torch.log(probabilities[:, :-1].sum(1)) - torch.log(probabilities[:, -1])

    def discriminator(self, real, fake):
        return self.weight * entropy(real.outputs, real.labels)

    def generator(self, fake):
        return None

    def figures(self, real, fake):
        return {"class_real": hits(real.outputs, real.labels)}


DCGAN = f"dcgan-cifar10 {ARGUMENTS['dcgan']} dcgan.classes=5 gan.auxiliary=extra_class gan.loss=logistic"
CASES = {
    "dcgan": f"{DCGAN} gan.d_steps=2 train.batch=16 train.accumulate=2",
    "dcgan-told-generator": f"{DCGAN} dcgan.conditioning=generator extra_class.weight=0.3",
    "r1": f"{DCGAN} gan.gradient_penalty=2 gan.gradient_penalty_kind=r1",
}
REFUSED = {
    "no classes": ("dcgan-cifar10 dcgan.classes=1 gan.auxiliary=extra_class gan.loss=logistic", "of one at most"),
    "told": ("cgan-pd-cifar10 gan.auxiliary=extra_class gan.loss=logistic", "is told the class"),
    "a loss without probabilities": (f"{DCGAN} gan.loss=hinge", "probabilities"),
}
