"""A StyleGAN2 from the command line, with all its regularisers: trains, goes on, and draws with truncated styles."""

import h5py
import numpy as np
import pytest

from ganymede_runs import DIGITS, assert_bit_equal, final_tensors, refusal, succeed

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


def test_options_that_do_not_fit_are_refused(tmp_path):
    both = [*training(tmp_path / "run", 4), "--gan.diff_augment_color", "true"]
    assert "gan.diff_augment" in refusal(2, 1, *both)
    assert "3 channels" in refusal(2, 1, *training(tmp_path / "run", 4), "--ada.color", "true")
