/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The real program in a terminal that we can read: what its screens say at several sizes, without
 * colour, without UTF-8, what keys do, and that the terminal is given back whatever happens.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/proc.h"
#include "report/event.h"
#include "terminal.h"

#define MIB (1ull << 20)

static char dir[] = "/tmp/ckptview-screens-XXXXXX";
static char events[128];
static struct terminal t;
static pid_t victim;

/* ---- a recording ---- */

static uint64_t clock_ns;

static void put(struct event_out *out, struct event ev, uint64_t after_ns)
{
	ev.t_ns = clock_ns += after_ns;
	event_put(out, ev);
}

static void put_window(struct event_out *out)
{
	for (uint64_t at = 0; at < 64 * MIB; at += MIB / 4) {
		put(out,
			(struct event){.type = EV_COPY,
				.addr = 0x10000000 + at,
				.len = MIB / 4,
				.a = COPY_BACKGROUND},
			1000000);
		put(out,
			(struct event){.type = EV_RELEASE, .addr = 0x10000000 + at, .len = MIB / 4},
			0);
		if (at % MIB == 0)
			put(out,
				(struct event){.type = EV_STALL,
					.tid = 4711,
					.addr = 0x10000000 + at,
					.a = 20000 + at / 4096},
				100000);
	}
}

/* A checkpoint of 256 ms, of a process with a mapping whose name would clear the screen. */
static void write_recording(const char *path)
{
	struct event_out out = {.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600)};

	ck_assert_int_ge(out.fd, 0);
	clock_ns = 5000000000;
	event_put_header(&out);
	put(&out, (struct event){.type = EV_BEGIN, .a = 4711, .text = "segv"}, 0);
	put(&out,
		(struct event){.type = EV_MAPPING,
			.addr = 0x10000000,
			.len = 64 * MIB,
			.a = 64 * MIB,
			.b = VMA_HEAP << 8 | 3,
			.text = "[heap]"},
		0);
	put(&out,
		(struct event){.type = EV_MAPPING,
			.addr = 0x20000000,
			.len = MIB,
			.a = 4096,
			.b = VMA_FILE << 8 | 5,
			.text = "\033[2J\xc2\x9b"
				"evil"},
		0);
	put(&out, (struct event){.type = EV_ARM, .addr = 0x10000000, .len = 64 * MIB}, 1000);
	put(&out, (struct event){.type = EV_STOP_BEGIN}, 1000000);
	put(&out,
		(struct event){.type = EV_COPY, .addr = 0x20000000, .len = 4096, .a = COPY_STOPPED},
		50000);
	put(&out, (struct event){.type = EV_STOP_END, .a = 83000, .b = 4}, 33000);
	put_window(&out);
	put(&out, (struct event){.type = EV_WINDOW_END, .a = 262500000}, 0);
	put(&out, (struct event){.type = EV_END, .b = clock_ns - 5000000000, .len = 65 * MIB},
		1000000);
	close(out.fd);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(events, sizeof(events), "%s/events", dir);
	write_recording(events);
	signal(SIGPIPE, SIG_IGN);
}

static void teardown(void)
{
	char command[256];

	if (t.vt)
		terminal_close(&t);
	if (victim > 0) {
		kill(victim, SIGKILL);
		waitpid(victim, NULL, 0);
	}
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

/* ---- starting, looking ---- */

static char *program(void)
{
	static char path[512];
	const char *given = getenv("CKPTVIEW");

	snprintf(path, sizeof(path), "%s", given ? given : "build/ckptview");
	return path;
}

static void start(int rows, int cols, const char *const env[], char *a, char *b, char *c)
{
	char *const argv[] = {program(), a, b, c, NULL};

	terminal_start(&t, rows, cols, argv, env);
}

/* The recording, shown to its end. */
static void replay_to_end(int rows, int cols, const char *const env[])
{
	start(rows, cols, env, (char[]){"replay"}, events, NULL);
	ck_assert_msg(terminal_wait(&t, "4711", true), "%s", terminal_dump(&t));
	terminal_type(&t, "\r");
	ck_assert_msg(terminal_wait(&t, "done in", true), "%s", terminal_dump(&t));
}

static void must_show(const char *text)
{
	ck_assert_msg(
		terminal_wait(&t, text, true), "\"%s\" is missing; %s", text, terminal_dump(&t));
}

static void must_not_show(const char *text)
{
	ck_assert_msg(
		terminal_wait(&t, text, false), "\"%s\" is there; %s", text, terminal_dump(&t));
}

static void must_end(int code)
{
	ck_assert_msg(terminal_end(&t), "it goes on; %s", terminal_dump(&t));
	ck_assert_msg(WIFEXITED(t.status) && WEXITSTATUS(t.status) == code,
		"status %x, not exit %d; %s", t.status, code, terminal_dump(&t));
}

/* ---- sizes ---- */

START_TEST(everything_fits_80x24)
{
	static const char *const parts[] = {"ckptview: replay of a checkpoint of 4711  segv  done",
		"83 us", "stalls       64", "disturbance", "window       262 ms", "plain stop",
		"STOPPED TIME", "[heap]", "Quit"};

	replay_to_end(24, 80, NULL);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		must_show(parts[i]);
	ck_assert_int_eq(terminal_find(&t, "Quit"), 23);
}
END_TEST

START_TEST(pictures_stand_side_by_side_at_120x40)
{
	replay_to_end(40, 120, NULL);
	must_show("STOPPED TIME");
	must_show("STALLS");
	ck_assert_int_eq(terminal_find(&t, "STOPPED TIME"), terminal_find(&t, "STALLS"));
}
END_TEST

START_TEST(figures_are_whole_at_40x10)
{
	replay_to_end(10, 40, NULL);
	must_show("stop 83 us  window 262 ms");
	must_show("stalls 64");
	must_show("[heap]");
	must_show("Help");
	terminal_type(&t, "3");
	must_show("STOPPED TIME");
}
END_TEST

START_TEST(a_tiny_terminal_is_told_what_is_needed)
{
	start(6, 30, NULL, (char[]){"replay"}, events, NULL);
	must_show("needs 40x10, is 30x6");
	terminal_resize(&t, 24, 80);
	must_show("4711");
	terminal_type(&t, "q");
	must_end(0);
}
END_TEST

START_TEST(random_sizes_and_keys_do_no_harm)
{
	static const char keys[] = "jkgG\t1234/n?\f +-rw\033\025\004h";
	unsigned seed = 7;

	start(24, 80, NULL, (char[]){"replay"}, events, NULL);
	must_show("4711");
	for (int i = 0; i < 150; i++) {
		const char key[2] = {keys[(unsigned)rand_r(&seed) % (sizeof(keys) - 1)], 0};

		if (i % 3 == 0)
			terminal_resize(&t, 1 + rand_r(&seed) % 60, 1 + rand_r(&seed) % 200);
		terminal_type(&t, key);
		terminal_settle(&t, 3);
		ck_assert_msg(
			!t.ended, "ended at %d with status %x; %s", i, t.status, terminal_dump(&t));
	}
	terminal_resize(&t, 24, 80);
	for (int i = 0; i < 20 && !t.ended; i++) {
		terminal_type(&t, "\033");
		terminal_settle(&t, 60);
		terminal_type(&t, "Q");
		terminal_settle(&t, 60);
	}
	must_end(0);
	ck_assert(terminal_restored(&t));
}
END_TEST

/* ---- kinds of terminals ---- */

static bool only_ascii(void)
{
	for (int row = 0; row < t.rows; row++)
		for (int col = 0; col < t.cols; col++)
			if (terminal_cell(&t, row, col).chars[0] >= 0x7f)
				return false;
	return true;
}

static bool has_color(VTermScreenCell cell)
{
	return !VTERM_COLOR_IS_DEFAULT_FG(&cell.fg);
}

static bool any_color(void)
{
	for (int row = 0; row < t.rows; row++)
		for (int col = 0; col < t.cols; col++)
			if (has_color(terminal_cell(&t, row, col)))
				return true;
	return false;
}

START_TEST(dots_and_colours_by_default)
{
	replay_to_end(24, 80, NULL);
	must_show("STOPPED TIME");
	ck_assert(!only_ascii());
	ck_assert(any_color());
}
END_TEST

START_TEST(c_locale_gets_ascii)
{
	static const char *const env[] = {"LC_CTYPE=C", NULL};

	replay_to_end(24, 80, env);
	must_show("####");
	ck_assert_msg(only_ascii(), "%s", terminal_dump(&t));
}
END_TEST

START_TEST(ascii_option_gets_ascii)
{
	start(24, 80, NULL, (char[]){"--ascii"}, (char[]){"replay"}, events);
	must_show("####");
	ck_assert_msg(only_ascii(), "%s", terminal_dump(&t));
}
END_TEST

START_TEST(no_color_is_obeyed)
{
	static const char *const env[] = {"NO_COLOR=1", NULL};

	replay_to_end(24, 80, env);
	must_show("STOPPED TIME");
	ck_assert(!any_color());
}
END_TEST

START_TEST(vt100_is_enough)
{
	static const char *const env[] = {"TERM=vt100", "LC_CTYPE=C", NULL};

	replay_to_end(24, 80, env);
	must_show("plain stop");
	ck_assert(!any_color());
	ck_assert(only_ascii());
}
END_TEST

START_TEST(a_dumb_terminal_is_refused)
{
	static const char *const env[] = {"TERM=dumb", NULL};

	start(24, 80, env, (char[]){"-p"}, (char[]){"1"}, NULL);
	must_end(2);
	must_show("save -p 1");
}
END_TEST

START_TEST(an_unknown_terminal_is_refused)
{
	static const char *const env[] = {"TERM=no-such-thing", NULL};

	start(24, 80, env, (char[]){"-p"}, (char[]){"1"}, NULL);
	must_end(2);
	must_show("save -p 1");
}
END_TEST

/* Its standard output in out, its exit status returned. */
static int run_piped(const char *args, char *out, size_t cap)
{
	char command[1024];

	snprintf(command, sizeof(command), "%s %s 2>&1 </dev/null", program(), args);
	FILE *const f = popen(command, "r");
	const size_t n = fread(out, 1, cap - 1, f);

	out[n] = 0;
	const int status = pclose(f);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

START_TEST(without_a_terminal_replay_prints)
{
	char args[256], out[16384];

	snprintf(args, sizeof(args), "replay '%s'", events);
	ck_assert_int_eq(run_piped(args, out, sizeof(out)), 0);
	ck_assert_ptr_nonnull(strstr(out, "stop         83 us"));
	ck_assert_ptr_nonnull(strstr(out, "stalls       64"));
	ck_assert_ptr_nonnull(strstr(out, "\\x1b[2J"));
	ck_assert_ptr_null(strchr(out, '\033'));
}
END_TEST

START_TEST(without_a_terminal_screens_are_refused)
{
	char out[4096];

	ck_assert_int_eq(run_piped("-p 1", out, sizeof(out)), 2);
	ck_assert_ptr_nonnull(strstr(out, "ckptview save -p 1"));
	ck_assert_int_eq(run_piped("", out, sizeof(out)), 2);
	ck_assert_int_eq(run_piped("pid:1", out, sizeof(out)), 2);
	ck_assert_ptr_nonnull(strstr(out, "ckptview show pid:1"));
}
END_TEST

START_TEST(wrong_words_are_usage)
{
	static const char *const wrong[] = {"nosuchthing", "--nosuch", "replay", "-p", "-p x",
		"-p 1 more", "--color=blue", "replay a b", "replay --speed 0 x"};
	char out[4096];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert_msg(run_piped(wrong[i], out, sizeof(out)) == 2, "%s: %s", wrong[i], out);
		ck_assert_msg(strchr(out, '\n') == strrchr(out, '\n'), "%s: more than a line: %s",
			wrong[i], out);
	}
}
END_TEST

START_TEST(what_is_no_recording_is_refused)
{
	char out[4096];

	ck_assert_int_eq(run_piped("replay /dev/null", out, sizeof(out)), 5);
	ck_assert_int_eq(run_piped("replay /no/such/file", out, sizeof(out)), 2);
}
END_TEST

/* ---- keys ---- */

START_TEST(help_opens_and_closes)
{
	replay_to_end(24, 80, NULL);
	terminal_type(&t, "?");
	must_show("Keys of this screen");
	terminal_type(&t, "/Words\r");
	must_show(">Words");
	terminal_type(&t, "q");
	must_show("STOPPED TIME");
	terminal_type(&t, "q");
	must_end(0);
	must_not_show("STOPPED TIME");
	ck_assert(terminal_restored(&t));
}
END_TEST

START_TEST(digits_choose_panels)
{
	replay_to_end(24, 80, NULL);
	terminal_type(&t, "2");
	must_not_show("STOPPED TIME");
	terminal_type(&t, "4");
	must_show("STALLS");
	must_not_show("[heap]");
	terminal_type(&t, "\t");
	must_show("STOPPED TIME");
}
END_TEST

START_TEST(a_replay_pauses_and_starts_again)
{
	char speed[] = "--speed=0.1";

	start(24, 80, NULL, (char[]){"replay"}, speed, events);
	must_show("running");
	terminal_type(&t, " ");
	must_show("(paused)");
	terminal_type(&t, "\r");
	must_show("done in");
	terminal_type(&t, "r");
	must_show("running");
}
END_TEST

START_TEST(search_finds_a_mapping)
{
	replay_to_end(24, 80, NULL);
	must_show(">000010000000");
	terminal_type(&t, "/evil\r");
	must_show(">000020000000");
	terminal_type(&t, "/nothing-like-that\r");
	must_show("not found");
}
END_TEST

START_TEST(writing_makes_a_file_once)
{
	char keys[256], path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/out.txt", dir);
	snprintf(keys, sizeof(keys), "w%s\r", path);
	replay_to_end(24, 80, NULL);
	terminal_type(&t, keys);
	must_show("written:");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_gt(st.st_size, 200);
	terminal_type(&t, keys);
	must_show("exists");
}
END_TEST

START_TEST(hostile_names_stay_text)
{
	replay_to_end(24, 80, NULL);
	must_show("\\x1b[2J");
	must_show("plain stop");
}
END_TEST

/* Under a shell with job control: a process group without one is never stopped by C-z. */
START_TEST(suspended_it_gives_the_terminal_back)
{
	char script[1024];
	char *const argv[] = {"/bin/sh", "-c", script, NULL};

	snprintf(script, sizeof(script),
		"set -m; %s replay %s;"
		" stty -a | grep -c '[ ]icanon' | sed s/1/modes-back/; read x; fg",
		program(), events);
	terminal_start(&t, 24, 80, argv, NULL);
	must_show("4711");
	terminal_type(&t, "\032");
	must_show("modes-back");
	must_not_show("STOPPED TIME");
	terminal_type(&t, "\n");
	must_show("STOPPED TIME");
	terminal_type(&t, "Q");
	must_end(0);
}
END_TEST

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGSEGV, SIGABRT};

START_TEST(signals_leave_a_clean_terminal)
{
	const int sig = ending[_i];

	replay_to_end(24, 80, NULL);
	kill(t.pid, sig);
	ck_assert_msg(terminal_end(&t), "%s", terminal_dump(&t));
	ck_assert_msg(WIFSIGNALED(t.status) && WTERMSIG(t.status) == sig, "signal %d: status %x",
		sig, t.status);
	ck_assert(terminal_restored(&t));
	must_not_show("STOPPED TIME");
}
END_TEST

/* ---- a live process ---- */

/* A child that sleeps over len bytes of data, under a name that would move the cursor. */
static char *start_big_victim(size_t len)
{
	static char pid[16];

	victim = fork();
	if (victim == 0) {
		prctl(PR_SET_NAME, "vic\033[Htim");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(malloc(len), 1, len);
		for (;;)
			pause();
	}
	usleep(50000);
	snprintf(pid, sizeof(pid), "%d", victim);
	return pid;
}

static char *start_victim(void)
{
	return start_big_victim(4096);
}

START_TEST(a_process_is_shown_until_after_its_end)
{
	start(24, 80, NULL, (char[]){"-p"}, start_victim(), NULL);
	must_show("ckptview: process");
	must_show("vic\\x1b[Htim");
	must_show("1 Threads 1");
	terminal_type(&t, "2");
	must_show("rw-p anon");
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	victim = 0;
	must_show("process has ended");
	must_show("rw-p anon");
	terminal_type(&t, "q");
	must_end(0);
}
END_TEST

START_TEST(threads_and_mappings_stand_side_by_side)
{
	start(40, 130, NULL, (char[]){"-p"}, start_victim(), NULL);
	must_show("TID S");
	ck_assert_int_eq(terminal_find(&t, "TID S"), terminal_find(&t, "PROT"));
}
END_TEST

START_TEST(a_checkpoint_is_taken)
{
	char keys[256];

	start(24, 80, NULL, (char[]){"-p"}, start_victim(), NULL);
	must_show("ckptview: process");
	terminal_type(&t, "c");
	must_show("Enter start");
	terminal_type(&t, "\t");
	must_show("[stop]");
	snprintf(keys, sizeof(keys), "\025%s/v.ckpt\r", dir);
	terminal_type(&t, keys);
	must_show("done in");
	must_show("plain stop   this was one");
	terminal_type(&t, "q5");
	must_show("v.ckpt");
	terminal_type(&t, "Q");
	must_end(0);
	ck_assert_int_eq(kill(victim, 0), 0);
}
END_TEST

static size_t files_in_dir(void)
{
	size_t n = 0;
	DIR *const d = opendir(dir);

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* Cancelled by the key, by quitting, by a signal: no part of a file is left (a whole one where the
 * checkpoint was quicker than we are) and the process runs on. */
START_TEST(a_running_checkpoint_is_cancelled)
{
	char keys[256], path[128];

	snprintf(path, sizeof(path), "%s/v.ckpt", dir);
	start(24, 80, NULL, (char[]){"-p"}, start_big_victim(400 * MIB), NULL);
	must_show("ckptview: process");
	terminal_settle(&t, 500);
	const size_t before = files_in_dir();

	snprintf(keys, sizeof(keys), "c\t\t\025%s\r", path);
	terminal_type(&t, keys);
	must_show("checkpoint of");
	must_show("running");
	if (_i == 0) {
		terminal_type(&t, "x");
		must_not_show("  running  ");
		must_not_show("  cancelling  ");
		terminal_type(&t, "Q");
	} else if (_i == 1) {
		terminal_type(&t, "Q");
	} else {
		kill(t.pid, SIGTERM);
	}
	ck_assert_msg(terminal_end(&t), "%s", terminal_dump(&t));
	ck_assert(terminal_restored(&t));
	ck_assert_uint_eq(files_in_dir(), before + (access(path, F_OK) == 0));
	ck_assert_int_eq(kill(victim, 0), 0);
	ck_assert_int_eq(waitpid(victim, NULL, WNOHANG), 0);
}
END_TEST

START_TEST(the_dialog_can_be_left)
{
	start(24, 80, NULL, (char[]){"-p"}, start_victim(), NULL);
	must_show("ckptview: process");
	terminal_type(&t, "c");
	must_show("Enter start");
	terminal_type(&t, "\033");
	must_not_show("Enter start");
	must_show("ckptview: process");
}
END_TEST

START_TEST(processes_are_listed_and_opened)
{
	char search[64];

	snprintf(search, sizeof(search), "/%s\r", start_victim());
	start(24, 80, NULL, NULL, NULL, NULL);
	must_show("choose a process");
	terminal_type(&t, search);
	terminal_settle(&t, 200);
	terminal_type(&t, "\r");
	must_show("vic\\x1b[Htim");
	terminal_type(&t, "q");
	must_show("choose a process");
}
END_TEST

/* ---- the list of them ---- */

static void add_replay_tests(TCase *c)
{
	tcase_add_test(c, everything_fits_80x24);
	tcase_add_test(c, pictures_stand_side_by_side_at_120x40);
	tcase_add_test(c, figures_are_whole_at_40x10);
	tcase_add_test(c, a_tiny_terminal_is_told_what_is_needed);
	tcase_add_test(c, random_sizes_and_keys_do_no_harm);
	tcase_add_test(c, dots_and_colours_by_default);
	tcase_add_test(c, c_locale_gets_ascii);
	tcase_add_test(c, ascii_option_gets_ascii);
	tcase_add_test(c, no_color_is_obeyed);
	tcase_add_test(c, vt100_is_enough);
	tcase_add_test(c, a_dumb_terminal_is_refused);
	tcase_add_test(c, an_unknown_terminal_is_refused);
	tcase_add_test(c, without_a_terminal_replay_prints);
	tcase_add_test(c, without_a_terminal_screens_are_refused);
	tcase_add_test(c, wrong_words_are_usage);
	tcase_add_test(c, what_is_no_recording_is_refused);
	tcase_add_test(c, help_opens_and_closes);
	tcase_add_test(c, digits_choose_panels);
	tcase_add_test(c, a_replay_pauses_and_starts_again);
	tcase_add_test(c, search_finds_a_mapping);
	tcase_add_test(c, writing_makes_a_file_once);
	tcase_add_test(c, hostile_names_stay_text);
	tcase_add_test(c, suspended_it_gives_the_terminal_back);
	tcase_add_loop_test(
		c, signals_leave_a_clean_terminal, 0, sizeof(ending) / sizeof(ending[0]));
}

static void add_process_tests(TCase *c)
{
	tcase_add_test(c, a_process_is_shown_until_after_its_end);
	tcase_add_test(c, threads_and_mappings_stand_side_by_side);
	tcase_add_test(c, the_dialog_can_be_left);
	tcase_add_test(c, processes_are_listed_and_opened);
	tcase_add_test(c, a_checkpoint_is_taken);
	tcase_add_loop_test(c, a_running_checkpoint_is_cancelled, 0, 3);
}

int main(void)
{
	Suite *const s = suite_create("screens");
	TCase *const c = tcase_create("screens"), *const p = tcase_create("processes");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_checked_fixture(p, setup, teardown);
	tcase_set_timeout(c, 60);
	tcase_set_timeout(p, 60);
	add_replay_tests(c);
	add_process_tests(p);
	suite_add_tcase(s, c);
	suite_add_tcase(s, p);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
