"""The program's BigGAN and adversarial method against the references beside this: one step, and parameter counts.

BIGGAN_STEP and GANYMEDE are the paths of the programs, PARITY_SEED, if given, the seed of weights, images and noise.

Errors are relative L2: |ours - reference| / |reference|. A tensor that is nothing beside the others of its kind in its
player (the gradient of a bias in front of a batch norm is zero but for rounding) is held to the bound absolutely: in
units of a hundredth of their norm, or of their norm for weights, which such a gradient moves by up to Adam's lr.
"""

import math
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import biggan_reference as reference
from adversarial_reference import Step

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"
torch.set_num_threads(1)

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
# A pre-activation that rounding carries over zero changes a ReLU's gradient by a finite step; what follows inherits it.
SINGLE_BOUNDS = {"fake": 1e-5, "buffer": 1e-5, "ema_buffer": 1e-5, "gradient": 5e-2, "adam_m": 5e-2, "adam_v": 5e-2}
INPUTS = {"real", "labels", "z", "fake_labels", "penalty_noise"}


def run_ours(case, precision, folder):
    """(record, recipe, updates before) of one step in the program."""
    recipe, *changes = CASES[case].split()
    out = folder / "step.safetensors"
    changes += [f"train.precision={precision}", f"train.seed={os.environ.get('PARITY_SEED', 0)}"]
    subprocess.run([os.environ["BIGGAN_STEP"], RECIPES / f"{recipe}.cfg", out, *changes], check=True)
    with safe_open(out, framework="pt") as file:
        record = {name: file.get_tensor(name) for name in file.keys()}
        recipe = reference.read_recipe(file.metadata()["recipe"])
    updates = [int(word.partition("=")[2]) for word in changes if word.startswith("updates=")]
    return record, recipe, sum(updates)


def outputs_of(record):
    """All that a step yields, the displacement of the weights by it included: they hide a small one."""
    names = [name for name in record if name.startswith("after/")]
    names += [name for name in record if name.startswith("observed/") and input_name(name) not in INPUTS]
    outputs = {name: record[name] for name in names}
    for name in names:
        if "/weight/" in name:
            outputs[name.replace("/weight/", "/displacement/")] = (
                record[name].double() - record[name.replace("after/", "before/", 1)].double()
            )
    return outputs


def input_name(name):
    match = re.fullmatch(r"observed/(?:generator|discriminator)\.(\w+)/\d+", name)
    return match and match[1]


def family_of(name):
    """(player, kind): "after/generator/adam_m/linear.weight" -> ("generator", "adam_m")."""
    return tuple(re.split(r"[/.]", name)[1:3])


def relative_errors(ours, theirs, negligible):
    """{kind: (worst error, name of the tensor)}; `negligible` is the share of its kind's norm that counts as zero."""
    assert ours.keys() == theirs.keys()
    squares = defaultdict(float)
    for name, value in theirs.items():
        squares[family_of(name)] += value.double().square().sum().item()
    worst = {}
    for name, value in theirs.items():
        assert ours[name].shape == value.shape, name
        player, kind = family_of(name)
        whole, norm = squares[player, kind] ** 0.5, value.double().norm().item()
        power = 2 if kind == "adam_v" else 1
        share = 1 if kind in ("weight", "ema") else 1e-2**power
        unit = norm if norm > negligible**power * whole else share * whole
        error = (ours[name].double() - value.double()).norm().item() / (unit or 1)
        worst[kind] = max(worst.get(kind, (0.0, "")), (float("inf") if math.isnan(error) else error, name))
    return worst


def assert_telling(outputs):
    """A step in which nothing happens would compare equal."""
    for player in ("generator", "discriminator"):
        gradients = [value for name, value in outputs.items() if name.startswith(f"observed/{player}.gradient.")]
        moving = sum(bool(value.norm() > 1e-12) for value in gradients)
        assert moving >= len(gradients) / 2, f"{player}: {moving} of {len(gradients)} gradients are not zero"


@pytest.mark.parametrize("case", CASES)
def test_double_precision(case, tmp_path):
    record, recipe, updates = run_ours(case, "fp64", tmp_path)
    theirs = Step(recipe, record, updates, torch.float64).run()
    theirs = outputs_of(theirs | {name: value for name, value in record.items() if name.startswith("before/")})
    assert_telling(theirs)
    worst = relative_errors(outputs_of(record), theirs, negligible=1e-10)
    print(f"fp64 {case}: " + ", ".join(f"{kind} {error:.0e}" for kind, (error, _) in worst.items()))
    for kind, (error, name) in worst.items():
        # Where Adam's eps outweighs a gradient, its rounding error moves the weight more than 1e-9 of what is left.
        bound = 1e-6 if kind == "displacement" else 1e-9
        assert error <= bound, f"{kind}: {name} is off by {error:.2e}"


@pytest.mark.parametrize("case", SINGLE_PRECISION)
def test_single_precision(case, tmp_path):
    """Against the reference in double precision; what the reference loses in single precision stands beside it."""
    record, recipe, updates = run_ours(case, "fp32", tmp_path)
    exact = Step(recipe, record, updates, torch.float64).run()
    single = Step(recipe, record, updates, torch.float32).run()
    before = {name: value for name, value in record.items() if name.startswith("before/")}
    exact, single = outputs_of(exact | before), outputs_of(single | before)
    ours = relative_errors(outputs_of(record), exact, negligible=1e-3)
    theirs = relative_errors(single, exact, negligible=1e-3)
    print(f"fp32 {case} (PyTorch's own): " +
          ", ".join(f"{kind} {error:.0e} ({theirs[kind][0]:.0e})" for kind, (error, _) in ours.items()))
    for kind, (error, name) in ours.items():
        # Adam's first step is lr times the sign of the gradient, rounding errors included.
        if kind != "displacement":
            assert error <= SINGLE_BOUNDS.get(kind, 1e-3), f"{kind}: {name} is off by {error:.2e}"


COUNTS = {
    "biggan-cifar10": (9_416_196, 2_415_170),
    "biggan-imagenet128": (70_433_988, 87_982_370),
    "biggan-imagenet128-ch64": (31_978_628, 39_448_258),
}


def reference_counts(name):
    counts = reference.parameter_counts(reference.read_recipe((RECIPES / f"{name}.cfg").read_text()))
    return counts["generator"], counts["discriminator"]


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name):
    assert reference_counts(name) == COUNTS[name]


def test_program_counts():
    """`ganymede models` lists every recipe: one line a network."""
    lines = subprocess.run([os.environ["GANYMEDE"], "models"], check=True, capture_output=True, text=True).stdout
    listed = defaultdict(dict)
    for recipe, network, count in re.findall(r"^(\S+)\s+(generator|discriminator)\s+([\d,_ ']+)$", lines, re.MULTILINE):
        listed[recipe][network] = int(re.sub(r"\D", "", count))
    recipes = {path.stem for path in RECIPES.glob("biggan-*.cfg")}
    assert recipes <= listed.keys()
    for recipe in recipes:
        assert (listed[recipe]["generator"], listed[recipe]["discriminator"]) == reference_counts(recipe)
