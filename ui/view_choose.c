/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The processes of this machine, to choose one. Kernel threads and ourselves cannot be traced and
 * are left out. */
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "ui/app.h"

#define REFRESH_NS (3 * NS_PER_S)

struct entry {
	int pid;
	uid_t uid;
	char state;
	int threads;
	uint64_t rss;
	char comm[64];
	char args[256]; /* escaped */
};
struct user {
	uid_t uid;
	char name[16];
};
enum sort { SORT_RSS, SORT_PID, SORT_NAME, SORTS };

struct choose_view {
	struct view v;
	struct list list;
	struct entry *entries;
	size_t nentries;
	struct user *users; /* names already looked up */
	size_t nusers;
	enum sort sort;
	uint64_t read_ns;
};

/* ---- reading /proc ---- */

static const char *user_name(struct choose_view *cv, uid_t uid)
{
	for (size_t i = 0; i < cv->nusers; i++)
		if (cv->users[i].uid == uid)
			return cv->users[i].name;
	const struct passwd *const pw = getpwuid(uid);
	struct user *const u = array_push(&cv->users, &cv->nusers);

	u->uid = uid;
	if (pw)
		snprintf(u->name, sizeof(u->name), "%s", pw->pw_name);
	else
		snprintf(u->name, sizeof(u->name), "%u", uid);
	return u->name;
}

static void read_args(int dirfd, const char *pid, struct entry *e)
{
	cleanup_buf struct buf b = {0};
	char path[64];

	snprintf(path, sizeof(path), "%.20s/cmdline", pid);
	if (file_read(dirfd, path, &b) < 0)
		return;
	b.len = MIN(b.len, 200);
	while (b.len && !b.data[b.len - 1])
		b.len--;
	for (size_t i = 0; i < b.len; i++)
		if (!b.data[i])
			b.data[i] = ' ';
	text_escape(e->args, sizeof(e->args), b.data ? (char *)b.data : "", b.len);
}

/* False: gone, or nothing a checkpoint can be taken of. */
static bool read_entry(int dirfd, const char *pid, struct entry *e)
{
	cleanup_buf struct buf b = {0};
	char path[64];
	unsigned long vsize = 0;
	long rss = 0;

	snprintf(path, sizeof(path), "%.20s/stat", pid);
	if (file_read(dirfd, path, &b) < 0)
		return false;
	buf_add(&b, "", 1);
	char *const name = strchr((char *)b.data, '('), *const end = strrchr((char *)b.data, ')');

	if (!name || !end || end < name)
		return false;
	text_escape(e->comm, sizeof(e->comm), name + 1, (size_t)(end - name - 1));
	if (sscanf(end + 1,
		    " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d %*d "
		    "%*u %lu %ld",
		    &e->state, &e->threads, &vsize, &rss) != 4 ||
		!vsize)
		return false;
	struct stat st;

	e->pid = atoi(pid);
	e->rss = (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE);
	e->uid = fstatat(dirfd, pid, &st, 0) == 0 ? st.st_uid : 0;
	read_args(dirfd, pid, e);
	return e->pid != getpid();
}

static int by_rss(const void *a, const void *b)
{
	const struct entry *const x = a, *const y = b;

	return (x->rss < y->rss) - (x->rss > y->rss);
}

static int by_pid(const void *a, const void *b)
{
	const struct entry *const x = a, *const y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

static int by_name(const void *a, const void *b)
{
	const int order = strcmp(((const struct entry *)a)->comm, ((const struct entry *)b)->comm);

	return order ? order : by_pid(a, b);
}

static void sort_entries(struct choose_view *cv)
{
	static int (*const orders[SORTS])(const void *, const void *) = {by_rss, by_pid, by_name};

	if (cv->nentries)
		qsort(cv->entries, cv->nentries, sizeof(*cv->entries), orders[cv->sort]);
}

/* The cursor stays on its process wherever sorting puts it. */
static void select_pid(struct choose_view *cv, int pid)
{
	for (size_t i = 0; i < cv->nentries; i++)
		if (cv->entries[i].pid == pid)
			cv->list.sel = i;
}

static int selected_pid(const struct choose_view *cv)
{
	return cv->list.sel < cv->nentries ? cv->entries[cv->list.sel].pid : 0;
}

static void read_all(struct choose_view *cv, uint64_t now)
{
	const int pid = selected_pid(cv);
	DIR *const dir = opendir("/proc");
	struct entry e;

	cv->read_ns = now;
	cv->nentries = 0;
	free(cv->entries);
	cv->entries = NULL;
	if (!dir)
		return;
	for (const struct dirent *d; (d = readdir(dir));) {
		e = (struct entry){0};
		if (d->d_name[0] >= '0' && d->d_name[0] <= '9' &&
			read_entry(dirfd(dir), d->d_name, &e)) {
			user_name(cv, e.uid);
			*array_push(&cv->entries, &cv->nentries) = e;
		}
	}
	closedir(dir);
	sort_entries(cv);
	if (pid)
		select_pid(cv, pid);
}

/* ---- the view ---- */

static void row(const void *ctx, size_t i, int width, struct buf *out)
{
	const struct choose_view *const cv = ctx;
	const struct entry *const e = &cv->entries[i];
	const char *user = "";
	char rss[32];

	(void)width;
	for (size_t k = 0; k < cv->nusers; k++)
		if (cv->users[k].uid == e->uid)
			user = cv->users[k].name;
	buf_printf(out, "%7d ", e->pid);
	text_cell(out, 9, user);
	buf_printf(out, " %s%c" M_NORMAL " %4d %9s ", e->state == 'R' ? M_GOOD : "", e->state,
		e->threads, text_size(rss, sizeof(rss), e->rss));
	text_cell(out, 15, e->comm);
	buf_printf(out, " %s", e->args);
}

static void layout(struct app *app, struct view *v, int rows, int cols)
{
	struct choose_view *const cv = (struct choose_view *)v;

	(void)app;
	(void)cols;
	list_layout(&cv->list, cv->nentries, 2, rows - 2);
}

static void draw(const struct app *app, const struct view *v, int rows, int cols)
{
	static const char *const sorts[SORTS] = {"memory", "pid", "name"};
	const struct choose_view *const cv = (const struct choose_view *)v;
	char title[128], head[128];

	(void)rows;
	snprintf(title, sizeof(title), M_TITLE " ckptview: choose a process  (%zu, by %s)",
		cv->nentries, sorts[cv->sort]);
	snprintf(head, sizeof(head), M_HEAD " %7s %-9s S %4s %9s %-15s %s", "PID", "USER", "THR",
		"RESIDENT", "NAME", "COMMAND");
	term_line(&app->tty, 0, 0, cols, title, false, 0);
	term_line(&app->tty, 1, 0, cols, head, false, cv->list.skip);
	list_draw(app, &cv->list, 2, 0, cols, true);
}

static bool request(struct app *app, struct view *v, enum request req)
{
	struct choose_view *const cv = (struct choose_view *)v;
	const int pid = selected_pid(cv);
	struct err e = {0};

	if (req == REQ_SORT) {
		cv->sort = (cv->sort + 1) % SORTS;
		sort_entries(cv);
		select_pid(cv, pid);
		return true;
	}
	if (req != REQ_OPEN || !pid)
		return false;
	cleanup_free char *name = xasprintf("pid:%d", pid);
	struct source *const src = app->host->open(name, &e);

	if (src)
		app_push(app, view_process_new(app, src));
	else
		app_message(app, "%s", e.text);
	return true;
}

/* Only while it is the view one sees. */
static bool tick(struct app *app, struct view *v)
{
	struct choose_view *const cv = (struct choose_view *)v;

	if (app->views[app->nviews - 1] != v || app->now_ns - cv->read_ns < REFRESH_NS)
		return false;
	read_all(cv, app->now_ns);
	return true;
}

static struct list *list(struct view *v)
{
	return &((struct choose_view *)v)->list;
}

static unsigned ctx(const struct view *v)
{
	(void)v;
	return CTX_CHOOSE;
}

static void close_view(struct view *v)
{
	struct choose_view *const cv = (struct choose_view *)v;

	free(cv->entries);
	free(cv->users);
	free(cv);
}

static const struct view_ops ops = {
	.name = "choose",
	.ctx = ctx,
	.layout = layout,
	.draw = draw,
	.request = request,
	.tick = tick,
	.list = list,
	.close = close_view,
};

struct view *view_choose_new(struct app *app)
{
	struct choose_view *const cv = xcalloc(1, sizeof(*cv));

	cv->v.ops = &ops;
	cv->list = (struct list){.row = row, .ctx = cv};
	read_all(cv, app->now_ns);
	return &cv->v;
}
