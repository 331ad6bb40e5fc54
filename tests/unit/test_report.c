/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The event stream and what its records add up to. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "model/proc.h"
#include "report/stats.h"

static struct stats st;

static void setup(void)
{
	stats_init(&st);
}

static void teardown(void)
{
	stats_deinit(&st);
}

static void add(struct event ev)
{
	stats_add(&st, &ev);
}

static void begin(void)
{
	add((struct event){.type = EV_BEGIN, .t_ns = 1000000, .a = 42, .text = "segv"});
}

/* ---- the stream ---- */

/* A pipe both ways, non-blocking, as small as it gets. */
static void make_pipe(int fds[2])
{
	ck_assert_int_eq(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	ck_assert_int_eq(fcntl(fds[1], F_SETPIPE_SZ, 4096), 4096);
}

START_TEST(records_survive_the_pipe)
{
	int fds[2];
	struct event got;

	make_pipe(fds);
	struct event_out out = {.fd = fds[1]};
	struct event_in in = {.fd = fds[0]};

	event_put(&out,
		(struct event){
			.type = EV_COPY, .addr = 4096, .len = 8192, .a = COPY_FAULT, .tid = 7});
	ck_assert_int_eq(event_get(&in, &got), 1);
	ck_assert_uint_eq(got.addr, 4096);
	ck_assert_uint_eq(got.len, 8192);
	ck_assert_int_eq(got.tid, 7);
	ck_assert_uint_ne(got.t_ns, 0);
	ck_assert_int_eq(event_get(&in, &got), -1);
	ck_assert_int_eq(errno, EAGAIN);
	close(fds[1]);
	ck_assert_int_eq(event_get(&in, &got), 0);
	close(fds[0]);
}
END_TEST

START_TEST(a_full_pipe_loses_and_says_so)
{
	int fds[2];
	struct event got;
	uint64_t seen = 0, lost = 0;

	make_pipe(fds);
	struct event_out out = {.fd = fds[1]};
	struct event_in in = {.fd = fds[0]};

	for (int i = 0; i < 100; i++)
		event_put(&out, (struct event){.type = EV_COPY, .len = 1});
	ck_assert_uint_eq(out.dropped_all, 100 - 4096 / 64);
	while (event_get(&in, &got) == 1)
		seen++;
	event_put(&out, (struct event){.type = EV_END});
	while (event_get(&in, &got) == 1)
		lost += got.type == EV_DROPPED ? got.a : 0;
	ck_assert_uint_eq(seen + lost, 100);
	ck_assert_uint_eq(out.dropped, 0);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(half_a_record_waits_for_the_rest)
{
	int fds[2];
	struct event ev = {.type = EV_IMAGE, .a = 5}, got;

	make_pipe(fds);
	struct event_in in = {.fd = fds[0]};

	ck_assert_int_eq(write(fds[1], &ev, 40), 40);
	ck_assert_int_eq(event_get(&in, &got), -1);
	ck_assert_int_eq(write(fds[1], (char *)&ev + 40, 24), 24);
	ck_assert_int_eq(event_get(&in, &got), 1);
	ck_assert_uint_eq(got.a, 5);
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(lines_of_any_length_come_whole)
{
	static const char *const lines[] = {"", "short", "exactly sixteen!", "seventeen letters",
		"a line that needs a number of records to get across the pipe"};
	int fds[2];
	struct event got;
	struct event_text text = {0};

	make_pipe(fds);
	struct event_out out = {.fd = fds[1]};
	struct event_in in = {.fd = fds[0]};

	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		const char *line = NULL;

		event_put_text(&out, EV_ERROR, 4, lines[i]);
		while (event_get(&in, &got) == 1)
			if ((line = event_text_add(&text, &got)))
				break;
		ck_assert_ptr_nonnull(line);
		ck_assert_str_eq(line, lines[i]);
		ck_assert_uint_eq(got.a, 4);
	}
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_line_without_end_stays_in_its_buffer)
{
	struct event_text text = {0};
	const struct event piece = {.type = EV_WARN, .text = "0123456789abcde"};
	const struct event last = {.type = EV_WARN, .b = 1};

	for (int i = 0; i < 1000; i++)
		ck_assert_ptr_null(event_text_add(&text, &piece));
	ck_assert_uint_eq(strlen(event_text_add(&text, &last)), sizeof(text.line) - 1);
}
END_TEST

START_TEST(insane_records_are_refused)
{
	const struct event bad[] = {
		{.type = 0},
		{.type = EV_TYPES},
		{.type = EV_COPY, .addr = UINT64_MAX, .len = 2},
		{.type = EV_COPY, .a = COPY_HOWS},
		{.type = EV_STALL, .b = STALL_WHYS},
		{.type = EV_BEGIN, .a = 0},
		{.type = EV_BEGIN, .a = 1ull << 40},
		{.type = EV_MAPPING, .len = 4096, .a = 8192},
		{.type = EV_MAPPING, .len = 4096, .b = VMA_KINDS << 8},
		{.type = EV_HEADER, .a = 1, .text = "other"},
		{.type = EV_HEADER, .a = 2, .text = "ckptview events"},
		{.type = EV_COPY, .tid = -1},
		{.type = EV_END, .a = 256},
	};
	const struct event good = {.type = EV_HEADER, .a = 1, .text = "ckptview events"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!event_valid(&bad[i]), "record %zu", i);
	ck_assert(event_valid(&good));
}
END_TEST

/* ---- histogram ---- */

START_TEST(buckets_are_quarters_of_octaves)
{
	for (int i = 0; i + 4 < HIST_BUCKETS; i++) {
		ck_assert_uint_lt(hist_edge(i), hist_edge(i + 1));
		ck_assert_uint_eq(hist_edge(i + 4), 2 * hist_edge(i));
	}
	ck_assert_uint_eq(hist_edge(0), 1000);
}
END_TEST

START_TEST(quantiles_are_upper_edges)
{
	struct hist h = {0};

	ck_assert_uint_eq(hist_quantile(&h, 0.5), 0);
	for (int i = 0; i < 99; i++)
		hist_add(&h, 10000);
	hist_add(&h, 5000000);
	ck_assert_uint_ge(hist_quantile(&h, 0.5), 10000);
	ck_assert_uint_le(hist_quantile(&h, 0.5), 12000);
	ck_assert_uint_le(hist_quantile(&h, 0.99), 12000);
	ck_assert_uint_eq(hist_quantile(&h, 1), 5000000);
	ck_assert_uint_eq(h.min_ns, 10000);
	ck_assert_uint_eq(h.sum_ns, 99 * 10000 + 5000000);
}
END_TEST

START_TEST(extreme_durations_have_a_bucket)
{
	struct hist h = {0};

	hist_add(&h, 0);
	hist_add(&h, UINT64_MAX);
	ck_assert_uint_eq(h.count[0], 1);
	ck_assert_uint_eq(h.count[HIST_BUCKETS - 1], 1);
	ck_assert_uint_eq(hist_quantile(&h, 1), UINT64_MAX);
}
END_TEST

/* ---- time line ---- */

START_TEST(a_hold_is_in_every_slot_it_touches)
{
	struct timeline t;

	timeline_init(&t, 1000);
	timeline_add(&t, true, 1000 + t.step_ns, 1000 + 3 * t.step_ns);
	ck_assert_uint_eq(t.stop_ns[0], 0);
	for (int i = 1; i <= 3; i++)
		ck_assert_uint_eq(t.stop_ns[i], 2 * t.step_ns);
	ck_assert_int_eq(t.nslots, 4);
	ck_assert_uint_eq(t.stall_ns[1], 0);
}
END_TEST

START_TEST(time_beyond_the_end_folds)
{
	struct timeline t;

	timeline_init(&t, 0);
	const uint64_t step = t.step_ns;

	timeline_add(&t, false, 0, 5000);
	timeline_reach(&t, step * TIMELINE_SLOTS * 3);
	ck_assert_uint_eq(t.step_ns, 4 * step);
	ck_assert_uint_eq(t.stall_ns[0], 5000);
	ck_assert_int_le(t.nslots, TIMELINE_SLOTS);
	timeline_reach(&t, UINT64_MAX);
	ck_assert_uint_eq(t.stall_ns[0], 5000);
}
END_TEST

/* ---- sums ---- */

START_TEST(copies_are_shared_out_to_mappings)
{
	begin();
	add((struct event){
		.type = EV_MAPPING, .addr = 0x4000, .len = 0x4000, .a = 0x4000, .text = "two"});
	add((struct event){
		.type = EV_MAPPING, .addr = 0x1000, .len = 0x2000, .a = 0x1000, .text = "one"});
	add((struct event){.type = EV_COPY, .addr = 0x2000, .len = 0x4000, .a = COPY_BACKGROUND});
	ck_assert_uint_eq(st.nmaps, 2);
	ck_assert_str_eq(st.maps[0].name, "one");
	ck_assert_uint_eq(st.maps[0].done, 0x1000);
	ck_assert_uint_eq(st.maps[1].done, 0x2000);
	ck_assert_uint_eq(st.want, 0x5000);
	ck_assert_uint_eq(st.by[COPY_BACKGROUND], 0x4000);
}
END_TEST

START_TEST(copies_may_come_before_their_mapping)
{
	begin();
	add((struct event){.type = EV_COPY, .addr = 0x2000, .len = 0x4000, .a = COPY_STOPPED});
	add((struct event){.type = EV_MAPPING, .addr = 0x4000, .len = 0x4000, .a = 0x4000});
	ck_assert_uint_eq(st.maps[0].done, 0x2000);
}
END_TEST

START_TEST(the_newest_word_on_a_mapping_counts)
{
	begin();
	add((struct event){.type = EV_MAPPING, .addr = 0x4000, .len = 0x4000, .a = 0x1000});
	add((struct event){.type = EV_COPY, .addr = 0x4000, .len = 0x1000});
	add((struct event){.type = EV_MAPPING, .addr = 0x4000, .len = 0x4000, .a = 0x3000});
	ck_assert_uint_eq(st.nmaps, 1);
	ck_assert_uint_eq(st.want, 0x3000);
	ck_assert_uint_eq(st.maps[0].done, 0x1000);
	add((struct event){.type = EV_MAPPING, .addr = 0x2000, .len = 0x8000, .a = 0x4000});
	ck_assert_uint_eq(st.nmaps, 1);
	ck_assert_uint_eq(st.want, 0x4000);
	ck_assert_uint_eq(st.maps[0].done, 0x1000);
}
END_TEST

START_TEST(protection_comes_and_goes)
{
	begin();
	add((struct event){.type = EV_MAPPING, .addr = 0x1000, .len = 0x4000, .a = 0x4000});
	add((struct event){.type = EV_ARM, .addr = 0x1000, .len = 0x4000});
	add((struct event){.type = EV_ARM, .addr = 0x1000, .len = 0x1000});
	ck_assert_uint_eq(st.maps[0].armed, 0x4000);
	add((struct event){.type = EV_RELEASE, .addr = 0, .len = 0x100000});
	ck_assert_uint_eq(st.maps[0].armed, 0);
}
END_TEST

START_TEST(disturbance_is_stop_and_stalls)
{
	begin();
	add((struct event){.type = EV_STOP_BEGIN, .t_ns = 2000000});
	add((struct event){.type = EV_STOP_END, .t_ns = 2100000, .a = 90000, .b = 3});
	add((struct event){.type = EV_STALL, .t_ns = 2200000, .a = 10000, .b = STALL_FAULT});
	add((struct event){.type = EV_STALL, .t_ns = 2300000, .a = 20000, .b = STALL_SYSCALL});
	ck_assert_uint_eq(stats_disturbance(&st), 120000);
	ck_assert_uint_eq(st.stalls.n, 2);
	ck_assert_int_eq(st.threads, 3);
}
END_TEST

START_TEST(a_stop_that_lasts_is_on_the_line)
{
	begin();
	add((struct event){.type = EV_STOP_BEGIN, .t_ns = 1000000});
	stats_reach(&st, 3000000);
	ck_assert_uint_eq(stats_stopped_for(&st, 3000000), 2000000);
	ck_assert_uint_eq(st.line.stop_ns[0], 2000000);
	add((struct event){.type = EV_STOP_END, .t_ns = 4000000, .a = 2900000, .b = 1});
	ck_assert_uint_eq(stats_stopped_for(&st, 9000000), 2900000);
}
END_TEST

START_TEST(a_plain_stop_costs_itself)
{
	begin();
	add((struct event){.type = EV_STOP_END, .t_ns = 9000000, .a = 5000000, .b = 1});
	add((struct event){.type = EV_COPY, .len = 4096, .a = COPY_STOPPED});
	ck_assert_uint_eq(stats_plain_stop(&st), 5000000);
}
END_TEST

START_TEST(a_plain_stop_would_have_held_the_copying)
{
	begin();
	ck_assert_uint_eq(stats_plain_stop(&st), 0);
	add((struct event){.type = EV_STOP_END, .t_ns = 2000000, .a = 100000, .b = 1});
	add((struct event){.type = EV_COPY, .len = 1 << 20, .a = COPY_BACKGROUND});
	add((struct event){.type = EV_RESULT, .text = "copy_ns", .a = 700000});
	ck_assert_uint_eq(stats_plain_stop(&st), 800000);
}
END_TEST

START_TEST(outcome_and_words_are_kept)
{
	begin();
	add((struct event){.type = EV_WARN, .text = "first", .b = 1});
	add((struct event){.type = EV_WARN, .text = "second", .b = 1});
	add((struct event){.type = EV_ERROR, .text = "no", .a = 4, .b = 1});
	add((struct event){.type = EV_DROPPED, .a = 3});
	ck_assert_int_eq(st.exit_code, -1);
	add((struct event){.type = EV_END, .a = 4, .len = 4096});
	ck_assert_str_eq(st.warnings, "first\nsecond\n");
	ck_assert_str_eq(st.error, "no");
	ck_assert_uint_eq(st.dropped, 3);
	ck_assert_int_eq(st.exit_code, 4);
	ck_assert_uint_eq(st.image_len, 4096);
}
END_TEST

START_TEST(a_second_begin_starts_afresh)
{
	begin();
	add((struct event){.type = EV_COPY, .len = 4096});
	begin();
	ck_assert_uint_eq(st.done, 0);
	ck_assert_int_eq(st.pid, 42);
	ck_assert_str_eq(st.engine, "segv");
}
END_TEST

START_TEST(random_records_do_no_harm)
{
	unsigned seed = 1;

	for (int i = 0; i < 200000; i++) {
		struct event ev;
		uint8_t *const bytes = (uint8_t *)&ev;

		for (size_t k = 0; k < sizeof(ev); k++)
			bytes[k] = (uint8_t)(rand_r(&seed) & (k % 8 > 2 ? 0 : 0xff));
		ev.type = (uint32_t)rand_r(&seed) % EV_TYPES;
		add(ev);
		if (i % 1000 == 0)
			ck_assert_uint_le(hist_quantile(&st.stalls, 0.5), st.stalls.max_ns);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("report");
	TCase *stream = tcase_create("stream"), *sums = tcase_create("sums");

	tcase_add_test(stream, records_survive_the_pipe);
	tcase_add_test(stream, a_full_pipe_loses_and_says_so);
	tcase_add_test(stream, half_a_record_waits_for_the_rest);
	tcase_add_test(stream, lines_of_any_length_come_whole);
	tcase_add_test(stream, a_line_without_end_stays_in_its_buffer);
	tcase_add_test(stream, insane_records_are_refused);
	suite_add_tcase(s, stream);
	tcase_add_checked_fixture(sums, setup, teardown);
	tcase_add_test(sums, buckets_are_quarters_of_octaves);
	tcase_add_test(sums, quantiles_are_upper_edges);
	tcase_add_test(sums, extreme_durations_have_a_bucket);
	tcase_add_test(sums, a_hold_is_in_every_slot_it_touches);
	tcase_add_test(sums, time_beyond_the_end_folds);
	tcase_add_test(sums, copies_are_shared_out_to_mappings);
	tcase_add_test(sums, copies_may_come_before_their_mapping);
	tcase_add_test(sums, the_newest_word_on_a_mapping_counts);
	tcase_add_test(sums, protection_comes_and_goes);
	tcase_add_test(sums, disturbance_is_stop_and_stalls);
	tcase_add_test(sums, a_stop_that_lasts_is_on_the_line);
	tcase_add_test(sums, a_plain_stop_costs_itself);
	tcase_add_test(sums, a_plain_stop_would_have_held_the_copying);
	tcase_add_test(sums, outcome_and_words_are_kept);
	tcase_add_test(sums, a_second_begin_starts_afresh);
	tcase_add_test(sums, random_records_do_no_harm);
	tcase_set_timeout(sums, 30);
	suite_add_tcase(s, sums);
	return s;
}

int main(void)
{
	SRunner *r = srunner_create(suite());

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed != 0;
}
