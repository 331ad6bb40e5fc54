#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs test programs one after the other: quiet when good, what a failing one said otherwise. Counts what
# each reports (Check's summary, or a last line "N passed, N failed"), and ends with the sum.
# ONLY=word: only the programs whose name contains it (tests/e2e/run always: it filters its own cases).

: "${BUILD:=build}"
# A finding of a sanitizer must be a failure with words, never a core; victims are not built with one.
export ASAN_OPTIONS="${ASAN_OPTIONS-abort_on_error=0:exitcode=99:detect_stack_use_after_return=0}"
export UBSAN_OPTIONS="${UBSAN_OPTIONS-print_stacktrace=1}"
export CK_FORK="${CK_FORK-yes}" CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT-60}"
log=$BUILD/tests/log
mkdir -p "$log"
passed=0 failed=0 skipped=0

# Counts in the output file $1: sets p, f, s. Nothing countable leaves them empty.
count()
{
	eval "$(awk '
		/^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
			gsub(/[,:]/, ""); bad = $5 + $7; p += $3 - bad; f += bad; seen = 1
		}
		/^[0-9]+ passed, [0-9]+ failed/ {
			gsub(/,/, ""); p += $1; f += $3; s += $5; seen = 1
		}
		END { if (seen) printf "p=%d f=%d s=%d", p, f, s; else printf "p= f= s=0" }' "$1")"
}

for t in "$@"; do
	name=$(printf %s "$t" | sed "s|^$BUILD/||; s|^tests/||")
	case $t in
	tests/e2e/run) ;;
	*) case $name in *"$ONLY"*) ;; *) continue ;; esac ;;
	esac
	out=$log/$(printf %s "$name" | tr / _).log
	case $t in
	tests/e2e/run) "${PYTHON:-python3}" -B tests/e2e/run.py $ONLY >"$out" 2>&1 ;;
	tests/*) sh "$t" >"$out" 2>&1 ;;
	*) "$t" >"$out" 2>&1 ;;
	esac
	status=$?
	count "$out"
	if [ -z "$p" ]; then
		[ $status -eq 0 ] && p=1 f=0 || p=0 f=1
	elif [ $status -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1
		echo "exit status $status" >>"$out"
	fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	if [ "$f" -gt 0 ]; then
		echo "FAIL $name"
		sed 's/^/    /' "$out"
	elif [ "$s" -gt 0 ]; then
		grep '^skip' "$out"
	fi
done
tail=
[ $skipped -gt 0 ] && tail=", $skipped skipped"
echo "$passed passed, $failed failed$tail"
[ $failed -eq 0 ]
