"""Captions from the command line: tokens, a diffusion model that follows them, samples, latents with tokens."""

import json
import pathlib
import sys

import h5py
import numpy as np
import pytest
from safetensors import safe_open

from ganymede_runs import DIGITS, PROGRAM, ROOT, assert_bit_equal, final_tensors, refusal, succeed

sys.path.insert(0, str(ROOT / "tests/bench"))
import shapes  # noqa: E402

SMALL = ["--train.batch", 6, "--train.threads", 1, "--train.precision", "fp32", "--unet.channels", "8,16",
         "--unet.groups", 4, "--unet.attention", 8, "--unet.head_channels", 8]
ENCODER = ["--text.width", 8, "--text.depth", 1, "--text.heads", 2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("text")


@pytest.fixture(scope="module")
def data(folder):
    """The shapes with captions, and the options that their tokens need."""
    path = shapes.make(folder / "shapes.h5", 60)
    return path, shapes.tokenized(PROGRAM, path)


def training(data, out, steps, *options, every=0):
    path, text = data
    return ["train", "--recipe", "text-shapes", "--data", path, "--out", out, "--steps", steps, "--sample.every", every,
            *SMALL, *ENCODER, *text, *options]


@pytest.fixture(scope="module")
def trained(folder, data):
    succeed(2, *training(data, folder / "run", 4))
    return folder / "run"


def draw(run_folder, out, *options, ranks=0):
    succeed(ranks, "sample", "--from", run_folder, "--out", out, "--sampler.steps", 3, *options)
    with h5py.File(out) as file:
        return file["images"][:].astype(int)


def test_the_checker_knows_true_drawings_from_shuffled_ones():
    captions, kinds = shapes.asked(4)
    rng = np.random.default_rng(0)
    seen = [shapes.seen_in(shapes.drawing(each, rng)) for each in kinds]
    shuffled = np.mean([shapes.right(seen, [kinds[i] for i in rng.permutation(len(kinds))]) for _ in range(50)])
    print(f"true {shapes.right(seen, kinds):.3f}, shuffled {shuffled:.3f}, chance {1 / len(set(kinds)):.3f}")
    assert shapes.right(seen, kinds) >= 0.99
    assert abs(shuffled - 1 / len(set(kinds))) < 0.01
    # No two kinds of a held-out pair are in one training image, and each kind is in some.
    known = [set(pair) for pair in shapes.PAIRS if pair not in shapes.held_out()]
    assert all(set(each) not in known for each in kinds) and set().union(*known) == set(shapes.KINDS)
    assert len(set(captions)) == len(captions)


def test_one_rank_and_three_train_the_same_run(data, trained, tmp_path):
    for ranks in (1, 3):
        succeed(ranks, *training(data, tmp_path / f"{ranks}", 4))
        ours, theirs = final_tensors(tmp_path / f"{ranks}", 4), final_tensors(trained, 4)
        for name, tensor in theirs.items():
            if "/weight/" in name and not name.endswith("to_k.bias"):
                assert np.allclose(ours[name], tensor, rtol=1e-3, atol=2e-5), name


def test_going_on_is_the_same_run(data, trained, tmp_path):
    succeed(2, *training(data, tmp_path / "run", 2))
    succeed(2, *training(data, tmp_path / "run", 4))
    assert_bit_equal(final_tensors(tmp_path / "run", 4), final_tensors(trained, 4))


def test_captions_are_followed_without_the_dataset(data, trained, tmp_path):
    captions = ["a red square left of a blue circle", "a green triangle left of a red circle", ""]
    hidden = pathlib.Path(f"{data[0]}.hidden")
    data[0].rename(hidden)
    try:
        images = draw(trained, tmp_path / "a.h5", "--count", 7, "--caption", *captions)
        assert images.shape == (7, 3, 16, 16)
        again = draw(trained, tmp_path / "b.h5", "--count", 7, "--batch", 2, "--caption", *captions, ranks=2)
        assert np.abs(images - again).max() <= 1
        # Three columns: the first row's caption changes the first row alone.
        much = ["--count", 7, "--ema", "false", "--sampler.guidance", 1000]  # so little is learned yet
        images = draw(trained, tmp_path / "h.h5", *much, "--caption", *captions)
        other = draw(trained, tmp_path / "c.h5", *much, "--caption", captions[1], *captions[1:])
        assert (other[:3] != images[:3]).any() and (other[3:] == images[3:]).all()
        succeed(0, "sample", "--from", trained, "--out", tmp_path / "d.png", "--count", 6, "--sampler.steps", 2,
                "--caption", *captions)
        refusal(3, 0, "sample", "--from", trained, "--out", tmp_path / "e.png")  # whose captions?
        asking = ["sample", "--from", trained, "--out", tmp_path / "e.png"]
        assert "shorten it" in refusal(2, 0, *asking, "--caption", "a red square " * 9)
        line = refusal(2, 0, *asking, "--caption", "x", "--conditions", hidden)
        assert "give one of them" in line
    finally:
        hidden.rename(data[0])
    # Without captions of one's own those of the run's data.
    images = draw(trained, tmp_path / "f.h5", "--count", 4)
    with h5py.File(data[0]) as file:
        own = [text.decode() for text in file["captions"][:4]]
    assert np.abs(images - draw(trained, tmp_path / "g.h5", "--count", 4, "--caption", *own)).max() <= 1


def test_grids_come_with_their_captions(data, tmp_path):
    succeed(1, *training(data, tmp_path / "run", 2, "--sample.count", 4, "--sampler.steps", 3, every=2))
    lines = (tmp_path / "run/samples/captions.txt").read_text().splitlines()
    with h5py.File(data[0]) as file:
        own = [text.decode() for text in file["captions"][:4]]
    assert lines == [f"row {i // 2 + 1}, column {i % 2 + 1}: {own[i]}" for i in range(4)]
    assert (tmp_path / "run/samples/step-000000002-guidance.png").exists()


def test_exports_hold_the_vocabulary(trained, data, tmp_path):
    succeed(0, "export", "--from", trained, "--out", tmp_path / "all.safetensors")
    with safe_open(tmp_path / "all.safetensors", "np") as file, h5py.File(data[0]) as dataset:
        assert json.loads(file.metadata()["vocab.json"]) == json.loads(dataset["vocabulary"][0])
        assert file.metadata()["merges.txt"].encode() == dataset["vocabulary"][1]
        assert any(name.startswith("denoiser.text.encoder.") for name in file.keys())
    line = refusal(2, 0, "export", "--from", trained, "--format", "diffusers", "--out", tmp_path / "there")
    assert "captions or labels" in line


def test_what_does_not_fit_is_refused(data, tmp_path):
    path, text = data
    line = refusal(3, 1, *training((path, ["--text.length", 5, *text[2:]]), tmp_path / "run", 2))
    assert f"set text.length = {text[1]}" in line
    line = refusal(3, 1, *training((path, [*text[:2], "--text.vocabulary", 999]), tmp_path / "run", 2))
    assert f"set text.vocabulary = {text[3]}" in line
    bare = shapes.make(tmp_path / "bare.h5", 8)
    line = refusal(3, 1, *training((bare, text), tmp_path / "run", 2))
    assert "dataset tokenize" in line
    line = refusal(2, 1, *training(data, tmp_path / "run", 2, "--diffusion.network", "dit"))
    assert "diffusion.text" in line or "unet" in line


def test_tokens_of_another_vocabulary_are_refused(data, trained, tmp_path):
    """Though they are as many."""
    path, text = data
    other = shapes.make(tmp_path / "other.h5", 60)
    with h5py.File(other, "a") as file:
        captions = [f"zigzag {caption.decode()[::-1]}" for caption in file["captions"][:]]
        del file["captions"]
        file["captions"] = captions
    succeed(0, "dataset", "tokenize", other, "--vocabulary", text[3], "--length", text[1])
    line = refusal(3, 2, "sample", "--from", trained, "--conditions", other, "--out", tmp_path / "a.png")
    assert "another vocabulary" in line and "dataset tokenize" in line
    begun = training((other, text), tmp_path / "run", 2, "--init-from", trained)
    assert "another vocabulary" in refusal(3, 2, *begun)
    # A network that takes over no words may learn others.
    more, size = tmp_path / "more.h5", int(text[3]) + 5
    succeed(0, "dataset", "tokenize", other, "--vocabulary", size, "--length", text[1], "--out", more)
    with h5py.File(more) as file:
        size = len(json.loads(file["vocabulary"][0]))
    assert size != int(text[3])
    succeed(1, *training((more, [*text[:3], size]), tmp_path / "more", 1, "--init-from", trained))
    goes_on = training((other, text), trained, 6, "--resume.allow", "data")
    assert "another vocabulary" in refusal(3, 2, *goes_on)
    # The remedy that it names.
    succeed(0, "dataset", "tokenize", other, "--vocabulary", path, "--length", text[1])
    succeed(2, "sample", "--from", trained, "--conditions", other, "--out", tmp_path / "a.h5", "--sampler.steps", 2,
            "--count", 4)
    assert "no tokens" in refusal(3, 0, "dataset", "tokenize", other, "--vocabulary", DIGITS)
    few = ["sample", "--from", trained, "--out", tmp_path / "b.png", "--count", 1, "--caption", "a", "b"]
    assert "--count 1" in refusal(2, 1, *few)


def test_embeddings_of_any_encoder_are_followed(tmp_path):
    path = shapes.make(tmp_path / "a.h5", 24)
    with h5py.File(path, "a") as file:
        file["embeddings"] = np.random.default_rng(0).normal(size=(24, 3, 5)).astype(np.float32)
    options = ["--diffusion.text", "embeddings", "--text.embedding", 5, "--text.places", 3]
    recipe = tmp_path / "embeddings.cfg"
    text = (ROOT / "launch/recipes/text-shapes.cfg").read_text()
    begin, end = text.index("[text]"), text.index("[ddpm]")
    recipe.write_text(text[:begin] + text[end:])
    words = ["train", "--recipe", recipe, "--data", path, *SMALL, "--sample.every", 0]
    succeed(2, *words, *options, "--out", tmp_path / "run", "--steps", 2)
    guided = ["--count", 5, "--sampler.guidance", 2]
    images = draw(tmp_path / "run", tmp_path / "b.h5", *guided)
    assert np.abs(images - draw(tmp_path / "run", tmp_path / "c.h5", *guided, ranks=2)).max() <= 1
    line = refusal(2, 0, "sample", "--from", tmp_path / "run", "--out", tmp_path / "d.png", "--caption", "a")
    assert "diffusion.text = tokens" in line
    line = refusal(3, 1, *words, *options[:-1], 2, "--out", tmp_path / "other", "--steps", 2)
    assert "3 embeddings an image, the networks expect 2" in line


def test_latents_keep_the_tokens(data, tmp_path):
    path, text = data
    succeed(1, "train", "--recipe", "kl-digits", "--data", path, "--out", tmp_path / "stage", "--steps", 2,
            "--train.batch", 4, "--train.threads", 1, "--train.precision", "fp32", "--sample.every", 0,
            "--first_stage.resolution", 16, "--first_stage.image_channels", 3, "--first_stage.channels", "8,16", "--autoencoder.warmup", 0)
    succeed(2, "dataset", "encode", path, tmp_path / "latents.h5", "--first-stage", tmp_path / "stage")
    with h5py.File(path) as images, h5py.File(tmp_path / "latents.h5") as latents:
        assert (images["tokens"][:] == latents["tokens"][:]).all()
        assert (images["vocabulary"][:] == latents["vocabulary"][:]).all()
        channels, size = latents["images"].shape[1] // 4, latents["images"].shape[2]
    succeed(0, "dataset", "verify", tmp_path / "latents.h5")
    succeed(2, *training((tmp_path / "latents.h5", text), tmp_path / "run", 2, "--first-stage", tmp_path / "stage",
                         "--unet.resolution", size, "--unet.image_channels", channels, "--sampler.clip", "false"))
    images = draw(tmp_path / "run", tmp_path / "a.h5", "--count", 2, "--caption", "a red square left of a blue circle")
    assert images.shape == (2, 3, 16, 16)
