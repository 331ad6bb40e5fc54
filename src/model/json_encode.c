/* SPDX-License-Identifier: GPL-3.0-or-later */
/* struct proc to JSON, one small function per type of field. */
#include "model/json_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/text.h"

static json_t *hex_json(const void *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *const p = data;
	cleanup_free char *text = xmalloc(len * 2 + 1);

	for (size_t i = 0; i < len; i++) {
		text[i * 2] = digits[p[i] >> 4];
		text[i * 2 + 1] = digits[p[i] & 15];
	}
	return json_stringn_nocheck(text, len * 2);
}

static json_t *text_json(const char *s, size_t len)
{
	if (text_is_utf8(s, len))
		return json_stringn_nocheck(s, len);
	json_t *const o = json_object();

	json_object_set_new(o, "hex", hex_json(s, len));
	return o;
}

static json_t *hex_number(uint64_t v)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%" PRIx64, v);
	return json_string_nocheck(text);
}

/* ---- one per type: at points to the member, base to its struct ---- */

static json_t *encode_bool(const struct field *f, const void *at)
{
	(void)f;
	return json_boolean(*(const bool *)at);
}

static json_t *encode_u8(const struct field *f, const void *at)
{
	(void)f;
	return json_integer(*(const uint8_t *)at);
}

static json_t *encode_i32(const struct field *f, const void *at)
{
	(void)f;
	return json_integer(*(const int32_t *)at);
}

static json_t *encode_u32(const struct field *f, const void *at)
{
	(void)f;
	return json_integer(*(const uint32_t *)at);
}

static json_t *encode_i64(const struct field *f, const void *at)
{
	(void)f;
	return json_integer(*(const int64_t *)at);
}

static json_t *encode_u64(const struct field *f, const void *at)
{
	const uint64_t v = *(const uint64_t *)at;

	(void)f;
	return v > INT64_MAX ? hex_number(v) : json_integer((json_int_t)v);
}

static json_t *encode_hex(const struct field *f, const void *at)
{
	(void)f;
	return hex_number(*(const uint64_t *)at);
}

static json_t *encode_oct(const struct field *f, const void *at)
{
	char text[32];

	(void)f;
	snprintf(text, sizeof(text), "%#" PRIo32, *(const uint32_t *)at);
	return json_string_nocheck(text);
}

static json_t *encode_limit(const struct field *f, const void *at)
{
	const uint64_t v = *(const uint64_t *)at;

	return v == RLIM_INFINITY ? json_string("unlimited") : encode_u64(f, at);
}

static json_t *encode_char(const struct field *f, const void *at)
{
	const char c = *(const char *)at;

	(void)f;
	return text_json(&c, c ? 1 : 0);
}

static json_t *encode_enum(const struct field *f, const void *at)
{
	return json_string(f->name_of(*(const uint8_t *)at));
}

static json_t *encode_text(const struct field *f, const void *at)
{
	const char *const s = *(char *const *)at;

	(void)f;
	return s ? text_json(s, strlen(s)) : NULL;
}

static json_t *encode_chars(const struct field *f, const void *at)
{
	return text_json(at, strnlen(at, f->n));
}

static json_t *encode_blob(const struct field *f, const void *at)
{
	const struct blob *const b = at;

	(void)f;
	return hex_json(b->data, b->len);
}

static json_t *encode_strings(const struct field *f, const void *at)
{
	const struct blob *const b = at;

	if (b->len && b->data[b->len - 1] != 0)
		return encode_blob(f, at);
	json_t *const a = json_array();

	for (size_t i = 0; i < b->len;) {
		const char *const s = (const char *)b->data + i;
		const size_t len = strlen(s);

		json_array_append_new(a, text_json(s, len));
		i += len + 1;
	}
	return a;
}

static json_t *encode_auxv(const struct field *f, const void *at)
{
	const struct blob *const b = at;

	if (b->len % 16)
		return encode_blob(f, at);
	json_t *const a = json_array();
	struct cursor c = cursor_of(b->data, b->len);

	while (cursor_left(&c)) {
		const uint64_t type = cursor_u64(&c), value = cursor_u64(&c);
		json_t *const o = json_object();

		json_object_set_new(o, "type", encode_u64(f, &type));
		if (auxv_name(type))
			json_object_set_new(o, "name", json_string(auxv_name(type)));
		json_object_set_new(o, "value", hex_number(value));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *encode_bytes(const struct field *f, const void *at)
{
	return hex_json(at, f->n);
}

static json_t *encode_bulk(const struct field *f, const void *at)
{
	const struct bulk *const b = at;
	json_t *const o = json_object();

	(void)f;
	json_object_set_new(o, "off", encode_u64(f, &b->off));
	json_object_set_new(o, "len", encode_u64(f, &b->len));
	json_object_set_new(o, "xxh64", hex_number(b->xxh64));
	return o;
}

static json_t *encode_json(const struct field *f, const void *at)
{
	const char *const s = *(char *const *)at;

	(void)f;
	if (!s)
		return NULL;
	json_t *const j = json_loads(s, 0, NULL);

	return json_is_object(j) ? j : (json_decref(j), text_json(s, strlen(s)));
}

static json_t *encode_u32s(const struct field *f, const void *at)
{
	json_t *const a = json_array();

	for (size_t i = 0; i < f->n; i++)
		json_array_append_new(a, json_integer(((const uint32_t *)at)[i]));
	return a;
}

static json_t *encode_record(const struct field *f, const void *at)
{
	return record_json(f->rec, at);
}

static bool all_zero(const void *at, size_t len)
{
	const uint8_t *const p = at;

	for (size_t i = 0; i < len; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static json_t *encode_sparse(const struct field *f, const void *at)
{
	json_t *const o = json_object();

	for (size_t i = 0; i < f->n; i++) {
		const void *const one = (const char *)at + i * f->rec->size;

		if (!all_zero(one, f->rec->size))
			json_object_set_new(o, f->name_of((int)i), record_json(f->rec, one));
	}
	return o;
}

/* ---- arrays know their struct, for the count ---- */

static json_t *array_json(const struct field *f, const char *base)
{
	const size_t n = *(const size_t *)(base + f->count_off);
	const char *const first = *(char *const *)(base + f->off);
	json_t *const a = json_array();

	for (size_t i = 0; i < n; i++) {
		if (f->type == FIELD_ARRAY)
			json_array_append_new(a, record_json(f->rec, first + i * f->rec->size));
		else if (f->type == FIELD_TEXTS)
			json_array_append_new(a, encode_text(f, first + i * sizeof(char *)));
		else
			json_array_append_new(a, encode_u32(f, first + i * sizeof(uint32_t)));
	}
	return a;
}

static json_t *(*const encoders[FIELD_TYPES])(const struct field *f, const void *at) = {
	[FIELD_BOOL] = encode_bool,
	[FIELD_U8] = encode_u8,
	[FIELD_I32] = encode_i32,
	[FIELD_U32] = encode_u32,
	[FIELD_I64] = encode_i64,
	[FIELD_U64] = encode_u64,
	[FIELD_HEX] = encode_hex,
	[FIELD_OCT] = encode_oct,
	[FIELD_LIMIT] = encode_limit,
	[FIELD_CHAR] = encode_char,
	[FIELD_ENUM] = encode_enum,
	[FIELD_TEXT] = encode_text,
	[FIELD_CHARS] = encode_chars,
	[FIELD_BLOB] = encode_blob,
	[FIELD_STRINGS] = encode_strings,
	[FIELD_AUXV] = encode_auxv,
	[FIELD_BYTES] = encode_bytes,
	[FIELD_BULK] = encode_bulk,
	[FIELD_JSON] = encode_json,
	[FIELD_U32S] = encode_u32s,
	[FIELD_RECORD] = encode_record,
	[FIELD_SPARSE] = encode_sparse,
};

static bool is_array(enum field_type t)
{
	return t == FIELD_ARRAY || t == FIELD_I32_ARRAY || t == FIELD_TEXTS;
}

/* How many bytes decide whether an optional member is zero. */
static size_t scalar_size(enum field_type t)
{
	switch (t) {
	case FIELD_BOOL:
	case FIELD_U8:
	case FIELD_CHAR:
	case FIELD_ENUM:
		return 1;
	case FIELD_I32:
	case FIELD_U32:
	case FIELD_OCT:
		return 4;
	default:
		return 8;
	}
}

bool field_is_zero(const struct field *f, const void *base)
{
	const char *const at = (const char *)base + f->off;

	if (is_array(f->type))
		return *(const size_t *)((const char *)base + f->count_off) == 0;
	switch (f->type) {
	case FIELD_BLOB:
	case FIELD_STRINGS:
	case FIELD_AUXV:
		return ((const struct blob *)at)->len == 0;
	case FIELD_BULK:
		return ((const struct bulk *)at)->len == 0;
	default:
		return all_zero(at, scalar_size(f->type));
	}
}

json_t *field_json(const struct field *f, const void *base)
{
	return is_array(f->type) ? array_json(f, base)
				 : encoders[f->type](f, (const char *)base + f->off);
}

json_t *record_json(const struct record *r, const void *base)
{
	json_t *const o = json_object();

	for (size_t i = 0; i < r->nfields; i++) {
		const struct field *const f = &r->fields[i];

		if (f->opt && field_is_zero(f, base))
			continue;
		json_t *const v = field_json(f, base);

		if (v)
			json_object_set_new_nocheck(o, f->name, v);
	}
	return o;
}

static json_t *section_json(const struct section *s, const struct proc *p)
{
	json_t *const j = s->whole ? field_json(&s->rec.fields[0], p) : record_json(&s->rec, p);

	return j ? j : json_null();
}

static json_t *creds_json(const struct thread *t)
{
	static const char *const names[] = {"uid", "gid", "cap_inh", "cap_prm", "cap_eff",
		"cap_bnd", "cap_amb", "no_new_privs", "securebits"};
	json_t *const all = record_json(&thread_record, t), *const o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (json_object_get(all, names[i]))
			json_object_set(o, names[i], json_object_get(all, names[i]));
	}
	json_decref(all);
	return o;
}

json_t *proc_section_json(const struct proc *p, const char *section)
{
	const struct section *const s = section_find(section);
	json_t *const j = s ? section_json(s, p) : NULL;

	/* Credentials belong to threads; whoever asks for the process's means its leader's. */
	if (s && strcmp(section, "creds") == 0 && p->nthreads)
		json_object_update_new(j, creds_json(&p->threads[0]));
	return j;
}

json_t *proc_to_json(const struct proc *p)
{
	json_t *const o = json_object();

	json_object_set_new(o, "format", json_integer(JSON_FORMAT));
	for (size_t i = 0; i < proc_nsections; i++)
		json_object_set_new(
			o, proc_section_table[i].name, section_json(&proc_section_table[i], p));
	return o;
}
