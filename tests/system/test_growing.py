"""Progressive GAN: interrupted anywhere in its growth and resumed, it ends as if nothing had happened."""

import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from ganymede_runs import DIGITS, assert_bit_equal, checkpoints, far_apart, final_tensors, logged_steps, run, succeed

# 4 pixels for two steps, 8 pixels fade in over two and stay for one, 16 pixels fade in from step 6 on, 32 from step 10 on.
STEPS = 12
GROWING = ["train", "--recipe", "progressive-cifar10", "--data", DIGITS, "--progressive.image_channels", 1,
           "--progressive.most_channels", 8, "--progressive.latent", 8, "--train.batch", 12, "--steps", STEPS,
           "--growth.stable_kimg", 0.024, "--growth.fade_kimg", 0.024, "--growth.batch", "16:8,32:8",
           "--progressive.deviation_group", 4, "--train.precision", "fp64", "--train.threads", 1, "--seed", 5,
           "--sample.every", 0, "--log.every", 1, "--checkpoint.minutes", 0, "--checkpoint.every", 1, "--checkpoint.keep", 100]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    succeed(2, *GROWING, "--out", out)
    return out


def cut(whole, out, step):
    """The run as it was after a step."""
    shutil.copytree(whole, out)
    for folder in checkpoints(out):
        if int(folder.name[5:]) > step:
            shutil.rmtree(folder)


# After 2 and 6 steps a resolution is new, after 3 it is half faded in, after 4 all there.
@pytest.mark.parametrize("step", [2, 3, 4, 6])
def test_resumes_bit_for_bit(whole, tmp_path, step):
    out = tmp_path / "run"
    cut(whole, out, step)
    result = succeed(2, *GROWING, "--out", out)
    assert f"resuming at step {step} of {STEPS}" in result.out
    assert logged_steps(out) == list(range(1, STEPS + 1))
    assert_bit_equal(final_tensors(out, STEPS), final_tensors(whole, STEPS))


def test_resumes_on_other_ranks(whole, tmp_path):
    out = tmp_path / "run"
    cut(whole, out, 3)
    succeed(3, *GROWING, "--out", out)
    assert far_apart(final_tensors(out, STEPS), final_tensors(whole, STEPS)) == {}


@pytest.mark.parametrize("step", [1, 3, STEPS])
def test_samples_have_the_full_size(whole, tmp_path, step):
    out = tmp_path / "samples"
    succeed(2, "sample", "--from", whole / f"checkpoints/step-{step:09}", "--out", out, "--count", 3)
    images = [Image.open(path) for path in out.glob("**/*.png")]
    assert [image.size for image in images] == [(32, 32)] * 3


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    out = tmp_path_factory.mktemp("pyramid") / "digits.h5"
    succeed(1, "dataset", "pack", DIGITS, out, "--pyramid")
    return out


def growing_on(data):
    arguments = list(GROWING)
    arguments[arguments.index("--data") + 1] = data
    return arguments


def trained_on(data, out):
    succeed(2, *growing_on(data), "--out", out)
    return final_tensors(out, STEPS)


def averaged(images, factor):
    count, channels, side, _ = images.shape
    blocks = images.reshape(count, channels, side // factor, factor, side // factor, factor)
    return np.rint(blocks.mean((3, 5), dtype=np.float64)).astype(np.uint8)


def test_a_pyramid_holds_averages_and_trains_alike(whole, pyramid, tmp_path):
    with h5py.File(pyramid) as file:
        images = file["images"][:]
        for side in (4, 8, 16):
            assert (file[f"data{side}x{side}"][:] == averaged(images, 32 // side)).all()
    assert "copies of 16, 8, 4 pixels" in succeed(1, "dataset", "info", pyramid).out
    assert_bit_equal(trained_on(pyramid, tmp_path / "run"), final_tensors(whole, STEPS))


def test_damage_to_a_small_copy_is_found(pyramid, tmp_path):
    damaged = tmp_path / "damaged.h5"
    shutil.copy(pyramid, damaged)
    with h5py.File(damaged, "r+") as file:
        file["data8x8"][5, 0, 2, 3] ^= 1
    result = run(1, "dataset", "verify", damaged)
    assert result.code == 3 and "data8x8" in result.err, result.err
    result = run(2, *growing_on(damaged), "--out", tmp_path / "run")
    assert result.code == 3, result.err


def test_the_original_export_trains_alike(whole, tmp_path):
    with h5py.File(DIGITS) as file:
        images, labels = file["images"][:], file["labels"][:]
    export = tmp_path / "export.h5"
    with h5py.File(export, "w") as file:
        for side in (32, 16, 8, 4):
            small = averaged(images, 32 // side)
            file.create_dataset(f"data{side}x{side}", data=small, compression="gzip", compression_opts=4,
                                chunks=(-(-128 // small[0].nbytes), *small.shape[1:]))
        file["labels"] = labels
    # Chunks are read together, so the order of the images is another one: the same run comes twice.
    assert_bit_equal(trained_on(export, tmp_path / "a"), trained_on(export, tmp_path / "b"))


def test_copies_that_are_none_are_refused(tmp_path):
    foreign = tmp_path / "foreign.h5"
    with h5py.File(DIGITS) as file, h5py.File(foreign, "w") as out:
        out["images"], out["labels"] = file["images"][:64], file["labels"][:64]
        out["data4x4"] = averaged(file["images"][:63], 8)
    result = run(2, *growing_on(foreign), "--out", tmp_path / "run")
    assert result.code == 3 and "/data4x4" in result.err and "63" in result.err, result.err


def test_another_schedule_is_refused(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    result = run(2, *GROWING, "--out", out, "--growth.fade_kimg", 0.05)
    assert result.code == 2 and "growth.fade_kimg" in result.err, result.err
