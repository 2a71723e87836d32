"""What a graphics card does with Palinode, beside PyTorch. Called by run.sh; the standard library is enough.

Every part is run by itself and with a limit on its time. A part that fails is written down as failed, and the others
are run. Writes results.json, results.md and log.txt to the output directory.
"""

import argparse
import json
import math
import os
import pathlib
import platform
import shutil
import struct
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
MODES = ("stored", "checkpointed", "reversible")
MODELS = ("hamiltonian", "hamiltonian-single", "midpoint", "leapfrog", "coupling")


class Run:
    """Runs commands, and keeps what they say."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.out = pathlib.Path(arguments.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = open(self.out / "log.txt", "w", encoding="utf-8")
        self.began = time.monotonic()
        self.results = {}
        # What was measured and must not be so.
        self.wrong = []

    def say(self, text):
        line = f"[{time.monotonic() - self.began:6.1f} s] {text}"
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def command(self, words, limit):
        """The last line of the output, as JSON where it is an object."""
        began = time.monotonic()
        left = self.arguments.seconds - (began - self.began)
        print("$", *words, file=self.log, flush=True)
        done = subprocess.run(words, capture_output=True, text=True, timeout=max(5, min(limit, left)))
        print(done.stdout[-4000:], done.stderr[-4000:], file=self.log, flush=True)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"exit code {done.returncode}: {last[:300]}")
        lines = done.stdout.strip().splitlines()
        found = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        found["command_seconds"] = time.monotonic() - began
        return found

    def palinode(self, *words, limit=120):
        return self.command([self.arguments.binary, *map(str, words)], limit)

    def part(self, name, measure):
        """Runs a part, unless the time is up, and writes the results so far."""
        left = self.arguments.seconds - (time.monotonic() - self.began)
        if left < 10:
            self.results[name] = {"skipped": "the time was up"}
            self.say(f"{name}: skipped, the time is up")
        else:
            try:
                self.results[name] = measure()
                self.say(f"{name}: done")
            except (RuntimeError, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as error:
                self.results[name] = {"failed": str(error)[:500]}
                self.say(f"{name}: FAILED: {str(error)[:500]}")
        with open(self.out / "results.json", "w", encoding="utf-8") as file:
            json.dump(self.results, file, indent=1)


def npy(path, dtype, shape, data):
    """Writes an array in NumPy's format, version 1.0."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def arrays(path):
    """The f32 arrays of a safetensors file."""
    content = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            data = content[8 + length + begin : 8 + length + end]
            found[name] = struct.unpack(f"<{len(data) // 4}f", data)
    return found


def difference(found, truth):
    """The norm of the difference of all arrays, relative to that of the truth."""
    error = size = 0.0
    for name, values in truth.items():
        error += sum((a - b) ** 2 for a, b in zip(found[name], values, strict=True))
        size += sum(b * b for b in values)
    return math.sqrt(error / size)


def gradients(run):
    """Gradients of one batch on the device against those of the CPU, for every scheme and mode."""
    work = run.out / "work"
    work.mkdir(exist_ok=True)
    rows = []
    for model in MODELS:
        folder = work / model
        run.palinode("train", "--model", model, "--data", "fashion-mnist-mini", "--epochs", 0, "--out", folder, "--quiet",
                     "--set", "model.blocks=[3, 3]", "--set", "model.widths=[16, 32]", "--set", "model.activation=tanh",
                     "--set", 'model.transitions=["pool"]')
        weights = folder / "weights" / "init.safetensors"
        images, count = work / "images.npy", 16
        shape = (count, 1, 32, 32)
        if not images.exists():
            # Numbers between -1 and 1, of a generator that every machine has.
            state, values = 1, []
            for _ in range(math.prod(shape)):
                state = (state * 1664525 + 1013904223) % 2**32
                values.append(state / 2**31 - 1)
            npy(images, "<f4", shape, struct.pack(f"<{len(values)}f", *values))
            npy(work / "labels.npy", "<i8", (count,), struct.pack(f"<{count}q", *(i % 10 for i in range(count))))
        common = ("gradients", "--weights", weights, "--input", images, "--labels", work / "labels.npy", "--json")
        run.palinode(*common, "--mode", "stored", "--out", work / "cpu.safetensors")
        truth = arrays(work / "cpu.safetensors")
        for mode in MODES:
            run.palinode(*common, "--mode", mode, "--device", run.arguments.device, "--out", work / "device.safetensors")
            error = difference(arrays(work / "device.safetensors"), truth)
            rows.append({"model": model, "mode": mode, "difference": error})
    run.wrong += [f"gradients of {row['model']} in mode {row['mode']} differ from the CPU's by {row['difference']:.1e}"
                  for row in rows if not row["difference"] <= 1e-4]
    return rows


def memory(run):
    """Device memory of a training step against depth."""
    depths = (2, 4, 8) if run.arguments.small else (18, 100, 833)
    rows = []
    for mode in ("reversible", "checkpointed", "stored"):
        for blocks in depths:
            words = ("bench", "memory", "--model", "hamiltonian-74" if run.arguments.small else "hamiltonian-218",
                     "--blocks", blocks, "--modes", mode, "--batch-size", 2 if run.arguments.small else 16,
                     "--device", run.arguments.device, "--json")
            try:
                rows += run.palinode(*words, limit=60)["rows"]
            except (RuntimeError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as error:
                rows.append({"blocks": blocks, "mode": mode, "failed": str(error)[:300]})
    return rows


def steps(run, model, batch, compiled):
    """Time of a training step beside PyTorch's."""
    arguments = run.arguments
    rows = []

    def add(name, measure):
        try:
            found = measure()
            rows.append({"name": name, "seconds": found["seconds"], "peak_bytes": found.get("peak_device_bytes")
                         or found.get("peak_bytes", {}).get("total")})
        except (RuntimeError, subprocess.TimeoutExpired, OSError, KeyError, ValueError) as error:
            rows.append({"name": name, "failed": str(error)[:300]})

    repeats = ("--warm-up", 3, "--repeats", 2 if arguments.small else 10)
    blocks = ("--blocks", 1) if arguments.small else ()
    own = ("bench", "step", "--model", model, "--batch-size", batch, "--device", arguments.device, "--json", *repeats, *blocks)
    resnet = model.startswith("resnet")
    for mode in ("stored",) if resnet else ("reversible", "stored"):
        for precision in arguments.precisions:
            add(f"Palinode {mode} {precision}", lambda: run.palinode(*own, "--mode", mode, "--precision", precision))
    if not arguments.rival_device:
        return rows
    depth = 1 if arguments.small else {"hamiltonian-74": 6, "hamiltonian-218": 18, "resnet-32": 5}[model]
    rival = [arguments.python, str(HERE.parent / "pytorch_step.py"), "--device", arguments.rival_device, "--blocks", str(depth),
             "--batch-size", str(batch), *map(str, repeats), "--network", "resnet" if resnet else "hamiltonian"]
    if model == "hamiltonian-74":
        rival += ["--widths", "32", "64", "112"]
    ways = [("plain f32", []), ("plain tf32", ["--tf32"]), ("plain bf16", ["--bf16"]),
            ("plain bf16, channels last", ["--bf16", "--channels-last"])]
    if compiled:
        ways += [("compiled f32", ["--compile"]), ("compiled bf16", ["--compile", "--bf16"])]
    if not resnet:
        ways += [("reversible by hand f32", ["--mode", "reversible"])]
    for name, more in ways:
        add(f"PyTorch {name}", lambda: run.command(rival + more, 90))
    return rows


def quick_start(run):
    words = ("train", "--device", run.arguments.device, "--out", run.out / "work" / "quick-start", "--quiet", "--json")
    more = ()
    if run.arguments.small:
        more = ("--epochs", 1, "--batch-size", 512, "--set", "model.blocks=[1]", "--set", "model.widths=[4]", "--set",
                "model.transitions=[]", "--set", "training.test=false", "--set", "data.validation=0.01")
    return run.palinode(*words, *more, limit=120)


def table(run):
    """The results as a page of Markdown."""
    results = run.results
    machine = results.get("machine", {})
    lines = [f"# {machine.get('hardware', 'a graphics card')}", "",
             f"Device `{run.arguments.device}`, {machine.get('date')}, Palinode {machine.get('version')}, commit "
             f"{machine.get('commit')}. Command: `benchmarks/gpu/run.sh`. Seeds 0.", ""]
    rows = results.get("gradients")
    if isinstance(rows, list):
        lines += ["Gradients against the CPU's in mode stored, relative difference (16 images, tanh):", "",
                  "| model | " + " | ".join(MODES) + " |", "|---|" + "---|" * len(MODES)]
        for model in MODELS:
            own = {row["mode"]: row["difference"] for row in rows if row["model"] == model}
            lines.append(f"| {model} | " + " | ".join(f"{own[mode]:.1e}" for mode in MODES) + " |")
        lines.append("")
    rows = results.get("memory")
    if isinstance(rows, list):
        lines += ["Device memory of a training step, in MB (all of it; kept between forward and backward pass):", "",
                  "| blocks per unit | layers | mode | total | kept | seconds |", "|---|---|---|---|---|---|"]
        for row in rows:
            if "failed" in row:
                lines.append(f"| {row['blocks']} | | {row['mode']} | failed | | |")
            else:
                peak = row["peak_bytes"]
                lines.append(f"| {row['blocks']} | {row['layers']} | {row['mode']} | {peak['total'] / 1e6:.1f} | "
                             f"{peak['activations'] / 1e6:.1f} | {row['seconds']:.4f} |")
        lines.append("")
    for name, rows in results.items():
        if not name.startswith("step ") or not isinstance(rows, list):
            continue
        lines += [f"{name[5:]}: milliseconds per training step, median (range):", "", "| | ms | memory, MB |", "|---|---|---|"]
        for row in rows:
            if "failed" in row:
                lines.append(f"| {row['name']} | failed | |")
            else:
                own = {key: 1000 * value for key, value in row["seconds"].items()}
                peak = f"{row['peak_bytes'] / 1e6:.0f}" if row["peak_bytes"] else ""
                lines.append(f"| {row['name']} | {own['median']:.2f} ({own['min']:.2f}–{own['max']:.2f}) | {peak} |")
        lines.append("")
    quick = results.get("quick start", {})
    if "test_accuracy" in quick:
        lines += [f"Quick start: test accuracy {100 * quick['test_accuracy']:.2f} % in {quick['seconds']:.0f} s, "
                  f"{quick['images_per_second']:.0f} images/s.", ""]
    wrong = [f"* {name}: {part.get('failed') or part.get('skipped')}" for name, part in results.items()
             if isinstance(part, dict) and ("failed" in part or "skipped" in part)]
    if run.wrong:
        lines += ["**Wrong:**", "", *(f"* {text}" for text in run.wrong), ""]
    if wrong:
        lines += ["Not measured:", "", *wrong, ""]
    (run.out / "results.md").write_text("\n".join(lines), encoding="utf-8")


def machine(run):
    doctor = run.palinode("doctor", run.out, "--json")
    name = run.arguments.device.removesuffix(":0")
    own = [device for device in doctor["devices"] if device["name"] == name]
    if not own:
        raise RuntimeError(f"there is no device {name}: {doctor['devices']}")
    commit = pathlib.Path(run.arguments.binary).parent / "commit"
    return {**own[0], "version": doctor["version"], "threads": doctor["threads"], "host": platform.processor() or platform.machine(),
            "commit": commit.read_text().strip() if commit.exists() else "unknown", "date": time.strftime("%Y-%m-%d"),
            "python": sys.version.split()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the program")
    parser.add_argument("--device", required=True, help="as `palinode --device` names it")
    parser.add_argument("--rival-device", default="", help="PyTorch's name of the device; without, no rivals")
    parser.add_argument("--python", default=sys.executable, help="a Python with PyTorch")
    parser.add_argument("--precisions", default="f32", type=lambda text: text.split(","))
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=360, help="no part begins after so many seconds")
    parser.add_argument("--small", action="store_true", help="a rehearsal: everything, but small")
    run = Run(parser.parse_args())
    os.environ.setdefault("XDG_RUNTIME_DIR", "/tmp")
    shutil.rmtree(run.out / "work", ignore_errors=True)
    run.part("machine", lambda: machine(run))
    run.part("gradients", lambda: gradients(run))
    run.part("quick start", lambda: quick_start(run))
    run.part("memory", lambda: memory(run))
    # What is compiled takes longest, and is compiled for one size of batch only.
    batches = (2,) if run.arguments.small else (128, 1024)
    for batch in batches:
        for model in ("hamiltonian-218", "hamiltonian-74", "resnet-32"):
            run.part(f"step {model}, batch {batch}", lambda: steps(run, model, batch, compiled=batch == batches[0]))
    table(run)
    failed = [name for name, part in run.results.items() if isinstance(part, dict) and "failed" in part]
    run.say(f"results in {run.out}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    if failed or run.wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
