/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The image, written and read back: what goes in comes out. Damage: test_image_damage.c. */
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/buf.h"
#include "image_help.h"

START_TEST(round_trip)
{
	write_small();
	struct image *im = open_good();
	const struct proc *p = image_proc(im);
	char text[17];

	expect_range(im, P(98), P(104));
	expect_range(im, P(150), P(153));
	expect_verified(im, 9);
	ck_assert_uint_eq(ranges_total(image_stored(im)), 9 * PAGE_LEN);
	ck_assert_uint_eq(p->nthreads, 2);
	ck_assert_uint_eq(p->threads[1].regs.len, sizeof(arch_regs));
	ck_assert_uint_eq(p->threads[1].regs.data[9], 2);
	ck_assert_uint_eq(p->threads[1].fpregs.data[9], 3);
	ck_assert_uint_eq(p->vmas[0].stored, 2 * PAGE_LEN);
	ck_assert_uint_eq(p->vmas[1].stored, 7 * PAGE_LEN);
	ck_assert(!p->foreign);
	ck_assert_uint_eq(proc_fd(p, 7)->content.len, 17);
	ck_assert_int_eq(image_bulk(im, &proc_fd(p, 7)->content, text, &image_err), 0);
	ck_assert_mem_eq(text, "water in the pipe", 17);
	ck_assert_uint_eq(image_read(im, P(97), text, 4), 0);
	ck_assert_uint_eq(image_read(im, P(104) - 2, text, 4), 2);
	image_close(im);
}
END_TEST

START_TEST(file_is_private_and_replaces)
{
	struct stat st;
	close(open(image_path, O_CREAT | O_WRONLY, 0644));
	struct image_writer *w = write_begin();

	ck_assert_int_eq(image_reserve(w, P(0), P(1), &image_err), 0);
	image_abandon(w);
	ck_assert_int_eq(stat(image_path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_int_eq(files_in_dir(), 1);
	const uint64_t len = write_small();
	ck_assert_int_eq(stat(image_path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq((uint64_t)st.st_size, len);
}
END_TEST

/* Four threads put their own pages of the same ranges in an order of their own. */
#define MANY 4096
struct putter {
	struct image_writer *w;
	unsigned seed, part;
};

static void *put_thread(void *arg)
{
	struct putter *me = arg;
	static _Thread_local uint64_t pages[8][PAGE_LEN / 8];

	for (unsigned i = 0; i < MANY / 4 / 8; i++) {
		/* An odd factor walks through all places once. */
		const uint64_t block = (i * 77 + me->seed) % (MANY / 32);
		const uint64_t at = P(block * 32 + me->part * 8);
		for (unsigned k = 0; k < 8; k++)
			page_make(at + k * PAGE_LEN, pages[k]);
		if (image_put(me->w, at, pages, 8) < 0)
			return "failed";
	}
	return NULL;
}

START_TEST(puts_from_four_threads)
{
	struct image_writer *w = write_begin();
	struct proc *p = make_proc(1);
	struct putter putters[4];
	pthread_t threads[4];
	uint64_t written, put;

	for (uint64_t i = 0; i < MANY; i += 16)
		ck_assert_int_eq(image_reserve(w, P(i), P(i + 16), &image_err), 0);
	for (unsigned i = 0; i < 4; i++) {
		putters[i] = (struct putter){w, i * 13, i};
		pthread_create(&threads[i], NULL, put_thread, &putters[i]);
	}
	/* Meanwhile more room is made. */
	for (uint64_t i = 0; i < 3000; i++)
		ck_assert_int_eq(image_reserve(w, P(MANY + 10 + 2 * i), P(MANY + 11 + 2 * i),
			&image_err), 0);
	for (unsigned i = 0; i < 4; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		ck_assert_ptr_null(failed);
	}
	image_progress(w, &written, &put);
	ck_assert_uint_eq(put, MANY * PAGE_LEN);
	ck_assert_uint_lt(written, put);
	write_finish(w, p);
	struct image *im = open_good();
	expect_range(im, BASE, P(MANY));
	expect_verified(im, MANY + 3000);
	image_close(im);
}
END_TEST

START_TEST(reserved_but_never_put_is_zero)
{
	struct image_writer *w = write_begin();
	struct stat st;
	char buf[PAGE_LEN], zero[PAGE_LEN] = {0};
	uint64_t sum = 1;

	ck_assert_int_eq(image_reserve(w, P(0), P(10000), &image_err), 0);
	ck_assert_int_eq(image_put(w, P(7), memset(buf, 'x', PAGE_LEN), 1), 0);
	write_finish(w, make_proc(1));
	ck_assert_int_eq(stat(image_path, &st), 0);
	ck_assert_int_gt(st.st_size, 10000 * (off_t)PAGE_LEN);
	ck_assert_int_lt(st.st_blocks * 512, 400 << 10);
	struct image *im = open_good();
	ck_assert_uint_eq(image_read(im, P(9999), buf, PAGE_LEN), PAGE_LEN);
	ck_assert_mem_eq(buf, zero, PAGE_LEN);
	ck_assert(image_page_sum(im, P(9999), &sum));
	ck_assert_uint_eq(sum, 0);
	expect_verified(im, 10000);
	image_close(im);
}
END_TEST

START_TEST(page_put_again_as_zero_is_zero)
{
	struct image_writer *w = write_begin();
	char buf[PAGE_LEN];

	ck_assert_int_eq(image_reserve(w, P(0), P(2), &image_err), 0);
	ck_assert_int_eq(image_put(w, P(1), memset(buf, 'x', PAGE_LEN), 1), 0);
	ck_assert_int_eq(image_put(w, P(1), memset(buf, 0, PAGE_LEN), 1), 0);
	write_finish(w, make_proc(1));
	struct image *im = open_good();
	ck_assert_uint_eq(image_read(im, P(1) + 9, buf, 1), 1);
	ck_assert_int_eq(buf[0], 0);
	expect_verified(im, 2);
	image_close(im);
}
END_TEST

START_TEST(neighbours_share_a_run)
{
	struct image_writer *w = write_begin();
	uint64_t off;

	for (uint64_t i = 110; i < 120; i++)
		ck_assert_int_eq(image_reserve(w, P(i), P(i + 1), &image_err), 0);
	ck_assert_int_eq(image_reserve(w, P(105), P(130), &image_err), 0);
	put_range(w, P(105), P(130));
	write_finish(w, make_proc(1));
	struct image *im = open_good();
	ck_assert_uint_eq(image_locate(im, P(112), &off), 8 * PAGE_LEN);
	ck_assert_uint_eq(image_stored(im)->n, 1);
	expect_range(im, P(105), P(130));
	image_close(im);
}
END_TEST

START_TEST(unreserved_is_not_stored)
{
	struct image_writer *w = write_begin();
	char buf[PAGE_LEN];

	ck_assert_int_eq(image_reserve(w, P(110), P(120), &image_err), 0);
	put_range(w, P(110), P(120));
	image_unreserve(w, P(112), P(115));
	image_unreserve(w, P(0), P(111));
	write_finish(w, make_proc(1));
	struct image *im = open_good();
	ck_assert_uint_eq(ranges_total(image_stored(im)), 6 * PAGE_LEN);
	ck_assert_uint_eq(image_read(im, P(112), buf, PAGE_LEN), 0);
	expect_range(im, P(111), P(112));
	expect_range(im, P(115), P(120));
	expect_verified(im, 6);
	image_close(im);
}
END_TEST

START_TEST(seventy_thousand_runs)
{
	struct image_writer *w = write_begin();
	struct proc *p = make_proc(1);
	uint64_t got = 0;

	add_vma(p, P(1000), P(141000), PROT_READ | PROT_WRITE, NULL);
	for (uint64_t i = 0; i < 70000; i++)
		ck_assert_int_eq(image_reserve(w, P(1000 + 2 * i), P(1001 + 2 * i), &image_err), 0);
	for (uint64_t i = 0; i < 70000; i += 997)
		ck_assert_int_eq(image_put(w, P(1000 + 2 * i), memset((char[PAGE_LEN]){0},
			1 + i % 200, PAGE_LEN), 1), 0);
	write_finish(w, p);
	struct image *im = open_good();
	ck_assert_uint_eq(image_stored(im)->n, 70000);
	ck_assert_uint_eq(image_read(im, P(1000 + 2 * 997 * 9), &got, 1), 1);
	ck_assert_uint_eq(got, 1 + 997 * 9 % 200);
	expect_verified(im, 70000);
	image_close(im);
}
END_TEST

START_TEST(other_cores_are_read)
{
	const uint64_t len = write_small();
	const int fd = open(image_path, O_RDWR);
	char *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	for (char *at = map; (at = memmem(at, len - (size_t)(at - map), "CKPTVIEW", 9));)
		memcpy(at, "SOMEBODY", 8);
	munmap(map, len);
	close(fd);
	struct image *im = open_good();
	const struct proc *p = image_proc(im);
	uint64_t n;

	ck_assert(p->foreign);
	ck_assert_uint_eq(p->nthreads, 2);
	ck_assert_int_eq(p->threads[1].tid, 101);
	ck_assert_uint_eq(p->threads[1].regs.data[0], 2);
	ck_assert_str_eq(p->comm, "victim");
	ck_assert_ptr_nonnull(proc_vma(p, P(98)));
	ck_assert_str_eq(proc_vma(p, P(98))->path, "/bin/victim");
	ck_assert_uint_eq(proc_vma(p, P(98))->off, 98 * PAGE_LEN);
	ck_assert(!image_page_sum(im, P(98), &n));
	ck_assert_int_eq(image_verify(im, &n, &image_err), -1);
	image_close(im);
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("all");
	Suite *s = suite_create("image");

	tcase_add_checked_fixture(c, image_setup, image_teardown);
	tcase_add_test(c, round_trip);
	tcase_add_test(c, file_is_private_and_replaces);
	tcase_add_test(c, puts_from_four_threads);
	tcase_add_test(c, reserved_but_never_put_is_zero);
	tcase_add_test(c, page_put_again_as_zero_is_zero);
	tcase_add_test(c, neighbours_share_a_run);
	tcase_add_test(c, unreserved_is_not_stored);
	tcase_add_test(c, seventy_thousand_runs);
	tcase_add_test(c, other_cores_are_read);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
