"""The quickstart's training, and that of latent diffusion, with the recipes' own settings: do they draw the digits asked
for, and not one of each?"""

import h5py
import numpy as np
import pytest
from sklearn.svm import SVC

from ganymede_runs import DIGITS, Job, succeed

PER_CLASS = 20


def trained(out, recipe, data, *options):
    with Job(2, "train", "--recipe", recipe, "--data", data, "--out", out, "--log.every", 50, *options) as job:
        result = job.wait(1700)
    warnings = [warning for warning in result.warnings if "reconstruction.lpips names no weights" not in warning]
    assert result.code == 0 and not warnings, (result.code, result.err)
    return out


def gan(folder):
    return trained(folder / "run", "biggan-digits", DIGITS)


def latent_diffusion(folder):
    stage = trained(folder / "stage", "kl-digits", DIGITS)
    succeed(2, "dataset", "encode", DIGITS, folder / "latents.h5", "--first-stage", stage)
    return trained(folder / "run", "ldm-digits", folder / "latents.h5", "--first-stage", stage)


@pytest.fixture(scope="module", params=[gan, latent_diffusion], ids=lambda train: train.__name__)
def drawn(request, tmp_path_factory):
    """200 images and the classes asked for."""
    folder = tmp_path_factory.mktemp("quickstart")
    succeed(2, "sample", "--from", request.param(folder), "--count", 10 * PER_CLASS, "--classes", "all", "--out",
            folder / "a.h5")
    with h5py.File(folder / "a.h5") as file:
        return file["images"][:].reshape(10 * PER_CLASS, -1) / 255, file["labels"][:]


@pytest.fixture(scope="module")
def real():
    with h5py.File(DIGITS) as file:
        labels = file["labels"][:]
        return file["images"][:].reshape(len(labels), -1) / 255, labels


def within_class_std(images, labels):
    """Over the images of a class, the deviation of each pixel; the mean over pixels and classes."""
    return np.mean([images[labels == c].std(0).mean() for c in range(10)])


def test_a_classifier_of_real_digits_reads_what_was_asked_for(drawn, real):
    images, labels = drawn
    assert np.bincount(labels).tolist() == [PER_CLASS] * 10
    accuracy = SVC().fit(*real).score(images, labels)
    print(f"accuracy {accuracy:.3f}")
    assert accuracy >= 0.9


def test_a_class_is_not_one_picture_repeated(drawn, real):
    ratio = within_class_std(*drawn) / within_class_std(*real)
    print(f"deviation {ratio:.3f} of the real digits'")
    assert ratio >= 0.6
