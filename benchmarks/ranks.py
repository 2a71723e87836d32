#!/usr/bin/env python3
"""Times a training step of one process with two threads beside two ranks with one thread each, and PyTorch likewise.

    python3 benchmarks/ranks.py [--rounds 5] [--out benchmarks/results]

Needs what run.py needs, an MPI launcher, and what `cargo build --features mpi` needs. All contestants run in turn, round
after round, on the same cores. PyTorch's ranks are DistributedDataParallel on gloo.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess

from run import environment, machine, timed

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent

# Palinode's model, and the same one for PyTorch.
NETWORKS = {
    "hamiltonian-74": ["--blocks", 6, "--widths", 32, 64, 112],
    "hamiltonian-218": ["--blocks", 18, "--widths", 32, 64, 128],
    "resnet-32": ["--network", "resnet", "--blocks", 5],
}

OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
}


def contestants(model, torch, arguments, python, program):
    """Name and command of everything that is timed on one network."""
    repeats = ["--warm-up", 1, "--repeats", arguments.repeats]
    batch, micro = arguments.batch_size, ["--microbatches", 8]
    step = ["bench", "step", "--json", "--model", model, "--batch-size", batch, *repeats]
    rival = [HERE / "pytorch_step.py", *torch, *repeats]
    ddp = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    commands = {
        "1 process, 2 threads": [program, *step, *micro, "--threads", 2],
        "2 ranks, 1 thread": ["mpirun", "-n", 2, program, *step, *micro, "--threads", 1],
        "1 process, 2 threads, sums undivided": [program, *step, "--threads", 2],
        "PyTorch, 1 process, 2 threads": [python, *rival, "--batch-size", batch, "--threads", 2],
        "PyTorch DDP gloo, 2 ranks, 1 thread": [*ddp, *rival, "--ddp", "--batch-size", batch // 2, "--threads", 1],
    }
    return {name: [str(part) for part in command] for name, command in commands.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--python", help="a Python that has PyTorch (default: a new environment)")
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
    arguments = parser.parse_args()
    python = arguments.python or environment()
    build = ["cargo", "build", "--release", "--locked", "--workspace", "--features", "mpi"]
    subprocess.run(build, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release" / "palinode"
    os.environ.update(OPEN_MPI)

    found = {}
    for number in range(arguments.rounds):
        for model in arguments.only:
            for name, command in contestants(model, NETWORKS[model], arguments, python, program).items():
                result, others = timed(command)
                print(number + 1, model, name, result.get("failed") or result["seconds"]["median"], flush=True)
                found.setdefault(model, {}).setdefault(name, []).append({**result, "cpu_of_others": others})
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "command": f"python3 benchmarks/ranks.py --rounds {arguments.rounds} --repeats {arguments.repeats}",
        "batch_size": arguments.batch_size,
        "results": found,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "ranks.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.out / "ranks.md").write_text(table(report))


def table(report):
    lines = [
        "# One process beside two ranks",
        "",
        f"{report['machine']}, {report['date']}, batch {report['batch_size']}, `{report['command']}`. Seconds are medians over the",
        "rounds of the medians of each run; ratios are medians over the rounds, so that both are of the same minute.",
        "",
    ]
    for model, runs in report["results"].items():
        base = [run.get("seconds", {}).get("median") for run in runs["1 process, 2 threads"]]
        rival = [run.get("seconds", {}).get("median") for run in runs["PyTorch, 1 process, 2 threads"]]
        lines += [
            f"## {model}",
            "",
            "| | seconds per step | time of ours in 1 process | time of its own 1 process |",
            "|---|---|---|---|",
        ]
        for name, all_runs in runs.items():
            times = [run.get("seconds", {}).get("median") for run in all_runs]
            if None in times:
                failed = next(run["failed"] for run in all_runs if "failed" in run)
                lines.append(f"| {name} | failed: {failed} | | |")
                continue
            own = rival if name.startswith("PyTorch") else base
            ratio = lambda of: f"{statistics.median(t / o for t, o in zip(times, of)):.3f}" if None not in of else "-"
            lines.append(f"| {name} | {statistics.median(times):.4f} | {ratio(base)} | {ratio(own)} |")
        ranks = [run["ranks"] for run in runs["2 ranks, 1 thread"] if run.get("ranks")]
        if ranks:
            middle = lambda key: statistics.median(own[key] or 0.0 for own in ranks)
            lines += [
                "",
                f"A step of two ranks sends {middle('gradient_bytes') / 1e6:.2f} MB of gradients and "
                f"{middle('sum_bytes') / 1e6:.3f} MB of other sums in {middle('messages'):.0f} messages; of the time that gradients "
                f"are under way, {100 * middle('overlapped'):.0f} % is overlapped; the first rank waits "
                f"{1e3 * middle('waited_for_gradients'):.1f} ms for gradients and {1e3 * middle('waited_for_sums'):.1f} ms for "
                "other sums and the slower rank.",
            ]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
