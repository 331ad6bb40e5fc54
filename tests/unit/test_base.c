/* SPDX-License-Identifier: GPL-3.0-or-later */
/* base: errors, buffers, cursors, ranges (against a plain bitmap), clock and text. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/ranges.h"
#include "base/text.h"

/* ---- err ---- */

START_TEST(err_is_built_from_inside_out)
{
	struct err e = {0};

	errno = EPERM;
	ck_assert_int_eq(err_sys(&e, 0, "mprotect 0x%x", 0x10), -1);
	ck_assert_int_eq(err_in(&e, "protect %s", "[heap]"), -1);
	ck_assert_int_eq(err_in(&e, "save %d", 4711), -1);
	ck_assert_str_eq(
		e.text, "save 4711: protect [heap]: mprotect 0x10: Operation not permitted");
	ck_assert_int_eq(e.sys, EPERM);
	err_class(&e, EXIT_CAPTURE);
	err_class(&e, EXIT_IMAGE);
	ck_assert_int_eq(e.code, EXIT_CAPTURE);
}
END_TEST

START_TEST(err_keeps_the_cause_when_too_long)
{
	struct err e = {0};
	char name[2000];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	errno = ENOENT;
	err_sys(&e, 0, "open %s", name);
	ck_assert_ptr_nonnull(strstr(e.text, ": No such file or directory"));
	for (int i = 0; i < 20; i++)
		err_in(&e, "%s", name);
	ck_assert_uint_lt(strlen(e.text), sizeof(e.text));
}
END_TEST

START_TEST(err_lets_no_control_character_in)
{
	struct err e = {0};

	err_set(&e, EXIT_IMAGE, "a\033[2Jb\nc");
	for (const char *s = e.text; *s; s++)
		ck_assert(*s >= 0x20 && *s != 0x7f);
	/* An error may quote itself. */
	err_set(&e, 0, "again: %s", e.text);
	ck_assert_ptr_nonnull(strstr(e.text, "again: a?[2Jb c"));
}
END_TEST

/* ---- buf ---- */

START_TEST(buf_grows_and_is_given_away)
{
	struct buf b = {0};

	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%d,", i);
	ck_assert_int_eq(memcmp(b.data, "0,1,2,3,", 8), 0);
	char *const s = buf_steal_str(&b);

	ck_assert_ptr_null(b.data);
	ck_assert_uint_eq(strlen(s), 10 * 2 + 90 * 3 + 900 * 4);
	free(s);
	buf_add(&b, "abc", 3);
	buf_align(&b, 8);
	ck_assert_uint_eq(b.len, 8);
	ck_assert_mem_eq(b.data, "abc\0\0\0\0\0", 8);
	buf_align(&b, 8);
	ck_assert_uint_eq(b.len, 8);
	buf_deinit(&b);
	buf_deinit(NULL);
}
END_TEST

START_TEST(arrays_grow_zeroed)
{
	uint32_t *a = xcalloc(3, sizeof(*a));
	size_t n = 3;

	/* Also one that was made to measure. */
	for (uint32_t i = 0; i < 1000; i++) {
		uint32_t *const at = array_push(&a, &n);

		ck_assert_uint_eq(*at, 0);
		*at = i;
	}
	for (uint32_t i = 0; i < 1000; i++)
		ck_assert_uint_eq(a[i + 3], i);
	free(a);
}
END_TEST

START_TEST(cursor_never_reads_past_its_end)
{
	const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	struct cursor c = cursor_of(bytes, sizeof(bytes));

	ck_assert_uint_eq(cursor_u8(&c), 1);
	ck_assert_uint_eq(cursor_u16(&c), 0x0302);
	cursor_align(&c, 4);
	ck_assert_uint_eq(cursor_u32(&c), 0x08070605);
	ck_assert(cursor_ok(&c));
	ck_assert_uint_eq(cursor_u64(&c), 0);
	ck_assert(!cursor_ok(&c));
	ck_assert_uint_eq(cursor_left(&c), 0);
	ck_assert_uint_eq(cursor_u8(&c), 0);
	c = cursor_of(bytes, sizeof(bytes));
	ck_assert_ptr_null(cursor_bytes(&c, SIZE_MAX));
	c = cursor_of(NULL, 0);
	ck_assert_ptr_nonnull(cursor_bytes(&c, 0));
	ck_assert_uint_eq(cursor_u8(&c), 0);
	c = cursor_of(bytes, sizeof(bytes));
	cursor_seek(&c, 11);
	ck_assert(!cursor_ok(&c));
}
END_TEST

START_TEST(files_are_read_whole)
{
	char path[] = "/tmp/ckptview-test-XXXXXX";
	const int fd = mkstemp(path);
	uint8_t data[100000], back[sizeof(data) + 10];
	struct buf b = {0};

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	ck_assert_int_eq(write_all(fd, data, sizeof(data)), 0);
	ck_assert_int_eq(pwrite_all(fd, "xyz", 3, 50), 0);
	memcpy(data + 50, "xyz", 3);
	ck_assert_int_eq(file_read(AT_FDCWD, path, &b), 0);
	ck_assert_uint_eq(b.len, sizeof(data));
	ck_assert_mem_eq(b.data, data, sizeof(data));
	ck_assert_int_eq(pread_all(fd, back, sizeof(back), 0), sizeof(data));
	buf_deinit(&b);
	/* A size of 0 says nothing in /proc. */
	ck_assert_int_eq(file_read(AT_FDCWD, "/proc/self/maps", &b), 0);
	ck_assert_uint_gt(b.len, 100);
	buf_deinit(&b);
	unlink(path);
	close(fd);
	ck_assert_int_eq(file_read(AT_FDCWD, path, &b), -1);
	ck_assert_int_eq(errno, ENOENT);
}
END_TEST

/* ---- ranges ---- */

#define BITS 200

static void check_against(const struct ranges *s, const bool *bits)
{
	uint64_t total = 0;

	for (size_t i = 0; i < s->n; i++) {
		ck_assert_uint_lt(s->r[i].start, s->r[i].end);
		if (i)
			ck_assert_uint_lt(s->r[i - 1].end, s->r[i].start);
	}
	for (uint64_t a = 0; a < BITS; a++) {
		ck_assert_int_eq(ranges_has(s, a), bits[a]);
		total += bits[a];
	}
	ck_assert_uint_eq(ranges_total(s), total);
}

static void check_queries(const struct ranges *s, const bool *bits, uint64_t a, uint64_t b)
{
	bool any = false, all = true;
	struct ranges clip = {0};
	bool inside[BITS] = {false};

	for (uint64_t i = a; i < b; i++) {
		any |= bits[i];
		all &= bits[i];
		inside[i] = bits[i];
	}
	ck_assert_int_eq(ranges_touches(s, a, b), any);
	ck_assert_int_eq(ranges_covers(s, a, b), all);
	ranges_clip(s, a, b, &clip);
	check_against(&clip, inside);
	ranges_deinit(&clip);
}

START_TEST(ranges_equal_a_bitmap)
{
	bool bits[BITS] = {false};
	struct ranges s = {0};

	srandom((unsigned int)_i);
	for (int round = 0; round < 2000; round++) {
		const uint64_t a = (uint64_t)random() % BITS,
			       b = a + (uint64_t)random() % (BITS - a + 1);
		const bool set = random() % 2;

		if (set)
			ranges_add(&s, a, b);
		else
			ranges_cut(&s, a, b);
		for (uint64_t i = a; i < b; i++)
			bits[i] = set;
		check_against(&s, bits);
		check_queries(&s, bits, a, b);
	}
	ranges_deinit(&s);
}
END_TEST

START_TEST(ranges_combine_like_bitmaps)
{
	bool x[BITS] = {false}, y[BITS] = {false}, both[BITS], less[BITS];
	struct ranges a = {0}, b = {0}, c = {0};

	srandom(100 + (unsigned int)_i);
	for (int i = 0; i < 20; i++) {
		const uint64_t at = (uint64_t)random() % (BITS - 10), len = (uint64_t)random() % 10;

		ranges_add(i % 2 ? &a : &b, at, at + len);
		for (uint64_t k = at; k < at + len; k++)
			(i % 2 ? x : y)[k] = true;
	}
	for (int i = 0; i < BITS; i++) {
		both[i] = x[i] || y[i];
		less[i] = x[i] && !y[i];
	}
	ranges_copy(&c, &a);
	ranges_add_all(&c, &b);
	check_against(&c, both);
	ranges_copy(&c, &a);
	ranges_cut_all(&c, &b);
	check_against(&c, less);
	ranges_deinit(&a);
	ranges_deinit(&b);
	ranges_deinit(&c);
}
END_TEST

START_TEST(ranges_reach_the_ends_of_the_address_space)
{
	struct ranges s = {0};

	ranges_add(&s, 0, 4096);
	ranges_add(&s, UINT64_MAX - 4096, UINT64_MAX);
	ranges_add(&s, 4096, 8192);
	ck_assert_uint_eq(s.n, 2);
	ck_assert(ranges_has(&s, 0));
	ck_assert(ranges_has(&s, UINT64_MAX - 1));
	ranges_join(&s, 100);
	ck_assert_uint_eq(s.n, 2);
	ranges_add(&s, 8192 + 100, 9000);
	ranges_join(&s, 100);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_uint_eq(s.r[0].end, 9000);
	ranges_clear(&s);
	ck_assert_uint_eq(ranges_find(&s, 5), 0);
	ranges_deinit(&s);
}
END_TEST

/* ---- clock ---- */

START_TEST(clock_counts_down)
{
	const uint64_t t = now_ns();

	ck_assert_int_eq(ms_until(t), 0);
	ck_assert_int_eq(ms_until(0), 0);
	const int left = ms_until(now_ns() + 10 * NS_PER_MS);

	ck_assert_int_ge(left, 1);
	ck_assert_int_le(left, 10);
	ck_assert_int_gt(ms_until(UINT64_MAX), 1000000);
	ck_assert_uint_ge(now_ns(), t);
}
END_TEST

/* ---- text ---- */

static const struct {
	const char *in, *out;
} escapes[] = {
	{"plain", "plain"},
	{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
	{"\033[31m", "\\x1b[31m"},
	{"a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"},
	{"\xc2\x9b", "\\u{9b}"},       /* CSI as one character */
	{"\xe2\x80\xae", "\\u{202e}"}, /* right-to-left override */
	{"\xe2\x81\xa6", "\\u{2066}"},
	{"\xef\xbb\xbf", "\\u{feff}"},
	{"\xff\xfe", "\\xff\\xfe"},
	{"\xc0\x80", "\\xc0\\x80"},          /* overlong */
	{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* surrogate */
	{"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
	{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},
	{"\xe2\x82", "\\xe2\\x82"}, /* cut off */
	{"back\\slash", "back\\\\slash"},
};

START_TEST(text_escape_disarms)
{
	char out[64];

	text_escape(out, sizeof(out), escapes[_i].in, strlen(escapes[_i].in));
	ck_assert_str_eq(out, escapes[_i].out);
	ck_assert_str_eq(text_safe(escapes[_i].in), escapes[_i].out);
}
END_TEST

START_TEST(text_escape_cuts_between_characters)
{
	char out[6];

	text_escape(out, sizeof(out), "abc\xc3\xbc\xc3\xbc", 7);
	ck_assert_str_eq(out, "abc\xc3\xbc");
	text_escape(out, sizeof(out), "abc\033", 4);
	ck_assert_str_eq(out, "abc");
	text_escape(out, 1, "abc", 3);
	ck_assert_str_eq(out, "");
	ck_assert_str_eq(text_safe(NULL), "");
}
END_TEST

START_TEST(text_escape_is_always_utf8)
{
	srandom(7);
	for (int i = 0; i < 20000; i++) {
		char in[40], out[80];
		const size_t len = (size_t)random() % sizeof(in);

		for (size_t k = 0; k < len; k++)
			in[k] = (char)random();
		text_escape(out, sizeof(out), in, len);
		ck_assert(text_is_utf8(out, strlen(out)));
		for (const char *s = out; *s; s++)
			ck_assert((unsigned char)*s >= 0x20 && *s != 0x7f);
	}
	ck_assert(!text_is_utf8("a\0b", 3));
	ck_assert(text_is_utf8("", 0));
}
END_TEST

START_TEST(text_of_sizes_and_times)
{
	char s[32];

	ck_assert_str_eq(text_size(s, sizeof(s), 0), "0 B");
	ck_assert_str_eq(text_size(s, sizeof(s), 12 << 10), "12 KiB");
	ck_assert_str_eq(text_size(s, sizeof(s), 3ull << 29), "1.5 GiB");
	ck_assert_str_eq(text_size(s, sizeof(s), 1023), "1023 B");
	ck_assert_str_eq(text_size(s, sizeof(s), (1 << 20) - 1), "1 MiB");
	ck_assert_str_eq(text_size(s, sizeof(s), UINT64_MAX), "16 EiB");
	ck_assert_str_eq(text_time(s, sizeof(s), 0), "0 ns");
	ck_assert_str_eq(text_time(s, sizeof(s), 83000), "83 us");
	ck_assert_str_eq(text_time(s, sizeof(s), 1250000), "1.25 ms");
	ck_assert_str_eq(text_time(s, sizeof(s), 2100000000), "2.1 s");
	ck_assert_str_eq(text_time(s, sizeof(s), 3661ull * 1000000000), "1:01:01");
}
END_TEST

START_TEST(text_numbers_are_parsed_strictly)
{
	static const char *const wrong[] = {
		"", " 1", "1 ", "+1", "0x", "1x", "18446744073709551616", "--1", NULL};
	uint64_t v;
	int i;

	ck_assert(text_parse_u64("0x1F", &v) && v == 31);
	ck_assert(text_parse_u64("18446744073709551615", &v) && v == UINT64_MAX);
	ck_assert(text_parse_u64("010", &v) && v == 10);
	for (int k = 0; wrong[k]; k++)
		ck_assert_msg(!text_parse_u64(wrong[k], &v) && !text_parse_int(wrong[k], &i), "%s",
			wrong[k]);
	ck_assert(!text_parse_u64("-1", &v) && !text_parse_u64(NULL, &v));
	ck_assert(text_parse_int("-2147483648", &i) && i == INT32_MIN);
	ck_assert(!text_parse_int("2147483648", &i) && !text_parse_int("-2147483649", &i));
	ck_assert(text_parse_size("64", &v) && v == 64);
	ck_assert(text_parse_size("64K", &v) && v == 65536);
	ck_assert(text_parse_size("64MiB", &v) && v == 64 << 20);
	ck_assert(text_parse_size("1g", &v) && v == 1 << 30);
	ck_assert(text_parse_size("2kb", &v) && v == 2048);
	ck_assert(!text_parse_size("64X", &v) && !text_parse_size("K", &v) &&
		  !text_parse_size("1KK", &v));
	ck_assert(!text_parse_size("18014398509481984K", &v));
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("base");
	TCase *const t = tcase_create("base");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, err_is_built_from_inside_out);
	tcase_add_test(t, err_keeps_the_cause_when_too_long);
	tcase_add_test(t, err_lets_no_control_character_in);
	tcase_add_test(t, buf_grows_and_is_given_away);
	tcase_add_test(t, arrays_grow_zeroed);
	tcase_add_test(t, cursor_never_reads_past_its_end);
	tcase_add_test(t, files_are_read_whole);
	tcase_add_loop_test(t, ranges_equal_a_bitmap, 0, 5);
	tcase_add_loop_test(t, ranges_combine_like_bitmaps, 0, 100);
	tcase_add_test(t, ranges_reach_the_ends_of_the_address_space);
	tcase_add_test(t, clock_counts_down);
	tcase_add_loop_test(t, text_escape_disarms, 0, (int)ARRAY_LEN(escapes));
	tcase_add_test(t, text_escape_cuts_between_characters);
	tcase_add_test(t, text_escape_is_always_utf8);
	tcase_add_test(t, text_of_sizes_and_times);
	tcase_add_test(t, text_numbers_are_parsed_strictly);
	suite_add_tcase(s, t);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed ? 1 : 0;
}
