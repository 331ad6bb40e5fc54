/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Copying pages into the image. The copier is a thread of the lowest priority that walks what is left
 * from its end; the tracer copies what cannot wait (a page about to be written or unmapped).
 *
 * Neither waits for the other's copying. The copier reads a piece without claiming it and claims
 * afterwards: what the tracer has taken meanwhile it throws away. That is exact because the tracer
 * takes a range out of `todo` before it makes it writable, so a piece that is still in `todo` when the
 * copier claims it was protected all the while it was read.
 */
#include "capture/session.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "base/clock.h"

#define PIECE (256u << 10)
/* What the tracer copies at a time when somebody waits for the end: faults are served between. */
#define HELP_PIECE (1ull << 20)
/* A copier that gets a processor does at least this, bytes a second. */
#define POLITE_RATE (1ull << 30)

/* Children (the guardian) do not inherit it. */
void capture_priority(bool up)
{
	struct sched_param sp = {.sched_priority = up ? 1 : 0};
	if (sched_setscheduler(0, (up ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &sp) < 0)
		setpriority(PRIO_PROCESS, 0, up ? -20 : 0);
}

/* Reads [addr, addr+len); what cannot be read (a page gone from a file, device memory) is zeros. */
static void read_pages(struct live *from, uint64_t addr, uint8_t *out, size_t len)
{
	size_t done = 0;
	while (done < len) {
		const size_t n = live_read(from, addr + done, out + done, len - done);
		done += n;
		if (done >= len)
			break;
		const size_t hole = MIN(len - done, PAGE_LEN - (addr + done) % PAGE_LEN);
		memset(out + done, 0, hole);
		done += hole;
	}
}

static void put(struct capture *c, uint64_t addr, const uint8_t *data, size_t len)
{
	/* A failure is sticky: whoever waits asks image_error. */
	image_put(c->w, addr, data, len / PAGE_LEN);
}

/* Writes one parcel of the queue; false when the queue is empty. Called and returns with the lock held. */
static bool write_parcel(struct capture *c)
{
	struct copier *cp = &c->cp;
	struct parcel *p = cp->first;
	if (!p || !cp->go)
		return false;
	cp->first = p->next;
	if (!cp->first)
		cp->last = &cp->first;
	pthread_mutex_unlock(&cp->lock);
	put(c, p->addr, p->data, p->len);
	pthread_mutex_lock(&cp->lock);
	cp->queued -= p->len;
	free(p);
	pthread_cond_signal(&cp->room);
	return true;
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Copies one piece from the end of todo; false when there is none. Called and returns with the lock held. */
static bool copy_piece(struct capture *c, uint8_t *buf)
{
	struct copier *cp = &c->cp;
	if (!cp->go || cp->todo.n == 0)
		return false;
	const struct range last = cp->todo.r[cp->todo.n - 1];
	const uint64_t start = last.end - last.start > PIECE ? last.end - PIECE : last.start;
	pthread_mutex_unlock(&cp->lock);
	const uint64_t began = thread_cpu_ns();
	read_pages(c->from, start, buf, last.end - start);
	pthread_mutex_lock(&cp->lock);

	struct ranges mine = {0};
	ranges_clip(&cp->todo, start, last.end, &mine);
	ranges_cut(&cp->todo, start, last.end);
	for (size_t i = 0; i < mine.n; i++)
		ranges_add(&cp->copied, mine.r[i].start, mine.r[i].end);
	pthread_mutex_unlock(&cp->lock);
	for (size_t i = 0; i < mine.n; i++)
		put(c, mine.r[i].start, buf + (mine.r[i].start - start), mine.r[i].end - mine.r[i].start);
	if (ranges_total(&mine) == PIECE)
		hist_add(&cp->pieces, thread_cpu_ns() - began);
	ranges_deinit(&mine);
	pthread_mutex_lock(&cp->lock);
	return true;
}

static void *copier_main(void *arg)
{
	struct capture *c = arg;
	struct copier *cp = &c->cp;
	uint8_t *buf = xmalloc(PIECE);
	const int tid = (int)syscall(SYS_gettid);
	/* Of this thread only: setpriority(2) acts on one thread under Linux. */
	setpriority(PRIO_PROCESS, (id_t)tid, 19);

	pthread_mutex_lock(&cp->lock);
	cp->tid = tid;
	for (;;) {
		cp->idle = false;
		if (write_parcel(c) || (!cp->quit && copy_piece(c, buf)))
			continue;
		cp->idle = true;
		if (cp->quit)
			break;
		pthread_cond_wait(&cp->work, &cp->lock);
	}
	pthread_mutex_unlock(&cp->lock);
	free(buf);
	return NULL;
}

void mutex_init_inherit(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	const int ret = pthread_create(thread, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

int copier_start(struct capture *c, struct err *e)
{
	struct copier *cp = &c->cp;
	mutex_init_inherit(&cp->lock);
	mutex_init_inherit(&cp->claim);
	pthread_cond_init(&cp->room, NULL);
	pthread_cond_init(&cp->work, NULL);
	cp->last = &cp->first;
	errno = thread_start(&cp->thread, copier_main, c);
	if (errno)
		return err_sys(e, EXIT_CAPTURE, "start the copying thread");
	cp->started = true;
	return 0;
}

/* What copying all of it takes on a CPU of one's own: from this the reader tells what a plain stop
 * would have cost. The quicker pieces are those nobody disturbed. */
static void tell_cost(struct capture *c)
{
	const uint64_t piece_ns = hist_quantile(&c->cp.pieces, 0.25);
	const struct event ev = {.type = EV_RESULT, .text = "copy_ns",
		.a = piece_ns * (ranges_total(&c->stored) / PIECE)};

	if (!ev.a)
		return;
	event_put(c->ev, ev);
	stats_add(&c->stats, &ev);
}

void copier_stop(struct capture *c)
{
	struct copier *cp = &c->cp;
	if (!cp->started)
		return;
	pthread_mutex_lock(&cp->lock);
	cp->quit = true;
	pthread_cond_broadcast(&cp->work);
	pthread_mutex_unlock(&cp->lock);
	pthread_join(cp->thread, NULL);
	cp->started = false;
	tell_cost(c);
	pthread_mutex_destroy(&cp->lock);
	pthread_mutex_destroy(&cp->claim);
	pthread_cond_destroy(&cp->room);
	pthread_cond_destroy(&cp->work);
	ranges_deinit(&cp->todo);
	ranges_deinit(&cp->copied);
}

void copier_hurry(struct capture *c)
{
	pthread_mutex_lock(&c->cp.lock);
	const int tid = c->cp.tid;
	pthread_mutex_unlock(&c->cp.lock);
	if (tid)
		setpriority(PRIO_PROCESS, (id_t)tid, 0);
}

void copier_go(struct capture *c)
{
	struct copier *cp = &c->cp;
	pthread_mutex_lock(&cp->lock);
	cp->go = true;
	cp->idle = false;
	pthread_cond_signal(&cp->work);
	pthread_mutex_unlock(&cp->lock);
}

/* Waits until the queue has room for len more bytes: this is where the writer of a page waits for a slow disk. */
static void wait_for_room(struct capture *c, size_t len)
{
	struct copier *cp = &c->cp;
	while (cp->queued && cp->queued + len > c->o->max_buffer) {
		pthread_cond_signal(&cp->work);
		pthread_cond_wait(&cp->room, &cp->lock);
	}
}

/* Reads one range and queues it. Called and returns with the lock held; the range is out of todo. */
static void queue_range(struct capture *c, uint64_t start, uint64_t len)
{
	struct copier *cp = &c->cp;
	wait_for_room(c, len);
	cp->queued += len;
	pthread_mutex_unlock(&cp->lock);
	struct parcel *p = xmalloc(sizeof(*p) + len);
	*p = (struct parcel){.addr = start, .len = len};
	read_pages(c->from, start, p->data, len);
	pthread_mutex_lock(&cp->lock);
	*cp->last = p;
	cp->last = &p->next;
	/* Before T has passed it may not write anyway: waking it would only be in the way of the stop. */
	if (cp->go) {
		cp->idle = false;
		pthread_cond_signal(&cp->work);
	}
}

int copy_now(struct capture *c, uint64_t start, uint64_t end, enum copy_how how, struct err *e)
{
	struct copier *cp = &c->cp;
	struct ranges mine = {0};
	/* Whoever finds a range claimed by another must not go on before that one has read it. */
	pthread_mutex_lock(&cp->claim);
	pthread_mutex_lock(&cp->lock);
	if (ranges_touches(&cp->todo, start, end)) {
		ranges_clip(&cp->todo, start, end, &mine);
		ranges_cut(&cp->todo, start, end);
	}
	for (size_t i = 0; i < mine.n; i++)
		for (uint64_t at = mine.r[i].start; at < mine.r[i].end; at += PIECE)
			queue_range(c, at, MIN(PIECE, mine.r[i].end - at));
	pthread_mutex_unlock(&cp->lock);
	pthread_mutex_unlock(&cp->claim);
	for (size_t i = 0; i < mine.n; i++)
		capture_event(c, EV_COPY, 0, mine.r[i].start, mine.r[i].end - mine.r[i].start, how, 0);
	ranges_deinit(&mine);
	return image_error(c->w, e);
}

int copy_some(struct capture *c, struct err *e)
{
	struct copier *cp = &c->cp;
	pthread_mutex_lock(&cp->lock);
	const struct range last = cp->todo.n ? cp->todo.r[cp->todo.n - 1] : (struct range){0, 0};
	pthread_mutex_unlock(&cp->lock);
	if (last.start == last.end)
		return 0;
	const uint64_t start = last.end - last.start > HELP_PIECE ? last.end - HELP_PIECE : last.start;
	return copy_now(c, start, last.end, COPY_BACKGROUND, e);
}

void copier_set(struct capture *c, const struct ranges *todo)
{
	pthread_mutex_lock(&c->cp.lock);
	ranges_copy(&c->cp.todo, todo);
	pthread_mutex_unlock(&c->cp.lock);
}

uint64_t copier_frontier(struct capture *c)
{
	struct copier *cp = &c->cp;
	pthread_mutex_lock(&cp->claim);
	pthread_mutex_lock(&cp->lock);
	const uint64_t down_to = cp->todo.n ? cp->todo.r[cp->todo.n - 1].end : 0;
	pthread_mutex_unlock(&cp->lock);
	pthread_mutex_unlock(&cp->claim);
	return down_to;
}

uint64_t copier_patience(const struct capture *c)
{
	return now_ns() + ranges_total(&c->stored) * NS_PER_S / POLITE_RATE;
}

int copy_through(struct capture *c, struct image_writer *w, uint64_t start, uint64_t end, struct err *e)
{
	const size_t piece = 4 * PIECE;
	cleanup_free uint8_t *buf = xmalloc(piece);
	for (uint64_t at = start; at < end; at += piece) {
		const size_t len = MIN(piece, end - at);
		read_pages(&c->live, at, buf, len);
		if (image_put(w, at, buf, len / PAGE_LEN) < 0)
			return image_error(w, e);
		if (c->o->cancel && *c->o->cancel)
			return err_set(e, EXIT_CAPTURE, "interrupted");
		if (w == c->w)
			capture_event(c, EV_COPY, 0, at, len, COPY_STOPPED, 0);
	}
	return 0;
}

bool copier_poll(struct capture *c, struct ranges *copied)
{
	struct copier *cp = &c->cp;
	pthread_mutex_lock(&cp->lock);
	const bool done = cp->todo.n == 0 && cp->idle && !cp->first;
	const struct ranges had = *copied;
	*copied = cp->copied;
	cp->copied = had;
	ranges_clear(&cp->copied);
	pthread_mutex_unlock(&cp->lock);
	return done;
}
