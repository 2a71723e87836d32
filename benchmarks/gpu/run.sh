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
options=()
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

# CUDA's functions of mathematics (exp, log, tanh) are in a file beside its compiler.
if [ "${device%%:*}" = cuda ] && [ -z "${CUDA_PATH:-}" ]; then
    for library in /usr/local/cuda*/nvvm/libdevice/libdevice.10.bc /usr/lib/cuda/nvvm/libdevice/libdevice.10.bc \
        "$(find / -name libdevice.10.bc -not -path '/proc/*' 2>/dev/null | head -1)"; do
        if [ -e "$library" ]; then
            CUDA_PATH=$(cd "$(dirname "$library")/../.." && pwd)
            export CUDA_PATH
            break
        fi
    done
fi

rival=()
if [ "${device%%:*}" = cuda ] && "${PYTHON:-python3}" -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
    rival=(--rival-device cuda)
fi
"${PYTHON:-python3}" "$here/measure.py" --binary "$binary" --device "$device" --out "$out" "${rival[@]}" "${options[@]}"
