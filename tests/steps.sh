# Steps and what they take, for tests/run and .ci/run: which of the two was started prints the table at its end.
# shellcheck shell=bash

if [ -z "${STEPS_TABLE:-}" ]; then
    STEPS_TABLE=$(mktemp)
    export STEPS_TABLE
    prints_table=true
else
    prints_table=false
fi
outputs=$(mktemp -d)
current="" current_began=0
# What runs side by side, by its process: its name, its command, and when it began.
declare -A beside_name=() beside_command=() beside_began=() beside_output=()
# What has failed beside another: names and commands.
again_name=() again_command=()

now() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

# name, microseconds at its beginning, and what came of it
record() {
    local took=$((($(now) - $2) / 100000))
    printf '%d.%d\t%s%s\n' $((took / 10)) $((took % 10)) "$1" "$3" >>"$STEPS_TABLE"
}

# Begins a step, and with that ends the one before.
step() {
    [ -z "$current" ] || record "$current" "$current_began" ""
    current="$*" current_began=$(now)
    [ -z "$current" ] || printf '\n== %s\n' "$current"
}

# prebuilt PROGRAM VERSION: puts a tool of cargo's on the path. Compiling one takes longer than most of what it is for.
prebuilt() {
    local tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
    if command -v "$1" >/dev/null; then return; fi
    if [ ! -x "$tools/bin/$1" ]; then
        python3 -m venv "$tools"
        "$tools/bin/pip" install --quiet --disable-pip-version-check "astral-dev-toolchain-$1==$2"
    fi
    export PATH="$PATH:$tools/bin"
}

# beside NAME COMMAND...: starts it beside one other at most. What it prints is shown when it ends.
beside() {
    [ -z "$current" ] || step ""
    while [ "${#beside_name[@]}" -ge 2 ]; do await_one; done
    local name=$1 output
    shift
    output=$(mktemp "$outputs/XXXXXX")
    # A group of its own, so that it can be ended with all that it has started.
    set -m
    "$@" >"$output" 2>&1 </dev/null &
    set +m
    beside_output[$!]=$output
    beside_name[$!]=$name
    beside_command[$!]=$(printf '%q ' "$@")
    beside_began[$!]=$(now)
}

await_one() {
    local running code=0 outcome=""
    while true; do
        for running in "${!beside_name[@]}"; do
            kill -0 "$running" 2>/dev/null || break 2
        done
        sleep 0.1
    done
    wait "$running" || code=$?
    if [ "$code" != 0 ]; then
        outcome=", FAILED ($code)"
        again_name+=("${beside_name[$running]}") again_command+=("${beside_command[$running]}")
    fi
    record "${beside_name[$running]}" "${beside_began[$running]}" "$outcome"
    printf '\n== %s%s\n' "${beside_name[$running]}" "$outcome"
    cat "${beside_output[$running]}"
    unset "beside_name[$running]" "beside_command[$running]" "beside_began[$running]" "beside_output[$running]"
}

# Waits for all that was started side by side. What has failed there is run once more, alone: what passes then depends on
# chance or on the machine's load, is listed as such, and wants to be mended. Fails if one fails twice.
settle() {
    while [ "${#beside_name[@]}" -gt 0 ]; do await_one; done
    local at
    for at in "${!again_name[@]}"; do
        step "${again_name[$at]}: a second attempt"
        eval "${again_command[$at]}"
    done
    step ""
}

finish() {
    local code=$?
    trap - EXIT
    for running in "${!beside_name[@]}"; do
        kill -INT -- "-$running" 2>/dev/null || true
        wait "$running" || true
        printf '\n== %s, cut short\n' "${beside_name[$running]}"
        cat "${beside_output[$running]}"
    done
    if [ -n "$current" ]; then
        if [ "$code" = 0 ]; then record "$current" "$current_began" ""; else record "$current" "$current_began" ", FAILED ($code)"; fi
    fi
    if [ "$prints_table" = true ]; then
        printf '\n== seconds\n'
        awk -F'\t' '{ printf "%8.1f  %s\n", $1, $2 }' "$STEPS_TABLE"
        printf '%8d    all\n' "$SECONDS"
        rm -f "$STEPS_TABLE"
    fi
    rm -rf "$outputs"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
