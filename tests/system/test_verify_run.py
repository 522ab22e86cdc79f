"""`ganymede verify-run`: the first step at which two runs differ, and what differs there."""

import json
import shutil

import pytest

from ganymede_runs import refusal, some_digits, succeed, training, write_dataset
from ganymede_runs import run as start

STEPS = 6
OPTIONS = ["--checkpoint.every", 3, "--checkpoint.keep", 5]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "data.h5", *some_digits(64))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data):
    out = tmp_path_factory.mktemp("run") / "run"
    succeed(2, *training(out, *OPTIONS, data=[data], steps=STEPS))
    return out


def differs(a, b):
    """The line that says so, and the lines before it."""
    result = start(0, "verify-run", a, b)
    assert result.code == 8 and len(result.errors) == 1, (result.code, result.err)
    print(result.errors[0])
    return result.errors[0], result.out


def test_equal_runs_are_equal(run, data, tmp_path):
    again = tmp_path / "again"
    succeed(2, *training(again, *OPTIONS, data=[data], steps=STEPS))
    assert (again / "chain.jsonl").read_bytes() == (run / "chain.jsonl").read_bytes()
    text = succeed(0, "verify-run", run, again).out
    assert "the same in all 7 steps that both have, up to step 6" in text
    lines = [json.loads(line) for line in (run / "chain.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 0, 1, 2, 3, 4, 5, 6]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for link, told in zip(lines[2:], log):
        figures = {name: float.fromhex(value) for name, value in link["figures"].items()}
        assert figures and figures.items() <= told.items()


def test_a_resumed_run_has_the_same_chain(run, data, tmp_path):
    out = tmp_path / "run"
    for steps in (4, STEPS):
        succeed(2, *training(out, *OPTIONS, data=[data], steps=steps))
    shutil.rmtree(out / "checkpoints/step-000000006")
    shutil.rmtree(out / "checkpoints/step-000000004")
    with open(out / "chain.jsonl", "a") as file:
        file.write('{"chain":"torn')
    succeed(2, *training(out, *OPTIONS, data=[data], steps=STEPS))
    assert (out / "chain.jsonl").read_bytes() == (run / "chain.jsonl").read_bytes()


def test_another_seed_shows_at_once(run, data, tmp_path):
    out = tmp_path / "run"
    succeed(2, *training(out, *OPTIONS, "--seed", 9, data=[data], steps=STEPS))
    error, text = differs(run, out)
    assert "differ from step 0 on in the noise keys: seed 0, reseed 0 and seed 9, reseed 0" in error
    assert "in the checkpoints of step 3" in text and "relative L2" in text, text


def test_one_changed_sample_shows_when_it_comes(run, tmp_path):
    images, labels = some_digits(64)
    images[17, 0, 3, 4] ^= 1
    out = tmp_path / "run"
    data = write_dataset(tmp_path / "data.h5", images, labels)
    succeed(2, *training(out, *OPTIONS, data=[data], steps=STEPS))
    error, text = differs(run, out)
    step = int(error.split("from step ")[1].split()[0])
    assert step > 0 and "in the batches" in error, error
    assert f"the same up to step {step - 1}" in text, text


def test_another_learning_rate_shows_in_the_weights(run, data, tmp_path):
    out = tmp_path / "run"
    succeed(2, *training(out, *OPTIONS, "--generator.lr", 2e-3, data=[data], steps=STEPS))
    error, text = differs(run, out)
    assert "differ from step 1 on in the weights: " in error and ", generator/weight/" in error, error
    assert "  generator/weight/" in text and "  discriminator/" not in text.split("in the checkpoints")[0], text


def test_other_rank_counts_differ_by_rounding_alone(run, data, tmp_path):
    out = tmp_path / "run"
    succeed(1, *training(out, *OPTIONS, data=[data], steps=STEPS))
    error, _ = differs(run, out)
    assert "the batches" not in error and "the noise keys" not in error and "step 0" not in error, error
    samples = [[json.loads(line).get("samples") for line in (each / "chain.jsonl").read_text().splitlines()]
               for each in (run, out)]
    assert samples[0] == samples[1]


def test_a_line_that_was_changed_is_named(run, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(run, out)
    lines = (out / "chain.jsonl").read_text().split("\n")
    lines[4] = lines[4].replace('"step":3', '"step":30')
    (out / "chain.jsonl").write_text("\n".join(lines))
    error = refusal(4, 0, "verify-run", run, out)
    assert "chain.jsonl, line 5, after step 2" in error, error


def test_chains_without_a_common_step_tell_what_to_do(run, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "chain.jsonl").touch()
    error = refusal(4, 0, "verify-run", run, out)
    assert "have no step in common: train both with the same --chain.every" in error, error


def test_none_is_kept_where_none_is_asked_for(data, tmp_path):
    out = tmp_path / "run"
    succeed(0, *training(out, "--chain.every", 0, data=[data], steps=2))
    assert not (out / "chain.jsonl").exists()
    assert "chain.every" in refusal(4, 0, "verify-run", out, out)
