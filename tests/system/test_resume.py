"""Stopped at any moment and resumed, a run ends as if nothing had happened; the number of ranks does not show in it."""

import functools
import shutil
import signal
import time

import pytest

from ganymede_runs import (Job, assert_bit_equal, checkpoints, far_apart, final_tensors, kill, logged_steps, run, seeded,
                           some_digits, succeed, training, write_dataset)

STEPS = 30
SEED = 7
# The last three give the method a state of its own.
OPTIONS = ["--checkpoint.every", 4, "--checkpoint.keep", 2, "--seed", SEED,
           "--gan.lecam", 0.1, "--gan.lecam_start", 3, "--gan.historical_average", 1e-3]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    succeed(2, *training(out, *OPTIONS, steps=STEPS))
    assert logged_steps(out) == list(range(1, STEPS + 1))
    return final_tensors(out, STEPS)


def random_moment(choose, job, out, begin, end):
    """Waits for a random step from `begin` to `end`, and a moment within those that follow."""
    step = choose.randint(begin, max(begin, end))
    delay = choose.uniform(0, 0.05)
    print(f"signal {1000 * delay:.0f} ms after step {step}")
    job.wait_for_step(out, step)
    time.sleep(delay)


def finish(out):
    """Resumes, with the same command, what was interrupted."""
    result = succeed(2, *training(out, *OPTIONS, steps=STEPS))
    assert not result.warnings, result.err
    saved = [int(folder.name[5:]) for folder in checkpoints(out)]
    assert saved[-1] == STEPS
    assert logged_steps(out) == list(range(1, STEPS + 1))
    return result


def test_stopped_twice_by_sigusr1(tmp_path, uninterrupted):
    choose = seeded()
    out = tmp_path / "run"
    stopped = 0
    for end in (STEPS // 3, STEPS // 3 * 2):
        with Job(2, *training(out, *OPTIONS, steps=STEPS)) as job:
            random_moment(choose, job, out, stopped, end)
            kill(job.process.pid, signal.SIGUSR1)
            result = job.wait()
        if stopped:
            assert f"resuming at step {stopped} of {STEPS}" in result.out
        assert result.code == 75, (result.code, result.err)
        assert not result.errors, result.err
        assert "stopped on request" in result.out
        before, stopped = stopped, int(checkpoints(out)[-1].name[5:])
        assert logged_steps(out)[-1] == stopped > before
    assert f"resuming at step {stopped} of {STEPS}" in finish(out).out
    assert_bit_equal(final_tensors(out, STEPS), uninterrupted)


@pytest.mark.parametrize("victim", ["mpirun", "a rank"])
def test_killed_twice(tmp_path, uninterrupted, victim):
    choose = seeded()
    out = tmp_path / "run"
    for end in (STEPS // 3, STEPS // 3 * 2):
        saved = checkpoints(out)
        begin = int(saved[-1].name[5:]) if saved else 0
        with Job(2, *training(out, *OPTIONS, steps=STEPS)) as job:
            random_moment(choose, job, out, begin, end)
            ranks = job.ranks()
            assert len(ranks) == 2
            kill(job.process.pid if victim == "mpirun" else choose.choice(ranks), signal.SIGKILL)
            killed_at = time.monotonic()
            result = job.wait()
            while job.running():
                assert time.monotonic() < killed_at + 10, "a rank outlives the job"
                time.sleep(0.01)
        assert result.code == (-signal.SIGKILL if victim == "mpirun" else 128 + signal.SIGKILL), result.err
    finish(out)
    assert_bit_equal(final_tensors(out, STEPS), uninterrupted)


# Three and four ranks divide neither the batch nor its parts.
BATCH = 10
DOUBLE = ["--train.precision", "fp64", "--checkpoint.every", 5, "--seed", SEED]
PENALISED = ["--train.accumulate", 2]
SPECTRAL = ["--gan.loss", "hinge", "--gan.d_steps", 2, "--gan.gradient_penalty_kind", "wgan-gp", "--gan.orthogonal", 1e-3,
            "--biggan.generator_spectral_norm", "true", "--biggan.discriminator_spectral_norm", "true",
            "--biggan.attention", 8, "--generator.clip", 1, "--generator.ema_start", 2]


@pytest.fixture(scope="module")
def double(tmp_path_factory):
    """Final tensors of ten steps in float64, by rank count and options."""
    folder = tmp_path_factory.mktemp("double")
    data = write_dataset(folder / "data.h5", *some_digits(64))

    @functools.cache
    def train(ranks, *options):
        out = folder / f"{ranks}-{len(options)}"
        succeed(ranks, *training(out, *DOUBLE, *options, data=[data], steps=10, batch=BATCH))
        return final_tensors(out, 10)

    train.folder, train.data = folder, data
    return train


@pytest.mark.parametrize("options", [PENALISED, SPECTRAL], ids=["accumulated", "spectral"])
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_rank_count_does_not_show(double, ranks, options):
    assert far_apart(double(ranks, *options), double(1, *options)) == {}


def test_one_changed_sample_shows(double, tmp_path):
    images, labels = some_digits(64)
    images[17] = 255 - images[17]
    data = write_dataset(tmp_path / "data.h5", images, labels)
    out = tmp_path / "run"
    succeed(2, *training(out, *DOUBLE, *PENALISED, data=[data], steps=10, batch=BATCH))
    assert "generator/weight/linear.weight" in far_apart(final_tensors(out, 10), double(2, *PENALISED))


@pytest.mark.parametrize("ranks", [1, 4])
def test_resumed_on_another_rank_count(double, tmp_path, ranks):
    expected = double(2, *PENALISED)
    out = tmp_path / "run"
    shutil.copytree(double.folder / f"2-{len(PENALISED)}", out)
    shutil.rmtree(checkpoints(out)[-1])
    assert [folder.name for folder in checkpoints(out)] == ["step-000000005"]
    result = succeed(ranks, *training(out, *DOUBLE, *PENALISED, data=[double.data], steps=10, batch=BATCH))
    assert "resuming at step 5 of 10" in result.out
    assert logged_steps(out) == list(range(1, 11))
    assert far_apart(final_tensors(out, 10), expected) == {}


def test_finished_run_is_left_as_it_is(double, tmp_path):
    out = tmp_path / "run"
    expected = double(2, *PENALISED)
    shutil.copytree(double.folder / f"2-{len(PENALISED)}", out)
    result = run(2, *training(out, *DOUBLE, *PENALISED, data=[double.data], steps=10, batch=BATCH))
    assert result.code == 0 and "resuming at step 10 of 10" in result.out, result.err
    assert_bit_equal(final_tensors(out, 10), expected)
