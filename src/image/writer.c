/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pages into a new image: room is assigned ahead, pages come in any order from any thread. The file
 * has no name until it is whole (O_TMPFILE), so that even a killed writer leaves nothing; where the
 * file system cannot do that it has a hidden one. Headers and notes: finish.c.
 */
#include "image/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

/* What one pwrite takes at most: still in the cache after hashing. */
#define RUN_LEN (512ull << 10)
/* How much is written before the kernel is told to begin with it, so that the fsync is short. */
#define FLUSH_LEN (32ull << 20)

int writer_fail(struct image_writer *w, const char *what)
{
	const int cause = errno;

	pthread_mutex_lock(&w->lock);
	if (!atomic_load(&w->failed)) {
		errno = cause;
		err_sys(&w->err, EXIT_CAPTURE, "%s %s", what, w->path);
		atomic_store(&w->failed, true);
	}
	pthread_mutex_unlock(&w->lock);
	return -1;
}

int writer_write(struct image_writer *w, const void *data, size_t len, uint64_t off)
{
	if (atomic_load(&w->failed))
		return -1;
	if (pwrite_all(w->fd, data, len, (off_t)off) < 0)
		return writer_fail(w, "write");
	atomic_fetch_add(&w->written, len);
	return 0;
}

/* ---- the file ---- */

static char *tmp_name(const char *name)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	unsigned char r[6] = {0};
	char suffix[7] = {0};

	if (getrandom(r, sizeof(r), 0) < 0)
		memset(r, getpid() & 0xff, sizeof(r));
	for (int i = 0; i < 6; i++)
		suffix[i] = digits[r[i] % 32];
	return xasprintf(".%.200s.ckptview-%s", name, suffix);
}

/* A name nobody has, made by `make` (0, or -1 with errno). */
static int with_tmp_name(struct image_writer *w,
	int (*make)(struct image_writer *w, const char *tmp))
{
	for (int tries = 0; tries < 100; tries++) {
		char *tmp = tmp_name(w->name);
		if (make(w, tmp) == 0) {
			w->tmp = tmp;
			return 0;
		}
		free(tmp);
		if (errno != EEXIST)
			return -1;
	}
	return -1;
}

static int make_file(struct image_writer *w, const char *tmp)
{
	w->fd = openat(w->dirfd, tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return w->fd < 0 ? -1 : 0;
}

static int make_link(struct image_writer *w, const char *tmp)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", w->fd);
	return linkat(AT_FDCWD, self, w->dirfd, tmp, AT_SYMLINK_FOLLOW);
}

/* rename(2) replaces what is there, linkat does not: a nameless file gets a hidden name first. */
int writer_publish(struct image_writer *w)
{
	if (!w->tmp && with_tmp_name(w, make_link) < 0)
		return writer_fail(w, "name");
	if (renameat(w->dirfd, w->tmp, w->dirfd, w->name) < 0)
		return writer_fail(w, "rename into");
	free(w->tmp);
	w->tmp = NULL;
	if (fsync(w->dirfd) < 0 && errno != EINVAL)
		return writer_fail(w, "sync the directory of");
	return 0;
}

static int open_file(struct image_writer *w)
{
	struct stat st;

	if (fstatat(w->dirfd, w->name, &st, 0) == 0 && !S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EEXIST;
		return -1;
	}
	w->fd = openat(w->dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (w->fd >= 0)
		return fchmod(w->fd, 0600);
	/* EOPNOTSUPP, EISDIR, ENOENT: the file system or kernel does not know it (open(2)). */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
		return -1;
	return with_tmp_name(w, make_file);
}

static struct image_writer *writer_new(const char *path)
{
	struct image_writer *w = xcalloc(1, sizeof(*w));
	const char *slash = strrchr(path, '/');

	w->fd = w->dirfd = -1;
	w->path = xstrdup(path);
	w->name = xstrdup(slash ? slash + 1 : path);
	w->end = PAGE_LEN;
	pthread_mutex_init(&w->lock, NULL);
	return w;
}

int image_create(struct image_writer **out, const char *path, struct err *e)
{
	struct image_writer *w = writer_new(path);
	const size_t dirlen = strlen(path) - strlen(w->name);
	char *dir = dirlen ? xasprintf("%.*s", (int)dirlen, path) : xstrdup(".");

	*out = NULL;
	w->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	/* The file gets its name only at the end: one that is too long must not be found out then. */
	const bool too_long = w->dirfd >= 0 && (long)strlen(w->name) > fpathconf(w->dirfd, _PC_NAME_MAX);
	if (!*w->name || too_long)
		errno = too_long ? ENAMETOOLONG : EISDIR;
	if (w->dirfd < 0 || !*w->name || too_long || open_file(w) < 0) {
		err_sys(e, EXIT_CAPTURE, "create %s", path);
		image_abandon(w);
		return -1;
	}
	*out = w;
	return 0;
}

void image_abandon(struct image_writer *w)
{
	if (!w)
		return;
	if (w->tmp)
		unlinkat(w->dirfd, w->tmp, 0);
	if (w->fd >= 0)
		close(w->fd);
	if (w->dirfd >= 0)
		close(w->dirfd);
	for (size_t i = 0; i < w->nchunks; i++)
		munmap(w->chunks[i], CHUNK_LEN);
	free(w->chunks);
	free(w->ext);
	free(w->tmp);
	free(w->name);
	free(w->path);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* ---- room ---- */

/* Index of the first extent whose end is above addr. */
static size_t extent_find(const struct image_writer *w, uint64_t addr)
{
	size_t lo = 0, hi = w->next;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		if (w->ext[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void extent_insert(struct image_writer *w, size_t i, struct extent x)
{
	if (w->next == w->ext_cap) {
		w->ext_cap = w->ext_cap ? 2 * w->ext_cap : 64;
		w->ext = xrealloc(w->ext, w->ext_cap * sizeof(*w->ext));
	}
	memmove(w->ext + i + 1, w->ext + i, (w->next - i) * sizeof(*w->ext));
	w->ext[i] = x;
	w->next++;
}

static void extent_remove(struct image_writer *w, size_t i)
{
	w->next--;
	memmove(w->ext + i, w->ext + i + 1, (w->next - i) * sizeof(*w->ext));
}

/* New room for [start, end), which has none, before extent i. Returns the index after it. */
static size_t extent_new(struct image_writer *w, size_t i, uint64_t start, uint64_t end)
{
	const uint64_t off = w->end;
	struct extent *prev = i ? &w->ext[i - 1] : NULL;

	w->end += end - start;
	if (prev && prev->end == start && prev->off + (prev->end - prev->addr) == off) {
		prev->end = end;
		return i;
	}
	extent_insert(w, i, (struct extent){start, end, off});
	return i + 1;
}

/* Its pages come when a checksum is put there: clearing them all costs 0.6 ms for 256 MiB of image, and room is made just when
 * the process has been let go. */
static uint64_t *chunk_new(void)
{
	void *p = mmap(NULL, CHUNK_LEN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		out_of_memory();
	return p;
}

/* Checksum chunks up to w->end. */
static void chunks_grow(struct image_writer *w)
{
	const size_t n = w->end / PAGE_LEN / SUMS_PER_CHUNK + 1;

	if (n <= w->nchunks)
		return;
	w->chunks = xrealloc(w->chunks, n * sizeof(*w->chunks));
	while (w->nchunks < n)
		w->chunks[w->nchunks++] = chunk_new();
}

int image_reserve(struct image_writer *w, uint64_t start, uint64_t end, struct err *e)
{
	if (start % PAGE_LEN || end % PAGE_LEN || start > end)
		return err_set(e, EXIT_CAPTURE, "no whole pages: 0x%lx-0x%lx", start, end);
	pthread_mutex_lock(&w->lock);
	size_t i = extent_find(w, start);
	while (start < end) {
		const uint64_t gap_end = i < w->next ? MIN(end, w->ext[i].addr) : end;
		if (start < gap_end)
			i = extent_new(w, i, start, gap_end);
		start = gap_end;
		if (start < end)
			start = w->ext[i++].end;
	}
	chunks_grow(w);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

/* What was written there must not take disk space any more. */
static void room_clear(struct image_writer *w, uint64_t off, uint64_t len)
{
	bool written = false;

	for (uint64_t at = off; at < off + len; at += PAGE_LEN) {
		uint64_t *sum = writer_sum(w, at);
		written |= *sum != 0;
		*sum = 0;
	}
	if (written)
		fallocate(w->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off,
			(off_t)len);
}

void image_unreserve(struct image_writer *w, uint64_t start, uint64_t end)
{
	pthread_mutex_lock(&w->lock);
	size_t i = extent_find(w, start);
	while (i < w->next && w->ext[i].addr < end) {
		const struct extent x = w->ext[i];
		const uint64_t from = MAX(start, x.addr), to = MIN(end, x.end);

		room_clear(w, x.off + (from - x.addr), to - from);
		extent_remove(w, i);
		if (x.addr < from)
			extent_insert(w, i++, (struct extent){x.addr, from, x.off});
		if (to < x.end)
			extent_insert(w, i++, (struct extent){to, x.end, x.off + (to - x.addr)});
	}
	pthread_mutex_unlock(&w->lock);
}

uint64_t *writer_sum(struct image_writer *w, uint64_t off)
{
	const uint64_t page = off / PAGE_LEN;

	return &w->chunks[page / SUMS_PER_CHUNK][page % SUMS_PER_CHUNK];
}

/* ---- pages ---- */

/* Where consecutive pages go, and their checksums. */
struct room {
	uint64_t off;
	uint64_t *sums;
	size_t npages;
};

static int room_find(struct image_writer *w, uint64_t addr, struct room *r)
{
	int rc = -1;

	pthread_mutex_lock(&w->lock);
	const size_t i = extent_find(w, addr);
	if (i < w->next && w->ext[i].addr <= addr) {
		const struct extent *x = &w->ext[i];
		r->off = x->off + (addr - x->addr);
		r->sums = writer_sum(w, r->off);
		const uint64_t chunk_left = SUMS_PER_CHUNK - r->off / PAGE_LEN % SUMS_PER_CHUNK;
		r->npages = MIN((x->end - addr) / PAGE_LEN, chunk_left);
		rc = 0;
	} else if (!atomic_load(&w->failed)) {
		err_set(&w->err, EXIT_CAPTURE, "write %s: page 0x%lx has no room", w->path, addr);
		atomic_store(&w->failed, true);
	}
	pthread_mutex_unlock(&w->lock);
	return rc;
}

/* The kernel would keep all of it for the fsync at the end; begin now and then. */
static void flush_some(struct image_writer *w)
{
	const uint64_t written = atomic_load(&w->written);
	uint64_t flushed = atomic_load(&w->flushed);

	if (written - flushed < FLUSH_LEN)
		return;
	if (atomic_compare_exchange_strong(&w->flushed, &flushed, written))
		sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Pages that lie together in the file: hashes them, writes those that are not zero. */
static int put_run(struct image_writer *w, const struct room *r, const uint8_t *data, size_t npages)
{
	size_t first = 0;       /* of the pages to write next; none when equal to i */

	for (size_t i = 0; i < npages; i++) {
		const uint64_t old = r->sums[i];
		r->sums[i] = image_page_hash(data + i * PAGE_LEN);
		/* A page put again as zero must overwrite what it was. */
		const bool hole = r->sums[i] == 0 && old == 0;
		const size_t n = i - first + !hole;
		if (n && (hole || n * PAGE_LEN >= RUN_LEN || i + 1 == npages))
			if (writer_write(w, data + first * PAGE_LEN, n * PAGE_LEN,
				r->off + first * PAGE_LEN) < 0)
				return -1;
		if (hole || n * PAGE_LEN >= RUN_LEN)
			first = i + 1;
	}
	return 0;
}

int image_error(struct image_writer *w, struct err *e)
{
	if (!atomic_load(&w->failed))
		return 0;
	pthread_mutex_lock(&w->lock);
	*e = w->err;
	pthread_mutex_unlock(&w->lock);
	return -1;
}

int image_put(struct image_writer *w, uint64_t addr, const void *data, size_t npages)
{
	const uint8_t *p = data;

	while (npages) {
		struct room r;
		if (atomic_load(&w->failed) || room_find(w, addr, &r) < 0)
			return -1;
		const size_t n = MIN(npages, r.npages);
		if (put_run(w, &r, p, n) < 0)
			return -1;
		atomic_fetch_add(&w->put, n * PAGE_LEN);
		addr += n * PAGE_LEN;
		p += n * PAGE_LEN;
		npages -= n;
	}
	flush_some(w);
	return 0;
}

void image_progress(const struct image_writer *w, uint64_t *written, uint64_t *put)
{
	*written = atomic_load(&w->written);
	*put = atomic_load(&w->put);
}
