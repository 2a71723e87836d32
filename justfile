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

# The program for benchmarks/gpu/run.sh, with the commit it was built from (x86-64 Linux; LLVM from llvm.sh)
gpu-binary:
    benchmarks/gpu/llvm.sh
    CUDARC_CUDA_VERSION=13000 cargo build --release --locked --features cuda,wgpu
    strip --strip-all -o benchmarks/gpu/palinode target/release/palinode
    xz --force --keep -T0 -6 benchmarks/gpu/palinode
    git rev-parse --short HEAD > benchmarks/gpu/commit
    ls -l benchmarks/gpu/palinode.xz

# The tests of devices, on Vulkan in software (Debian: mesa-vulkan-drivers libvulkan1)
test-devices:
    VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.x86_64.json PALINODE_DEVICE=wgpu cargo test --workspace --features wgpu --test cube --test devices --test device_memory

# Kernels by themselves
bench:
    cargo bench -p palinode-kernels

# The kernels' tests under AddressSanitizer (an unstable flag of the compiler, let through by the variable)
sanitize:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address ASAN_OPTIONS=detect_leaks=0 cargo test -p palinode-kernels --tests --target x86_64-unknown-linux-gnu --target-dir target/sanitize

# Licences and advisories of all dependencies
deny:
    cargo deny check

# The long storms: fuzzers (cargo-fuzz), signals at random moments, full disks (as root), killed ranks
storm:
    fuzz/run.sh
    PALINODE_STORM=long cargo test --workspace --features mpi --test storm --test ranks -- --nocapture

# The tests of several ranks (Debian: libopenmpi-dev openmpi-bin libclang-dev)
test-ranks:
    cargo test --workspace --features mpi --test ranks

# One process beside several ranks, and PyTorch likewise (a quiet machine)
ranks:
    python3 benchmarks/ranks.py
