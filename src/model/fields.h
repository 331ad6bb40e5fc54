/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Every member of the structs in proc.h as data: one table per struct drives the JSON form in both
 * directions, printing and comparing. A new member gets its line in fields.c and nothing else.
 */
#ifndef CKPT_MODEL_FIELDS_H
#define CKPT_MODEL_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a member is in C, and in JSON. */
enum field_type {
	FIELD_BOOL,      /* bool: true, false */
	FIELD_U8,        /* uint8_t: number */
	FIELD_I32,       /* int32_t: number */
	FIELD_U32,       /* uint32_t: number */
	FIELD_I64,       /* int64_t: number */
	FIELD_U64,       /* uint64_t: number; "0x..." above 2^63 - 1 */
	FIELD_HEX,       /* uint64_t: "0x..." */
	FIELD_OCT,       /* uint32_t: "0644" */
	FIELD_LIMIT,     /* uint64_t: number or "unlimited" */
	FIELD_CHAR,      /* char: text of one character */
	FIELD_ENUM,      /* uint8_t below n: name_of() */
	FIELD_TEXT,      /* char *, heap: text, {"hex": ...} when not UTF-8, absent when NULL */
	FIELD_CHARS,     /* char[n]: the same, NUL-terminated */
	FIELD_BLOB,      /* struct blob: hex */
	FIELD_STRINGS,   /* struct blob of NUL-terminated strings: array of texts */
	FIELD_AUXV,      /* struct blob of Elf64_auxv_t: array of {type, name, value} */
	FIELD_BYTES,     /* uint8_t[n]: hex */
	FIELD_BULK,      /* struct bulk: {off, len, xxh64} */
	FIELD_JSON,      /* char *, heap, JSON text: embedded as it is */
	FIELD_U32S,      /* uint32_t[n]: array of numbers */
	FIELD_RECORD,    /* a struct: object */
	FIELD_ARRAY,     /* pointer to structs with a size_t count at count_off, n at most: array of
			    objects */
	FIELD_I32_ARRAY, /* the same of int32_t or uint32_t: array of numbers */
	FIELD_TEXTS,     /* the same of char *: array of texts */
	FIELD_SPARSE,    /* struct[n]: object of those that are not all zero, by name_of(index) */
	FIELD_TYPES,
};

struct record;
struct field {
	const char *name;
	enum field_type type;
	size_t off, count_off;
	size_t n;
	const struct record *rec;
	const char *(*name_of)(int idx);
	bool opt; /* left out when zero */
	bool req; /* an object without it is refused */
};
struct record {
	size_t size;
	const struct field *fields;
	size_t nfields;
};

/* The sections of a document, in order: each is an object of some members of struct proc, or, when
 * whole, the one member by itself. */
struct section {
	const char *name;
	struct record rec;
	bool whole;
};
extern const struct section proc_section_table[];
extern const size_t proc_nsections;
const struct section *section_find(const char *name); /* NULL: none */

extern const struct record thread_record, vma_record, fdesc_record, ptimer_record, sigact_record;

/* "SIGSEGV", "SIGRTMIN+3"; in a static table. */
const char *signal_name(int sig);
const char *limit_name(int idx);      /* "nofile" */
const char *auxv_name(uint64_t type); /* "AT_PHDR"; NULL: unknown */

#endif
