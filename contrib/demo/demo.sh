#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# What ckptview is for, to be felt: a program with sixty deadlines a second over 256 MiB of live data is saved by
# stopping it, and saved while it runs; then it is killed and brought back.
# On a terminal with tmux: the program and ckptview side by side. Otherwise: the same as text, ending with a table.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ckptview=$(cd "$(dirname "${CKPTVIEW:-build/ckptview}")" && pwd)/ckptview
lagoon=$(cd "${DEMO:-build/contrib/demo}" && pwd)/lagoon
room=/tmp
[ -d /dev/shm ] && [ -w /dev/shm ] && room=/dev/shm
work=$(mktemp -d "$room/ckptview-demo.XXXXXX")
pid=

clean_up()
{
	if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe")" = "$lagoon" ]; then
		kill -9 "$pid"
	fi
	rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---- as text ----

# Lets the program write its figures and forget them: "beats missed longest_us".
figures()
{
	rm -f "$work/figures"
	kill -USR1 "$pid"
	tries=0
	while [ ! -s "$work/figures" ]; do
		tries=$((tries + 1))
		[ $tries -lt 500 ] || { echo "demo: the program does not answer" >&2; exit 1; }
		sleep 0.01
	done
	cat "$work/figures"
}

# One checkpoint with engine $1: adds its line to the table.
feel()
{
	figures >/dev/null
	sleep 0.3
	begin=$(date +%s%N)
	"$ckptview" save -q -p "$pid" --engine "$1" -o "$work/lagoon.ckpt"
	took=$((($(date +%s%N) - begin) / 1000000))
	sleep 0.2
	# shellcheck disable=SC2046
	set -- "$1" $(figures)
	printf '%-8s %14s ms %18s %12s ms\n' "$1" "$(awk "BEGIN { printf \"%.2f\", $4 / 1000 }")" "$3" "$took" >>"$work/table"
	echo "  $1: stood still for at most $(awk "BEGIN { printf \"%.2f\", $4 / 1000 }") ms, missed $3 deadlines"
}

as_text()
{
	echo "A program holds 256 MiB of live data and has 60 deadlines a second."
	"$lagoon" --text "$work/figures" >"$work/out" 2>&1 &
	pid=$!
	sleep 1
	figures >/dev/null
	sleep 1
	# shellcheck disable=SC2046
	set -- $(figures)
	echo "Left alone for a second it made $1 beats and missed $2 deadlines."
	printf '%-8s %17s %18s %15s\n' engine "stood still" "missed deadlines" "saved in" >"$work/table"
	for engine in stop segv stop segv stop segv; do
		echo "Saving it with engine $engine:"
		feel $engine
	done
	echo "Killing it (SIGKILL)."
	kill -9 "$pid"
	wait "$pid" 2>/dev/null || true
	echo "Bringing it back from its image, same pid $pid:"
	"$ckptview" restore "$work/lagoon.ckpt" &
	back=$!
	sleep 1
	if ! kill -0 "$pid" 2>/dev/null; then
		wait $back || echo "demo: restore failed: exit $?" >&2
		exit 1
	fi
	# shellcheck disable=SC2046
	set -- $(figures)
	echo "  it goes on: $1 beats since the save, counted by the same program."
	kill -TERM "$pid"
	status=0
	wait $back || status=$?
	pid=
	echo "  it was asked to end and did: status $status."
	echo
	cat "$work/table"
}

# ---- side by side ----

side_by_side()
{
	tmux="tmux -S $work/tmux -f /dev/null"
	unset TMUX
	mkdir "$work/images"
	{
		echo "LEFT: a program with 60 deadlines a second over 256 MiB.  RIGHT: ckptview watching it.  Try, in this order:"
		echo "1 right: c, Down to engine stop, Enter saves it: the light on the left stutters, deadlines are missed"
		echo "2 left: r forgets the figures; right: q, then c, engine segv, Enter: on the left nothing is felt"
		echo "3 left: K kills it; Enter there brings it back from the last image.   Ctrl-B and an arrow: to the other side"
		echo "q on the left ends the demo."
	} >"$work/help"
	layout=-h
	[ "$(tput cols 2>/dev/null || echo 80)" -ge 130 ] || layout=-v
	run="CKPTVIEW='$ckptview' LAGOON='$lagoon' sh '$here/pane.sh' '$work'"
	$tmux new-session -d -x "$(tput cols)" -y "$(tput lines)" -c "$work/images" "$run program"
	$tmux set -g mouse on \; set -g status off \; set -g default-terminal screen-256color \; set -g escape-time 20
	$tmux split-window $layout -c "$work/images" "$run watch"
	$tmux split-window -f -v -l 6 -c "$work/images" "cat '$work/help'; exec sleep 86400"
	$tmux select-pane -t 1
	$tmux attach || true
	$tmux kill-server 2>/dev/null || true
	pid=$(cat "$work/pid" 2>/dev/null || true)
}

if [ -t 0 ] && [ -t 1 ] && command -v tmux >/dev/null && [ "${TERM:-dumb}" != dumb ]; then
	side_by_side
else
	as_text
fi
