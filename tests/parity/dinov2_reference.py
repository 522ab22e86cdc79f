"""DINOv2's vision transformer, from arXiv 2304.07193 and the names of its published checkpoints."""

import math

import torch
import torch.nn.functional as F


def make_weights(seed, width=128, depth=2, registers=0, swiglu=False, learned=37):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, scale=None):
        return torch.randn(shape, generator=generator) * (scale or 1 / math.sqrt(shape[-1]))

    hidden = (width * 4 * 2 // 3 + 7) // 8 * 8 if swiglu else 4 * width
    state = {"cls_token": draw(1, 1, width, scale=1), "pos_embed": draw(1, 1 + learned ** 2, width, scale=1),
             "mask_token": draw(1, width), "patch_embed.proj.weight": draw(width, 3, 14, 14, scale=1 / math.sqrt(588)),
             "patch_embed.proj.bias": draw(width)}
    if registers:
        state["register_tokens"] = draw(1, registers, width, scale=1)

    def norm(name):
        state[f"{name}.weight"] = 1 + draw(width, scale=0.2)
        state[f"{name}.bias"] = draw(width, scale=0.2)

    def linear(name, out, inside):
        state[f"{name}.weight"] = draw(out, inside)
        state[f"{name}.bias"] = draw(out, scale=0.2)

    for block in (f"blocks.{i}" for i in range(depth)):
        norm(f"{block}.norm1")
        linear(f"{block}.attn.qkv", 3 * width, width)
        linear(f"{block}.attn.proj", width, width)
        state[f"{block}.ls1.gamma"] = draw(width, scale=1)
        norm(f"{block}.norm2")
        if swiglu:
            linear(f"{block}.mlp.w12", 2 * hidden, width)
            linear(f"{block}.mlp.w3", width, hidden)
        else:
            linear(f"{block}.mlp.fc1", hidden, width)
            linear(f"{block}.mlp.fc2", width, hidden)
        state[f"{block}.ls2.gamma"] = draw(width, scale=1)
    norm("norm")
    return state


def class_token(state, images):
    """images: [N, 3, 224, 224] of 0 to 255. Double precision throughout."""
    w = {name: tensor.double() for name, tensor in state.items()}
    mean, deviation = (torch.tensor(v).double().view(1, 3, 1, 1)
                       for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = F.conv2d((images.double() / 255 - mean) / deviation, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
                 stride=14)
    width, side = x.shape[1], x.shape[-1]
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    learned = math.isqrt(w["pos_embed"].shape[1] - 1)
    grid = w["pos_embed"][:, 1:].reshape(1, learned, learned, width).permute(0, 3, 1, 2)
    if "register_tokens" in w:
        grid = F.interpolate(grid, size=(side, side), mode="bicubic", antialias=True)
    elif learned != side:
        factor = (side + 0.1) / learned
        grid = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic")
    x = x + torch.cat([w["pos_embed"][:, :1], grid.permute(0, 2, 3, 1).reshape(1, side * side, width)], 1)
    if "register_tokens" in w:
        x = torch.cat([x[:, :1], w["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], 1)

    def norm(name, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    block = 0
    while f"blocks.{block}.norm1.weight" in w:
        name = f"blocks.{block}"
        q, k, v = linear(f"{name}.attn.qkv", norm(f"{name}.norm1", x)).chunk(3, -1)
        heads = [torch.softmax(q[..., i:i + 64] @ k[..., i:i + 64].transpose(1, 2) / 8, -1) @ v[..., i:i + 64]
                 for i in range(0, width, 64)]
        x = x + linear(f"{name}.attn.proj", torch.cat(heads, -1)) * w[f"{name}.ls1.gamma"]
        h = norm(f"{name}.norm2", x)
        if f"{name}.mlp.w12.weight" in w:
            gate, value = linear(f"{name}.mlp.w12", h).chunk(2, -1)
            h = linear(f"{name}.mlp.w3", gate * torch.sigmoid(gate) * value)
        else:
            h = linear(f"{name}.mlp.fc1", h)
            h = linear(f"{name}.mlp.fc2", h * (1 + torch.erf(h / math.sqrt(2))) / 2)
        x = x + h * w[f"{name}.ls2.gamma"]
        block += 1
    return norm("norm", x)[:, 0]
