// SPDX-License-Identifier: GPL-3.0-or-later
/*
 * CHECK: what must hold before anything is made. The plan's part says what is to be looked at; the
 * runner's part looks. A mapped file that is another one now is a refusal (the program would run
 * over strange code), an open data file that changed is a warning, one that is gone is a refusal.
 */
#include "restore/check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "restore/exec.h"

#define TASK_END 0x7ffffffff000ull
#define FD_MAX (1 << 20)
#define MAX_GROUPS 65536

/* ---- the plan's part ---- */

static int check_vmas(const struct proc *proc, struct err *e)
{
	uint64_t at = 0;

	for (size_t i = 0; i < proc->nvmas; i++) {
		const struct vma *v = &proc->vmas[i];

		if (v->kind == VMA_VSYSCALL)
			continue;
		if (v->start < at || v->start >= v->end || v->end > TASK_END ||
			(v->start | v->end | v->off) & (PAGE_LEN - 1))
			return err_set(e, EXIT_IMAGE, "mapping %zu, 0x%llx-0x%llx, cannot be", i,
				(unsigned long long)v->start, (unsigned long long)v->end);
		at = v->end;
	}
	return 0;
}

static int check_threads(const struct proc *proc, struct err *e)
{
	if (!proc->nthreads || proc->pid <= 0 || proc->threads[0].tid != proc->pid)
		return err_set(e, EXIT_IMAGE, "the image has no first thread");
	for (size_t i = 0; i < proc->nthreads; i++) {
		const struct thread *th = &proc->threads[i];

		if (th->tid <= 0 || (i && th->tid == proc->pid))
			return err_set(e, EXIT_IMAGE, "thread %d cannot be", th->tid);
		if (th->regs.len != sizeof(arch_regs))
			return err_set(e, EXIT_IMAGE, "thread %d has no registers", th->tid);
		if (th->state == 'Z')
			return err_set(e, EXIT_RESTORE,
				"thread %d had ended and waits for the others: that cannot be "
				"restored",
				th->tid);
	}
	return 0;
}

int plan_check_proc(const struct proc *proc, struct err *e)
{
	int last = -1;

	if (proc->foreign)
		return err_set(e, EXIT_RESTORE,
			"this core is not ckptview's: it tells too little to restore from");
	if (strncmp(proc->arch, arch->name, sizeof(proc->arch)))
		return err_set(e, EXIT_RESTORE, "the image is of %.16s, this is %s", proc->arch,
			arch->name);
	if (check_vmas(proc, e) < 0 || check_threads(proc, e) < 0)
		return -1;
	for (size_t i = 0; i < proc->nfds; i++) {
		if (proc->fds[i].fd <= last || proc->fds[i].fd >= FD_MAX)
			return err_set(e, EXIT_IMAGE, "descriptor %d cannot be", proc->fds[i].fd);
		last = proc->fds[i].fd;
	}
	if (proc->ngroups > MAX_GROUPS / sizeof(uint32_t) / 4)
		return err_set(e, EXIT_IMAGE, "too many groups");
	return 0;
}

static void add_check(
	struct plan *p, enum check_kind kind, size_t idx, const char *why, const char *path)
{
	struct step *s = plan_step(p, STEP_CHECK, 0, (int)idx, why, "check %s", path);
	const uint8_t k = (uint8_t)kind;

	buf_add(&s->data, &k, 1);
}

bool is_own_proc(const struct proc *proc, const char *path)
{
	char own[32];
	const int len = snprintf(own, sizeof(own), "/proc/%d", proc->pid);

	return !strncmp(path, own, (size_t)len) && (path[len] == '/' || !path[len]);
}

void plan_checks(struct plan *p)
{
	const struct proc *proc = p->proc;
	const char *last = "";

	for (size_t i = 0; i < proc->nvmas; i++) {
		const struct vma *v = &proc->vmas[i];

		if (!vma_is_file(v) || !strcmp(v->path, last))
			continue;
		last = v->path;
		add_check(p, CHECK_MAPPED, i,
			v->shared ? "it is mapped" : "the program runs on what is in it", v->path);
	}
	for (size_t i = 0; i < proc->nfds; i++) {
		const struct fdesc *f = &proc->fds[i];

		if (f->ofd != f->fd || !f->path || f->deleted || is_own_proc(proc, f->path))
			continue;
		if (f->kind == FD_FILE || f->kind == FD_DIR || f->kind == FD_FIFO ||
			f->kind == FD_CHARDEV || f->kind == FD_BLOCKDEV)
			add_check(p, CHECK_OPEN, i, "it is open", f->path);
		if (f->kind == FD_SOCKET && f->sock_family == AF_UNIX &&
			f->sock_state == TCP_LISTEN && f->sock_local.len > 3 &&
			f->sock_local.len <= sizeof(struct sockaddr_un))
			add_check(p, CHECK_SOCKET, i, "nobody else may listen there", f->path);
	}
}

/* ---- the runner's part ---- */

/* The build-id note of an ELF file in hex, as far as 64 characters; "" when there is none. */
static void read_build_id(const char *path, char out[65])
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;
	uint8_t notes[4096];

	out[0] = '\0';
	if (fd < 0 || pread_all(fd, &eh, sizeof(eh), 0) != sizeof(eh) ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG))
		return;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		if (pread_all(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + i * sizeof(ph))) !=
			sizeof(ph))
			return;
		if (ph.p_type != PT_NOTE)
			continue;
		const ssize_t n =
			pread_all(fd, notes, MIN(ph.p_filesz, sizeof(notes)), (off_t)ph.p_offset);
		struct cursor c = cursor_of(notes, n > 0 ? (size_t)n : 0);

		while (cursor_left(&c) >= sizeof(Elf64_Nhdr)) {
			const uint32_t namesz = cursor_u32(&c), descsz = cursor_u32(&c),
				       type = cursor_u32(&c);
			const void *name = cursor_bytes(&c, namesz);

			cursor_align(&c, 4);
			const uint8_t *desc = cursor_bytes(&c, descsz);

			cursor_align(&c, 4);
			if (!name || !desc || type != NT_GNU_BUILD_ID || namesz != 4 ||
				memcmp(name, "GNU", 4))
				continue;
			for (uint32_t k = 0; k < descsz && k < 32; k++)
				snprintf(out + 2 * k, 3, "%02x", desc[k]);
			return;
		}
	}
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * (int64_t)NS_PER_S + st->st_mtim.tv_nsec;
}

static int check_mapped(struct runner *r, const struct vma *v, struct err *e)
{
	struct stat st;
	char id[65];

	if (stat(v->path, &st) < 0)
		return err_sys(e, EXIT_RESTORE, "mapped file %s", text_safe(v->path));
	if (!S_ISREG(st.st_mode) || !v->file_mtime_ns)
		return 0;
	if ((uint64_t)st.st_size == v->file_size && mtime_of(&st) == v->file_mtime_ns)
		return 0;
	if (v->build_id && *v->build_id) {
		read_build_id(v->path, id);
		if (!strcmp(id, v->build_id))
			return 0;
	}
	if (v->shared || r->plan->opts.force) {
		run_warn(r, "mapped file %s has changed since", v->path);
		return 0;
	}
	return err_set(e, EXIT_RESTORE,
		"mapped file %s has changed since: it is not what the program ran on (--force goes "
		"on)",
		text_safe(v->path));
}

static int check_open(struct runner *r, const struct fdesc *f, struct err *e)
{
	struct stat st;

	if (stat(f->path, &st) < 0)
		return err_sys(e, EXIT_RESTORE, "open file %s of descriptor %d", text_safe(f->path),
			f->fd);
	if ((st.st_mode & S_IFMT) != (f->mode & S_IFMT) && f->mode)
		return err_set(e, EXIT_RESTORE,
			"open file %s of descriptor %d is no longer of its kind",
			text_safe(f->path), f->fd);
	if (f->kind == FD_FILE && ((uint64_t)st.st_size != f->size || mtime_of(&st) != f->mtime_ns))
		run_warn(r, "open file %s of descriptor %d has changed since", f->path, f->fd);
	return 0;
}

/* A stale socket file is unlinked later; one that somebody answers on must not be. */
static int check_socket(const struct fdesc *f, struct err *e)
{
	cleanup_fd int fd = socket(AF_UNIX, f->sock_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd >= 0 && connect(fd, (const struct sockaddr *)f->sock_local.data,
			       (socklen_t)f->sock_local.len) == 0)
		return err_set(e, EXIT_RESTORE, "somebody else listens on %s", text_safe(f->path));
	return 0;
}

int check_run(struct runner *r, const struct step *s, struct err *e)
{
	const struct proc *proc = r->plan->proc;

	switch (s->data.data[0]) {
	case CHECK_MAPPED:
		return check_mapped(r, &proc->vmas[s->idx], e);
	case CHECK_OPEN:
		return check_open(r, &proc->fds[s->idx], e);
	case CHECK_SOCKET:
		return check_socket(&proc->fds[s->idx], e);
	}
	return 0;
}
