/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The screens as a whole: a stack of views, a table of keys, one main loop. The loop alone reads
 * the clock, takes samples and feeds events; drawing only looks.
 */
#ifndef CKPT_UI_APP_H
#define CKPT_UI_APP_H

#include "base/buf.h"
#include "report/stats.h"
#include "ui/term.h"
#include "ui/ui.h"

/* What a key asks for (keys.c). */
enum request {
	REQ_NONE,
	REQ_HELP,
	REQ_CLOSE,
	REQ_QUIT,
	REQ_REDRAW,
	REQ_SUSPEND,
	REQ_DOWN,
	REQ_UP,
	REQ_PAGE_DOWN,
	REQ_PAGE_UP,
	REQ_HALF_DOWN,
	REQ_HALF_UP,
	REQ_FIRST,
	REQ_LAST,
	REQ_LEFT,
	REQ_RIGHT,
	REQ_OPEN,
	REQ_NEXT_PANE,
	REQ_PREV_PANE,
	REQ_PANE_1,
	REQ_PANE_2,
	REQ_PANE_3,
	REQ_PANE_4,
	REQ_PANE_5,
	REQ_SEARCH,
	REQ_SEARCH_NEXT,
	REQ_SEARCH_PREV,
	REQ_WRITE,
	REQ_SORT,
	REQ_CHECKPOINT,
	REQ_CANCEL,
	REQ_PAUSE,
	REQ_FASTER,
	REQ_SLOWER,
	REQ_FINISH,
	REQ_RESTART,
};
/* In which situation a view is, for the key table. */
enum key_ctx {
	CTX_PROCESS = 1,
	CTX_IMAGE = 2,
	CTX_RUNNING = 4,
	CTX_DONE = 8,
	CTX_REPLAY = 16,
	CTX_CHOOSE = 32,
	CTX_TEXT = 64,
	CTX_DIALOG = 128,
	CTX_ALL = 127, /* dialogs take most keys themselves */
};

/* One checkpoint: running, taken, or replayed. */
struct shot {
	struct stats stats;
	char *path, *engine; /* as asked for; NULL in a replay */
	int pid, exit_code;
	bool running, replay, cancelled;
	uint64_t started_ns, elapsed_ns; /* set by the main loop */
};

/* A list one can move in. Rows are made on demand. */
struct list {
	size_t n, sel, top;
	int height, skip; /* rows on the screen; columns scrolled off on the left */
	int on_row;       /* screen line of its first row, for the mouse */
	void (*row)(const void *ctx, size_t i, int width, struct buf *out);
	const void *ctx;
};

struct app;
struct view;
struct view_ops {
	const char *name; /* for the help's title */
	bool overlay;     /* the view below is drawn first */
	/* Which keys count now. */
	unsigned (*ctx)(const struct view *v);
	/* Before drawing: fits lists and choices to rows x cols. May be NULL. */
	void (*layout)(struct app *app, struct view *v, int rows, int cols);
	/* Draws into the top rows lines. Changes nothing. */
	void (*draw)(const struct app *app, const struct view *v, int rows, int cols);
	/* True: done. False: the common meaning applies (moving in the list ...). May be NULL. */
	bool (*request)(struct app *app, struct view *v, enum request req);
	/* A key before the table sees it: true when used up. For fields to type in. May be NULL. */
	bool (*key)(struct app *app, struct view *v, int key, bool is_char);
	/* Once a second; true: draw anew. May be NULL. */
	bool (*tick)(struct app *app, struct view *v);
	/* The list that has the focus, or NULL. May be NULL. */
	struct list *(*list)(struct view *v);
	/* The whole view as text. May be NULL: the list's rows are taken. */
	void (*text)(const struct view *v, struct buf *out);
	/* Frees v and what it has. */
	void (*close)(struct view *v);
};
/* The first member of every view's struct. */
struct view {
	const struct view_ops *ops;
};

/* A line being typed. */
struct edit {
	char text[512];
	size_t len, pos;
};
void edit_set(struct edit *ed, const char *text);
/* True when the key was an editing key or a character. */
bool edit_key(struct edit *ed, int key, bool is_char);

struct prompt {
	const char *label; /* NULL: no prompt is open */
	struct edit edit;
	void (*done)(struct app *app, const char *text);
};

struct feed; /* where events come from (feed.h) */

#define MAX_VIEWS 12
struct app {
	const struct ui_host *host;
	const struct ui_opts *opts;
	struct tty tty;
	struct view *views[MAX_VIEWS];
	int nviews;
	bool dirty, quit;
	int exit_code;
	uint64_t now_ns, drawn_ns, ticked_ns, message_until_ns;
	char message[256];
	struct prompt prompt;
	char search[128];
	struct shot **shots; /* in the order taken */
	size_t nshots;
	struct feed *feed;    /* NULL: no checkpoint runs, nothing is replayed */
	char last_words[512]; /* printed when the terminal is ours no more */
};

/* Runs until the last view is closed. Frees all views. Returns an exit code. */
int app_run(struct app *app);
/* Takes ownership; a full stack closes v at once and says so. */
void app_push(struct app *app, struct view *v);
void app_message(struct app *app, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void app_prompt(struct app *app, const char *label, const char *text,
	void (*done)(struct app *app, const char *text));
/* A new shot in app->shots. */
struct shot *app_shot(struct app *app);
void shot_free(struct shot *s);

/* ---- list.c ---- */
void list_layout(struct list *l, size_t n, int on_row, int height);
void list_draw(const struct app *app, const struct list *l, int y, int x, int width, bool focus);
bool list_request(struct list *l, enum request req);
/* Next row that holds text, from the one after the selected on, around. forward or backward. */
bool list_search(struct list *l, const char *text, bool forward);
void list_text(const struct list *l, struct buf *out);

/* ---- keys.c ---- */
enum request keys_find(int key, bool is_char, unsigned ctx);
void keys_bar(unsigned ctx, int width, struct buf *out);
void keys_help(unsigned ctx, struct buf *out);

/* ---- the views ---- */
struct view *view_process_new(struct app *app, struct source *source);
struct view *view_shot_new(struct app *app, struct shot *shot);
struct view *view_choose_new(struct app *app);
struct view *view_text_new(const char *title, char *text); /* takes text */
struct view *view_dialog_new(struct app *app, int pid, const char *comm);

#endif
