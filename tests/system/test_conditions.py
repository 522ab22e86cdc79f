"""What images are drawn from beside labels, through the program: a GAN that follows embeddings draws what they ask for."""

import h5py
import numpy as np
import pytest
from PIL import Image

from ganymede_runs import assert_bit_equal, checkpoints, final_tensors, refusal, succeed

COLOURS = np.array([[230, 30, 30], [30, 200, 30], [40, 60, 230], [240, 220, 30]], np.uint8)
COUNT, SIDE = 240, 8


def write_squares(path, asked, embeddings=True, sources=None):
    """Squares of the colours asked for, each with an embedding that names its colour, and some noise."""
    random = np.random.default_rng(4)
    images = COLOURS[asked][:, :, None, None] + random.integers(-20, 20, (len(asked), 3, SIDE, SIDE))
    with h5py.File(path, "w") as file:
        file["images"] = np.clip(images, 0, 255).astype(np.uint8)
        if embeddings:
            file["embeddings"] = (np.eye(4)[asked] + random.normal(0, 0.05, (len(asked), 4))).astype(np.float32)
        if sources is not None:
            file["sources"] = sources
    return path


def nearest_colour(images):
    means = images.astype(float).mean((2, 3))
    return np.abs(means[:, None] - COLOURS).sum(2).argmin(1)


TEXT = ["--recipe", "dcgan-text-birds", "--train.threads", 1, "--dcgan.resolution", SIDE, "--dcgan.generator_channels", 8,
        "--dcgan.discriminator_channels", 8, "--dcgan.latent", 4, "--text.embedding", 4, "--text.compressed", 8,
        "--train.batch", 16, "--generator.lr", 2e-3, "--discriminator.lr", 2e-3, "--train.precision", "fp32",
        "--checkpoint.minutes", 0, "--log.every", 20]


def training(out, data, *options, steps):
    return ["train", *TEXT, "--data", data, "--out", out, "--steps", steps, *options]


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_squares(tmp_path_factory.mktemp("squares") / "squares.h5", np.arange(COUNT) % 4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, squares):
    out = tmp_path_factory.mktemp("text") / "run"
    succeed(2, *training(out, squares, "--sample.every", 200, "--sample.count", 16, steps=400))
    return out


def draw(run, out, *options, ranks=1, count=60):
    succeed(ranks, "sample", "--from", run, "--count", count, "--out", out, *options)
    with h5py.File(out) as file:
        return file["images"][:]


def test_draws_the_colour_that_is_asked_for(trained, tmp_path):
    images = draw(trained, tmp_path / "own.h5")  # of the run's data, in turn
    right = (nearest_colour(images) == np.arange(60) % 4).mean()
    assert right > 0.7, right
    asked = np.repeat([2, 0, 3, 1], 15)
    other = write_squares(tmp_path / "other.h5", asked)
    images = draw(trained, tmp_path / "asked.h5", "--conditions", other, ranks=2)
    right = (nearest_colour(images) == asked).mean()
    assert right > 0.7, right


def test_the_same_at_any_rank_count(trained, tmp_path):
    one, two = (draw(trained, tmp_path / f"{ranks}.h5", "--batch", 7, ranks=ranks, count=25) for ranks in (1, 3))
    assert np.abs(one.astype(int) - two).max() <= 1


def test_scores_what_is_drawn_from_the_conditions(trained, squares, tmp_path):
    text = succeed(1, "evaluate", "--from", trained, "--reference", squares, "--count", 32, "--cache", "none").out
    assert "fid" in text


def test_resumes_bit_for_bit(squares, tmp_path):
    succeed(1, *training(tmp_path / "whole", squares, steps=12))
    succeed(1, *training(tmp_path / "parts", squares, steps=5))
    succeed(1, *training(tmp_path / "parts", squares, steps=12))
    assert_bit_equal(final_tensors(tmp_path / "parts", 12), final_tensors(tmp_path / "whole", 12))


def test_stops_before_training_where_the_dataset_lacks_what_is_needed(squares, tmp_path):
    bare = write_squares(tmp_path / "bare.h5", np.zeros(20, int), embeddings=False)
    assert "pack it with --embeddings" in refusal(3, 2, *training(tmp_path / "a", bare, steps=2))
    five = tmp_path / "five.h5"
    with h5py.File(squares) as file, h5py.File(five, "w") as other:
        other["images"], other["embeddings"] = file["images"][:], np.zeros((COUNT, 5), np.float32)
    assert "have 5 numbers, the networks expect 4" in refusal(
        3, 1, *training(tmp_path / "b", five, steps=2))
    assert not checkpoints(tmp_path / "a") and not checkpoints(tmp_path / "b")


def test_refuses_pictures_of_latents_and_needless_conditions(trained, squares, tmp_path):
    assert "--picture interpolation" in refusal(
        2, 1, "sample", "--from", trained, "--picture", "interpolation", "--out", tmp_path / "a.png")
    bare = write_squares(tmp_path / "bare.h5", np.zeros(20, int), embeddings=False)
    assert "--embeddings" in refusal(
        3, 1, "sample", "--from", trained, "--count", 4, "--out", tmp_path / "a.png", "--conditions", bare)


def test_grids_are_written_while_training(trained):
    for grid in ("step-000000000.png", "step-000000400.png"):
        assert Image.open(trained / "samples" / grid).size[0] >= 4 * SIDE


def test_dry_run_says_what_a_dataset_must_hold():
    text = succeed(0, "train", *TEXT, "--dry-run").out
    assert "images of 3 x 8 x 8, embeddings of 4 numbers" in text
