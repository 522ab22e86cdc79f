"""StyleGANs from the command line, with all their regularisers: they train, go on, and draw with truncated styles."""

import json

import h5py
import numpy as np
import pytest

from ganymede_runs import DIGITS, assert_bit_equal, final_tensors, refusal, run, succeed

COUNT = 9


def training(out, steps):
    """A tiny network; both players have updates of a regulariser's own in step 3, and the probability moves there."""
    return ["train", "--recipe", "stylegan2-cifar-small", "--data", DIGITS, "--out", out, "--steps", steps,
            "--train.batch", 8, "--train.threads", 1, "--train.precision", "fp32", "--sample.every", 0,
            "--stylegan2.image_channels", 1, "--stylegan2.channel_base", 64, "--stylegan2.most_channels", 8,
            "--stylegan2.latent", 8, "--stylegan2.style", 8, "--stylegan2.style_average", 0.5,
            "--stylegan2.style_mixing", 0.5, "--gan.gradient_penalty_every", 2, "--gan.path_length", 2,
            "--gan.path_length_every", 2, "--ada.blitting", "true", "--ada.geometry", "true", "--ada.p", 0.5,
            "--ada.every", 2, "--ada.kimg", 0.1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    succeed(2, *training(out, 4))
    return out


def draw(trained, out, *options, ranks=1):
    succeed(ranks, "sample", "--from", trained, "--count", COUNT, "--classes", "3", "--out", out, "--ema", "false", *options)
    with h5py.File(out) as file:
        return file["images"][:].astype(int)


def test_going_on_is_the_same_run(trained, tmp_path):
    succeed(2, *training(tmp_path / "run", 3))
    succeed(2, *training(tmp_path / "run", 4))
    assert_bit_equal(final_tensors(tmp_path / "run", 4), final_tensors(trained, 4))


def test_psi_draws_images_towards_one(trained, tmp_path):
    images = draw(trained, tmp_path / "whole.h5")
    half = draw(trained, tmp_path / "half.h5", "--psi", 0.5)
    spread = lambda images: images.astype(float).std(axis=0).mean()
    assert np.abs(half - images).max() > 1 and spread(half) < spread(images)
    assert np.abs(draw(trained, tmp_path / "two.h5", "--psi", 0.5, "--batch", 2, ranks=2) - half).max() <= 1


def score(trained, folder, ranks, *options):
    common = ["--count", 33, "--classes", "3", "--reference", DIGITS, "--reference-count", 100, "--metrics", "fid", "--cache", "none"]
    result = run(ranks, "evaluate", "--from", trained, "--ema", "false", *common, *options, "--json", folder / "scores.json")
    assert result.code == 0, result.err
    found = json.loads((folder / "scores.json").read_text())
    return found["metrics"]["fid"]["value"], found["protocol"]["images"]


def test_psi_shows_in_scores(trained, tmp_path):
    whole, protocol = score(trained, tmp_path, 1)
    half, half_protocol = score(trained, tmp_path, 1, "--psi", 0.5)
    assert "psi" not in protocol and half_protocol["psi"] == 0.5 and half != pytest.approx(whole, rel=1e-3)
    assert half_protocol["digest"] != protocol["digest"]
    together, _ = score(trained, tmp_path, 2, "--psi", 0.5, "--batch", 4)
    assert together == pytest.approx(half, rel=1e-2)
    one, _ = score(trained, tmp_path, 1, "--psi", 0)
    assert one > half, "images that are all alike are far from any"


def test_options_that_do_not_fit_are_refused(tmp_path):
    both = [*training(tmp_path / "run", 4), "--gan.diff_augment_color", "true"]
    assert "gan.diff_augment" in refusal(2, 1, *both)
    assert "3 channels" in refusal(2, 1, *training(tmp_path / "run", 4), "--ada.color", "true")


def test_the_first_stylegan_goes_on_in_its_growth_and_has_styles(tmp_path):
    def grown(out, steps):
        return ["train", "--recipe", "stylegan-cifar-small", "--data", DIGITS, "--out", out, "--steps", steps,
                "--train.batch", 8, "--train.threads", 1, "--train.precision", "fp32", "--sample.every", 0,
                "--stylegan.image_channels", 1, "--stylegan.channel_base", 64, "--stylegan.most_channels", 8,
                "--stylegan.latent", 8, "--stylegan.style", 8, "--stylegan.style_average", 0.5,
                "--growth.stable_kimg", 0.016, "--growth.fade_kimg", 0.024]

    succeed(2, *grown(tmp_path / "once", 8))
    succeed(2, *grown(tmp_path / "twice", 3))  # 16x16 is being faded in
    succeed(2, *grown(tmp_path / "twice", 8))
    assert_bit_equal(final_tensors(tmp_path / "once", 8), final_tensors(tmp_path / "twice", 8))
    images = draw(tmp_path / "once", tmp_path / "whole.h5")
    assert images.shape[2:] == (32, 32)
    half = draw(tmp_path / "once", tmp_path / "half.h5", "--psi", 0.5)
    assert np.abs(half - images).max() > 1
    succeed(1, "sample", "--from", tmp_path / "once", "--picture", "mixing", "--count", 4, "--layers", "0-7", "--out", tmp_path / "a.png")
