/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A program with a deadline: a lagoon of 8192 x 8192 cells (256 MiB of live data) over which a light swims and leaves its wake.
 * Sixty times a second its heart must have moved the light; it counts the deadlines it missed and the longest time its heart
 * stood still, and shows both. Drawing is another thread's business: a slow terminal costs no beat.
 *
 *	lagoon [--text FILE]
 *
 * With --text nothing is drawn; on SIGUSR1 the figures since the last SIGUSR1 go to FILE as one line:
 * "beats missed longest_us".
 */
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 8192, HZ = 60, FRAME_NS = 1000000000 / HZ, HISTORY = 240, WAKE = 14 };

struct figures {
	uint64_t beats, missed, longest_ns;
};
static float *water;                    /* SIDE * SIDE: the height of each cell */
static struct figures now, all;
static uint16_t history_us[HISTORY];    /* lateness of the last beats, in 1/16 ms */
static double x = SIDE / 2, y = SIDE / 2, vx = 2.1, vy = 1.3;
static volatile sig_atomic_t wanted, quit;
static const char *text_path;

static uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static float *cell(int cx, int cy)
{
	return &water[(size_t)(cy & (SIDE - 1)) * SIDE + (size_t)(cx & (SIDE - 1))];
}

/* ---- the heart ---- */

/* One beat: the light moves on and stirs the water around it. */
static void move_light(void)
{
	x += vx;
	y += vy;
	vx += 0.02 * sin(y / 37.0);
	vy += 0.02 * cos(x / 29.0);
	const double speed = sqrt(vx * vx + vy * vy);
	if (speed > 4) {
		vx *= 4 / speed;
		vy *= 4 / speed;
	}
	for (int dy = -WAKE / 2; dy <= WAKE / 2; dy++)
		for (int dx = -WAKE / 2; dx <= WAKE / 2; dx++) {
			const float push = expf((float)-(dx * dx + dy * dy) / 12.0f);
			float *c = cell((int)x + dx, (int)y + dy);
			*c = *c * 0.97f + push * 3.0f;
		}
}

static void note_figures(struct figures *f, uint64_t late, uint64_t skipped)
{
	f->beats++;
	f->missed += skipped;
	if (late > f->longest_ns)
		f->longest_ns = late;
}

static void write_figures(void)
{
	char line[100];
	const int n = snprintf(line, sizeof(line), "%lu %lu %lu\n", now.beats, now.missed, now.longest_ns / 1000);
	const int fd = open(text_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0 && write(fd, line, (size_t)n) != n)
		quit = 1;
	close(fd);
	now = (struct figures){0};
}

static void sleep_until(uint64_t ns)
{
	const struct timespec ts = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void *heart(void *arg)
{
	uint64_t due = clock_ns() + FRAME_NS;
	while (!quit) {
		sleep_until(due);
		move_light();
		const uint64_t done = clock_ns(), late = done > due ? done - due : 0, skipped = late / FRAME_NS;
		note_figures(&now, late, skipped);
		note_figures(&all, late, skipped);
		history_us[all.beats % HISTORY] = (uint16_t)(late / 62500 > 65535 ? 65535 : late / 62500);
		due += (1 + skipped) * FRAME_NS;
		if (wanted) {
			wanted = 0;
			write_figures();
		}
	}
	return arg;
}

/* ---- the picture ---- */

struct screen {
	char *out;
	size_t len, cap;
	int rows, cols;
	int fg, bg;
};

static void put(struct screen *s, const char *text)
{
	const size_t n = strlen(text);
	if (s->len + n < s->cap) {
		memcpy(s->out + s->len, text, n);
		s->len += n;
	}
}

static int color_of(int cx, int cy, double t)
{
	static const uint8_t sea[] = {17, 18, 19, 20, 26, 32, 38, 44, 50, 87, 123, 159, 195, 230, 229, 228, 227, 226, 220, 214};
	double v = 3.2 + 1.4 * sin(cx / 9.0 + t) + 1.2 * sin(cy / 7.0 - t * 0.7) + sin((cx + cy) / 13.0 + t * 0.4) + *cell(cx, cy);
	const int n = (int)sizeof(sea);
	const int i = v < 0 ? 0 : v >= n ? n - 1 : (int)v;
	return sea[i];
}

static void put_cell(struct screen *s, int top, int bottom)
{
	char code[40];
	if (top != s->fg || bottom != s->bg) {
		snprintf(code, sizeof(code), "\033[38;5;%d;48;5;%dm", top, bottom);
		put(s, code);
		s->fg = top;
		s->bg = bottom;
	}
	put(s, "\342\226\200");         /* upper half block: two cells in one */
}

static void put_history(struct screen *s)
{
	static const char *const bar[] = {"\342\226\201", "\342\226\202", "\342\226\203", "\342\226\204", "\342\226\205",
		"\342\226\206", "\342\226\207", "\342\226\210"};
	const int n = s->cols - 26 < HISTORY ? s->cols - 26 : HISTORY;
	for (int i = n; i > 0; i--) {
		const uint64_t beat = all.beats + HISTORY - (uint64_t)i + 1;
		const unsigned late = history_us[beat % HISTORY];
		unsigned h = 0;
		while (h < 7 && late >> (h + 2))
			h++;
		put(s, late >= 16 * 1000 / HZ ? "\033[31m" : "\033[32m");
		put(s, bar[h]);
	}
	put(s, "\033[0m");
}

static void draw(struct screen *s)
{
	char line[200];
	const double t = (double)all.beats / HZ;
	const int high = s->rows - 3;
	s->len = 0;
	s->fg = s->bg = -1;
	put(s, "\033[?25l\033[H");
	for (int r = 0; r < high; r++) {
		for (int c = 0; c < s->cols; c++) {
			const int cx = (int)x - s->cols / 2 + c, cy = (int)y - high + 2 * r;
			put_cell(s, color_of(cx, cy, t), color_of(cx, cy + 1, t));
		}
		put(s, "\033[0m\033[K\r\n");
		s->fg = s->bg = -1;
	}
	snprintf(line, sizeof(line), "\033[1mlongest stillness %.1f ms   missed deadlines %lu\033[0m of %lu   (pid %d)\033[K\r\n",
		(double)now.longest_ns / 1e6, now.missed, now.beats, getpid());
	put(s, line);
	put(s, "lateness of each beat: ");
	put_history(s);
	put(s, "\033[K\r\n");
	put(s, "arrows: steer   r: forget the figures   K: die (SIGKILL)   q: quit\033[K\033[J");
	for (size_t done = 0; done < s->len;) {
		const ssize_t n = write(STDOUT_FILENO, s->out + done, s->len - done);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

/* ---- the terminal ---- */

static struct termios found;

static void leave(void)
{
	tcsetattr(STDIN_FILENO, TCSANOW, &found);
	fputs("\033[0m\033[?25h\r\n", stdout);
	fflush(stdout);
}

/* Also after a restore: the terminal may be another one, or the shell has put it back. */
static void take_terminal(struct screen *s)
{
	struct winsize ws = {0};
	struct termios t;
	if (!tcgetattr(STDIN_FILENO, &t) && (t.c_lflag & (ICANON | ECHO))) {
		t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &t);
	}
	ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws);
	s->rows = ws.ws_row > 5 ? ws.ws_row : 24;
	s->cols = ws.ws_col > 30 ? ws.ws_col : 80;
	const size_t want = (size_t)s->rows * (size_t)s->cols * 32 + 4096;
	if (want > s->cap) {
		s->out = realloc(s->out, want);
		s->cap = s->out ? want : 0;
	}
}

static void on_key(const char *k, ssize_t n)
{
	if (n >= 3 && k[0] == '\033' && k[1] == '[') {
		vx += k[2] == 'C' ? 1.5 : k[2] == 'D' ? -1.5 : 0;
		vy += k[2] == 'B' ? 1.5 : k[2] == 'A' ? -1.5 : 0;
	} else if (k[0] == 'r') {
		now = (struct figures){0};
	} else if (k[0] == 'K') {
		leave();
		kill(getpid(), SIGKILL);
	} else if (k[0] == 'q') {
		quit = 1;
	}
}

static void on_signal(int sig)
{
	if (sig == SIGUSR1)
		wanted = 1;
	else
		quit = 1;
}

static void run_screen(void)
{
	struct screen s = {0};
	tcgetattr(STDIN_FILENO, &found);
	for (unsigned frame = 0; !quit; frame++) {
		struct pollfd f = {STDIN_FILENO, POLLIN, 0};
		char keys[16];
		if (frame % 10 == 0)
			take_terminal(&s);
		draw(&s);
		if (poll(&f, 1, 40) > 0) {
			const ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
			if (n > 0)
				on_key(keys, n);
			else
				quit = n == 0;
		}
	}
	free(s.out);
	leave();
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t t;
	if (argc == 3 && !strcmp(argv[1], "--text"))
		text_path = argv[2];
	else if (argc != 1) {
		fprintf(stderr, "usage: lagoon [--text FILE]\n");
		return 2;
	}
	const size_t len = (size_t)SIDE * SIDE * sizeof(*water);
	water = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (water == MAP_FAILED) {
		perror("lagoon: 256 MiB");
		return 1;
	}
	for (size_t i = 0; i < (size_t)SIDE * SIDE; i++)
		water[i] = (float)((i * 2654435761u >> 16) & 255) / 400.0f;
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	if (pthread_create(&t, NULL, heart, NULL))
		return 1;
	if (!text_path)
		run_screen();
	pthread_join(t, NULL);
	return 0;
}
