# Sourced by demo, test and check. Makes the environment .venv as constraints.txt pins it, and leaves it alone while nothing changed.
# An environment that is half made, broken, moved, or made from other versions of the files named in fingerprint is made again from nothing.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=.venv/bin/python
finished=.venv/fingerprint
torch_cpu_index=https://download.pytorch.org/whl/cpu

# Prints one line that changes whenever the environment has to be made again; the place counts because the editable install names it.
fingerprint() {
    "$1" -c 'import hashlib, os, pathlib, sys
files = ("pyproject.toml", "constraints.txt", "scripts/environment.sh")
content = b"\0".join([*(pathlib.Path(name).read_bytes() for name in files), os.fsencode(os.getcwd()), sys.version.encode()])
print(hashlib.sha256(content).hexdigest())'
}

# Prints the first Python that is new enough and can make an environment. Trying each one matters: a command may exist and not run.
find_python() {
    local candidate
    for candidate in python3 python python3.11 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 &&
            { "$candidate" -c 'import ensurepip' || "$candidate" -m pip --version; } >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "trisep: error: no usable Python found: install Python 3.11 or newer with venv and pip, and put it on the PATH" >&2
    return 2
}

# Succeeds when pip, given the options that follow, would install the pinned torch without CUDA. Reads the package's metadata only.
offers_torch_without_cuda() {
    "$python" -m pip install --dry-run --no-deps --ignore-installed -qq --report - -c constraints.txt "$@" torch 2>/dev/null |
        "$python" -c 'import json, sys
needs = json.load(sys.stdin)["install"][0]["metadata"].get("requires_dist", [])
sys.exit(any(need.startswith(("nvidia", "cuda")) for need in needs))' 2>/dev/null
}

# Prints the index to add, if any: PyPI gives every Linux machine the CUDA build, gigabytes that a machine without a GPU cannot use.
extra_index_for_torch() {
    if [ "$(uname -s)" != Linux ] || command -v nvidia-smi >/dev/null || offers_torch_without_cuda; then
        return
    fi
    if offers_torch_without_cuda --retries 0 --timeout 15 --extra-index-url "$torch_cpu_index"; then
        echo "$torch_cpu_index"
    else
        echo "trisep: no CPU build of torch can be reached; the CUDA build is installed, which works but is several gigabytes" >&2
    fi
}

# Makes .venv; the fingerprint is written last, so that an interrupted attempt is recognised.
make_environment() {
    local base install extra_index
    base="$(find_python)"
    echo "trisep: setting up .venv with $("$base" --version), once; this takes a few minutes"
    rm -rf .venv
    if "$base" -c 'import ensurepip' 2>/dev/null; then
        "$base" -m venv .venv
    else
        "$base" -m venv --without-pip .venv
        "$base" -m pip --python "$python" install -qq -c constraints.txt pip
    fi
    install=("$python" -m pip install -qq --disable-pip-version-check -c constraints.txt)
    "${install[@]}" --upgrade pip setuptools
    extra_index="$(extra_index_for_torch)"
    "${install[@]}" ${extra_index:+--extra-index-url "$extra_index"} torch
    "${install[@]}" --no-build-isolation --editable ".[analysis,dev,figures,hub,onnx,remote,teachers,train,web]"
    fingerprint "$python" >"$finished.new"
    mv "$finished.new" "$finished"
    echo "trisep: .venv is ready"
}

if [ ! -s "$finished" ] || [ "$(fingerprint "$python" 2>/dev/null)" != "$(cat "$finished")" ]; then
    make_environment
fi
