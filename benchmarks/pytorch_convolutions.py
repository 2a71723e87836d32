"""Times the convolutions of ResNet-32 in PyTorch on the CPU: value, input and weight gradients.

The stack is the one `palinode bench convolutions` times: 31 3x3 convolutions without bias. Prints one JSON
object.
"""

import argparse
import json
import statistics
import time

import torch


def stack():
    """A stem, ten convolutions at 16, ten at 32, ten at 64 channels, stride 2 where the width grows."""
    layers = [torch.nn.Conv2d(3, 16, 3, padding=1, bias=False)]
    for inputs, outputs in ((16, 16), (16, 32), (32, 64)):
        stride = 1 if inputs == outputs else 2
        layers.append(torch.nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False))
        layers += [torch.nn.Conv2d(outputs, outputs, 3, padding=1, bias=False) for _ in range(9)]
    return torch.nn.Sequential(*layers)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    network = stack()
    images = torch.randn(arguments.batch_size, 3, 32, 32)
    if arguments.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
        network = network.to(memory_format=torch.channels_last)

    def step():
        network.zero_grad(set_to_none=True)
        began = time.perf_counter()
        network(images).sum().backward()
        return time.perf_counter() - began

    for _ in range(arguments.warm_up):
        step()
    seconds = [step() for _ in range(arguments.repeats)]
    times = {"min": min(seconds), "median": statistics.median(seconds), "max": max(seconds)}
    rate = arguments.batch_size / times["median"]
    print(json.dumps({"seconds": times, "images_per_second": rate, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
