/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images that are broken, and places where none can be made: one line, and nothing left behind. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "image/format.h"
#include "image_help.h"
#include "model/print.h"

/* Opens and verifies image_path: true when both find nothing. */
static bool looks_whole(void)
{
	uint64_t n;
	struct image *im = image_open(image_path, &image_err);
	const bool whole = im && image_verify(im, &n, &image_err) == 0;

	if (!whole) {
		ck_assert_int_eq(image_err.code, EXIT_IMAGE);
		ck_assert_ptr_null(strchr(image_err.text, '\n'));
		ck_assert_str_ne(image_err.text, "");
	}
	image_close(im);
	return whole;
}

static size_t loops(void)
{
	const char *slow = getenv("SLOW");

	return slow && *slow == '0' ? 500 : 4000;
}

START_TEST(every_flipped_bit_is_found)
{
	const uint64_t len = write_small();
	const int fd = open(image_path, O_RDWR);

	srandom(7);
	ck_assert(looks_whole());
	for (size_t i = 0; i < loops(); i++) {
		/* Half of them where the structure is: the first bytes and behind the pages. */
		const uint64_t at = i % 2 ? (uint64_t)random() % len :
			i % 8 == 0 ? (uint64_t)random() % 64 :
			10 * PAGE_LEN + (uint64_t)random() % (len - 10 * PAGE_LEN);
		unsigned char b, bad;
		ck_assert_int_eq(pread(fd, &b, 1, (off_t)at), 1);
		bad = b ^ (unsigned char)(1 << random() % 8);
		ck_assert_int_eq(pwrite(fd, &bad, 1, (off_t)at), 1);
		ck_assert_msg(!looks_whole(), "flip at 0x%lx not found", at);
		ck_assert_int_eq(pwrite(fd, &b, 1, (off_t)at), 1);
	}
	ck_assert(looks_whole());
	close(fd);
}
END_TEST

START_TEST(every_truncation_is_found)
{
	const uint64_t len = write_small();
	cleanup_free char *all = malloc(len);
	const int fd = open(image_path, O_RDWR);

	srandom(8);
	ck_assert_int_eq(pread(fd, all, len, 0), (ssize_t)len);
	for (size_t i = 0; i < loops(); i++) {
		const uint64_t cut = i < 300 ? len - 1 - i : (uint64_t)random() % len;
		ck_assert_int_eq(ftruncate(fd, (off_t)cut), 0);
		ck_assert_msg(!looks_whole(), "cut at 0x%lx not found", cut);
		ck_assert_int_eq(pwrite(fd, all + cut, len - cut, (off_t)cut),
			(ssize_t)(len - cut));
	}
	ck_assert(looks_whole());
	close(fd);
}
END_TEST

/* Many bytes at once, most of them in headers and notes: nothing may crash; found it will be. */
START_TEST(garbage_is_survived)
{
	const uint64_t len = write_small();
	cleanup_free char *all = malloc(len);
	const int fd = open(image_path, O_RDWR);

	srandom(9);
	ck_assert_int_eq(pread(fd, all, len, 0), (ssize_t)len);
	for (size_t i = 0; i < loops() / 2; i++) {
		for (int k = 0; k < 1 + (int)(i % 20); k++) {
			const uint64_t at = k % 3 ? 10 * PAGE_LEN + (uint64_t)random() %
				(len - 10 * PAGE_LEN) : (uint64_t)random() % 64;
			const unsigned char r[4] = {(unsigned char)random(), 0xff, 0xff, 0x7f};
			/* Whole words too: they make counts and lengths absurd. */
			ck_assert_int_gt(pwrite(fd, r, at + 4 <= len && i % 2 ? 4 : 1,
				(off_t)at), 0);
		}
		looks_whole();
		ck_assert_int_eq(pwrite(fd, all, len, 0), (ssize_t)len);
		ck_assert_int_eq(ftruncate(fd, (off_t)len), 0);
	}
	ck_assert(looks_whole());
	close(fd);
}
END_TEST

/* Uses everything an image gives, as the commands would. */
static void use_all(struct image *im)
{
	const struct proc *p = image_proc(im);
	const struct ranges *r = image_stored(im);
	FILE *out = fopen("/dev/null", "w");
	char page[PAGE_LEN];
	uint64_t n;

	for (const char *const *s = proc_sections; *s; s++)
		proc_print_section(out, p, *s);
	fclose(out);
	for (size_t i = 0; i < r->n && i < 100; i++) {
		image_read(im, r->r[i].start, page, sizeof(page));
		image_page_sum(im, r->r[i].end - 1, &n);
	}
	for (size_t i = 0; i < p->nfds; i++) {
		cleanup_free char *bytes = malloc(p->fds[i].content.len + 1);
		image_bulk(im, &p->fds[i].content, bytes, &image_err);
	}
	image_verify(im, &n, &image_err);
}

/* Makes the checksums of the whole file right again, as a liar would. in: its integrity note. */
static void sign_again(char *all, struct image_integrity *in)
{
	struct image_integrity v = *in;
	const uint64_t own = v.notes.off + v.notes.len, end = v.headers.off - sizeof(v);

	v.head_xxh = XXH3_64bits(all, PAGE_LEN);
	struct image_part *const parts[] = {&v.headers, &v.notes, &v.sums, &v.bulk};
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		parts[i]->xxh = XXH3_64bits(all + parts[i]->off, parts[i]->len);
	memcpy(all + end, &v, sizeof(v));
	v.own_xxh = XXH3_64bits(all + own, v.headers.off - own - sizeof(v.own_xxh));
	memcpy(all + end, &v, sizeof(v));
}

/* Bytes changed and every checksum right: only the checks of values are left. */
START_TEST(signed_lies_are_survived)
{
	const uint64_t len = write_small();
	cleanup_free char *good = malloc(len), *all = malloc(len);
	const int fd = open(image_path, O_RDWR);
	struct image_integrity in;
	size_t opened = 0;

	srandom(10);
	ck_assert_int_eq(pread(fd, good, len, 0), (ssize_t)len);
	const uint64_t phoff = *(uint64_t *)(good + 32);
	memcpy(&in, good + phoff - sizeof(in), sizeof(in));
	ck_assert_uint_eq(in.headers.off, phoff);
	for (size_t i = 0; i < loops(); i++) {
		memcpy(all, good, len);
		for (size_t k = 0; k <= i % 3; k++) {
			/* Structure, in half of the rounds the program headers only. */
			const uint64_t from = i % 2 ? phoff : in.sums.off;
			const uint64_t at = from + (uint64_t)random() % (len - from);
			static const char liars[] = "0189-x\"{[\xff\x7f";
			all[at] = liars[(size_t)random() % sizeof(liars)];
		}
		sign_again(all, &in);
		ck_assert_int_eq(pwrite(fd, all, len, 0), (ssize_t)len);
		struct image *im = image_open(image_path, &image_err);
		if (im) {
			opened++;
			use_all(im);
		}
		image_close(im);
	}
	ck_assert_uint_gt(opened, 0);
	close(fd);
}
END_TEST

/* The same without our notes: nothing is signed in cores of others. */
START_TEST(garbage_in_other_cores_is_survived)
{
	const uint64_t len = write_small();
	cleanup_free char *good = malloc(len), *all = malloc(len);
	const int fd = open(image_path, O_RDWR);
	size_t opened = 0;

	srandom(11);
	ck_assert_int_eq(pread(fd, good, len, 0), (ssize_t)len);
	for (char *at = good; (at = memmem(at, len - (size_t)(at - good), "CKPTVIEW", 9));)
		memcpy(at, "SOMEBODY", 8);
	for (size_t i = 0; i < loops(); i++) {
		memcpy(all, good, len);
		for (size_t k = 0; k <= i % 4; k++) {
			const uint64_t from = 10 * PAGE_LEN;
			all[from + (uint64_t)random() % (len - from)] = (char)random();
		}
		ck_assert_int_eq(pwrite(fd, all, len, 0), (ssize_t)len);
		struct image *im = image_open(image_path, &image_err);
		if (im) {
			opened++;
			use_all(im);
		}
		image_close(im);
	}
	ck_assert_uint_gt(opened, loops() / 10);
	close(fd);
}
END_TEST

START_TEST(files_that_are_no_cores)
{
	const char *const names[] = {"/dev/null", "/bin/sh", "/etc/passwd", "/", "/nonexistent"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		ck_assert_ptr_null(image_open(names[i], &image_err));
		ck_assert_int_eq(image_err.code, EXIT_IMAGE);
		ck_assert_ptr_nonnull(strstr(image_err.text, names[i]));
	}
}
END_TEST

START_TEST(places_where_none_can_be_made)
{
	char to[128];
	struct image_writer *w;

	snprintf(to, sizeof(to), "%s/none/a.ckpt", image_dir);
	ck_assert_int_eq(image_create(&w, to, &image_err), -1);
	ck_assert_int_eq(image_err.code, EXIT_CAPTURE);
	ck_assert_ptr_nonnull(strstr(image_err.text, "No such file or directory"));
	ck_assert_ptr_null(w);
	ck_assert_int_eq(image_create(&w, image_dir, &image_err), -1);
	ck_assert_ptr_nonnull(strstr(image_err.text, "Is a directory"));
	ck_assert_int_eq(image_create(&w, "/dev/null", &image_err), -1);
}
END_TEST

static void fill_until_it_fails(const char *words)
{
	struct image_writer *w = write_begin();
	struct proc *p = make_proc(1);
	char want[256];
	cleanup_free char *mib = malloc(1 << 20);
	uint64_t len;
	int rc = 0;

	memset(mib, 'x', 1 << 20);
	ck_assert_int_eq(image_reserve(w, P(0), P(256 * 4), &image_err), 0);
	for (uint64_t i = 0; i < 4; i++)
		rc = image_put(w, P(i * 256), mib, 256);
	ck_assert_int_eq(rc, -1);
	ck_assert_int_eq(image_finish(w, p, &len, &image_err), -1);
	proc_free(p);
	snprintf(want, sizeof(want), "write %s: %s", image_path, words);
	ck_assert_str_eq(image_err.text, want);
	ck_assert_int_eq(image_err.code, EXIT_CAPTURE);
	ck_assert_int_eq(files_in_dir(), 0);
}

START_TEST(full_disk)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", image_dir, "tmpfs", 0, "size=2m") < 0) {
		fprintf(stderr, "full_disk: skipped, cannot mount a tmpfs: %s\n", strerror(errno));
		return;
	}
	fill_until_it_fails("No space left on device");
	umount2(image_dir, MNT_DETACH);
}
END_TEST

START_TEST(file_size_limit)
{
	const struct rlimit small = {2 << 20, 2 << 20};

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	fill_until_it_fails("File too large");
}
END_TEST

int main(void)
{
	TCase *c = tcase_create("all");
	Suite *s = suite_create("image damage");

	tcase_add_checked_fixture(c, image_setup, image_teardown);
	tcase_set_timeout(c, 300);
	tcase_add_test(c, every_flipped_bit_is_found);
	tcase_add_test(c, every_truncation_is_found);
	tcase_add_test(c, garbage_is_survived);
	tcase_add_test(c, signed_lies_are_survived);
	tcase_add_test(c, garbage_in_other_cores_is_survived);
	tcase_add_test(c, files_that_are_no_cores);
	tcase_add_test(c, places_where_none_can_be_made);
	tcase_add_test(c, full_disk);
	tcase_add_test(c, file_size_limit);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
