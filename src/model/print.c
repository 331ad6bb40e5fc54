/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each section of struct proc as text. A table says which function prints which. */
#include "model/print.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/text.h"
#include "model/fields.h"
#include "model/grid.h"

#define LINE_CAP 2048

/* ---- small texts ---- */

static const char *text_or_dash(const char *s)
{
	return s && *s ? text_safe(s) : "-";
}

static void print_pair(FILE *out, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void print_pair(FILE *out, const char *name, const char *fmt, ...)
{
	va_list ap;

	fprintf(out, "%-14s", name);
	va_start(ap, fmt);
	vfprintf(out, fmt, ap);
	va_end(ap);
	fputc('\n', out);
}

/* Calls back for each NUL-terminated string of a blob; the last may lack its NUL. */
static void each_string(
	const struct blob *b, FILE *out, void (*fn)(FILE *out, const char *s, size_t len))
{
	for (size_t i = 0; i < b->len;) {
		const char *const s = (const char *)b->data + i;
		const size_t len = strnlen(s, b->len - i);

		fn(out, s, len);
		i += len + 1;
	}
}

static void print_word(FILE *out, const char *s, size_t len)
{
	char text[LINE_CAP];

	fprintf(out, "%s ", text_escape(text, sizeof(text), s, len));
}

static void print_line(FILE *out, const char *s, size_t len)
{
	char text[LINE_CAP * 4];

	fprintf(out, "%s\n", text_escape(text, sizeof(text), s, len));
}

static const char *siginfo_signal(const struct siginfo_raw *s)
{
	int32_t signo;

	memcpy(&signo, s->bytes, sizeof(signo));
	return signal_name(signo);
}

static void print_pending(FILE *out, const char *whom, const struct siginfo_raw *s, size_t n)
{
	if (!n)
		return;
	fprintf(out, "pending for %s:", whom);
	for (size_t i = 0; i < n; i++)
		fprintf(out, " %s", siginfo_signal(&s[i]));
	fputc('\n', out);
}

/* ---- sections ---- */

static void print_totals(FILE *out, const struct proc *p)
{
	uint64_t size = 0, rss = 0, stored = 0;
	char a[32], b[32];

	for (size_t i = 0; i < p->nvmas; i++) {
		size += p->vmas[i].end - p->vmas[i].start;
		rss += p->vmas[i].rss;
		stored += p->vmas[i].stored;
	}
	print_pair(out, "threads", "%zu", p->nthreads);
	if (stored)
		print_pair(out, "memory", "%s in %zu mappings, %s stored",
			text_size(a, sizeof(a), size), p->nvmas, text_size(b, sizeof(b), stored));
	else
		print_pair(out, "memory", "%s in %zu mappings, %s resident",
			text_size(a, sizeof(a), size), p->nvmas, text_size(b, sizeof(b), rss));
	print_pair(out, "descriptors", "%zu", p->nfds);
	if (p->nchildren)
		print_pair(out, "children", "%zu", p->nchildren);
	if (p->nwarnings)
		print_pair(out, "warnings", "%zu (see: show ... warnings)", p->nwarnings);
}

static void print_summary(FILE *out, const struct proc *p)
{
	print_pair(out, "process", "%d %s", p->pid, text_safe(p->comm));
	if (p->cmdline.len) {
		fprintf(out, "%-14s", "command");
		each_string(&p->cmdline, out, print_word);
		fputc('\n', out);
	}
	print_pair(
		out, "program", "%s%s", text_or_dash(p->exe), p->exe_deleted ? " (deleted)" : "");
	print_pair(out, "directory", "%s", text_or_dash(p->cwd));
	if (p->root && strcmp(p->root, "/") != 0)
		print_pair(out, "root", "%s", text_safe(p->root));
	if (p->taken_ns) {
		const time_t s = (time_t)(p->taken_ns / 1000000000);
		struct tm tm;
		char when[64] = "";

		if (localtime_r(&s, &tm))
			strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", &tm);
		print_pair(out, "taken", "%s", when);
	}
	print_pair(out, "host", "%s, Linux %s, %s", text_or_dash(p->hostname),
		text_or_dash(p->kernel), text_or_dash(p->arch));
	if (p->foreign)
		print_pair(out, "note",
			"a core file without ckptview's note: what it does not hold is not known");
	else
		print_pair(out, "relations", "parent %d, group %d, session %d", p->ppid, p->pgid,
			p->sid);
	print_totals(out, p);
}

static void print_threads(FILE *out, const struct proc *p)
{
	struct grid g;
	char mask[LINE_CAP];

	grid_begin(&g, ">TID S NAME POLICY >PRIO >NICE WAITS BLOCKED");
	for (size_t i = 0; i < p->nthreads; i++) {
		const struct thread *const t = &p->threads[i];

		grid_cell(&g, "%d", t->tid);
		grid_cell(&g, "%s", text_safe((char[]){t->state ? t->state : '?', 0}));
		grid_cell(&g, "%s", text_or_dash(t->comm));
		grid_cell(&g, "%s", sched_policy_name(t->sched_policy));
		grid_cell(&g, "%d", t->sched_priority);
		grid_cell(&g, "%d", t->nice);
		grid_cell(&g, "%s", text_or_dash(t->wchan));
		grid_cell(&g, "%s", sigmask_text(t->sigmask, mask, sizeof(mask)));
	}
	grid_print(&g, out, true);
}

static void print_maps(FILE *out, const struct proc *p)
{
	struct grid g;
	char prot[5], size[32], rss[32], priv[32], stored[32];

	grid_begin(&g, ">START >END PROT KIND >SIZE >RESIDENT >PRIVATE >STORED NAME");
	for (size_t i = 0; i < p->nvmas; i++) {
		const struct vma *const v = &p->vmas[i];

		grid_cell(&g, "%" PRIx64, v->start);
		grid_cell(&g, "%" PRIx64, v->end);
		grid_cell(&g, "%s", vma_prot_text(v, prot));
		grid_cell(&g, "%s", vma_kind_name(v->kind));
		grid_cell(&g, "%s", text_size(size, sizeof(size), v->end - v->start));
		grid_cell(&g, "%s", v->rss ? text_size(rss, sizeof(rss), v->rss) : "-");
		grid_cell(&g, "%s", v->priv ? text_size(priv, sizeof(priv), v->priv) : "-");
		grid_cell(&g, "%s", v->stored ? text_size(stored, sizeof(stored), v->stored) : "-");
		grid_cell(&g, "%s%s", text_safe(vma_name(v)), v->deleted ? " (deleted)" : "");
	}
	grid_print(&g, out, true);
}

static void print_fds(FILE *out, const struct proc *p)
{
	struct grid g;
	char flags[128], detail[LINE_CAP];

	grid_begin(&g, ">FD KIND OPEN PATH STATE");
	for (size_t i = 0; i < p->nfds; i++) {
		const struct fdesc *const f = &p->fds[i];

		grid_cell(&g, "%d", f->fd);
		grid_cell(&g, "%s", fd_kind_name(f->kind));
		grid_cell(&g, "%s", fd_flags_text(f, flags, sizeof(flags)));
		grid_cell(&g, "%s", text_or_dash(f->path));
		grid_cell(&g, "%s", fd_detail_text(f, detail, sizeof(detail)));
	}
	grid_print(&g, out, true);
}

static void print_signals(FILE *out, const struct proc *p)
{
	struct grid g;
	char mask[LINE_CAP], whom[32];

	if (!p->acts_known)
		fprintf(out, "signal actions are not known (only the process itself can tell)\n");
	grid_begin(&g, "SIGNAL ACTION FLAGS MASK");
	for (int s = 1; p->acts_known && s <= NSIGNALS; s++) {
		const struct sigact *const a = &p->acts[s - 1];

		if (!a->handler && !a->flags && !a->mask)
			continue;
		grid_cell(&g, "%s", signal_name(s));
		if (a->handler <= 1)
			grid_cell(&g, "%s", a->handler ? "ignore" : "default");
		else
			grid_cell(&g, "0x%" PRIx64, a->handler);
		grid_cell(&g, "0x%" PRIx64, a->flags);
		grid_cell(&g, "%s", sigmask_text(a->mask, mask, sizeof(mask)));
	}
	grid_print(&g, out, g.n > g.ncols);
	print_pending(out, "the process", p->pending, p->npending);
	for (size_t i = 0; i < p->nthreads; i++) {
		snprintf(whom, sizeof(whom), "thread %d", p->threads[i].tid);
		print_pending(out, whom, p->threads[i].pending, p->threads[i].npending);
	}
}

static void print_timers(FILE *out, const struct proc *p)
{
	static const char *const names[] = {"real", "virtual", "prof"};
	struct grid g;
	char left[32], every[32];

	grid_begin(&g, "TIMER SIGNAL >LEFT >EVERY");
	for (int i = 0; i < 3; i++) {
		if (!p->itimers[i].value_us && !p->itimers[i].interval_us)
			continue;
		grid_cell(&g, "itimer %s", names[i]);
		grid_cell(&g, "%s", i == 0 ? "SIGALRM" : i == 1 ? "SIGVTALRM" : "SIGPROF");
		grid_cell(&g, "%s", text_time(left, sizeof(left), p->itimers[i].value_us * 1000));
		grid_cell(&g, "%s",
			text_time(every, sizeof(every), p->itimers[i].interval_us * 1000));
	}
	for (size_t i = 0; i < p->ntimers; i++) {
		const struct ptimer *const t = &p->timers[i];

		grid_cell(&g, "posix %d, clock %d", t->id, t->clockid);
		grid_cell(&g, "%s", t->signo ? signal_name(t->signo) : "-");
		grid_cell(&g, "%s", text_time(left, sizeof(left), t->value_ns));
		grid_cell(&g, "%s", text_time(every, sizeof(every), t->interval_ns));
	}
	grid_print(&g, out, g.n > g.ncols);
}

static void limit_cell(struct grid *g, uint64_t v)
{
	if (v == RLIM_INFINITY)
		grid_cell(g, "unlimited");
	else
		grid_cell(g, "%" PRIu64, v);
}

static void print_limits(FILE *out, const struct proc *p)
{
	struct grid g;

	grid_begin(&g, "LIMIT >SOFT >HARD");
	for (int i = 0; i < NLIMITS; i++) {
		grid_cell(&g, "%s", limit_name(i));
		limit_cell(&g, p->limits[i].cur);
		limit_cell(&g, p->limits[i].max);
	}
	grid_print(&g, out, true);
}

static void print_creds(FILE *out, const struct proc *p)
{
	for (size_t i = 0; i < p->nthreads; i++) {
		const struct thread *const t = &p->threads[i];
		const struct thread *const lead = &p->threads[0];

		/* Threads may differ, hardly ever do. */
		if (i && !memcmp(t->uid, lead->uid, sizeof(t->uid)) &&
			!memcmp(t->gid, lead->gid, sizeof(t->gid)) && t->cap_eff == lead->cap_eff &&
			t->cap_prm == lead->cap_prm)
			continue;
		print_pair(out, "thread", "%d", t->tid);
		print_pair(out, "uid", "real %u, effective %u, saved %u, fs %u", t->uid[0],
			t->uid[1], t->uid[2], t->uid[3]);
		print_pair(out, "gid", "real %u, effective %u, saved %u, fs %u", t->gid[0],
			t->gid[1], t->gid[2], t->gid[3]);
		print_pair(out, "capabilities",
			"effective %" PRIx64 ", permitted %" PRIx64 ", inheritable %" PRIx64
			", bounding %" PRIx64 ", ambient %" PRIx64,
			t->cap_eff, t->cap_prm, t->cap_inh, t->cap_bnd, t->cap_amb);
		print_pair(out, "restrictions", "no_new_privs %u, seccomp %u, securebits %u",
			t->no_new_privs, t->seccomp, t->securebits);
	}
	fprintf(out, "%-14s", "groups");
	for (size_t i = 0; i < p->ngroups; i++)
		fprintf(out, "%u ", p->groups[i]);
	fputc('\n', out);
}

static void print_mm(FILE *out, const struct proc *p)
{
	const struct section *const s = section_find("mm");
	const struct record *const r = s->rec.fields[0].rec;

	if (!p->mm.known) {
		fprintf(out, "the memory layout is not known\n");
		return;
	}
	for (size_t i = 0; i < r->nfields; i++) {
		uint64_t v;

		if (r->fields[i].type != FIELD_HEX)
			continue;
		memcpy(&v, (const char *)&p->mm + r->fields[i].off, sizeof(v));
		print_pair(out, r->fields[i].name, "%" PRIx64, v);
	}
}

static void print_auxv(FILE *out, const struct proc *p)
{
	struct cursor c = cursor_of(p->auxv.data, p->auxv.len);

	while (cursor_left(&c) >= 16) {
		const uint64_t type = cursor_u64(&c), value = cursor_u64(&c);
		char number[32];

		snprintf(number, sizeof(number), "%" PRIu64, type);
		fprintf(out, "%-22s0x%" PRIx64 "\n", auxv_name(type) ? auxv_name(type) : number,
			value);
	}
}

static void print_env(FILE *out, const struct proc *p)
{
	each_string(&p->environ, out, print_line);
}

static void print_warnings(FILE *out, const struct proc *p)
{
	for (size_t i = 0; i < p->nwarnings; i++)
		print_line(out, p->warnings[i], strlen(p->warnings[i]));
}

/* "stalls.p50_ns  1200": every leaf with the way to it. Depth is bounded by jansson's parser; names
 * are from a file. */
static void print_leaves(FILE *out, const char *way, const json_t *j, int depth)
{
	const char *key;
	json_t *v;

	if (json_is_object(j) && depth < 8) {
		json_object_foreach((json_t *)j, key, v)
		{
			cleanup_free char *sub = xasprintf("%s%s%s", way, *way ? "." : "", key);

			print_leaves(out, sub, v, depth + 1);
		}
		return;
	}
	cleanup_free char *value = json_is_string(j)
					   ? xstrdup(json_string_value(j))
					   : json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);

	fprintf(out, "%-28s%s\n", text_safe(way), text_safe(value));
}

static void print_stats(FILE *out, const struct proc *p)
{
	json_t *const j = p->how ? json_loads(p->how, 0, NULL) : NULL;

	if (j)
		print_leaves(out, "", j, 0);
	else
		fprintf(out, "nothing is known of a checkpoint\n");
	json_decref(j);
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*print)(FILE *out, const struct proc *p);
} printers[] = {
	{"summary", print_summary},
	{"threads", print_threads},
	{"maps", print_maps},
	{"fds", print_fds},
	{"signals", print_signals},
	{"timers", print_timers},
	{"limits", print_limits},
	{"creds", print_creds},
	{"mm", print_mm},
	{"auxv", print_auxv},
	{"env", print_env},
	{"warnings", print_warnings},
	{"stats", print_stats},
};

const char *const proc_sections[] = {
	"summary",
	"threads",
	"maps",
	"fds",
	"signals",
	"timers",
	"limits",
	"creds",
	"mm",
	"auxv",
	"env",
	"warnings",
	"stats",
	NULL,
};

void proc_print_section(FILE *out, const struct proc *p, const char *section)
{
	for (size_t i = 0; i < ARRAY_LEN(printers); i++) {
		if (strcmp(printers[i].name, section) == 0)
			printers[i].print(out, p);
	}
}
