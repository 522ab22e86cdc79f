"""Compares one step of the program's training with the reference's, tensor by tensor.

A case is "RECIPE key=value ...", as tests/parity/biggan_step.cpp takes them. BIGGAN_STEP is the path of that program,
PARITY_SEED, if given, the seed of weights, images and noise.

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

import torch
from safetensors import safe_open

import reference_layers as reference
from adversarial_reference import Step

RECIPES = Path(__file__).parents[2] / "launch" / "recipes"
torch.set_num_threads(1)

# A pre-activation that rounding carries over zero changes a ReLU's gradient by a finite step; what follows inherits it.
SINGLE_BOUNDS = {"fake": 1e-5, "buffer": 1e-5, "ema_buffer": 1e-5, "gradient": 5e-2, "adam_m": 5e-2, "adam_v": 5e-2}
INPUTS = {"real", "labels", "z", "fake_labels", "other_labels", "penalty_noise", "path_z", "path_labels", "path_noise", "path_mean",
          "moved_real", "moved_fake", "changed_z", "real_labels"}
INPUTS |= {"ada_image_real"} | {f"ada_{kind}_{side}" for kind in ("uniform", "normal", "noise") for side in ("real", "fake")}

INPUTS |= {"source", "pooled_image", "pooled_source"}  # of translation


def run_ours(case, precision, folder):
    """(record, recipe, updates before) of one step in the program."""
    recipe, *changes = case.split()
    out = folder / "step.safetensors"
    changes += [f"train.precision={precision}", f"train.seed={os.environ.get('PARITY_SEED', 0)}"]
    subprocess.run([os.environ["BIGGAN_STEP"], RECIPES / f"{recipe}.cfg", out, *changes], check=True)
    with safe_open(out, framework="pt") as file:
        record = {name: file.get_tensor(name) for name in file.keys()}
        recipe = reference.read_recipe(file.metadata()["recipe"])
    recipe["train"]["step"] = next((word.partition("=")[2] for word in changes if word.startswith("step=")), "1")
    updates = [int(word.partition("=")[2]) for word in changes if word.startswith("updates=")]
    return record, recipe, sum(updates)


def outputs_of(record):
    """All that a step yields, the displacement of the weights by it included: they hide a small one."""
    assert not any(float(record[name]) for name in record if name.endswith("/guard/skipped"))
    names = [name for name in record if name.startswith("after/") and "/guard/" not in name]
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


def assert_telling(outputs, players):
    """A step in which nothing happens would compare equal."""
    for player in players:
        gradients = [value for name, value in outputs.items() if name.startswith(f"observed/{player}.gradient.")]
        moving = sum(bool(value.norm() > 1e-12) for value in gradients)
        assert moving >= len(gradients) / 2, f"{player}: {moving} of {len(gradients)} gradients are not zero"


def assert_double_precision(name, case, folder, step=Step, players=("generator", "discriminator")):
    """`step` is the reference: called as adversarial_reference.Step."""
    record, recipe, updates = run_ours(case, "fp64", folder)
    theirs = step(recipe, record, updates, torch.float64).run()
    theirs = outputs_of(theirs | {name: value for name, value in record.items() if name.startswith("before/")})
    assert_telling(theirs, players)
    worst = relative_errors(outputs_of(record), theirs, negligible=1e-10)
    print(f"fp64 {name}: " + ", ".join(f"{kind} {error:.0e}" for kind, (error, _) in worst.items()))
    for kind, (error, name) in worst.items():
        # Where Adam's eps outweighs a gradient, its rounding error moves the weight more than 1e-9 of what is left.
        bound = 1e-6 if kind == "displacement" else 1e-9
        assert error <= bound, f"{kind}: {name} is off by {error:.2e}"


def assert_single_precision(name, case, folder):
    """Against the reference in double precision; what the reference loses in single precision stands beside it."""
    record, recipe, updates = run_ours(case, "fp32", folder)
    exact = Step(recipe, record, updates, torch.float64).run()
    single = Step(recipe, record, updates, torch.float32).run()
    before = {name: value for name, value in record.items() if name.startswith("before/")}
    exact, single = outputs_of(exact | before), outputs_of(single | before)
    ours = relative_errors(outputs_of(record), exact, negligible=1e-3)
    theirs = relative_errors(single, exact, negligible=1e-3)
    print(f"fp32 {name} (PyTorch's own): " +
          ", ".join(f"{kind} {error:.0e} ({theirs[kind][0]:.0e})" for kind, (error, _) in ours.items()))
    for kind, (error, name) in ours.items():
        # Adam's first step is lr times the sign of the gradient, rounding errors included.
        if kind != "displacement":
            assert error <= SINGLE_BOUNDS.get(kind, 1e-3), f"{kind}: {name} is off by {error:.2e}"


def reference_counts(name):
    counts = reference.parameter_counts(reference.read_recipe((RECIPES / f"{name}.cfg").read_text()))
    return counts["generator"], counts["discriminator"]
