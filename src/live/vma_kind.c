/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a mapping is, and where a restore gets its bytes from: by name, file and smaps flags. */
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "live/internal.h"

static bool vmflag(const struct vma *v, const char *two)
{
	for (const char *at = v->vmflags; at && *at; at += at[2] ? 3 : 2) {
		if (at[0] == two[0] && at[1] == two[1])
			return true;
		if (!at[1])
			break;
	}
	return false;
}

/* Names the kernel gives; what starts with one of them is of that kind. */
static const struct {
	const char *name;
	uint8_t kind, store;
	bool prefix;
} special_names[] = {
	{"[heap]", VMA_HEAP, STORE_PRIVATE, false},
	{"[stack]", VMA_STACK, STORE_PRIVATE, false},
	{"[stack:", VMA_STACK, STORE_PRIVATE, true},
	{"[vdso]", VMA_VDSO, STORE_NONE, false},
	{"[vvar]", VMA_VVAR, STORE_NONE, false},
	{"[vvar_vclock]", VMA_VVAR, STORE_NONE, false},
	{"[vvar_", VMA_VVAR, STORE_NONE, true},
	{"[vsyscall]", VMA_VSYSCALL, STORE_NONE, false},
	{"[anon:", VMA_ANON, STORE_PRIVATE, true}, /* prctl PR_SET_VMA_ANON_NAME */
	{"[anon_shmem:", VMA_SHM, STORE_SHARED, true},
};

static bool classify_special(struct proc *p, struct vma *v)
{
	if (v->path[0] != '[')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(special_names); i++) {
		const char *const name = special_names[i].name;

		if (special_names[i].prefix ? strncmp(v->path, name, strlen(name)) == 0
					    : strcmp(v->path, name) == 0) {
			v->kind = special_names[i].kind;
			v->store = special_names[i].store;
			return true;
		}
	}
	v->kind = VMA_SPECIAL;
	v->store = STORE_NONE;
	if (strcmp(v->path, "[uprobes]") != 0)
		proc_warn(p, "mapping %llx %s is of an unknown kind: its bytes are not stored",
			(unsigned long long)v->start, text_safe(v->path));
	return true;
}

static void classify_device(struct proc *p, struct vma *v)
{
	v->kind = VMA_DEVICE;
	v->store = STORE_NONE;
	proc_warn(p, "mapping %llx of device %s: its bytes are not stored",
		(unsigned long long)v->start, text_safe(v->path));
}

static void classify_file(struct proc *p, struct vma *v, const struct file_facts *facts)
{
	const bool zero = strcmp(v->path, "/dev/zero") == 0;

	if (zero && !v->shared) {
		/* The kernel makes plain anonymous memory of it. */
		v->kind = VMA_ANON;
		v->store = STORE_PRIVATE;
	} else if (strncmp(v->path, "anon_inode:", 11) == 0 ||
		   (facts && (S_ISCHR(facts->mode) || S_ISBLK(facts->mode)))) {
		classify_device(p, v);
	} else if (v->shared &&
		   (v->deleted || strncmp(v->path, "/memfd:", 7) == 0 || v->path[0] != '/')) {
		v->kind = VMA_SHM;
		v->store = STORE_SHARED;
	} else {
		v->kind = v->deleted && v->shared ? VMA_SHM : VMA_FILE;
		v->store = v->shared ? STORE_FILE : STORE_PRIVATE;
	}
}

void vma_classify(struct proc *p, struct vma *v, const struct file_facts *facts)
{
	if (!v->path) {
		v->kind = VMA_ANON;
		v->store = STORE_PRIVATE;
	} else if (!classify_special(p, v)) {
		classify_file(p, v, facts);
	}
	if (v->kind == VMA_STACK || vmflag(v, "gd"))
		v->growsdown = true;
	if (vmflag(v, "ht") || (v->path && strncmp(v->path, "/anon_hugepage", 14) == 0)) {
		v->kind = VMA_HUGETLB;
		v->store = v->shared ? STORE_SHARED : STORE_PRIVATE;
	}
	if ((vmflag(v, "pf") || vmflag(v, "io")) && v->path && v->store != STORE_NONE)
		classify_device(p, v);
	if (v->kind == VMA_HEAP && p->mm.known) {
		/* Only to the page: the exact end comes by an injected brk(0). */
		if (p->mm.brk <= v->end - PAGE_LEN || p->mm.brk > v->end)
			p->mm.brk = v->end;
	}
}
