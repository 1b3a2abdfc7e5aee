// Makes the k-th write or sync of a process to a database's files fail, as a bad disk would: preloaded into the gateway.
//
//     cc -shared -fPIC -o failing.so failing.c -ldl
//     FAIL_AT=7 FAIL_TIMES=3 FAIL_NAME=doorward.db LD_PRELOAD=./failing.so doorward serve …

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long count;

static int concerns(int fd) {
    const char *name = getenv("FAIL_NAME");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!name || length < 0) return 0;
    path[length] = 0;
    return strstr(path, name) != NULL;
}

// Whether this one fails; the first is number 1.
static int fails(int fd) {
    if (!concerns(fd)) return 0;
    const char *at = getenv("FAIL_AT"), *times = getenv("FAIL_TIMES");
    long number = atomic_fetch_add(&count, 1) + 1, first = at ? atol(at) : 0;
    return first > 0 && number >= first && number < first + (times ? atol(times) : 1);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL(code) do { errno = code; return -1; } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    if (fails(fd)) FAIL(EIO);
    return REAL(write)(fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (fails(fd)) FAIL(EIO);
    return REAL(pwrite)(fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (fails(fd)) FAIL(EIO);
    return REAL(pwrite64)(fd, data, size, at);
}

int fsync(int fd) {
    if (fails(fd)) FAIL(EIO);
    return REAL(fsync)(fd);
}

int fdatasync(int fd) {
    if (fails(fd)) FAIL(EIO);
    return REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t size) {
    if (fails(fd)) FAIL(EIO);
    return REAL(ftruncate64)(fd, size);
}
