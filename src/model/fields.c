/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tables of fields.h. Names are those of the members, for they are documented there. */
#include "model/fields.h"

#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "model/proc.h"

#define MOST (1u << 22) /* elements of an array; more is a broken file */

#define FLD(s, m, t, ...)                                                          \
	{                                                                          \
		.name = #m, .type = (t), .off = offsetof(struct s, m), __VA_ARGS__ \
	}
#define OPT(s, m, t) FLD(s, m, t, .opt = true)
#define SUB(s, nm, m, t)                                                             \
	{                                                                            \
		.name = (nm), .type = (t), .off = offsetof(struct s, m), .opt = true \
	}
#define ARR(s, nm, p, c, t, r)                                                         \
	{                                                                              \
		.name = (nm), .type = (t), .off = offsetof(struct s, p),               \
		.count_off = offsetof(struct s, c), .n = MOST, .rec = (r), .opt = true \
	}
#define RECORD(s, f)                                                             \
	{                                                                        \
		.size = sizeof(struct s), .fields = (f), .nfields = ARRAY_LEN(f) \
	}

/* ---- names ---- */

const char *signal_name(int sig)
{
	static const char *const names[] = {"SIG0", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL",
		"SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1", "SIGSEGV",
		"SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD", "SIGCONT",
		"SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGXCPU", "SIGXFSZ",
		"SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO", "SIGPWR", "SIGSYS", "SIG32", "SIG33",
		"SIGRTMIN", "SIGRTMIN+1", "SIGRTMIN+2", "SIGRTMIN+3", "SIGRTMIN+4", "SIGRTMIN+5",
		"SIGRTMIN+6", "SIGRTMIN+7", "SIGRTMIN+8", "SIGRTMIN+9", "SIGRTMIN+10",
		"SIGRTMIN+11", "SIGRTMIN+12", "SIGRTMIN+13", "SIGRTMIN+14", "SIGRTMIN+15",
		"SIGRTMIN+16", "SIGRTMIN+17", "SIGRTMIN+18", "SIGRTMIN+19", "SIGRTMIN+20",
		"SIGRTMIN+21", "SIGRTMIN+22", "SIGRTMIN+23", "SIGRTMIN+24", "SIGRTMIN+25",
		"SIGRTMIN+26", "SIGRTMIN+27", "SIGRTMIN+28", "SIGRTMIN+29", "SIGRTMAX"};

	return sig > 0 && sig < (int)ARRAY_LEN(names) ? names[sig] : "SIG?";
}

static const char *action_name(int idx)
{
	return signal_name(idx + 1);
}

const char *limit_name(int idx)
{
	static const char *const names[NLIMITS] = {"cpu", "fsize", "data", "stack", "core", "rss",
		"nproc", "nofile", "memlock", "as", "locks", "sigpending", "msgqueue", "nice",
		"rtprio", "rttime"};

	return idx >= 0 && idx < NLIMITS ? names[idx] : "?";
}

static const char *itimer_name(int idx)
{
	static const char *const names[] = {"real", "virtual", "prof"};

	return idx >= 0 && idx < 3 ? names[idx] : "?";
}

static const char *store_name(int store)
{
	static const char *const names[] = {"none", "private", "shared", "file"};

	return store >= 0 && store < (int)ARRAY_LEN(names) ? names[store] : "?";
}

const char *auxv_name(uint64_t type)
{
	static const char *const names[] = {[AT_NULL] = "AT_NULL",
		[AT_IGNORE] = "AT_IGNORE",
		[AT_EXECFD] = "AT_EXECFD",
		[AT_PHDR] = "AT_PHDR",
		[AT_PHENT] = "AT_PHENT",
		[AT_PHNUM] = "AT_PHNUM",
		[AT_PAGESZ] = "AT_PAGESZ",
		[AT_BASE] = "AT_BASE",
		[AT_FLAGS] = "AT_FLAGS",
		[AT_ENTRY] = "AT_ENTRY",
		[AT_UID] = "AT_UID",
		[AT_EUID] = "AT_EUID",
		[AT_GID] = "AT_GID",
		[AT_EGID] = "AT_EGID",
		[AT_PLATFORM] = "AT_PLATFORM",
		[AT_HWCAP] = "AT_HWCAP",
		[AT_CLKTCK] = "AT_CLKTCK",
		[AT_SECURE] = "AT_SECURE",
		[AT_BASE_PLATFORM] = "AT_BASE_PLATFORM",
		[AT_RANDOM] = "AT_RANDOM",
		[AT_HWCAP2] = "AT_HWCAP2",
		[27] = "AT_RSEQ_FEATURE_SIZE",
		[28] = "AT_RSEQ_ALIGN",
		[AT_EXECFN] = "AT_EXECFN",
		[AT_SYSINFO_EHDR] = "AT_SYSINFO_EHDR",
		[AT_MINSIGSTKSZ] = "AT_MINSIGSTKSZ"};

	return type < ARRAY_LEN(names) ? names[type] : NULL;
}

/* ---- small records ---- */

static const struct field siginfo_fields[] = {
	FLD(siginfo_raw, bytes, FIELD_BYTES, .n = 128, .req = true),
};
static const struct record siginfo_record = RECORD(siginfo_raw, siginfo_fields);

static const struct field sigact_fields[] = {
	FLD(sigact, handler, FIELD_HEX),
	FLD(sigact, flags, FIELD_HEX),
	FLD(sigact, restorer, FIELD_HEX),
	FLD(sigact, mask, FIELD_HEX),
};
const struct record sigact_record = RECORD(sigact, sigact_fields);

static const struct field itimer_fields[] = {
	FLD(itimer, value_us, FIELD_U64),
	FLD(itimer, interval_us, FIELD_U64),
};
static const struct record itimer_record = RECORD(itimer, itimer_fields);

static const struct field ptimer_fields[] = {
	FLD(ptimer, id, FIELD_I32, .req = true),
	FLD(ptimer, clockid, FIELD_I32),
	FLD(ptimer, notify, FIELD_I32),
	FLD(ptimer, signo, FIELD_I32),
	FLD(ptimer, tid, FIELD_I32),
	FLD(ptimer, sigev_value, FIELD_HEX),
	FLD(ptimer, value_ns, FIELD_U64),
	FLD(ptimer, interval_ns, FIELD_U64),
	FLD(ptimer, overrun, FIELD_I32),
};
const struct record ptimer_record = RECORD(ptimer, ptimer_fields);

static const struct field limit_fields[] = {
	FLD(limit, cur, FIELD_LIMIT),
	FLD(limit, max, FIELD_LIMIT),
};
static const struct record limit_record = RECORD(limit, limit_fields);

static const struct field epoll_fields[] = {
	FLD(epoll_entry, fd, FIELD_I32, .req = true),
	FLD(epoll_entry, events, FIELD_U32),
	FLD(epoll_entry, data, FIELD_HEX),
};
static const struct record epoll_record = RECORD(epoll_entry, epoll_fields);

static const struct field inotify_fields[] = {
	FLD(inotify_watch, wd, FIELD_I32, .req = true),
	FLD(inotify_watch, mask, FIELD_U32),
	FLD(inotify_watch, ino, FIELD_U64),
	FLD(inotify_watch, dev, FIELD_U32),
	FLD(inotify_watch, path, FIELD_TEXT),
};
static const struct record inotify_record = RECORD(inotify_watch, inotify_fields);

/* ---- thread, mapping, descriptor ---- */

static const struct field thread_fields[] = {
	FLD(thread, tid, FIELD_I32, .req = true),
	FLD(thread, comm, FIELD_TEXT),
	FLD(thread, state, FIELD_CHAR),
	FLD(thread, sigmask, FIELD_HEX),
	ARR(thread, "pending", pending, npending, FIELD_ARRAY, &siginfo_record),
	SUB(thread, "altstack_sp", altstack.sp, FIELD_HEX),
	SUB(thread, "altstack_size", altstack.size, FIELD_U64),
	SUB(thread, "altstack_flags", altstack.flags, FIELD_U32),
	SUB(thread, "robust_head", robust.head, FIELD_HEX),
	SUB(thread, "robust_len", robust.len, FIELD_U64),
	SUB(thread, "rseq_addr", rseq.addr, FIELD_HEX),
	SUB(thread, "rseq_len", rseq.len, FIELD_U32),
	SUB(thread, "rseq_sig", rseq.sig, FIELD_U32),
	SUB(thread, "rseq_flags", rseq.flags, FIELD_U32),
	FLD(thread, clear_child_tid, FIELD_HEX),
	FLD(thread, sched_policy, FIELD_I32),
	FLD(thread, sched_priority, FIELD_I32),
	FLD(thread, nice, FIELD_I32),
	OPT(thread, sched_flags, FIELD_U32),
	OPT(thread, sched_runtime, FIELD_U64),
	OPT(thread, sched_deadline, FIELD_U64),
	OPT(thread, sched_period, FIELD_U64),
	FLD(thread, affinity, FIELD_BLOB),
	FLD(thread, timerslack_ns, FIELD_U64),
	OPT(thread, pdeathsig, FIELD_I32),
	FLD(thread, uid, FIELD_U32S, .n = 4),
	FLD(thread, gid, FIELD_U32S, .n = 4),
	FLD(thread, cap_inh, FIELD_HEX),
	FLD(thread, cap_prm, FIELD_HEX),
	FLD(thread, cap_eff, FIELD_HEX),
	FLD(thread, cap_bnd, FIELD_HEX),
	FLD(thread, cap_amb, FIELD_HEX),
	OPT(thread, no_new_privs, FIELD_U32),
	OPT(thread, seccomp, FIELD_U32),
	OPT(thread, securebits, FIELD_U32),
	FLD(thread, fs_base, FIELD_HEX),
	FLD(thread, gs_base, FIELD_HEX),
	OPT(thread, exit_signal_pending, FIELD_I32),
	FLD(thread, wchan, FIELD_TEXT),
	FLD(thread, injected_known, FIELD_BOOL),
};
const struct record thread_record = RECORD(thread, thread_fields);

static const struct field vma_fields[] = {
	FLD(vma, start, FIELD_HEX, .req = true),
	FLD(vma, end, FIELD_HEX, .req = true),
	FLD(vma, prot, FIELD_U32),
	FLD(vma, shared, FIELD_BOOL),
	OPT(vma, deleted, FIELD_BOOL),
	OPT(vma, growsdown, FIELD_BOOL),
	FLD(vma, kind, FIELD_ENUM, .n = VMA_KINDS, .name_of = vma_kind_name),
	FLD(vma, store, FIELD_ENUM, .n = STORE_FILE + 1, .name_of = store_name),
	OPT(vma, off, FIELD_U64),
	OPT(vma, dev_major, FIELD_U32),
	OPT(vma, dev_minor, FIELD_U32),
	OPT(vma, ino, FIELD_U64),
	FLD(vma, path, FIELD_TEXT),
	FLD(vma, vmflags, FIELD_TEXT),
	OPT(vma, rss, FIELD_U64),
	OPT(vma, priv, FIELD_U64),
	OPT(vma, swap, FIELD_U64),
	OPT(vma, file_size, FIELD_U64),
	OPT(vma, file_mtime_ns, FIELD_I64),
	FLD(vma, build_id, FIELD_TEXT),
	FLD(vma, shm_id, FIELD_I32),
	OPT(vma, stored, FIELD_U64),
	OPT(vma, header, FIELD_BOOL),
};
const struct record vma_record = RECORD(vma, vma_fields);

static const struct field fdesc_fields[] = {
	FLD(fdesc, fd, FIELD_I32, .req = true),
	FLD(fdesc, kind, FIELD_ENUM, .n = FD_KINDS, .name_of = fd_kind_name),
	FLD(fdesc, cloexec, FIELD_BOOL),
	OPT(fdesc, deleted, FIELD_BOOL),
	FLD(fdesc, flags, FIELD_OCT),
	FLD(fdesc, ofd, FIELD_I32),
	FLD(fdesc, pos, FIELD_I64),
	FLD(fdesc, path, FIELD_TEXT),
	FLD(fdesc, dev, FIELD_U64),
	FLD(fdesc, ino, FIELD_U64),
	OPT(fdesc, rdev, FIELD_U64),
	FLD(fdesc, mode, FIELD_OCT),
	OPT(fdesc, size, FIELD_U64),
	OPT(fdesc, mtime_ns, FIELD_I64),
	OPT(fdesc, owner_pid, FIELD_I32),
	OPT(fdesc, owner_type, FIELD_I32),
	OPT(fdesc, owner_sig, FIELD_I32),
	OPT(fdesc, locks, FIELD_TEXT),
	OPT(fdesc, fdinfo, FIELD_TEXT),
	OPT(fdesc, content, FIELD_BULK),
	OPT(fdesc, pipe_ino, FIELD_U64),
	OPT(fdesc, pipe_cap, FIELD_U32),
	OPT(fdesc, other_end_outside, FIELD_BOOL),
	OPT(fdesc, other_end_closed, FIELD_BOOL),
	OPT(fdesc, termios, FIELD_BLOB),
	OPT(fdesc, event_count, FIELD_U64),
	OPT(fdesc, event_flags, FIELD_U32),
	OPT(fdesc, timer_clockid, FIELD_I32),
	OPT(fdesc, timer_flags, FIELD_U32),
	OPT(fdesc, timer_value_ns, FIELD_U64),
	OPT(fdesc, timer_interval_ns, FIELD_U64),
	OPT(fdesc, timer_ticks, FIELD_U64),
	OPT(fdesc, signal_mask, FIELD_HEX),
	ARR(fdesc, "epoll", epoll, nepoll, FIELD_ARRAY, &epoll_record),
	ARR(fdesc, "inotify", inotify, ninotify, FIELD_ARRAY, &inotify_record),
	OPT(fdesc, seals, FIELD_U32),
	OPT(fdesc, pidfd_pid, FIELD_I32),
	OPT(fdesc, sock_family, FIELD_I32),
	OPT(fdesc, sock_type, FIELD_I32),
	OPT(fdesc, sock_proto, FIELD_I32),
	OPT(fdesc, sock_state, FIELD_I32),
	OPT(fdesc, sock_local, FIELD_BLOB),
	OPT(fdesc, sock_remote, FIELD_BLOB),
	OPT(fdesc, sock_backlog, FIELD_I32),
	OPT(fdesc, sock_reuseaddr, FIELD_I32),
	OPT(fdesc, sock_reuseport, FIELD_I32),
	OPT(fdesc, sock_keepalive, FIELD_I32),
	OPT(fdesc, sock_nodelay, FIELD_I32),
	OPT(fdesc, sock_v6only, FIELD_I32),
	OPT(fdesc, sock_sndbuf, FIELD_I32),
	OPT(fdesc, sock_rcvbuf, FIELD_I32),
	OPT(fdesc, sock_peer_ino, FIELD_U64),
};
const struct record fdesc_record = RECORD(fdesc, fdesc_fields);

/* ---- the sections of struct proc ---- */

static const struct field summary_fields[] = {
	FLD(proc, pid, FIELD_I32),
	FLD(proc, comm, FIELD_TEXT),
	FLD(proc, cmdline, FIELD_STRINGS),
	FLD(proc, exe, FIELD_TEXT),
	OPT(proc, exe_deleted, FIELD_BOOL),
	FLD(proc, cwd, FIELD_TEXT),
	FLD(proc, root, FIELD_TEXT),
	FLD(proc, ppid, FIELD_I32),
	FLD(proc, pgid, FIELD_I32),
	FLD(proc, sid, FIELD_I32),
	OPT(proc, tty_nr, FIELD_I32),
	OPT(proc, tty_pgrp, FIELD_I32),
	FLD(proc, umask, FIELD_OCT),
	FLD(proc, personality, FIELD_U32),
	FLD(proc, dumpable, FIELD_U32),
	OPT(proc, child_subreaper, FIELD_U32),
	OPT(proc, thp_disable, FIELD_U32),
	FLD(proc, start_ticks, FIELD_U64),
	FLD(proc, oom_score_adj, FIELD_I32),
	FLD(proc, arch, FIELD_CHARS, .n = 16),
	FLD(proc, kernel, FIELD_TEXT),
	FLD(proc, hostname, FIELD_TEXT),
	FLD(proc, taken_ns, FIELD_U64),
	FLD(proc, taken_mono_ns, FIELD_U64),
	OPT(proc, foreign, FIELD_BOOL),
	ARR(proc, "children", children, nchildren, FIELD_I32_ARRAY, NULL),
};
static const struct field threads_fields[] = {
	ARR(proc, "threads", threads, nthreads, FIELD_ARRAY, &thread_record),
};
static const struct field maps_fields[] = {
	ARR(proc, "maps", vmas, nvmas, FIELD_ARRAY, &vma_record),
};
static const struct field fds_fields[] = {
	ARR(proc, "fds", fds, nfds, FIELD_ARRAY, &fdesc_record),
};
static const struct field signals_fields[] = {
	FLD(proc, acts_known, FIELD_BOOL),
	{.name = "actions",
		.type = FIELD_SPARSE,
		.off = offsetof(struct proc, acts),
		.n = NSIGNALS,
		.rec = &sigact_record,
		.name_of = action_name},
	ARR(proc, "pending", pending, npending, FIELD_ARRAY, &siginfo_record),
};
static const struct field timers_fields[] = {
	{.name = "itimers",
		.type = FIELD_SPARSE,
		.off = offsetof(struct proc, itimers),
		.n = 3,
		.rec = &itimer_record,
		.name_of = itimer_name},
	ARR(proc, "posix", timers, ntimers, FIELD_ARRAY, &ptimer_record),
};
static const struct field limits_fields[] = {
	{.name = "limits",
		.type = FIELD_SPARSE,
		.off = offsetof(struct proc, limits),
		.n = NLIMITS,
		.rec = &limit_record,
		.name_of = limit_name},
};
static const struct field creds_fields[] = {
	ARR(proc, "groups", groups, ngroups, FIELD_I32_ARRAY, NULL),
};
static const struct field mm_fields[] = {
	FLD(mm_layout, known, FIELD_BOOL),
	FLD(mm_layout, start_code, FIELD_HEX),
	FLD(mm_layout, end_code, FIELD_HEX),
	FLD(mm_layout, start_data, FIELD_HEX),
	FLD(mm_layout, end_data, FIELD_HEX),
	FLD(mm_layout, start_brk, FIELD_HEX),
	FLD(mm_layout, brk, FIELD_HEX),
	FLD(mm_layout, start_stack, FIELD_HEX),
	FLD(mm_layout, arg_start, FIELD_HEX),
	FLD(mm_layout, arg_end, FIELD_HEX),
	FLD(mm_layout, env_start, FIELD_HEX),
	FLD(mm_layout, env_end, FIELD_HEX),
};
static const struct record mm_record = RECORD(mm_layout, mm_fields);
static const struct field mm_section[] = {
	FLD(proc, mm, FIELD_RECORD, .rec = &mm_record),
};
static const struct field auxv_fields[] = {FLD(proc, auxv, FIELD_AUXV)};
static const struct field env_fields[] = {FLD(proc, environ, FIELD_STRINGS)};
static const struct field warnings_fields[] = {
	ARR(proc, "warnings", warnings, nwarnings, FIELD_TEXTS, NULL),
};
static const struct field stats_fields[] = {FLD(proc, how, FIELD_JSON)};

const struct section proc_section_table[] = {
	{"summary", RECORD(proc, summary_fields), false},
	{"threads", RECORD(proc, threads_fields), true},
	{"maps", RECORD(proc, maps_fields), true},
	{"fds", RECORD(proc, fds_fields), true},
	{"signals", RECORD(proc, signals_fields), false},
	{"timers", RECORD(proc, timers_fields), false},
	{"limits", RECORD(proc, limits_fields), true},
	{"creds", RECORD(proc, creds_fields), false},
	{"mm", RECORD(proc, mm_section), true},
	{"auxv", RECORD(proc, auxv_fields), true},
	{"env", RECORD(proc, env_fields), true},
	{"warnings", RECORD(proc, warnings_fields), true},
	{"stats", RECORD(proc, stats_fields), true},
};
const size_t proc_nsections = ARRAY_LEN(proc_section_table);

const struct section *section_find(const char *name)
{
	for (size_t i = 0; i < proc_nsections; i++) {
		if (strcmp(proc_section_table[i].name, name) == 0)
			return &proc_section_table[i];
	}
	return NULL;
}
