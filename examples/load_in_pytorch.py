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
ONE_STATE = ("midpoint", "leapfrog", "euler")  # the state is X, all channels together
BASELINES = ("basic", "aggregated")  # residuals of ResNet, RevNet and ResNeXt
KNOWN = {
    "layout": NORM_EPSILON,
    "scheme": TWO_STREAMS + ONE_STATE,
    "residual": ("symmetric", "layer", "antisymmetric", "inception", "antisymmetric-inception") + BASELINES,
    "activation": ACTIVATIONS,
}


def per_block(config: Config) -> int:
    """Residuals with their own parameters in a block."""
    return 2 if config["scheme"] in ("hamiltonian", "coupling") else 1


def expected_share(config: Config, unit: int, block: int) -> float:
    """What stochastic depth multiplies a block's residuals by outside training."""
    blocks = list(config["blocks"])
    if config["layout"] == "paper" and config.get("transition", "pool") == "pool":
        blocks = [blocks[0] + 1, blocks[1], blocks[2] - 1]
    place = sum(blocks[:unit]) + block + 1
    return 1.0 - place / sum(blocks) * (1.0 - config.get("survival", 1.0))


class Unit(nn.Module):
    """A run of blocks at one width and one resolution: N steps of a scheme.

    With h the step and F_j the residual of block j (two of them, F_j1 and F_j2, where noted):

        hamiltonian         Y+ = Y + h F_j1(Z),   Z+ = Z - h F_j2(Y+)
        hamiltonian-single  Y+ = Y + h F_j(Z),    Z+ = Z - h F_j*(Y+)     F* the conjugate of F
        coupling            Y+ = Y + F_j1(Z),     Z+ = Z + F_j2(Y+)
        midpoint            X_1 = X_0 + h F_0(X_0),   X_{j+1} = X_{j-1} + 2h F_j(X_j)
        leapfrog            X_{j+1} = 2 X_j - X_{j-1} - h^2 F_j(X_j),   X_{-1} = X_0 or, start "report", 0
        euler               X_{j+1} = X_j + h F_j(X_j)
    """

    def __init__(self, config: Config, number: int, width: int, shapes: Shapes) -> None:
        """`shapes` are those of the unit's arrays in the file: [N, ...] or, two residuals a block, [N, 2, ...]."""
        super().__init__()
        self.config, self.number = config, number
        self.scheme, self.kind = config["scheme"], config["residual"]
        self.activation = ACTIVATIONS[config["activation"]]
        self.epsilon = NORM_EPSILON[config["layout"]]
        self.h = float(config["step"])
        self.start = config.get("start", "at-rest")
        self.residuals_per_block = per_block(config)
        self.blocks = 0
        for name, shape in shapes.items():
            *path, last = name.split(".")
            holder: nn.Module = self
            for part in path:
                if not hasattr(holder, part):
                    holder.add_module(part, nn.Module())
                holder = getattr(holder, part)
            if last.startswith("running_"):
                holder.register_buffer(last, torch.empty(shape))
            else:
                holder.register_parameter(last, nn.Parameter(torch.empty(shape)))
            # An array that the network's very first residual lacks is stacked in a list.
            self.blocks = max(self.blocks, shape[0] if not name.startswith("input_") else 0)

    def array(self, name: str, index: int) -> Tensor | None:
        """Residual `index`'s part of a stacked array; none where there is no such array, or not for it."""
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part, None)
            if value is None:
                return None
        if name.startswith("input_"):
            missing = self.blocks * self.residuals_per_block - value.numel() // value.shape[-1]
            return value.flatten(0, -2)[index - missing] if index >= missing else None
        return value.flatten(0, self.residuals_per_block - 1)[index]

    def normalise(self, x: Tensor, name: str, index: int) -> Tensor:
        parts = [self.array(f"{name}.{part}", index) for part in ("running_mean", "running_var", "weight", "bias")]
        return x if parts[0] is None else F.batch_norm(x, *parts, training=False, eps=self.epsilon)

    def inception(self, x: Tensor, index: int, adjoint: bool) -> Tensor:
        """A x plus the biases, or A^T x: four quarters of the channels, each through convolutions of its own."""
        def through(x: Tensor, names: list[str]) -> Tensor:
            for name in reversed(names) if adjoint else names:
                weight, bias = self.array(f"{name}.weight", index), self.array(f"{name}.bias", index)
                padding = weight.shape[-1] // 2
                if adjoint:
                    x = F.conv_transpose2d(x, weight, padding=padding)
                else:
                    x = F.conv2d(x, weight, bias, padding=padding)
            return x
        paths = [[], ["one"], ["three_reduce", "three"], ["five_reduce", "five"]]
        return torch.cat([through(part, names) for part, names in zip(x.chunk(4, dim=1), paths)], dim=1)

    def residual(self, x: Tensor, index: int, conjugate: bool = False) -> Tensor:
        """The residual function number `index` of this unit (2j and 2j + 1 where a block j has two):

            symmetric                F(x) = K^T s(K (x + a) + b)     F* = F
            layer                    F(x) = s(K x + b)               F*(x) = s(K^T x + b)
            antisymmetric            F(x) = s((K - K^T) x + b)       F* = F
            inception                F(x) = A^T s(A x + b)           F* = F
            antisymmetric-inception  F(x) = s((A - A^T) x + b)       F* = F

        K is a 3x3 convolution with zero padding, K^T its adjoint: the transposed convolution with the same array.
        With batch norm inside, a and b give way to norms at their places. a is there only where the file has one.
        """
        share = expected_share(self.config, self.number, index // self.residuals_per_block)
        return share * self.whole_residual(x, index, conjugate)

    def whole_residual(self, x: Tensor, index: int, conjugate: bool) -> Tensor:
        def activate(x: Tensor) -> Tensor:
            own = conjugate and self.array("conjugate_norm.weight", index) is not None
            return self.activation(self.normalise(x, "conjugate_norm" if own else "norm", index))
        if self.kind == "inception":
            return self.inception(activate(self.inception(x, index, False)), index, True)
        if self.kind == "antisymmetric-inception":
            return activate(self.inception(x, index, False) - self.inception(x, index, True))
        kernel, bias = self.array("kernel", index), self.array("bias", index)
        if self.kind == "layer":
            convolution = F.conv_transpose2d if conjugate else F.conv2d
            return activate(convolution(x, kernel, bias, padding=1))
        if self.kind == "antisymmetric":
            return activate(F.conv2d(x, kernel, bias, padding=1) - F.conv_transpose2d(x, kernel, padding=1))
        input_bias = self.array("input_bias", index)
        if input_bias is not None:
            x = x + input_bias.view(-1, 1, 1)
        if self.array("input_norm.weight", index) is not None:
            x = self.normalise(x, "input_norm", index)
        return F.conv_transpose2d(activate(F.conv2d(x, kernel, bias, padding=1)), kernel, padding=1)

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
            elif self.scheme == "euler":
                x = x + self.h * force
            else:
                previous, x = x, (x + self.h * force if j == 0 else previous + 2 * self.h * force)
        return x


class BaselineResidual(nn.Module):
    """K2 s(n2(K1 s(n1 x))) of ResNet and RevNet, or with three convolutions, the second in groups, of ResNeXt."""

    def __init__(self, config: Config, shapes: Shapes, stride: int) -> None:
        super().__init__()
        self.activation, self.convolutions = ACTIVATIONS[config["activation"]], 0
        strided = 1 if config["residual"] == "basic" else 2
        while f"conv{self.convolutions + 1}.weight" in shapes:
            self.convolutions += 1
            outputs, inputs, extent, _ = shapes[f"conv{self.convolutions}.weight"]
            groups = config["groups"] if self.convolutions == 2 and config["residual"] == "aggregated" else 1
            step = stride if self.convolutions == strided else 1
            if f"norm{self.convolutions}.weight" in shapes:
                norm = nn.BatchNorm2d(inputs * groups, eps=NORM_EPSILON[config["layout"]])
                self.add_module(f"norm{self.convolutions}", norm)
            convolution = nn.Conv2d(inputs * groups, outputs, extent, step, extent // 2, groups=groups, bias=False)
            self.add_module(f"conv{self.convolutions}", convolution)

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.convolutions + 1):
            norm = getattr(self, f"norm{i}", None)  # the network's very first residual begins with a convolution
            x = getattr(self, f"conv{i}")(x if norm is None else self.activation(norm(x)))
        return x


class BaselineBlock(nn.Module):
    """x + h F(x), or with two streams Y+ = Y + F(Z), Z+ = Z + G(Y+); D x in the place of x where a unit begins."""

    def __init__(self, config: Config, shapes: Shapes, width: int, share: float, stride: int) -> None:
        super().__init__()
        self.width, self.share, self.stride = width, share, stride
        self.step = float(config["step"])
        self.two = config["scheme"] in TWO_STREAMS
        def part(prefix: str) -> Shapes:
            return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
        if self.two:
            self.f, self.g = BaselineResidual(config, part("f."), stride), BaselineResidual(config, part("g."), 1)
            self.inputs = 2 * self.f.conv1.in_channels
        else:
            residual = BaselineResidual(config, shapes, stride)
            for name, module in residual.named_children():  # the file has no name for it
                self.add_module(name, module)
            self.inputs = residual.conv1.in_channels
            self.residual = [residual]
        self.shortcut: nn.Module | None = None
        if "shortcut.weight" in shapes:
            self.shortcut = nn.Conv2d(self.inputs, width, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # A unit's first block adds to a shortcut of its own, without the step.
        first = self.shortcut is not None or self.stride == 2
        if self.shortcut is not None:
            passed = self.shortcut(x)
        else:
            passed = widen(F.avg_pool2d(x, 2), self.width, 2 if self.two else 1, True) if first else x
        if not self.two:
            return passed + (1.0 if first else self.step) * self.share * self.residual[0](x)
        (y, z), source = passed.chunk(2, dim=1), x.chunk(2, dim=1)[1]
        y = y + self.share * self.f(source)
        return torch.cat((y, z + self.share * self.g(y)), dim=1)


class BaselineUnit(nn.Module):
    """The blocks of a baseline's unit, one by one."""

    def __init__(self, config: Config, number: int, width: int, shapes: Shapes) -> None:
        super().__init__()
        blocks = []
        for j in range(1 + max(int(name.split(".")[1]) for name in shapes)):
            prefix = f"blocks.{j}."
            own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
            stride = 2 if number > 0 and j == 0 else 1
            blocks.append(BaselineBlock(config, own, width, expected_share(config, number, j), stride))
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def widen(x: Tensor, width: int, streams: int, half_before: bool) -> Tensor:
    """Zero channels up to `width`: after each stream, or half before and half after each of two."""
    extra = (width - x.shape[1]) // streams
    before = extra // 2 if half_before and streams == 2 else 0
    return torch.cat([F.pad(s, (0, 0, 0, 0, before, extra - before)) for s in x.chunk(streams, dim=1)], dim=1)


class Network(nn.Module):
    """Stem, units with a transition between each two, head. Attribute names are the names in the file.

        report   conv with bias [BN] [activation]; units; average pool to 2x2, flatten; linear
        paper    conv, BN, ReLU; units; BN, ReLU; global average pool; linear

    A transition is a 2x2 average pool (an odd last row or column is dropped), then zero channels up to the
    next width: after each stream in layout `report`; half before and half after each stream in layout
    `paper`; where the state is not split, after its last channel in both. The units of the baselines begin
    with a strided block instead. Dropout does nothing here: this network is for inference.
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

        self.strided = config.get("transition", "pool") == "strided"
        stem = self.widths[0] // 4 if config["residual"] == "aggregated" else self.widths[0]
        self.stem = nn.Conv2d(config["channels"], stem, 3, padding=1, bias=not self.paper)
        has_norm = self.paper or config["stem"]["norm"]
        self.stem_norm = nn.BatchNorm2d(stem, eps=epsilon) if has_norm else nn.Identity()
        self.stem_activation = ACTIVATIONS["relu" if self.paper else config["stem"]["activation"]]

        self.units = nn.ModuleList()
        for i, width in enumerate(self.widths):
            prefix = f"units.{i}."
            own = {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}
            kind = BaselineUnit if self.strided else Unit
            self.units.append(kind(config, i, width, own) if own else nn.Identity())  # no arrays: no blocks

        self.head_norm = nn.BatchNorm2d(self.widths[-1], eps=epsilon) if self.paper else nn.Identity()
        self.head = nn.Linear(self.widths[-1] * (1 if self.paper else 2 * 2), config["classes"])

    def transition(self, x: Tensor, width: int) -> Tensor:
        """From one unit to the next: halve the resolution, widen the state to `width` channels with zeros."""
        return widen(F.avg_pool2d(x, 2), width, self.streams, self.paper)

    def forward(self, images: Tensor) -> Tensor:
        """Standardised images [n, C, H, W] to logits [n, classes]."""
        x = self.stem_activation(self.stem_norm(self.stem(images)))
        for i, unit in enumerate(self.units):
            x = unit(self.transition(x, self.widths[i]) if i > 0 and not self.strided else x)
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


def depth(unit: nn.Module) -> int:
    """How many blocks a unit has."""
    blocks = getattr(unit, "blocks", 0)
    return blocks if isinstance(blocks, int) else len(blocks)


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
            blocks = "-".join(str(depth(unit)) for unit in network.units)
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
