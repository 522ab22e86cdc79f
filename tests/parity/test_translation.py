"""pix2pix and CycleGAN against the references beside this: a whole step, and parameter counts.

BIGGAN_STEP and GANYMEDE are the paths of the programs, PARITY_SEED, if given, the seed of weights, images and noise.
"""

import os
import re
import subprocess
from collections import defaultdict

import pytest

import reference_layers
from step_comparison import RECIPES, assert_double_precision
from translation_reference import TranslationStep, parameter_counts

STEP = "train.batch=4 train.accumulate=1 generator.ema=0.9 perturb=0.1 updates=6"
PIX2PIX = (f"pix2pix {STEP} pix2pix.height=16 pix2pix.width=24 pix2pix.image_channels=2 pix2pix.depth=3 pix2pix.generator_channels=5 "
           "pix2pix.discriminator_channels=4 pix2pix.patch_layers=2 pix2pix.dropout_blocks=2")
MASKS = "dropout=up3:0.5:10:4:6 dropout=up2:0.5:5:8:12"
CYCLEGAN = (f"cyclegan {STEP} cyclegan.height=16 cyclegan.width=12 cyclegan.generator_channels=3 cyclegan.blocks=2 "
            "cyclegan.discriminator_channels=4 cyclegan.patch_layers=2 cyclegan.pool=3")

CASES = {
    "pix2pix": f"{PIX2PIX} {MASKS}",
    "pix2pix-accumulated": f"{PIX2PIX} train.batch=8 train.accumulate=2 pix2pix.batch_norm_group=2 {MASKS}",
    "pix2pix-instance-norm": f"{PIX2PIX} pix2pix.norm=instance gan.loss=lsgan pix2pix.adversarial=2 {MASKS}",
    "pix2pix-deep": f"{PIX2PIX} pix2pix.height=32 pix2pix.width=32 pix2pix.depth=5 pix2pix.dropout_blocks=1 gan.loss=hinge "
                    "dropout=up5:0.5:40:2:2",
    "pix2pix-pixels": f"{PIX2PIX} pix2pix.patch_layers=0 gan.loss=minimax {MASKS}",
    "pix2pix-decay": f"{PIX2PIX} pix2pix.patch_layers=1 generator.decay=linear generator.decay_from=4 generator.decay_until=10 {MASKS}",
    "cyclegan": CYCLEGAN,
    "cyclegan-accumulated": f"{CYCLEGAN} train.batch=8 train.accumulate=2",
    "cyclegan-channels": f"{CYCLEGAN} cyclegan.identity=0 cyclegan.image_channels=1 gan.loss=logistic cyclegan.pool=0",
}


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    assert_double_precision(case, CASES[case], tmp_path, TranslationStep)


# Of the papers' networks, for three channels to three, as the authors' own programs print them.
COUNTS = {
    "pix2pix": {"generator": 54_413_955, "discriminator": 2_768_705},
    "cyclegan": {"to_images": 11_378_179, "to_sources": 11_378_179, "of_images": 2_764_737, "of_sources": 2_764_737},
}


def recipes():
    return {path.stem: reference_layers.read_recipe(path.read_text())
            for path in RECIPES.glob("*.cfg") if re.search(r"method = (pix2pix|cyclegan)\n", path.read_text())}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts_of_the_references(name):
    assert parameter_counts(recipes()[name]) == COUNTS[name]


def test_the_program_counts_as_the_references():
    lines = subprocess.run([os.environ["GANYMEDE"], "models"], check=True, capture_output=True, text=True).stdout
    listed = defaultdict(dict)
    for recipe, network, count in re.findall(r"^(\S+)\s+(\S+)\s+([\d,_ ']+)$", lines, re.MULTILINE):
        listed[recipe][network] = int(re.sub(r"\D", "", count))
    assert COUNTS.keys() < recipes().keys()
    for name, recipe in recipes().items():
        assert listed[name] == parameter_counts(recipe), name
