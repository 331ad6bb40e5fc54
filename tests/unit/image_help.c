/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images for tests, made and compared. */
#include "image_help.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/buf.h"

char image_dir[64], image_path[96];
struct err image_err;

void image_setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(image_dir, sizeof(image_dir), "%.40s/test_image-XXXXXX", tmp ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(image_dir));
	snprintf(image_path, sizeof(image_path), "%s/a.ckpt", image_dir);
}

size_t files_in_dir(void)
{
	size_t n = 0;
	DIR *d = opendir(image_dir);

	for (struct dirent *de; (de = readdir(d));)
		n += de->d_name[0] != '.' || strlen(de->d_name) > 2;
	closedir(d);
	return n;
}

void image_teardown(void)
{
	unlink(image_path);
	ck_assert_int_eq(files_in_dir(), 0);
	rmdir(image_dir);
}

/* ---- a process and its pages ---- */

void page_make(uint64_t addr, uint64_t *out)
{
	uint64_t x = addr * 0x9e3779b97f4a7c15ull;

	memset(out, 0, PAGE_LEN);
	for (size_t i = 0; addr / PAGE_LEN % 3 && i < PAGE_LEN / 8; i++)
		out[i] = x = x * 6364136223846793005ull + 1442695040888963407ull;
}

void add_vma(struct proc *p, uint64_t start, uint64_t end, uint32_t prot, const char *file)
{
	struct vma *v = array_push(&p->vmas, &p->nvmas);

	v->start = start;
	v->end = end;
	v->prot = prot;
	v->shm_id = -1;
	v->kind = file ? VMA_FILE : VMA_ANON;
	v->path = xstrdup(file);
}

struct proc *make_proc(size_t nthreads)
{
	struct proc *p = proc_new();
	arch_regs regs;

	p->pid = 100;
	p->ppid = 1;
	p->comm = xstrdup("victim");
	strcpy(p->arch, arch->name);
	for (size_t i = 0; i < nthreads; i++) {
		struct thread *t = array_push(&p->threads, &p->nthreads);
		t->tid = 100 + (int)i;
		t->comm = xstrdup("victim");
		t->state = 'S';
		memset(&regs, (int)i + 1, sizeof(regs));
		blob_set(&t->regs, &regs, sizeof(regs));
		struct user_fpregs_struct fp;
		memset(&fp, (int)i + 2, sizeof(fp));
		blob_set(&t->fpregs, &fp, sizeof(fp));
	}
	add_vma(p, P(0), P(100), PROT_READ | PROT_EXEC, "/bin/victim");
	add_vma(p, P(100), P(200), PROT_READ | PROT_WRITE, NULL);
	return p;
}

struct image_writer *write_begin(void)
{
	struct image_writer *w;

	ck_assert_msg(image_create(&w, image_path, &image_err) == 0, "%s", image_err.text);
	return w;
}

uint64_t write_finish(struct image_writer *w, struct proc *p)
{
	uint64_t len;

	ck_assert_msg(image_finish(w, p, &len, &image_err) == 0, "%s", image_err.text);
	proc_free(p);
	return len;
}

struct image *open_good(void)
{
	struct image *im = image_open(image_path, &image_err);

	ck_assert_msg(im != NULL, "%s", image_err.text);
	return im;
}

void put_range(struct image_writer *w, uint64_t start, uint64_t end)
{
	uint64_t page[PAGE_LEN / 8];

	for (; start < end; start += PAGE_LEN) {
		page_make(start, page);
		ck_assert_int_eq(image_put(w, start, page, 1), 0);
	}
}

void expect_range(struct image *im, uint64_t start, uint64_t end)
{
	uint64_t want[PAGE_LEN / 8], got[PAGE_LEN / 8], sum;

	for (; start < end; start += PAGE_LEN) {
		page_make(start, want);
		ck_assert_uint_eq(image_read(im, start, got, PAGE_LEN), PAGE_LEN);
		ck_assert_mem_eq(want, got, PAGE_LEN);
		ck_assert(image_page_sum(im, start, &sum));
		ck_assert_uint_eq(sum, image_page_hash(want));
	}
}

void expect_verified(struct image *im, uint64_t pages)
{
	uint64_t n;

	ck_assert_msg(image_verify(im, &n, &image_err) == 0, "%s", image_err.text);
	ck_assert_uint_eq(n, pages);
}

uint64_t write_small(void)
{
	struct image_writer *w = write_begin();
	struct proc *p = make_proc(2);

	ck_assert_int_eq(image_reserve(w, P(98), P(104), &image_err), 0);
	ck_assert_int_eq(image_reserve(w, P(150), P(153), &image_err), 0);
	put_range(w, P(98), P(104));
	put_range(w, P(150), P(153));
	struct fdesc *f = array_push(&p->fds, &p->nfds);
	f->fd = 7;
	f->kind = FD_PIPE;
	blob_set(&f->content.mem, "water in the pipe", 17);
	return write_finish(w, p);
}
