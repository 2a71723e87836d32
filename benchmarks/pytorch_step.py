"""Times a whole PyTorch training step, on the CPU or a GPU.

The networks are those that `palinode bench step` times: the report's Hamiltonian network (stem,
three units of two-layer Hamiltonian blocks integrated by Verlet's method, 2x2 average pools that
append zero channels, average pool to 2x2, linear head), or ResNet-32; cross-entropy; SGD with
momentum 0.9 and weight decay 2e-4. Prints one JSON object. With --ddp, the batch size is that of
each process.
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


class Basic(torch.nn.Module):
    """He et al.'s block with batch norms; without parameters in the shortcut (option A)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride, self.added = (1, 0) if inputs == outputs else (2, outputs - inputs)
        convolution = lambda i, stride: torch.nn.Conv2d(i, outputs, 3, stride, 1, bias=False)
        self.conv1, self.conv2 = convolution(inputs, self.stride), convolution(outputs, 1)
        self.norm1, self.norm2 = torch.nn.BatchNorm2d(outputs), torch.nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.added:
            x = F.pad(F.avg_pool2d(x, 2), (0, 0, 0, 0, 0, self.added))
        return F.relu(x + y)


def resnet(blocks, classes=10):
    """A ResNet of 6 blocks + 2 layers on 32x32 images."""
    layers = [torch.nn.Conv2d(3, 16, 3, padding=1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU()]
    for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
        layers += [Basic(inputs if block == 0 else outputs, outputs) for block in range(blocks)]
    layers += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(64, classes)]
    return torch.nn.Sequential(*layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=("hamiltonian", "resnet"), default="hamiltonian")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--blocks", type=int, default=18, help="blocks per unit")
    parser.add_argument("--widths", type=int, nargs=3, default=(32, 64, 128))
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=("plain", "reversible"), default="plain")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--tf32", action="store_true", help="19-bit factors where the GPU has them")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--ddp", action="store_true", help="one of several processes that torchrun started: DDP on gloo")
    parser.add_argument("--warm-up", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    torch.backends.cudnn.benchmark = True
    device = torch.device(arguments.device)
    if arguments.network == "resnet":
        network = resnet(arguments.blocks).to(device)
    else:
        network = Network(arguments.blocks, arguments.widths, arguments.mode == "reversible").to(device)
    images = torch.randn(arguments.batch_size, 3, 32, 32, device=device)
    labels = torch.randint(0, 10, (arguments.batch_size,), device=device)
    if arguments.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
        if arguments.network == "resnet":
            network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, weight_decay=2e-4
    )
    forward = torch.compile(network) if arguments.compile else network
    rank = 0
    if arguments.ddp:
        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        forward = torch.nn.parallel.DistributedDataParallel(forward)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=arguments.bf16):
            loss = F.cross_entropy(forward(images).float(), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(arguments.warm_up):
        step()
    if device.type == "cuda":
        # Without what the search for the fastest convolutions took.
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(arguments.repeats):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    if rank > 0:
        torch.distributed.destroy_process_group()
        return
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
                "peak_device_bytes": torch.cuda.max_memory_reserved() if device.type == "cuda" else None,
                "torch": torch.__version__,
            }
        )
    )
    if arguments.ddp:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
