/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * oracle IMAGE ORACLE: compares an image with the one that `save --oracle` made of the same instant by copying every
 * present page while everything stood still. A page of the oracle that the image does not hold must be what a
 * restore would put there: the file's bytes, or zeros. The reverse must hold as well.
 *
 * oracle IMAGE pid:N: the same against the memory of a process that stands still, every page of every mapping.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "image/image.h"

static uint64_t compared, reported;

static void report(uint64_t addr, const char *what)
{
	if (reported++ < 10)
		printf("page %#lx: %s\n", addr, what);
}

static const struct vma *vma_at(const struct proc *p, uint64_t addr)
{
	for (size_t i = 0; i < p->nvmas; i++)
		if (addr >= p->vmas[i].start && addr < p->vmas[i].end)
			return &p->vmas[i];
	return NULL;
}

/* What is behind a page that an image does not hold. */
static void fill_behind(const struct proc *p, uint64_t addr, uint8_t *page)
{
	const struct vma *v = vma_at(p, addr);
	memset(page, 0, PAGE_LEN);
	if (!v || !v->path || v->path[0] != '/')
		return;
	int fd = open(v->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (pread(fd, page, PAGE_LEN, (off_t)(v->off + (addr - v->start))) < 0)
		memset(page, 0, PAGE_LEN);
	close(fd);
}

static void read_page(struct image *im, uint64_t addr, uint8_t *page)
{
	uint64_t off;
	if (image_locate(im, addr, &off) < PAGE_LEN)
		fill_behind(image_proc(im), addr, page);
	else if (image_read(im, addr, page, PAGE_LEN) != PAGE_LEN)
		report(addr, "cannot be read");
}

/* A shared file mapping's bytes are the file's: they go on changing and no image holds them. */
static bool in_file(struct image *im, uint64_t addr)
{
	const struct vma *v = vma_at(image_proc(im), addr);
	return v && v->store == STORE_FILE;
}

static void compare(struct image *over, struct image *with, const char *what)
{
	const struct ranges *stored = image_stored(over);
	uint8_t a[PAGE_LEN], b[PAGE_LEN];
	for (size_t i = 0; i < stored->n; i++)
		for (uint64_t addr = stored->r[i].start; addr < stored->r[i].end; addr += PAGE_LEN) {
			if (in_file(over, addr))
				continue;
			read_page(over, addr, a);
			read_page(with, addr, b);
			compared++;
			if (memcmp(a, b, PAGE_LEN))
				report(addr, what);
		}
}

/* The kernel writes a thread's rseq area whenever the thread goes back to user mode (which processor it is on). */
static void forget_rseq(const struct proc *p, uint64_t addr, uint8_t *page)
{
	for (size_t i = 0; i < p->nthreads; i++) {
		const uint64_t start = p->threads[i].rseq.addr, end = start + p->threads[i].rseq.len;
		for (uint64_t at = start < addr ? addr : start; at < end && at < addr + PAGE_LEN; at++)
			page[at - addr] = 0;
	}
}

static int finish(void)
{
	printf("%lu pages compared, %lu differ\n", compared, reported);
	return reported || !compared;
}

/* Is there anything to compare? The kernel's own pages and devices have no bytes of the process. */
static bool comparable(const struct vma *v)
{
	return v->kind <= VMA_SHM && v->store != STORE_FILE && !(v->kind == VMA_FILE && v->shared);
}

static int compare_live(struct image *im, const char *pid)
{
	char path[64];
	uint8_t here[PAGE_LEN], there[PAGE_LEN];
	const struct proc *p = image_proc(im);
	snprintf(path, sizeof(path), "/proc/%d/mem", atoi(pid));
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		return 2;
	}
	for (size_t i = 0; i < p->nvmas; i++)
		for (uint64_t addr = p->vmas[i].start; comparable(&p->vmas[i]) && addr < p->vmas[i].end; addr += PAGE_LEN) {
			if (pread(fd, there, PAGE_LEN, (off_t)addr) != (ssize_t)PAGE_LEN)
				continue;       /* behind the end of the file */
			read_page(im, addr, here);
			forget_rseq(p, addr, here);
			forget_rseq(p, addr, there);
			compared++;
			if (memcmp(here, there, PAGE_LEN))
				report(addr, p->vmas[i].path ? p->vmas[i].path : "not what the process has");
		}
	close(fd);
	return finish();
}

int main(int argc, char **argv)
{
	struct err e = {0};
	if (argc != 3) {
		fprintf(stderr, "usage: oracle IMAGE ORACLE|pid:N\n");
		return 2;
	}
	struct image *image = image_open(argv[1], &e);
	if (image && !strncmp(argv[2], "pid:", 4)) {
		int ret = compare_live(image, argv[2] + 4);
		image_close(image);
		return ret;
	}
	struct image *truth = image ? image_open(argv[2], &e) : NULL;
	if (!truth) {
		fprintf(stderr, "oracle: %s\n", e.text);
		image_close(image);
		return 2;
	}
	compare(truth, image, "not what it was at the stop");
	compare(image, truth, "stored, and not what it was at the stop");
	image_close(truth);
	image_close(image);
	return finish();
}
