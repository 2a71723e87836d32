#!/usr/bin/env python3
"""Rebuild a saved Palinode network in PyTorch, from its .safetensors file alone.

    python examples/load_in_pytorch.py WEIGHTS
    python examples/load_in_pytorch.py WEIGHTS --input X.npy --logits Y.npy

The first form rebuilds the network and counts its parameters. The second also runs it, in eval mode,
on X (float32 [n, C, H, W], already standardised) and compares the result with Y, the logits written by

    palinode predict --weights WEIGHTS --input X.npy --logits Y.npy

and prints the largest absolute difference. Exit status: 0 the logits agree, 1 they differ by more than
the tolerance, 2 something could not be read or rebuilt.

Everything needed is in the file: the arrays, in PyTorch's own layout, and the JSON in its metadata:
`palinode.config` is the network; `palinode.data` says how images are standardised, to make an X of them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

Config = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]]
ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu, "tanh": torch.tanh, "softplus": F.softplus}
NORM_EPSILON = {"report": 1e-5, "paper": 1e-3}

TWO_STREAMS = ("hamiltonian", "hamiltonian-single", "coupling")  # the state is (Y, Z), split by channels
ONE_STATE = ("midpoint", "leapfrog")  # the state is X, all channels together
KNOWN = {
    "layout": NORM_EPSILON,
    "scheme": TWO_STREAMS + ONE_STATE,
    "residual": ("symmetric", "layer", "antisymmetric"),
    "activation": ACTIVATIONS,
}


class Unit(nn.Module):
    """A run of blocks at one width and one resolution: N steps of a reversible scheme.

    With h the step and F_j the residual of block j (two of them, F_j1 and F_j2, where noted):

        hamiltonian         Y+ = Y + h F_j1(Z),   Z+ = Z - h F_j2(Y+)
        hamiltonian-single  Y+ = Y + h F_j(Z),    Z+ = Z - h F_j*(Y+)     F* the conjugate of F
        coupling            Y+ = Y + F_j1(Z),     Z+ = Z + F_j2(Y+)
        midpoint            X_1 = X_0 + h F_0(X_0),   X_{j+1} = X_{j-1} + 2h F_j(X_j)
        leapfrog            X_{j+1} = 2 X_j - X_{j-1} - h^2 F_j(X_j),   X_{-1} = X_0 or, start "report", 0
    """

    def __init__(self, config: Config, width: int, shapes: Shapes) -> None:
        """`shapes` are those of the unit's arrays in the file; their first axis says how many blocks it has."""
        super().__init__()
        self.scheme, self.kind = config["scheme"], config["residual"]
        self.activation = ACTIVATIONS[config["activation"]]
        self.h = float(config["step"])
        self.start = config.get("start", "at-rest")
        self.blocks = shapes["kernel"][0]

        c = width // 2 if self.scheme in TWO_STREAMS else width
        residuals = (self.blocks, 2) if self.scheme in ("hamiltonian", "coupling") else (self.blocks,)
        self.kernel = nn.Parameter(torch.empty(*residuals, c, c, 3, 3))
        self.bias = nn.Parameter(torch.empty(*residuals, c))

        self.input_bias: nn.Parameter | None = None
        self.without_input_bias = 0  # 1 in the network's first unit: its first residual has none
        if "input_bias" in shapes:
            if self.kind != "symmetric":
                raise ValueError(f"input_bias belongs to the symmetric residual, not to {self.kind!r}")
            self.input_bias = nn.Parameter(torch.empty(shapes["input_bias"]))
            self.without_input_bias = (self.bias.numel() - self.input_bias.numel()) // c
            if self.without_input_bias not in (0, 1):
                raise ValueError(f"input_bias {shapes['input_bias']} does not fit kernel {shapes['kernel']}")

    def residual(self, x: Tensor, index: int, conjugate: bool = False) -> Tensor:
        """The residual function number `index` of this unit (2j and 2j + 1 where a block j has two):

            symmetric      F(x) = K^T s(K (x + a) + b)     F* = F     a, the input bias, only where the file has one
            layer          F(x) = s(K x + b)               F*(x) = s(K^T x + b)
            antisymmetric  F(x) = s((K - K^T) x + b)       F* = F

        K is a 3x3 convolution with zero padding, K^T its adjoint: the transposed convolution with the same array.
        """
        kernel = self.kernel.flatten(0, -5)[index]
        bias = self.bias.flatten(0, -2)[index]
        if self.kind == "layer":
            convolution = F.conv_transpose2d if conjugate else F.conv2d
            return self.activation(convolution(x, kernel, bias, padding=1))
        if self.kind == "antisymmetric":
            return self.activation(F.conv2d(x, kernel, bias, padding=1) - F.conv_transpose2d(x, kernel, padding=1))
        if self.input_bias is not None and index >= self.without_input_bias:
            x = x + self.input_bias.flatten(0, -2)[index - self.without_input_bias].view(-1, 1, 1)
        return F.conv_transpose2d(self.activation(F.conv2d(x, kernel, bias, padding=1)), kernel, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.scheme in ONE_STATE:
            return self.one_state(x)
        y, z = x.chunk(2, dim=1)
        for j in range(self.blocks):
            if self.scheme == "hamiltonian":
                y = y + self.h * self.residual(z, 2 * j)
                z = z - self.h * self.residual(y, 2 * j + 1)
            elif self.scheme == "hamiltonian-single":
                y = y + self.h * self.residual(z, j)
                z = z - self.h * self.residual(y, j, conjugate=True)
            else:  # coupling
                y = y + self.residual(z, 2 * j)
                z = z + self.residual(y, 2 * j + 1)
        return torch.cat((y, z), dim=1)

    def one_state(self, x: Tensor) -> Tensor:
        previous = torch.zeros_like(x) if self.start == "report" else x  # leapfrog's X_{-1}
        for j in range(self.blocks):
            force = self.residual(x, j)
            if self.scheme == "leapfrog":
                previous, x = x, 2 * x - previous - self.h**2 * force
            else:
                previous, x = x, (x + self.h * force if j == 0 else previous + 2 * self.h * force)
        return x


class Network(nn.Module):
    """Stem, units with a transition between each two, head. Attribute names are the names in the file.

        report   conv with bias [BN] [activation]; units; average pool to 2x2, flatten; linear
        paper    conv, BN, ReLU; units; BN, ReLU; global average pool; linear

    A transition is a 2x2 average pool (an odd last row or column is dropped), then zero channels up to the
    next width: after each stream in layout `report`; half before and half after each stream in layout
    `paper`; where the state is not split, after its last channel in both.
    """

    def __init__(self, config: Config, shapes: Shapes) -> None:
        """`shapes` are those of all the arrays in the file, by name."""
        super().__init__()
        for field, values in KNOWN.items():
            if config[field] not in values:
                raise ValueError(f"this example does not know {field} {config[field]!r}; it knows {', '.join(values)}")
        self.paper = config["layout"] == "paper"
        self.streams = 2 if config["scheme"] in TWO_STREAMS else 1
        self.widths: list[int] = config["widths"]
        epsilon = NORM_EPSILON[config["layout"]]

        self.stem = nn.Conv2d(config["channels"], self.widths[0], 3, padding=1, bias=not self.paper)
        has_norm = self.paper or config["stem"]["norm"]
        self.stem_norm = nn.BatchNorm2d(self.widths[0], eps=epsilon) if has_norm else nn.Identity()
        self.stem_activation = ACTIVATIONS["relu" if self.paper else config["stem"]["activation"]]

        self.units = nn.ModuleList()
        for i, width in enumerate(self.widths):
            prefix = f"units.{i}."
            own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
            self.units.append(Unit(config, width, own) if own else nn.Identity())  # no arrays: no blocks

        self.head_norm = nn.BatchNorm2d(self.widths[-1], eps=epsilon) if self.paper else nn.Identity()
        self.head = nn.Linear(self.widths[-1] * (1 if self.paper else 2 * 2), config["classes"])

    def transition(self, x: Tensor, width: int) -> Tensor:
        """From one unit to the next: halve the resolution, widen the state to `width` channels with zeros."""
        streams = F.avg_pool2d(x, 2).chunk(self.streams, dim=1)
        extra = (width - x.shape[1]) // self.streams
        before = extra // 2 if self.paper and self.streams == 2 else 0
        return torch.cat([F.pad(s, (0, 0, 0, 0, before, extra - before)) for s in streams], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images [n, C, H, W] to logits [n, classes]."""
        x = self.stem_activation(self.stem_norm(self.stem(images)))
        for i, unit in enumerate(self.units):
            x = unit(self.transition(x, self.widths[i]) if i > 0 else x)
        if self.paper:
            return self.head(torch.relu(self.head_norm(x)).mean(dim=(2, 3)))
        return self.head(F.adaptive_avg_pool2d(x, 2).flatten(1))  # (channel, row, column) order


def load(path: Path) -> tuple[Network, Config]:
    """The network of a file, in eval mode, and its configuration. A missing, unknown or misshapen array is refused."""
    with safe_open(str(path), framework="pt") as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    config: Config = json.loads(metadata["palinode.config"])
    network = Network(config, {name: tuple(tensor.shape) for name, tensor in tensors.items()})
    network.load_state_dict(tensors)
    return network.eval(), config


def read_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An .npy file that holds at least one item of this shape."""
    array = np.load(path)
    if array.shape[1:] != shape or array.size == 0:
        raise ValueError(f"shape {array.shape}, expected (n, {', '.join(map(str, shape))}) with n > 0")
    return array


@torch.inference_mode()
def predict(network: Network, images: np.ndarray, batch_size: int = 128) -> np.ndarray:
    """Logits of standardised images, computed a batch at a time."""
    batches = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)).split(batch_size)
    return torch.cat([network(batch) for batch in batches]).numpy()


def main() -> int:
    parser = argparse.ArgumentParser(description="Rebuild a saved Palinode network in PyTorch and check its logits.")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help=".safetensors file saved by Palinode")
    parser.add_argument("--input", type=Path, metavar="X.npy", help="standardised images, float32 [n, C, H, W]")
    parser.add_argument("--logits", type=Path, metavar="Y.npy", help="logits `palinode predict` wrote for them")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="largest difference allowed (%(default)s)")
    options = parser.parse_args()
    if (options.input is None) != (options.logits is None):
        parser.error("--input and --logits go together")

    path = options.weights
    try:
        network, config = load(path)
        if options.input is None:
            count = sum(parameter.numel() for parameter in network.parameters())
            blocks = "-".join(str(getattr(unit, "blocks", 0)) for unit in network.units)
            print(f"{config['scheme']}, layout {config['layout']}, blocks {blocks}: {count:,} parameters")
            return 0

        path = options.input
        images = read_array(path, (config["channels"], *config["size"]))
        path = options.logits
        theirs = read_array(path, (config["classes"],))
        if len(theirs) != len(images):
            raise ValueError(f"{len(theirs)} rows for {len(images)} images")
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        reason = f"a field or an array is missing: {error}" if isinstance(error, KeyError) else error
        print(f"{path}: {reason}", file=sys.stderr)
        return 2

    difference = float(np.abs(predict(network, images) - theirs.astype(np.float64)).max())
    agree = difference <= options.tolerance  # false for NaN as well
    print(f"largest absolute logit difference {difference:.3e} over {len(images)} images "
          f"({'within' if agree else 'ABOVE'} the tolerance {options.tolerance:g})")
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
