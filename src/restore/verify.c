// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * The checksums of all of the image but what fill.c checks on the way: pages that the child reads
 * by itself, those it needs not, contents of descriptors. A thread of ours looks at them meanwhile;
 * the child is not let go before that has ended well.
 */
#include "restore/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PIECE (256u << 10)

/* A hole reads as zeros: its pages must have been zero. */
static int verify_hole(struct image *im, uint64_t addr, uint64_t len, struct err *e)
{
	for (uint64_t at = addr; at < addr + len; at += PAGE_LEN) {
		uint64_t sum;

		if (image_page_sum(im, at, &sum) && sum)
			return err_set(e, EXIT_IMAGE,
				"page 0x%llx: checksum differs (a hole of the file)",
				(unsigned long long)at);
	}
	return 0;
}

/* Bytes of hole from off on, whole pages, at most len. */
static uint64_t hole_len(struct image *im, uint64_t off, uint64_t len)
{
	const off_t data = lseek(image_fd(im), (off_t)off, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? len : 0;
	return MIN(((uint64_t)data - off) & ~(PAGE_LEN - 1), len);
}

static int verify_range(struct image *im, uint64_t addr, uint64_t end, uint8_t *buf, struct err *e)
{
	while (addr < end) {
		uint64_t off;
		const uint64_t room = MIN(image_locate(im, addr, &off), end - addr);
		const uint64_t hole = room ? hole_len(im, off, room) : 0;
		const uint64_t len = hole ? hole : MIN(room, (uint64_t)PIECE);

		if (!room)
			return err_set(e, EXIT_IMAGE, "page 0x%llx is not in the image",
				(unsigned long long)addr);
		if ((hole ? verify_hole(im, addr, len, e) : fill_read(im, addr, off, buf, len, e)) <
			0)
			return -1;
		addr += len;
	}
	return 0;
}

/* All that is stored but what fill.c looks at itself. */
static int verify_pages(struct runner *r, uint8_t *buf, struct err *e)
{
	struct ranges rest = {0};
	int rc = 0;

	ranges_add_all(&rest, image_stored(r->plan->im));
	for (size_t i = 0; i < r->plan->nsteps; i++) {
		const struct step *s = &r->plan->steps[i];

		if (s->kind != STEP_FILL || !fill_is_ours(r, s))
			continue;
		for (size_t k = 0; k < s->ncalls; k++)
			if (s->calls[k].nr == SYS_pread64)
				ranges_cut(&rest, s->calls[k].args[1].num,
					s->calls[k].args[1].num + s->calls[k].args[2].num);
	}
	for (size_t i = 0; i < rest.n && rc == 0; i++)
		rc = verify_range(r->plan->im, rest.r[i].start, rest.r[i].end, buf, e);
	ranges_deinit(&rest);
	return rc;
}

static int verify_content(struct runner *r, const struct fdesc *f, struct err *e)
{
	if (!f->content.len)
		return 0;
	uint8_t *bytes = malloc(f->content.len);
	const int rc =
		bytes ? image_bulk(r->plan->im, &f->content, bytes, e)
		      : err_set(e, EXIT_IMAGE, "content of descriptor %d: no memory for it", f->fd);

	free(bytes);
	return rc;
}

static void *verify_main(void *arg)
{
	struct runner *r = arg;
	struct verifier *v = &r->verifier;
	cleanup_free uint8_t *buf = xmalloc(PIECE);

	v->rc = verify_pages(r, buf, &v->err);
	for (size_t i = 0; i < r->plan->proc->nfds && v->rc == 0; i++)
		v->rc = verify_content(r, &r->plan->proc->fds[i], &v->err);
	return NULL;
}

void verify_start(struct runner *r)
{
	struct verifier *v = &r->verifier;
	uint64_t sum;
	sigset_t all, old;

	/* The image reads its table of checksums when it is first asked: not by two threads at
	 * once. */
	if (image_stored(r->plan->im)->n)
		image_page_sum(r->plan->im, image_stored(r->plan->im)->r[0].start, &sum);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	v->running = pthread_create(&v->thread, NULL, verify_main, r) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!v->running)
		verify_main(r);
}

int verify_end(struct runner *r, struct err *e)
{
	struct verifier *v = &r->verifier;

	if (v->running)
		pthread_join(v->thread, NULL);
	v->running = false;
	if (v->rc < 0) {
		*e = v->err;
		return err_class(e, EXIT_IMAGE);
	}
	return 0;
}
