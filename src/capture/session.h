/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One checkpoint in progress: what the driver (run.c), the collector, the copier and the engines share.
 * Private to src/capture.
 *
 * Addresses go through four sets:
 *
 *	stored   what the image holds of memory as of T
 *	todo     of that, what is not copied yet          (shared with the copier, under its lock)
 *	copied   copied by the copier, not released yet   (likewise)
 *	armed    write-protected by us                    (the tracer's own)
 */
#ifndef CKPT_CAPTURE_SESSION_H
#define CKPT_CAPTURE_SESSION_H

#include <pthread.h>
#include "base/ranges.h"
#include "capture/capture.h"
#include "capture/undo.h"
#include "image/image.h"
#include "live/live.h"
#include "report/stats.h"
#include "trace/remote.h"

struct capture;

/* How memory as of T is got. The driver calls in this order; an engine never undoes and never detaches. */
struct engine {
	const char *name;
	bool keeps_stopped;     /* copies everything inside the stop: fit for --kill and --stop */
	bool traces;            /* wants the scratch, the agent and every system call traced before the stop */
	bool notes_touched;     /* its resume adds to c->touched: what was read before the stop may serve at T */
	/* The attach stop, scratch and agent are there: takes what only a halted process can give. NULL: nothing. */
	int (*at_attach)(struct capture *c, struct err *e);
	/* Process running, everything seized. May arm. NULL: nothing to prepare. */
	int (*prepare)(struct capture *c, struct err *e);
	/* All stopped, nothing collected yet: takes our own traces (forced signals, masks) out of the picture. NULL: none. */
	int (*before_collect)(struct capture *c, struct err *e);
	/* All stopped, state collected. Says what is to be stored (c->stored) and freezes or copies it. */
	int (*at_stop)(struct capture *c, struct err *e);
	/* Lets a task that stopped in whatever stop go on, or holds it (finish_now). NULL: resume it plainly. */
	int (*resume)(struct capture *c, struct task *k, struct err *e);
	/* Process running: until all of c->stored is in the image. NULL: it is already. */
	int (*window)(struct capture *c, struct err *e);
};
extern const struct engine engine_stop, engine_segv, engine_uffd, engine_fork;
/* The engine of that name for this process ("auto": the best that can do it), or NULL with *e. Warns in c->proc. */
const struct engine *engine_choose(struct capture *c, const char *name, struct err *e);
/* All stopped: a child or parent that has the same memory without being a thread (CLONE_VM), and so would meet a
 * protection that nobody serves it; 0: none. */
int engine_memory_sharer(const struct capture *c);

/* Bytes copied by the tracer, on their way to the file. */
struct parcel {
	struct parcel *next;
	uint64_t addr;
	size_t len;
	uint8_t data[];
};

struct copier {
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;           /* priority-inheriting: the copier runs at the lowest priority */
	pthread_mutex_t claim;          /* held from taking a range out of todo until its bytes are read (copy_now) */
	pthread_cond_t room, work;
	struct ranges todo, copied;
	struct parcel *first, **last;   /* queue */
	uint64_t queued;                /* bytes in it */
	bool quit, idle;
	int tid;                        /* of the thread, 0: not known yet */
	bool go;                        /* T has passed: may copy */
	struct hist pieces;             /* CPU time of each whole piece it copied */
};

struct capture {
	const struct capture_opts *o;
	struct event_out *ev;
	struct capture_result *res;
	const struct engine *engine;
	struct undo undo;
	struct live live, *from;        /* the process; what the window copies from: it, or its copy (engine fork) */
	struct tracee t;
	struct proc *proc;              /* as of T when the stop is over */
	struct image_writer *w, *oracle;
	struct ranges stored, armed, hot;
	struct ranges hint;             /* memory that was populated before we came: what is not, costs mprotect nothing */
	struct copier cp;
	uint64_t begin_ns, stop_begin_ns, stop_end_ns, arm_ns;
	bool seized, is_stopped;        /* all threads are halted by us */
	bool after_stop;                /* T has passed */
	bool finish_now;                /* a thread waits for the end of the window: copy the rest at once */
	unsigned mm_changes;            /* calls seen that change mappings, before T */
	unsigned touched;               /* enum sys_touch: what must be read at T, whatever was read before */
	struct segv *segv;              /* the engine's own */
	struct uffd *uffd;              /* likewise */
	struct frozen_copy *copy;       /* of engine fork */
	bool uffd_refused;              /* the process may not have a userfaultfd */
	pthread_mutex_t event_lock;     /* of ev and stats: the pager tells of its work, too */
	struct stats stats;             /* of our own events */
};

/* ---- run.c ---- */
/* Stops every thread that runs; what the undos need. Harmless to ask for again, and when the process is dead. */
int capture_halt(struct capture *c, struct err *e);

/* ---- tell.c ---- */
/* Mappings, and what of each is to be copied: a guess until T has passed. */
void tell_mappings(struct capture *c);
void tell_engine(struct capture *c);
void tell_warnings(struct capture *c);
/* How the checkpoint went, for the image; to be freed. */
char *tell_how(const struct capture *c);
void capture_event(struct capture *c, enum event_type type, int tid, uint64_t addr, uint64_t len, uint64_t a, uint64_t b);
/* Tells how long a part of the work took since *since (EV_RESULT), and starts the next part. */
void capture_took(struct capture *c, const char *what, uint64_t *since);

/* ---- collect.c ---- */
/* What can be known before the stop (slow parts: flags of mappings, build-ids, names). */
int collect_before(struct capture *c, struct err *e);
/* All stopped: threads that came since collect_before are known, too. */
int collect_newborn(struct capture *c, struct err *e);
/* Process running, its calls traced: reads what will do at T unless a call touches it. c->touched must be 0 since its
 * mappings and threads were read. */
int collect_running(struct capture *c, struct err *e);
/* A traced task has stopped and is about to go on: what it does then is added to c->touched. */
void collect_note(struct capture *c, struct task *k);
/* All stopped: the mappings as they are now replace the list read before, from which they take their flags. */
int collect_maps(struct capture *c, struct err *e);
/* All stopped: everything that must be of the instant T. Fills c->proc. */
int collect_at_stop(struct capture *c, struct err *e);

/* ---- layout.c ---- */
/* Mappings as the program sees them: reads maps, takes our protections and the scratch mapping out of the picture and
 * puts back together what they split. smaps: with flags and sizes. */
int layout_maps(struct capture *c, struct proc *p, bool smaps, struct err *e);
/* Adds to c->stored what the image must hold of all mappings, leaving out the addresses in known. */
int layout_scan(struct capture *c, const struct ranges *known, struct err *e);
/* Adds what the image must hold of v within [start, end) to out. */
int layout_present(struct capture *c, struct vma *v, uint64_t start, uint64_t end, struct ranges *out, struct err *e);
/* Fills c->hint, before anything is traced: how memory is populated about now. */
int layout_hint(struct capture *c, struct err *e);
/* Pages that the kernel writes without asking: rseq, robust list, clear_child_tid, stacks around sp, alternate stacks. Into c->hot. */
void layout_hot(struct capture *c);
/* Where the kernel writes when this thread dies, unasked: clear_child_tid, the robust mutexes that it holds. */
void layout_thread_exit(struct capture *c, int tid, struct ranges *out);
/* "Heap above this address" (brk) means the mapping that is the heap and nothing behind it. */
uint64_t layout_heap_end(const struct capture *c, uint64_t start);
/* Gives all of c->stored room in the image, joining runs of anonymous memory that are close. */
int layout_reserve(struct capture *c, struct err *e);

/* ---- copy.c ---- */
/* What serves faults and stops runs before everything else; what only computes for a while must not. */
void capture_priority(bool up);
/* A mutex whose holder runs at the priority of whoever waits for it. */
void mutex_init_inherit(pthread_mutex_t *m);
/* A thread of ours takes no signal meant for the tracer: SIGCHLD wakes that one only. 0 or an errno. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);
int copier_start(struct capture *c, struct err *e);
void copier_stop(struct capture *c);            /* joins; what is queued is written first unless it failed */
/* The window gets long: the copier runs like everybody else from now on. */
void copier_hurry(struct capture *c);
/* T has passed: everything in todo may be copied. */
void copier_go(struct capture *c);
/* Copies what is not copied yet of [start, end) now, in the calling (tracer's) thread. Must come before the range is released. */
int copy_now(struct capture *c, uint64_t start, uint64_t end, enum copy_how how, struct err *e);
/* Somebody waits for the end of the window: copies a piece in the calling thread. */
int copy_some(struct capture *c, struct err *e);
/* What is to be copied, before copier_go. */
void copier_set(struct capture *c, const struct ranges *todo);
/* Everything from this address up is copied: read, though perhaps not yet written. */
uint64_t copier_frontier(struct capture *c);
/* When being polite has had its time: a copier that gets a processor is done by then, a slower one is starved by the
 * program, to whom every write to what is not copied yet costs a fault. */
uint64_t copier_patience(const struct capture *c);
/* Copies [start, end) straight into the image (the stop engine). */
int copy_through(struct capture *c, struct image_writer *w, uint64_t start, uint64_t end, struct err *e);
/* Takes what the copier has copied since the last call; true when nothing is left to copy and to write. */
bool copier_poll(struct capture *c, struct ranges *copied);

#endif
