#!/usr/bin/env python3
"""Compares Palinode's gradients with PyTorch's f64 autograd on the same weights.

    python benchmarks/gradients.py [--model hamiltonian-218] [--seeds 5] [--images 4] [--perturb 0.05]
                                   [--modes reversible:exact,stored:float]

For every seed: `palinode train` with no epoch writes the initial weights, `palinode gradients` computes the
gradients of the mean cross-entropy of one random batch (in each mode, and with each kind of state that is named behind
a colon), and the network that examples/load_in_pytorch.py
rebuilds from the file computes them again in f64. Prints the largest error of every kind of array relative
to the array's largest gradient, one row a seed and mode, and their medians. The rows `torch f32` are
PyTorch's own errors in f32: with ReLU, an argument within rounding of 0 can change its sign in any f32
program, and moves gradients by 1e-3; a row where that happened stands out. Needs numpy, torch, safetensors
and the release program.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "examples"))
from load_in_pytorch import load  # noqa: E402

KINDS = ("kernel", "bias", "input")


def kind_of(name):
    """The last part of a name, or `input`: dK, db, dx; stem and head count as kernels and biases."""
    if name == "input":
        return "input"
    return "bias" if name.endswith("bias") else "kernel"


def reference(weights, images, labels, dtype):
    """Gradients by name, and the loss."""
    network, _ = load(weights)
    network = network.to(dtype).train()
    x = torch.from_numpy(images).to(dtype).requires_grad_()
    loss = F.cross_entropy(network(x), torch.from_numpy(labels))
    loss.backward()
    found = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {**found, "input": x.grad}, loss.item()


def largest_errors(found, truth):
    """By kind, relative to the largest gradient of each array."""
    row = dict.fromkeys(KINDS, 0.0)
    for name, exact in truth.items():
        error = (found[name].double() - exact).abs().max() / exact.abs().max()
        kind = kind_of(name)
        row[kind] = max(row[kind], error.item())
    return row


def perturb(path, amount, generator):
    """Adds noise to every array of a weight file but the running statistics."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    arrays = load_file(path)
    for name, array in arrays.items():
        if "running" not in name:
            noise = generator.standard_normal(tuple(array.shape)).astype(np.float32)
            arrays[name] = array + amount * torch.from_numpy(noise)
    save_file(arrays, path, metadata)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="hamiltonian-218")
    parser.add_argument("--activation", default="relu", choices=("relu", "tanh", "softplus"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--modes", default="reversible")
    parser.add_argument("--perturb", type=float, default=0.0, help="moves every weight by so much noise")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target" / "release" / "palinode")
    arguments = parser.parse_args()

    modes = [*arguments.modes.split(","), "torch f32"]
    errors = {(mode, kind): [] for mode in modes for kind in KINDS}
    print("| seed | mode | dK | db | dx | loss |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for seed in range(arguments.seeds):
            run = scratch / f"run-{seed}"
            subprocess.run(
                [arguments.program, "train", "--model", arguments.model, "--epochs", "0", "--seed", str(seed),
                 "--set", f"model.activation={arguments.activation}", "--quiet", "--out", run],
                check=True, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            weights = run / "weights" / "init.safetensors"
            generator = np.random.default_rng(seed)
            if arguments.perturb:
                perturb(weights, arguments.perturb, generator)
            _, config = load(weights)
            shape = (arguments.images, config["channels"], *config["size"])
            images = generator.standard_normal(shape).astype(np.float32)
            labels = generator.integers(0, config["classes"], arguments.images)
            np.save(scratch / "x.npy", images)
            np.save(scratch / "l.npy", labels)
            truth, loss = reference(weights, images, labels, torch.float64)
            for mode in modes:
                if mode == "torch f32":
                    found, theirs = reference(weights, images, labels, torch.float32)
                else:
                    out = scratch / "g.safetensors"
                    mode_name, _, state = mode.partition(":")
                    state = ["--state", state] if state else []
                    result = subprocess.run(
                        [arguments.program, "gradients", "--weights", weights, "--input", scratch / "x.npy",
                         "--labels", scratch / "l.npy", "--mode", mode_name, *state, "--out", out, "--json"],
                        check=True, capture_output=True, text=True,
                    )  # fmt: skip
                    found, theirs = load_file(out), json.loads(result.stdout)["loss"]
                row = largest_errors(found, truth)
                for kind in KINDS:
                    errors[mode, kind].append(row[kind])
                cells = " | ".join(f"{row[kind]:.1e}" for kind in KINDS)
                print(f"| {seed} | {mode} | {cells} | {abs(theirs - loss):.1e} |", flush=True)
    for mode in modes:
        cells = " | ".join(f"{statistics.median(errors[mode, kind]):.1e}" for kind in KINDS)
        print(f"| median | {mode} | {cells} | |")


if __name__ == "__main__":
    main()
