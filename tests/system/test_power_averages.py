"""Averages of weights with a power function's profile: kept in checkpoints, and one of any width made of them."""

import json
import re

import h5py
import numpy as np
import pytest
from safetensors.numpy import load_file

from ganymede_runs import (DIGITS, assert_bit_equal, checkpoints, far_apart, final_tensors, refusal, succeed,
                           tensors_of)

STEPS, EVERY, WIDTHS = 24, 4, (0.05, 0.2)
RUN = ["train", "--recipe", "dit-s2", "--data", DIGITS, "--train.batch", 6, "--train.threads", 1,
       "--train.precision", "fp32",
       "--dit.resolution", 32, "--dit.image_channels", 1, "--dit.classes", 10, "--dit.patch", 8, "--dit.depth", 1,
       "--dit.width", 16, "--dit.heads", 2, "--ddpm.learned_variance", "false", "--denoiser.lr", "1e-2",
       "--denoiser.ema_power", "0.05,0.2", "--checkpoint.every", EVERY, "--checkpoint.keep", 1,
       "--checkpoint.keep_every", EVERY, "--checkpoint.minutes", 0, "--sample.every", 0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("power") / "run"
    succeed(2, *RUN, "--out", out, "--steps", STEPS)
    assert len(checkpoints(out)) == STEPS // EVERY
    return out


def exponent(width):
    """The largest root of (g + 2)^2 (g + 3) width^2 = g + 1."""
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return roots.real.max()


def product(a, b):
    """Of two profiles (updates, exponent), over all of time."""
    (s, f), (t, g) = a, b
    return (f + 1) * (g + 1) / (f + g + 1) * min(s, t) ** (f + g + 1) / (s ** (f + 1) * t ** (g + 1))


def exported(run, out, *arguments):
    text = succeed(0, "export", "--from", run, "--out", out, "--network", "denoiser", *arguments).out
    return load_file(out), text


def kept(run):
    """Profile and weights of all that a run has kept."""
    averages = []
    for folder in checkpoints(run):
        tensors = tensors_of(folder)
        for width in WIDTHS:
            prefix = f"denoiser/ema_power_{width}/"
            averages.append(((int(folder.name[5:]), exponent(width)),
                             {name[len(prefix):]: tensors[name] for name in tensors if name.startswith(prefix)}))
    return averages


@pytest.mark.parametrize("width", [0.1, 0.15, 0.25])
def test_any_width_is_the_least_squares_mix(run, width, tmp_path):
    averages, wanted = kept(run), (STEPS, exponent(width))
    gram = np.array([[product(a, b) for b, _ in averages] for a, _ in averages])
    side = np.array([product(a, wanted) for a, _ in averages])
    weights = np.linalg.solve(gram, side)
    off = np.sqrt(1 - side @ weights / product(wanted, wanted))
    made, text = exported(run, tmp_path / "mixed.safetensors", "--ema-sigma-rel", width)
    assert f"of {len(averages)} in {STEPS // EVERY} checkpoints" in text
    assert float(re.search(r"profile (\S+) off", text)[1]) == pytest.approx(off, rel=0.1, abs=1e-6)
    worst = 0
    for name in averages[0][1]:
        expected = sum(weight * tensors[name].astype(np.float64) for weight, (_, tensors) in zip(weights, averages))
        worst = max(worst, np.abs(made[name] - expected).max() / np.abs(expected).max())
    print(f"width {width}: NumPy's mix within {worst:.1e}, its profile {off:.1e} off")
    assert worst < 1e-6


def test_a_width_that_was_kept_is_exported_as_it_is(run, tmp_path):
    made, _ = exported(run, tmp_path / "kept.safetensors", "--ema-sigma-rel", 0.05)
    newest = tensors_of(checkpoints(run)[-1])
    for name, value in made.items():
        own = newest.get(f"denoiser/ema_power_0.05/{name}")
        if own is not None:
            assert np.abs(value - own).max() <= 1e-6 * np.abs(own).max(), name


def test_checkpoints_before_the_one_that_is_named_count(run, tmp_path):
    for name in (checkpoints(run)[2], f"{checkpoints(run)[2]}/"):
        _, text = exported(name, tmp_path / "early.safetensors", "--ema-sigma-rel", 0.1)
        assert "of 6 in 3 checkpoints" in text


def test_they_go_on_where_a_run_was_stopped_and_hardly_depend_on_ranks(run, tmp_path):
    succeed(2, *RUN, "--out", tmp_path / "stopped", "--steps", STEPS // 2)
    succeed(2, *RUN, "--out", tmp_path / "stopped", "--steps", STEPS, "--resume", "auto")
    assert_bit_equal(final_tensors(tmp_path / "stopped", STEPS), final_tensors(run, STEPS))
    succeed(0, *RUN, "--out", tmp_path / "alone", "--steps", EVERY)
    # A softmax does not depend on the bias of its keys, whose gradient is rounding alone.
    averages = lambda tensors: {name: value for name, value in tensors.items()
                                if "/ema_power_" in name and not name.endswith("to_k.bias")}
    alone, both = averages(tensors_of(checkpoints(tmp_path / "alone")[0])), averages(tensors_of(checkpoints(run)[0]))
    assert alone.keys() == both.keys() and alone
    assert not far_apart(alone, both, 1e-4)


def test_diffusers_gets_it_too(run, tmp_path):
    text = succeed(0, "export", "--from", run, "--format", "diffusers", "--out", tmp_path / "folder",
                   "--ema-sigma-rel", 0.1).out
    assert "average of relative width 0.1" in text
    config = json.loads((tmp_path / "folder/transformer/config.json").read_text())
    assert config["_class_name"] == "DiTTransformer2DModel"


def test_it_is_drawn_from_and_scored(run, tmp_path):
    """A width that was kept gives the images of its export; on two ranks as on one."""
    draw, drawn = ["sample", "--count", 4, "--sampler.solver", "ddim", "--sampler.steps", 20, "--sampler.guidance", 1], {}
    for name, ranks, more in (("kept", 0, ["--ema-sigma-rel", 0.05]), ("ranks", 2, ["--ema-sigma-rel", 0.05]),
                              ("other", 0, ["--ema-sigma-rel", 0.15]), ("weights", 0, ["--ema", "false"])):
        succeed(ranks, *draw, "--from", run, "--out", tmp_path / f"{name}.h5", *more)
        with h5py.File(tmp_path / f"{name}.h5") as file:
            drawn[name] = file["images"][:].astype(int)
    succeed(0, "export", "--from", run, "--format", "diffusers", "--out", tmp_path / "kept", "--ema-sigma-rel", 0.05)
    succeed(0, "import", tmp_path / "kept", "--out", tmp_path / "imported", "--train.precision", "fp32")
    succeed(0, *draw, "--from", tmp_path / "imported", "--out", tmp_path / "again.h5")
    with h5py.File(tmp_path / "again.h5") as file:
        again = file["images"][:].astype(int)
    assert (drawn["kept"] == drawn["ranks"]).all() and (drawn["kept"] == again).all()
    assert np.abs(drawn["kept"] - drawn["weights"]).mean() > 0.5 and np.abs(drawn["kept"] - drawn["other"]).mean() > 0.5
    scores = tmp_path / "scores.json"
    succeed(2, "evaluate", "--from", run, "--reference", RUN[RUN.index("--data") + 1], "--count", 20, "--sampler.steps", 3,
            "--ema-sigma-rel", 0.15, "--json", scores)
    assert json.loads(scores.read_text())["protocol"]["images"]["average"].items() >= {
        "sigma_rel": 0.15, "averages": 12, "checkpoints": 6}.items()


def test_what_cannot_be_made_is_refused(run, tmp_path):
    export = ["export", "--from", run, "--out", tmp_path / "x.safetensors"]
    assert "--ema false" in refusal(2, 0, *export, "--ema-sigma-rel", 0.1, "--ema", "false")
    assert "--ema-sigma-rel" in refusal(2, 0, *export, "--ema-sigma-rel", 0.4)
    without = [word if word != "0.05,0.2" else "none" for word in RUN]
    succeed(0, *without, "--out", tmp_path / "without", "--steps", 1)
    assert "--denoiser.ema_power" in refusal(2, 0, "export", "--from", tmp_path / "without", "--out",
                                             tmp_path / "y.safetensors", "--ema-sigma-rel", 0.1)
