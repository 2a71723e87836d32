# One word per task; `just` lists them.
default:
    @just --list

# Formatting, lints and documentation, warnings denied
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# All tests
test:
    cargo test --workspace

# Everything CI does
ci:
    bash .ci/run

# Train the quick start
train:
    cargo run --release -- train

# The README's picture: memory against depth
memory-picture:
    cargo run --release -- bench memory --model hamiltonian-74 --blocks 2,6,12,18 --batch-size 16 --csv docs/memory.csv --svg docs/memory.svg

# Palinode beside its rivals (Python 3.10, several minutes, a quiet machine)
rivals:
    python3 benchmarks/run.py

# Kernels by themselves
bench:
    cargo bench -p palinode-kernels

# Licences and advisories of all dependencies
deny:
    cargo deny check
