#!/usr/bin/env bash
# Measures Palinode on the graphics card of this machine, beside PyTorch, within six minutes. Needs no network, only the
# driver, libvulkan1 for devices other than CUDA, and a Python, with PyTorch for the rivals.
#
#   benchmarks/gpu/run.sh [--device cuda] [--out DIR] [--small] [options of measure.py]
#
# The program is benchmarks/gpu/palinode or palinode.xz beside this file (`just gpu-binary` makes it), or $PALINODE.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

device=cuda
out="$here/results"
options=(--precisions f32,bf16)
while [ $# -gt 0 ]; do
    case $1 in
        --device) device=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        *) options+=("$1"); shift ;;
    esac
done

binary=${PALINODE:-$here/palinode}
if [ ! -x "$binary" ] && [ -e "$here/palinode.xz" ]; then
    binary=${TMPDIR:-/tmp}/palinode
    xz --decompress --stdout "$here/palinode.xz" > "$binary"
    chmod +x "$binary"
fi

# CUDA's functions of mathematics (exp, log, tanh) are in a file that comes with its compiler, and with Triton.
if [ "${device%%:*}" = cuda ] && [ -z "${CUDA_PATH:-}" ]; then
    library=$(ls /usr/local/cuda*/nvvm/libdevice/libdevice.10.bc /usr/lib/cuda/nvvm/libdevice/libdevice.10.bc 2>/dev/null | head -1 || true)
    if [ -z "$library" ]; then
        library=$(find /usr /opt "$HOME" -name libdevice.10.bc 2>/dev/null | head -1 || true)
    fi
    if [ -n "$library" ]; then
        CUDA_PATH=$(mktemp -d)
        mkdir -p "$CUDA_PATH/nvvm/libdevice"
        ln -s "$library" "$CUDA_PATH/nvvm/libdevice/libdevice.10.bc"
        export CUDA_PATH
    else
        echo "libdevice.10.bc was not found: kernels with exp, log or tanh will fail" >&2
    fi
fi

rival=()
if [ "${device%%:*}" = cuda ] && "${PYTHON:-python3}" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    rival=(--rival-device "$device")
fi
"${PYTHON:-python3}" "$here/measure.py" --binary "$binary" --device "$device" --out "$out" "${rival[@]}" "${options[@]}"
