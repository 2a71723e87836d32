#!/usr/bin/env python3
"""Watches a run with the real TensorBoard: points appear as they come, and none stands twice.

Usage: check_tensorboard.py PALINODE. It needs the package `tensorboard`. A run is killed in its middle and resumed while
TensorBoard, with each of its two loaders, reads its directory.
"""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TAGS = [f"{what}/{split}" for what in ("loss", "accuracy", "learning_rate") for split in ("train", "validation")]


class Board:
    """A TensorBoard server on the parent of a run directory."""

    def __init__(self, directory, *options):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "tensorboard.main", "--logdir", directory, "--port", str(self.port)]
        command += ["--reload_interval", "1", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def steps(self, tag):
        """The steps of a tag's points, in the order in which TensorBoard has them."""
        address = f"http://127.0.0.1:{self.port}/data/plugin/scalars/scalars?tag={tag}&run=run"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return [step for _, step, _ in json.load(answer)]
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return []  # Not started, or no point of this tag yet.

    def wait(self, tag, count, seconds):
        """Waits until the tag has `count` points, and returns all its steps."""
        began = time.monotonic()
        while True:
            steps = self.steps(tag)
            if len(steps) >= count:
                return steps
            if time.monotonic() - began > seconds:
                raise SystemExit(f"{tag}: {len(steps)} points after {seconds} s, expected {count}: {steps}")
            time.sleep(0.2)

    def close(self):
        self.process.terminate()
        self.process.wait(30)


def check(palinode, *options):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder) / "run"
        board = Board(folder, *options)
        try:
            board_is_up(board)
            train = [palinode, "train", "--epochs", "100000", "--quiet", "--out", str(run), "--set", "data.subset=0.1"]
            train += ["--set", "schedule.kind=constant", "--set", "model.blocks=[1, 1, 1]"]
            train += ["--set", "training.test=false"]
            process = subprocess.Popen(train, stdout=subprocess.DEVNULL)
            seen = board.wait("loss/train", 2, 120)
            if process.poll() is not None:
                raise SystemExit("the run ended before TensorBoard showed its second point")
            process.send_signal(signal.SIGKILL)
            process.wait()
            print(f"{options}: {len(seen)} points were there when the run was killed")
            # What was written before the kill, and a few epochs more.
            begun = sum(1 for line in (run / "metrics.csv").open() if ",train," in line)
            epochs = begun + 5
            resume = [palinode, "train", "--resume", str(run), "--epochs", str(epochs), "--quiet"]
            subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)
            for tag in TAGS:
                steps = board.wait(tag, epochs, 60)
                if steps != list(range(1, epochs + 1)):
                    raise SystemExit(f"{options}: the steps of {tag} are {steps}")
            files = sorted(path.name for path in run.glob("events.out.tfevents.*"))
            if len(files) != 2:
                raise SystemExit(f"expected one event file of each process, found {files}")
        finally:
            board.close()


def board_is_up(board):
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{board.port}/data/environment", timeout=10).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise SystemExit("TensorBoard does not start")


if __name__ == "__main__":
    check(sys.argv[1], "--load_fast=auto")
    check(sys.argv[1], "--load_fast=false")
