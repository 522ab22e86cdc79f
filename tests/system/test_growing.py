"""Progressive GAN: interrupted anywhere in its growth and resumed, it ends as if nothing had happened."""

import shutil

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


def test_another_schedule_is_refused(whole, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    result = run(2, *GROWING, "--out", out, "--growth.fade_kimg", 0.05)
    assert result.code == 2 and "growth.fade_kimg" in result.err, result.err
