/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ckptview save: a checkpoint without a screen. Starts the tracer, reads its events, shows progress, sums up. */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/text.h"
#include "capture/capture.h"
#include "report/stats.h"

#define FRAME_NS (50 * NS_PER_MS)

static const char usage[] =
	"usage: ckptview save -p PID [-o FILE] [options]\n"
	"Takes a checkpoint of a running process, which goes on running.\n"
	"  -p, --pid PID          the process\n"
	"  -o, --output FILE      the image (default: NAME-PID-TIME.ckpt)\n"
	"  -e, --engine NAME      auto, stop, segv, uffd or fork (default: auto)\n"
	"      --full             store pages of unchanged files, too\n"
	"      --kill             end the process when the image is whole\n"
	"      --stop             leave the process stopped (SIGSTOP) when the image is whole\n"
	"      --max-buffer SIZE  memory for pages on their way to the file (default: 64M)\n"
	"      --timeout MS       how long a thread may take to stop (default: 2000)\n"
	"      --events FILE      record what happens, for ckptview replay\n"
	"      --json             the summary as JSON\n"
	"  -q, --quiet            no progress, no summary\n";

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = sig;
}

struct save {
	struct capture_opts o;
	const char *events;
	bool json, quiet, bar;
	int record_error;       /* errno of writing the recording */
	struct stats stats;
	uint64_t drawn_ns;
};

enum { OPT_FULL = 256, OPT_KILL, OPT_STOP, OPT_MAX_BUFFER, OPT_EVENTS, OPT_JSON, OPT_TIMEOUT, OPT_ORACLE, OPT_HELP };
static const struct option options[] = {
	{"pid", required_argument, NULL, 'p'}, {"output", required_argument, NULL, 'o'},
	{"engine", required_argument, NULL, 'e'}, {"full", no_argument, NULL, OPT_FULL},
	{"kill", no_argument, NULL, OPT_KILL}, {"stop", no_argument, NULL, OPT_STOP},
	{"max-buffer", required_argument, NULL, OPT_MAX_BUFFER}, {"events", required_argument, NULL, OPT_EVENTS},
	{"timeout", required_argument, NULL, OPT_TIMEOUT}, {"json", no_argument, NULL, OPT_JSON},
	{"quiet", no_argument, NULL, 'q'}, {"oracle", no_argument, NULL, OPT_ORACLE},
	{"help", no_argument, NULL, OPT_HELP}, {NULL, 0, NULL, 0},
};

static bool known_engine(const char *name)
{
	for (const char *const *n = capture_engines; *n; n++)
		if (!strcmp(*n, name))
			return true;
	return false;
}

/* 0, or what to exit with plus one. */
static int parse_option(struct save *s, int opt)
{
	switch (opt) {
	case 'p':
		if (!text_parse_int(optarg, &s->o.pid) || s->o.pid <= 0)
			return 1 + cmd_usage("save: '%s' is not a pid", optarg);
		return 0;
	case 'o': s->o.path = optarg; return 0;
	case 'e':
		if (!known_engine(optarg))
			return 1 + cmd_usage("save: no engine '%s' (there are auto, stop, segv, uffd, fork)", optarg);
		s->o.engine = optarg;
		return 0;
	case OPT_FULL: s->o.full = true; return 0;
	case OPT_KILL:
	case OPT_STOP:
		if (s->o.after != AFTER_RUN)
			return 1 + cmd_usage("save: --kill and --stop are one too many");
		s->o.after = opt == OPT_KILL ? AFTER_KILL : AFTER_STOP;
		return 0;
	case OPT_MAX_BUFFER:
		if (!text_parse_size(optarg, &s->o.max_buffer) || s->o.max_buffer < 1 << 20)
			return 1 + cmd_usage("save: --max-buffer wants a size of at least 1M, not '%s'", optarg);
		return 0;
	case OPT_TIMEOUT:
		if (!text_parse_int(optarg, &s->o.stop_timeout_ms) || s->o.stop_timeout_ms <= 0)
			return 1 + cmd_usage("save: --timeout wants milliseconds, not '%s'", optarg);
		return 0;
	case OPT_EVENTS: s->events = optarg; return 0;
	case OPT_JSON: s->json = true; return 0;
	case OPT_ORACLE: s->o.oracle = true; return 0;  /* for tests: also what a plain copy sees */
	case 'q': s->quiet = true; return 0;
	case OPT_HELP: fputs(usage, stdout); return 1 + EXIT_DONE;
	default: return 1 + cmd_usage("save: wrong option; see ckptview save --help");
	}
}

/* NAME-PID-TIME.ckpt in the current directory. The caller frees. */
static char *default_path(int pid)
{
	cleanup_buf struct buf b = {0};
	char proc[64], stamp[32], name[64];
	time_t now = time(NULL);
	struct tm tm;
	snprintf(proc, sizeof(proc), "/proc/%d/comm", pid);
	if (file_read(AT_FDCWD, proc, &b) < 0 || b.len == 0)
		buf_add_str(&b, "process\n");
	buf_add(&b, "", 1);
	snprintf(name, sizeof(name), "%s", (char *)b.data);
	name[strcspn(name, "\n")] = '\0';
	for (char *p = name; *p; p++)
		if (*p == '/' || *p <= ' ' || (unsigned char)*p >= 127)
			*p = '_';
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
	return xasprintf("%s-%d-%s.ckpt", name, pid, stamp);
}

static void draw_bar(struct save *s, uint64_t now)
{
	if (!s->bar || now - s->drawn_ns < FRAME_NS)
		return;
	s->drawn_ns = now;
	char done[32], want[32], fill[31];
	const double part = s->stats.want ? (double)s->stats.done / (double)s->stats.want : 0;
	const int n = (int)(MIN(part, 1.0) * 30);
	memset(fill, ' ', sizeof(fill) - 1);
	memset(fill, '#', (size_t)n);
	fill[30] = '\0';
	fprintf(stderr, "\r[%s] %3.0f%%  %s of %s\033[K", fill, 100 * MIN(part, 1.0),
		text_size(done, sizeof(done), s->stats.done), text_size(want, sizeof(want), s->stats.want));
}

static void clear_bar(struct save *s)
{
	if (s->bar && s->drawn_ns)
		fputs("\r\033[K", stderr);
}

static void print_summary(const struct save *s)
{
	char size[32], stop[32], stalls[32], all[32], p50[32], p99[32], max[32], window[32];
	const struct stats *st = &s->stats;
	printf("%s: %s, engine %s\n", text_safe(s->o.path), text_size(size, sizeof(size), st->image_len), st->engine);
	printf("  stop %s, %llu stalls of %s in all (p50 %s, p99 %s, max %s)\n",
		text_time(stop, sizeof(stop), st->stop_ns), (unsigned long long)st->stalls.n,
		text_time(stalls, sizeof(stalls), st->stalls.sum_ns),
		text_time(p50, sizeof(p50), hist_quantile(&st->stalls, 0.5)),
		text_time(p99, sizeof(p99), hist_quantile(&st->stalls, 0.99)),
		text_time(max, sizeof(max), st->stalls.max_ns));
	printf("  disturbance %s, window %s\n", text_time(all, sizeof(all), stats_disturbance(st)),
		text_time(window, sizeof(window), st->window_ns));
}

static void print_json(const struct save *s, int code)
{
	const struct stats *st = &s->stats;
	json_t *j = json_pack("{s:s, s:i, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
		"image", text_safe(s->o.path), "pid", s->o.pid, "exit", code, "engine", st->engine,
		"stop_ns", (json_int_t)st->stop_ns, "window_ns", (json_int_t)st->window_ns,
		"total_ns", (json_int_t)(st->end_ns - st->begin_ns), "image_len", (json_int_t)st->image_len,
		"stalls", (json_int_t)st->stalls.n, "stalls_ns", (json_int_t)st->stalls.sum_ns,
		"stall_p50_ns", (json_int_t)hist_quantile(&st->stalls, 0.5),
		"stall_p99_ns", (json_int_t)hist_quantile(&st->stalls, 0.99),
		"stall_max_ns", (json_int_t)st->stalls.max_ns,
		"bytes", (json_int_t)st->done, "bytes_fault", (json_int_t)st->by[COPY_FAULT],
		"disturbance_ns", (json_int_t)stats_disturbance(st),
		"events_dropped", (json_int_t)st->dropped);
	if (st->error)
		json_object_set_new(j, "error", json_string(st->error));
	if (st->warnings)
		json_object_set_new(j, "warnings", json_string(st->warnings));
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

/* The recording is a by-product: that it is cut short is said, and the checkpoint goes on. */
static void keep_event(struct save *s, int record, const struct event *ev)
{
	if (record >= 0 && !s->record_error && write_all(record, ev, sizeof(*ev)) < 0)
		s->record_error = errno;
}

/* Reads events until the stream ends. record: -1 or where to copy them. */
static void follow(struct save *s, struct job *j, int record)
{
	struct event_in in = {.fd = j->fd};
	const struct event head = {.type = EV_HEADER, .a = 1, .text = "ckptview events"};
	bool told = false;
	keep_event(s, record, &head);
	for (;;) {
		struct event ev;
		if (interrupted && !told) {
			told = true;
			job_cancel(j);
		}
		const int got = event_get(&in, &ev);
		if (got == 0)
			return;
		if (got < 0) {
			if (errno != EINTR && errno != EAGAIN)
				return;
			continue;
		}
		keep_event(s, record, &ev);
		stats_add(&s->stats, &ev);
		draw_bar(s, ev.t_ns);
	}
}

static void catch_signals(void)
{
	struct sigaction sa = {.sa_handler = on_signal};    /* no SA_RESTART: the read must return */
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

static int report(struct save *s, int code)
{
	if (s->stats.exit_code >= 0)
		code = s->stats.exit_code;
	if (s->json)
		print_json(s, code);
	if (code != EXIT_DONE) {
		fprintf(stderr, "ckptview: %s\n", s->stats.error ? s->stats.error : "save: the tracer ended unexpectedly");
		return code;
	}
	if (s->record_error)
		fprintf(stderr, "ckptview: warning: %s: %s: the events are not all there\n", text_safe(s->events),
			strerror(s->record_error));
	if (s->quiet)
		return code;
	for (char *w = s->stats.warnings, *next; w && *w; w = next) {
		next = strchr(w, '\n');
		fprintf(stderr, "ckptview: warning: %.*s\n", next ? (int)(next - w) : (int)strlen(w), w);
		next = next ? next + 1 : NULL;
	}
	if (!s->json)
		print_summary(s);
	return code;
}

static int save(struct save *s)
{
	struct err e = {0};
	struct job j;
	cleanup_fd int record = -1;
	if (s->events) {
		record = open(s->events, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (record < 0) {
			err_sys(&e, EXIT_USAGE, "open %s", text_safe(s->events));
			return cmd_fail(&e, EXIT_USAGE);
		}
	}
	catch_signals();
	if (job_start(&j, &s->o, &e) < 0)
		return cmd_fail(&e, EXIT_CAPTURE);
	stats_init(&s->stats);
	follow(s, &j, record);
	const int code = job_wait(&j);
	clear_bar(s);
	const int ret = report(s, code);
	stats_deinit(&s->stats);
	return ret;
}

int cmd_save(int argc, char **argv)
{
	struct save s = {.o = {.engine = "auto", .max_buffer = CAPTURE_MAX_BUFFER,
		.stop_timeout_ms = CAPTURE_STOP_TIMEOUT_MS}};
	int opt, ret;
	opterr = 0;
	optind = 1;
	while ((opt = getopt_long(argc, argv, "p:o:e:q", options, NULL)) != -1)
		if ((ret = parse_option(&s, opt)) != 0)
			return ret - 1;
	if (optind < argc)
		return cmd_usage("save: what is '%s'? see ckptview save --help", text_safe(argv[optind]));
	if (!s.o.pid)
		return cmd_usage("save: no pid: give -p PID");
	cleanup_free char *path = s.o.path ? NULL : default_path(s.o.pid);
	if (path)
		s.o.path = path;
	s.bar = !s.quiet && isatty(STDERR_FILENO);
	ret = save(&s);
	/* As if we had not caught it: the shell must see what ended us. */
	if (interrupted && ret != EXIT_DONE) {
		fflush(NULL);
		signal(interrupted, SIG_DFL);
		raise(interrupted);
	}
	return ret;
}
