#include "opencloc/data/remote/pipe.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/error.h"

extern "C" char** environ;  // NOLINT: POSIX declares it nowhere

namespace opencloc {
namespace {

struct SpawnActions {
  SpawnActions() { posix_spawn_file_actions_init(&actions); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t actions;
};

std::string ending(int status) {
  if (WIFSIGNALED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

void run_command_into(const std::string& command, int fd) {
  const std::string where = "pipe:" + command;
  constexpr const char* kMendCommand = "run the command by hand to see what it says";
  SpawnActions spawn;
  posix_spawn_file_actions_adddup2(&spawn.actions, fd, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&spawn.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  std::string text = command;
  char shell[] = "sh", option[] = "-c";
  char* const arguments[] = {shell, option, text.data(), nullptr};
  pid_t child = 0;
  const int failed = ::posix_spawn(&child, "/bin/sh", &spawn.actions, nullptr, arguments, environ);
  if (failed != 0) {
    throw Error::failed(std::string("a command cannot be started (") + std::strerror(failed) + ")",
                        where, "raise the limit of processes (ulimit -u)");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno == EINTR) continue;
    throw Error::failed("nothing is known of a command's end (" + errno_text() + ")", where);
  }
  if (status != 0) throw Error::input("the command " + ending(status), where, kMendCommand);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || info.st_size == 0)
    throw Error::input("the command wrote nothing", where, kMendCommand);
}

}  // namespace opencloc
