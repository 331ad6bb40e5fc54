/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * model: struct proc through JSON and back. The tables of fields fill every member with a value of
 * its own, so that a member which does not survive is found without being named here.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "model/fields.h"
#include "model/json.h"
#include "model/print.h"

/* ---- filling ---- */

/* Names as a hostile program may choose them. */
static const char *const texts[] = {
	"plain",
	"",
	"two words",
	"\xff\xfe not UTF-8",
	"\033]0;title\007",
	"gr\xc3\xbc\xc3\x9f",
	"new\nline",
	"\"quoted\"\\",
	"\xe2\x80\xae"
	"right to left",
	"\xed\xa0\x80",
};

static uint64_t next_u64(void)
{
	return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

static const char *next_text(void)
{
	return texts[(size_t)random() % ARRAY_LEN(texts)];
}

static void fill_record(const struct record *r, void *base);

static void fill_blob(enum field_type t, struct blob *b)
{
	struct buf bytes = {0};

	for (int i = 0; i < 5; i++) {
		if (t == FIELD_STRINGS)
			buf_add(&bytes, texts[i], strlen(texts[i]) + 1);
		else
			buf_add(&bytes, (uint64_t[]){next_u64(), (uint64_t)i}, 16);
	}
	*b = (struct blob){bytes.data, bytes.len};
}

static void fill_array(const struct field *f, char *base)
{
	for (int i = 0; i < 3; i++) {
		const size_t size = f->type == FIELD_ARRAY   ? f->rec->size
				    : f->type == FIELD_TEXTS ? sizeof(char *)
							     : 4;
		void *const at =
			array_grow((void **)(base + f->off), (size_t *)(base + f->count_off), size);

		if (f->type == FIELD_ARRAY)
			fill_record(f->rec, at);
		else if (f->type == FIELD_TEXTS)
			*(char **)at = xstrdup(next_text());
		else
			*(uint32_t *)at = (uint32_t)random();
	}
}

static void fill_field(const struct field *f, char *base)
{
	char *const at = base + f->off;

	switch (f->type) {
	case FIELD_BOOL:
		*(bool *)at = true;
		break;
	case FIELD_U8:
		*(uint8_t *)at = (uint8_t)random();
		break;
	case FIELD_I32:
		*(int32_t *)at = (int32_t)-random();
		break;
	case FIELD_U32:
	case FIELD_OCT:
		*(uint32_t *)at = (uint32_t)next_u64();
		break;
	case FIELD_I64:
		*(int64_t *)at = (int64_t)next_u64();
		break;
	case FIELD_U64:
	case FIELD_HEX:
	case FIELD_LIMIT:
		*(uint64_t *)at = random() % 4 ? next_u64() : UINT64_MAX;
		break;
	case FIELD_CHAR:
		*at = 'R';
		break;
	case FIELD_ENUM:
		*(uint8_t *)at = (uint8_t)((size_t)random() % f->n);
		break;
	case FIELD_TEXT:
		*(char **)at = xstrdup(next_text());
		break;
	case FIELD_CHARS:
		strcpy(at, "x86_64");
		break;
	case FIELD_BLOB:
	case FIELD_STRINGS:
	case FIELD_AUXV:
		fill_blob(f->type, (struct blob *)at);
		break;
	case FIELD_BYTES:
		for (size_t i = 0; i < f->n; i++)
			at[i] = (char)random();
		break;
	case FIELD_BULK:
		*(struct bulk *)at = (struct bulk){.off = 4096, .len = 77, .xxh64 = next_u64()};
		break;
	case FIELD_JSON:
		*(char **)at = xstrdup("{\"engine\":\"segv\",\"stalls\":{\"p50\":[1,2,3]}}");
		break;
	case FIELD_U32S:
		for (size_t i = 0; i < f->n; i++)
			((uint32_t *)at)[i] = (uint32_t)random();
		break;
	case FIELD_RECORD:
		fill_record(f->rec, at);
		break;
	case FIELD_SPARSE:
		for (size_t i = 0; i < f->n; i += 3)
			fill_record(f->rec, at + i * f->rec->size);
		break;
	default:
		fill_array(f, base);
		break;
	}
}

static void fill_record(const struct record *r, void *base)
{
	for (size_t i = 0; i < r->nfields; i++)
		fill_field(&r->fields[i], base);
}

/* Everything set, then put in order as the decoder demands it. */
static struct proc *full_proc(unsigned int seed)
{
	struct proc *const p = proc_new();

	srandom(seed);
	for (size_t i = 0; i < proc_nsections; i++)
		fill_record(&proc_section_table[i].rec, p);
	for (size_t i = 0; i < p->nvmas; i++) {
		struct vma *const v = &p->vmas[i];

		v->start = (i + 1) * 0x100000;
		v->end = v->start + PAGE_LEN * (i + 1);
		v->off = i * PAGE_LEN;
		v->prot = PROT_READ | PROT_WRITE;
	}
	for (size_t i = 0; i < p->nthreads; i++)
		p->threads[i].tid = (int32_t)i + 100;
	for (size_t i = 0; i < p->nfds; i++)
		p->fds[i].fd = (int32_t)i * 2;
	return p;
}

/* ---- the way there and back ---- */

static char *dumped(const struct proc *p)
{
	json_t *const j = proc_to_json(p);
	char *const s = json_dumps(j, JSON_COMPACT);

	ck_assert_ptr_nonnull(s);
	json_decref(j);
	return s;
}

static struct proc *through_text(const char *text)
{
	struct err e = {0};
	json_t *const j = json_loads(text, 0, NULL);

	ck_assert_ptr_nonnull(j);
	struct proc *const p = proc_from_json(j, &e);

	ck_assert_msg(p, "%s", e.text);
	json_decref(j);
	return p;
}

START_TEST(a_full_proc_survives)
{
	struct proc *const p = full_proc((unsigned int)_i);
	char *const text = dumped(p);
	struct proc *const q = through_text(text);
	char *const again = dumped(q);

	ck_assert_str_eq(text, again);
	/* Not only the same text: the same values. */
	ck_assert_str_eq(p->comm, q->comm);
	ck_assert_str_eq(p->vmas[1].path, q->vmas[1].path);
	ck_assert_uint_eq(p->cmdline.len, q->cmdline.len);
	ck_assert_mem_eq(p->cmdline.data, q->cmdline.data, p->cmdline.len);
	ck_assert_mem_eq(p->auxv.data, q->auxv.data, p->auxv.len);
	ck_assert_mem_eq(p->acts, q->acts, sizeof(p->acts));
	ck_assert_mem_eq(p->limits, q->limits, sizeof(p->limits));
	ck_assert_mem_eq(&p->mm, &q->mm, sizeof(p->mm));
	ck_assert_mem_eq(
		p->threads[2].pending, q->threads[2].pending, 3 * sizeof(struct siginfo_raw));
	ck_assert_uint_eq(p->fds[2].epoll[1].data, q->fds[2].epoll[1].data);
	ck_assert_uint_eq(p->fds[0].content.xxh64, q->fds[0].content.xxh64);
	ck_assert_str_eq(p->how, q->how);
	free(text);
	free(again);
	proc_free(p);
	proc_free(q);
}
END_TEST

START_TEST(an_empty_proc_survives)
{
	struct proc *const p = proc_new();
	char *const text = dumped(p);
	struct proc *const q = through_text(text);
	char *const again = dumped(q);

	ck_assert_str_eq(text, again);
	ck_assert_ptr_null(q->comm);
	free(text);
	free(again);
	proc_free(p);
	proc_free(q);
	proc_free(NULL);
}
END_TEST

START_TEST(strings_without_their_last_nul_survive)
{
	struct proc *const p = proc_new();

	blob_set(&p->cmdline, "a\0b", 3);
	blob_set(&p->environ, "\0\0X=\xff\0", 6);
	blob_set(&p->auxv, "odd", 3);
	char *const text = dumped(p);
	struct proc *const q = through_text(text);

	ck_assert_uint_eq(q->cmdline.len, 3);
	ck_assert_mem_eq(q->cmdline.data, "a\0b", 3);
	ck_assert_uint_eq(q->environ.len, 6);
	ck_assert_mem_eq(q->environ.data, "\0\0X=\xff\0", 6);
	ck_assert_uint_eq(q->auxv.len, 3);
	free(text);
	proc_free(p);
	proc_free(q);
}
END_TEST

START_TEST(every_section_is_there)
{
	struct proc *const p = full_proc(3);

	for (int i = 0; proc_sections[i]; i++) {
		json_t *const j = proc_section_json(p, proc_sections[i]);

		ck_assert_msg(j, "%s", proc_sections[i]);
		json_decref(j);
		ck_assert_ptr_nonnull(section_find(proc_sections[i]));
	}
	for (size_t i = 0; i < proc_nsections; i++)
		ck_assert_str_eq(proc_section_table[i].name, proc_sections[i]);
	ck_assert_ptr_null(proc_section_json(p, "nonsense"));
	proc_free(p);
}
END_TEST

START_TEST(printing_is_harmless)
{
	struct proc *const p = full_proc((unsigned int)_i);
	char *text = NULL;
	size_t len = 0;
	FILE *const out = open_memstream(&text, &len);

	for (int i = 0; proc_sections[i]; i++)
		proc_print_section(out, p, proc_sections[i]);
	proc_print_section(out, p, "nonsense");
	fclose(out);
	ck_assert_uint_gt(len, 1000);
	for (size_t i = 0; i < len; i++)
		ck_assert(((unsigned char)text[i] >= 0x20 && text[i] != 0x7f) || text[i] == '\n');
	ck_assert(text_is_utf8(text, len));
	free(text);
	proc_free(p);
}
END_TEST

/* ---- refusals ---- */

static const struct {
	const char *json, *why;
} refused[] = {
	{"[]", "not a JSON object"},
	{"{}", "format"},
	{"{\"format\":2}", "newer"},
	{"{\"format\":1,\"maps\":{}}", "maps: not an array"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x1000\"}]}", "end: missing"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x1001\",\"end\":\"0x2000\"}]}", "not whole pages"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x2000\",\"end\":\"0x1000\"}]}", "not whole pages"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x1000\",\"end\":\"0x3000\"},{\"start\":\"0x2000\","
	 "\"end\":\"0x4000\"}]}",
		"out of order"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x1000\",\"end\":\"0x3000\",\"kind\":\"\\u001b[2J\"}"
	 "]}",
		"unknown name \\x1b"},
	{"{\"format\":1,\"maps\":[{\"start\":\"0x1000\",\"end\":\"0x3000\",\"prot\":8}]}", "prot"},
	{"{\"format\":1,\"fds\":[{\"fd\":3},{\"fd\":3}]}", "out of order"},
	{"{\"format\":1,\"fds\":[{\"fd\":-1}]}", "out of order"},
	{"{\"format\":1,\"fds\":[{\"fd\":4294967296}]}", "out of range"},
	{"{\"format\":1,\"fds\":[{\"fd\":1,\"content\":{\"off\":\"0xffffffffffffffff\",\"len\":1,"
	 "\"xxh64\":0}}]}",
		"range"},
	{"{\"format\":1,\"threads\":[{\"tid\":0}]}", "tid"},
	{"{\"format\":1,\"threads\":[{\"tid\":1,\"affinity\":\"abc\"}]}", "hex"},
	{"{\"format\":1,\"threads\":[{\"tid\":1,\"affinity\":\"ZZ\"}]}", "hex"},
	{"{\"format\":1,\"threads\":[{\"tid\":1,\"sigmask\":\"-1\"}]}", "not a number"},
	{"{\"format\":1,\"threads\":[{\"tid\":1,\"pending\":[{\"bytes\":\"00\"}]}]}", "hex digits"},
	{"{\"format\":1,\"threads\":[{\"tid\":1,\"uid\":[1,2,3]}]}", "numbers"},
	{"{\"format\":1,\"summary\":{\"comm\":{\"hex\":\"610062\"}}}", "NUL"},
	{"{\"format\":1,\"summary\":{\"comm\":5}}", "not a text"},
	{"{\"format\":1,\"summary\":{\"arch\":\"0123456789abcdef\"}}", "too long"},
	{"{\"format\":1,\"creds\":{\"groups\":[-1]}}", "range"},
	{"{\"format\":1,\"signals\":{\"actions\":[]}}", "not an object"},
	{"{\"format\":1,\"warnings\":[5]}", "not a text"},
};

START_TEST(broken_json_is_refused_with_the_place)
{
	struct err e = {0};
	json_t *const j = json_loads(refused[_i].json, 0, NULL);

	ck_assert_ptr_nonnull(j);
	ck_assert_ptr_null(proc_from_json(j, &e));
	ck_assert_int_eq(e.code, EXIT_IMAGE);
	ck_assert_msg(strstr(e.text, refused[_i].why), "%s", e.text);
	json_decref(j);
}
END_TEST

/* Whatever is in the file: an error or a proc that can be printed and encoded again. */
static void try_text(const char *text, size_t len)
{
	struct err e = {0};
	json_t *const j = json_loadb(text, len, 0, NULL);

	if (!j)
		return;
	struct proc *const p = proc_from_json(j, &e);

	if (p) {
		FILE *const out = fopen("/dev/null", "w");
		char *const again = dumped(p);

		for (int i = 0; proc_sections[i]; i++)
			proc_print_section(out, p, proc_sections[i]);
		fclose(out);
		free(again);
		proc_free(p);
	} else {
		ck_assert_int_eq(e.code, EXIT_IMAGE);
		ck_assert_int_ne(e.text[0], 0);
	}
	json_decref(j);
}

START_TEST(changed_bytes_do_no_harm)
{
	struct proc *const p = full_proc(9);
	char *const text = dumped(p), *const broken = xstrdup(text);
	const size_t len = strlen(text);

	srandom(1000 + (unsigned int)_i);
	for (int round = 0; round < 300; round++) {
		memcpy(broken, text, len);
		for (long n = random() % 4; n >= 0; n--) {
			static const char like[] = "0123456789-\"{}[],:xfen.";

			broken[(size_t)random() % len] =
				random() % 3 ? like[(size_t)random() % (sizeof(like) - 1)]
					     : (char)random();
		}
		try_text(broken, len);
	}
	free(text);
	free(broken);
	proc_free(p);
}
END_TEST

/* One value somewhere in the tree becomes another kind of value. */
static void swap_one(json_t *j, int depth)
{
	json_t *const with[] = {
		json_null(),
		json_true(),
		json_integer(-1),
		json_integer(INT64_MAX),
		json_string("0xffffffffffffffff"),
		json_string(""),
		json_array(),
		json_object(),
		json_real(1e300),
		json_pack("[[]]"),
		json_pack("[n]"),
		json_pack("{s:s}", "hex", "ff00"),
	};
	json_t *const value = json_incref(with[(size_t)random() % ARRAY_LEN(with)]);
	const size_t n = json_is_array(j) ? json_array_size(j) : json_object_size(j);
	size_t at = n ? (size_t)random() % n : 0;
	const bool here = random() % 3 == 0 || depth > 6;
	const char *key;
	json_t *v;
	void *tmp;

	for (size_t i = 0; i < ARRAY_LEN(with); i++)
		json_decref(with[i]);
	if (json_is_array(j) && n) {
		v = json_array_get(j, at);
		if (here || !(json_is_array(v) || json_is_object(v)))
			json_array_set(j, at, value);
		else
			swap_one(v, depth + 1);
	} else if (json_is_object(j) && n) {
		json_object_foreach_safe(j, tmp, key, v)
		{
			if (at-- != 0)
				continue;
			if (here || !(json_is_array(v) || json_is_object(v)))
				json_object_set(j, key, value);
			else
				swap_one(v, depth + 1);
			break;
		}
	}
	json_decref(value);
}

START_TEST(changed_values_do_no_harm)
{
	struct proc *const p = full_proc(10);
	json_t *const whole = proc_to_json(p);

	srandom(2000 + (unsigned int)_i);
	for (int round = 0; round < 200; round++) {
		json_t *const j = json_deep_copy(whole);

		for (long n = random() % 3; n >= 0; n--)
			swap_one(j, 0);
		char *const text = json_dumps(j, JSON_COMPACT);

		try_text(text, strlen(text));
		free(text);
		json_decref(j);
	}
	json_decref(whole);
	proc_free(p);
}
END_TEST

/* ---- look-ups ---- */

START_TEST(look_ups_find_what_is_there)
{
	struct proc *const p = full_proc(4);

	ck_assert_ptr_eq(proc_vma(p, p->vmas[1].start), &p->vmas[1]);
	ck_assert_ptr_eq(proc_vma(p, p->vmas[1].end - 1), &p->vmas[1]);
	ck_assert_ptr_null(proc_vma(p, p->vmas[1].end));
	ck_assert_ptr_null(proc_vma(p, 0));
	ck_assert_ptr_null(proc_vma(p, UINT64_MAX));
	ck_assert_ptr_eq(proc_fd(p, 4), &p->fds[2]);
	ck_assert_ptr_null(proc_fd(p, 3));
	ck_assert_ptr_null(proc_fd(p, -1));
	ck_assert_ptr_eq(proc_thread(p, 101), &p->threads[1]);
	ck_assert_ptr_null(proc_thread(p, 5));
	const size_t n = p->nwarnings;

	proc_warn(p, "once %d", 1);
	proc_warn(p, "once %d", 1);
	ck_assert_uint_eq(p->nwarnings, n + 1);
	proc_free(p);
}
END_TEST

START_TEST(masks_and_addresses_in_words)
{
	char s[1024];
	struct blob addr = {0};

	ck_assert_str_eq(sigmask_text(0, s, sizeof(s)), "none");
	ck_assert_str_eq(sigmask_text(1ull << 1 | 1ull << 14, s, sizeof(s)), "SIGINT SIGTERM");
	ck_assert_str_eq(sigmask_text(UINT64_MAX, s, sizeof(s)), "all");
	ck_assert_str_eq(sigmask_text(~(1ull << 10), s, sizeof(s)), "all but SIGSEGV");
	ck_assert_str_eq(sockaddr_text(&addr, s, sizeof(s)), "-");
	blob_set(&addr, "\x02\0\0\x50\x7f\0\0\x01\0\0\0\0\0\0\0\0", 16);
	ck_assert_str_eq(sockaddr_text(&addr, s, sizeof(s)), "127.0.0.1:80");
	blob_set(&addr, "\x01\0\0ab\033", 6);
	ck_assert_str_eq(sockaddr_text(&addr, s, sizeof(s)), "@ab\\x1b");
	blob_deinit(&addr);
}
END_TEST

int main(void)
{
	Suite *const s = suite_create("model");
	TCase *const t = tcase_create("model");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, a_full_proc_survives, 0, 20);
	tcase_add_test(t, an_empty_proc_survives);
	tcase_add_test(t, strings_without_their_last_nul_survive);
	tcase_add_test(t, every_section_is_there);
	tcase_add_loop_test(t, printing_is_harmless, 0, 10);
	tcase_add_loop_test(t, broken_json_is_refused_with_the_place, 0, (int)ARRAY_LEN(refused));
	tcase_add_loop_test(t, changed_bytes_do_no_harm, 0, 5);
	tcase_add_loop_test(t, changed_values_do_no_harm, 0, 5);
	tcase_add_test(t, look_ups_find_what_is_there);
	tcase_add_test(t, masks_and_addresses_in_words);
	suite_add_tcase(s, t);
	SRunner *const r = srunner_create(s);

	srunner_run_all(r, CK_ENV);
	const int failed = srunner_ntests_failed(r);

	srunner_free(r);
	return failed ? 1 : 0;
}
