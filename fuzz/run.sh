#!/usr/bin/env bash
# Fuzzes every reader: run.sh [EXECUTIONS_OF_EACH]   (needs cargo-fuzz: `cargo install cargo-fuzz`)
#
# New inputs go to a folder that is thrown away; the corpora in the repository stay small. An input on which a reader
# panics, needs more than a gigabyte or ten seconds is kept in fuzz/artifacts/.
set -euo pipefail
cd "$(dirname "$0")"
runs="${1:-120000}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Options of the compiler that it takes for unstable, let through by the variable. The readers are safe Rust: no sanitizer.
export RUSTC_BOOTSTRAP=1
cargo fuzz build -s none
for target in recipe weights checkpoint idx cifar stl10 png jpeg npy; do
    mkdir "$scratch/$target"
    largest=8192
    if [ "$target" = stl10 ] || [ "$target" = recipe ]; then largest=32768; fi
    cargo fuzz run -s none "$target" "$scratch/$target" "corpus/$target" -- \
        -runs="$runs" -rss_limit_mb=1024 -malloc_limit_mb=1024 -timeout=10 -max_len="$largest" -print_final_stats=1 2>&1 |
        grep -E "^stat::(number_of_executed|peak_rss)|panicked|ERROR|SUMMARY|Test unit written" | sed "s/^/$target: /"
done
