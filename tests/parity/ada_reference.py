"""Adaptive discriminator augmentation in plain PyTorch, image by image: the yardstick for the C++ program's.

Karras et al., arXiv 2006.06676, appendix B: the operations in their order, each a matrix in front of the product so
far. `u` and `n` are an image's uniform and normal numbers, numbered as in models/gan/regularisers/ada.h.
"""

import math

import torch

# The least asymmetric orthogonal wavelet's lowpass filter with six vanishing moments.
SYMLET = torch.tensor([0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
                       0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
                       -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148],
                      dtype=torch.float64)
# The one with two.
SYMLET_4 = torch.tensor([1 - 3**0.5, 3 - 3**0.5, 3 + 3**0.5, 1 + 3**0.5], dtype=torch.float64) / 2**2.5
RIM, RIGHT = 6, 3
CENTRE = ((torch.arange(12) * SYMLET).sum() / SYMLET.sum()).item()  # where a pixel lands: its taps' mean place


def scale2d(x, y):
    return torch.diag(torch.tensor([x, y, 1.0], dtype=torch.float64))


def rotate2d(angle):
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)


def translate2d(x, y):
    return torch.tensor([[1, 0, x], [0, 1, y], [0, 0, 1]], dtype=torch.float64)


def geometric(options, p, u, n, size):
    """G of one image, from its pixels to the result's, in pixels from the centre."""
    g, turns = torch.eye(3, dtype=torch.float64), 1 - math.sqrt(1 - p)
    if options.getboolean("blitting"):
        if u[0] < p:
            g = scale2d(1 - 2 * math.floor(2 * u[1]), 1) @ g
        if u[2] < p:
            g = rotate2d(-math.pi / 2 * math.floor(4 * u[3])) @ g
        if u[4] < p:
            g = translate2d(*(round((2 * t - 1) * 0.125 * size) for t in (u[5], u[6]))) @ g
    if options.getboolean("geometry"):
        if u[7] < p:
            s = 2 ** (0.2 * n[0])
            g = scale2d(s, s) @ g
        if u[8] < turns:
            g = rotate2d(-(2 * u[9] - 1) * math.pi) @ g
        if u[10] < p:
            s = 2 ** (0.2 * n[1])
            g = scale2d(s, 1 / s) @ g
        if u[11] < turns:
            g = rotate2d(-(2 * u[12] - 1) * math.pi) @ g
        if u[13] < p:
            g = translate2d(0.125 * n[2] * size, 0.125 * n[3] * size) @ g
    return g


def color(p, u, n):
    """C of one image: (r, g, b, 1) to (r, g, b, 1)."""
    c = torch.eye(4, dtype=torch.float64)
    axis = torch.tensor([1, 1, 1, 0], dtype=torch.float64) / math.sqrt(3)
    along, alpha = torch.outer(axis, axis), torch.diag(torch.tensor([0, 0, 0, 1.0], dtype=torch.float64))
    rest = torch.eye(4, dtype=torch.float64) - along - alpha
    if u[14] < p:
        step = torch.eye(4, dtype=torch.float64)
        step[:3, 3] = 0.2 * n[4]
        c = step @ c
    if u[15] < p:
        contrast = 2 ** (0.5 * n[5])
        c = torch.diag(torch.tensor([contrast, contrast, contrast, 1], dtype=torch.float64)) @ c
    if u[16] < p:
        c = (torch.eye(4, dtype=torch.float64) - 2 * along * math.floor(2 * u[17])) @ c
    if u[18] < p:
        x, y, z = axis[:3].tolist()
        cross = torch.zeros(4, 4, dtype=torch.float64)
        cross[:3, :3] = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        c = torch.linalg.matrix_exp(cross * (2 * u[19] - 1) * math.pi) @ c
    if u[20] < p:
        c = (along + rest * 2 ** n[6] + alpha) @ c
    return c


def mirrored(pixels, last):
    """Places in pixels, those too far outside by the place that the mirror shows there."""
    outside = (pixels < -RIGHT) | (pixels > last + RIGHT)
    back = pixels.abs() % (2 * last)
    return torch.where(outside, torch.minimum(back, 2 * last - back), pixels)


def warped(image, g):
    """image [C, S, S] as seen through G: up, bilinear samples, down."""
    size = image.shape[-1]
    index = [abs(i) if i < size else 2 * (size - 1) - i for i in range(-RIM, size + RIM)]
    up = torch.zeros(2 * len(index) + 10, len(index), dtype=torch.float64)
    for i in range(len(index)):
        up[2 * i : 2 * i + 12, i] = SYMLET * math.sqrt(2)
    down = torch.zeros(size, 2 * size + 10, dtype=torch.float64)
    for j in range(size):
        down[j, 2 * j : 2 * j + 12] = SYMLET / math.sqrt(2)
    enlarged = up @ image[:, index][:, :, index] @ up.T
    line = (torch.arange(2 * size + 10, dtype=torch.float64) - CENTRE) / 2 - (size - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.linalg.inv(g) @ torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    x, y = (2 * (mirrored(place + (size - 1) / 2, size - 1) + RIM) + CENTRE for place in places[:2])
    left, top = x.floor().long(), y.floor().long()
    dx, dy = x - left, y - top
    right, bottom = (left + 1).clamp(max=len(up) - 1), (top + 1).clamp(max=len(up) - 1)
    samples = ((enlarged[:, top, left] * (1 - dx) + enlarged[:, top, right] * dx) * (1 - dy) +
               (enlarged[:, bottom, left] * (1 - dx) + enlarged[:, bottom, right] * dx) * dy)
    return down @ samples.view(-1, len(line), len(line)) @ down.T


def band_gains(p, u, n):
    """g of one image: a band after the other, each normalised by the power that natural images have."""
    power, gains = torch.tensor([10, 1, 1, 1], dtype=torch.float64) / 13, torch.ones(4, dtype=torch.float64)
    for band in range(4):
        t = torch.ones(4, dtype=torch.float64)
        if u[21 + band] < p:
            t[band] = 2 ** n[7 + band]
        gains = gains * t / (power * t * t).sum().sqrt()
    return gains


def amplified(image, gains):
    """Convolved along rows and columns with the filter bank's sum, each band times its gain."""
    reach, size = 21, image.shape[-1]
    frequencies = 2 * math.pi * torch.arange(64, dtype=torch.float64) / 64

    def half(shift):  # |H|^2 / 2 of the filter, at frequencies or moved by `shift`
        return lambda w: (sum(tap * torch.exp(-1j * k * (w + shift)) for k, tap in enumerate(SYMLET_4.tolist())).abs() ** 2) / 2

    low, high = half(0), half(math.pi)
    w = frequencies
    response = (gains[0] * low(4 * w) * low(2 * w) * low(w) + gains[1] * high(4 * w) * low(2 * w) * low(w) +
                gains[2] * high(2 * w) * low(w) + gains[3] * high(w))
    taps = torch.fft.ifft(response).real.roll(reach)[: 2 * reach + 1]
    index = [i % (2 * size - 2) for i in range(-reach, size + reach)]
    index = [min(i, 2 * size - 2 - i) for i in index]
    along = torch.nn.functional.conv2d(image[:, None, index], taps.view(1, 1, -1, 1))
    return torch.nn.functional.conv2d(along[..., index], taps.view(1, 1, 1, -1))[:, 0]


def corrupted(options, p, image, u, n, noise):
    if options.getboolean("noise") and u[25] < p:
        image = image + 0.1 * abs(n[11]) * noise
    if options.getboolean("cutout") and u[26] < p:
        kept = torch.ones(image.shape[-2:], dtype=image.dtype)
        rows, columns = (slice(max(round((middle - 0.25) * size), 0), max(round((middle + 0.25) * size), 0))
                         for middle, size in zip((u[28], u[27]), kept.shape))
        kept[rows, columns] = 0
        image = image * kept
    return image


def augmented(options, p, images, uniform, normal, noise):
    """`noise` [N, C, H, W], or None without ada.noise."""
    results = []
    for k, (image, u, n) in enumerate(zip(images, uniform.tolist(), normal.tolist())):
        if options.getboolean("blitting") or options.getboolean("geometry"):
            image = warped(image, geometric(options, p, u, n, image.shape[-1]))
        if options.getboolean("color"):
            c = color(p, u, n)
            image = torch.einsum("ij,jhw->ihw", c[:3, :3], image) + c[:3, 3, None, None]
        if options.getboolean("filter"):
            image = amplified(image, band_gains(p, u, n))
        image = corrupted(options, p, image, u, n, None if noise is None else noise[k])
        results.append(image)
    return torch.stack(results)
