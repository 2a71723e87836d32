#!/usr/bin/env python3
"""A model of a training step on many ranks: fitted, compared with measurements, and used for 1,000 nodes.

    python3 benchmarks/scaling.py measure     # ten minutes on a quiet machine with two cores; as root for shaped links
    python3 benchmarks/scaling.py model       # table and pictures from the measurements

`measure` writes docs/results/scaling/measured.json: steps of one process at several batch sizes, sums over two ranks, and
steps of 2 to 16 ranks, on shared memory, with later messages, and between two network namespaces with a shaped link.
`model` fits the model to the runs of one and two ranks, compares it with all others, and extrapolates.

The model. A step of a rank with n images computes a + c n seconds, a third of it forward (the optimiser is in a). Backward,
units follow each other from the last; the share of a unit is that of its operations. When unit u is done, its gradients
begin to travel, one buffer after the other. What has not arrived when the backward pass ends is waited for. A sum goes
through log2 R rounds of one message; as long as a buffer has 16 kB, it is halved in a round, and comes back in another. The
time of a message is that measured between two ranks, or latency + bytes/bandwidth. Besides, the step waits for sums of stem,
head, drifts and loss. On fewer cores than ranks, computing takes ranks/cores times as long. Two factors are fitted: how much
longer computing takes with all cores busy, and with several ranks to a core.
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from ranks import OPEN_MPI
from run import machine

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT / "docs" / "results" / "scaling"
MODELS = ["hamiltonian-74", "hamiltonian-218", "hamiltonian-1202"]
# Blocks per unit and widths.
SHAPES = {
    "hamiltonian-74": (6, (32, 64, 112)),
    "hamiltonian-218": (18, (32, 64, 128)),
    "hamiltonian-1202": (100, (32, 64, 128)),
}
BATCH = 128
# Numbers in a buffer from which on ranks exchange halves.
HALVED = 4096


def program():
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "palinode"


def step(model, ranks, batch, *more, launcher=("mpirun",), repeats=5):
    """The JSON of `palinode bench step`."""
    # Alone, as many as a rank with so many of a batch's images has.
    micro = max(8, ranks) if ranks > 1 else max(1, 8 * batch // BATCH)
    command = [program(), "bench", "step", "--json", "--model", model, "--batch-size", batch, "--threads", 1]
    command += ["--warm-up", 1, "--repeats", repeats, "--microbatches", micro, *more]
    if ranks > 1:
        command = [*launcher, "-n", ranks, *command]
    return run(command)


def run(command):
    print(*command, flush=True)
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


AGENT = """#!/bin/bash
# What mpirun calls in the place of ssh: a namespace for each host.
host=$1; shift
case $host in 10.9.0.2) exec ip netns exec two bash -c "$*";; *) exec ip netns exec one bash -c "$*";; esac
"""


def namespaces(rate):
    """Two hosts, joined by a link of `rate` bits a second each way; the launcher for them."""
    script = f"""
ip netns del one 2>/dev/null; ip netns del two 2>/dev/null
set -e
ip netns add one; ip netns add two
ip link add v1 netns one type veth peer name v2 netns two
for side in "one v1 10.9.0.1" "two v2 10.9.0.2"; do
    set -- $side
    ip -n $1 addr add $3/24 dev $2; ip -n $1 link set $2 up; ip -n $1 link set lo up
    ip netns exec $1 tc qdisc add dev $2 root tbf rate {rate} burst 128kb latency 100ms
done
"""
    subprocess.run(["bash", "-c", script], check=True)
    agent = pathlib.Path(tempfile.mkdtemp(), "agent")
    agent.write_text(AGENT)
    agent.chmod(0o755)
    mca = ["--mca", "plm_rsh_agent", agent, "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "10.9.0.0/24"]
    mca += ["--mca", "oob_tcp_if_include", "10.9.0.0/24", "--host", "10.9.0.1,10.9.0.2"]
    return ["ip", "netns", "exec", "one", "mpirun", *mca]


def measure():
    os.environ.update(OPEN_MPI)
    found = {"date": datetime.date.today().isoformat(), "machine": machine(), "cores": os.cpu_count(), "batch": BATCH}
    found["alone"], found["together"] = alone(), []
    links = {"shared memory": (["mpirun"], [])}
    for rate in ("1gbit", "100mbit"):
        links[rate] = (rate, [])
    for delay in (200, 1000):
        links[f"shared memory, {delay} µs later"] = (["mpirun"], ["--link-delay", delay])
    found["sums"] = {}
    for name, (launcher, more) in links.items():
        launcher = namespaces(launcher) if isinstance(launcher, str) else launcher
        if not more:
            sums = [run([*launcher, "-n", 2, program(), "bench", "ranks", "--repeats", 10, "--json"]) for _ in range(3)]
            pairs = zip(*(one["sums"] for one in sums))
            found["sums"][name] = [[p[0]["bytes"], statistics.median(s["seconds"] for s in p)] for p in pairs]
        for model in MODELS[:2]:
            # Two hosts have two ranks; on shared memory there may be more ranks than cores.
            for ranks in [2] if name.endswith("bit") else [2, 4] if more else [2, 4, 8, 16]:
                result = step(model, ranks, BATCH, *more, launcher=launcher)
                found["together"].append({"link": name, **result})
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "measured.json").write_text(json.dumps(found, indent=1) + "\n")


def alone():
    """Seconds of a step of one process by its images, for every network."""
    found = {}
    for model in MODELS:
        sizes = [8, 16, 32, 64] if model == "hamiltonian-1202" else [8, 16, 32, 64, 128]
        repeats = 3 if model == "hamiltonian-1202" else 5
        found[model] = [[n, step(model, 1, n, repeats=repeats)["seconds"]["median"]] for n in sizes]
    return found


def fitted_line(points):
    """(a, c) of a + c x with the least relative errors."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points)) / total
    above = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points))
    slope = above / sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points))
    return mean_y - slope * mean_x, slope


def unit_bytes(model):
    blocks, widths = SHAPES[model]
    return [4 * blocks * 2 * (9 * (w // 2) ** 2 + w // 2) for w in widths]


def unit_shares(model):
    """Each unit's share of the operations: the same blocks on a quarter of the pixels."""
    _, widths = SHAPES[model]
    operations = [w * w / 4**u for u, w in enumerate(widths)]
    return [own / sum(operations) for own in operations]


def exchanged(size, ranks, message):
    """Seconds of the sum of `size` bytes, where a message of so many bytes takes `message(bytes)`."""
    seconds, rounds = 0.0, round(math.log2(ranks))
    for _ in range(rounds):
        if size >= 4 * HALVED:
            # A half now, and a half on the way back.
            size /= 2
            seconds += message(size)
        seconds += message(size)
    return seconds


def messages(sums):
    """The time of a message by its bytes, from the times of sums over two ranks: a long sum is two messages of half."""
    known = [(size, s) if size < 4 * HALVED else (size / 2, s / 2) for size, s in sums]

    def message(size):
        logs = [(math.log(own), math.log(seconds)) for own, seconds in known]
        x = math.log(max(size, known[0][0]))
        pairs = [pair for pair in zip(logs, logs[1:]) if pair[0][0] <= x] or [(logs[0], logs[1])]
        (x0, y0), (x1, y1) = pairs[-1]
        return math.exp(y0 + (y1 - y0) * (x - x0) / (x1 - x0))

    return message


def predicted(model, fit, ranks, images, message, cores=None):
    """Seconds of a step of `ranks` ranks with `images` images each, and the part that it waits for others."""
    a, c = fit
    slower = max(1.0, ranks / cores) if cores else 1.0
    computing = (a + c * images) * slower
    if ranks == 1:
        return computing, 0.0
    # Forward a third, and then backward.
    now, line = computing / 3, 0.0
    for share, size in reversed(list(zip(unit_shares(model), unit_bytes(model)))):
        now += share * computing * 2 / 3
        line = max(line, now) + exchanged(size, ranks, message)
    waited = max(0.0, line - computing)
    # Stem, head, and what is left of them; drifts, loss, whether to stop.
    head = 4 * 10 * (4 * SHAPES[model][1][-1] + 1)
    stem = 4 * 28 * SHAPES[model][1][0]
    for size in (head, stem, head + stem, 72):
        waited += exchanged(size, ranks, message)
    return computing + waited, waited


def model():
    measured = json.loads((OUT / "measured.json").read_text())
    fits = {name: fitted_line(points) for name, points in measured["alone"].items()}
    links = {name: messages(points) for name, points in measured["sums"].items()}
    cores, rows, errors = measured["cores"], [], []
    # What computing takes longer where all cores are busy, and where ranks share them.
    busy = {
        name: found_time(measured, name, cores) / predicted(name, fits[name], cores, BATCH / cores, links["shared memory"])[0]
        for name in MODELS[:2]
    }
    busy[MODELS[2]] = busy[MODELS[1]]
    fits = {name: (busy[name] * a, busy[name] * c) for name, (a, c) in fits.items()}
    crowded = found_time(measured, MODELS[0], 2 * cores)
    crowded /= predicted(MODELS[0], fits[MODELS[0]], 2 * cores, BATCH / 2 / cores, links["shared memory"], cores)[0]
    for run_ in measured["together"]:
        link, extra = run_["link"].split(", ")[0], 0.0
        if "later" in run_["link"]:
            # A sleep lasts some 60 µs longer than asked for.
            extra = 1e-6 * float(run_["link"].split(", ")[1].split()[0]) + 60e-6
        message = links[link]
        found, name, ranks = run_["seconds"]["median"], run_["model"], run_["ranks"]["count"]
        fit, is_fitted = fits[name], run_["link"] == "shared memory" and (ranks, name) in fitted_to(cores)
        if ranks > cores:
            fit = (crowded * fit[0], crowded * fit[1])
        said, _ = predicted(name, fit, ranks, BATCH / ranks, lambda size: message(size) + extra, cores)
        error = 100 * (said / found - 1)
        if not is_fitted:
            errors.append(abs(error))
        rows.append((run_["link"], name, ranks, found, said, "fitted" if is_fitted else f"{error:+.1f} %"))
    lines = [
        "# A step on many ranks: the model against measurements",
        "",
        f"{measured['machine']}, {measured['cores']} cores, {measured['date']}, batch {BATCH}, one thread for each rank, medians of five steps: "
        "`python3 benchmarks/scaling.py measure`, seed 0. The model is described in `benchmarks/scaling.py`.",
        "",
        "Fitted: " + "; ".join(f"{name} {1e3 * a:.1f} ms + {1e3 * c:.2f} ms per image" for name, (a, c) in fits.items()) + ".",
        "Computing takes " + ", ".join(f"{busy[name]:.3f}" for name in MODELS[:2])
        + f" times as long where both cores are busy, and {crowded:.3f} times as long again where ranks share a core, whose cache",
        "they take from each other (fitted to the rows that say so).",
        "A message of 4 bytes and of 1 MB: "
        + "; ".join(f"{name} {1e6 * of(4):.0f} µs and {1e3 * of(1e6):.1f} ms" for name, of in links.items()) + ".",
        "",
        "| link | network | ranks | measured, s | model, s | error |",
        "|---|---|---|---|---|---|",
    ]
    for link, name, ranks, found, said, error in rows:
        lines.append(f"| {link} | {name} | {ranks} | {found:.4f} | {said:.4f} | {error} |")
    lines += ["", f"Median error {statistics.median(errors):.1f} %, largest {max(errors):.1f} %.", ""]
    lines += extrapolated(fits)
    (OUT / "README.md").write_text("\n".join(lines) + "\n")


def found_time(measured, model, ranks):
    """The measured time of a step on shared memory."""
    times = [
        own["seconds"]["median"] for own in measured["together"]
        if (own["link"], own["model"], own["ranks"]["count"]) == ("shared memory", model, ranks)
    ]
    return times[0]


def fitted_to(cores):
    """The measurements that the model is fitted to."""
    return [(cores, MODELS[0]), (cores, MODELS[1]), (2 * cores, MODELS[0])]


# A machine of 1,000: a core of today's in the place of 16, and 10 µs from one to the other.
NODE_CORES, LATENCY = 16, 10e-6
RATES = {"10 Gbit/s": 10e9 / 8, "100 Gbit/s": 100e9 / 8}
RANKS = [1 << power for power in range(11)]


def extrapolated(fits):
    """Tables and pictures of efficiency against ranks, at 32 images a rank (weak) and 4,096 in all (strong)."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "palinode", "font.size": 9})
    from matplotlib import pyplot

    lines = [
        "## Up to 1,024 nodes, by the model",
        "",
        f"Nodes of {NODE_CORES} cores like those above, whose threads share the work evenly, and messages of {1e6 * LATENCY:.0f} µs. Weak: 32 images",
        "on each node; strong: 4,096 images in all, on up to 1,024 nodes. Efficiency: the time of one node that did not have to wait,",
        "over the time of a step.",
        "",
        "![Efficiency against nodes](efficiency.svg)",
        "",
        "| network | link | weak: 16 | 128 | 1,024 | strong: 16 | 128 | 1,024 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.2), sharey=True)
    for color, (name, (a, c)) in zip(("#4063d8", "#389826", "#9558b2"), fits.items()):
        fit = (a / NODE_CORES, c / NODE_CORES)
        for style, (link, bandwidth) in zip(("--", "-"), RATES.items()):
            def efficiency(ranks, images):
                seconds, waited = predicted(name, fit, ranks, images, lambda size: LATENCY + size / bandwidth)
                return 1 - waited / seconds

            weak = [efficiency(ranks, 32) for ranks in RANKS]
            strong = [efficiency(ranks, 4096 / ranks) for ranks in RANKS]
            for axis, values in zip(axes, (weak, strong)):
                axis.plot(RANKS, values, style, color=color, label=f"{name}, {link}")
            at = lambda values: " | ".join(f"{100 * values[RANKS.index(r)]:.0f} %" for r in (16, 128, 1024))
            lines.append(f"| {name} | {link} | {at(weak)} | {at(strong)} |")
    lines += [
        "",
        "**Where it stops paying.** The bytes that a node sends hardly depend on the number of nodes (at most twice the gradients),",
        "while its computing shrinks with its images. It pays as long as the backward pass takes longer than sending twice the",
        "gradients. At 10 Gbit/s, hamiltonian-218 sends 7 MB in some 11 ms and computes 32 images backward in 11 ms: the first unit's",
        "gradients, which come last, are waited for, at any number of nodes. With fewer images on a node the wait stays and the",
        "computing does not: 4 images on each of 1,024 nodes are a quarter efficient. At 100 Gbit/s latency is what is left:",
        "twice log2 R messages for each of the three units. A larger batch helps more than a faster network.",
    ]
    for axis, title in zip(axes, ("32 images on each node", "4,096 images in all")):
        axis.set(title=title, xlabel="nodes", xscale="log", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("efficiency")
    axes[1].legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(OUT / "efficiency.svg", metadata={"Date": None})
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "model"))
    {"measure": measure, "model": model}[parser.parse_args().what]()
