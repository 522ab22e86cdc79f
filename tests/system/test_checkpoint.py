"""`ganymede checkpoint` and `ganymede export`, on the checkpoints of tiny runs."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from ganymede_runs import Job, succeed, training


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two equal runs on one rank, and one on two."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name, ranks in ("a", 0), ("b", 0), ("two", 2):
        succeed(ranks, *training(folder / name, "--checkpoint.every", 2, steps=4))
    return folder


def refused(code, *arguments):
    with Job(0, *arguments) as job:
        result = job.wait(60)
    assert result.code == code and len(result.errors) == 1, (result.code, result.err)
    return result.errors[0] + result.out


def saved(run):
    folder = run / "checkpoints/step-000000004"
    return {name: tensor for shard in sorted(folder.glob("shard-*")) for name, tensor in load_file(shard).items()}


def test_list_shows_each_checkpoint(runs):
    lines = succeed(0, "checkpoint", "list", runs / "two").out.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [["4", "32", "2"], ["2", "16", "2"]]


def test_verify_names_the_damaged_and_checks_the_rest(runs, tmp_path):
    assert succeed(0, "checkpoint", "verify", runs / "a", runs / "two").out.count("every digest right") == 4
    damaged = next((runs / "b/checkpoints/step-000000004").glob("shard-*"))
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        text = refused(4, "checkpoint", "verify", runs / "b")
        assert damaged.name in text and "step-000000002: step 2" in text
    finally:
        damaged.write_bytes(whole)


def test_diff_tells_equal_runs_from_others(runs):
    assert "equal bit by bit" in succeed(0, "checkpoint", "diff", runs / "a", runs / "b").out
    text = refused(4, "checkpoint", "diff", runs / "a/checkpoints/step-000000002", runs / "a")
    assert "generator/weight/" in text and "relative L2" in text


def test_export_writes_the_average_that_sampling_uses(runs, tmp_path):
    run = runs / "a"
    tensors = saved(run)
    succeed(0, "export", "--from", run, "--network", "generator", "--out", tmp_path / "g.safetensors")
    exported = load_file(tmp_path / "g.safetensors")
    for kind in ("ema", "ema_buffer"):
        for name in (name for name in tensors if name.startswith(f"generator/{kind}/")):
            assert np.array_equal(exported.pop(name.split("/", 2)[2]), tensors[name]), name
    assert not exported


def test_export_writes_every_network_of_any_number_of_ranks(runs, tmp_path):
    succeed(2, "export", "--from", runs / "two", "--ema", "false", "--out", tmp_path / "all.safetensors")
    succeed(0, "export", "--from", runs / "two", "--ema", "false", "--network", "discriminator", "--out",
            tmp_path / "d.safetensors")
    everything, alone = load_file(tmp_path / "all.safetensors"), load_file(tmp_path / "d.safetensors")
    assert {name.split(".")[0] for name in everything} == {"generator", "discriminator"}
    assert alone and all(np.array_equal(everything["discriminator." + name], alone[name]) for name in alone)


def test_what_does_not_exist_is_refused(runs, tmp_path):
    out = tmp_path / "x.safetensors"
    assert "generator" in refused(2, "export", "--from", runs / "a", "--network", "g", "--out", out)
    assert "--ema true" in refused(2, "export", "--from", runs / "a", "--network", "discriminator", "--ema", "true", "--out", out)
    assert refused(4, "export", "--from", tmp_path / "none", "--out", out)
    assert refused(4, "checkpoint", "list", tmp_path)
    assert refused(2, "checkpoint", "diff", runs / "a")
    assert not out.exists()
