"""One step of each GAN with an encoder against its reference: losses, gradients, and all that a checkpoint holds.

BIGGAN_STEP is the path of the program that makes a step. Errors are relative L2, in float64.
"""

from pathlib import Path

import pytest

from encoders_reference import Step
from step_comparison import assert_double_precision

NARROW = ("train.batch=6 perturb=0.05 updates=2 dcgan.resolution=16 dcgan.generator_channels=4 dcgan.latent=7 "
          "encoders.channels=3 encoders.latent_widths=8,7 encoders.joint_widths=9 encoder.clip=0.5")
FLAT = ("gan.network=fully_connected fully_connected.height=5 fully_connected.width=6 fully_connected.latent=7 "
        "fully_connected.latent_distribution=normal fully_connected.generator_widths=9,8 "
        "encoders.network=fully_connected encoders.widths=9,8")


def narrow(recipe, changes="", without=()):
    words = NARROW.split()
    return " ".join([recipe, *(word for word in words if not word.startswith(tuple(without))), changes])


DCGAN = ("dcgan.",)
CASES = {
    "bigan": narrow("bigan-digits"),
    "bigan-accumulated": narrow("bigan-digits", "train.accumulate=2"),
    "ali": narrow("bigan-digits", "bigan.posterior=gaussian encoders.kernel=4"),
    "vae_gan": narrow("vae-gan-digits", "dcgan.discriminator_channels=3 vae_gan.prior=0.7"),
    "vae_gan-of-classes": narrow(
        "vae-gan-digits", "dcgan.discriminator_channels=3 dcgan.conditioning=concatenation dcgan.classes=5 train.accumulate=2"),
    "adversarial_autoencoder": narrow("aae-digits"),
    "adversarial_autoencoder-accumulated": narrow(
        "aae-digits", "train.accumulate=2 adversarial_autoencoder.posterior=gaussian"),
}


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    assert_double_precision(case, CASES[case], tmp_path, Step, ("encoder", "generator", "discriminator"))


def test_fully_connected(tmp_path):
    """Options of another generator than the recipe's: its own are not known then."""
    text = (Path(__file__).parents[2] / "launch" / "recipes" / "bigan-digits.cfg").read_text()
    begin, end = text.index("[gan]"), text.index("[encoders]")
    recipe = tmp_path / "flat.cfg"
    recipe.write_text(text[:begin] + "[gan]\nnetwork = fully_connected\n\n" + text[end:])
    case = narrow(str(recipe.with_suffix("")), FLAT, DCGAN)
    assert_double_precision("bigan-fully-connected", case, tmp_path, Step, ("encoder", "generator", "discriminator"))
