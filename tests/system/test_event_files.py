"""TensorBoard's own reader reads what a run writes, also over a restart."""

import io
import json
import logging
import shutil

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator
from tensorboard.compat.proto.histogram_pb2 import HistogramProto
from tensorboard.util import tensor_util
from torch.utils.tensorboard.summary import make_histogram

from ganymede_runs import checkpoints, sampling, succeed, tensors_of, training

EVERYTHING = {kind: 0 for kind in ("scalars", "images", "histograms", "tensors", "compressedHistograms")}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "run"
    options = ["--checkpoint.every", 4, "--sample.count", 12, "--evaluate.every", 4, "--evaluate.count", 30,
               "--evaluate.reference_count", 50, "--evaluate.metrics", "fid,pr"]
    succeed(1, *sampling(3, training(out, *options, steps=6)))
    # A run that was lost after its checkpoint of step 4, and goes on from there.
    shutil.rmtree(checkpoints(out)[-1])
    assert [folder.name for folder in checkpoints(out)] == ["step-000000004"]
    succeed(1, *sampling(3, training(out, *options, steps=8)))
    return out


@pytest.fixture(scope="module")
def events(run_folder):
    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it says what it purges
    accumulator = EventAccumulator(str(run_folder), size_guidance=EVERYTHING)
    accumulator.Reload()
    return accumulator


def test_each_start_has_a_file_that_is_whole(run_folder):
    files = sorted(run_folder.glob("events.out.tfevents.*"))
    assert len(files) == 2
    starts = [json.loads(line) for line in (run_folder / "starts.jsonl").read_text().splitlines()]
    assert [start["step"] for start in starts] == [0, 4]
    assert all(start["ranks"] == 1 and start["precision"] in ("bf16", "fp32") for start in starts)


def test_scalars_are_those_of_the_log(run_folder, events):
    log = [json.loads(line) for line in (run_folder / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 9))
    names = {name for line in log for name in line} - {"step"}
    # A tag whose events the restart's mark has all purged stays in the list.
    kept = {tag for tag in events.Tags()["scalars"] if not tag.startswith("scores/") and events.Scalars(tag)}
    assert {f"train/{name}" for name in names} == kept
    for name in names:
        # Steps 5 and 6 were written twice: the mark has purged the first.
        found = [(event.step, event.value) for event in events.Scalars(f"train/{name}")]
        expected = [(line["step"], line[name]) for line in log if name in line]
        assert [step for step, _ in found] == [step for step, _ in expected]
        np.testing.assert_allclose([value for _, value in found], [value for _, value in expected], rtol=1e-6)


def test_scores_are_those_of_the_metrics(run_folder, events):
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8]
    assert {tag for tag in events.Tags()["scalars"] if tag.startswith("scores/")} == {
        "scores/fid", "scores/precision", "scores/recall"}
    for name in ("fid", "precision", "recall"):
        found = events.Scalars(f"scores/{name}")
        assert [event.step for event in found] == [4, 8], "the score of step 6, that the run has gone back on, is purged"
        values = [line["metrics"][name]["value"] for line in lines]
        np.testing.assert_allclose([event.value for event in found], values, rtol=1e-6)


def test_images_are_the_grids(run_folder, events):
    found = events.Images("samples")
    assert [image.step for image in found] == [0, 3, 6, 8]
    for image in found:
        png = (run_folder / f"samples/step-{image.step:09}.png").read_bytes()
        assert image.encoded_image_string == png
        assert (image.width, image.height) == Image.open(io.BytesIO(png)).size


def test_histograms_are_what_torch_would_write(run_folder, events):
    tags = events.Tags()["histograms"]
    assert {tag.split("/")[0] for tag in tags} == {"generator", "discriminator"} and len(tags) == 16
    weights = tensors_of(checkpoints(run_folder)[-1])
    for tag in tags:
        assert [event.step for event in events.Histograms(tag)] == [0, 3, 6, 8]
        ours = events.Histograms(tag)[-1].histogram_value
        player, layer = tag.split("/")
        values = weights[f"{player}/weight/{layer}"].astype(np.float64)
        theirs: HistogramProto = make_histogram(values, 64)
        np.testing.assert_allclose(ours.bucket_limit, theirs.bucket_limit, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(ours.bucket, theirs.bucket)
        for name in ("min", "max", "num", "sum", "sum_squares"):
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12)


def test_todays_reader_finds_the_same(run_folder, events):
    today = PluginEventAccumulator(str(run_folder), size_guidance={"tensors": 0})
    today.Reload()
    assert set(today.Tags()["tensors"]) == {tag for kind in ("scalars", "images", "histograms", "tensors")
                                            for tag in events.Tags()[kind]}
    plugins = {tag: today.SummaryMetadata(tag).plugin_data.plugin_name for tag in today.Tags()["tensors"]}
    assert plugins["train/loss_d"] == "scalars" and plugins["samples"] == "images" and plugins["options"] == "text"
    options = [tensor_util.make_ndarray(event.tensor_proto)[0].decode() for event in today.Tensors("options")]
    config = (run_folder / "config.cfg").read_text()
    assert options[-1] == "\n".join("    " + line for line in config.split("\n"))


def test_a_torn_last_record_hides_nothing_else(run_folder, events, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    newest = sorted(copy.glob("events.out.tfevents.*"))[-1]
    newest.write_bytes(newest.read_bytes()[:-3])
    torn = EventAccumulator(str(copy), size_guidance=EVERYTHING)
    torn.Reload()
    assert torn.Scalars("train/loss_d") == events.Scalars("train/loss_d")
