/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What files and sockets write into the caller's memory, measured: see sysmeasure.h. The calls
 * about processes, time and signals are in test_sysprocs.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sysmeasure.h"

static char dir[] = "/tmp/syswrites.XXXXXX";
static char path[64], lnk[64];
static int fd;

/* A file of two pages, a link to it, and the directory that holds them. */
static void setup(void)
{
	char data[8192];

	ck_assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/file", dir);
	snprintf(lnk, sizeof(lnk), "%s/link", dir);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	memset(data, 'x', sizeof(data));
	ck_assert_int_eq(write(fd, data, sizeof(data)), sizeof(data));
	ck_assert_int_eq(symlink("file", lnk), 0);
	ck_assert_int_eq(chdir(dir), 0);
	lseek(fd, 0, SEEK_SET);
}

static void teardown(void)
{
	close(fd);
	unlink(lnk);
	unlink(path);
	rmdir(dir);
}

static struct iovec *iov_of(size_t a, size_t b)
{
	struct iovec *iov = block(2 * sizeof(*iov));

	iov[0] = (struct iovec){block(a), a};
	iov[1] = (struct iovec){block(b), b};
	return iov;
}

static uint32_t *word(uint32_t v)
{
	uint32_t *p = block(sizeof(*p));

	*p = v;
	return p;
}

static uint64_t *quad(uint64_t v)
{
	uint64_t *p = block(sizeof(*p));

	*p = v;
	return p;
}

START_TEST(reads)
{
	CALL(SYS_read, fd, P(block(100)), 100);
	CALL(SYS_pread64, fd, P(block(5000)), 5000, 10);
	CALL(SYS_readv, fd, P(iov_of(30, 4096)), 2);
	CALL(SYS_preadv, fd, P(iov_of(1, 300)), 2, 0);
	CALL(SYS_preadv2, fd, P(iov_of(500, 300)), 2, 0, 0, 0);
	lseek(fd, 8190, SEEK_SET);
	ck_assert_int_eq(CALL(SYS_read, fd, P(block(100)), 100), 2);

	const int ev = eventfd(3, 0);
	CALL(SYS_read, ev, P(block(8)), 8);
	CALL(SYS_getrandom, P(block(333)), 333, 0);
}
END_TEST

START_TEST(status)
{
	CALL(SYS_stat, P(path), P(block(144)));
	CALL(SYS_lstat, P(lnk), P(block(144)));
	CALL(SYS_fstat, fd, P(block(144)));
	CALL(SYS_newfstatat, AT_FDCWD, P(path), P(block(144)), 0);
	CALL(SYS_statx, fd, P(""), AT_EMPTY_PATH, STATX_ALL, P(block(256)));
	CALL(SYS_statfs, P(path), P(block(120)));
	CALL(SYS_fstatfs, fd, P(block(120)));
	struct stat st;
	fstat(fd, &st);
	CALL_IF_ANY(SYS_ustat, st.st_dev, P(block(32)));
	CALL_IF_ANY(SYS_sysfs, 2, 0, P(block(256)));
	CALL_IF_ANY(468 /* file_getattr */, AT_FDCWD, P(path), P(block(64)), 24, 0);
	uint64_t range[2] = {0, 0};
	CALL_IF_ANY(451 /* cachestat */, fd, P(range), P(block(40)), 0);
}
END_TEST

START_TEST(names)
{
	CALL(SYS_readlink, P(lnk), P(block(64)), 64);
	CALL(SYS_readlinkat, AT_FDCWD, P(lnk), P(block(3)), 3);
	CALL(SYS_getcwd, P(block(4000)), 4000);
	const int d = open(dir, O_RDONLY | O_DIRECTORY);
	CALL(SYS_getdents64, d, P(block(1000)), 1000);
	lseek(d, 0, SEEK_SET);
	CALL(SYS_getdents, d, P(block(1000)), 1000);
	uint32_t *handle = block(8 + 128);
	handle[0] = 0;
	CALL_FAILS(EOVERFLOW, 0, SYS_name_to_handle_at, AT_FDCWD, P(path), P(handle), P(word(0)),
		0);
	CALL_IF_ANY(SYS_name_to_handle_at, AT_FDCWD, P(path), P(handle), P(word(0)), 0);
}
END_TEST

START_TEST(attributes)
{
	if (setxattr(path, "trusted.test", "value", 5, 0) &&
		setxattr(path, "user.test", "value", 5, 0)) {
		fprintf(stderr, "skipped: extended attributes: %s\n", strerror(errno));
		return;
	}
	char list[64] = "";
	ck_assert_int_gt(listxattr(path, list, sizeof(list)), 0);
	CALL(SYS_getxattr, P(path), P(list), P(block(100)), 100);
	CALL(SYS_lgetxattr, P(path), P(list), P(block(5)), 5);
	CALL(SYS_fgetxattr, fd, P(list), P(block(100)), 100);
	CALL(SYS_listxattr, P(path), P(block(100)), 100);
	CALL(SYS_llistxattr, P(path), P(block(100)), 100);
	CALL(SYS_flistxattr, fd, P(block(100)), 100);
	struct {
		uint64_t value;
		uint32_t size, flags;
	} *args = block(sizeof(*args));
	args->value = P(block(50));
	args->size = 50;
	args->flags = 0;
	CALL_IF_ANY(464 /* getxattrat */, AT_FDCWD, P(path), 0, P(list), P(args), sizeof(*args));
	CALL_IF_ANY(465 /* listxattrat */, AT_FDCWD, P(path), 0, P(block(100)), 100);
}
END_TEST

START_TEST(locks_and_owners)
{
	struct flock *l = block(sizeof(*l));

	*l = (struct flock){.l_type = F_WRLCK};
	CALL(SYS_fcntl, fd, F_GETLK, P(l));
	*l = (struct flock){.l_type = F_WRLCK};
	CALL(SYS_fcntl, fd, F_OFD_GETLK, P(l));
	int s[2];
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	CALL(SYS_fcntl, s[0], F_GETOWN_EX, P(block(8)));
	CALL(SYS_fcntl, fd, F_GET_RW_HINT, P(block(8)));
	CALL_IF_ANY(SYS_fcntl, s[0], 17, P(block(8)));
}
END_TEST

START_TEST(moving_offsets)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	CALL(SYS_sendfile, p[1], fd, P(quad(5)), 100);
	CALL(SYS_splice, fd, P(quad(0)), p[1], 0, 100, 0);
	CALL(SYS_splice, p[0], 0, fd, P(quad(8192)), 50, 0);
	CALL(SYS_copy_file_range, fd, P(quad(0)), fd, P(quad(8192)), 50, 0);
	CALL(SYS_vmsplice, p[0], P(iov_of(20, 20)), 2, 0);
	CALL(SYS_pipe, P(block(8)));
	CALL(SYS_pipe2, P(block(8)), O_CLOEXEC);
}
END_TEST

START_TEST(file_commands)
{
	CALL(SYS_ioctl, fd, FIGETBSZ, P(block(4)));
	CALL_IF_ANY(SYS_ioctl, fd, FS_IOC_GETFLAGS, P(block(8)));
	CALL_IF_ANY(SYS_ioctl, fd, FS_IOC_FSGETXATTR, P(block(28)));
	struct fiemap *f = block(sizeof(*f) + 20 * sizeof(struct fiemap_extent));
	memset(f, 0, sizeof(*f));
	f->fm_length = UINT64_MAX;
	f->fm_extent_count = 20;
	CALL_IF_ANY(SYS_ioctl, fd, FS_IOC_FIEMAP, P(f));
	uint8_t *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	CALL(SYS_mincore, P(map), 8192, P(block(2)));
	const int ns = open("/proc/self/ns/user", O_RDONLY);
	CALL_IF_ANY(SYS_ioctl, ns, 0xb704 /* NS_GET_OWNER_UID */, P(block(4)));
}
END_TEST

START_TEST(terminals)
{
	int m, s;
	struct winsize w = {.ws_row = 25, .ws_col = 80};

	ck_assert_int_eq(openpty(&m, &s, NULL, NULL, &w), 0);
	ck_assert_int_eq(write(m, "hello\n", 6), 6);
	CALL(SYS_ioctl, s, TCGETS, P(block(60)));
	CALL(SYS_ioctl, s, TCGETA, P(block(60)));
	CALL(SYS_ioctl, s, _IOR('T', 0x2a, char[44]) /* TCGETS2 */, P(block(60)));
	CALL(SYS_ioctl, s, TIOCGWINSZ, P(block(8)));
	CALL(SYS_ioctl, s, FIONREAD, P(block(4)));
	CALL(SYS_ioctl, s, TIOCGETD, P(block(4)));
	CALL(SYS_ioctl, s, TIOCGEXCL, P(block(4)));
	CALL(SYS_ioctl, m, TIOCGPTN, P(block(4)));
	CALL(SYS_ioctl, m, TIOCGPKT, P(block(4)));
	CALL(SYS_ioctl, m, TIOCOUTQ, P(block(4)));
	CALL(SYS_read, s, P(block(100)), 100);
}
END_TEST

START_TEST(interfaces)
{
	const int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq *r = block(sizeof(*r));
	struct ifconf *c = block(sizeof(*c));

	memset(r, 0, sizeof(*r));
	strcpy(r->ifr_name, "lo");
	CALL(SYS_ioctl, s, SIOCGIFINDEX, P(r));
	CALL(SYS_ioctl, s, SIOCGIFFLAGS, P(r));
	CALL(SYS_ioctl, s, SIOCGIFHWADDR, P(r));
	CALL(SYS_ioctl, s, SIOCGIFMTU, P(r));
	memset(r, 0, sizeof(*r));
	r->ifr_ifindex = 1;
	CALL(SYS_ioctl, s, SIOCGIFNAME, P(r));
	c->ifc_len = 400;
	c->ifc_buf = block(400);
	CALL(SYS_ioctl, s, SIOCGIFCONF, P(c));
}
END_TEST

/* A bound datagram socket of the loopback, with its address. */
static int udp(struct sockaddr_in *a)
{
	const int s = socket(AF_INET, SOCK_DGRAM, 0);
	socklen_t len = sizeof(*a);

	*a = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ck_assert_int_eq(bind(s, (struct sockaddr *)a, sizeof(*a)), 0);
	ck_assert_int_eq(getsockname(s, (struct sockaddr *)a, &len), 0);
	return s;
}

START_TEST(addresses)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "sock"};
	const int l = socket(AF_UNIX, SOCK_STREAM, 0), c[2] = {socket(AF_UNIX, SOCK_STREAM, 0),
		socket(AF_UNIX, SOCK_STREAM, 0)};

	ck_assert_int_eq(bind(l, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(l, 5), 0);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(connect(c[i], (struct sockaddr *)&a, sizeof(a)), 0);
	CALL(SYS_accept, l, P(block(110)), P(word(110)));
	CALL(SYS_accept4, l, P(block(110)), P(word(1)), SOCK_CLOEXEC);
	CALL(SYS_getsockname, l, P(block(110)), P(word(110)));
	CALL(SYS_getpeername, c[0], P(block(300)), P(word(300)));
	CALL(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, P(block(8)));
	CALL(SYS_getsockopt, l, SOL_SOCKET, SO_RCVBUF, P(block(4)), P(word(4)));
	CALL(SYS_getsockopt, c[0], SOL_SOCKET, SO_PEERCRED, P(block(100)), P(word(100)));
	CALL(SYS_getsockopt, c[0], SOL_SOCKET, SO_RCVTIMEO, P(block(16)), P(word(16)));
	unlink("sock");
}
END_TEST

static struct msghdr *msg_of(size_t name, size_t a, size_t b, size_t control)
{
	struct msghdr *m = block(sizeof(*m));

	*m = (struct msghdr){
		.msg_name = block(name), .msg_namelen = name,
		.msg_iov = iov_of(a, b), .msg_iovlen = 2,
		.msg_control = block(control), .msg_controllen = control,
	};
	return m;
}

START_TEST(messages)
{
	struct sockaddr_in a;
	const int s = udp(&a);
	struct mmsghdr *mm = block(3 * sizeof(*mm));
	struct timespec *ts = block(sizeof(*ts));
	const int one = 1;

	setsockopt(s, SOL_SOCKET, SO_TIMESTAMP, &one, sizeof(one));
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(sendto(s, "datagram", 8, 0, (struct sockaddr *)&a, sizeof(a)), 8);
	CALL(SYS_recvfrom, s, P(block(100)), 100, 0, P(block(16)), P(word(16)));
	CALL(SYS_recvmsg, s, P(msg_of(16, 3, 100, 200)), 0);
	for (int i = 0; i < 3; i++)
		mm[i] = (struct mmsghdr){.msg_hdr = *msg_of(128, 2, 50, 64)};
	*ts = (struct timespec){.tv_sec = 5};
	ck_assert_int_eq(CALL(SYS_recvmmsg, s, P(mm), 3, MSG_WAITFORONE, P(ts)), 2);

	for (int i = 0; i < 3; i++)
		mm[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &a, .msg_namelen = sizeof(a),
			.msg_iov = iov_of(1, 2), .msg_iovlen = 2}};
	ck_assert_int_eq(CALL(SYS_sendmmsg, s, P(mm), 3, 0), 3);
	CALL(SYS_ioctl, s, FIONREAD, P(block(4)));
}
END_TEST

START_TEST(passed_descriptors)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(sizeof(int))];
	} c = {.h = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr out = {.msg_iov = &(struct iovec){"x", 1}, .msg_iovlen = 1,
		.msg_control = &c, .msg_controllen = sizeof(c)};
	int s[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	memcpy(CMSG_DATA(&c.h), &fd, sizeof(fd));
	ck_assert_int_eq(sendmsg(s[0], &out, 0), 1);
	CALL(SYS_recvmsg, s[1], P(msg_of(10, 1, 1, 64)), 0);
}
END_TEST

START_TEST(waiting_for_descriptors)
{
	struct pollfd *pf = block(2 * sizeof(*pf));
	const int e = epoll_create1(0);
	struct timespec *ts = block(sizeof(*ts));
	struct timeval *tv = block(sizeof(*tv));
	fd_set *in = block(sizeof(*in)), *out = block(sizeof(*out)), *ex = block(sizeof(*ex));
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(write(p[1], "x", 1), 1);
	epoll_ctl(e, EPOLL_CTL_ADD, p[0], &(struct epoll_event){.events = EPOLLIN});
	pf[0] = (struct pollfd){.fd = p[0], .events = POLLIN};
	pf[1] = (struct pollfd){.fd = p[1], .events = POLLOUT};
	CALL(SYS_poll, P(pf), 2, 1000);
	pf[0].revents = pf[1].revents = 0;
	*ts = (struct timespec){.tv_sec = 1};
	CALL_WITH(SYS_MASK, SYS_ppoll, P(pf), 2, P(ts), 0, 8);
	CALL(SYS_epoll_wait, e, P(block(60)), 5, 0);
	CALL_WITH(SYS_MASK, SYS_epoll_pwait, e, P(block(60)), 5, 0, 0, 8);
	CALL_WITH(SYS_MASK, SYS_epoll_pwait2, e, P(block(60)), 5, 0, 0, 8);
	for (int i = 0; i < 2; i++) {
		memset(in, 0xff, 8);
		memset(out, 0xff, 8);
		memset(ex, 0xff, 8);
		for (int k = 0; k < 64; k++) {
			if (fcntl(k, F_GETFD) >= 0)
				continue;
			FD_CLR(k, in);
			FD_CLR(k, out);
			FD_CLR(k, ex);
		}
		*tv = (struct timeval){.tv_sec = 1};
		*ts = (struct timespec){.tv_sec = 1};
		if (i)
			CALL_WITH(SYS_MASK, SYS_pselect6, p[1] + 1, P(in), P(out), P(ex), P(ts), 0);
		else
			CALL(SYS_select, p[1] + 1, P(in), P(out), P(ex), P(tv));
	}
}
END_TEST

START_TEST(mounts)
{
	uint64_t req[4] = {24 /* size */, UINT64_MAX /* LSMT_ROOT */};
	uint64_t *ids = block(80);

	if (CALL_IF_ANY(458 /* listmount */, P(req), P(ids), 10, 0) > 0) {
		req[1] = ids[0];
		req[2] = 2 | 16;        /* STATMOUNT_MNT_BASIC, STATMOUNT_MNT_POINT */
		CALL_IF_ANY(457 /* statmount */, P(req), P(block(1000)), 1000, 0);
	}
}
END_TEST

int main(void)
{
	TCase *tc = tcase_create("measured");
	Suite *s = suite_create("syswrites");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reads);
	tcase_add_test(tc, status);
	tcase_add_test(tc, names);
	tcase_add_test(tc, attributes);
	tcase_add_test(tc, locks_and_owners);
	tcase_add_test(tc, moving_offsets);
	tcase_add_test(tc, file_commands);
	tcase_add_test(tc, terminals);
	tcase_add_test(tc, interfaces);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, messages);
	tcase_add_test(tc, passed_descriptors);
	tcase_add_test(tc, waiting_for_descriptors);
	tcase_add_test(tc, mounts);
	suite_add_tcase(s, tc);

	SRunner *sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	const int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
