#!/usr/bin/env bash
# Installs the LLVM that feature `cuda` links, from Debian's packages, where the build cannot download its own bundle
# (crate tracel-llvm-bundler). Needs Debian 12 or later with apt and g++. Usage: benchmarks/gpu/llvm.sh
#
# The packages are those of Debian's unstable release. They are unpacked, not installed. Their own llvm-config runs with
# its own C library, once, to say in which order the libraries are linked.
set -euo pipefail

version=23
home="${XDG_DATA_HOME:-$HOME/.local/share}/tracel/tracel-llvm-23.1.0-4"
if [ -e "$home/.tracel-llvm-installed" ]; then
    echo "LLVM is there already: $home"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It is moved to its place when it is complete.
bundle="$work/bundle"

# The mirror that this machine uses, with the unstable release in place of its own.
mirror=$(grep -rhoE 'https?://[^ ]*/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    grep -v snapshot | head -1 | tr -d ' ' || true)
mkdir -p "$work/lists/partial" "$work/parts" "$work/debs" "$work/root"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?no Debian mirror in the sources of apt} sid main" > "$work/sid.list"
apt="-o Dir::State::Lists=$work/lists -o Dir::Etc::SourceList=$work/sid.list -o Dir::Etc::SourceParts=$work/parts
    -o APT::Architecture=amd64 -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root"
apt-get -qq $apt update
(cd "$work/debs" && apt-get -qq $apt download "llvm-$version-dev" "llvm-$version" "libllvm$version" libc6 libgcc-s1 \
    libstdc++6 libffi8 libedit2 libtinfo6 libxml2-16 libz3-4 libzstd1 zlib1g libbsd0 libmd0 liblzma5 libzstd-dev)
for package in "$work"/debs/*.deb; do dpkg -x "$package" "$work/root"; done
from="$work/root/usr/lib/llvm-$version"
libraries="$work/root/usr/lib/x86_64-linux-gnu"

mkdir -p "$bundle/bin" "$bundle/lib"
cp -rL "$work/root/usr/include/llvm-$version" "$bundle/include"
cp -rL "$work/root/usr/include/llvm-c-$version/llvm-c" "$bundle/include/"
cp "$from"/lib/libLLVM*.a "$bundle/lib/"
cp "$libraries/libzstd.a" "$bundle/lib/"

# Of its targets, the CPU and NVIDIA's cards.
for definitions in Targets AsmPrinters AsmParsers Disassemblers TargetExegesis TargetMCAs; do
    file="$bundle/include/llvm/Config/$definitions.def"
    [ -e "$file" ] && sed -i -E '/^LLVM_[A-Z_]+\(/{/\((X86|NVPTX)\)/!d}' "$file"
done

# Its llvm-config looks for the libraries beside itself, which is not where they are, and lists those it misses in the
# reverse of the order of linking.
{ "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries:$work/root/lib/x86_64-linux-gnu" \
    "$from/bin/llvm-config" --link-static --libs all 2>&1 || true; } |
    sed -nE 's/.*missing: .*\/lib(LLVM[A-Za-z0-9]+)\.a/\1/p' | tac |
    grep -vE '^LLVM(AArch64|AMDGPU|ARM|AVR|BPF|Hexagon|Lanai|LoongArch|Mips|MSP430|PowerPC|RISCV|Sparc|SPIRV|SystemZ|VE|WebAssembly|XCore|M68k|Xtensa)[A-Z]' \
    > "$work/order"
while read -r name; do
    if [ -e "$bundle/lib/lib$name.a" ]; then echo "-l$name"; fi
done < "$work/order" > "$bundle/libraries"

# The libraries were compiled against a newer C library, whose number parsers have new names.
cat > "$work/isoc23.c" <<'C'
#include <stdlib.h>
long __isoc23_strtol(const char *s, char **e, int b) { return strtol(s, e, b); }
long long __isoc23_strtoll(const char *s, char **e, int b) { return strtoll(s, e, b); }
unsigned long __isoc23_strtoul(const char *s, char **e, int b) { return strtoul(s, e, b); }
unsigned long long __isoc23_strtoull(const char *s, char **e, int b) { return strtoull(s, e, b); }
C
cc -O2 -c "$work/isoc23.c" -o "$work/isoc23.o"
ar rcs "$bundle/lib/libisoc23.a" "$work/isoc23.o"
printf '%s\n' -lisoc23 -lzstd >> "$bundle/libraries"

cat > "$bundle/bin/llvm-config" <<'C'
#!/bin/sh
# Answers for the libraries beside it.
home=$(CDPATH= cd "$(dirname "$0")/.." && pwd)
for argument; do
    case $argument in
        --link-static) ;;
        --version) echo 23.1.4 ;;
        --libdir) echo "$home/lib" ;;
        --includedir) echo "$home/include" ;;
        --libs) tr '\n' ' ' < "$home/libraries"; echo ;;
        --libnames) sed -E 's/-l(.*)/lib\1.a/' "$home/libraries" | tr '\n' ' '; echo ;;
        --system-libs) echo "-lrt -ldl -lm -lpthread -lz" ;;
        --cflags) echo "-I$home/include -D_GNU_SOURCE -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS" ;;
        --cxxflags) echo "-I$home/include -std=c++17 -fno-exceptions -D_GNU_SOURCE -D__STDC_CONSTANT_MACROS -D__STDC_FORMAT_MACROS -D__STDC_LIMIT_MACROS" ;;
        *) echo "llvm-config: no answer to $argument" >&2; exit 1 ;;
    esac
done
C
chmod +x "$bundle/bin/llvm-config"
touch "$bundle/.tracel-llvm-installed"
mkdir -p "$(dirname "$home")"
rm -rf "$home"
mv "$bundle" "$home"
echo "LLVM is in $home"
