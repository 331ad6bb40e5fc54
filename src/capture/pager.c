/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The pager thread and its ioctls (ioctl_userfaultfd(2)). */
#include "capture/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"

/* linux/userfaultfd.h of kernel 6.4; Debian 12's headers are older. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1 /* kernel 5.11 */
#endif
#define FEATURE_WP_UNPOPULATED (1ull << 13)
/* One hold of the mmap lock: protecting 2 MiB takes 50 us, for reading; giving back holds it for writing. */
#define PROTECT_PIECE (2ull << 20)
#define RELEASE_PIECE (256ull << 10)
/* Giving back a part splits the mapping for a while, and mremap(2) wants it whole: the smaller ones are given back whole. */
#define RELEASE_WHOLE (4ull << 20)
#define MESSAGES 16

static uint64_t page_of(uint64_t addr)
{
	return addr & ~(PAGE_LEN - 1);
}

static int handshake(int fd, uint64_t features, uint64_t *has)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	const int ret = ioctl(fd, UFFDIO_API, &api);
	*has = api.features;
	return ret;
}

/* What this kernel's userfaultfd offers, 0: nothing. */
static uint64_t offered(void)
{
	uint64_t has = 0;
	cleanup_fd int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
	if (fd < 0 || handshake(fd, 0, &has) < 0)
		return 0;
	return has;
}

int pager_supported(struct err *e)
{
	const uint64_t has = offered();
	if (has & UFFD_FEATURE_PAGEFAULT_FLAG_WP)
		return 0;
	return err_set(e, EXIT_CAPTURE, "engine uffd: this kernel has no write protection by userfaultfd");
}

/* ---- ioctls ---- */
/* False: there is nothing (any more) that could be protected. */
static bool protect(struct pager *g, uint64_t start, uint64_t end, bool on)
{
	struct uffdio_writeprotect wp = {.range = {.start = start, .len = end - start},
		.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
	while (ioctl(g->fd, UFFDIO_WRITEPROTECT, &wp) < 0)
		if (errno != EAGAIN && errno != EINTR)
			return false;
	return true;
}

bool pager_register(struct pager *g, uint64_t start, uint64_t end)
{
	struct uffdio_register reg = {.range = {.start = start, .len = end - start},
		.mode = UFFDIO_REGISTER_MODE_WP};
	if (ioctl(g->fd, UFFDIO_REGISTER, &reg) < 0)
		return false;
	pthread_mutex_lock(&g->lock);
	ranges_add(&g->registered, start, end);
	pthread_mutex_unlock(&g->lock);
	return true;
}

bool pager_protect(struct pager *g, uint64_t start, uint64_t end)
{
	bool all = true;
	for (uint64_t at = start; at < end; at += PROTECT_PIECE)
		all = protect(g, at, MIN(end, at + PROTECT_PIECE), true) && all;
	return all;
}

static void unregister(struct pager *g, uint64_t start, uint64_t end)
{
	struct uffdio_range r = {.start = start, .len = end - start};
	/* Fails where the program has something else now: then there is nothing of ours left. */
	ioctl(g->fd, UFFDIO_UNREGISTER, &r);
}

int pager_open(struct pager *g, uint64_t start, uint64_t end, struct err *e)
{
	struct ranges parts = {0};
	int ret = 0;
	start = page_of(start);
	end = page_of(end + PAGE_LEN - 1);
	pthread_mutex_lock(&g->lock);
	ranges_clip(&g->registered, start, end, &parts);
	const bool after = g->after_stop;
	/* Under the lock: who takes what was opened and protects it again must not be overtaken by this. */
	for (size_t i = 0; i < parts.n && !after; i++) {
		ranges_add(&g->opened, parts.r[i].start, parts.r[i].end);
		protect(g, parts.r[i].start, parts.r[i].end, false);
	}
	pthread_mutex_unlock(&g->lock);
	for (size_t i = 0; i < parts.n && after && ret == 0; i++) {
		ret = copy_now(g->c, parts.r[i].start, parts.r[i].end, COPY_FAULT, e);
		/* Also when the image has failed: whoever waits must not wait for ever. */
		protect(g, parts.r[i].start, parts.r[i].end, false);
	}
	ranges_deinit(&parts);
	return ret;
}

void pager_drop(struct pager *g, uint64_t start, uint64_t end)
{
	struct ranges parts = {0};
	pthread_mutex_lock(&g->lock);
	ranges_clip(&g->registered, start, end, &parts);
	pthread_mutex_unlock(&g->lock);
	for (size_t i = 0; i < parts.n; i++)
		unregister(g, parts.r[i].start, parts.r[i].end);
	ranges_deinit(&parts);
	pager_forget(g, start, end);
}

void pager_forget(struct pager *g, uint64_t start, uint64_t end)
{
	pthread_mutex_lock(&g->lock);
	ranges_cut(&g->registered, start, end);
	ranges_cut(&g->opened, start, end);
	pthread_mutex_unlock(&g->lock);
}

void pager_take_opened(struct pager *g, bool after_stop, struct ranges *out)
{
	pthread_mutex_lock(&g->lock);
	ranges_add_all(out, &g->opened);
	ranges_clear(&g->opened);
	g->after_stop = after_stop;
	pthread_mutex_unlock(&g->lock);
}

/* ---- giving back ---- */
/* The highest piece of registered memory that is copied wholly; false: none now. */
static bool next_release(struct pager *g, struct range *piece)
{
	bool found = false;
	const uint64_t copied_down_to = copier_frontier(g->c);
	pthread_mutex_lock(&g->lock);
	const size_t n = g->after_stop ? g->registered.n : 0;
	if (n && g->registered.r[n - 1].end > copied_down_to) {
		const struct range last = g->registered.r[n - 1];
		const struct vma *v = proc_vma(g->c->proc, last.end - 1);
		const uint64_t first = v ? MAX(v->start, last.start) : last.start;
		const bool whole = v && v->end - v->start <= RELEASE_WHOLE;
		*piece = (struct range){whole ? first : MAX(first, (last.end - 1) & ~(RELEASE_PIECE - 1)), last.end};
		found = piece->start >= copied_down_to;
		if (found)
			ranges_cut(&g->registered, piece->start, piece->end);
	}
	pthread_mutex_unlock(&g->lock);
	return found;
}

static bool release_piece(struct pager *g)
{
	struct range piece;
	if (!next_release(g, &piece))
		return false;
	unregister(g, piece.start, piece.end);
	capture_event(g->c, EV_RELEASE, 0, piece.start, piece.end - piece.start, 0, 0);
	return true;
}

bool pager_done(struct pager *g)
{
	pthread_mutex_lock(&g->lock);
	const bool done = g->registered.n == 0;
	pthread_mutex_unlock(&g->lock);
	return done;
}

/* ---- the thread ---- */
static void serve(struct pager *g, const struct uffd_msg *m, uint64_t since)
{
	struct err ignored;
	if (m->event != UFFD_EVENT_PAGEFAULT)
		return;
	const uint64_t addr = page_of(m->arg.pagefault.address);
	pthread_mutex_lock(&g->lock);
	const bool ours = ranges_has(&g->registered, addr), after = g->after_stop;
	pthread_mutex_unlock(&g->lock);
	/* A failure to copy is sticky and ends the checkpoint (image_error); the program goes on in any case. */
	if (ours)
		pager_open(g, addr, addr + PAGE_LEN, &ignored);
	else
		protect(g, addr, addr + PAGE_LEN, false);
	if (after)
		capture_event(g->c, EV_STALL, (int)m->arg.pagefault.feat.ptid, addr, 0, now_ns() - since, STALL_FAULT);
}

static bool serve_faults(struct pager *g)
{
	struct uffd_msg msgs[MESSAGES];
	const uint64_t since = now_ns();
	const ssize_t n = read(g->fd, msgs, sizeof(msgs));
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(msgs[0]); i++)
		serve(g, &msgs[i], since);
	return n > 0;
}

static void *pager_main(void *arg)
{
	struct pager *g = arg;
	const struct sched_param sp = {.sched_priority = 2};
	uint64_t count;
	/* What serves faults runs before everything else; where that is not permitted, as it may. */
	sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &sp);
	while (!g->quit) {
		if (serve_faults(g) || release_piece(g))
			continue;
		struct pollfd p[2] = {{.fd = g->fd, .events = POLLIN}, {.fd = g->wake, .events = POLLIN}};
		if (poll(p, 2, -1) > 0 && (p[1].revents & POLLIN) && read(g->wake, &count, sizeof(count)) < 0)
			continue;
	}
	return NULL;
}

void pager_wake(struct pager *g)
{
	const uint64_t one = 1;
	if (write(g->wake, &one, sizeof(one)) < 0)
		return; /* full: it is awake */
}

int pager_start(struct pager *g, struct capture *c, int fd, struct err *e)
{
	const uint64_t wanted = (UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_THREAD_ID | FEATURE_WP_UNPOPULATED) & offered();
	uint64_t has;
	*g = (struct pager){.c = c, .fd = fd, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	mutex_init_inherit(&g->lock);
	if (g->wake < 0 || handshake(fd, wanted, &has) < 0)
		return err_sys(e, EXIT_CAPTURE, "userfaultfd");
	g->holes = wanted & FEATURE_WP_UNPOPULATED;
	errno = thread_start(&g->thread, pager_main, g);
	if (errno)
		return err_sys(e, EXIT_CAPTURE, "start the paging thread");
	g->started = true;
	return 0;
}

void pager_stop(struct pager *g)
{
	if (g->started) {
		g->quit = true;
		pager_wake(g);
		pthread_join(g->thread, NULL);
		g->started = false;
	}
	if (g->fd >= 0)
		close(g->fd);
	if (g->wake >= 0)
		close(g->wake);
	g->fd = g->wake = -1;
	ranges_deinit(&g->registered);
	ranges_deinit(&g->opened);
}
