"""The classifier of noisy images against one of PyTorch's own layers, after Dhariwal and Nichol (arXiv 2105.05233), at the
same random weights; the gradients are those of a random linear function of the logits. Errors are relative L2."""

import math

import pytest
import torch
import torch.nn.functional as F

from diffusion_tool import error, tool

BOUND = {torch.float32: 1e-5, torch.float64: 1e-9}
RESOLUTION, CHANNELS, BLOCKS, ATTENTION, HEAD, GROUPS, CLASSES = 16, (16, 32, 48), 2, (8,), 8, 8, 5


class Weights(dict):
    """Random tensors by name, made as they are asked for."""

    def __init__(self, dtype):
        super().__init__()
        self.dtype, self.generator = dtype, torch.Generator().manual_seed(0)

    def get(self, name, *shape, near=0.0):
        if name not in self:
            fan = math.prod(shape[1:]) if len(shape) > 1 else 25
            tensor = near + torch.randn(shape, generator=self.generator) / fan**0.5
            self[name] = tensor.to(self.dtype).requires_grad_()
        return self[name]


class Reference:
    def __init__(self, dtype):
        self.w = Weights(dtype)

    def norm(self, name, x):
        channels = x.shape[1]
        return F.group_norm(x, GROUPS, self.w.get(f"{name}.weight", channels, near=1.0), self.w.get(f"{name}.bias", channels), 1e-5)

    def conv(self, name, x, out, kernel=3):
        return F.conv2d(x, self.w.get(f"{name}.weight", out, x.shape[1], kernel, kernel), self.w.get(f"{name}.bias", out),
                        padding=kernel // 2)

    def linear(self, name, x, out):
        return F.linear(x, self.w.get(f"{name}.weight", out, x.shape[-1]), self.w.get(f"{name}.bias", out))

    def attend(self, name, queries, tokens):
        """Softmax attention, head by head, [N, Q, C]."""
        width = tokens.shape[-1]
        q, k, v = (self.linear(f"{name}.to_{part}", x, width) for part, x in zip("qkv", (queries, tokens, tokens)))
        heads = []
        for h in range(width // HEAD):
            own = slice(h * HEAD, (h + 1) * HEAD)
            weight = (q[..., own] @ k[..., own].transpose(1, 2) / HEAD**0.5).softmax(-1)
            heads.append(weight @ v[..., own])
        return torch.cat(heads, -1)

    def stage(self, i, x, emb, out, attends, down=False):
        name = f"stages.{i}.resnet"
        small = (lambda y: F.avg_pool2d(y, 2)) if down else (lambda y: y)
        h = self.conv(f"{name}.conv1", small(F.silu(self.norm(f"{name}.norm1", x))), out)
        scale, shift = self.linear(f"{name}.time_emb_proj", emb, 2 * out)[..., None, None].chunk(2, 1)
        h = self.conv(f"{name}.conv2", F.silu(self.norm(f"{name}.norm2", h) * (1 + scale) + shift), out)
        x = small(x)
        h = h + (x if x.shape[1] == out else self.conv(f"{name}.conv_shortcut", x, out, 1))
        if not attends:
            return h
        tokens = self.norm(f"stages.{i}.attention.group_norm", h).flatten(2).transpose(1, 2)
        mixed = self.linear(f"stages.{i}.attention.to_out.0", self.attend(f"stages.{i}.attention", tokens, tokens), out)
        return h + mixed.transpose(1, 2).reshape(h.shape)

    def logits(self, x, times):
        half = CHANNELS[0] // 2
        waves = times.float()[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
        emb = torch.cat([waves.cos(), waves.sin()], 1).to(x.dtype)
        emb = self.linear("time_embedding.linear_1", emb, 4 * CHANNELS[0])
        emb = F.silu(self.linear("time_embedding.linear_2", F.silu(emb), 4 * CHANNELS[0]))
        h, i = self.conv("conv_in", x, CHANNELS[0]), 0
        for level, channels in enumerate(CHANNELS):
            for _ in range(BLOCKS):
                h, i = self.stage(i, h, emb, channels, RESOLUTION >> level in ATTENTION), i + 1
            if level + 1 < len(CHANNELS):
                h, i = self.stage(i, h, emb, channels, False, down=True), i + 1
        h = self.stage(i, h, emb, CHANNELS[-1], True)
        h = F.silu(self.norm("norm_out", self.stage(i + 1, h, emb, CHANNELS[-1], False)))
        places = h.flatten(2).transpose(1, 2)
        tokens = torch.cat([places.mean(1, keepdim=True), places], 1)
        tokens = tokens + self.w.get("pool.positions", *tokens.shape[1:])
        return self.linear("pool.to_out", self.attend("pool", tokens[:, :1], tokens)[:, 0], CLASSES)


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
def test_noisy_classifier(dtype, tmp_path):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 3, RESOLUTION, RESOLUTION, generator=generator).to(dtype).requires_grad_()
    times = torch.tensor([7.0, 500.0, 999.0], dtype=torch.float64)
    g = torch.randn(3, CLASSES, generator=generator).to(dtype)
    reference = Reference(dtype)
    out = reference.logits(x, times)
    (out * g).sum().backward()
    tensors = {"x": x.detach(), "condition": times, "g": g}
    ours = tool("classifier", tmp_path, tensors | {f"weight.{name}": w.detach() for name, w in reference.w.items()},
                f"half_unet.resolution={RESOLUTION} half_unet.channels={','.join(map(str, CHANNELS))} "
                f"half_unet.blocks={BLOCKS} half_unet.attention={ATTENTION[0]} half_unet.head_channels={HEAD} "
                f"half_unet.groups={GROUPS} half_unet.classes={CLASSES}")
    off = error(ours.pop("out"), out.detach())
    print(f"logits {off:.1e}")
    assert off < BOUND[dtype]
    gradients = {"x": x.grad} | {name: w.grad for name, w in reference.w.items()}
    assert {f"gradient.{name}" for name in gradients} == set(ours)
    scale, worst = max(gradient.norm() for gradient in gradients.values()), 0
    for name, gradient in gradients.items():
        if name.endswith("to_k.bias"):  # does not change a softmax: its gradient is rounding
            assert ours[f"gradient.{name}"].norm() < BOUND[dtype] * scale, name
            continue
        worst = max(worst, error(ours[f"gradient.{name}"], gradient))
        assert error(ours[f"gradient.{name}"], gradient) < BOUND[dtype], name
    print(f"gradients {worst:.1e}")
