/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ckptview restore: a process out of an image. In the foreground it behaves towards its shell as
 * the restored program would: it passes signals on, stops when the program is stopped, and ends as
 * the program ends.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/text.h"
#include "restore/run.h"

static const char usage[] =
	"usage: ckptview restore IMAGE [options]\n"
	"Makes the process of an image again, under its old pid, and lets it go on.\n"
	"      --dry-run          print the steps, make nothing\n"
	"      --detach           leave it running and print its pid\n"
	"      --stopped          leave it stopped (SIGSTOP) and print its pid\n"
	"      --new-pid          take any pid\n"
	"      --force            go on although a mapped file has changed\n"
	"      --pidfile FILE     write its pid there\n"
	"      --json             the result (or the steps) as JSON\n"
	"  -q, --quiet            no warnings\n";

enum {
	OPT_DRY = 256,
	OPT_DETACH,
	OPT_STOPPED,
	OPT_NEW_PID,
	OPT_FORCE,
	OPT_PIDFILE,
	OPT_JSON,
	OPT_LAZY,
	OPT_HELP
};
static const struct option options[] = {
	{"dry-run", no_argument, NULL, OPT_DRY},
	{"detach", no_argument, NULL, OPT_DETACH},
	{"stopped", no_argument, NULL, OPT_STOPPED},
	{"new-pid", no_argument, NULL, OPT_NEW_PID},
	{"force", no_argument, NULL, OPT_FORCE},
	{"pidfile", required_argument, NULL, OPT_PIDFILE},
	{"json", no_argument, NULL, OPT_JSON},
	{"lazy", no_argument, NULL, OPT_LAZY},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

struct restore {
	struct plan_opts o;
	const char *image, *pidfile;
	bool dry, json, quiet;
	/* in the foreground */
	int pid;
	bool has_tty;
	struct termios ours, its;
};

/* 0, or what to exit with plus one. */
static int parse_option(struct restore *r, int opt)
{
	switch (opt) {
	case OPT_DRY:
		r->dry = true;
		return 0;
	case OPT_DETACH:
		r->o.detach = true;
		return 0;
	case OPT_STOPPED:
		r->o.stopped = true;
		return 0;
	case OPT_NEW_PID:
		r->o.new_pid = true;
		return 0;
	case OPT_FORCE:
		r->o.force = true;
		return 0;
	case OPT_LAZY:
		r->o.lazy = true;
		return 0;
	case OPT_PIDFILE:
		r->pidfile = optarg;
		return 0;
	case OPT_JSON:
		r->json = true;
		return 0;
	case 'q':
		r->quiet = true;
		return 0;
	case OPT_HELP:
		fputs(usage, stdout);
		return 1 + EXIT_DONE;
	default:
		return 1 + cmd_usage("restore: wrong option; see ckptview restore --help");
	}
}

static void say(const char *line)
{
	fprintf(stderr, "ckptview: %s\n", line);
}

static void print_plan(const struct plan *p)
{
	for (size_t i = 0; i < p->nsteps; i++) {
		const struct step *s = &p->steps[i];

		printf("%4zu  %-12s  %s", i + 1, step_kind_name((int)s->kind), text_safe(s->what));
		printf("%s%s\n", *s->why ? ": " : "", s->why);
	}
	for (size_t i = 0; i < p->nwarnings; i++)
		printf("warning: %s\n", text_safe(p->warnings[i]));
}

static int dry_run(const struct restore *r, const struct plan *p)
{
	if (r->json) {
		json_t *j = plan_to_json(p);

		json_dumpf(j, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
		json_decref(j);
	} else {
		print_plan(p);
	}
	return EXIT_DONE;
}

static void print_result(const struct restore *r, const struct restored *done)
{
	json_t *j = json_object(), *warnings = json_array();
	char safe[2048];

	for (size_t i = 0; i < done->nwarnings; i++) {
		text_escape(safe, sizeof(safe), done->warnings[i], strlen(done->warnings[i]));
		json_array_append_new(warnings, json_string(safe));
		if (!r->quiet && !r->json)
			fprintf(stderr, "ckptview: warning: %s\n", safe);
	}
	json_object_set_new(j, "pid", json_integer(done->pid));
	json_object_set_new(j, "warnings", warnings);
	if (r->json) {
		json_dumpf(j, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
	} else if (r->o.detach || r->o.stopped) {
		printf("%d\n", done->pid);
	}
	fflush(stdout);
	json_decref(j);
}

static int write_pidfile(const char *path, int pid, struct err *e)
{
	char text[16];
	const int len = snprintf(text, sizeof(text), "%d\n", pid);
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || write_all(fd, text, (size_t)len) < 0)
		return err_sys(e, EXIT_RESTORE,
			"the process runs as %d, but its pid cannot be written to %s", pid,
			text_safe(path));
	return 0;
}

/* ---- the foreground ---- */

static void take_terminal(struct restore *r)
{
	if (!r->has_tty)
		return;
	tcgetattr(STDIN_FILENO, &r->its);
	tcsetpgrp(STDIN_FILENO, getpgrp());
	tcsetattr(STDIN_FILENO, TCSADRAIN, &r->ours);
}

static void give_terminal(struct restore *r)
{
	if (!r->has_tty)
		return;
	tcsetattr(STDIN_FILENO, TCSADRAIN, &r->its);
	tcsetpgrp(STDIN_FILENO, getpgid(r->pid));
}

static void signal_program(const struct restore *r, int sig)
{
	kill(r->has_tty ? -getpgid(r->pid) : r->pid, sig);
}

/* It was stopped: so are we, until our shell lets us go on. */
static void stop_along(struct restore *r)
{
	take_terminal(r);
	raise(SIGSTOP);
	give_terminal(r);
	signal_program(r, SIGCONT);
}

static void pass_on(const struct restore *r, const siginfo_t *info)
{
	/* A key of the terminal has reached the program by itself when it is in our group. */
	if (info->si_code == SI_KERNEL && getpgid(r->pid) == getpgrp())
		return;
	kill(r->pid, info->si_signo);
}

static void signals_to_take(sigset_t *set)
{
	static const int taken[] = {SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
		SIGALRM, SIGWINCH, SIGTSTP, SIGCONT};

	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		sigaddset(set, taken[i]);
}

/* Waits for its end; the wait status. */
static int attend(struct restore *r, const sigset_t *taken)
{
	for (;;) {
		siginfo_t info;
		int status;
		const pid_t got = waitpid(r->pid, &status, WNOHANG | WUNTRACED);

		if (got == r->pid && WIFSTOPPED(status)) {
			stop_along(r);
			continue;
		}
		if (got == r->pid || (got < 0 && errno == ECHILD))
			return got < 0 ? 0 : status;
		if (sigwaitinfo(taken, &info) > 0 && info.si_signo != SIGCHLD)
			pass_on(r, &info);
	}
}

/* Ends as the program ended. */
static int end_as(int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	const int sig = WTERMSIG(status);
	const struct rlimit none = {0, 0};
	sigset_t set;

	/* The program has left its core already. */
	setrlimit(RLIMIT_CORE, &none);
	signal(sig, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	raise(sig);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + sig;
}

static int run_plan(struct restore *r, struct plan *p)
{
	struct restored done;
	struct err e = {0};
	sigset_t taken;

	r->has_tty = p->opts.foreground && tcgetattr(STDIN_FILENO, &r->ours) == 0;
	r->its = r->ours;
	if (plan_run(p, &done, &e) < 0) {
		restored_deinit(&done);
		err_in(&e, "restore %s", text_safe(r->image));
		return cmd_fail(&e, EXIT_RESTORE);
	}
	/* Before it can end: its end must not be missed. */
	signals_to_take(&taken);
	sigaddset(&taken, SIGTTOU);
	sigprocmask(SIG_BLOCK, &taken, NULL);
	sigdelset(&taken, SIGTTOU);
	print_result(r, &done);
	r->pid = done.pid;
	restored_deinit(&done);
	if (r->pidfile && write_pidfile(r->pidfile, r->pid, &e) < 0)
		cmd_fail(&e, EXIT_RESTORE);
	if (r->o.detach || r->o.stopped)
		return EXIT_DONE;
	const int status = attend(r, &taken);

	take_terminal(r);
	return end_as(status);
}

static int restore_image(struct restore *r)
{
	struct err e = {0};
	struct plan p = {0};
	struct image *im = image_open(r->image, &e);
	int rc;

	if (!im)
		return cmd_fail(&e, EXIT_IMAGE);
	r->o.foreground = !r->o.detach && !r->o.stopped && isatty(STDIN_FILENO) &&
			  tcgetpgrp(STDIN_FILENO) == getpgrp();
	r->o.say = r->quiet ? NULL : say;
	if (plan_build(&p, im, &r->o, &e) < 0) {
		err_in(&e, "restore %s", text_safe(r->image));
		rc = cmd_fail(&e, EXIT_IMAGE);
	} else {
		rc = r->dry ? dry_run(r, &p) : run_plan(r, &p);
	}
	plan_deinit(&p);
	image_close(im);
	return rc;
}

int cmd_restore(int argc, char **argv)
{
	struct restore r = {0};
	int opt;

	optind = 1;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "q", options, NULL)) != -1) {
		const int rc = parse_option(&r, opt);

		if (rc)
			return rc - 1;
	}
	if (optind + 1 != argc)
		return cmd_usage("restore: wants one image; see ckptview restore --help");
	r.image = argv[optind];
	return restore_image(&r);
}
