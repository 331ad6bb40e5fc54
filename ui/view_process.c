/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A process, living or in an image: four lines of what it is, and panes of what it is made of. Wide
 * or high terminals show the threads and another pane together, others one pane at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "ui/feed.h"
#include "ui/figures.h"
#include "ui/process.h"

#define REFRESH_SHARE 120
#define HEAD_ROWS 5 /* title, three lines, the panes' names */
#define SIZE(n) text_size((char[32]){0}, 32, (n))

/* ---- what it knows ---- */

static void refresh(struct process_view *pv, uint64_t now)
{
	struct err e = {0};

	if (pv->ended || !pv->src->ops->refresh)
		return;
	if (pv->src->ops->refresh(pv->src, &e) < 0)
		pv->ended = xstrdup(e.text);
	else
		sample_take(&pv->sample, pv->src->proc->pid, now);
	panes_update(pv);
}

/* While a checkpoint runs /proc is left alone: reading it takes locks that are being measured. */
static bool tick(struct app *app, struct view *v)
{
	struct process_view *const pv = (struct process_view *)v;

	if (!pv->live || pv->ended || feed_running(app) || app->now_ns < pv->refresh_at_ns)
		return false;
	refresh(pv, app->now_ns);
	/* A process of very many mappings is looked at less often: under a hundredth of the time.
	 */
	pv->refresh_at_ns = app->now_ns + REFRESH_SHARE * (now_ns() - app->now_ns);
	return true;
}

static uint64_t total(const struct proc *p, uint64_t (*of)(const struct vma *v))
{
	uint64_t sum = 0;

	for (size_t i = 0; i < p->nvmas; i++)
		sum += of(&p->vmas[i]);
	return sum;
}

static uint64_t vma_size(const struct vma *v)
{
	return v->kind == VMA_VSYSCALL ? 0 : v->end - v->start;
}

static uint64_t vma_rss(const struct vma *v)
{
	return v->rss;
}

static uint64_t vma_priv(const struct vma *v)
{
	return v->priv;
}

static uint64_t vma_stored(const struct vma *v)
{
	return v->stored;
}

/* ---- layout ---- */

static void layout_panes(struct process_view *pv, int rows, int cols)
{
	const int top = HEAD_ROWS, left = rows - HEAD_ROWS;

	pv->split_x = cols >= 120 ? 54 : 0;
	pv->split_y = !pv->split_x && left >= 26 ? top + left / 3 : 0;
	pv->two = pv->split_x || pv->split_y;
	if (pv->focus != PANE_THREADS)
		pv->beside = pv->focus;
	for (int i = 0; i < NPANES; i++) {
		int y = top + 1, height = left - 1;

		if (pv->split_y && i == PANE_THREADS)
			height = pv->split_y - top - 1;
		else if (pv->split_y) {
			y = pv->split_y + 1;
			height = rows - pv->split_y - 1;
		}
		list_layout(&pv->lists[i], pane_of(pv, i)->count(pv), y, height);
	}
}

static void layout(struct app *app, struct view *v, int rows, int cols)
{
	(void)app;
	layout_panes((struct process_view *)v, rows, cols);
}

/* ---- drawing ---- */

static void add_cmdline(const struct proc *p, struct buf *b)
{
	char args[1024], safe[2048];
	const size_t len = MIN(p->cmdline.len, sizeof(args));

	for (size_t i = 0; i < len; i++)
		args[i] = p->cmdline.data[i] ? (char)p->cmdline.data[i] : ' ';
	buf_add_str(b, len ? text_escape(safe, sizeof(safe), args, len) : text_safe(p->exe));
}

static void line_title(const struct process_view *pv, struct buf *b)
{
	const struct proc *const p = pv->src->proc;

	buf_printf(b, M_TITLE " ckptview: %s %d (%s)", pv->live ? "process" : pv->src->ops->kind,
		p->pid, text_safe(p->comm));
	if (!pv->live)
		buf_printf(b, "  %s", text_safe(pv->src->name));
	else if (pv->ended)
		buf_add_str(b, "  ENDED");
	if (feed_running(pv->app))
		buf_printf(b, "  checkpoint %.0f %%", 100 * figures_share(pv->app->feed->shot));
}

/* When the checkpoint was; a core of another maker does not know. */
static void add_taken(const struct proc *p, struct buf *b)
{
	const time_t when = (time_t)(p->taken_ns / NS_PER_S);
	char text[64];
	struct tm tm;

	if (!when || !localtime_r(&when, &tm) ||
		!strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
		buf_printf(b, "ppid %d", p->ppid);
	else
		buf_printf(b, "taken " M_BOLD "%s" M_NORMAL, text);
}

static void line_state(const struct process_view *pv, struct buf *b)
{
	const struct proc *const p = pv->src->proc;
	const struct thread *const t = p->nthreads ? &p->threads[0] : NULL;

	if (pv->ended) {
		buf_printf(b, M_BAD "process has ended" M_NORMAL ": this is what it was (%s)",
			pv->ended);
		return;
	}
	if (pv->live)
		buf_printf(b, "state " M_BOLD "%c" M_NORMAL "  ppid %d",
			t && t->state ? t->state : '?', p->ppid);
	else
		add_taken(p, b);
	if (t)
		buf_printf(b, "  uid %u", t->uid[1]);
	buf_printf(b, "  threads " M_BOLD "%zu" M_NORMAL "  files %zu", p->nthreads, p->nfds);
	if (pv->live)
		buf_printf(b, "  cpu " M_BOLD "%u.%u %%" M_NORMAL, pv->sample.permille / 10,
			pv->sample.permille % 10);
	if (p->nwarnings)
		buf_printf(b, "  " M_WARN "! %zu warning%s", p->nwarnings,
			p->nwarnings > 1 ? "s" : "");
}

static void line_memory(const struct process_view *pv, struct buf *b)
{
	const struct proc *const p = pv->src->proc;

	buf_printf(b, "memory " M_BOLD "%s" M_NORMAL " mapped", SIZE(total(p, vma_size)));
	if (pv->live)
		buf_printf(b, ", " M_BOLD "%s" M_NORMAL " resident, %s private",
			SIZE(total(p, vma_rss)), SIZE(total(p, vma_priv)));
	else
		buf_printf(b, ", " M_BOLD "%s" M_NORMAL " stored", SIZE(total(p, vma_stored)));
	buf_printf(b, ", %zu mappings", p->nvmas);
}

static void line_tabs(const struct process_view *pv, int cols, struct buf *b)
{
	for (int i = 0; i < NPANES; i++) {
		const struct pane *const pane = pane_of(pv, i);
		const bool on = i == pv->focus;

		buf_printf(b, "%s%d", on ? M_BOLD "[" : M_DIM " ", i + 1);
		if (on || cols >= 70)
			buf_printf(b, " %s", pane->name);
		if (cols >= 70)
			buf_printf(b, " %zu", pane->count(pv));
		buf_printf(b, "%s" M_NORMAL, on ? "]" : " ");
	}
}

static void draw_head(const struct app *app, const struct process_view *pv, int cols)
{
	struct buf line[HEAD_ROWS] = {0};

	line_title(pv, &line[0]);
	line_state(pv, &line[1]);
	line_memory(pv, &line[2]);
	add_cmdline(pv->src->proc, &line[3]);
	line_tabs(pv, cols, &line[4]);
	for (int y = 0; y < HEAD_ROWS; y++) {
		buf_add(&line[y], "", 1);
		term_line(&app->tty, y, y ? 1 : 0, y ? cols - 1 : cols, (char *)line[y].data, false,
			0);
		buf_deinit(&line[y]);
	}
}

static void draw_pane(const struct app *app, const struct process_view *pv, int i, int x, int width)
{
	const struct pane *const pane = pane_of(pv, i);
	const struct list *const l = &pv->lists[i];
	cleanup_buf struct buf head = {0};

	buf_add_str(&head, M_HEAD " ");
	pane->head(pv, &head);
	buf_add(&head, "", 1);
	term_line(&app->tty, l->on_row - 1, x, width, (char *)head.data, false, l->skip);
	list_draw(app, l, l->on_row, x, width, i == pv->focus);
}

static void draw(const struct app *app, const struct view *v, int rows, int cols)
{
	const struct process_view *const pv = (const struct process_view *)v;

	(void)rows;
	draw_head(app, pv, cols);
	if (!pv->two) {
		draw_pane(app, pv, pv->focus, 0, cols);
		return;
	}
	draw_pane(app, pv, PANE_THREADS, 0, pv->split_x ? pv->split_x - 1 : cols);
	draw_pane(app, pv, pv->beside, pv->split_x, cols - pv->split_x);
}

/* ---- keys ---- */

static void checkpoint(struct app *app, struct process_view *pv)
{
	if (feed_running(app))
		app_push(app, view_shot_new(app, app->feed->shot));
	else if (pv->ended)
		app_message(app, "the process has ended");
	else
		app_push(app, view_dialog_new(app, pv->src->proc->pid, pv->src->proc->comm));
}

static void open_row(struct app *app, struct process_view *pv)
{
	const struct pane *const pane = pane_of(pv, pv->focus);
	const struct list *const l = &pv->lists[pv->focus];

	if (l->sel >= pane->count(pv))
		return;
	if (pv->live && pv->focus == PANE_HOW) {
		app_push(app, view_shot_new(app, app->shots[l->sel]));
	} else if (pane->detail) {
		cleanup_free char *title = xasprintf("%s of %d", pane->name, pv->src->proc->pid);

		app_push(app, view_text_new(title, pane->detail(pv, l->sel)));
	}
}

static bool request(struct app *app, struct view *v, enum request req)
{
	struct process_view *const pv = (struct process_view *)v;

	switch (req) {
	case REQ_CHECKPOINT:
		checkpoint(app, pv);
		return true;
	case REQ_OPEN:
		open_row(app, pv);
		return true;
	case REQ_NEXT_PANE:
		pv->focus = (pv->focus + 1) % NPANES;
		return true;
	case REQ_PREV_PANE:
		pv->focus = (pv->focus + NPANES - 1) % NPANES;
		return true;
	case REQ_PANE_1:
	case REQ_PANE_2:
	case REQ_PANE_3:
	case REQ_PANE_4:
	case REQ_PANE_5:
		pv->focus = (int)(req - REQ_PANE_1);
		return true;
	default:
		return false;
	}
}

static struct list *list(struct view *v)
{
	struct process_view *const pv = (struct process_view *)v;

	return &pv->lists[pv->focus];
}

static unsigned ctx(const struct view *v)
{
	return ((const struct process_view *)v)->live ? CTX_PROCESS : CTX_IMAGE;
}

/* Everything, pane after pane. */
static void text(const struct view *v, struct buf *out)
{
	const struct process_view *const pv = (const struct process_view *)v;
	cleanup_buf struct buf head = {0};

	line_title(pv, &head);
	buf_add_str(&head, "\n");
	line_state(pv, &head);
	buf_add_str(&head, "\n");
	line_memory(pv, &head);
	buf_add_str(&head, "\n");
	add_cmdline(pv->src->proc, &head);
	buf_add(&head, "\n", 2);
	text_unmark(out, (char *)head.data);
	for (int i = 0; i < NPANES; i++) {
		struct buf titles = {0};

		pane_of(pv, i)->head(pv, &titles);
		cleanup_free char *line = buf_steal_str(&titles);

		buf_printf(out, "\n%s\n", pane_of(pv, i)->name);
		text_unmark(out, line);
		buf_add_str(out, "\n");
		list_text(&pv->lists[i], out);
	}
}

static void close_view(struct view *v)
{
	struct process_view *const pv = (struct process_view *)v;

	source_close(pv->src);
	sample_deinit(&pv->sample);
	panes_deinit(pv);
	free(pv->ended);
	free(pv);
}

static const struct view_ops ops = {
	.name = "process",
	.ctx = ctx,
	.layout = layout,
	.draw = draw,
	.request = request,
	.tick = tick,
	.list = list,
	.text = text,
	.close = close_view,
};

struct view *view_process_new(struct app *app, struct source *source)
{
	struct process_view *const pv = xcalloc(1, sizeof(*pv));

	pv->v.ops = &ops;
	pv->app = app;
	pv->src = source;
	pv->live = source->ops->refresh != NULL;
	pv->focus = pv->live ? PANE_THREADS : PANE_MAPS;
	pv->beside = PANE_MAPS;
	for (int i = 0; i < NPANES; i++)
		pv->lists[i] = (struct list){.row = pane_of(pv, i)->row, .ctx = pv};
	if (pv->live)
		sample_take(&pv->sample, source->proc->pid, app->now_ns);
	panes_update(pv);
	return &pv->v;
}
