"""Times a whole PyTorch training step of a report-layout Hamiltonian network on the CPU.

The network is the one `palinode bench step` times: stem, three units of two-layer Hamiltonian
blocks (Verlet), 2x2 average pools that append zero channels, average pool to 2x2, linear head;
cross-entropy; SGD with momentum 0.9 and weight decay 2e-4. Prints one JSON object.
"""

import argparse
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F

STEP = 0.1


def residual(x, kernel, bias):
    """K^T relu(K x + b), K^T being the transposed convolution with the same array."""
    hidden = F.relu(F.conv2d(x, kernel, bias, padding=1))
    return F.conv_transpose2d(hidden, kernel, padding=1)


def verlet(y, z, kernels, biases):
    """All blocks of a unit: Y += h F(Z), Z -= h G(Y)."""
    for kernel, bias in zip(kernels.unbind(), biases.unbind()):
        y = y + STEP * residual(z, kernel[0], bias[0])
        z = z - STEP * residual(y, kernel[1], bias[1])
    return y, z


class ReversibleUnit(torch.autograd.Function):
    """A unit that keeps only its last state and reconstructs the others on the way back."""

    @staticmethod
    def forward(ctx, y, z, kernels, biases):
        with torch.no_grad():
            y, z = verlet(y, z, kernels, biases)
        ctx.save_for_backward(y, z, kernels, biases)
        return y, z

    @staticmethod
    def backward(ctx, gy, gz):
        y, z, kernels, biases = ctx.saved_tensors
        gk, gb = torch.empty_like(kernels), torch.empty_like(biases)

        def pull(x, cotangent, block, which):
            """F(x) and the gradients of <cotangent, F(x)>, with one evaluation of F."""
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                kernel = kernels[block, which].detach().requires_grad_()
                bias = biases[block, which].detach().requires_grad_()
                value = residual(x, kernel, bias)
            gx, gk[block, which], gb[block, which] = torch.autograd.grad(
                value, (x, kernel, bias), cotangent
            )
            return value.detach(), gx

        for block in reversed(range(kernels.shape[0])):
            value, gx = pull(y, -STEP * gz, block, 1)
            z, gy = z + STEP * value, gy + gx
            value, gx = pull(z, STEP * gy, block, 0)
            y, gz = y - STEP * value, gz + gx
        return gy, gz, gk, gb


class Network(torch.nn.Module):
    def __init__(self, blocks, widths, reversible, classes=10):
        super().__init__()
        parameter = torch.nn.Parameter
        self.stem = torch.nn.Conv2d(3, widths[0], 3, padding=1)
        self.kernels = torch.nn.ParameterList()
        self.biases = torch.nn.ParameterList()
        for width in widths:
            c = width // 2
            scale = (2.0 / (9 * c)) ** 0.5
            self.kernels.append(parameter(scale * torch.randn(blocks, 2, c, c, 3, 3)))
            self.biases.append(parameter(torch.zeros(blocks, 2, c)))
        self.widths = widths
        self.unit = ReversibleUnit.apply if reversible else verlet
        self.head = torch.nn.Linear(4 * widths[-1], classes)

    def forward(self, x):
        y, z = self.stem(x).chunk(2, 1)
        for index, (kernels, biases) in enumerate(zip(self.kernels, self.biases)):
            if index:
                missing = (self.widths[index] - self.widths[index - 1]) // 2
                y, z = (F.pad(F.avg_pool2d(s, 2), (0, 0, 0, 0, 0, missing)) for s in (y, z))
            y, z = self.unit(y, z, kernels, biases)
        pooled = F.adaptive_avg_pool2d(torch.cat((y, z), 1), 2)
        return self.head(pooled.flatten(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=18, help="blocks per unit")
    parser.add_argument("--widths", type=int, nargs=3, default=(32, 64, 128))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=("plain", "reversible"), default="plain")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network = Network(arguments.blocks, arguments.widths, arguments.mode == "reversible")
    images = torch.randn(arguments.batch_size, 3, 32, 32)
    labels = torch.randint(0, 10, (arguments.batch_size,))
    if arguments.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4
    )
    forward = torch.compile(network) if arguments.compile else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.bf16):
            loss = F.cross_entropy(forward(images).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(arguments.warm_up):
        step()
    seconds = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    print(
        json.dumps(
            {
                "seconds": {
                    "min": min(seconds),
                    "median": statistics.median(seconds),
                    "max": max(seconds),
                },
                "images_per_second": arguments.batch_size / statistics.median(seconds),
                "peak_resident_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
                "torch": torch.__version__,
            }
        )
    )


if __name__ == "__main__":
    main()
