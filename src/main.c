/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The front door: global options, the table of commands, and what the screens are given of layers
 * they do not see. Everything a user can type is found from here.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "capture/capture.h"
#include "cmd/cmd.h"
#include "ui/ui.h"


static const struct command commands[] = {
	{"save",
		"-p PID [-o FILE] [--engine auto|stop|segv|uffd] [--full] [--kill|--stop]\n"
		"                     [--max-buffer SIZE] [--timeout MS] [--events FILE]\n"
		"                     [--json] [-q]",
		"take a checkpoint; the process goes on running", cmd_save},
	{"restore",
		"IMAGE [--dry-run] [--detach] [--stopped] [--new-pid] [--force]\n"
		"                        [--pidfile FILE] [--json] [-q]",
		"make the process again, same pid, going on from that instant", cmd_restore},
	{"show", "SOURCE [SECTION] [--json]", "print what a process or an image is made of",
		cmd_show},
	{"verify", "IMAGE... [--json]", "check every byte of images", cmd_verify},
};

static const char usage_screens[] =
	"usage: ckptview [OPTIONS]                choose a process on a screen\n"
	"       ckptview [OPTIONS] -p PID         watch a running process, take checkpoints of it\n"
	"       ckptview [OPTIONS] SOURCE         look at an image, any core file, or pid:N\n"
	"       ckptview [OPTIONS] replay [--speed N] FILE\n"
	"                                         show recorded events (save --events) again\n";
static const char usage_options[] =
	"options of the screens:\n"
	"  --ascii                 draw with ASCII characters only\n"
	"  --color[=]WHEN          auto, always or never (NO_COLOR=1: never)\n"
	"  --no-mouse              leave the mouse to the terminal\n"
	"  --plain                 no screen: print the same as text\n"
	"  --help, --version       each command has its own --help, too\n"
	"exit: 0 done, 2 usage or terminal, 3 process cannot be traced, 4 checkpoint failed,\n"
	"      5 bad image, 6 restore failed\n";

static void print_help(void)
{
	fputs(usage_screens, stdout);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("       ckptview %s %s\n%41s%s\n", commands[i].name, commands[i].args, "",
			commands[i].what);
	fputs(usage_options, stdout);
}

/* ---- what the screens are given ---- */

static int host_start(
	int pid, const char *engine, const char *path, void **job, int *fd, struct err *e)
{
	struct capture_opts o = {
		.pid = pid,
		.engine = engine,
		.path = path,
		.max_buffer = CAPTURE_MAX_BUFFER,
		.stop_timeout_ms = CAPTURE_STOP_TIMEOUT_MS,
	};
	struct job *const j = xcalloc(1, sizeof(*j));

	if (job_start(j, &o, e) < 0) {
		free(j);
		return -1;
	}
	const int flags = fcntl(j->fd, F_GETFL);

	if (flags >= 0)
		fcntl(j->fd, F_SETFL, flags | O_NONBLOCK);
	*job = j;
	*fd = j->fd;
	return 0;
}

static void host_cancel(void *job)
{
	job_cancel(job);
}

static int host_finish(void *job)
{
	const int code = job_wait(job);

	free(job);
	return code;
}

static const struct ui_host host = {
	.start = host_start,
	.cancel = host_cancel,
	.finish = host_finish,
	.open = source_open,
	.engines = capture_engines,
};

/* ---- arguments ---- */

/* What was typed before the command, or behind replay. */
struct args {
	struct ui_opts ui;
	const char *pid;   /* of -p */
	const char *speed; /* of replay */
	bool help, version;
};

static int parse_color(struct ui_opts *o, const char *when)
{
	static const char *const names[] = {"auto", "never", "always"};

	for (int i = 0; when && i < 3; i++) {
		if (!strcmp(when, names[i])) {
			o->color = i - 1;
			return 0;
		}
	}
	return -1;
}

/* The value of "--name VALUE", "--name=VALUE" or "-pVALUE"; steps over what it uses. NULL: *at is
 * another option; "" when the value is missing. */
static const char *option_value(const char *name, char **argv, int *at)
{
	const size_t len = strlen(name);

	if (strncmp(argv[*at], name, len) != 0)
		return NULL;
	if (!argv[*at][len])
		return argv[*at + 1] ? argv[++*at] : "";
	if (name[1] != '-')
		return argv[*at] + len;
	return argv[*at][len] == '=' ? argv[*at] + len + 1 : NULL;
}

static bool parse_flag(struct args *a, const char *arg)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"--ascii", &a->ui.ascii},
		{"--no-mouse", &a->ui.no_mouse},
		{"--plain", &a->ui.plain},
		{"--help", &a->help},
		{"-h", &a->help},
		{"--version", &a->version},
	};

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (!strcmp(arg, flags[i].name)) {
			*flags[i].flag = true;
			return true;
		}
	}
	return false;
}

/* Takes the options at argv[*at]; stops at the first word that is none. 0, or an exit code. */
static int parse_options(struct args *a, char **argv, int *at, bool replay)
{
	const char *value;

	for (; argv[*at] && argv[*at][0] == '-' && argv[*at][1]; ++*at) {
		if (!strcmp(argv[*at], "--")) {
			++*at;
			return 0;
		}
		if (parse_flag(a, argv[*at]))
			continue;
		if ((value = option_value("--color", argv, at))) {
			if (parse_color(&a->ui, value) < 0)
				return cmd_usage("--color wants auto, always or never");
		} else if (!replay && (value = option_value("-p", argv, at))) {
			a->pid = value;
		} else if (replay && (value = option_value("--speed", argv, at))) {
			a->speed = value;
		} else {
			return cmd_usage("%s: no such option (see ckptview --help)", argv[*at]);
		}
	}
	return 0;
}

/* ---- the screens ---- */

static int open_process(const struct args *a)
{
	int pid;

	if (!text_parse_int(a->pid, &pid) || pid <= 0)
		return cmd_usage("-p wants a process id, not \"%s\"", a->pid);
	if (!a->ui.plain)
		return ui_process(&host, &a->ui, pid);
	cleanup_free char *name = xasprintf("pid:%d", pid);
	char *argv[] = {(char[]){"show"}, name, NULL};

	return cmd_show(2, argv);
}

static int open_source(const struct args *a, char *name)
{
	if (strncmp(name, "pid:", 4) != 0 && access(name, F_OK) < 0 && errno == ENOENT)
		return cmd_usage("%s: no such command or file (see ckptview --help)", name);
	if (!a->ui.plain)
		return ui_source(&host, &a->ui, name);
	char *argv[] = {(char[]){"show"}, name, NULL};

	return cmd_show(2, argv);
}

static int open_replay(struct args *a, char **argv)
{
	int at = 1;
	const int bad = parse_options(a, argv, &at, true);
	double speed = 1;
	char *end = NULL;

	if (bad)
		return bad;
	if (a->help) {
		puts("usage: ckptview replay [--speed N] [--plain] FILE\n\n"
		     "show recorded events (save --events FILE) again, N times as fast; see "
		     "ckptview(1)");
		return EXIT_DONE;
	}
	if (a->speed) {
		speed = strtod(a->speed, &end);
		if (end == a->speed || *end || !(speed > 0) || speed > 1e6)
			return cmd_usage("--speed wants a number above 0, not \"%s\"", a->speed);
	}
	if (!argv[at] || argv[at + 1])
		return cmd_usage("replay wants one file of events (save --events FILE makes one)");
	a->ui.speed = speed;
	return ui_replay(&host, &a->ui, argv[at]);
}

static int run_command(struct args *a, int argc, char **argv)
{
	if (!strcmp(argv[0], "replay"))
		return open_replay(a, argv);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(argv[0], commands[i].name) != 0)
			continue;
		return commands[i].run(argc, argv);
	}
	if (argc > 1)
		return cmd_usage("%s: %s (see ckptview --help)", argv[0],
			access(argv[0], F_OK) ? "no such command" : "one SOURCE at a time");
	return open_source(a, argv[0]);
}

/* What was printed counts only when it arrived (a full disk, a closed pipe). */
static int flush_stdout(int code)
{
	if (fflush(stdout) && code == EXIT_DONE && errno != EPIPE) {
		fprintf(stderr, "ckptview: standard output: %s\n", strerror(errno));
		return EXIT_USAGE;
	}
	return code;
}

int main(int argc, char **argv)
{
	struct args a = {.ui.color = -1, .ui.speed = 1};
	const char *no_color = getenv("NO_COLOR");
	int at = 1;

	setlocale(LC_CTYPE, "");
	if (no_color && *no_color)
		a.ui.color = 0;
	const int bad = parse_options(&a, argv, &at, false);

	if (bad)
		return bad;
	if (a.help || a.version) {
		if (a.version)
			printf("ckptview %s\n", VERSION);
		else
			print_help();
		return flush_stdout(EXIT_DONE);
	}
	if (a.pid)
		return argv[at] ? cmd_usage("-p PID stands alone (see ckptview --help)")
				: open_process(&a);
	if (argv[at])
		return flush_stdout(run_command(&a, argc - at, argv + at));
	return ui_choose(&host, &a.ui);
}
