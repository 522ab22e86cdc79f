"""The program's BigGAN and adversarial method against the references beside this: one step, and parameter counts.

BIGGAN_STEP and GANYMEDE are the paths of the programs, PARITY_SEED, if given, the seed of weights, images and noise.
"""

import pytest

from step_comparison import assert_double_precision, assert_single_precision

NARROW_CIFAR = "biggan.generator_channels=4 biggan.discriminator_channels=4 biggan.shared=12 biggan.chunk=5"
NARROW = "biggan.shared=8 biggan.chunk=4 biggan.classes=7"


def cifar(changes=""):
    return (
        "biggan-cifar10 train.batch=8 gan.d_steps=1 generator.ema_start=0 generator.ema=0.9 "
        f"{NARROW_CIFAR} {changes}"
    )


def digits(changes=""):
    return f"biggan-digits train.batch=8 generator.ema_start=0 {changes}"


def imagenet(resolution, generator, discriminator, changes=""):
    return (
        f"biggan-imagenet128 train.batch=4 train.accumulate=1 gan.d_steps=1 gan.orthogonal=0 {NARROW} "
        f"biggan.resolution={resolution} biggan.generator_channels={generator} "
        f"biggan.discriminator_channels={discriminator} generator.ema_start=0 generator.ema=0.9 {changes}"
    )


NOISE = "perturb=0.1 updates=6"
WGAN_GP = "gan.loss=wasserstein gan.gradient_penalty=10 gan.gradient_penalty_kind=wgan-gp"
CASES = {
    "cifar": cifar(NOISE),
    "cifar-first-step": cifar(),
    "cifar-two-d-steps": cifar(f"{NOISE} gan.d_steps=2"),
    "cifar-accumulate": cifar(f"{NOISE} train.batch=12 train.accumulate=3 gan.d_steps=2"),
    "cifar-orthogonal": cifar(f"{NOISE} gan.orthogonal=0.01"),
    "cifar-wgan-gp": cifar(f"{NOISE} {WGAN_GP} train.accumulate=2"),
    "cifar-r1-spectral": cifar(f"{NOISE} gan.gradient_penalty=2 gan.gradient_penalty_kind=r1"),
    "cifar-r2": cifar(f"{NOISE} gan.gradient_penalty=2 gan.gradient_penalty_kind=r2"),
    "cifar-dragan": cifar(f"{NOISE} gan.gradient_penalty=2 gan.gradient_penalty_kind=dragan train.accumulate=2"),
    "cifar-groups": cifar(f"{NOISE} gan.batch_norm_group=4"),
    "cifar-no-spectral-norm-in-g": cifar(f"{NOISE} biggan.generator_spectral_norm=false"),
    "cifar-clip-warmup": cifar(
        f"{NOISE} generator.clip=0.01 generator.warmup=20 discriminator.clip=0.02 discriminator.decay=cosine "
        "discriminator.decay_until=40 discriminator.final_factor=0.1 generator.ema_start=7"
    ),
    "digits": digits(NOISE),
    "digits-first-step": digits(),
    "64": imagenet(64, 4, 8, f"{NOISE} biggan.attention=32"),
    "128": imagenet(128, 4, 8, f"{NOISE} train.batch=2"),
    "128-wgan-gp": imagenet(128, 2, 4, f"{NOISE} {WGAN_GP} train.batch=2 biggan.attention=32"),
    "256": imagenet(256, 1, 2, f"{NOISE} train.batch=2 biggan.attention=32"),
    "512": imagenet(512, 2, 1, f"{NOISE} train.batch=2 biggan.attention=16"),
}
SINGLE_PRECISION = ["cifar", "cifar-first-step", "cifar-wgan-gp", "digits", "64"]


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    assert_double_precision(case, CASES[case], tmp_path)


@pytest.mark.parametrize("case", SINGLE_PRECISION)
def test_single_precision(case, tmp_path):
    assert_single_precision(case, CASES[case], tmp_path)
