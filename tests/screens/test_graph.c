/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pictures and cells made of characters: widths, heights, and what they show. */
#include <check.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"
#include "ui/graph.h"

static struct buf rows[24];

static void setup(void)
{
	setlocale(LC_CTYPE, "C.UTF-8");
	memset(rows, 0, sizeof(rows));
}

static void teardown(void)
{
	for (int i = 0; i < 24; i++)
		buf_deinit(&rows[i]);
}

/* A row without its marks. */
static const char *plain(int i)
{
	static struct buf b;

	b.len = 0;
	buf_add(&rows[i], "", 1);
	text_unmark(&b, (const char *)rows[i].data);
	buf_add(&b, "", 1);
	rows[i].len--;
	return (const char *)b.data;
}

static const enum glyphs all_glyphs[] = {GLYPHS_ASCII, GLYPHS_BLOCKS, GLYPHS_BRAILLE};

START_TEST(bars_are_as_wide_as_told)
{
	for (int width = 1; width < 60; width++) {
		for (double share = -0.5; share < 1.6; share += 0.1) {
			rows[0].len = 0;
			graph_bar(&rows[0], width, share, all_glyphs[_i]);
			ck_assert_int_eq(text_columns(plain(0)), width);
		}
	}
}
END_TEST

START_TEST(half_a_bar_is_half_full)
{
	graph_bar(&rows[0], 10, 0.5, GLYPHS_ASCII);
	ck_assert_str_eq(plain(0), "#####.....");
}
END_TEST

START_TEST(a_graph_fills_its_rectangle)
{
	struct timeline t;

	timeline_init(&t, 0);
	timeline_add(&t, true, 1000000, 1090000);
	timeline_add(&t, false, 3000000, 3010000);
	for (int width = 10; width < 200; width += 7) {
		graph_stopped(&t, 5000000, width, 6, all_glyphs[_i], rows);
		for (int i = 0; i < 6; i++) {
			ck_assert_int_le(text_columns(plain(i)), width < 12 ? 12 : width);
			rows[i].len = 0;
		}
	}
}
END_TEST

START_TEST(the_axis_marks_stop_and_stall)
{
	struct timeline t;

	timeline_init(&t, 0);
	timeline_add(&t, true, 1000000, 1090000);
	timeline_add(&t, false, 3000000, 3010000);
	graph_stopped(&t, 5000000, 88, 4, GLYPHS_ASCII, rows);
	const char *const axis = plain(3);
	const char *const stop = strchr(axis, 'S'), *const stall = strchr(axis, '.');

	ck_assert_ptr_nonnull(stop);
	ck_assert_ptr_nonnull(stall);
	/* 80 columns for 5 ms: the stop at a fifth, the stall at three fifths. */
	ck_assert_int_ge(stop - axis, 8 + 15);
	ck_assert_int_le(stop - axis, 8 + 17);
	ck_assert_int_ge(stall - axis, 8 + 47);
	ck_assert_int_le(stall - axis, 8 + 49);
}
END_TEST

START_TEST(the_longer_stands_higher)
{
	struct timeline t;

	timeline_init(&t, 0);
	timeline_add(&t, true, 1000000, 1900000);
	timeline_add(&t, false, 3000000, 3002000);
	graph_stopped(&t, 5000000, 88, 9, GLYPHS_ASCII, rows);
	ck_assert_ptr_nonnull(strchr(plain(1), '#'));
	ck_assert_int_eq(plain(1)[8 + 48], ' ');
	ck_assert_int_ne(plain(7)[8 + 48], ' ');
}
END_TEST

START_TEST(an_empty_time_line_is_drawn)
{
	struct timeline t;

	timeline_init(&t, 12345);
	graph_stopped(&t, 0, 40, 3, all_glyphs[_i], rows);
	ck_assert_ptr_null(strchr(plain(2), 'S'));
}
END_TEST

START_TEST(a_histogram_fills_its_rectangle)
{
	struct hist h = {0};

	graph_hist(&h, 40, 4, all_glyphs[_i], rows);
	for (uint64_t ns = 1; ns < 100000000000; ns *= 3)
		hist_add(&h, ns);
	for (int width = 16; width < 200; width += 5) {
		for (int i = 0; i < 4; i++)
			rows[i].len = 0;
		graph_hist(&h, width, 4, all_glyphs[_i], rows);
		for (int i = 0; i < 3; i++)
			ck_assert_int_le(text_columns(plain(i)), width);
	}
}
END_TEST

START_TEST(cells_cut_and_pad_by_columns)
{
	text_cell(&rows[0], 6, "wide \xe6\xbc\xa2\xe5\xad\x97");
	ck_assert_str_eq(plain(0), "wide  ");
	text_cell_right(&rows[1], 5, "ab");
	ck_assert_str_eq(plain(1), "   ab");
	text_cell(&rows[2], 4, M_BAD "ab" M_NORMAL);
	ck_assert_str_eq(plain(2), "ab  ");
	text_cell(&rows[3], 3,
		"\xff\xfe"
		"a");
	ck_assert_int_eq(text_columns(plain(3)), 3);
}
END_TEST

/* ---- the line being typed ---- */

START_TEST(typing_keeps_whole_characters)
{
	struct edit ed = {0};

	edit_set(&ed, "");
	edit_key(&ed, 'a', true);
	edit_key(&ed, 0xe4, true);
	edit_key(&ed, 'b', true);
	ck_assert_str_eq(ed.text, "a\xc3\xa4"
				  "b");
	edit_key(&ed, 0x7f, true);
	edit_key(&ed, 0x7f, true);
	ck_assert_str_eq(ed.text, "a");
	edit_key(&ed, 'u' & 0x1f, true);
	ck_assert_str_eq(ed.text, "");
	edit_key(&ed, 0x7f, true);
	ck_assert_uint_eq(ed.len, 0);
	for (int i = 0; i < 2000; i++)
		edit_key(&ed, 0xe4, true);
	ck_assert_uint_lt(ed.len, sizeof(ed.text));
}
END_TEST

/* ---- lists ---- */

static void number_row(const void *ctx, size_t i, int width, struct buf *out)
{
	(void)ctx;
	(void)width;
	buf_printf(out, "row %zu", i);
}

START_TEST(a_list_keeps_its_selection_in_sight)
{
	struct list l = {.row = number_row};

	list_layout(&l, 100, 0, 10);
	list_request(&l, REQ_LAST);
	list_layout(&l, 100, 0, 10);
	ck_assert_uint_eq(l.sel, 99);
	ck_assert_uint_eq(l.top, 90);
	list_layout(&l, 5, 0, 10);
	ck_assert_uint_eq(l.sel, 4);
	ck_assert_uint_eq(l.top, 0);
	list_request(&l, REQ_UP);
	ck_assert_uint_eq(l.sel, 3);
	list_layout(&l, 0, 0, 10);
	list_request(&l, REQ_PAGE_DOWN);
	list_layout(&l, 0, 0, 10);
	ck_assert_uint_eq(l.sel, 0);
}
END_TEST

START_TEST(searching_goes_around)
{
	struct list l = {.row = number_row};

	list_layout(&l, 30, 0, 10);
	ck_assert(list_search(&l, "ROW 2", true));
	ck_assert_uint_eq(l.sel, 2);
	ck_assert(list_search(&l, "row 2", true));
	ck_assert_uint_eq(l.sel, 20);
	ck_assert(list_search(&l, "row 2", false));
	ck_assert_uint_eq(l.sel, 2);
	ck_assert(list_search(&l, "row 2", false));
	ck_assert_uint_eq(l.sel, 29);
	ck_assert(!list_search(&l, "nothing", true));
	ck_assert_uint_eq(l.sel, 29);
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("graph");
	TCase *const c = tcase_create("graph");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, bars_are_as_wide_as_told, 0, 3);
	tcase_add_test(c, half_a_bar_is_half_full);
	tcase_add_loop_test(c, a_graph_fills_its_rectangle, 0, 3);
	tcase_add_test(c, the_axis_marks_stop_and_stall);
	tcase_add_test(c, the_longer_stands_higher);
	tcase_add_loop_test(c, an_empty_time_line_is_drawn, 0, 3);
	tcase_add_loop_test(c, a_histogram_fills_its_rectangle, 0, 3);
	tcase_add_test(c, cells_cut_and_pad_by_columns);
	tcase_add_test(c, typing_keeps_whole_characters);
	tcase_add_test(c, a_list_keeps_its_selection_in_sight);
	tcase_add_test(c, searching_goes_around);
	suite_add_tcase(s, c);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
