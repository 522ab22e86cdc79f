"""A generator that comes to draw the same image over and over is found out, and what --on-collapse says is done."""

import json

import numpy as np
import pytest

from ganymede_runs import checkpoints, final_tensors, run, training

# With a discriminator that learns nothing, the generator goes to the image that it likes best.
STEPS = 40
COLLAPSING = ["--generator.lr", 0.02, "--discriminator.lr", 1e-6, "--collapse.every", 5, "--collapse.patience", 2,
              "--collapse.least_spread", 0.3, "--checkpoint.every", 5, "--checkpoint.keep", 20, "--train.precision", "fp64"]


def collapsing(out, action, *options):
    return run(2, *training(out, *COLLAPSING, "--on-collapse", action, *options, steps=STEPS))


def spreads(out):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line["spread"] for line in lines if "spread" in line}


def test_is_told(tmp_path):
    result = collapsing(tmp_path / "run", "warn")
    assert result.code == 0, result.err
    assert any("the generator has collapsed" in warning for warning in result.warnings), result.err
    seen = spreads(tmp_path / "run")
    assert list(seen) == list(range(5, STEPS + 1, 5))
    assert seen[5] > 0.3 > min(seen.values())


def test_top_singular_values_are_those_of_the_weights(tmp_path):
    collapsing(tmp_path / "run", "warn")
    last = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])
    tensors = final_tensors(tmp_path / "run", STEPS)
    logged = {name: value for name, value in last.items() if name.startswith("top_singular/")}
    assert len(logged) > 10 and "logit_gap" in last
    for name, value in logged.items():
        _, player, tensor = name.split("/")
        weight = tensors[f"{player}/weight/{tensor}"]
        exact = np.linalg.norm(weight.reshape(len(weight), -1), 2)
        assert 0.9 * exact <= value <= exact * (1 + 1e-9), name


def test_stops(tmp_path):
    result = collapsing(tmp_path / "run", "stop")
    assert result.code == 8 and len(result.errors) == 1, result.err
    assert "the generator has collapsed: at step" in result.errors[0]


def test_goes_back_to_before_it(tmp_path):
    out = tmp_path / "run"
    result = collapsing(out, "rollback", "--train.rollbacks", 1)
    assert result.code == 8, result.err
    back, = [warning for warning in result.warnings if "going back to step" in warning]
    sound = int(back.split("they were far enough")[0].split("at step ")[-1].split()[0].rstrip(";"))
    assert f"going back to step {sound} " in back
    # The second course begins there, with other random numbers.
    assert f"resuming at step {sound} of {STEPS}" in result.out
    for folder in checkpoints(out):
        manifest = json.loads((folder / "manifest.json").read_text())["content"]["header"]
        assert manifest["reseed"] == (0 if int(folder.name[5:]) <= sound else 1), folder


@pytest.mark.parametrize("option, value", [("--on-collapse", "explode"), ("--collapse.every", 0)])
def test_refuses(tmp_path, option, value):
    assert run(1, *training(tmp_path / "run", option, value)).code == 2
