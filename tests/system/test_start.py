"""What a run begins with: --dry-run, the length, --init-from, --resume never and PATH, and what a dataset must be."""

import re
import shutil

import numpy as np
import pytest

from ganymede_runs import (assert_bit_equal, checkpoints, final_tensors, flip_byte, logged_steps, refusal, run,
                           some_digits, succeed, tensors_of, training, write_dataset)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Four steps with two checkpoints and a moving average of G's weights, but not of anything of D's."""
    out = tmp_path_factory.mktemp("trained") / "run"
    succeed(2, *training(out, "--checkpoint.every", 2, "--generator.ema_start", 0, steps=4))
    return out


def resolved(recipe, *options):
    """Options by key, as --dry-run prints them."""
    text = succeed(0, "train", "--recipe", recipe, "--dry-run", *options).out
    values, section = {}, ""
    for line in text.splitlines():
        if found := re.fullmatch(r"\[(.+)\]", line):
            section = found[1]
        elif found := re.fullmatch(r"(\S+) = (.*)", line):
            values[f"{section}.{found[1]}"] = found[2]
    return values


# ------------------------------------------------------------------------------------------------- options


def test_dry_run_tells_what_a_run_would_be_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = succeed(2, *training("run", "--dry-run", "--generator.lr", "2e-4"))
    assert "lr = 0.0002" in result.out and "a step on 2 ranks" in result.out, result.out
    assert not list(tmp_path.iterdir())
    # One line for each network, and what a step reduces: D's and G's gradients, once each.
    parameters = {name: int(count.replace(",", ""))
                  for name, count in re.findall(r"(?m)^(generator|discriminator) +([\d,]+) parameters$", result.out)}
    for name, count in parameters.items():
        kib = float(re.search(rf"{name} gradients +\d+ all-reduces of ([\d.]+) KiB", result.out)[1])
        assert 1 <= kib * 1024 / (4 * count) < 1.2, (name, kib, count)


@pytest.mark.parametrize("options, steps, kimg", [
    (["--steps", 9], "9", "0"),
    (["--train.steps", 9], "9", "0"),
    (["--kimg", 1.5], None, "1.5"),
    (["--train.kimg", 1.5], None, "1.5"),
])
def test_the_command_line_has_the_last_word_on_the_length(tmp_path, options, steps, kimg):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("[train]\nkimg = 7\n[biggan]\ngenerator_channels = 2\ndiscriminator_channels = 2\n")
    values = resolved(recipe, *options)
    assert values["train.kimg"] == kimg
    assert steps is None or values["train.steps"] == steps


@pytest.mark.parametrize("recipe, choices, gone", [
    ("ddpm-cifar10", {"diffusion.process": "flow"}, "ddpm."), ("ddpm-digits", {"diffusion.process": "edm"}, "ddpm."),
    ("ddpm-digits", {"diffusion.network": "dit", "dit.resolution": "8", "dit.image_channels": "1"}, "unet."),
    ("biggan-digits", {"gan.network": "dcgan"}, "biggan.")])
def test_a_recipe_tells_nothing_of_what_is_chosen_in_its_place(recipe, choices, gone):
    told = resolved(recipe, *(f"--{key}={value}" for key, value in choices.items()))
    assert all(told[key] == value for key, value in choices.items())
    assert not any(key.startswith(gone) for key in told)
    # What is given beside it must be known.
    line = refusal(2, 0, "train", "--recipe", recipe, "--dry-run", *(f"--{key}={value}" for key, value in choices.items()),
                   f"--{gone}schedule", "linear")
    assert "unknown option" in line


@pytest.mark.parametrize("options, words", [
    (["--steps", 5, "--train.steps", 9], ["--steps", "--train.steps", "give one"]),
    (["--seed", 5, "--train.seed", 5], ["--seed", "--train.seed", "give one"]),
    (["--steps", 5, "--kimg", 1], ["steps", "kimg", "not both"]),
    (["--train.steps", 5, "--kimg", 1], ["steps", "kimg", "not both"]),
    (["--steps", 5, "--train.kimg", 1], ["steps", "kimg", "not both"]),
], ids=lambda value: " ".join(map(str, value)))
def test_two_lengths_are_refused(options, words):
    line = refusal(2, 0, "train", "--recipe", "biggan-digits", "--dry-run", *options)
    assert all(word in line for word in words), line


def test_kimg_counts_real_images(tmp_path):
    out = tmp_path / "run"
    arguments = training(out, "--gan.d_steps", 2)
    arguments[arguments.index("--steps"):arguments.index("--steps") + 2] = ["--kimg", 0.1]
    # 100 images at 16 a step.
    assert " of 7 steps" in succeed(2, *arguments).out
    assert logged_steps(out) == list(range(1, 8))


def test_a_run_that_outlasts_its_learning_rate_is_warned_of(tmp_path):
    result = succeed(0, *training(tmp_path / "run", "--generator.decay_from", 0, "--generator.decay_until", 1, steps=2))
    assert [line for line in result.warnings if "generator.decay_until" in line] and len(result.warnings) == 1, result.err


# ------------------------------------------------------------------------------------------------- datasets


def test_images_without_a_class_are_refused_unless_there_is_one_class(tmp_path):
    images, labels = some_digits()
    labels[[3, 9]] = -1
    data = write_dataset(tmp_path / "some.h5", images, labels)
    line = refusal(3, 2, *training(tmp_path / "run", data=[data]))
    assert "2 of 64 images have no class" in line and "class folders" in line and "classes to 1" in line, line
    data = write_dataset(tmp_path / "none.h5", images, np.full_like(labels, -1))
    assert "64 of 64 images" in refusal(3, 2, *training(tmp_path / "run", data=[data]))
    result = succeed(2, *training(tmp_path / "run", "--biggan.classes", 1, data=[data], steps=1))
    assert not result.warnings


def test_fewer_classes_than_the_networks_learn_are_warned_of_once(tmp_path):
    result = succeed(2, *training(tmp_path / "run", "--biggan.classes", 12, steps=1))
    assert len(result.warnings) == 1 and "10 classes, the networks learn 12" in result.warnings[0], result.err


# ------------------------------------------------------------------------------------------------- --init-from

# One step that changes neither weights nor, therefore, averages.
STILL = ["--generator.lr", 0, "--discriminator.lr", 0, "--seed", 5]


def kinds(tensors, *wanted):
    return {name: tensor for name, tensor in tensors.items() if name.split("/")[1] in wanted}


def test_init_from_takes_weights_and_averages(trained, tmp_path):
    out = tmp_path / "run"
    result = succeed(2, *training(out, *STILL, "--generator.ema_start", 0, "--init-from", trained, steps=1))
    assert re.search(r"init-from .*step-000000004: took \d+ tensors, skipped 0\n", result.out), result.out
    assert "starting at step 0" in result.out
    ours, source = final_tensors(out, 1), final_tensors(trained, 4)
    assert_bit_equal(kinds(ours, "weight"), kinds(source, "weight"))
    for name, tensor in kinds(ours, "ema").items():
        weight = source[name.replace("/ema/", "/weight/")]
        expected = 0.995 * source[name] + 0.005 * weight
        assert np.allclose(tensor, expected, rtol=1e-5, atol=1e-7), name


def test_init_from_a_run_without_average_begins_it_with_the_weights(tmp_path):
    source, out = tmp_path / "source", tmp_path / "run"
    succeed(2, *training(source, "--generator.ema", 0, steps=2))
    assert not kinds(final_tensors(source, 2), "ema")
    succeed(2, *training(out, *STILL, "--generator.ema_start", 0, "--init-from", source, steps=1))
    ours = final_tensors(out, 1)
    assert kinds(ours, "ema")
    for name, tensor in kinds(ours, "ema").items():
        assert np.allclose(tensor, ours[name.replace("/ema/", "/weight/")], rtol=1e-5, atol=1e-7), name


def test_init_from_lists_what_it_skipped(trained, tmp_path):
    out = tmp_path / "run"
    result = succeed(2, *training(out, *STILL, "--biggan.classes", 12, "--init-from", checkpoints(trained)[0], steps=1))
    line = re.search(r"init-from .*", result.out)[0]
    assert "step-000000002" in line and "generator/weight/shared.weight (another shape)" in line, line
    assert "discriminator/weight/embed.weight (another shape)" in line and "linear" not in line, line
    ours, source = final_tensors(out, 1), tensors_of(checkpoints(trained)[0])
    assert (ours["generator/weight/linear.weight"] == source["generator/weight/linear.weight"]).all()


def test_init_from_passes_over_a_damaged_checkpoint(trained, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(trained, source)
    flip_byte(checkpoints(source)[-1] / "shard-00000-of-00002.safetensors", -100)
    result = succeed(2, *training(tmp_path / "run", "--init-from", source, steps=1))
    assert len(result.warnings) == 1 and "passed over" in result.warnings[0], result.err
    assert "init-from" in result.out and "step-000000002" in result.out, result.out


def test_init_from_nothing(tmp_path):
    assert "does not exist" in refusal(4, 2, *training(tmp_path / "run", "--init-from", tmp_path / "nothing"))
    (tmp_path / "empty").mkdir()
    assert "no checkpoint" in refusal(4, 2, *training(tmp_path / "run", "--init-from", tmp_path / "empty"))


def test_a_run_that_goes_on_says_that_init_from_is_passed_over(trained, tmp_path):
    out = tmp_path / "run"
    arguments = training(out, "--init-from", trained, steps=1)
    assert "passed over" not in succeed(2, *arguments).out
    arguments[arguments.index("--steps") + 1] = 2
    result = succeed(2, *arguments)
    assert "--init-from is passed over" in result.out and "resuming at step 1 of 2" in result.out, result.out


# ------------------------------------------------------------------------------------------------- --resume


def test_resume_never(trained, tmp_path):
    out = tmp_path / "run"
    assert "starting at step 0" in succeed(2, *training(out, "--resume", "never", steps=1)).out
    line = refusal(5, 2, *training(out, "--resume", "never", steps=2))
    assert "already holds a run" in line and "--resume auto" in line, line


@pytest.fixture
def stopped(trained, tmp_path):
    """A copy of the run, as if it had ended at its step 2."""
    run = tmp_path / "stopped"
    shutil.copytree(trained, run)
    shutil.rmtree(checkpoints(run)[-1])
    return run


def test_resume_from_a_checkpoint_elsewhere(trained, stopped, tmp_path):
    out = tmp_path / "run"
    arguments = training(out, "--checkpoint.every", 2, "--generator.ema_start", 0, "--resume", checkpoints(stopped)[0], steps=4)
    assert "resuming at step 2 of 4" in succeed(2, *arguments).out
    assert logged_steps(out) == [3, 4]
    assert_bit_equal(final_tensors(out, 4), final_tensors(trained, 4))
    # The same command again would throw away what has been trained since.
    line = refusal(5, 2, *arguments)
    assert "--resume auto" in line and str(out) in line, line
    assert_bit_equal(final_tensors(out, 4), final_tensors(trained, 4))


def test_a_requeued_job_goes_on_although_its_command_names_a_checkpoint(trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    arguments = training(out, "--checkpoint.every", 2, "--generator.ema_start", 0, "--resume", checkpoints(out)[0], steps=6)
    result = run(2, *arguments, environment={"SLURM_RESTART_COUNT": "1"})
    assert result.code == 0 and "resuming at step 4 of 6" in result.out, (result.out, result.err)
    assert len(result.warnings) == 1 and "goes on with the newest checkpoint" in result.warnings[0], result.err


def test_resume_from_an_earlier_checkpoint_of_its_own(trained, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    arguments = training(out, "--checkpoint.every", 2, "--generator.ema_start", 0, "--resume", checkpoints(out)[0], steps=4)
    assert "resuming at step 2 of 4" in succeed(2, *arguments).out
    assert logged_steps(out) == [1, 2, 3, 4]
    assert_bit_equal(final_tensors(out, 4), final_tensors(trained, 4))


def test_models_lists_the_recipes_that_are_named():
    rows = [line.split() for line in succeed(0, "models", "edm-cifar10", "kl-f4").out.splitlines()[1:]]
    assert rows == [["edm-cifar10", "denoiser", "55,733,891"], ["kl-f4", "autoencoder", "55,312,063"],
                    ["kl-f4", "discriminator", "2,765,633"], ["kl-f4", "lpips_trunk", "14,714,688"],
                    ["kl-f4", "lpips_heads", "1,472"]]
