/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ckptview verify: every byte of an image against its checksums. */
#include "cmd/cmd.h"

#include <getopt.h>
#include <jansson.h>

#include "base/text.h"
#include "image/image.h"
#include "model/json.h"

static const char usage[] =
	"usage: ckptview verify IMAGE... [--json]\n"
	"Checks headers, notes, contents and every page of images against their checksums.\n"
	"      --json   one object a line: file, ok, pages, bytes, error\n"
	"exit: 0 all are whole, 5 one is not\n";

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
};

struct verdict {
	bool ok;
	uint64_t npages, bytes; /* bytes: of memory */
	struct err e;
};

static struct verdict verify_file(const char *path)
{
	struct verdict v = {0};
	struct image *im = image_open(path, &v.e);

	if (!im)
		return v;
	v.ok = image_verify(im, &v.npages, &v.e) == 0;
	v.bytes = ranges_total(image_stored(im));
	image_close(im);
	return v;
}

static int print_text(const char *path, const struct verdict *v)
{
	char size[32];

	if (!v->ok)
		return cmd_fail(&v->e, EXIT_IMAGE);
	printf("%s: ok, %lu pages, %s\n", text_safe(path), v->npages,
		text_size(size, sizeof(size), v->bytes));
	return EXIT_DONE;
}

static int print_json(const char *path, const struct verdict *v)
{
	json_t *j = json_pack("{s:s, s:b, s:I, s:I}", "file", text_safe(path), "ok", v->ok, "pages",
		(json_int_t)v->npages, "bytes", (json_int_t)v->bytes);

	if (!v->ok)
		json_object_set_new(j, "error", json_string(text_safe(v->e.text)));
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
	return v->ok ? EXIT_DONE : EXIT_IMAGE;
}

int cmd_verify(int argc, char **argv)
{
	bool json = false;
	int opt, code = EXIT_DONE;

	optind = 0;
	opterr = 0;
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (opt) {
		case 'j': json = true; break;
		case 'h': fputs(usage, stdout); return EXIT_DONE;
		default: return cmd_usage("verify: wrong option; see ckptview verify --help");
		}
	}
	if (optind == argc)
		return cmd_usage("verify: which image? see ckptview verify --help");
	for (int i = optind; i < argc; i++) {
		const struct verdict v = verify_file(argv[i]);
		const int one = json ? print_json(argv[i], &v) : print_text(argv[i], &v);
		if (one != EXIT_DONE)
			code = one;
	}
	return code;
}
