/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ckptview show: what a process or an image is made of, as text or JSON. The sections are those of
 * the model, and the registers, whose names only the architecture knows.
 */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "arch/arch.h"
#include "base/text.h"
#include "model/json.h"
#include "model/print.h"

static const char usage[] =
	"usage: ckptview show SOURCE [SECTION] [--json]\n"
	"Prints what a process or an image is made of; without SECTION, all of it.\n"
	"  SOURCE   an image, any core file, or pid:N\n"
	"      --json   the same as JSON, see ckptview-image(5)\n";

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
};

/* ---- registers ---- */

static uint64_t reg_value(const struct thread *t, const struct arch_reg *r)
{
	uint64_t v = 0;

	if (r->len <= sizeof(v) && r->off + r->len <= t->regs.len)
		memcpy(&v, t->regs.data + r->off, r->len);
	return v;
}

static void print_thread_regs(FILE *out, const struct thread *t)
{
	fprintf(out, "thread %d %s\n", t->tid, text_safe(t->comm));
	if (!t->regs.len) {
		fputs("  not known: only a checkpoint reads registers\n", out);
		return;
	}
	for (size_t i = 0; i < arch->nregs; i++)
		fprintf(out, "  %-8s 0x%016lx%s", arch->regs[i].name, reg_value(t, &arch->regs[i]),
			i % 3 == 2 || i + 1 == arch->nregs ? "\n" : "");
}

static void print_regs(FILE *out, const struct proc *p)
{
	for (size_t i = 0; i < p->nthreads; i++)
		print_thread_regs(out, &p->threads[i]);
}

static json_t *hex_json(const struct blob *b)
{
	static const char digits[] = "0123456789abcdef";
	cleanup_buf struct buf text = {0};

	for (size_t i = 0; i < b->len; i++) {
		const char two[2] = {digits[b->data[i] >> 4], digits[b->data[i] & 15]};
		buf_add(&text, two, 2);
	}
	return json_stringn(text.len ? (const char *)text.data : "", text.len);
}

static json_t *thread_regs_json(const struct thread *t)
{
	json_t *regs = json_object(), *j = json_pack("{s:i}", "tid", t->tid);

	for (size_t i = 0; t->regs.len && i < arch->nregs; i++) {
		char value[24];
		snprintf(value, sizeof(value), "0x%lx", reg_value(t, &arch->regs[i]));
		json_object_set_new(regs, arch->regs[i].name, json_string(value));
	}
	json_object_set_new(j, "general", regs);
	json_object_set_new(j, "fpregs", hex_json(&t->fpregs));
	json_object_set_new(j, "xstate", hex_json(&t->xstate));
	return j;
}

static json_t *regs_json(const struct proc *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->nthreads; i++)
		json_array_append_new(all, thread_regs_json(&p->threads[i]));
	return all;
}

/* ---- sections ---- */

static bool section_known(const char *name)
{
	for (const char *const *s = proc_sections; *s; s++)
		if (strcmp(*s, name) == 0)
			return true;
	return strcmp(name, "regs") == 0;
}

static void print_section_names(FILE *out, const char *between)
{
	for (const char *const *s = proc_sections; *s; s++)
		fprintf(out, "%s%s", *s, between);
	fputs("regs", out);
}

static void print_section(FILE *out, const struct proc *p, const char *name)
{
	if (strcmp(name, "regs") == 0)
		print_regs(out, p);
	else
		proc_print_section(out, p, name);
}

static void print_all(FILE *out, const struct proc *p)
{
	for (const char *const *s = proc_sections; *s; s++) {
		fprintf(out, "%s-- %s --\n", s == proc_sections ? "" : "\n", *s);
		print_section(out, p, *s);
	}
	fputs("\n-- regs --\n", out);
	print_regs(out, p);
}

static json_t *show_json(const struct proc *p, const char *section)
{
	if (section && strcmp(section, "regs") == 0)
		return regs_json(p);
	if (section)
		return proc_section_json(p, section);
	json_t *all = proc_to_json(p);
	json_object_set_new(all, "regs", regs_json(p));
	return all;
}

static void show(FILE *out, const struct proc *p, const char *section, bool json)
{
	if (json) {
		json_t *j = show_json(p, section);
		json_dumpf(j, out, JSON_INDENT(2) | JSON_ENCODE_ANY);
		fputc('\n', out);
		json_decref(j);
	} else if (section) {
		print_section(out, p, section);
	} else {
		print_all(out, p);
	}
}

static int print_usage(void)
{
	fputs(usage, stdout);
	fputs("sections: ", stdout);
	print_section_names(stdout, " ");
	fputc('\n', stdout);
	return EXIT_DONE;
}

static int wrong_section(const char *name)
{
	char *names = NULL;
	size_t len;
	FILE *out = open_memstream(&names, &len);

	print_section_names(out, ", ");
	fclose(out);
	const int code = cmd_usage("show: no section '%s' (there are %s)", name, names);
	free(names);
	return code;
}

int cmd_show(int argc, char **argv)
{
	bool json = false;
	struct err e = {0};
	int opt;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'j': json = true; break;
		case 'h': return print_usage();
		default: return cmd_usage("show: wrong option; see ckptview show --help");
		}
	}
	if (optind == argc || argc - optind > 2)
		return cmd_usage("show: which source? see ckptview show --help");
	const char *section = optind + 1 < argc ? argv[optind + 1] : NULL;
	if (section && !section_known(section))
		return wrong_section(section);
	struct source *s = source_open(argv[optind], &e);
	if (!s)
		return cmd_fail(&e, EXIT_IMAGE);
	show(stdout, s->proc, section, json);
	source_close(s);
	return EXIT_DONE;
}
