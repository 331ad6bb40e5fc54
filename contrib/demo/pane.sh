#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# One side of the demo: pane.sh WORK program|watch. The program's side brings it back when it was killed.

work=$1

newest_image()
{
	ls -t "$work"/images/*.ckpt 2>/dev/null | head -n 1
}

case $2 in
program)
	sh -c 'echo $$ >"$0/pid"; exec "$1"' "$work" "$LAGOON"
	status=$?
	while [ $status -eq 137 ]; do
		stty sane
		image=$(newest_image)
		if [ -z "$image" ]; then
			printf '\nIt is dead, and was never saved. Enter ends the demo. '
			read -r _
			break
		fi
		printf '\nIt is dead (SIGKILL).\nEnter brings it back: ckptview restore %s ' "${image##*/}"
		read -r _
		"$CKPTVIEW" restore "$image"
		status=$?
	done
	[ $status -eq 0 ] || { printf 'status %s. Enter ends the demo. ' "$status"; read -r _; }
	tmux -S "$work/tmux" kill-server ;;
watch)
	while [ ! -s "$work/pid" ]; do
		sleep 0.05
	done
	while "$CKPTVIEW" -p "$(cat "$work/pid")"; status=$?; :; do
		printf '\nckptview has ended (status %s). Enter starts it again. ' "$status"
		read -r _ || exit
	done ;;
esac
