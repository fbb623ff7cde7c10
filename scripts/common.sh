# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2034
# What the scripts share: where things are, how progress and failures are told. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
BUILD=$ROOT/build
mkdir -p "$BUILD"
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Exit codes of every script, beside 0 and the code of the program a script ends in.
EX_FAILED=1 EX_USAGE=2 EX_PYTHON=3 EX_APT=4 EX_PIP=5 EX_BUILD=6

# die CODE SENTENCE: one line, then out.
die() {
	echo "${0##*/}: $2" >&2
	exit "$1"
}

# usage_of FILE: its leading comment is its help text.
usage_of() {
	sed -n '3,/^[^#]/s/^# \{0,1\}//p' "$1"
}

# as_root [NAME=VALUE...] COMMAND...: with sudo where that is needed, which asks for a password only at a terminal.
as_root() {
	if [[ $EUID -eq 0 ]]; then
		env "$@"
	elif [[ -t 0 ]]; then
		sudo env "$@"
	else
		sudo -n env "$@"
	fi
}

# run_logged LOG COMMAND...: the command's output goes to LOG; a line every ten seconds says that it still works. Returns its status.
# The command holds the pipe open while it lives, so that read returns the moment it ends.
run_logged() {
	local log=$1 status=1 pipe start=$SECONDS
	shift
	exec {pipe}< <(if "$@" >>"$log" 2>&1 </dev/null; then echo 0; else echo $?; fi)
	while ! read -r -t 10 -u "$pipe" status; do
		printf '      %3d s  %.100s\n' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r')"
	done
	exec {pipe}<&-
	return "$status"
}

# tree_hash PATH...: a hash of the names and contents of every file under the paths.
tree_hash() {
	(cd "$ROOT" && find "$@" -type f -not -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z |
		xargs -0 sha256sum | sha256sum | cut -c 1-64)
}

# build_debug: bring build/debug up to date; configure_debug: only its compile_commands.json. Layers that run side by side take turns.
build_debug() {
	configure_debug && flock "$BUILD/debug.lock" cmake --build --preset debug -- -j2
}

configure_debug() {
	flock "$BUILD/debug.lock" cmake --preset debug -DPUPITRE_WERROR="$([[ -n ${CI:-} ]] && echo ON || echo OFF)"
}

# browser: path of a Chromium that Playwright can drive, or nothing.
browser() {
	local name
	for name in chromium chromium-browser google-chrome; do
		# Ubuntu's chromium-browser may be a script that only says how to get the snap.
		if command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1; then
			command -v "$name"
			return
		fi
	done
	compgen -G "$VENV/browsers/chromium-*/chrome-linux*/chrome" | head -n 1 || true
}
