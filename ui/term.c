/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Taking the terminal and giving it back. Ctrl-C and Ctrl-Z arrive as keys (raw mode), because as
 * signals they would reach the tracer too, which shares our process group, in the middle of its
 * work. Deadly signals put the terminal right with calls that are safe in a handler.
 */
#define NCURSES_WIDECHAR 1
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "ui/term.h"
#include <term.h> /* last: it defines macros by everyday names */

static volatile sig_atomic_t got_signal;
/* For the handler of deadly signals: what to write and set, made ready beforehand. */
static struct termios found_tty;
static char reset_text[256];
static size_t reset_len;

static void on_end_signal(int sig)
{
	got_signal = sig;
}

static void on_deadly_signal(int sig)
{
	if (write(STDOUT_FILENO, reset_text, reset_len) < 0)
		(void)0; /* nothing left to try */
	tcsetattr(STDIN_FILENO, TCSANOW, &found_tty);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void add_reset(const char *text)
{
	const size_t len = text && text != (const char *)-1 ? strlen(text) : 0;

	if (!len || reset_len + len > sizeof(reset_text))
		return;
	memcpy(reset_text + reset_len, text, len);
	reset_len += len;
}

static void make_reset_text(bool mouse)
{
	static const char *const caps[] = {"sgr0", "rmkx", "cnorm", "rmcup"};

	reset_len = 0;
	if (mouse)
		add_reset("\033[?1000l");
	for (size_t i = 0; i < ARRAY_LEN(caps); i++) {
		char name[8];

		snprintf(name, sizeof(name), "%s", caps[i]);
		add_reset(tigetstr(name));
	}
	add_reset("\r\n");
}

static void catch_signals(void)
{
	static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	static const int deadly[] = {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL};
	static uint8_t stack[65536];
	const stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction sa = {.sa_handler = on_end_signal};

	sigaltstack(&ss, NULL); /* a stack that overflowed cannot hold the handler's frame */
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &sa, NULL);
	sa = (struct sigaction){
		.sa_handler = on_deadly_signal, .sa_flags = SA_ONSTACK | SA_RESETHAND};
	for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
		sigaction(deadly[i], &sa, NULL);
}

int term_signalled(void)
{
	return got_signal;
}

void term_reraise(int sig)
{
	signal(sig, SIG_DFL);
	raise(sig);
}

void term_suspend(void)
{
	raise(SIGTSTP); /* ncurses' handler gives the terminal back, stops, and takes it again */
	clearok(curscr, TRUE);
}

/* ---- roles ---- */

static void set_roles(struct tty *t, bool color)
{
	static const struct {
		char role;
		short fg;
		unsigned long with, without;
	} roles[] = {
		{M_NORMAL[0], -1, A_NORMAL, A_NORMAL},
		{M_DIM[0], -1, A_DIM, A_NORMAL},
		{M_BOLD[0], -1, A_BOLD, A_BOLD},
		{M_GOOD[0], COLOR_GREEN, A_NORMAL, A_NORMAL},
		{M_WARN[0], COLOR_YELLOW, A_NORMAL, A_BOLD},
		{M_BAD[0], COLOR_RED, A_BOLD, A_BOLD},
		{M_HEAD[0], COLOR_CYAN, A_UNDERLINE, A_UNDERLINE},
		{M_KEY[0], COLOR_CYAN, A_BOLD, A_BOLD},
		{M_STOP[0], COLOR_RED, A_BOLD, A_BOLD},
		{M_STALL[0], COLOR_YELLOW, A_NORMAL, A_NORMAL},
		{M_BAR[0], COLOR_GREEN, A_NORMAL, A_NORMAL},
		{M_TITLE[0], -1, A_REVERSE, A_REVERSE},
	};

	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		const short pair = (short)(i + 1);
		unsigned long attr = color ? roles[i].with : roles[i].without;

		if (color && roles[i].fg >= 0 && init_pair(pair, roles[i].fg, -1) == OK)
			attr |= COLOR_PAIR(pair);
		t->attr[(int)roles[i].role] = attr;
	}
}

static bool start_colors(const struct ui_opts *o)
{
	if (o->color == 0 || !has_colors() || start_color() == ERR)
		return false;
	use_default_colors();
	return true;
}

int term_check(struct err *e)
{
	const char *name = getenv("TERM");
	int ret = 0;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return err_set(e, EXIT_USAGE, "the screen needs a terminal");
	if (!name || !*name)
		return err_set(e, EXIT_USAGE, "the screen needs TERM to name the terminal");
	if (setupterm(NULL, STDOUT_FILENO, &ret) != OK)
		return err_set(e, EXIT_USAGE, "the screen does not know the terminal TERM names");
	const char *const move_cursor = tigetstr((char[]){"cup"});
	const bool can_move = move_cursor && move_cursor != (char *)-1;

	del_curterm(cur_term);
	if (!can_move)
		return err_set(
			e, EXIT_USAGE, "the screen needs a terminal that can place the cursor");
	return 0;
}

int term_open(struct tty *t, const struct ui_opts *o, struct err *e)
{
	const char *name = getenv("TERM");

	*t = (struct tty){0};
	if (tcgetattr(STDIN_FILENO, &found_tty) < 0)
		return err_sys(e, EXIT_USAGE, "terminal");
	t->screen = newterm(NULL, stdout, stdin);
	if (!t->screen)
		return err_set(e, EXIT_USAGE, "the screen cannot use this terminal");
	t->ascii = o->ascii || strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
	t->braille = !t->ascii && strncmp(name, "linux", 5) != 0; /* the console's font has none */
	set_escdelay(25);
	raw();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	curs_set(0);
	set_roles(t, start_colors(o));
	t->mouse = !o->no_mouse &&
		   mousemask(BUTTON1_CLICKED | BUTTON1_PRESSED | BUTTON4_PRESSED | BUTTON5_PRESSED,
			   NULL);
	mouseinterval(0);
	make_reset_text(t->mouse);
	catch_signals();
	term_size(t);
	return 0;
}

void term_close(struct tty *t)
{
	endwin();
	delscreen(t->screen);
	tcsetattr(STDIN_FILENO, TCSANOW, &found_tty);
	t->rows = t->cols = 0;
}

void term_size(struct tty *t)
{
	getmaxyx(stdscr, t->rows, t->cols);
}
