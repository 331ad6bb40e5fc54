/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a process is: one passive struct, filled from /proc and by injection when it lives, from the
 * notes when it is a core file. No bytes of its pages. Every part says whether it is known; what
 * is not understood is kept as text and named in proc.warnings, never dropped silently.
 *
 * Owns everything it points to. Strings are the kernel's bytes, not always UTF-8; NULL: not known.
 */
#ifndef CKPT_MODEL_PROC_H
#define CKPT_MODEL_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"

#define PAGE_LEN 4096ull        /* x86-64; the image format is in these units */
#define NSIGNALS 64
#define NLIMITS 16

/* A siginfo_t as the kernel has it, 128 bytes. */
struct siginfo_raw {
	uint8_t bytes[128];
};

/* Bytes stored in the image's bulk area (or, before writing, still in memory). */
struct bulk {
	uint64_t off, len;      /* place in the file; len 0: none */
	uint64_t xxh64;         /* XXH3-64 of the bytes */
	struct blob mem;        /* in memory: set while collecting, empty after reading an image */
};

/* ---- threads ---- */
struct thread {
	int32_t tid;
	char *comm;
	char state;                     /* as /proc shows it before the stop: R S D T t Z */
	struct blob regs;               /* pr_reg: struct user_regs_struct as found at the stop, restart codes and all */
	struct blob fpregs;             /* NT_PRFPREG: user_fpregs_struct */
	struct blob xstate;             /* NT_X86_XSTATE; empty when the CPU has none */
	uint64_t sigmask;               /* bit n-1: signal n blocked */
	struct siginfo_raw *pending;    /* thread-directed, in order */
	size_t npending;
	struct { uint64_t sp, size; uint32_t flags; } altstack;
	struct { uint64_t head, len; } robust;
	struct { uint64_t addr; uint32_t len, sig, flags; } rseq;
	uint64_t clear_child_tid;
	int32_t sched_policy, sched_priority, nice;
	uint32_t sched_flags;
	uint64_t sched_runtime, sched_deadline, sched_period;
	struct blob affinity;           /* cpu_set bytes */
	uint64_t timerslack_ns;
	int32_t pdeathsig;
	uint32_t uid[4], gid[4];        /* real, effective, saved, fs */
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint32_t no_new_privs, seccomp, securebits;
	uint64_t fs_base, gs_base;      /* also in regs; here for readers */
	int32_t exit_signal_pending;    /* signal whose delivery stop we interrupted, 0: none */
	char *wchan;
	bool injected_known;            /* what only injection tells (altstack, clear_child_tid, ...) is filled */
};

/* ---- memory ---- */
enum vma_kind {
	VMA_ANON, VMA_HEAP, VMA_STACK, VMA_FILE, VMA_SHM /* shared anonymous, memfd, SysV, deleted */,
	VMA_DEVICE, VMA_HUGETLB, VMA_VDSO, VMA_VVAR, VMA_VSYSCALL, VMA_SPECIAL /* unknown [name] */, VMA_KINDS,
};
/* What a restore does with a mapping's bytes. */
enum vma_store {
	STORE_NONE,       /* nothing: vdso, vvar, device, PROT_NONE never touched */
	STORE_PRIVATE,    /* the pages that are private to the process (pagemap) */
	STORE_SHARED,     /* all populated pages: the object lives only in the processes */
	STORE_FILE,       /* a shared file mapping: the file has the bytes */
};
struct vma {
	uint64_t start, end;
	uint32_t prot;                  /* PROT_* as the program sees it (never our protection) */
	bool shared;
	bool deleted;
	bool growsdown;
	uint8_t kind, store;            /* enum vma_kind, enum vma_store */
	uint64_t off;                   /* file offset, bytes */
	uint32_t dev_major, dev_minor;
	uint64_t ino;
	char *path;                     /* as maps shows it, unescaped, without " (deleted)" */
	char *vmflags;                  /* smaps VmFlags, "rd wr mr mw me ac" */
	uint64_t rss, priv, swap;       /* bytes: resident, private dirty or anonymous, swapped */
	uint64_t file_size;             /* of the mapped file, 0: none */
	int64_t file_mtime_ns;
	char *build_id;                 /* hex, NULL: none */
	int32_t shm_id;                 /* same number: same shared object; -1: none */
	uint64_t stored;                /* bytes of it in the image */
	bool header;                    /* its first page is the file's own, stored for core readers only */
};
struct mm_layout {                      /* struct prctl_mm_map, linux/prctl.h */
	uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
	bool known;
};

/* ---- signals and timers ---- */
struct sigact {                         /* the kernel's struct kernel_sigaction */
	uint64_t handler, flags, restorer, mask;
};
struct itimer { uint64_t value_us, interval_us; };
struct ptimer {                         /* timer_create(2) */
	int32_t id, clockid, notify, signo, tid;
	uint64_t sigev_value;
	uint64_t value_ns, interval_ns;
	int32_t overrun;
};
struct limit { uint64_t cur, max; };

/* ---- descriptors ---- */
enum fd_kind {
	FD_FILE, FD_DIR, FD_CHARDEV, FD_BLOCKDEV, FD_TTY, FD_PIPE, FD_FIFO, FD_SOCKET, FD_MEMFD, FD_EVENTFD,
	FD_TIMERFD, FD_SIGNALFD, FD_EPOLL, FD_INOTIFY, FD_PIDFD, FD_USERFAULTFD, FD_IOURING, FD_OTHER, FD_KINDS,
};
struct epoll_entry { int32_t fd; uint32_t events; uint64_t data; };
struct inotify_watch { int32_t wd; uint32_t mask; uint64_t ino; uint32_t dev; char *path; };
struct fdesc {
	int32_t fd;
	uint8_t kind;                   /* enum fd_kind */
	bool cloexec, deleted;
	uint32_t flags;                 /* O_* of the open file description, without O_CLOEXEC */
	int32_t ofd;                    /* same number: same open file description (kcmp(2)) */
	int64_t pos;
	char *path;                     /* readlink of /proc/PID/fd/N, without " (deleted)" */
	uint64_t dev, ino, rdev;
	uint32_t mode;                  /* st_mode */
	uint64_t size;
	int64_t mtime_ns;
	int32_t owner_pid, owner_type, owner_sig; /* F_GETOWN_EX, F_GETSIG */
	char *locks;                    /* fdinfo "lock:" lines, NULL: none */
	char *fdinfo;                   /* whole text for kinds we do not know */
	struct bulk content;            /* pipe contents; content of a deleted file or memfd */
	/* pipe, fifo */
	uint64_t pipe_ino;
	uint32_t pipe_cap;
	bool other_end_outside;         /* some end of it is held by another process */
	bool other_end_closed;          /* nobody holds it any more: end of file, or SIGPIPE */
	struct blob termios;            /* tty: the kernel's struct termios2 */
	/* eventfd */
	uint64_t event_count;
	uint32_t event_flags;           /* EFD_SEMAPHORE */
	/* timerfd */
	int32_t timer_clockid;
	uint32_t timer_flags;           /* TFD_TIMER_ABSTIME, ... */
	uint64_t timer_value_ns, timer_interval_ns, timer_ticks;
	uint64_t signal_mask;           /* signalfd */
	struct epoll_entry *epoll;
	size_t nepoll;
	struct inotify_watch *inotify;
	size_t ninotify;
	uint32_t seals;                 /* memfd, F_GET_SEALS */
	int32_t pidfd_pid;
	/* socket */
	int32_t sock_family, sock_type, sock_proto, sock_state; /* TCP_* or SS_*; listening: TCP_LISTEN for both */
	struct blob sock_local, sock_remote;  /* struct sockaddr bytes */
	int32_t sock_backlog, sock_reuseaddr, sock_reuseport, sock_keepalive, sock_nodelay, sock_v6only;
	int32_t sock_sndbuf, sock_rcvbuf;
	uint64_t sock_peer_ino;         /* unix: inode of the peer, 0: none or unknown */
};

/* ---- the whole ---- */
struct proc {
	int32_t pid, ppid, pgid, sid;
	int32_t tty_nr, tty_pgrp;       /* controlling terminal, its foreground group */
	char *comm, *exe, *cwd, *root;
	bool exe_deleted;
	struct blob cmdline, environ;   /* NUL-separated, as /proc shows them */
	uint32_t umask, personality, dumpable;
	uint32_t child_subreaper, thp_disable;
	uint64_t start_ticks;           /* /proc/PID/stat field 22 */
	int32_t oom_score_adj;
	char arch[16];                  /* "x86_64" */
	char *kernel;                   /* uname -r */
	char *hostname;
	uint64_t taken_ns;              /* CLOCK_REALTIME of the instant T */
	uint64_t taken_mono_ns;         /* CLOCK_MONOTONIC of T */
	struct mm_layout mm;
	struct blob auxv;
	struct thread *threads;         /* the leader first, then by tid */
	size_t nthreads;
	struct vma *vmas;               /* by address */
	size_t nvmas;
	struct sigact acts[NSIGNALS];   /* [n-1] */
	bool acts_known;
	struct siginfo_raw *pending;    /* process-directed, in order */
	size_t npending;
	struct itimer itimers[3];       /* REAL VIRTUAL PROF */
	struct ptimer *timers;
	size_t ntimers;
	struct limit limits[NLIMITS];
	uint32_t *groups;               /* supplementary */
	size_t ngroups;
	struct fdesc *fds;              /* by number */
	size_t nfds;
	int32_t *children;              /* pids */
	size_t nchildren;
	char **warnings;                /* one line each */
	size_t nwarnings;
	char *how;                      /* JSON text: how the checkpoint went (engine, stop, stalls, histogram); NULL: none */
	bool foreign;                   /* a core without our note */
};

struct proc *proc_new(void);
void proc_free(struct proc *p);
/* Adds a warning line once (same text again is ignored). */
void proc_warn(struct proc *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The mapping that holds addr, or NULL. */
struct vma *proc_vma(const struct proc *p, uint64_t addr);
struct fdesc *proc_fd(const struct proc *p, int fd);
struct thread *proc_thread(const struct proc *p, int tid);
void vma_deinit(struct vma *v);
void fdesc_deinit(struct fdesc *f);
void thread_deinit(struct thread *t);
/* "rw-p" into out[5]. */
char *vma_prot_text(const struct vma *v, char out[5]);
const char *vma_kind_name(int kind);
const char *fd_kind_name(int kind);
/* What to call a mapping on a screen: path, [heap], [stack], "anon", ...; not escaped. */
const char *vma_name(const struct vma *v);
/* Does the mapping's VmFlags line have this two-letter flag? */
bool vma_has_flag(const struct vma *v, const char *flag);

#endif
