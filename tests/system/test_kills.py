"""Runs that are killed at random moments, again and again, and restarted by the same command until they are done: they end
as if nothing had happened. `pytest --full -s tests/system/test_kills.py` kills 207 times: 23 times each on one, two and
four ranks, a GAN, a growing GAN in mid-fade and a latent diffusion model."""

import pathlib
import shutil
import signal
import time

import pytest

from ganymede_runs import (DIGITS, Job, assert_bit_equal, final_tensors, kill, logged_steps, resume, seeded, status_of, succeed,
                           training)
from test_latent_run import MODEL, STAGE

STEPS = 40
SAVES = ["--checkpoint.every", 4, "--checkpoint.keep", 3, "--checkpoint.minutes", 0, "--log.every", 1, "--steps", STEPS]
# 8 pixels fade in from the fourth step to the end.
FADING = ["train", "--recipe", "progressive-cifar10", "--data", DIGITS, "--progressive.image_channels", 1,
          "--progressive.most_channels", 8, "--progressive.latent", 8, "--train.batch", 12, "--growth.stable_kimg", 0.048,
          "--growth.fade_kimg", 0.5, "--progressive.deviation_group", 4, "--train.threads", 1, "--sample.every", 0, *SAVES]


@pytest.fixture(scope="module")
def latent_diffusion(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    succeed(0, *STAGE, "--data", DIGITS, "--out", folder / "stage", "--steps", 3, "--sample.every", 0)
    succeed(0, "dataset", "encode", DIGITS, folder / "latents.h5", "--first-stage", folder / "stage")
    return [*MODEL, "--data", folder / "latents.h5", "--first-stage", folder / "stage", "--sample.every", 0, *SAVES]


@pytest.fixture
def command(request, family):
    """The arguments of a training, without those that tell its folder."""
    if family == "biggan":
        arguments = training("OUT", "--checkpoint.every", 4, steps=STEPS)
        place = arguments.index("--out")
        return arguments[:place] + arguments[place + 2:]
    return FADING if family == "fading" else request.getfixturevalue("latent_diffusion")


def is_alive(job):
    """Whether anything that the job has started still runs."""
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or not (status := status_of(entry.name)) or status[0] == "Z":
            continue
        try:
            session = int((entry / "stat").read_text().rpartition(")")[2].split()[3])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if session == job.process.pid:
            return True
    return False


def start_and_kill(ranks, arguments, choose, within):
    """Whether the job was killed; else it was done before."""
    with Job(ranks, *arguments) as job:
        moment = time.monotonic() + choose.uniform(0, within)
        while time.monotonic() < moment and job.process.poll() is None:
            time.sleep(0.003)
        kill(choose.choice([*(job.ranks() if ranks else []), job.process.pid]), signal.SIGKILL)
        result = job.wait()
        deadline = time.monotonic() + 20
        while is_alive(job):
            assert time.monotonic() < deadline, "a rank outlives the job"
            time.sleep(0.01)
    assert result.code in (0, -signal.SIGKILL, 128 + signal.SIGKILL), (result.code, result.err)
    return result.code != 0


def survive(ranks, arguments, folder, choose, kills):
    """As many kills, in one run or several, each of which ends like one that was not interrupted. Returns how often it
    began anew, and how many of the kills came after steps had been done."""
    whole, out = folder / "whole", folder / "killed"
    began = time.monotonic()
    succeed(ranks, *arguments, "--out", whole)
    lasts = time.monotonic() - began
    expected = final_tensors(whole, STEPS)
    done, runs, in_training = 0, 0, 0
    while done < kills:
        runs += 1
        while done < kills and start_and_kill(ranks, [*arguments, "--out", out], choose, lasts):
            done += 1
            in_training += bool(logged_steps(out))
        resume(ranks, out, *arguments, "--out", out)
        assert logged_steps(out) == list(range(1, STEPS + 1))
        assert_bit_equal(final_tensors(out, STEPS), expected)
        assert (out / "chain.jsonl").read_bytes() == (whole / "chain.jsonl").read_bytes()
        shutil.rmtree(out)
    shutil.rmtree(whole)
    return runs, in_training


@pytest.mark.parametrize("family", ["biggan", "fading", "latent"])
def test_kills_at_random_moments(tmp_path, full, family, command):
    choose = seeded()
    survived = 0
    for ranks in (0, 2, 4) if full else (choose.choice((0, 2, 4)),):
        kills = 23 if full else 3
        began = time.monotonic()
        runs, in_training = survive(ranks, command, tmp_path, choose, kills)
        survived += kills
        print(f"{family}, {ranks or 1} ranks: {kills} of {kills} survived, {in_training} of them after a first step, in "
              f"{runs} runs, {time.monotonic() - began:.0f} s")
    print(f"{family}: {survived} of {survived} survived")
