"""The mathematics of the scores against the libraries whose numbers people know, from the same features.

METRICS_TOOL is the path of metrics_tool. Figures are relative differences unless they say otherwise.
"""
import json
import os
import subprocess

import numpy as np
import prdc
import pytest
import scipy.ndimage
import scipy.stats
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from safetensors.numpy import save_file
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

torch.set_num_threads(1)


@pytest.fixture
def tool(tmp_path):
    def run(metric, tensors, *arguments):
        path = tmp_path / "in.safetensors"
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, path)
        done = subprocess.run([os.environ["METRICS_TOOL"], metric, path, *map(str, arguments)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return run


def features(seed, count, dimension, shift=0.0):
    """Non-negative, correlated and of falling variance, as an Inception network's."""
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(size=(dimension, dimension)) * np.logspace(0, -1.5, dimension)
    return np.maximum(random.normal(size=(count, dimension)) @ mixing / np.sqrt(dimension) + 0.3 + shift, 0)


def close(ours, theirs, bound):
    error = abs(ours - theirs) / abs(theirs)
    print(f"{ours:.15g} {theirs:.15g} {error:.1e}")
    assert error <= bound


def test_frechet(tool):
    real, fake = features(1, 3000, 256), features(2, 2001, 256, 0.02)
    ours = tool("frechet", {"real": real, "fake": fake})
    theirs = [fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    for name in "moments", "features":
        close(ours[name], fid_statistics_to_metric(*theirs, False)["frechet_inception_distance"], 1e-9)
        close(ours[name], calculate_frechet_distance(theirs[0]["mu"], theirs[0]["sigma"],
                                                     theirs[1]["mu"], theirs[1]["sigma"]), 1e-9)
    assert not ours["undersampled"]


def test_frechet_from_float32_features(tool):
    real, fake = features(1, 1500, 64).astype(np.float32), features(2, 1500, 64, 0.02).astype(np.float32)
    ours = tool("frechet", {"real": real, "fake": fake})["moments"]
    statistics = [(x.astype(np.float64).mean(0), np.cov(x.astype(np.float64), rowvar=False)) for x in (real, fake)]
    close(ours, calculate_frechet_distance(*statistics[0], *statistics[1]), 1e-9)


def test_frechet_from_statistics(tool):
    real, fake = features(1, 1000, 128), features(2, 900, 128, 0.05)
    tensors = {"mu1": real.mean(0), "sigma1": np.cov(real, rowvar=False),
               "mu2": fake.mean(0), "sigma2": np.cov(fake, rowvar=False)}
    close(tool("statistics", tensors)["value"], calculate_frechet_distance(*tensors.values()), 1e-9)


def test_few_samples_in_2048_dimensions(tool):
    """Against NumPy's singular values of the centred features, for which no covariance is formed."""
    real, fake = features(1, 2500, 2048), features(2, 200, 2048, 0.02)
    ours = tool("frechet", {"real": real, "fake": fake})
    halves = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (real, fake)]
    exact = (np.sum((real.mean(0) - fake.mean(0)) ** 2) + sum(np.sum(h ** 2) for h in halves)
             - 2 * np.linalg.svd(halves[1] @ halves[0].T, compute_uv=False).sum())
    close(ours["moments"], exact, 1e-9)
    close(ours["features"], exact, 1e-9)
    assert ours["undersampled"]


@pytest.mark.parametrize("seed", [2020, 7])
def test_kernel_distance(tool, seed):
    real, fake = features(1, 700, 96), features(2, 600, 96, 0.05)
    theirs = kid_features_to_metric(torch.from_numpy(real), torch.from_numpy(fake), kid_subsets=20,
                                    kid_subset_size=100, rng_seed=seed, verbose=False)
    random = np.random.RandomState(seed)
    subsets = [[random.choice(n, 100, replace=False) for n in (700, 600)] for _ in range(20)]
    ours = tool("kernel", {"real": real, "fake": fake, "real_subsets": np.stack([s[0] for s in subsets]),
                           "fake_subsets": np.stack([s[1] for s in subsets])})
    close(ours["mean"], theirs["kernel_inception_distance_mean"], 1e-9)
    close(ours["deviation"], theirs["kernel_inception_distance_std"], 1e-9)


@pytest.mark.parametrize("splits", [1, 10, 7])
def test_inception_score(tool, splits):
    logits = (np.random.default_rng(3).normal(size=(1003, 1008)) * 3).astype(np.float32)
    theirs = isc_features_to_metric(torch.from_numpy(logits), splits)
    positions = np.empty(1003, np.int64)
    positions[np.random.RandomState(2020).permutation(1003)] = np.arange(1003)
    ours = tool("inception", {"logits": logits, "positions": positions}, splits)
    close(ours["mean"], theirs["inception_score_mean"], 1e-12)
    assert abs(ours["deviation"] - theirs["inception_score_std"]) <= 1e-10 * ours["mean"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [3, 5])
def test_manifold_scores(tool, k, dtype):
    real, fake = features(1, 1200, 64).astype(dtype), features(2, 1001, 64, 0.1).astype(dtype)
    ours = tool("manifold", {"real": real, "fake": fake}, k)
    fidelity = prc_features_to_metric(torch.from_numpy(fake), torch.from_numpy(real), prc_neighborhood=k,
                                      prc_batch_size=500, save_cpu_ram=False, verbose=False)
    theirs = prdc.compute_prdc(real.astype(np.float64), fake.astype(np.float64), k)
    print(ours, fidelity)
    assert 0.1 < ours["precision"] < 0.95 and 0.1 < ours["recall"] < 0.95 and 0.1 < ours["coverage"] < 0.95
    # torch-fidelity takes its shares in float32.
    assert ours["precision"] == pytest.approx(fidelity["precision"], abs=1e-6)
    assert ours["recall"] == pytest.approx(fidelity["recall"], abs=1e-6)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name


def test_manifold_scores_in_2048_dimensions(tool):
    real, fake = (features(s, 500, 2048, 0.02 * s).astype(np.float32) for s in (1, 2))
    ours = tool("manifold", {"real": real, "fake": fake}, 5)
    theirs = prdc.compute_prdc(real.astype(np.float64), fake.astype(np.float64), 5)
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, abs=1e-12), name


def pictures(count, side):
    random = np.random.default_rng(5)
    a = scipy.ndimage.gaussian_filter(random.normal(size=(count, 3, side, side)), (0, 0, 2, 2)) * 600 + 128
    b = a + random.normal(size=a.shape) * np.linspace(2, 80, count)[:, None, None, None]
    return [x.clip(0, 255).astype(np.uint8) for x in (a, b)]


def within_border(full):
    """The places where the window fits whole: Wang's; torchmetrics' mean takes in mirrored ones too."""
    return full[..., 5:-5, 5:-5].mean()


@pytest.mark.parametrize("side", [176, 192])
def test_image_similarity(tool, side):
    a, b = pictures(4, side)
    ours = tool("similarity", {"a": a, "b": b})
    for i in range(4):
        one, other = (torch.from_numpy(v[i:i + 1]).double() for v in (a, b))
        close(ours["psnr"][i], float(peak_signal_noise_ratio(one, other, data_range=255.0)), 1e-6)
        structure = []
        for _ in range(5):
            whole = within_border(structural_similarity_index_measure(one, other, data_range=255.0,
                                                                      return_full_image=True)[1])
            structure.append((whole, structural_similarity_index_measure(
                one, other, data_range=255.0, return_contrast_sensitivity=True)[1].mean()))
            one, other = (torch.nn.functional.avg_pool2d(x, 2) for x in (one, other))
        weights = 0.0448, 0.2856, 0.3001, 0.2363, 0.1333
        several = structure[4][0] ** weights[4]
        for (_, contrast), weight in zip(structure[:4], weights):
            several = several * contrast ** weight
        close(ours["ssim"][i], float(structure[0][0]), 1e-9)
        close(ours["ms_ssim"][i], float(several), 1e-9)


def laplacian_pyramid(images):
    tap = np.array([1, 4, 6, 4, 1]) / 16
    kernel = np.outer(tap, tap)[None, None]
    levels = [images.astype(np.float64)]
    while levels[-1].shape[2] > 16:
        half = scipy.ndimage.convolve(levels[-1], kernel, mode="mirror")[:, :, ::2, ::2]
        spread = np.zeros_like(levels[-1])
        spread[:, :, ::2, ::2] = half
        levels[-1] = levels[-1] - scipy.ndimage.convolve(spread, 4 * kernel, mode="mirror")
        levels.append(half)
    return levels


def test_laplacian_pyramid(tool):
    images = pictures(3, 64)[1]
    levels = laplacian_pyramid(images)
    errors = tool("pyramid", {"images": images} | {f"level{i}": level for i, level in enumerate(levels)})["errors"]
    print(errors)
    assert len(errors) == len(levels) == 3 and max(errors) < 1e-3  # of 255


def test_sorted_distance(tool):
    a, b = np.random.default_rng(6).normal(size=(2, 1000, 5)).astype(np.float32)
    b *= 2
    ours = tool("wasserstein", {"a": a, "b": b})["distances"]
    for i in range(5):
        close(ours[i], scipy.stats.wasserstein_distance(a[:, i], b[:, i]), 1e-9)


def test_refuses_nan_and_too_few(tool, tmp_path):
    real, fake = features(1, 10, 4), features(2, 3, 4)
    for metric, tensors, code, text in [
            ("frechet", {"real": real, "fake": fake * np.nan}, 4, "not finite"),
            ("manifold", {"real": real, "fake": fake}, 2, "3 nearest neighbours among 3 samples")]:
        path = tmp_path / "bad.safetensors"
        save_file(tensors, path)
        done = subprocess.run([os.environ["METRICS_TOOL"], metric, path, "3"], capture_output=True, text=True)
        assert done.returncode == code and text in done.stderr and done.stderr.count("\n") == 1, done
