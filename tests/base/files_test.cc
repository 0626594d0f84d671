#include "opencloc/base/files.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/publish.h"
#include "opencloc/base/temporary.h"
#include "tests/base/temp_folder.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::TestFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What a folder holds, hidden files included.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(ReadFile, GivesBackWhatWasWritten) {
  const TestFolder folder;
  const std::string bytes = std::string("a\0b\n", 4) + std::string(3'000'000, 'x');
  write_file(folder / "new/sub/x", bytes);
  EXPECT_EQ(read_file(folder / "new/sub/x"), bytes);
  EXPECT_EQ(MappedFile(folder / "new/sub/x").bytes().size(), bytes.size());
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file(folder / "empty"), "");
  EXPECT_EQ(MappedFile(folder / "empty").bytes().size(), 0u);
}

TEST(ReadFile, NamesWhatItCannotRead) {
  const TestFolder folder;
  EXPECT_THAT(message_of([&] { read_file(folder / "none"); }), HasSubstr("none"));
  EXPECT_THAT(message_of([&] { read_file(folder.path()); }), HasSubstr("is a folder"));
  EXPECT_THAT(message_of([&] { MappedFile(folder / "none"); }), HasSubstr("none"));
  write_file(folder / "x", "12345");
  EXPECT_EQ(read_file(folder / "x", 5), "12345");
  EXPECT_THAT(message_of([&] { read_file(folder / "x", 4); }), HasSubstr("longer than 4"));
}

TEST(AtomicFile, AppearsOnlyWhenCommitted) {
  const TestFolder folder;
  write_file(folder / "x", "old");
  {
    AtomicFile file(folder / "x");
    file.write("new");
    EXPECT_EQ(read_file(folder / "x"), "old");
  }
  EXPECT_EQ(read_file(folder / "x"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x"));
  AtomicFile file(folder / "x");
  file.write("new");
  EXPECT_EQ(file.size(), 3u);
  file.commit();
  EXPECT_EQ(read_file(folder / "x"), "new");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x"));
}

TEST(AtomicFile, AFailedWriteLeavesNothing) {
  EXPECT_THAT(message_of([] { write_file("/proc/none/x", "y"); }), HasSubstr("/proc/none/x"));
  // A limit on the size of files stands for a full disk; in a child, as it cannot be raised again.
  const TestFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto message = message_of([&] { write_file(folder / "x", std::string(5'000'000, 'y')); });
    ::_exit(message.find("cannot write") != std::string::npos ? 0 : 1);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(names_in(folder.path()).empty());
}

// Two threads at one name, as when two equal pictures get one caption.
TEST(AtomicFile, ThreadsMayWriteOneName) {
  const TestFolder folder;
  for (int round = 0; round < 20; ++round) {
    parallel_for(8, 4, [&](int64_t i) {
      write_file(folder / "x", std::string(3'000'000, static_cast<char>('a' + i)));
    });
    const std::string bytes = read_file(folder / "x");
    EXPECT_EQ(bytes, std::string(3'000'000, bytes.at(0)));
  }
  AtomicFile first(folder / "y"), second(folder / "y");
  first.write("1");
  second.write("2");
  first.commit();
  EXPECT_EQ(read_file(folder / "y"), "1");
  second.finish();
  EXPECT_EQ(read_file(folder / "y"), "1") << "finish() gives no name";
  second.commit();
  EXPECT_EQ(read_file(folder / "y"), "2");
  { AtomicFile(folder / "z").finish(); }
  EXPECT_THAT(names_in(folder.path()), ElementsAre("x", "y"));
}

TEST(AtomicFile, LongNamesAreCut) {
  const TestFolder folder;
  const std::string name(250, 'n');
  write_file(folder / name, "1");
  EXPECT_THAT(names_in(folder.path()), ElementsAre(name));
}

TEST(Temporary, SaysWhoseItIs) {
  const std::string name = temporary_beside("/a/model").filename().string();
  EXPECT_NE(name, temporary_beside("/a/model").filename().string());
  EXPECT_TRUE(is_temporary(name));
  EXPECT_TRUE(is_temporary(name, "model"));
  EXPECT_FALSE(is_temporary(name, "mode"));
  EXPECT_FALSE(is_temporary("model"));
  EXPECT_FALSE(is_temporary(".vim.tmp"));
  EXPECT_FALSE(is_abandoned(name)) << "this process lives";
  const std::string machine = owner_tag().substr(0, 8);
  const std::string self = std::to_string(::getpid());
  EXPECT_TRUE(owner_is_gone(machine + "-999999999-5")) << "no process has this number";
  EXPECT_TRUE(owner_is_gone(machine + "-" + self + "-1")) << "the number was given anew";
  EXPECT_FALSE(owner_is_gone(owner_tag()));
  EXPECT_FALSE(owner_is_gone("00000000-999999999-5")) << "of another machine nothing is known";
  EXPECT_FALSE(owner_is_gone("nonsense"));
}

TEST(ReadFile, OutOfFileDescriptorsIsNoFaultOfTheFile) {
  const TestFolder folder;
  write_file(folder / "x", "1");
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NOFILE, &none);
    try {
      read_file(folder / "x");
    } catch (const Error& error) {
      ::_exit(error.exit_code() == 1 ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(PublishFolder, WhatAKilledProcessLeftIsReadAndComesBack) {
  const TestFolder folder;
  const auto target = folder / "model";
  write_file(folder / ".model.replaced/a", "old");
  EXPECT_EQ(current_folder(target), folder / ".model.replaced");
  recover_folders(folder.path());
  EXPECT_EQ(current_folder(target), target);
  EXPECT_EQ(read_file(target / "a"), "old");
  write_file(folder / ".model.replaced/a", "older");
  recover_folders(folder.path());
  EXPECT_EQ(read_file(target / "a"), "old");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("model"));
}

TEST(PublishFiles, OldNamesGoAndNewOnesCome) {
  const TestFolder folder;
  for (const char* name : {"1", "2", "other", "staged/0", "staged/1"})
    write_file(folder / name, name);
  publish_files(folder / "staged", folder.path(), {"0", "1"}, {"2"});
  EXPECT_THAT(names_in(folder.path()), ElementsAre("0", "1", "other"));
  EXPECT_EQ(read_file(folder / "1"), "staged/1");
}

TEST(WriteFolder, AppearsWholeOrNotAtAll) {
  const TestFolder folder;
  const auto target = folder / "model";
  EXPECT_THROW(write_folder(target,
                            [](const fs::path& f) {
                              write_file(f / "a", "1");
                              throw Error::failed("stop");
                            }),
               Error);
  EXPECT_TRUE(names_in(folder.path()).empty());
  write_folder(target, [](const fs::path& f) { write_file(f / "sub/a", "1"); });
  EXPECT_EQ(read_file(target / "sub/a"), "1");
  EXPECT_THAT(names_in(folder.path()), ElementsAre("model"));
}

TEST(WriteFolder, ReplacesAnOlderOne) {
  const TestFolder folder;
  const auto target = folder / "model";
  write_folder(target, [](const fs::path& f) { write_file(f / "old", "1"); });
  write_folder(target / "", [](const fs::path& f) { write_file(f / "new", "2"); });
  EXPECT_THAT(names_in(target), ElementsAre("new"));
  EXPECT_THAT(names_in(folder.path()), ElementsAre("model"));
}

// A reader that looks all the time must find the old folder or the new one, never none.
TEST(WriteFolder, IsThereAtEveryMoment) {
  const TestFolder folder;
  const auto target = folder / "model";
  const auto write = [&](int i) {
    write_folder(target, [&](const fs::path& f) { write_file(f / "a", std::to_string(i)); });
  };
  write(0);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> looks{0}, missing{0};
  std::thread reader([&] {
    while (!stop) {
      if (!fs::exists(target)) ++missing;
      ++looks;
    }
  });
  for (int i = 1; i < 30; ++i) write(i);
  while (looks < 100) std::this_thread::yield();
  stop = true;
  reader.join();
  EXPECT_EQ(missing, 0);
}

class Globs : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"b.tar", "a.tar.gz", "c.tar.zst", "note.txt", ".hidden.tar",
                             "x-000.tar", "x-001.tar", "y[1].tar"}) {
      write_file(folder_ / name, "");
    }
  }
  std::vector<std::string> expand(const std::string& patterns) {
    std::vector<std::string> names;
    for (const auto& path : expand_glob(patterns)) {
      names.push_back(fs::path(path).filename().string());
    }
    return names;
  }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  TestFolder folder_;
};

TEST_F(Globs, MatchSortedAndInTheOrderOfThePatterns) {
  EXPECT_THAT(expand(at("x-*.tar")), ElementsAre("x-000.tar", "x-001.tar"));
  EXPECT_THAT(expand(at("c.tar.zst") + "::" + at("[ab].*")),
              ElementsAre("c.tar.zst", "a.tar.gz", "b.tar"));
}

TEST_F(Globs, AFolderMeansItsShards) {
  EXPECT_THAT(expand(folder_.path().string()),
              ElementsAre("a.tar.gz", "b.tar", "c.tar.zst", "x-000.tar", "x-001.tar", "y[1].tar"));
}

TEST_F(Globs, BracesCountAndList) {
  EXPECT_THAT(expand(at("x-{000..001}.tar")), ElementsAre("x-000.tar", "x-001.tar"));
  EXPECT_THAT(expand(at("{b.tar,a.tar.gz}")), ElementsAre("b.tar", "a.tar.gz"));
}

TEST_F(Globs, AFileOfThatVeryNameIsFound) {
  EXPECT_THAT(expand(at("y[1].tar")), ElementsAre("y[1].tar"));
}

TEST_F(Globs, MistakesAreNamed) {
  EXPECT_THAT(message_of([&] { expand(at("z*.tar")); }), HasSubstr("no file matches"));
  EXPECT_THAT(message_of([&] { expand(at("x-{0..9999999999}.tar")); }), HasSubstr("too long"));
  EXPECT_THAT(message_of([&] { expand(at("x-{a..b}.tar")); }), HasSubstr("bad number range"));
  EXPECT_THAT(message_of([&] { expand(at("x-{0..1.tar")); }), HasSubstr("without '}'"));
  EXPECT_THAT(message_of([&] { expand("a::"); }), HasSubstr("empty data pattern"));
}

}  // namespace
}  // namespace opencloc
