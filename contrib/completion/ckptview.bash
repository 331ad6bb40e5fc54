# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for ckptview

# Processes that can be traced: those with memory of their own.
_ckptview_pids()
{
	local dir name
	for dir in /proc/[0-9]*; do
		[ -n "$(tr -d '\0' <"$dir/cmdline" 2>/dev/null | head -c 1)" ] && echo "${dir#/proc/}"
	done
}

_ckptview_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur")
}

_ckptview_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}

_ckptview()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	local commands='save restore show verify replay'
	local sections='summary threads maps fds signals timers limits creds mm auxv env warnings stats regs'

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $commands " in
		*" ${COMP_WORDS[i]} "*)
			command=${COMP_WORDS[i]}
			break
			;;
		esac
	done

	case $command:$prev in
	*:-p | save:--pid)
		_ckptview_words "$(_ckptview_pids)"
		return
		;;
	save:-e | save:--engine)
		_ckptview_words 'auto stop segv uffd fork'
		return
		;;
	:--color | replay:--color)
		_ckptview_words 'auto always never'
		return
		;;
	save:--max-buffer | save:--timeout | replay:--speed)
		return
		;;
	esac

	case $command:$cur in
	save:-*)
		_ckptview_words '-p -o --engine --full --kill --stop --max-buffer --timeout --events --json -q --help'
		;;
	restore:-*)
		_ckptview_words '--dry-run --detach --stopped --new-pid --force --pidfile --json -q --help'
		;;
	show:-* | verify:-*)
		_ckptview_words '--json --help'
		;;
	replay:-*)
		_ckptview_words '--speed --plain --ascii --color --no-mouse --help'
		;;
	:-*)
		_ckptview_words '-p --ascii --color --no-mouse --plain --help --version'
		;;
	:*)
		_ckptview_files
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$commands" -- "$cur")
		;;
	show:*)
		_ckptview_files
		((COMP_CWORD > i + 1)) && _ckptview_words "$sections"
		;;
	*)
		_ckptview_files
		;;
	esac
}
complete -F _ckptview ckptview
