/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One thread, mapping or descriptor in full, and how an image's checkpoint went. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/text.h"
#include "ui/process.h"

#define SIZE(n) text_size((char[32]){0}, 32, (n))
#define TIME(n) text_time((char[32]){0}, 32, (n))

/* ---- a thread ---- */

static void add_regs(const struct thread *t, struct buf *b)
{
	if (t->regs.len != sizeof(arch_regs)) {
		buf_add_str(
			b, "\nregisters: in images only (the process would have to be stopped)\n");
		return;
	}
	buf_add_str(b, "\n");
	for (size_t i = 0; i < arch->nregs; i++) {
		const struct arch_reg *const r = &arch->regs[i];
		uint64_t value = 0;

		if (r->len > sizeof(value) || r->off + r->len > t->regs.len)
			continue;
		memcpy(&value, t->regs.data + r->off, r->len);
		buf_printf(b, "%-9s %016llx%s", r->name, (unsigned long long)value,
			i % 2 ? "\n" : "    ");
	}
	buf_add_str(b, arch->nregs % 2 ? "\n" : "");
}

/* The call a thread was in, when its registers say so. */
static void add_call(const struct thread *t, struct buf *b)
{
	const arch_regs *const r = (const arch_regs *)t->regs.data;

	if (t->regs.len != sizeof(*r) || arch->syscall_nr(r) < 0)
		return;
	const char *name = arch->syscall_name(arch->syscall_nr(r));
	uint64_t args[6];

	arch->syscall_args(r, args);
	buf_printf(b, "in call   %s(%llx, %llx, %llx, %llx, %llx, %llx)%s\n", name ? name : "?",
		(unsigned long long)args[0], (unsigned long long)args[1],
		(unsigned long long)args[2], (unsigned long long)args[3],
		(unsigned long long)args[4], (unsigned long long)args[5],
		arch->restarts(r) ? ", to be restarted" : "");
}

char *detail_thread(const struct process_view *pv, size_t i)
{
	const struct thread *const t = &pv->src->proc->threads[i];
	struct buf b = {0};

	buf_printf(&b, "thread    %d %s\nstate     %c\n", t->tid, text_safe(t->comm),
		t->state ? t->state : '?');
	if (t->wchan)
		buf_printf(&b, "waits in  %s\n", text_safe(t->wchan));
	add_call(t, &b);
	buf_printf(&b, "blocked   %016llx (signal mask)\nuid gid   %u %u\n",
		(unsigned long long)t->sigmask, t->uid[1], t->gid[1]);
	buf_printf(&b, "policy    %d, priority %d, nice %d\n", t->sched_policy, t->sched_priority,
		t->nice);
	buf_printf(&b, "robust    %llx, %llu bytes\n", (unsigned long long)t->robust.head,
		(unsigned long long)t->robust.len);
	if (t->injected_known)
		buf_printf(&b,
			"altstack  %llx, %llu bytes, flags %x\nrseq      %llx, %u bytes\nclear tid "
			"%llx\n",
			(unsigned long long)t->altstack.sp, (unsigned long long)t->altstack.size,
			t->altstack.flags, (unsigned long long)t->rseq.addr, t->rseq.len,
			(unsigned long long)t->clear_child_tid);
	add_regs(t, &b);
	return buf_steal_str(&b);
}

/* ---- a mapping ---- */

static const char *store_name(int store)
{
	static const char *const names[] = {
		"nothing", "private pages", "all pages", "nothing, the file has them"};

	return store >= 0 && store < 4 ? names[store] : "?";
}

/* The first bytes, as they are now or were at the checkpoint. */
static void add_bytes(const struct process_view *pv, uint64_t addr, struct buf *b)
{
	uint8_t bytes[256];
	const size_t n = source_read(pv->src, addr, bytes, sizeof(bytes));

	if (!n)
		buf_add_str(b, "\nno bytes of it can be read here\n");
	for (size_t i = 0; i < n; i += 16) {
		buf_printf(b, "%s%012llx ", i ? "" : "\n", (unsigned long long)(addr + i));
		for (size_t k = i; k < i + 16; k++)
			if (k < n)
				buf_printf(b, " %02x", bytes[k]);
			else
				buf_add_str(b, "   ");
		buf_add_str(b, "  ");
		for (size_t k = i; k < MIN(i + 16, n); k++)
			buf_printf(b, "%c", bytes[k] >= ' ' && bytes[k] < 127 ? bytes[k] : '.');
		buf_add_str(b, "\n");
	}
}

char *detail_vma(const struct process_view *pv, size_t i)
{
	const struct vma *const v = &pv->src->proc->vmas[i];
	struct buf b = {0};
	char prot[5];

	buf_printf(&b, "mapping   %llx-%llx  %s\n", (unsigned long long)v->start,
		(unsigned long long)v->end, SIZE(v->end - v->start));
	buf_printf(&b, "is        %s %s\n", vma_prot_text(v, prot), vma_kind_name(v->kind));
	if (v->path)
		buf_printf(&b, "file      %s%s\noffset    %llx\n", text_safe(v->path),
			v->deleted ? " (deleted)" : "", (unsigned long long)v->off);
	if (v->build_id)
		buf_printf(&b, "build-id  %s\n", text_safe(v->build_id));
	if (v->vmflags)
		buf_printf(&b, "flags     %s\n", text_safe(v->vmflags));
	buf_printf(&b, "an image stores %s\n", store_name(v->store));
	if (pv->live)
		buf_printf(&b, "resident  %s, private %s, swapped %s\n", SIZE(v->rss),
			SIZE(v->priv), SIZE(v->swap));
	else
		buf_printf(&b, "stored    %s\n", SIZE(v->stored));
	add_bytes(pv, v->start, &b);
	return buf_steal_str(&b);
}

/* ---- a descriptor ---- */

static void add_kind(const struct fdesc *f, struct buf *b)
{
	if (f->kind == FD_EVENTFD)
		buf_printf(b, "count     %llu\n", (unsigned long long)f->event_count);
	if (f->kind == FD_TIMERFD)
		buf_printf(b, "timer     in %s, every %s, clock %d\n", TIME(f->timer_value_ns),
			TIME(f->timer_interval_ns), f->timer_clockid);
	if (f->kind == FD_SIGNALFD)
		buf_printf(b, "signals   %016llx\n", (unsigned long long)f->signal_mask);
	if (f->kind == FD_PIPE || f->kind == FD_FIFO)
		buf_printf(b, "pipe      %llu, room %u%s\n", (unsigned long long)f->pipe_ino,
			f->pipe_cap, f->other_end_outside ? ", other end in another process" : "");
	for (size_t i = 0; i < f->nepoll; i++)
		buf_printf(b, "watches   %d for %x\n", f->epoll[i].fd, f->epoll[i].events);
	for (size_t i = 0; i < f->ninotify; i++)
		buf_printf(b, "watches   %s for %x\n", text_safe(f->inotify[i].path),
			f->inotify[i].mask);
	if (f->kind == FD_SOCKET)
		buf_printf(b, "socket    family %d, type %d, protocol %d, state %d\n",
			f->sock_family, f->sock_type, f->sock_proto, f->sock_state);
	if (f->content.len || f->content.mem.len)
		buf_printf(b, "content   %s\n", SIZE(MAX(f->content.len, f->content.mem.len)));
}

char *detail_fd(const struct process_view *pv, size_t i)
{
	const struct fdesc *const f = &pv->src->proc->fds[i];
	struct buf b = {0};

	buf_printf(&b, "fd        %d %s\n", f->fd, fd_kind_name(f->kind));
	if (f->path)
		buf_printf(
			&b, "path      %s%s\n", text_safe(f->path), f->deleted ? " (deleted)" : "");
	buf_printf(&b, "flags     %#o%s\nposition  %lld\n", f->flags,
		f->cloexec ? ", close on exec" : "", (long long)f->pos);
	if (f->size)
		buf_printf(&b, "size      %s\n", SIZE(f->size));
	add_kind(f, &b);
	if (f->locks)
		buf_printf(&b, "locks     %s\n", text_safe(f->locks));
	return buf_steal_str(&b);
}

/* ---- how it went ---- */

static bool ends_in(const char *s, const char *tail)
{
	const size_t len = strlen(s), n = strlen(tail);

	return len >= n && !strcmp(s + len - n, tail);
}

static void add_value(const char *key, const json_t *j, struct buf *b)
{
	const json_int_t n = json_integer_value(j);

	if (json_is_string(j))
		buf_add_str(b, text_safe(json_string_value(j)));
	else if (json_is_integer(j) && n >= 0 && ends_in(key, "_ns"))
		buf_add_str(b, TIME((uint64_t)n));
	else if (json_is_integer(j) && n >= 4096 &&
		 (strstr(key, "bytes") || ends_in(key, "len") || strstr(key, "stored")))
		buf_add_str(b, SIZE((uint64_t)n));
	else if (json_is_integer(j))
		buf_printf(b, "%lld", (long long)n);
	else if (json_is_real(j))
		buf_printf(b, "%g", json_real_value(j));
	else if (json_is_array(j))
		buf_printf(b, "%zu entries", json_array_size(j));
	else
		buf_add_str(b, json_is_true(j) ? "yes" : "no");
}

/* [{"from_ns": n, "count": n}, ...] as bars. */
static void add_histogram(const json_t *a, struct buf *b)
{
	json_int_t max = 1;
	size_t i;
	json_t *bucket;

	json_array_foreach(a, i, bucket) max =
		MAX(max, json_integer_value(json_object_get(bucket, "count")));
	json_array_foreach(a, i, bucket)
	{
		const json_int_t from = json_integer_value(json_object_get(bucket, "from_ns"));
		const json_int_t count = json_integer_value(json_object_get(bucket, "count"));

		buf_printf(b, "    from %9s %9lld " M_STALL, TIME((uint64_t)MAX(from, 0)),
			(long long)count);
		for (json_int_t k = 0; count > 0 && k <= (count - 1) / MAX(max / 30, 1) && k < 40;
			k++)
			buf_add_str(b, "#");
		buf_add_str(b, M_NORMAL "\n");
	}
}

static bool is_histogram(const json_t *j)
{
	return json_is_integer(json_object_get(json_array_get(j, 0), "from_ns"));
}

/* A key as words; the value tells the unit. */
static char *key_words(char *out, size_t cap, const char *key)
{
	text_escape(out, cap, key, strlen(key));
	if (ends_in(out, "_ns"))
		strcpy(out + strlen(out) - 3, cap > strlen(out) + 3 ? " time" : "");
	for (char *at = out; (at = strchr(at, '_'));)
		*at = ' ';
	return out;
}

/* One level of objects is opened; names come from a foreign file. */
static void add_object(json_t *j, int depth, struct buf *b)
{
	const char *key;
	json_t *value;

	json_object_foreach(j, key, value)
	{
		char name[64];

		key_words(name, sizeof(name), key);
		if (is_histogram(value)) {
			buf_printf(b, "%*s%s\n", 2 * depth, "", name);
			add_histogram(value, b);
			continue;
		}
		if (json_is_object(value) && depth < 2) {
			buf_printf(b, "%*s%s\n", 2 * depth, "", name);
			add_object(value, depth + 1, b);
			continue;
		}
		buf_printf(b, "%*s%-24s ", 2 * depth, "", name);
		add_value(key, value, b);
		buf_add_str(b, "\n");
	}
}

void how_lines(const struct proc *p, struct buf *b)
{
	json_t *const how = p->how ? json_loads(p->how, 0, NULL) : NULL;

	if (json_is_object(how))
		add_object(how, 0, b);
	else
		buf_add_str(b, p->foreign
				       ? "a core file of another maker: no word how it was made\n"
				       : "no word how it was made\n");
	json_decref(how);
	for (size_t i = 0; i < p->nwarnings; i++)
		buf_printf(b, M_WARN "! %s\n", text_safe(p->warnings[i]));
}
