/* Strikes at the n-th call that changes a file or sends something: kills the process or lets the call fail.

   For LD_PRELOAD. All such calls of libc are counted, whichever library makes them; those that go to neither a file
   nor an internet socket (terminals, pipes, the self-pipe of asyncio) are let through. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum how { KILL, TORN, FAIL };

struct told { /* shared with the process that forked the one that is struck */
  atomic_long count;
  char name[16]; /* of the call that was struck; empty if none was */
};

static struct told *told;
static long at = -1; /* -1: not armed */
static enum how how;

__attribute__((constructor)) static void make(void) {
  told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

void points_arm(long point, int kind) {
  atomic_store(&told->count, 0);
  told->name[0] = 0;
  how = kind;
  at = point;
}

void points_disarm(void) { at = -1; }
long points_count(void) { return atomic_load(&told->count); }
const char *points_name(void) { return told->name; }

/* Return whether this call is the one to fail; does not return if it is the one to die at. */
static int struck(const char *name) {
  if (at < 0 || atomic_fetch_add(&told->count, 1) + 1 != at) return 0;
  strncpy(told->name, name, sizeof told->name - 1);
  if (how == KILL) kill(getpid(), SIGKILL);
  return 1;
}

static int is_file(int fd) {
  struct stat found;
  return at >= 0 && fd > 2 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

static int is_internet(int fd) {
  struct sockaddr_storage name;
  socklen_t size = sizeof name;
  return at >= 0 && getsockname(fd, (struct sockaddr *)&name, &size) == 0 &&
         (name.ss_family == AF_INET || name.ss_family == AF_INET6);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(number) return (errno = (number), -1)

ssize_t write(int fd, const void *bytes, size_t size) {
  static __typeof__(&write) real;
  if (!real) real = REAL(write);
  if (is_file(fd) && struck("write")) {
    if (how == FAIL) REFUSE(ENOSPC);
    real(fd, bytes, size / 2);
    kill(getpid(), SIGKILL);
  }
  return real(fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t place) {
  static __typeof__(&pwrite) real;
  if (!real) real = REAL(pwrite);
  if (is_file(fd) && struck("pwrite")) {
    if (how == FAIL) REFUSE(ENOSPC);
    real(fd, bytes, size / 2, place);
    kill(getpid(), SIGKILL);
  }
  return real(fd, bytes, size, place);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t place) { return pwrite(fd, bytes, size, place); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
  static __typeof__(&writev) real;
  if (!real) real = REAL(writev);
  if (is_file(fd) && struck("writev")) {
    if (how == FAIL) REFUSE(ENOSPC);
    real(fd, parts, count / 2);
    kill(getpid(), SIGKILL);
  }
  return real(fd, parts, count);
}

/* A call that is done whole or not at all: a torn one is killed behind it. */
#define WHOLE(counts, name, number, ...)           \
  static __typeof__(&name) real;                   \
  if (!real) real = REAL(name);                    \
  if ((counts) && struck(#name)) {                 \
    if (how == FAIL) REFUSE(number);               \
    real(__VA_ARGS__);                             \
    kill(getpid(), SIGKILL);                       \
  }                                                \
  return real(__VA_ARGS__)

int fsync(int fd) { WHOLE(at >= 0, fsync, EIO, fd); }
int fdatasync(int fd) { WHOLE(at >= 0, fdatasync, EIO, fd); }
int ftruncate(int fd, off_t size) { WHOLE(is_file(fd), ftruncate, EIO, fd, size); }
int rename(const char *from, const char *to) { WHOLE(at >= 0, rename, EIO, from, to); }
int renameat(int a, const char *from, int b, const char *to) { WHOLE(at >= 0, renameat, EIO, a, from, b, to); }
int unlink(const char *path) { WHOLE(at >= 0, unlink, EIO, path); }
int unlinkat(int folder, const char *path, int flags) { WHOLE(at >= 0, unlinkat, EIO, folder, path, flags); }
int rmdir(const char *path) { WHOLE(at >= 0, rmdir, EIO, path); }

ssize_t send(int fd, const void *bytes, size_t size, int flags) {
  WHOLE(is_internet(fd), send, ECONNRESET, fd, bytes, size, flags);
}
ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
  WHOLE(is_internet(fd), sendto, ECONNRESET, fd, bytes, size, flags, to, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  WHOLE(is_internet(fd), sendmsg, ECONNRESET, fd, message, flags);
}
