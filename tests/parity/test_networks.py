"""Each network but BigGAN (test_biggan.py) in one step of training against its reference, and all published counts.

A network needs <gan.network>_reference.py beside this, and lines in CASES and COUNTS.
"""

import os
import re
import subprocess
from collections import defaultdict

import pytest

from step_comparison import RECIPES, assert_double_precision, assert_single_precision, reference_counts

STEP = "train.batch=8 train.accumulate=1 gan.d_steps=1 generator.ema=0.9 generator.ema_start=0 perturb=0.1 updates=6"
WGAN_GP = "gan.loss=wasserstein gan.gradient_penalty=10 gan.gradient_penalty_kind=wgan-gp"
R1 = "gan.loss=logistic gan.gradient_penalty=2 gan.gradient_penalty_kind=r1"
SNGAN = f"{STEP} sngan.generator_channels=8 sngan.discriminator_channels=8 sngan.latent=12"
DCGAN = "dcgan.generator_channels=4 dcgan.discriminator_channels=4 dcgan.latent=9"
TEXT = "text.embedding=7 text.compressed=3"
DEEP = ("gan.orthogonal=0 biggan_deep.generator_channels=4 biggan_deep.discriminator_channels=4 biggan_deep.classes=7 "
        "biggan_deep.latent=6 biggan_deep.shared=5")
POINTS = ("fully_connected.image_channels=2 fully_connected.height=1 fully_connected.width=1 "
          "fully_connected.latent_distribution=normal fully_connected.output=linear "
          "fully_connected.generator_widths=16,15 fully_connected.discriminator_widths=14,13")
PROGRESSIVE = "progressive.channel_base=64 progressive.most_channels=12 progressive.latent=10" \
    " growth.from=0 gan.drift=0 gan.gradient_penalty_target=1"
STYLE = ("stylegan2.noise=fixed stylegan2.channel_base=128 stylegan2.most_channels=12 stylegan2.latent=10 "
         "stylegan2.style=9 stylegan2.style_mixing=0")
STYLEGAN = ("stylegan.noise=fixed stylegan.channel_base=64 stylegan.most_channels=12 stylegan.latent=10 stylegan.style=9 "
            "stylegan.style_mixing=0 stylegan.mapping_layers=3 stylegan.deviation_group=4 growth.from=0")
PLAIN = "ada.blitting=false ada.geometry=false ada.color=false"
NO_ADA = f"{PLAIN} gan.gradient_penalty_apart=false"
ADA = "ada.p=0.7 ada.every=1 ada.kimg=0.1 stylegan2.resolution=16 stylegan2.deviation_group=4"
LAZY = "gan.path_length=2 gan.gradient_penalty=3 gan.gradient_penalty_kind=r1 gan.gradient_penalty_apart=true"

AUTOENCODING = "autoencoding.resolution=32 autoencoding.channels=3 autoencoding.latent=7"

CASES = {
    "autoencoding": f"began-celeba64 {STEP} {AUTOENCODING} gan.d_steps=2 began.lambda_k=0.5 perturb=0.05",
    "autoencoding-l2": f"began-celeba64 {STEP} {AUTOENCODING} autoencoding.error=l2 autoencoding.resolution=16 gan.loss=ebgan "
                       "ebgan.margin=0.3 ebgan.pull_away=0",
    "drift": f"progressive-cifar10 {STEP} {PROGRESSIVE} gan.drift=0.3",
    "clipped": f"sngan-cifar10 {SNGAN} sngan.discriminator_spectral_norm=false gan.loss=wasserstein gan.weight_clip=0.05",
    "lecam": f"sngan-cifar10 {SNGAN} gan.lecam=0.4 gan.lecam_start=1 gan.lecam_decay=0.7 gan.d_steps=3 generator.ema=0",
    "consistency": f"dcgan-cifar10 {STEP} {DCGAN} dcgan.conditioning=concatenation dcgan.classes=5 gan.cr_real=0.7 "
                   "gan.cr_fake=0.3",
    "latent-consistency": f"sngan-cifar10 {SNGAN} gan.zcr_d=2 gan.zcr_g=0.5 gan.zcr_noise=0.3 gan.d_steps=2",
    "top-k": f"sngan-cifar10 {SNGAN} gan.top_k=0.4 gan.top_k_decay=0.7 gan.top_k_every=2 step=4",
    "feature-matching": f"began-celeba64 {STEP} {AUTOENCODING} gan.feature_matching=0.8",
    "sngan": f"sngan-cifar10 {SNGAN}",
    "sngan-classes": f"cgan-pd-cifar10 {SNGAN}",
    "sngan-wgan-gp": f"cgan-pd-cifar10 {SNGAN} sngan.discriminator_spectral_norm=false {WGAN_GP}",
    "sngan-layer-norm": f"sngan-cifar10 {SNGAN} sngan.discriminator_norm=layer sngan.discriminator_spectral_norm=false {WGAN_GP}",
    "sngan-group-norm": f"cgan-pd-cifar10 {SNGAN} sngan.discriminator_norm=group sngan.norm_groups=4 "
                        f"sngan.discriminator_spectral_norm=false {R1}",
    "sngan-nearest": f"biggan-cifar10-ch64 {SNGAN} {R1}",
    "sagan-64": f"cgan-pd-cifar10 {SNGAN} sngan.resolution=64 sngan.attention=32 sngan.generator_spectral_norm=true "
                "sngan.generator_channels=4 train.batch=4",
    "dcgan": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=32",
    "dcgan-classes": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=16 dcgan.conditioning=concatenation dcgan.classes=5 "
                     f"{WGAN_GP}",
    "dcgan-classes-in-g": f"dcgan-cifar10 {STEP} {DCGAN} dcgan.conditioning=generator dcgan.classes=5",
    "dcgan-minibatch": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=16 dcgan.minibatch_kernels=6 dcgan.minibatch_width=3 "
                       f"dcgan.minibatch_group=4 {R1}",
    "dcgan-virtual-norm": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=16 dcgan.generator_norm=virtual "
                          "dcgan.reference_batch=5 dcgan.conditioning=generator dcgan.classes=3",
    "dcgan-virtual-norm-counted": f"dcgan-cifar10 {STEP} {DCGAN} dcgan.generator_norm=virtual dcgan.reference_batch=3 "
                                  "dcgan.minibatch_kernels=4 gan.d_steps=2 train.batch=16 train.accumulate=2",
    "dcgan-text": f"dcgan-text-birds {STEP} {DCGAN} {TEXT} dcgan.resolution=16",
    "dcgan-text-between": f"dcgan-text-birds {STEP} {DCGAN} {TEXT} dcgan.resolution=16 text.interpolation=0.3 gan.d_steps=2 "
                          "train.batch=16 train.accumulate=2",
    "dcgan-text-r1": f"dcgan-text-birds {STEP} {DCGAN} {TEXT} dcgan.resolution=16 {R1}",
    "dcgan-text-counted": f"dcgan-cifar10 {STEP} {DCGAN} {TEXT} dcgan.conditioning=text text.matching_aware=false {WGAN_GP}",
    "dcgan-layer-norm": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=16 dcgan.discriminator_norm=layer {WGAN_GP}",
    "dcgan-instance-norm": f"dcgan-cifar10 {STEP} {DCGAN} dcgan.discriminator_norm=instance {WGAN_GP}",
    "dcgan-group-norm": f"dcgan-cifar10 {STEP} {DCGAN} dcgan.discriminator_norm=group dcgan.norm_groups=2 {WGAN_GP}",
    "dcgan-no-norm": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.resolution=16 dcgan.discriminator_norm=none {WGAN_GP}",
    "dcgan-kernel-4": f"dcgan-lsun64 {STEP} {DCGAN} dcgan.kernel=4 dcgan.resolution=16 {R1}",
    "dcgan-counted": f"dcgan-cifar10 {STEP} {DCGAN} gan.d_steps=2 gan.batch_norm_group=4 train.batch=16 train.accumulate=2",
    "dcgan-wgan-gp": f"dcgan-cifar10 {STEP} {DCGAN} {WGAN_GP}",
    "biggan-deep": f"biggan-deep-imagenet128 {STEP} {DEEP} biggan_deep.attention=16 biggan_deep.resolution=32",
    "biggan-deep-128": f"biggan-deep-imagenet128 {STEP} {DEEP} train.batch=2",
    "biggan-deep-wgan-gp": f"biggan-deep-imagenet128 {STEP} {DEEP} biggan_deep.resolution=64 biggan_deep.attention=32 "
                           f"train.batch=2 {WGAN_GP}",
    "fully-connected": f"fully-connected-mnist {STEP}",
    "fully-connected-points": f"fully-connected-mnist {STEP} {POINTS} {WGAN_GP}",
    "fully-connected-classes": f"fully-connected-mnist {STEP} fully_connected.conditioning=concatenation {R1}",
    "progressive": f"progressive-cifar10 {STEP} {PROGRESSIVE}",
    "progressive-fading": f"progressive-cifar10 {STEP} {PROGRESSIVE} progressive.alpha=0.3 progressive.stage=16",
    "progressive-first": f"progressive-cifar10 {STEP} {PROGRESSIVE} progressive.stage=4 progressive.deviation_group=0",
    "progressive-classes": f"progressive-cifar10 {STEP} {PROGRESSIVE} progressive.conditioning=concatenation {R1}",
    "stylegan": f"stylegan-cifar-small {STEP} {STYLEGAN} {R1}",
    "stylegan-fading": f"stylegan-cifar-small {STEP} {STYLEGAN} stylegan.alpha=0.3 stylegan.stage=16 {WGAN_GP}",
    "stylegan-first": f"stylegan-cifar-small {STEP} {STYLEGAN} stylegan.stage=4 stylegan.noise=none "
                      "stylegan.conditioning=generator gan.gradient_penalty=0",
    "stylegan-lazy": f"stylegan-ffhq1024 {STEP} {STYLEGAN} stylegan.resolution=16 {LAZY}",
    "stylegan2": f"stylegan2-cifar10 {STEP} {STYLE} {NO_ADA} stylegan2.deviation_group=4 {R1}",
    "stylegan2-lazy": f"stylegan2-ffhq256 {STEP} {STYLE} stylegan2.resolution=16 stylegan2.mapping_layers=3 {PLAIN} {LAZY}",
    "stylegan2-blitting": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} ada.geometry=false ada.color=false {LAZY}",
    "stylegan2-geometry": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} ada.blitting=false ada.color=false {LAZY}",
    "stylegan2-color": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} ada.blitting=false ada.geometry=false {LAZY}",
    "stylegan2-filter": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} {PLAIN} ada.filter=true {LAZY}",
    "stylegan2-noise": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} {PLAIN} ada.noise=true {LAZY}",
    "stylegan2-cutout": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} {PLAIN} ada.cutout=true {LAZY}",
    "stylegan2-bgcfnc": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} ada.filter=true ada.noise=true ada.cutout=true {R1} "
                        "gan.gradient_penalty_apart=false",
    "stylegan2-ada": f"stylegan2-cifar10 {STEP} {STYLE} {ADA} {R1} gan.gradient_penalty_apart=false",
    "stylegan2-residual": f"stylegan2-ffhq256 {STEP} {STYLE} stylegan2.resolution=32 stylegan2.mapping_layers=3 {R1} {NO_ADA} "
                          "gan.path_length=0",
    "stylegan2-clamped": f"stylegan2-ffhq256 {STEP} {STYLE} stylegan2.resolution=16 stylegan2.clamp=1.2 {WGAN_GP} {NO_ADA} "
                         "gan.path_length=0",
}
SINGLE_PRECISION = ["sngan-classes", "dcgan", "dcgan-counted", "biggan-deep", "fully-connected", "progressive-fading",
                    "stylegan", "stylegan2"]


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    assert_double_precision(case, CASES[case], tmp_path)


@pytest.mark.parametrize("case", SINGLE_PRECISION)
def test_single_precision(case, tmp_path):
    assert_single_precision(case, CASES[case], tmp_path)


# As published, or worked out from the published code and equal to what its logs show.
COUNTS = {
    "biggan-cifar10": (9_416_196, 2_415_170),
    "biggan-cifar10-ch64": (4_304_387, 4_207_361),
    "biggan-imagenet128": (70_433_988, 87_982_370),
    "biggan-imagenet128-ch64": (31_978_628, 39_448_258),
    "biggan-deep-imagenet128": (50_244_484, 34_590_210),
    "cgan-pd-cifar10": (4_304_387, 1_055_105),
    "dcgan-cifar10": (3_812_355, 2_931_009),
    "progressive-celeba128": (22_933_394, 22_941_313),
    "progressive-celebahq1024": (23_079_115, 23_087_249),
    "progressive-cifar10": (1_296_908, 1_298_689),
    "progressive-lsun256": (23_044_309, 23_052_353),
    "sngan-cifar10": (4_276_739, 1_053_825),
    "stylegan-ffhq1024": (26_219_627, 23_087_249),
    "stylegan2-cifar10": (20_215_315, 23_089_664),
    "stylegan2-ffhq1024": (30_370_060, 29_012_513),
    "stylegan2-ffhq256": (24_767_458, 24_001_089),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_of_the_references(name):
    assert reference_counts(name) == COUNTS[name]


@pytest.fixture(scope="module")
def listed():
    """{recipe: {player: parameters}} as `ganymede models` lists them: one line a network."""
    lines = subprocess.run([os.environ["GANYMEDE"], "models"], check=True, capture_output=True, text=True).stdout
    counts = defaultdict(dict)
    for recipe, network, count in re.findall(r"^(\S+)\s+(generator|discriminator)\s+([\d,_ ']+)$", lines, re.MULTILINE):
        counts[recipe][network] = int(re.sub(r"\D", "", count))
    return counts


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_of_the_program(name, listed):
    assert (listed[name]["generator"], listed[name]["discriminator"]) == COUNTS[name]


def network_names():
    return set(re.findall(r'{"(\w+)", make_', (RECIPES.parents[1] / "models/gan/network.cpp").read_text()))


def test_every_network_has_a_case():
    names = network_names() - {"biggan"}
    recipes = {case.split()[0] for case in CASES.values()}
    cased = {re.search(r"^network = (\w+)$", (RECIPES / f"{recipe}.cfg").read_text(), re.MULTILINE)[1] for recipe in recipes}
    assert names and names == cased


def test_every_recipe_is_listed_and_counted_as_its_reference(listed):
    gans = {path.stem for path in RECIPES.glob("*.cfg") if "method = adversarial\n" in path.read_text()}
    assert gans and gans <= listed.keys()
    for recipe in gans:
        counts = listed[recipe]
        assert (counts["generator"], counts["discriminator"]) == reference_counts(recipe), recipe
