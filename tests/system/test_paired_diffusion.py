"""Diffusion beside a source, through the program: it fills the holes of images, at any rank count."""

import h5py
import numpy as np
import pytest
from PIL import Image

from ganymede_runs import assert_bit_equal, checkpoints, final_tensors, refusal, succeed

COUNT, SIDE = 240, 8
HOLE = slice(2, 6)


def write_pairs(path, seed, count=COUNT, sources=True):
    """Each image has a colour of its own, lighter towards one side; its source has a grey hole in the middle."""
    random = np.random.default_rng(seed)
    slope = np.linspace(-30, 30, SIDE)
    images = (random.integers(40, 216, (count, 3, 1, 1)) + np.where(random.random((count, 1, 1, 1)) < 0.5, slope, -slope) +
              np.zeros((1, 1, SIDE, 1))).astype(np.uint8)
    holed = images.copy()
    holed[:, :, HOLE, HOLE] = 128
    with h5py.File(path, "w") as file:
        file["images"] = images
        if sources:
            file["sources"] = holed
            file["sources"].attrs["paired"] = np.uint8(1)
    return path


def images_of(path, name="images"):
    with h5py.File(path) as file:
        return file[name][:].astype(int)


def training(out, data, *options, steps, grids=0):
    return ["train", "--recipe", "ddpm-digits", "--data", data, "--out", out, "--steps", steps, "--train.batch", 16,
            "--train.threads", 1, "--train.precision", "fp32", "--unet.resolution", SIDE, "--unet.image_channels", 3,
            "--unet.classes", 1, "--unet.channels", "16,32", "--unet.attention", 4, "--diffusion.label_dropout", 0,
            "--sampler.guidance", 1, "--sampler.steps", 8, "--diffusion.source_channels", 3, "--denoiser.lr", 4e-3,
            "--denoiser.warmup", 0, "--denoiser.decay", "constant", "--ddpm.prediction", "x0", "--checkpoint.minutes", 0,
            "--sample.every", grids, "--sample.count", 4, *options]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.h5", seed=4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pairs):
    out = tmp_path_factory.mktemp("trained") / "run"
    succeed(2, *training(out, pairs, steps=300, grids=300))
    return out


def draw(run, out, *options, ranks=0, count=60):
    succeed(ranks, "sample", "--from", run, "--count", count, "--out", out, *options)
    return images_of(out)


def hole_error(images, others):
    return np.abs(images - others)[:, :, HOLE, HOLE].mean()


def test_fills_holes_by_what_is_around_them(trained, pairs, tmp_path):
    unseen = write_pairs(tmp_path / "unseen.h5", seed=5)
    for name, options, data in (("own", [], pairs), ("unseen", ["--conditions", unseen], unseen)):
        wanted = images_of(data)[:60]
        drawn = draw(trained, tmp_path / f"{name}.h5", *options)
        error, chance = hole_error(drawn, wanted), hole_error(np.roll(drawn, 1, 0), wanted)
        print(f"{name}: off by {error:.1f} of 255 in holes, by {chance:.1f} where filled for another image")
        assert error < 0.3 * chance


def test_the_same_at_any_rank_count(trained, tmp_path):
    one, two = (draw(trained, tmp_path / f"{ranks}.h5", "--batch", 4 + ranks, ranks=ranks, count=25) for ranks in (1, 3))
    assert np.abs(one - two).max() <= 1


def test_grids_show_source_sample_and_target(trained, pairs):
    grid = np.asarray(Image.open(trained / "samples/step-000000300.png")).astype(int)
    factor = (grid.shape[0] - 6) // (2 * SIDE)  # two rows, and gaps
    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    cells = np.stack([grid[2 + row * (SIDE * factor + 2):, 2 + column * (3 * SIDE * factor + 2):]
                      [:SIDE * factor:factor, :3 * SIDE * factor:factor] for row, column in places]).transpose(0, 3, 1, 2)
    assert np.abs(cells[..., :SIDE] - images_of(pairs, "sources")[:4]).max() <= 1
    assert np.abs(cells[..., 2 * SIDE:] - images_of(pairs)[:4]).max() <= 1
    assert hole_error(cells[..., SIDE:2 * SIDE], images_of(pairs)[:4]) < 30


def test_guidance_by_the_source(pairs, tmp_path):
    out = tmp_path / "run"
    succeed(2, *training(out, pairs, "--diffusion.source_dropout", 0.2, steps=4, grids=4))
    assert (out / "samples/step-000000004-guidance.png").exists()
    plain, guided = (draw(out, tmp_path / f"{w}.h5", "--sampler.guidance", w, count=4) for w in (1, 3))
    assert np.abs(plain - guided).max() > 1


def test_resumes_bit_for_bit_and_scores(trained, pairs, tmp_path):
    succeed(1, *training(tmp_path / "whole", pairs, steps=6))
    succeed(1, *training(tmp_path / "parts", pairs, steps=3))
    succeed(1, *training(tmp_path / "parts", pairs, steps=6))
    assert_bit_equal(final_tensors(tmp_path / "parts", 6), final_tensors(tmp_path / "whole", 6))
    text = succeed(2, "evaluate", "--from", trained, "--reference", pairs, "--count", 32, "--cache", "none").out
    assert "fid" in text
    assert "bpd" in refusal(2, 1, "evaluate", "--from", trained, "--reference", pairs, "--metrics", "bpd")


def test_stops_before_training_where_there_are_no_pairs(trained, tmp_path):
    bare = write_pairs(tmp_path / "bare.h5", seed=4, count=20, sources=False)
    assert "pack it with --sources or --pairs" in refusal(3, 2, *training(tmp_path / "a", bare, steps=2))
    assert not checkpoints(tmp_path / "a")
    assert "--pairs" in refusal(3, 1, "sample", "--from", trained, "--count", 4, "--out", tmp_path / "a.png", "--conditions",
                                bare)


def test_export_says_that_no_pipeline_takes_it(trained, tmp_path):
    text = succeed(0, "export", "--from", trained, "--format", "diffusers", "--out", tmp_path / "there").out
    assert "no pipeline" in text
    config = (tmp_path / "there/unet/config.json").read_text()
    assert '"in_channels": 6' in config and '"out_channels": 3' in config
