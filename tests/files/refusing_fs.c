// A file system of a cluster, played by a library that is loaded before the C library (LD_PRELOAD).
// Below the folder REFUSING_FS_ROOT,
//   REFUSING_FS_NO_EXCHANGE=1   renameat2() knows no flags (EINVAL), as on NFS
//   REFUSING_FS_FLOCK=NUMBER    flock() fails with this errno, as on Lustre without -o flock
//   REFUSING_FS_SLOW_FSYNC=MS   fsync() takes so long
//   REFUSING_FS_BYTES=N         the disk is full after N bytes
//   REFUSING_FS_KILL_AT=N       the process is killed before its N-th change of a folder or fsync
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static long number(const char* variable) {
  const char* value = getenv(variable);
  return value == NULL ? 0 : atol(value);
}

static int path_is_ours(const char* path) {
  const char* root = getenv("REFUSING_FS_ROOT");
  return root != NULL && path != NULL && strncmp(path, root, strlen(root)) == 0;
}

static int file_is_ours(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return path_is_ours(path);
}

static void count_change(void) {
  static atomic_long changes;
  const long at = number("REFUSING_FS_KILL_AT");
  if (at > 0 && atomic_fetch_add(&changes, 1) + 1 == at) kill(getpid(), SIGKILL);
}

int rename(const char* from, const char* to) {
  if (path_is_ours(to)) count_change();
  return REAL(rename)(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  if (path_is_ours(to)) {
    count_change();
    if (flags != 0 && number("REFUSING_FS_NO_EXCHANGE") != 0) {
      errno = EINVAL;
      return -1;
    }
  }
  return REAL(renameat2)(from_folder, from, to_folder, to, flags);
}

int flock(int fd, int operation) {
  const long error = number("REFUSING_FS_FLOCK");
  if (error != 0 && file_is_ours(fd)) {
    errno = (int)error;
    return -1;
  }
  return REAL(flock)(fd, operation);
}

int fsync(int fd) {
  if (file_is_ours(fd)) {
    count_change();
    const long ms = number("REFUSING_FS_SLOW_FSYNC");
    const struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
    if (ms > 0) nanosleep(&wait, NULL);
  }
  return REAL(fsync)(fd);
}

int remove(const char* path) {
  if (path_is_ours(path)) count_change();
  return REAL(remove)(path);
}

int unlink(const char* path) {
  if (path_is_ours(path)) count_change();
  return REAL(unlink)(path);
}

int unlinkat(int folder, const char* path, int flags) {
  if (path_is_ours(path) || (folder >= 0 && file_is_ours(folder))) count_change();
  return REAL(unlinkat)(folder, path, flags);
}

int mkdir(const char* path, mode_t mode) {
  if (path_is_ours(path)) count_change();
  return REAL(mkdir)(path, mode);
}

ssize_t write(int fd, const void* data, size_t size) {
  static atomic_long written;
  const long room = number("REFUSING_FS_BYTES");
  if (room > 0 && file_is_ours(fd) && atomic_fetch_add(&written, (long)size) + (long)size > room) {
    errno = ENOSPC;
    return -1;
  }
  return REAL(write)(fd, data, size);
}
