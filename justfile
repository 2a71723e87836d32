# One word per task; `just` lists them.
default:
    @just --list

# Formatting, lints, documentation (warnings denied) and imports
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    python3 .ci/import_circles.py

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

# The kernels' tests under AddressSanitizer (an unstable flag of the compiler, let through by the variable)
sanitize:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 cargo test -p palinode-kernels --tests --target x86_64-unknown-linux-gnu --target-dir target/sanitize

# Licences and advisories of all dependencies
deny:
    cargo deny check

# The long storms: fuzzers (cargo-fuzz), signals at random moments, full disks (as root)
storm:
    fuzz/run.sh
    PALINODE_STORM=long cargo test --workspace --test storm -- --nocapture
