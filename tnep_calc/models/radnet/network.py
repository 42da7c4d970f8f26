"""Networks that map the voxels of a centre to its share of a dipole or polarizability."""

from typing import List

import torch
from torch import Tensor, nn

PAPER = "paper"
"""Name of the architecture of :func:`paper_network`; that of :func:`compact_network` is called ``"compact"``."""

_PAPER_LAYERS = ((64, 1), (64, 1), (16, 1), (16, 1), (16, 1), (16, 1), (64, 2), (32, 1), (32, 1), (32, 1), (32, 1))
_PAPER_HIDDEN = 1024


def paper_network(channels: int, points: int, outputs: int) -> nn.Sequential:
    """Return the network of the released radnet code (Malenfant-Thuot et al., J. Phys.: Condens. Matter 36, 425901).

    It has eleven convolutions of 3^3 points with 64, 64, 16, 16, 16, 16, 64 (stride 2), 32, 32, 32, 32 channels, and a
    hidden layer of 1024 neurons.  All activations are exponential linear units.

    Parameters
    ----------
    channels, points : int
        Channels of the voxels, and grid points along an edge of the cube.
    outputs : int
        Number of outputs.
    """
    layers: List[nn.Module] = []
    for wide, stride in _PAPER_LAYERS:
        layers += [nn.Conv3d(channels, wide, 3, stride=stride, padding=1), nn.ELU()]
        channels, points = wide, (points - 1) // stride + 1
    layers += [nn.Flatten(), nn.Linear(channels * points**3, _PAPER_HIDDEN), nn.ELU()]
    return nn.Sequential(*layers, nn.Linear(_PAPER_HIDDEN, outputs))


def compact_network(channels: int, points: int, outputs: int, filters: int, hidden: int) -> nn.Sequential:
    """Return a network of one convolution of 3^3 points with stride 2 and one hidden layer.

    Parameters
    ----------
    channels, points : int
        Channels of the voxels, and grid points along an edge of the cube.
    outputs : int
        Number of outputs.
    filters : int
        Channels of the convolution.
    hidden : int
        Neurons of the hidden layer.
    """
    left = (points - 1) // 2 + 1
    return nn.Sequential(
        nn.Conv3d(channels, filters, 3, stride=2, padding=1),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(filters * left**3, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )


def multiplications(network: nn.Sequential, points: int) -> int:
    """Return the number of multiplications in one evaluation for one centre."""
    total = 0
    for layer in network:
        if isinstance(layer, nn.Conv3d):
            points = (points - 1) // layer.stride[0] + 1
            total += layer.weight.numel() * points**3
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()
    return total


def initialise(network: nn.Sequential, generator: torch.Generator) -> None:
    """Draw normal weights of variance 1 / (number of inputs) and set biases to zero.

    The weights of the last layer are multiplied by 0.1.
    """
    layers: List[Tensor] = [p for p in network.parameters() if p.dim() > 1]
    with torch.no_grad():
        for weight in layers:
            scale = weight[0].numel() ** -0.5 * (0.1 if weight is layers[-1] else 1.0)
            draw = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_((scale * draw).to(weight.dtype))
        for bias in network.parameters():
            if bias.dim() == 1:
                bias.zero_()
