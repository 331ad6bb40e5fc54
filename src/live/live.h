/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files under /proc/PID into struct proc, and a live pid as a source. No ptrace calls. Each part can be read by
 * itself, so that a checkpoint reads before the stop what cannot change and at the stop the rest.
 */
#ifndef CKPT_LIVE_LIVE_H
#define CKPT_LIVE_LIVE_H

#include "base/err.h"
#include "base/ranges.h"
#include "model/proc.h"
#include "model/source.h"

struct live {
	int pid;
	int dirfd;      /* /proc/PID */
	int memfd;      /* /proc/PID/mem, -1 when not permitted */
	int pagemapfd;  /* -1 likewise */
	int pidfd;      /* pidfd_open(2) */
	void *cache;    /* build-ids and stat results by (dev, ino, mtime) */
};
int live_open(struct live *l, int pid, struct err *e);          /* e: EXIT_UNTRACEABLE: no such process ... */
void live_close(struct live *l);
/* Names, ids, layout (stat, status, auxv, cmdline, environ), cwd, root, umask, personality, limits, groups,
 * children, controlling tty. Overwrites those fields of p. mm from /proc/PID/stat (needs permission). */
int live_identity(struct live *l, struct proc *p, struct err *e);
/* Threads with what /proc tells (comm, state, masks, pending bits are not siginfo, credentials,
 * scheduling, affinity, timerslack); also get_robust_list(2). Keeps threads that p has already (by tid), adds and
 * removes others. */
int live_threads(struct live *l, struct proc *p, struct err *e);
/* Mappings. smaps: also VmFlags and resident sizes (walks page tables: ~10 ms/GiB). Without it the flags of an
 * unchanged mapping already in p (same start, end, off, ino) are kept. */
int live_maps(struct live *l, struct proc *p, bool smaps, struct err *e);
/* Does the mapping v still begin where it did? False also when that cannot be told quickly (before kernel 6.11). */
bool live_starts(struct live *l, const struct vma *v);
/* f was read (with content) and the process has made no call that touches it: is it the same still, whatever others did? False
 * also for kinds where that takes longer than reading them. */
bool live_fd_same(struct live *l, const struct fdesc *f);
/* Descriptors with kind, flags, position, own state. content: also pipe contents (tee(2), nothing is consumed),
 * deleted files and memfds into bulk.mem, and which descriptors share an open file description (kcmp). */
int live_fds(struct live *l, struct proc *p, bool content, struct err *e);
/* /proc/PID/timers (needs CONFIG_CHECKPOINT_RESTORE); values come by injection. */
int live_timers(struct live *l, struct proc *p, struct err *e);
/* Adds to out the pages of [start, end) that an image must store for mapping v: STORE_PRIVATE: present or
 * swapped, and not the file's own, not the shared zero page; STORE_SHARED: populated in the object.
 * Uses PAGEMAP_SCAN (kernel 6.7) or /proc/PID/pagemap. full: also the file's own pages. */
int live_present(struct live *l, const struct vma *v, bool full, struct ranges *out, struct err *e);
/* process_vm_readv(2), then /proc/PID/mem for what that refuses. Bytes read, 0 when none. */
size_t live_read(struct live *l, uint64_t addr, void *out, size_t len);
/* Why this pid cannot be traced by us, before trying: kernel thread, zombie, 32-bit, ourselves, another
 * tracer (whom), other uid, Yama, D state (where). 0: looks fine. */
int live_check(struct live *l, struct err *e);
struct source *source_open_live(int pid, struct err *e);

#endif
