"""Classifier guidance through the program: a model without classes draws those that a classifier asks for."""

import json

import h5py
import numpy as np
import pytest

from ganymede_runs import assert_bit_equal, final_tensors, refusal, succeed

COLOURS = np.array([[230, 30, 30], [30, 200, 30], [40, 60, 230], [240, 220, 30]])
COUNT, SIDE = 240, 8


def write_squares(path, labelled):
    """Squares of one of four colours, and some noise."""
    random = np.random.default_rng(4)
    labels = np.arange(COUNT) % 4
    images = COLOURS[labels][:, :, None, None] + random.integers(-20, 20, (COUNT, 3, SIDE, SIDE))
    with h5py.File(path, "w") as file:
        file["images"] = np.clip(images, 0, 255).astype(np.uint8)
        if labelled:
            file["labels"] = labels
    return path


def nearest_colour(images):
    means = images.astype(float).mean((2, 3))
    return np.abs(means[:, None] - COLOURS).sum(2).argmin(1)


COMMON = ["--train.batch", 16, "--train.threads", 1, "--train.precision", "fp32", "--checkpoint.minutes", 0]


def denoiser(out, data, *options, steps):
    return ["train", "--recipe", "ddpm-digits", "--data", data, "--out", out, "--steps", steps, *COMMON,
            "--unet.resolution", SIDE, "--unet.image_channels", 3, "--unet.classes", 1, "--unet.channels", "16,32",
            "--unet.attention", 4, "--diffusion.label_dropout", 0, "--sampler.guidance", 1, "--sampler.steps", 10,
            "--denoiser.lr", 4e-3, "--denoiser.warmup", 0, "--denoiser.decay", "constant", "--sample.every", 0, *options]


def classifier(out, data, *options, steps):
    return ["train", "--recipe", "classifier-digits", "--data", data, "--out", out, "--steps", steps, *COMMON,
            "--half_unet.resolution", SIDE, "--half_unet.image_channels", 3, "--half_unet.classes", 4,
            "--half_unet.channels", "8,16", "--half_unet.attention", 4, "--half_unet.head_channels", 8, "--classifier.warmup", 0,
            "--classifier.decay", "constant", *options]


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    return write_squares(folder / "plain.h5", False), write_squares(folder / "labelled.h5", True)


@pytest.fixture(scope="module")
def model(tmp_path_factory, squares):
    out = tmp_path_factory.mktemp("model") / "run"
    succeed(2, *denoiser(out, squares[0], steps=250))
    return out


@pytest.fixture(scope="module")
def judge(tmp_path_factory, squares):
    out = tmp_path_factory.mktemp("judge") / "run"
    succeed(2, *classifier(out, squares[1], "--log.every", 10, steps=150))
    return out


def draw(run, out, *options, ranks=0, count=48):
    succeed(ranks, "sample", "--from", run, "--count", count, "--out", out, *options)
    with h5py.File(out) as file:
        return file["images"][:], file["labels"][:] if "labels" in file else None


def test_learns_to_tell_noisy_images(judge):
    lines = [json.loads(line) for line in (judge / "log.jsonl").read_text().splitlines()]
    accuracy = [line["accuracy"] for line in lines if "accuracy" in line]
    assert accuracy[-1] > 0.6 and min(accuracy) >= 0 and max(accuracy) <= 1, accuracy
    assert not list((judge / "samples").glob("*")) if (judge / "samples").exists() else True


def test_draws_the_classes_that_are_asked_for(model, judge, tmp_path):
    unguided, labels = draw(model, tmp_path / "plain.h5")
    by_chance = max((nearest_colour(unguided) == colour).mean() for colour in range(4))
    assert by_chance < 0.7
    for solver in ("ddim", "dpm++2m", "ddpm"):
        images, labels = draw(model, tmp_path / f"{solver}.h5", "--classifier", judge, "--classifier-scale", 4, "--classes", "all",
                              "--sampler.solver", solver, "--sampler.steps", 10 if solver != "ddpm" else 50)
        assert (labels == np.arange(48) % 4).all()
        right = (nearest_colour(images) == labels).mean()
        print(f"{solver}: {right:.0%} as asked for")
        assert right > 0.7, solver
    assert np.abs(draw(model, tmp_path / "none.h5", "--classifier", judge, "--classifier-scale", 0)[0].astype(int) -
                  draw(model, tmp_path / "again.h5")[0]).max() == 0


def test_the_same_at_any_rank_count(model, judge, tmp_path):
    options = ["--classifier", judge, "--classifier-scale", 3, "--sampler.solver", "ddpm", "--sampler.steps", 20]
    one, *others = (draw(model, tmp_path / f"{ranks}.h5", *options, "--batch", 3 + ranks, ranks=ranks, count=13) for ranks in (1, 2, 4))
    for images, labels in others:
        assert np.abs(one[0].astype(int) - images).max() <= 1 and (one[1] == labels).all()


def test_resumes_bit_for_bit(squares, tmp_path):
    succeed(1, *classifier(tmp_path / "whole", squares[1], steps=6))
    succeed(1, *classifier(tmp_path / "parts", squares[1], steps=3))
    succeed(1, *classifier(tmp_path / "parts", squares[1], steps=6))
    assert_bit_equal(final_tensors(tmp_path / "parts", 6), final_tensors(tmp_path / "whole", 6))


def test_scores_name_the_classifier(model, judge, squares, tmp_path):
    succeed(2, "evaluate", "--from", model, "--reference", squares[1], "--count", 32, "--cache", "none", "--classifier", judge,
            "--classifier-scale", 2, "--json", tmp_path / "scores.json")
    images = json.loads((tmp_path / "scores.json").read_text())["protocol"]["images"]
    assert images["classifier"] == {"name": "run", "step": 150, "scale": 2}
    assert images["labels"] == "uniformly random"


def test_what_does_not_fit_is_refused(model, judge, squares, tmp_path):
    def refused(run, *options):
        return refusal(2, 1, "sample", "--from", run, "--count", 2, "--out", tmp_path / "never.png", *options)

    assert "has not trained a classifier" in refused(model, "--classifier", model)
    assert "draws none" in refused(judge)
    assert "--classifier-scale" in refused(model, "--classifier-scale", 2)
    assert "--classifier-scale" in refused(model, "--classifier", judge, "--classifier-scale", -1)
    succeed(1, *classifier(tmp_path / "linear", squares[1], "--ddpm.schedule", "linear", steps=1))
    assert "other noise" in refused(model, "--classifier", tmp_path / "linear")
    assert "--classifier is how a run draws" in refusal(2, 1, "evaluate", "--from", squares[1], "--reference", squares[1],
                                                        "--classifier", judge)
    assert "draws none" in refusal(2, 1, *classifier(tmp_path / "a", squares[1], "--evaluate.every", 1, steps=2))
