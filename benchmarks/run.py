#!/usr/bin/env python3
"""Runs Palinode against its rivals and writes a table of ratios.

    python3 benchmarks/run.py [--what step|convolutions] [--rounds 5] [--out benchmarks/results]

`step` is a whole training step of hamiltonian-218, `convolutions` those of resnet-32 by themselves.

Needs Python 3.10 and cargo. Makes a virtual environment in target/benchmarks with the packages of
requirements.txt, builds the release program and the rival in candle, and runs all rivals in turn, a
process each, round after round, so that whatever slows the machine slows them all. What else used
the CPU meanwhile is recorded. A rival that does not run here is named with its reason, not left out.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
CANDLE = HERE / "candle"
BASE = "palinode f32"


def environment():
    """The Python of a virtual environment that has the pinned rivals."""
    home = ROOT / "target" / "benchmarks" / "venv"
    python = home / "bin" / "python"
    requirements = (HERE / "requirements.txt").read_text()
    stamp = home / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements:
        shutil.rmtree(home, ignore_errors=True)
        venv.create(home, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"]
        subprocess.run(install, check=True)
        stamp.write_text(requirements)
    return str(python)


TITLES = {
    "step": "One training step, stem to optimiser",
    "convolutions": "The 31 convolutions of resnet-32: value, input and weight gradients",
}


def rivals(arguments, python, program):
    """Name and command of everything that is timed."""
    if arguments.what == "convolutions":
        everything = convolutions(arguments, python, program)
    else:
        everything = steps(arguments, python, program)
    chosen = arguments.only or list(everything)
    unknown = [name for name in chosen if name not in everything]
    if unknown or BASE not in chosen:
        sys.exit(f"--only knows {', '.join(map(repr, everything))}, and {BASE!r} has to be among them")
    return {name: [str(part) for part in everything[name]] for name in chosen}


def convolutions(arguments, python, program):
    timing = ["--batch-size", arguments.batch_size, "--threads", arguments.threads]
    timing += ["--warm-up", 1, "--repeats", arguments.repeats]
    ours = [program, "bench", "convolutions", "--json", *timing]
    torch = [python, HERE / "pytorch_convolutions.py", *timing]
    return {
        BASE: ours,
        "palinode f32, avx2": [*ours, "--isa", "avx2"],
        "PyTorch f32": torch,
        "PyTorch f32, channels_last": [*torch, "--channels-last"],
    }


def steps(arguments, python, program):
    step = ["--batch-size", arguments.batch_size, "--threads", arguments.threads]
    step += ["--warm-up", 1, "--repeats", arguments.repeats]
    depth = ["--blocks", arguments.blocks]
    ours = [program, "bench", "step", "--json", "--model", "hamiltonian-218", *depth, *step]
    torch = [python, HERE / "pytorch_step.py", *depth, *step]
    last, once = ["--channels-last"], ["--warm-up", 0, "--repeats", 1]
    return {
        BASE: ours,
        "palinode f32, avx2": [*ours, "--isa", "avx2"],
        "palinode, gradients in bf16": [*ours, "--gradients", "bf16"],
        "palinode f32, stored": [*ours, "--mode", "stored"],
        # (A single step: it takes more than a minute.)
        "candle plain f32": [CANDLE / "target" / "release" / "candle-step", *depth, *step, *once],
        "PyTorch plain f32": torch,
        "PyTorch plain f32, channels_last": [*torch, *last],
        "PyTorch plain f32, channels_last, compiled": [*torch, *last, "--compile"],
        "PyTorch plain bf16": [*torch, "--bf16"],
        "PyTorch plain bf16, channels_last": [*torch, *last, "--bf16"],
        "PyTorch reversible f32": [*torch, "--mode", "reversible"],
        "PyTorch reversible f32, channels_last": [*torch, *last, "--mode", "reversible"],
    }


def cpu_times():
    """Jiffies of the whole machine: (busy, all)."""
    values = [int(value) for value in open("/proc/stat").readline().split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)


def timed(command):
    """One process: its JSON or the reason why there is none, and the CPU that others used."""
    began, (busy, total) = os.times(), cpu_times()
    result = subprocess.run(command, capture_output=True, text=True)
    ended, (busy_after, total_after) = os.times(), cpu_times()
    own = (ended.children_user + ended.children_system) - (
        began.children_user + began.children_system
    )
    own *= os.sysconf("SC_CLK_TCK")
    others = max(0.0, busy_after - busy - own) / max(1, total_after - total)
    lines = result.stdout.strip().splitlines()
    if result.returncode == 0 and lines:
        return json.loads(lines[-1]), others
    lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
    return {"failed": lines[-1]}, others


def machine():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--what", choices=tuple(TITLES), default="step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3, help="timed steps per process")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=18, help="blocks per unit")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", action="append", metavar="NAME", help="a rival; once for each")
    parser.add_argument("--python", help="a Python that has the rivals, instead of a new one")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results")
    arguments = parser.parse_args()

    program = ROOT / "target" / "release" / "palinode"
    python = arguments.python or environment()
    commands = rivals(arguments, python, program)
    subprocess.run(["cargo", "build", "--release", "--locked", "--workspace"], cwd=ROOT, check=True)
    if any(name.startswith("candle") for name in commands):
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=CANDLE, check=True)
    runs = {name: [] for name in commands}
    loads, failures = [], {}
    for round_number in range(arguments.rounds):
        for name, command in commands.items():
            if name in failures:
                continue
            print(f"round {round_number + 1}: {name}", file=sys.stderr, flush=True)
            result, others = timed(command)
            loads.append(others)
            if "failed" in result:
                failures[name] = result["failed"]
            else:
                runs[name].append(result)
            time.sleep(0.5)

    medians = {
        name: statistics.median(run["seconds"]["median"] for run in results)
        for name, results in runs.items()
        if results
    }
    base = medians[BASE]
    rows = []
    for name, seconds in sorted(medians.items(), key=lambda item: item[1]):
        # Round by round against the same round's base.
        pairs = zip(runs[name], runs[BASE])
        ratios = [run["seconds"]["median"] / ours["seconds"]["median"] for run, ours in pairs]
        rows.append(
            {
                "name": name,
                "seconds": seconds,
                "images_per_second": arguments.batch_size / seconds,
                "ratio": statistics.median(ratios),
                "ratio_min": min(ratios),
                "ratio_max": max(ratios),
                "peak_resident_bytes": max(r.get("peak_resident_bytes", 0) for r in runs[name]),
            }
        )
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    record = {
        "date": datetime.date.today().isoformat(),
        "commit": commit,
        "machine": f"{machine()}, {os.cpu_count()} cores",
        "title": TITLES[arguments.what],
        "command": f"python3 benchmarks/run.py --what {arguments.what} "
        f"--rounds {arguments.rounds} --repeats {arguments.repeats} "
        f"--batch-size {arguments.batch_size} --blocks {arguments.blocks} "
        f"--threads {arguments.threads}"
        + "".join(f" --only {name!r}" for name in arguments.only or []),
        "load_of_others": {"median": statistics.median(loads), "max": max(loads)},
        "rows": rows,
        "failed": failures,
        "runs": runs,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = f"{arguments.what}-batch{arguments.batch_size}-threads{arguments.threads}"
    if arguments.what == "step":
        stem += f"-blocks{arguments.blocks}"
    (arguments.out / f"{stem}.json").write_text(json.dumps(record, indent=1) + "\n")
    (arguments.out / f"{stem}.md").write_text(table(record, base))
    print(table(record, base))


def table(record, base):
    lines = [
        f"# {record['title']}",
        "",
        f"{record['machine']}; {record['date']}, commit {record['commit']}; seed 0; "
        f"`{record['command']}`.",
        f"Medians over the rounds; ratios are round by round to {BASE} ({base:.3f} s). Other "
        f"processes used {100 * record['load_of_others']['median']:.1f} % of the CPU in the median "
        f"run, {100 * record['load_of_others']['max']:.1f} % at most.",
        "",
        "| | s | images/s | time / ours | from – to | peak resident MB |",
        "|---|---|---|---|---|---|",
    ]
    for row in record["rows"]:
        resident = row["peak_resident_bytes"]
        resident = f"{resident / 1e6:.0f}" if resident else "not measured"
        lines.append(
            f"| {row['name']} | {row['seconds']:.3f} | {row['images_per_second']:.1f} "
            f"| {row['ratio']:.2f} | {row['ratio_min']:.2f} – {row['ratio_max']:.2f} "
            f"| {resident} |"
        )
    for name, reason in record["failed"].items():
        lines.append(f"| {name} | did not run: {reason} | | | | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
