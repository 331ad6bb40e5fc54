// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * FILL: the pages of one mapping. The step's calls let the child read them from the image into
 * place. For much private anonymous memory we do the same from outside, faster: UFFDIO_COPY makes a
 * page and fills it at once (a read makes a zeroed one first, by a fault each), and the checksum is
 * taken on the way. What the child reads by itself the verifier looks at meanwhile, in another
 * thread.
 */
#include "restore/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/text.h"

#define WORTH_IT (4ull << 20) /* bytes: below it the two extra stops cost more */
#define PIECE (128u << 10)    /* stays in the cache between reading, hashing and copying */
#define USER_MODE_ONLY 1      /* UFFD_USER_MODE_ONLY, kernel 5.11: needs no privilege */

/* The child's userfaultfd becomes ours; in the child it is closed at once. */
void fill_open(struct runner *r)
{
	struct uffdio_api api = {.api = UFFD_API};

	r->uffd = -1;
	const int64_t rfd =
		exec_one(r, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY, 0, 0, 0, 0);

	if (rfd < 0)
		return;
	r->uffd = (int)syscall(SYS_pidfd_getfd, r->t.pidfd, (int)rfd, 0);
	exec_one(r, SYS_close, (uint64_t)rfd, 0, 0, 0, 0);
	if (r->uffd >= 0 && ioctl(r->uffd, UFFDIO_API, &api) < 0)
		fill_close(r);
}

void fill_close(struct runner *r)
{
	if (r->uffd >= 0)
		close(r->uffd);
	r->uffd = -1;
}

bool fill_is_ours(const struct runner *r, const struct step *s)
{
	const struct vma *v = &r->plan->proc->vmas[s->idx];
	uint64_t len = 0;

	if (r->uffd < 0 || v->shared || (v->kind != VMA_ANON && v->kind != VMA_HEAP) ||
		(v->path && v->path[0] == '/'))
		return false;
	/* Huge pages come by faults. */
	if (vma_has_flag(v, "hg"))
		return false;
	for (size_t i = 0; i < s->ncalls; i++)
		if (s->calls[i].nr == SYS_pread64)
			len += s->calls[i].args[2].num;
	return len >= WORTH_IT;
}

/* Reads [addr, addr + len) of the process from off of the image into buf, and checks it. */
int fill_read(
	struct image *im, uint64_t addr, uint64_t off, uint8_t *buf, size_t len, struct err *e)
{
	const ssize_t n = pread_all(image_fd(im), buf, len, (off_t)off);

	if (n < 0)
		return err_sys(e, EXIT_IMAGE, "read page 0x%llx", (unsigned long long)addr);
	if ((size_t)n != len)
		return err_set(
			e, EXIT_IMAGE, "page 0x%llx: the image ends", (unsigned long long)addr);
	for (size_t at = 0; at < len; at += PAGE_LEN) {
		uint64_t sum;

		if (image_page_sum(im, addr + at, &sum) && sum != image_page_hash(buf + at))
			return err_set(e, EXIT_IMAGE,
				"page 0x%llx: checksum differs (at 0x%llx of the file)",
				(unsigned long long)(addr + at), (unsigned long long)(off + at));
	}
	return 0;
}

static int copy_piece(
	struct runner *r, uint64_t addr, const uint8_t *buf, uint64_t len, struct err *e)
{
	struct uffdio_copy c = {.dst = addr,
		.src = (uint64_t)(uintptr_t)buf,
		.len = len,
		.mode = UFFDIO_COPY_MODE_DONTWAKE};

	while (ioctl(r->uffd, UFFDIO_COPY, &c) < 0) {
		if (errno != EAGAIN)
			return err_sys(
				e, EXIT_RESTORE, "copy to 0x%llx", (unsigned long long)c.dst);
		/* Interrupted on the way: c.copy says how far it came. */
		const uint64_t done = c.copy > 0 ? (uint64_t)c.copy : 0;

		c = (struct uffdio_copy){.dst = c.dst + done,
			.src = c.src + done,
			.len = c.len - done,
			.mode = c.mode};
		if (!c.len)
			return 0;
	}
	return 0;
}

static int copy_call(struct runner *r, const struct step_call *c, uint8_t *buf, struct err *e)
{
	const uint64_t addr = c->args[1].num, len = c->args[2].num, off = c->args[3].num;

	for (uint64_t done = 0; done < len;) {
		const uint64_t n = MIN((uint64_t)PIECE, len - done);

		if (fill_read(r->plan->im, addr + done, off + done, buf, n, e) < 0 ||
			copy_piece(r, addr + done, buf, n, e) < 0)
			return -1;
		done += n;
	}
	return 0;
}

/* Copying a step's pages by several threads: each takes the next call until none is left or one has
 * failed. */
struct crew {
	struct runner *r;
	const struct step *s;
	atomic_size_t next;
	atomic_bool failed;
};
struct worker {
	struct crew *crew;
	pthread_t thread;
	bool running;
	struct err err;
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->crew;
	cleanup_free uint8_t *buf = xmalloc(PIECE);

	for (size_t i; !c->failed && (i = atomic_fetch_add(&c->next, 1)) < c->s->ncalls;)
		if (c->s->calls[i].nr == SYS_pread64 &&
			copy_call(c->r, &c->s->calls[i], buf, &w->err) < 0)
			c->failed = true;
	return NULL;
}

static int copy_by_crew(struct runner *r, const struct step *s, struct err *e)
{
	struct crew crew = {.r = r, .s = s};
	struct worker w[2] = {{.crew = &crew}, {.crew = &crew}};
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w[1].running = s->ncalls > 2 && pthread_create(&w[1].thread, NULL, worker_main, &w[1]) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	worker_main(&w[0]);
	if (w[1].running)
		pthread_join(w[1].thread, NULL);
	if (crew.failed)
		*e = w[0].err.text[0] ? w[0].err : w[1].err;
	return crew.failed ? -1 : 0;
}

static int copy_all(struct runner *r, const struct step *s, struct err *e)
{
	const struct vma *v = &r->plan->proc->vmas[s->idx];
	struct uffdio_register reg = {
		.range = {v->start, v->end - v->start}, .mode = UFFDIO_REGISTER_MODE_MISSING};

	if (ioctl(r->uffd, UFFDIO_REGISTER, &reg) < 0)
		return err_sys(e, EXIT_RESTORE, "%s: userfaultfd", text_safe(s->what));
	const int rc = copy_by_crew(r, s, e);

	if (ioctl(r->uffd, UFFDIO_UNREGISTER, &reg.range) < 0 && rc == 0)
		return err_sys(e, EXIT_RESTORE, "%s: userfaultfd", text_safe(s->what));
	return rc;
}

int fill_run(struct runner *r, const struct step *s, struct err *e)
{
	if (!fill_is_ours(r, s))
		return exec_step(r, s, e);
	if (exec_flush(r, e) < 0 || copy_all(r, s, e) < 0)
		return -1;
	r->who = run_task(r, s->tid);
	for (size_t i = 0; i < s->ncalls; i++) {
		const struct step_call *c = &s->calls[i];

		if (c->nr == SYS_pread64)
			continue;
		const int64_t ret =
			exec_one(r, c->nr, c->args[0].num, c->args[1].num, c->args[2].num, 0, 0);

		if (ret < 0)
			return err_set(
				e, EXIT_RESTORE, "%s: %s", text_safe(s->what), strerror((int)-ret));
	}
	return 0;
}
