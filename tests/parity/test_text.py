"""Denoisers that follow captions, against diffusers' network with cross-attention and a text encoder written here from
the papers that models/diffusion/text_encoder.h names. Gradients are those of a random linear function of the output;
errors are relative L2.
"""

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from diffusion_tool import tool
from test_denoisers import BOUND, compare, inputs, randomise

WIDTH, LENGTH, VOCABULARY, HEADS = 24, 7, 300, 3


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.ModuleDict({"to_q": nn.Linear(WIDTH, WIDTH), "to_k": nn.Linear(WIDTH, WIDTH),
                                        "to_v": nn.Linear(WIDTH, WIDTH),
                                        "to_out": nn.ModuleList([nn.Linear(WIDTH, WIDTH)])})
        self.widen, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, h):
        x = self.norm1(h)
        q, k, v = (self.attention[name](x).unflatten(-1, (HEADS, -1)) for name in ("to_q", "to_k", "to_v"))
        logits = torch.einsum("nihd,njhd->nhij", q, k) / (WIDTH // HEADS) ** 0.5
        mixed = torch.einsum("nhij,njhd->nihd", logits.softmax(-1), v).flatten(2)
        h = h + self.attention["to_out"][0](mixed)
        x = self.widen(self.norm2(h))
        return h + self.narrow(x * (1 + torch.erf(x / 2**0.5)) / 2)


class TextEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.position_embedding = nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        h = self.token_embedding(tokens) + self.position_embedding.weight[:tokens.shape[1]]
        for layer in self.layers:
            h = layer(h)
        return self.norm(h)


class Text(nn.Module):
    """The context of captions: encoded, or as they come; a learned token in each place of those left out."""

    def __init__(self, encoded):
        super().__init__()
        self.encoder = TextEncoder() if encoded else None
        self.without = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, captions, without):
        context = self.encoder(captions) if self.encoder else captions
        return torch.where(without[:, None, None], self.without, context)


CASES = {
    "tokens": f"diffusion.text=tokens text.vocabulary={VOCABULARY} text.length={LENGTH} text.width={WIDTH} "
              f"text.depth=2 text.heads={HEADS}",
    "embeddings": f"diffusion.text=embeddings text.embedding={WIDTH} text.places=5",
}


@pytest.mark.parametrize("dtype", BOUND, ids=["fp32", "fp64"])
@pytest.mark.parametrize("case", CASES)
def test_unet_follows_captions(case, dtype, tmp_path):
    blocks = {"sample_size": 16, "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "norm_num_groups": 8,
              "block_out_channels": (16, 32), "attention_head_dim": 4, "num_class_embeds": 5,
              "cross_attention_dim": WIDTH,
              "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
              "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
    model = randomise(UNet2DConditionModel(**blocks)).to(dtype).eval()
    text = randomise(Text(case == "tokens"), seed=1).to(dtype)
    tensors = inputs((3, 3, 16, 16), 3, 5, dtype, [7.0, 500.0, 999.0])
    generator = torch.Generator().manual_seed(2)
    tensors["captions"] = (torch.randint(0, VOCABULARY, (3, LENGTH), generator=generator) if case == "tokens"
                           else torch.randn(3, 5, WIDTH, generator=generator))
    tensors["without"] = torch.tensor([0, 1, 0])
    x = tensors["x"].clone().requires_grad_()
    captions = tensors["captions"] if case == "tokens" else tensors["captions"].to(dtype)
    context = text(captions, tensors["without"].bool())
    out = model(x, tensors["condition"], context, class_labels=tensors["labels"]).sample
    (out * tensors["g"]).sum().backward()
    named = dict(model.named_parameters()) | {f"text.{name}": p for name, p in text.named_parameters()}
    weights = {f"weight.{name}": parameter.detach() for name, parameter in named.items()}
    ours = tool("network", tmp_path, tensors | weights,
                "unet.resolution=16 unet.channels=16,32 unet.blocks=1 unet.attention=8 unet.groups=8 unet.classes=5 "
                f"unet.heads=4 unet.cosine_first=true unet.frequency_shift=0 text.dropout=0.1 {CASES[case]}")
    compare(ours, out.detach(), {"x": x.grad} | {name: p.grad for name, p in named.items()}, dtype)


def test_unet_attends_to_labels(tmp_path):
    dtype = torch.float64
    model = randomise(UNet2DConditionModel(
        sample_size=16, in_channels=3, out_channels=3, layers_per_block=1, norm_num_groups=8,
        block_out_channels=(16, 32), attention_head_dim=4, cross_attention_dim=WIDTH,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))).to(dtype).eval()
    table = randomise(nn.Embedding(6, WIDTH), seed=1).to(dtype)
    tensors = inputs((3, 3, 16, 16), 3, 6, dtype, [7.0, 500.0, 999.0])
    x = tensors["x"].clone().requires_grad_()
    out = model(x, tensors["condition"], table(tensors["labels"])[:, None]).sample
    (out * tensors["g"]).sum().backward()
    named = dict(model.named_parameters()) | {"class_embedding.weight": table.weight}
    ours = tool("network", tmp_path, tensors | {f"weight.{name}": p.detach() for name, p in named.items()},
                "unet.resolution=16 unet.channels=16,32 unet.blocks=1 unet.attention=16 unet.groups=8 unet.classes=5 "
                "unet.heads=4 unet.cosine_first=true unet.frequency_shift=0 without_label=1 "
                f"unet.class_context={WIDTH}")
    gradients = {"x": x.grad} | {name: p.grad for name, p in named.items()}
    # A softmax over one token is 1, whatever asks: the gradient of what asks is rounding, and none here.
    for name in [name for name in gradients if any(part in name for part in ("norm2.", "attn2.to_q", "attn2.to_k"))]:
        if "transformer_blocks" in name:
            assert gradients.pop(name).norm() < BOUND[dtype], name
    compare(ours, out.detach(), gradients, dtype)
