#!/usr/bin/env python3
"""Runs the `sh` blocks of the guide, each page in a folder of its own: run_documented_commands.py PALINODE

A block behind a line `<!-- not run by CI…` is left out, and so are the commands that build the program. What is left
out is printed.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"(<!-- not run by CI[^\n]*-->\n+)?```sh\n(.*?)```", re.S)


def main():
    program = Path(sys.argv[1]).resolve()
    root = Path(__file__).resolve().parent.parent
    failures = 0
    for page in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("models/*.md")]):
        name = page.relative_to(root)
        with tempfile.TemporaryDirectory() as folder:
            for entry in ("models", "recipes", "docs", "examples", "benchmarks"):
                os.symlink(root / entry, Path(folder, entry))
            os.mkdir(Path(folder, "runs"))
            path = f"{program.parent}:{os.environ['PATH']}"
            for reason, block in BLOCK.findall(page.read_text()):
                first = block.strip().splitlines()[0]
                if reason or first.startswith(("cargo ", "just ", "pip ", "git ", "python")):
                    print(f"{name}: left out: {first}")
                    continue
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", block], cwd=folder, env={**os.environ, "PATH": path},
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                )
                if done.returncode:
                    failures += 1
                    print(f"{name}: exit {done.returncode}:\n{block}\n{done.stdout}")
    print(f"{failures} documented commands failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
