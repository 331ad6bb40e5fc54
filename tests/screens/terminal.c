/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pty with a program at one end and libvterm at the other. */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define DEADLINE_MS 10000

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void set_environment(const char *const env[])
{
	for (; env && *env; env++) {
		if (strchr(*env, '='))
			putenv(strdup(*env));
		else
			unsetenv(*env);
	}
}

void terminal_start(
	struct terminal *t, int rows, int cols, char *const argv[], const char *const env[])
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

	*t = (struct terminal){.rows = rows, .cols = cols};
	t->vt = vterm_new(rows, cols);
	vterm_set_utf8(t->vt, 1);
	t->screen = vterm_obtain_screen(t->vt);
	vterm_screen_enable_altscreen(t->screen, 1);
	vterm_screen_reset(t->screen, 1);
	int slave;

	if (openpty(&t->fd, &slave, NULL, NULL, &size) != 0)
		abort();
	tcgetattr(t->fd, &t->before); /* before the program can have changed anything */
	t->pid = fork();
	if (t->pid == 0) {
		close(t->fd);
		login_tty(slave);
		unsetenv("NO_COLOR");
		unsetenv("LC_ALL");
		unsetenv("LINES");
		unsetenv("COLUMNS");
		setenv("TERM", "xterm-256color", 1);
		setenv("LC_CTYPE", "C.UTF-8", 1);
		set_environment(env);
		execv(argv[0], argv);
		_exit(127);
	}
	close(slave);
}

/* Reads once, waiting at most timeout_ms: false when nothing came. */
static bool pump(struct terminal *t, int timeout_ms)
{
	struct pollfd p = {.fd = t->fd, .events = POLLIN};
	char bytes[65536];

	if (t->ended || poll(&p, 1, timeout_ms) <= 0)
		return false;
	const ssize_t n = read(t->fd, bytes, sizeof(bytes));

	if (n <= 0) { /* EIO: the other end is closed */
		usleep(1000);
		if (waitpid(t->pid, &t->status, WNOHANG) == t->pid)
			t->ended = true;
		return false;
	}
	vterm_input_write(t->vt, bytes, (size_t)n);
	vterm_screen_flush_damage(t->screen);
	char answer[1024];
	const size_t len = vterm_output_read(t->vt, answer, sizeof(answer));

	if (len && write(t->fd, answer, len) < 0)
		return false;
	return true;
}

void terminal_settle(struct terminal *t, int quiet_ms)
{
	const long deadline = now_ms() + DEADLINE_MS;

	while (!t->ended && now_ms() < deadline && pump(t, quiet_ms))
		;
}

bool terminal_wait(struct terminal *t, const char *text, bool shown)
{
	const long deadline = now_ms() + DEADLINE_MS;

	while ((terminal_find(t, text) >= 0) != shown) {
		if (t->ended || now_ms() > deadline)
			return false;
		pump(t, 20);
	}
	return true;
}

static size_t put_utf8(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	out[0] = (char)(0xe0 | c >> 12);
	out[1] = (char)(0x80 | (c >> 6 & 0x3f));
	out[2] = (char)(0x80 | (c & 0x3f));
	return 3;
}

VTermScreenCell terminal_cell(const struct terminal *t, int row, int col)
{
	VTermScreenCell cell;

	memset(&cell, 0, sizeof(cell));
	vterm_screen_get_cell(t->screen, (VTermPos){.row = row, .col = col}, &cell);
	return cell;
}

const char *terminal_row(const struct terminal *t, int row, char *out, size_t cap)
{
	size_t len = 0;

	for (int col = 0; col < t->cols && len + 4 < cap; col++) {
		const uint32_t c = terminal_cell(t, row, col).chars[0];

		if (c != (uint32_t)-1)
			len += put_utf8(out + len, c ? c : ' ');
	}
	while (len && out[len - 1] == ' ')
		len--;
	out[len] = 0;
	return out;
}

int terminal_find(const struct terminal *t, const char *text)
{
	char line[2048];

	for (int row = 0; row < t->rows; row++)
		if (strstr(terminal_row(t, row, line, sizeof(line)), text))
			return row;
	return -1;
}

const char *terminal_dump(const struct terminal *t)
{
	static char all[65536];
	char line[2048];
	size_t len = (size_t)snprintf(
		all, sizeof(all), "the screen (%s):\n", t->ended ? "ended" : "running");

	for (int row = 0; row < t->rows && len < sizeof(all) - sizeof(line); row++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s\n",
			terminal_row(t, row, line, sizeof(line)));
	return all;
}

void terminal_type(struct terminal *t, const char *keys)
{
	if (write(t->fd, keys, strlen(keys)) < 0)
		t->ended = t->ended || errno == EIO;
}

void terminal_resize(struct terminal *t, int rows, int cols)
{
	const struct winsize size = {
		.ws_row = (unsigned short)rows, .ws_col = (unsigned short)cols};

	t->rows = rows;
	t->cols = cols;
	vterm_set_size(t->vt, rows, cols);
	vterm_screen_flush_damage(t->screen);
	ioctl(t->fd, TIOCSWINSZ, &size);
}

bool terminal_end(struct terminal *t)
{
	const long deadline = now_ms() + DEADLINE_MS;

	while (!t->ended && now_ms() < deadline) {
		if (!pump(t, 20) && !t->ended && waitpid(t->pid, &t->status, WNOHANG) == t->pid) {
			while (pump(t, 20))
				;
			t->ended = true;
		}
	}
	return t->ended;
}

bool terminal_restored(const struct terminal *t)
{
	struct termios now;

	return tcgetattr(t->fd, &now) == 0 && now.c_lflag == t->before.c_lflag &&
	       now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag;
}

void terminal_close(struct terminal *t)
{
	if (!t->ended) {
		kill(t->pid, SIGKILL);
		waitpid(t->pid, &t->status, 0);
	}
	close(t->fd);
	vterm_free(t->vt);
}
