"""`--evaluate.every`: scores during training change nothing in it, survive a stop, and the best checkpoint stays."""

import json
import signal

from ganymede_runs import DIGITS, Job, assert_bit_equal, checkpoints, final_tensors, kill, run, tensors_of, training


def scoring(every, metrics):
    return ["--evaluate.every", every, "--evaluate.metrics", metrics, "--evaluate.count", 33,
            "--evaluate.reference_count", 100]


SCORES = scoring(2, "fid,pr")


def train(ranks, *arguments):
    result = run(ranks, *arguments)
    assert result.code == 0 and not result.errors, result.err
    return result


def scores(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_scores_change_nothing(tmp_path):
    common = ["--train.precision", "fp32"]
    train(2, *training(tmp_path / "with", *common, *scoring(5, "fid,kid,pr,swd"), steps=12))
    train(2, *training(tmp_path / "without", *common, steps=12))
    assert_bit_equal(final_tensors(tmp_path / "with", 12), final_tensors(tmp_path / "without", 12))
    assert not (tmp_path / "without" / "metrics.jsonl").exists()
    lines = scores(tmp_path / "with")
    assert [line["step"] for line in lines] == [5, 10, 12]
    for line in lines:
        assert set(line["metrics"]) == {"fid", "kid", "precision", "recall", "swd"}
        images, reference = line["protocol"]["images"], line["protocol"]["reference"]
        assert images["count"] == 33 and images["step"] == line["step"] and images["ema"] in (True, False)
        assert reference["count"] == 100 and reference["digest"] == lines[0]["protocol"]["reference"]["digest"]
    assert len({line["protocol"]["images"]["digest"] for line in lines}) == 3


def test_who_asks_to_stop_does_not_wait_for_scores(tmp_path):
    """Saved is what was trained; the next start scores what this one left out."""
    out = tmp_path / "run"
    arguments = training(out, "--evaluate.every", 2, "--evaluate.count", 1500, "--evaluate.reference_count", 100, steps=2)
    with Job(2, *arguments) as job:
        job.wait_for_step(out, 2)
        kill(job.process.pid, signal.SIGUSR1)
        result = job.wait()
    assert result.code == 75 and not result.errors, (result.code, result.err)
    assert [path.name for path in checkpoints(out)] == ["step-000000002"]
    assert not (out / "metrics.jsonl").exists() or not scores(out)
    train(2, *arguments)
    assert [line["step"] for line in scores(out)] == [2]


def test_a_run_that_goes_on_goes_on_scoring(tmp_path):
    common = ["--train.precision", "fp32", "--checkpoint.keep", 1, *SCORES]
    train(2, *training(tmp_path / "once", *common, steps=8))
    train(2, *training(tmp_path / "twice", *common, steps=4))
    # A line of a step that the run has not come to.
    with open(tmp_path / "twice" / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 6, "metrics": {"fid": {"value": 0}}}) + "\n")
    train(2, *training(tmp_path / "twice", *common, steps=8))
    once, twice = scores(tmp_path / "once"), scores(tmp_path / "twice")
    for line in once + twice:
        del line["protocol"]["images"]["name"]  # the run folder's
    assert once == twice
    best = min(once, key=lambda line: line["metrics"]["fid"]["value"])["step"]
    for run_folder in ("once", "twice"):
        kept = [int(path.name[5:]) for path in checkpoints(tmp_path / run_folder)]
        assert kept == sorted({best, 8})
    assert tensors_of(checkpoints(tmp_path / "twice")[0])


def test_the_best_is_scored_again_as_it_was(tmp_path):
    out = tmp_path / "run"
    train(1, *training(out, *SCORES, steps=4))
    line = scores(out)[-1]
    result = run(3, "evaluate", "--from", checkpoints(out)[-1], "--reference", DIGITS, "--count", 33,
                 "--reference-count", 100, "--metrics", "fid,pr", "--cache", "none", "--json", tmp_path / "a.json")
    assert result.code == 0, result.err
    again = json.loads((tmp_path / "a.json").read_text())
    assert abs(again["metrics"]["fid"]["value"] / line["metrics"]["fid"]["value"] - 1) < 1e-2
    assert again["protocol"]["extractor"] == line["protocol"]["extractor"]
