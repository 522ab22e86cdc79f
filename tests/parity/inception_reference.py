"""Inception-v3 weights without a download: He-initialised, batch norm calibrated on noise, in the layouts users have."""

import torch
import torchvision


def make_weights(seed, gamma=True, classes=1008, aux=False):
    """A state dict under torchvision's names. torch's own initialisation would leave features near 4e-8."""
    torch.manual_seed(seed)
    network = torchvision.models.inception_v3(weights=None, init_weights=False, aux_logits=aux, num_classes=classes)
    for module in network.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.kaiming_normal_(module.weight)
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.bias)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.bias, -0.3, 0.3)
            if gamma:
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    network.train()
    with torch.no_grad():
        network(torch.rand(4, 3, 299, 299) * 2 - 1)
    return network.state_dict()


STEM = {"Conv2d_1a_3x3": "conv", "Conv2d_2a_3x3": "conv_1", "Conv2d_2b_3x3": "conv_2", "Conv2d_3b_1x1": "conv_3",
        "Conv2d_4a_3x3": "conv_4"}
A = {"branch1x1": "conv", "branch5x5_1": "tower.conv", "branch5x5_2": "tower.conv_1",
     "branch3x3dbl_1": "tower_1.conv", "branch3x3dbl_2": "tower_1.conv_1", "branch3x3dbl_3": "tower_1.conv_2",
     "branch_pool": "tower_2.conv"}
B = {"branch3x3": "conv", "branch3x3dbl_1": "tower.conv", "branch3x3dbl_2": "tower.conv_1",
     "branch3x3dbl_3": "tower.conv_2"}
C = {"branch1x1": "conv", "branch7x7_1": "tower.conv", "branch7x7_2": "tower.conv_1", "branch7x7_3": "tower.conv_2",
     "branch7x7dbl_1": "tower_1.conv", "branch7x7dbl_2": "tower_1.conv_1", "branch7x7dbl_3": "tower_1.conv_2",
     "branch7x7dbl_4": "tower_1.conv_3", "branch7x7dbl_5": "tower_1.conv_4", "branch_pool": "tower_2.conv"}
D = {"branch3x3_1": "tower.conv", "branch3x3_2": "tower.conv_1", "branch7x7x3_1": "tower_1.conv",
     "branch7x7x3_2": "tower_1.conv_1", "branch7x7x3_3": "tower_1.conv_2", "branch7x7x3_4": "tower_1.conv_3"}
E = {"branch1x1": "conv", "branch3x3_1": "tower_conv", "branch3x3_2a": "tower_mixed_conv",
     "branch3x3_2b": "tower_mixed_conv_1", "branch3x3dbl_1": "tower_1_conv", "branch3x3dbl_2": "tower_1_conv_1",
     "branch3x3dbl_3a": "tower_1_mixed_conv", "branch3x3dbl_3b": "tower_1_mixed_conv_1", "branch_pool": "tower_2_conv"}
BLOCKS = {"Mixed_5b": ("mixed", A), "Mixed_5c": ("mixed_1", A), "Mixed_5d": ("mixed_2", A), "Mixed_6a": ("mixed_3", B),
          "Mixed_6b": ("mixed_4", C), "Mixed_6c": ("mixed_5", C), "Mixed_6d": ("mixed_6", C),
          "Mixed_6e": ("mixed_7", C), "Mixed_7a": ("mixed_8", D), "Mixed_7b": ("mixed_9", E),
          "Mixed_7c": ("mixed_10", E)}
FIGURES = {"conv.weight": "weight", "bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}


def to_nvidia(state):
    """The same under the names of NVIDIA's script, which has no gamma."""
    renamed = {"output.weight": state["fc.weight"], "output.bias": state["fc.bias"]}
    for name, tensor in state.items():
        layer, kind, figure = (name.rsplit(".", 2) + ["", ""])[:3]
        if layer == "fc" or f"{kind}.{figure}" not in FIGURES:
            continue
        if "." in layer:
            block, branch = layer.split(".")
            layer = f"{BLOCKS[block][0]}.{BLOCKS[block][1][branch]}"
        else:
            layer = STEM[layer]
        renamed[f"layers.{layer}.{FIGURES[f'{kind}.{figure}']}"] = tensor
    return renamed
