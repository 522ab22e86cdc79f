"""What a user or a machine does wrong: an exit code of its own and one line that says what, where and the remedy."""

import json
import os
import shutil
import signal
import time

import h5py
import numpy as np
import pytest

from ganymede_runs import (DIGITS, Job, checkpoints, far_apart, final_tensors, flip_byte, kill, logged_steps, refusal, run,
                           seeded, some_digits, succeed, training, write_dataset)

# ------------------------------------------------------------------------------------------------- options: 2


@pytest.mark.parametrize("options, words", [
    (["--train.bacth", 8], ["--train.bacth", "did you mean --train.batch?"]),
    (["--checkpoint.evry=5"], ["--checkpoint.evry", "did you mean --checkpoint.every?"]),
    (["--zzzzzzzzzzzz", 1], ["--zzzzzzzzzzzz", "--help"]),
    (["-v"], ["unknown option -v", "two dashes"]),
    (["stray"], ["unexpected", "'stray'"]),
    (["--generator.lr", "fast"], ["generator.lr", "'fast'", "not a number"]),
    (["--generator.lr", "nan"], ["generator.lr", "'nan'", "not a number"]),
    (["--generator.lr", "1e3"], ["generator.lr = 1e3", "out of range", "0..10"]),
    (["--checkpoint.keep", "0"], ["checkpoint.keep = 0", "out of range", "1.."]),
    (["--checkpoint.keep", "2.5"], ["checkpoint.keep", "'2.5'", "whole number"]),
    (["--train.precision", "fp12"], ["train.precision", "'fp12'", "fp32, fp64"]),
    (["--biggan.resolution", "48"], ["biggan.resolution", "48", "32, 64"]),
    (["--train.accumulate", "3"], ["train.accumulate = 3", "does not divide", "8"]),
    (["--resume.allow", "train.bacth"], ["train.bacth", "did you mean train.batch?"]),
    (["--seed"], ["--seed", "value"]),
], ids=lambda value: str(value[0]) if isinstance(value, list) else value)
def test_option(tmp_path, options, words):
    line = refusal(2, 2, *training(tmp_path / "run", *options))
    assert all(word in line for word in words), line
    assert not (tmp_path / "run").exists()


def test_batch_smaller_than_rank_count(tmp_path):
    line = refusal(2, 3, *training(tmp_path / "run", batch=2))
    assert all(word in line for word in ("train.batch = 2", "3 ranks", "raise")), line
    assert "rank 0 on" not in line, "all ranks say the same"


@pytest.mark.parametrize("arguments, words", [
    ([], ["no command"]),
    (["trian"], ["'trian'", "did you mean train?"]),
    (["train"], ["--recipe is missing"]),
    (["models", "kl-f5"], ["'kl-f5'", "kl-f4"]),
    (["train", "--recipe", "biggan-digit", "--data", DIGITS, "--out", "run"], ["'biggan-digit'", "biggan-digits"]),
    (["train", "--recipe", "biggan-digits", "--out", "run"], ["--data is missing"]),
    (["train", "--recipe", "biggan-digits", "--data", DIGITS], ["--out is missing"]),
    (["train", "--recipe", "biggan-digits", "--data", "--out", "run"], ["--data", "value"]),
], ids=lambda value: " ".join(map(str, value[:3])))
def test_command_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    line = refusal(2, 0, *arguments)
    assert all(word in line for word in words), line
    assert not os.listdir(tmp_path)


def test_recipe_names_file_and_line(tmp_path):
    recipe = tmp_path / "mine.cfg"
    recipe.write_text("[train]\nbatch = 8\nbacth = 9\n")
    line = refusal(2, 2, "train", "--recipe", recipe, "--data", DIGITS, "--out", tmp_path / "run")
    assert "mine.cfg:3" in line and "batch" in line, line


# ------------------------------------------------------------------------------------------------- datasets: 3


def missing(path):
    return ["no such file"]


def folder(path):
    path.mkdir()
    return ["not a file"]


def empty(path):
    path.touch()
    return ["empty"]


def text(path):
    path.write_text("not a dataset " * 1000)
    return ["not an HDF5 file"]


def truncated(path):
    path.write_bytes(DIGITS.read_bytes()[:1_000_000])
    return []


def header_only(path):
    path.write_bytes(DIGITS.read_bytes()[:300])
    return []


def byte_flipped(path):
    shutil.copy(DIGITS, path)
    with h5py.File(DIGITS) as file:
        flip_byte(path, file["images"].id.get_offset() + 500_000)
    return ["/images", "digest", "damaged"]


def label_flipped(path):
    shutil.copy(DIGITS, path)
    with h5py.File(DIGITS) as file:
        flip_byte(path, file["labels"].id.get_offset() + 800)
    return ["/labels", "digest", "damaged"]


def wrong_dtype(path):
    images, labels = some_digits()
    write_dataset(path, images.astype(np.int32), labels)
    return ["/images", "int32", "uint8"]


def complex_labels(path):
    images, labels = some_digits()
    write_dataset(path, images, labels.astype(np.float32))
    return ["/labels"]


def wrong_size(path):
    images, labels = some_digits()
    write_dataset(path, np.pad(images, ((0, 0), (0, 0), (0, 0), (0, 4))), labels)
    return ["36 columns", "expect 32", "--size"]


def wrong_channels(path):
    images, labels = some_digits()
    write_dataset(path, np.repeat(images, 3, axis=1), labels)
    return ["3 channels", "expect 1", "--channels"]


def label_out_of_range(path):
    images, labels = some_digits()
    labels[9] = 10
    write_dataset(path, images, labels)
    return ["11 classes", "at most 10"]


def label_below_range(path):
    images, labels = some_digits()
    labels[9] = -2
    write_dataset(path, images, labels)
    return ["/labels", "image 9", "-2"]


def too_few_labels(path):
    images, labels = some_digits()
    write_dataset(path, images, labels[:-1])
    return ["/labels"]


def external_link(path):
    with h5py.File(path, "w") as file:
        file["images"] = h5py.ExternalLink(str(DIGITS), "/images")
        file["labels"] = h5py.ExternalLink(str(DIGITS), "/labels")
    return ["link to another file"]


def external_storage(path):
    images, labels = some_digits()
    raw = path.with_suffix(".raw")
    raw.write_bytes(images.tobytes())
    with h5py.File(path, "w") as file:
        file.create_dataset("images", images.shape, "u1", external=[(str(raw), 0, images.nbytes)])
        file["labels"] = labels
    return ["external files"]


def not_a_number(path):
    images, labels = some_digits()
    images = images.astype(np.float32) / 255
    images[:, 0, 5, 5] = np.nan
    write_dataset(path, images, labels, value_range=[0.0, 1.0])
    return ["/images", "nan"]


@pytest.mark.parametrize("spoil", [
    missing, folder, empty, text, truncated, header_only, byte_flipped, label_flipped, wrong_dtype, complex_labels, wrong_size,
    wrong_channels, label_out_of_range, label_below_range, too_few_labels, external_link, external_storage, not_a_number
], ids=lambda function: function.__name__)
def test_dataset(tmp_path, spoil):
    data = tmp_path / "bad.h5"
    words = spoil(data)
    line = refusal(3, 2, *training(tmp_path / "run", data=[data]))
    assert spoil in (wrong_size, wrong_channels, label_out_of_range) or "bad.h5" in line, line
    assert all(word in line for word in words), line
    assert not checkpoints(tmp_path / "run")


# ------------------------------------------------------------------------------------------------- memory: 7


def test_out_of_memory(tmp_path):
    """Networks that fit into the address space allowed, activations that do not: the CPU allocator refuses."""
    line = refusal(7, 2, *training(tmp_path / "run", "--train.accumulate", 1, batch=65536), mounted="ulimit -v 4000000")
    assert "out of memory" in line and "train.batch" in line, line


# ------------------------------------------------------------------------------------------------- storage: 5


@pytest.mark.parametrize("name", ["x" * 300, "x" * 300 + "/run"])
def test_run_folder_whose_name_is_too_long(tmp_path, name):
    arguments = training(tmp_path / name)
    assert "too long" in refusal(5, 2, *arguments)
    # Without --recipe it is looked into for the options.
    assert "--recipe is missing" in refusal(2, 2, *arguments[:1], *arguments[3:])


def test_run_folder_is_a_file(tmp_path):
    (tmp_path / "run").write_text("mine")
    assert "not a folder" in refusal(5, 2, *training(tmp_path / "run"))
    assert (tmp_path / "run").read_text() == "mine"


def test_run_folder_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    assert str(tmp_path / "file") in refusal(5, 2, *training(tmp_path / "file/run"))


def test_run_folder_is_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in refusal(5, 2, *training(tmp_path / "run"))
    assert not os.listdir(tmp_path / "elsewhere")


def test_read_only_run_folder(tmp_path):
    line = refusal(5, 2, *training(tmp_path / "run"), mounted=f"mount -t tmpfs -o ro tmpfs '{tmp_path}'")
    assert str(tmp_path / "run") in line and "Read-only" in line, line
    # What one rank met, perhaps on a machine of its own.
    assert line.startswith("ganymede: rank 0 on "), line


def test_busy_run_folder(tmp_path):
    out = tmp_path / "run"
    with Job(2, *training(out, steps=10**6)) as job:
        job.wait_for_step(out, 1)
        line = refusal(5, 2, *training(out))
        assert "in use by process" in line and str(out) in line, line
        kill(job.process.pid, signal.SIGUSR1)
        assert job.wait().code == 75


def test_full_disk_ends_the_run_and_space_lets_it_go_on(tmp_path):
    disk, out = tmp_path / "disk", tmp_path / "disk/run"
    disk.mkdir()
    # Two checkpoints of 420 KiB and two black boxes of 132 fit, a third checkpoint does not; the same command again, with
    # room, goes on from the second.
    mounted = (f"mount -t tmpfs -o size=3m tmpfs '{disk}' && head -c 1724K /dev/zero >'{disk}/filler' && "
               f"""{{ "$@"; echo "first exit $?"; rm '{disk}/filler'; }}""")
    result = run(2, *training(out, "--checkpoint.every", 3, "--checkpoint.retry_seconds", 0), mounted=mounted)
    assert "first exit 5" in result.out, (result.out, result.err)
    assert len(result.errors) == 1 and "No space left" in result.errors[0] and str(out) in result.errors[0], result.err
    assert result.code == 0 and "resuming at step 6 of 12" in result.out, (result.out, result.err)


def test_full_disk_at_the_start(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = f"mount -t tmpfs -o size=64k tmpfs '{disk}' && {{ head -c 1M /dev/zero >'{disk}/filler' 2>/dev/null || true; }}"
    assert "No space left" in refusal(5, 2, *training(disk / "run"), mounted=mounted)


# ------------------------------------------------------------------------------------------------- checkpoints: 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    succeed(2, *training(out, "--checkpoint.every", 2, steps=6))
    assert [folder.name[-1] for folder in checkpoints(out)] == ["2", "4", "6"]
    return out


@pytest.fixture
def copied(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def flip_shard(checkpoint):
    flip_byte(checkpoint / "shard-00001-of-00002.safetensors", -100)


def cut_shard(checkpoint):
    os.truncate(checkpoint / "shard-00001-of-00002.safetensors", 1000)


def lose_shard(checkpoint):
    (checkpoint / "shard-00000-of-00002.safetensors").unlink()


def flip_manifest(checkpoint):
    flip_byte(checkpoint / "manifest.json", 1000)


def lose_manifest(checkpoint):
    (checkpoint / "manifest.json").unlink()


@pytest.mark.parametrize("spoil", [flip_shard, cut_shard, lose_shard, flip_manifest, lose_manifest],
                         ids=lambda function: function.__name__)
def test_corrupt_newest_checkpoint_is_passed_over(trained, copied, spoil):
    spoil(checkpoints(copied)[-1])
    result = succeed(2, *training(copied, steps=6))
    assert len(result.warnings) == 1 and "passed over" in result.warnings[0], result.err
    assert "step-000000006" in result.warnings[0], result.err
    assert "resuming at step 4 of 6" in result.out
    assert logged_steps(copied) == list(range(1, 7))
    assert not far_apart(final_tensors(copied, 6), final_tensors(trained, 6), 0)


def test_all_checkpoints_corrupt(copied):
    for checkpoint, spoil in zip(checkpoints(copied), (flip_shard, flip_manifest, lose_shard)):
        spoil(checkpoint)
    line = refusal(4, 2, *training(copied, steps=8))
    assert "none of the 3 checkpoints in" in line and "is sound" in line, line
    assert len(checkpoints(copied)) == 3 and logged_steps(copied) == list(range(1, 7))


@pytest.mark.parametrize("options, words", [
    (["--train.batch", "10"], ["train.batch: 8 -> 10"]),
    (["--seed", "3"], ["train.seed: 0 -> 3"]),
    (["--biggan.chunk", "16"], ["biggan.chunk: 20 -> 16"]),
    (["--generator.lr", "2e-3", "--discriminator.beta1", "0.5"], ["generator.lr", "discriminator.beta1: 0 -> 0.5"]),
], ids=lambda value: value[0])
def test_checkpoint_of_other_options(copied, options, words):
    arguments = training(copied, steps=8)
    for key, value in zip(options[::2], options[1::2]):
        if key in arguments:
            arguments[arguments.index(key) + 1] = value
        else:
            arguments += [key, value]
    line = refusal(4, 2, *arguments)
    assert all(word in line for word in words) and "--resume.allow" in line, line
    assert len(checkpoints(copied)) == 3


def test_allowed_options_may_differ(copied, tmp_path):
    data = write_dataset(tmp_path / "other.h5", *some_digits())
    arguments = training(copied, "--generator.lr", "2e-3", data=[data], steps=8)
    line = refusal(4, 2, *arguments, "--resume.allow", "generator.lr")
    assert "data: another dataset" in line and "generator.lr" not in line, line
    assert "resuming at step 6 of 8" in succeed(2, *arguments, "--resume.allow", "generator.lr,data").out
    assert '"generator_lr":0.002' in (copied / "log.jsonl").read_text().splitlines()[-1]


def test_other_networks_cannot_be_allowed(copied):
    line = refusal(4, 2, *training(copied, "--biggan.chunk", 16, "--resume.allow", "biggan.chunk", steps=8))
    assert "other networks" in line, line


def test_resume_from_what_is_no_checkpoint(tmp_path):
    line = refusal(4, 2, *training(tmp_path / "run", "--resume", tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in line, line


# ------------------------------------------------------------------------------------------------- ranks and numbers


def assert_gone(job, seconds):
    deadline = time.monotonic() + seconds
    while job.running():
        assert time.monotonic() < deadline, f"still running: {job.running()}"
        time.sleep(0.01)


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_killed_rank_takes_the_job_with_it(tmp_path, victim):
    out = tmp_path / "run"
    with Job(3, *training(out, steps=10**6)) as job:
        job.wait_for_step(out, seeded().randint(1, 5))
        kill(job.ranks()[victim], signal.SIGKILL)
        begin = time.monotonic()
        result = job.wait(30)
        assert time.monotonic() - begin < 2
        assert_gone(job, max(0, begin + 2 - time.monotonic()))
    assert result.code == 137, (result.code, result.err)
    assert "signal 9" in result.err and not result.errors, result.err


@pytest.mark.parametrize("victim", [0, 1])
def test_stopped_rank_is_ended_by_the_watchdog(tmp_path, victim):
    out = tmp_path / "run"
    with Job(2, *training(out, "--watchdog.seconds", 5, steps=10**6)) as job:
        job.wait_for_step(out, seeded().randint(1, 5))
        kill(job.ranks()[victim], signal.SIGSTOP)
        begin = time.monotonic()
        result = job.wait(60)
        seconds = time.monotonic() - begin
        assert_gone(job, 1)
    assert result.code == 86, (result.code, result.err)
    assert 4 < seconds < 8, seconds
    assert len(result.errors) == 1 and f"rank {victim}" in result.errors[0], result.err


@pytest.mark.parametrize("rollbacks", [0, 2])
def test_diverged(tmp_path, rollbacks):
    out = tmp_path / "run"
    result = run(2, *training(out, "--discriminator.lr", 10, "--generator.lr", 10, "--gan.gradient_penalty", 1e6,
                              "--checkpoint.every", 1, "--train.rollbacks", rollbacks, steps=10**4))
    assert result.code == 8 and len(result.errors) == 1, result.err
    line = result.errors[0]
    # Going back, it says to where, and draws other random numbers: with these rates it diverges all the same.
    warnings = [warning for warning in result.warnings if "going back" in warning]
    assert len(warnings) == rollbacks, result.err
    for i, warning in enumerate(warnings):
        assert "diverged" in warning and f"({i + 1} of 2 times)" in warning, warning
    assert result.out.count("resuming at step") == rollbacks
    assert "diverged" in line and "step" in line and "learning rate" in line, line
    # What was saved before is finite: one can go on from it.
    steps = logged_steps(out)
    assert all(np.isfinite(tensor).all() for tensor in final_tensors(out, steps[-1]).values())
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"] == steps[-1]
