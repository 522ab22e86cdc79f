"""train.shard_optimizer: one run whether ranks share the optimiser's state or not, saved by one, resumed by the other."""

import functools
import json
import re
import shutil

import pytest

from ganymede_runs import (DIGITS, assert_bit_equal, checkpoints, far_apart, final_tensors, some_digits, succeed, training,
                           write_dataset)

SEED = 7
STEPS = 10
# Three and four ranks divide neither the batch nor the parameters.
DOUBLE = ["--train.precision", "fp64", "--checkpoint.every", 5, "--seed", SEED, "--train.bucket_mib", 0.02,
          "--generator.clip", 1, "--discriminator.clip", 1, "--generator.ema_start", 2]
SHARDED = ["--train.shard_optimizer", "true"]
PLAIN = ["--train.shard_optimizer", "false"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A function: the folder of a run of ten steps in float64, by rank count and whether it is sharded."""
    folder = tmp_path_factory.mktemp("runs")
    data = write_dataset(folder / "data.h5", *some_digits(64))

    def arguments(out, sharded):
        return training(out, *DOUBLE, *(SHARDED if sharded else PLAIN), data=[data], steps=STEPS, batch=10)

    @functools.cache
    def train(ranks, sharded):
        out = folder / f"{ranks}-{sharded}"
        succeed(ranks, *arguments(out, sharded))
        return out

    train.arguments = arguments
    return train


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_sharing_does_not_show(runs, ranks):
    ours, plain = (final_tensors(runs(ranks, sharded), STEPS) for sharded in (True, False))
    assert far_apart(ours, plain, 1e-12) == {}
    assert far_apart(ours, final_tensors(runs(1, False), STEPS)) == {}


@pytest.mark.parametrize("before, after", [
    ((4, True), (4, True)), ((4, True), (2, True)), ((4, True), (2, False)), ((4, True), (1, False)),
    ((1, False), (3, True)), ((2, False), (2, True))])
def test_resumed_by_others(runs, tmp_path, before, after):
    out = tmp_path / "run"
    shutil.copytree(runs(*before), out)
    shutil.rmtree(checkpoints(out)[-1])
    result = succeed(after[0], *runs.arguments(out, after[1]))
    assert f"resuming at step 5 of {STEPS}" in result.out
    ours, expected = final_tensors(out, STEPS), final_tensors(runs(*before), STEPS)
    if before == after:
        assert_bit_equal(ours, expected)
    assert far_apart(ours, expected) == {}


def test_each_rank_writes_its_shard(runs):
    newest = checkpoints(runs(4, True))[-1]
    content, plain = (json.loads((folder / "manifest.json").read_text())["content"]
                      for folder in (newest, checkpoints(runs(4, False))[-1]))
    sizes = [shard["size"] for shard in content["shards"]]
    assert len(sizes) == 4 and max(sizes) < 1.3 * min(sizes), sizes
    assert content["tensors"] == plain["tensors"]


# In single precision and without clipping nothing is summed in another order: scores and grids are of the same weights.
def test_a_diffusion_model_in_bf16_is_the_same_bits(tmp_path):
    def arguments(out, *options, steps=6):
        return ["train", "--recipe", "ddpm-digits", "--data", DIGITS, "--out", out, "--steps", steps, "--train.batch", 4,
                "--train.threads", 1, "--train.precision", "bf16", "--unet.channels", "8,16", "--unet.attention", 16,
                "--unet.dropout", 0.1, "--denoiser.warmup", 0, "--denoiser.clip", 0, "--sample.every", 3, "--sample.count", 4,
                "--sampler.steps", 2, "--checkpoint.every", 3, *options]

    succeed(2, *arguments(tmp_path / "plain", *PLAIN))
    succeed(2, *arguments(tmp_path / "ours", *SHARDED))
    expected = final_tensors(tmp_path / "plain", 6)
    assert_bit_equal(final_tensors(tmp_path / "ours", 6), expected)
    grids = [[file.read_bytes() for file in sorted((tmp_path / name / "samples").iterdir())] for name in ("plain", "ours")]
    assert grids[0] == grids[1] and len(grids[0]) == 9  # three pictures of three steps
    # Stopped and resumed, and begun from another run's weights.
    succeed(2, *arguments(tmp_path / "again", *SHARDED, steps=3))
    succeed(2, *arguments(tmp_path / "again", *SHARDED))
    assert_bit_equal(final_tensors(tmp_path / "again", 6), expected)
    for name, options in (("from-plain", PLAIN), ("from-ours", SHARDED)):
        succeed(2, *arguments(tmp_path / name, "--init-from", tmp_path / "ours", *options, steps=2))
    assert_bit_equal(final_tensors(tmp_path / "from-ours", 2), final_tensors(tmp_path / "from-plain", 2))
    # What it says of its traffic: as many bytes again for the weights.
    last = [json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]) for name in ("plain", "ours")]
    assert 2 <= last[1]["reduce_bytes"] / last[0]["reduce_bytes"] < 2.01


def test_dry_run_tells_what_is_saved_and_sent(tmp_path):
    def told(*options):
        return succeed(4, *training(tmp_path / "run", "--dry-run", "--generator.clip", 1, *options)).out

    def kib(text, what, collectives):
        count, size, unit = re.search(rf"{what} +(\d+) {collectives} of ([\d.]+) (KiB|B)", text).groups()
        return int(count), float(size)

    plain, ours = told(*PLAIN), told(*SHARDED)
    for player in ("generator", "discriminator"):
        count, size = kib(plain, f"{player} gradients", "all-reduces")
        sent = kib(ours, f"{player} gradients", "reduce-scatters")
        assert sent == kib(ours, f"{player} weights", "all-gathers")
        assert sent[0] == count and 1 <= sent[1] / size < 1.05
        assert kib(ours, f"{player} gradient norm", "all-reduces")[0] == 1

    def memory(text):
        value, unit = re.search(r"memory +([\d.]+) (KiB|MiB)", text).groups()
        return float(value) * (1024 if unit == "MiB" else 1)

    # The generator has an average: 8 + 12 / 4 of 20 bytes; the discriminator 8 + 8 / 4 of 16.
    assert 0.5 < memory(ours) / memory(plain) < 0.66
