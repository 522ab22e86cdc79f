"""Latent diffusion from the command line: a first stage, its latents, a diffusion model of them, samples and scores."""

import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from ganymede_runs import (DIGITS, assert_bit_equal, checkpoints, final_tensors, refusal, some_digits, succeed, tensors_of,
                           write_dataset)

COUNT = 11
STAGE = ["train", "--recipe", "kl-digits", "--train.batch", 16, "--train.threads", 1, "--train.precision", "fp32",
         "--first_stage.channels", "8,16,16", "--reconstruction.adversarial_from", 5, "--autoencoder.warmup", 5,
         "--checkpoint.minutes", 0]
MODEL = ["train", "--recipe", "ldm-digits", "--train.batch", 4, "--train.threads", 1, "--train.precision", "fp32",
         "--unet.channels", "8,16", "--unet.blocks", 1, "--denoiser.warmup", 0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("latent")


@pytest.fixture(scope="module")
def digits(folder):
    """300 of the digits: two blocks of latents."""
    images, labels = some_digits(300)
    return write_dataset(folder / "digits.h5", images, labels)


@pytest.fixture(scope="module")
def stage(folder, digits):
    succeed(2, *STAGE, "--data", digits, "--out", folder / "stage", "--steps", 60, "--sample.every", 60, "--sample.count", 16)
    return folder / "stage"


@pytest.fixture(scope="module")
def latents(folder, digits, stage):
    out = folder / "latents.h5"
    text = succeed(2, "dataset", "encode", digits, out, "--first-stage", stage).out
    assert "latents of 300 images" in text
    return out


@pytest.fixture(scope="module")
def model(folder, latents, stage):
    succeed(2, *MODEL, "--data", latents, "--first-stage", stage, "--out", folder / "model", "--steps", 4,
            "--diffusion.flip", "true", "--sample.every", 4, "--sample.count", 16)
    return folder / "model"


def read(path):
    with h5py.File(path) as file:
        return file["images"][:]


def statistic(file, name):
    """Of each channel of the latents."""
    text = file.attrs[f"latent_{name}"]
    return np.array([float(word) for word in (text.decode() if isinstance(text, bytes) else text).split(",")])


def test_reconstructions_stand_beside_their_originals(stage, digits):
    grid = np.asarray(Image.open(stage / "samples/step-000000060.png")).astype(float)
    images, _ = some_digits(16)
    factor = (grid.shape[0] - 10) // 128  # four rows of 32 pixels, and gaps
    pair = grid[2 + factor // 2::factor, 2 + factor // 2::factor][:32, :64]
    assert np.abs(pair[:, :32] - images[0, 0]).max() <= 1  # the original
    assert np.abs(pair[:, 32:] - images[0, 0]).mean() < np.abs(pair[:, 32:] - images[1, 0]).mean()  # and what became of it


def test_reconstructions_are_scored_beside_their_originals(stage, digits, tmp_path):
    scores = {}
    for ranks in (0, 2):
        out = tmp_path / f"{ranks}.json"
        succeed(ranks, "evaluate", "--from", stage, "--reference", digits, "--metrics", "rfid,psnr,ssim", "--json", out,
                "--cache", "none", "--batch", 7 + ranks)
        scores[ranks] = {name: score["value"] for name, score in json.loads(out.read_text())["metrics"].items()}
    print(scores[0])
    assert scores[0].keys() == {"rfid", "psnr", "ssim"}
    for name, value in scores[0].items():
        assert scores[2][name] == pytest.approx(value, rel=1e-3), name
    # By hand, of what `sample` reconstructs of the same images.
    succeed(1, "sample", "--from", stage, "--conditions", digits, "--count", 300, "--out", tmp_path / "again.h5")
    original, again = read(digits).astype(float), read(tmp_path / "again.h5").astype(float)
    psnr = 10 * np.log10(255**2 / np.square(original - again).mean((1, 2, 3)))
    assert scores[0]["psnr"] == pytest.approx(psnr.mean(), abs=0.02)
    # A part of them too, with the same part of the originals.
    text = succeed(2, "evaluate", "--from", stage, "--reference", digits, "--metrics", "psnr", "--count", 100,
                   "--reference-count", 100, "--cache", "none").out
    assert "psnr" in text


def test_latents_are_those_of_the_encoder(stage, digits, latents):
    with h5py.File(latents) as file:
        rows = file["images"][:].astype(float)
        assert rows.shape == (300, 12, 8, 8) and rows.dtype == float
        assert list(file.attrs["value_range"]) == [-1024, 1024]
        assert (file["labels"][:] == some_digits(300)[1]).all()
        mean, deviation = statistic(file, "mean"), statistic(file, "deviation")
    sides = rows.reshape(300, 2, 2, 3, 8, 8)  # side, mean or logarithm of the variance, channel
    means, variances = sides[:, :, 0], np.exp(np.clip(sides[:, :, 1], -30, 20))
    assert np.allclose(mean, means.mean((0, 1, 3, 4)), atol=1e-9)
    second = (means**2 + variances).mean((0, 1, 3, 4))
    assert np.allclose(deviation, np.sqrt(second - mean**2), atol=1e-9)
    # The mirrored image's are not the image's, mirrored; both are nearer to each other than to another image's.
    assert np.abs(sides[:, 0] - sides[:, 1]).max() > 0.1
    text = succeed(0, "dataset", "info", latents).out
    assert "first_stage" in text and "latent_mean" in text
    succeed(0, "dataset", "verify", latents)


def test_encoding_is_the_same_at_any_rank_count_and_goes_on(stage, digits, latents, tmp_path):
    parts = tmp_path / "again.h5.parts"
    out = tmp_path / "again.h5"
    succeed(1, "dataset", "encode", digits, out, "--first-stage", stage)
    assert (read(out) == read(latents)).all() and not parts.exists()
    refused = refusal(2, 2, "dataset", "encode", digits, out, "--first-stage", stage)
    assert "--force" in refused
    succeed(1, *STAGE, "--data", digits, "--out", tmp_path / "other", "--steps", 1, "--sample.every", 0)
    succeed(3, "dataset", "encode", digits, tmp_path / "foreign.h5", "--first-stage", tmp_path / "other")
    assert not (read(tmp_path / "foreign.h5") == read(latents)).all()


def test_a_stopped_encoding_keeps_its_parts(stage, digits, latents, tmp_path):
    out, parts = tmp_path / "cut.h5", tmp_path / "cut.h5.parts"
    # A folder in the place of the file: encoded, but not to be written.
    out.mkdir()
    refusal(5, 2, "dataset", "encode", digits, out, "--first-stage", stage, "--force")
    assert sorted(path.name for path in parts.iterdir()) == ["block-0000000.safetensors", "block-0000001.safetensors"]
    out.rmdir()
    damaged = parts / "block-0000001.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    copy = tmp_path / "kept"
    shutil.copytree(parts, copy)
    text = succeed(1, "dataset", "encode", digits, out, "--first-stage", stage).out
    assert "256 of them from before" in text
    assert (read(out) == read(latents)).all()
    # Files that are not its own stay, and parts of images that have changed since are made anew.
    changed = tmp_path / "changed.h5"
    with h5py.File(digits) as file, h5py.File(changed, "w") as other:
        other["images"], other["labels"] = file["images"][:], file["labels"][:]
    out = tmp_path / "changed-latents.h5"
    parts = tmp_path / "changed-latents.h5.parts"
    out.mkdir()
    (parts).mkdir()
    (parts / "notes.txt").write_text("mine")
    refusal(5, 1, "dataset", "encode", changed, out, "--first-stage", stage, "--force")
    with h5py.File(changed, "a") as file:
        file["images"][1:3] = 0
    out.rmdir()
    succeed(1, "dataset", "encode", changed, out, "--first-stage", stage)
    assert [path.name for path in parts.iterdir()] == ["notes.txt"]
    fresh = tmp_path / "fresh.h5"
    succeed(1, "dataset", "encode", changed, fresh, "--first-stage", stage)
    assert (read(out) == read(fresh)).all() and not (read(out)[1:3] == read(latents)[1:3]).all()
    # Parts of another encoding are made anew: of other weights, or another precision.
    succeed(1, *STAGE, "--data", digits, "--out", tmp_path / "other", "--steps", 1, "--sample.every", 0)
    shutil.copytree(copy, tmp_path / "foreign.h5.parts")
    text = succeed(1, "dataset", "encode", digits, tmp_path / "foreign.h5", "--first-stage", tmp_path / "other").out
    assert "from before" not in text
    shutil.copytree(copy, tmp_path / "bf16.h5.parts")
    text = succeed(1, "dataset", "encode", digits, tmp_path / "bf16.h5", "--first-stage", stage, "--precision", "bf16").out
    assert "from before" not in text


def test_the_model_holds_its_first_stage(stage, latents, model):
    ours, theirs = final_tensors(model, 4), tensors_of(checkpoints(stage)[-1])
    weights = {name: value for name, value in ours.items() if name.startswith("first_stage/weight/")}
    assert len(weights) > 50
    for name, value in weights.items():
        assert (value == theirs[name.replace("first_stage/weight/", "autoencoder/ema/")]).all(), name
    with h5py.File(latents) as file:
        deviation = statistic(file, "deviation")
    assert np.allclose(ours["first_stage/state/deviation"], deviation, rtol=1e-6)


def test_going_on_is_the_same_run(stage, latents, model, tmp_path):
    for steps in (2, 4):
        succeed(2, *MODEL, "--data", latents, "--first-stage", stage, "--out", tmp_path / "run", "--steps", steps,
                "--diffusion.flip", "true", "--sample.every", 0)
    assert_bit_equal(final_tensors(tmp_path / "run", 4), final_tensors(model, 4))


def test_what_a_run_begins_with_keeps_its_scale_of_latents(stage, digits, model, tmp_path):
    images, labels = some_digits(300)
    dark = write_dataset(tmp_path / "dark.h5", images // 2, labels)
    succeed(2, "dataset", "encode", dark, tmp_path / "latents.h5", "--first-stage", stage)
    begin = [*MODEL, "--data", tmp_path / "latents.h5", "--first-stage", stage, "--steps", 1, "--sample.every", 0]
    succeed(2, *begin, "--out", tmp_path / "own")
    text = succeed(2, *begin, "--init-from", model, "--out", tmp_path / "run").out
    assert "normalised as it has learned them" in text
    kept, own, learned = (final_tensors(path, steps) for path, steps in ((tmp_path / "run", 1), (tmp_path / "own", 1), (model, 4)))
    for name in ("first_stage/state/mean", "first_stage/state/deviation"):
        assert (kept[name] == learned[name]).all() and not np.allclose(own[name], learned[name], rtol=1e-2), name


def test_samples_are_decoded_the_same_at_any_rank_count(model, tmp_path):
    assert (model / "samples/step-000000004.png").exists()
    images = []
    for ranks, batch in ((0, 64), (2, 4)):
        out = tmp_path / f"{ranks}.h5"
        succeed(ranks, "sample", "--from", model, "--count", COUNT, "--classes", "all", "--out", out, "--sampler.steps", 3,
                "--batch", batch)
        images.append(read(out).astype(int))
    assert images[0].shape == (COUNT, 1, 32, 32) and images[0].std() > 1
    assert np.abs(images[0] - images[1]).max() <= 1
    succeed(2, "sample", "--from", model, "--picture", "interpolation", "--images", "3,7", "--classes", 3, "--sampler.steps", 3,
            "--frames", 3, "--out", tmp_path / "path.png")


def test_samples_are_scored_against_images(model, digits, tmp_path):
    out = tmp_path / "scores.json"
    succeed(2, "evaluate", "--from", model, "--reference", digits, "--count", 40, "--cache", "none", "--json", out)
    assert json.loads(out.read_text())["metrics"]["fid"]["value"] > 0


def test_what_does_not_belong_together_is_refused(stage, latents, digits, model, tmp_path):
    begin = [*MODEL, "--out", tmp_path / "never", "--steps", 2, "--sample.every", 0]
    assert "--first-stage is missing" in refusal(2, 2, *begin, "--data", latents)
    other = tmp_path / "other"
    succeed(1, *STAGE, "--data", digits, "--out", other, "--steps", 1, "--sample.every", 0)
    assert "stale" in refusal(3, 2, *begin, "--data", latents, "--first-stage", other)
    assert "no latents" in refusal(3, 2, *begin, "--data", DIGITS, "--first-stage", stage)
    pixels = ["train", "--recipe", "ddpm-digits", "--out", tmp_path / "never", "--steps", 1]
    assert "latents, made by the first stage" in refusal(3, 2, *pixels, "--data", latents)
    assert "latents already" in refusal(3, 2, "dataset", "encode", latents, tmp_path / "a.h5", "--first-stage", stage)
    assert "take the place" in refusal(2, 2, "dataset", "encode", digits, digits, "--first-stage", stage, "--force")
    assert "trains no autoencoder" in refusal(4, 1, *begin, "--data", latents, "--first-stage", model)
    assert "diffusion.flip" in refusal(2, 1, *begin, "--data", latents, "--first-stage", stage, "--data.flip", "true")
    assert "train.method" in refusal(2, 1, "dataset", "encode", digits, tmp_path / "a.h5", "--first-stage", model)
    assert "holds latents" in refusal(2, 1, *begin, "--data", latents, "--first-stage", stage, "--evaluate.every", 1)
    # A run that goes on has its first stage already, and latents of another are none of its.
    foreign = tmp_path / "foreign.h5"
    succeed(2, "dataset", "encode", digits, foreign, "--first-stage", other)
    goes_on = [*MODEL, "--diffusion.flip", "true", "--out", model, "--steps", 5, "--sample.every", 0, "--resume.allow", "data"]
    assert "this run's own is" in refusal(3, 2, *goes_on, "--data", foreign, "--first-stage", stage)
    assert "give that one" in refusal(2, 2, *goes_on, "--data", latents, "--first-stage", other)
    assert "first stage" in refusal(2, 1, "evaluate", "--from", model, "--reference", digits, "--metrics", "bpd")
    wide = write_dataset(tmp_path / "wide.h5", np.zeros((8, 1, 16, 16), np.uint8), np.zeros(8, np.int64))
    assert "1 x 16 x 16" in refusal(3, 1, "dataset", "encode", wide, tmp_path / "a.h5", "--first-stage", stage)
    assert "drawn from a dataset's images" in refusal(2, 1, "sample", "--from", stage, "--picture", "interpolation",
                                                      "--out", tmp_path / "a.png")
