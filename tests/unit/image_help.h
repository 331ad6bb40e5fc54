/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the tests of images share: a directory, a process, pages whose bytes follow from their
 * address. */
#ifndef CKPT_TESTS_IMAGE_HELP_H
#define CKPT_TESTS_IMAGE_HELP_H

#include <check.h>

#include "image/image.h"

#define BASE 0x10000000ull
#define P(n) (BASE + (n) * PAGE_LEN)

/* A fresh directory, an image's path in it; image_teardown expects nothing else to be left. */
extern char image_dir[64], image_path[96];
extern struct err image_err;
void image_setup(void);
void image_teardown(void);
size_t files_in_dir(void);

/* The bytes of the page at addr; every third page is zero. */
void page_make(uint64_t addr, uint64_t *out);
void add_vma(struct proc *p, uint64_t start, uint64_t end, uint32_t prot, const char *file);
/* Threads 100, 101, ..., a file mapping of 100 pages at P(0), an anonymous one at P(100). */
struct proc *make_proc(size_t nthreads);

struct image_writer *write_begin(void);
/* Finishes, frees p; the file's length. */
uint64_t write_finish(struct image_writer *w, struct proc *p);
struct image *open_good(void);
void put_range(struct image_writer *w, uint64_t start, uint64_t end);
void expect_range(struct image *im, uint64_t start, uint64_t end);
void expect_verified(struct image *im, uint64_t pages);
/* A small whole image: two runs, a pipe's contents, two threads. Its length. */
uint64_t write_small(void);

#endif
