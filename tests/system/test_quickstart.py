"""The quickstart's training, with the recipe's own settings: does it draw the digits asked for, and not one of each?"""

import h5py
import numpy as np
import pytest
from sklearn.svm import SVC

from ganymede_runs import DIGITS, Job, succeed

PER_CLASS = 20


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """200 images and the classes asked for, from a run of quickstart.sh's command."""
    folder = tmp_path_factory.mktemp("quickstart")
    with Job(2, "train", "--recipe", "biggan-digits", "--data", DIGITS, "--out", folder / "run", "--log.every", 50) as job:
        result = job.wait(1700)
    assert result.code == 0 and not result.warnings, (result.code, result.err)
    succeed(0, "sample", "--from", folder / "run", "--count", 10 * PER_CLASS, "--classes", "all", "--out", folder / "a.h5")
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
