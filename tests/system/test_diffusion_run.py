"""A diffusion model from the command line: trains, goes on, and draws the same images at any rank count."""

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from ganymede_runs import DIGITS, assert_bit_equal, cells_of, final_tensors, refusal, succeed

COUNT = 11


def training(out, steps):
    """A tiny network; in float32, so that a batch's size hardly shows."""
    return ["train", "--recipe", "ddpm-digits", "--data", DIGITS, "--out", out, "--steps", steps, "--train.batch", 4,
            "--train.threads", 1, "--train.precision", "fp32", "--unet.channels", "8,16", "--unet.attention", 16,
            "--unet.dropout", 0.1, "--denoiser.warmup", 0, "--sample.every", 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    succeed(2, *training(out, 4))
    return out


def draw(trained, out, *options, ranks=0, classes="all"):
    succeed(ranks, "sample", "--from", trained, "--count", COUNT, "--classes", classes, "--out", out, "--sampler.steps", 3,
            *options)
    with h5py.File(out) as file:
        return file["images"][:].astype(int)


def test_going_on_is_the_same_run(trained, tmp_path):
    succeed(2, *training(tmp_path / "run", 2))
    succeed(2, *training(tmp_path / "run", 4))
    assert_bit_equal(final_tensors(tmp_path / "run", 4), final_tensors(trained, 4))


def test_rank_count_and_batch_do_not_show(trained, tmp_path):
    images = draw(trained, tmp_path / "one.h5", "--sampler.guidance", 2)
    assert images.std() > 1 and len({image.tobytes() for image in images}) == COUNT
    others = draw(trained, tmp_path / "two.h5", "--sampler.guidance", 2, "--batch", 4, ranks=2)
    assert np.abs(others - images).max() <= 1


def test_each_option_shows(trained, tmp_path):
    images = draw(trained, tmp_path / "plain.h5")
    for i, options in enumerate((["--seed", 1], ["--sampler.solver", "ddpm"], ["--sampler.solver", "ddim", "--sampler.eta", 1])):
        assert np.abs(draw(trained, tmp_path / f"{i}.h5", *options) - images).max() > 1, options


def test_scores_are_drawn_as_asked_and_say_so(trained, tmp_path):
    def evaluate(*options):
        succeed(0, "evaluate", "--from", trained, "--reference", DIGITS, "--reference-count", 50, "--count", 20, "--metrics",
                "fid", "--cache", "none", "--json", tmp_path / "scores.json", "--sampler.steps", 3, *options)
        scores = json.loads((tmp_path / "scores.json").read_text())
        return scores["metrics"]["fid"]["value"], scores["protocol"]["images"]["sampler"]

    score, sampler = evaluate()
    assert sampler["steps"] == "3" and sampler["solver"] == "dpm++2m" and float(sampler["guidance"]) == 1.5
    other, told = evaluate("--sampler.solver", "ddim", "--sampler.eta", 1, "--sampler.guidance", 3)
    assert told == sampler | {"solver": "ddim", "eta": "1", "guidance": "3"} and other != score
    assert "--sampler.steps" in refusal(2, 0, "evaluate", "--from", DIGITS, "--reference", DIGITS, "--sampler.steps", 3)


def test_bits_a_dimension_do_not_depend_on_ranks_or_batch(trained, tmp_path):
    chain = tmp_path / "chain"
    succeed(0, *training(chain, 2), "--ddpm.steps", 30)

    def bits(ranks, batch):
        succeed(ranks, "evaluate", "--from", chain, "--reference", DIGITS, "--reference-count", 7, "--metrics", "bpd", "--batch",
                batch, "--json", tmp_path / "bits.json")
        scores = json.loads((tmp_path / "bits.json").read_text())
        assert scores["protocol"]["reference"]["count"] == 7 and scores["protocol"]["images"]["count"] == 0
        return scores["metrics"]["bpd"]

    alone = bits(0, 7)
    # A byte has 8 bits; what is hardly trained knows next to nothing, at the cost of 30 steps.
    assert alone["details"]["images"] == 7 and 3 < alone["value"] < 1000 and alone["error"] > 0
    assert bits(2, 3)["value"] == pytest.approx(alone["value"], rel=1e-5)
    assert "ddpm" in refusal(2, 0, "evaluate", "--from", DIGITS, "--reference", DIGITS, "--metrics", "bpd")
    assert "--reference" in refusal(2, 0, "evaluate", "--from", chain, "--metrics", "bpd")


@pytest.mark.parametrize("options, word", [
    (["--truncation", 0.5], "truncation"),
    (["--batchnorm", "batch"], "batch norm"),
    (["--sampler.solver", "nonesuch"], "dpm++2m"),
    (["--sampler.steps", 2000], "sampler.steps = 2000"),
    (["--sampler.churn", 5], "sampler.churn = 5"),
])
def test_what_cannot_be_asked_for_is_refused(trained, tmp_path, options, word):
    assert word in refusal(2, 0, "sample", "--from", trained, "--count", 1, "--out", tmp_path / "never.h5", *options)


def test_interpolates_between_the_noises_of_images(trained, tmp_path):
    arguments = ["sample", "--from", trained, "--picture", "interpolation", "--images", "3,7", "--classes", 3,
                 "--sampler.steps", 3, "--frames", 3, "--out", tmp_path / "a.png"]
    alone = draw(trained, tmp_path / "a.h5", classes=3)[[3, 7], 0]
    sheets = []
    for ranks in (0, 2):
        succeed(ranks, *arguments)
        sheets.append((tmp_path / "a.png").read_bytes())
    assert sheets[0] == sheets[1]
    sheet = np.asarray(Image.open(tmp_path / "a.png")).astype(int)
    factor = (sheet.shape[0] - 4) // 32
    row = [sheet[2 + factor // 2:-2:factor, 2 + i * (32 * factor + 2):][:, :32 * factor:factor] for i in range(3)]
    assert np.abs(row[0] - alone[0]).max() <= 1 and np.abs(row[2] - alone[1]).max() <= 1
    assert np.abs(row[1] - row[0]).max() > 1
    assert "no styles" in refusal(2, 0, *arguments, "--path", "w")


def signed_cells(path, rows, columns):
    """Of a sheet, such that their differences do not wrap."""
    return cells_of(Image.open(path), rows, columns).astype(int)


def picture(trained, out, *options):
    """The sheet that one and three ranks write alike."""
    sheets = []
    for ranks in (0, 3):
        succeed(ranks, "sample", "--from", trained, "--classes", "all", "--sampler.steps", 3, "--out", out, *options)
        sheets.append(out.read_bytes())
    assert sheets[0] == sheets[1]
    return out


def test_trajectories_end_in_the_images(trained, tmp_path):
    images = draw(trained, tmp_path / "a.h5")
    rows = signed_cells(picture(trained, tmp_path / "a.png", "--picture", "trajectory", "--images", "3,7", "--frames", 4), 2, 4)
    assert np.abs(rows[:, 3] - images[[3, 7], 0]).max() <= 1
    # What the first step makes of the noise, by a way of one step: the solver then goes all the way to that.
    succeed(0, "sample", "--from", trained, "--count", 8, "--classes", "all", "--sampler.steps", 1, "--out", tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5") as file:
        assert np.abs(rows[:, 0] - file["images"][[3, 7]][:, 0].astype(int)).max() <= 1
    assert all(np.abs(rows[:, k + 1] - rows[:, k]).max() > 1 for k in range(2))
    assert "--frames 5" in refusal(2, 0, "sample", "--from", trained, "--picture", "trajectory", "--sampler.steps", 3,
                                   "--frames", 5, "--out", tmp_path / "never.png")


def test_guidance_is_shown_scale_by_scale(trained, tmp_path):
    rows = signed_cells(picture(trained, tmp_path / "a.png", "--picture", "guidance", "--count", 2, "--scales", "1,2.5"), 2, 2)
    for column, scale in enumerate((1, 2.5)):
        expected = draw(trained, tmp_path / f"{scale}.h5", "--sampler.guidance", scale)[:2, 0]
        assert np.abs(rows[:, column] - expected).max() <= 1
    assert "--scales" in refusal(2, 0, "sample", "--from", trained, "--picture", "guidance", "--scales", "1,x", "--out",
                                 tmp_path / "never.png")


def test_training_shows_how_images_come_about(tmp_path):
    arguments = training(tmp_path / "run", 2)[:-2] + ["--sample.every", 1, "--sample.count", 3, "--sampler.steps", 4]
    succeed(2, *arguments)
    folder = tmp_path / "run/samples"
    names = [f"step-{step:09}{kind}.png" for step in range(3) for kind in ("", "-guidance", "-trajectory")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    grid = signed_cells(folder / "step-000000002-trajectory.png", 3, 5)
    guided = signed_cells(folder / "step-000000002-guidance.png", 3, 3)
    # A way ends in an image of the recipe's own guidance.
    for pictures, guidance in ((grid[:, 4], ()), (guided[:, 1], ("--sampler.guidance", 2))):
        out = tmp_path / f"{len(guidance)}.h5"
        succeed(0, "sample", "--from", tmp_path / "run", "--count", 3, "--classes", "all", "--out", out, *guidance)
        with h5py.File(out) as file:
            assert np.abs(pictures - file["images"][:, 0].astype(int)).max() <= 1
