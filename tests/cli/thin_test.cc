// The thin program: what needs no tensors loads no libtorch (as the loader's own log says), all
// else becomes the whole one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "opencloc/base/json.h"
#include "tests/cli/run_binary.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;
using fixtures::run_binary;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ThinTest : public fixtures::BinaryTest {
 protected:
  // Runs opencloc and says whether the loader looked for libtorch.
  bool loads_libtorch(const std::string& arguments, int exit_code = 0) {
    const std::string folder = at("log" + std::to_string(++logs_));
    fs::create_directory(folder);
    const int status =
        std::system(("LD_DEBUG=files LD_DEBUG_OUTPUT=" + folder + "/l " OPENCLOC_BINARY " " +
                     arguments + " >" + at("out") + " 2>" + at("err"))
                        .c_str());
    EXPECT_EQ(WEXITSTATUS(status), exit_code) << arguments << "\n" << read_file(at("err"));
    std::string log;
    for (const auto& entry : fs::directory_iterator(folder)) log += read_file(entry.path());
    EXPECT_THAT(log, HasSubstr("libc.so")) << "the loader wrote no log";
    return log.find("libtorch") != std::string::npos || log.find("libc10") != std::string::npos;
  }
  fixtures::RunResult run(const std::string& program, const std::string& arguments) {
    const int status =
        std::system((program + " " + arguments + " >" + at("out") + " 2>" + at("err")).c_str());
    return {WEXITSTATUS(status), read_file(at("out")), read_file(at("err"))};
  }

 private:
  int logs_ = 0;
};

TEST_F(ThinTest, HelpOfEveryVerbIsTheWholeProgramsAndLoadsNoLibtorch) {
  const std::string list = run(OPENCLOC_TENSORS, "--write-verb-list").out;
  int verbs = 0;
  for (size_t at = 0; at < list.size(); ++verbs) {
    const size_t middle = list.find('\x1f', at), end = list.find('\x1e', at);
    const std::string path = list.substr(at, middle - at);
    EXPECT_FALSE(loads_libtorch(path + (verbs % 2 == 0 ? " --help" : " -h"))) << path;
    EXPECT_EQ(read_file(this->at("out")), list.substr(middle + 1, end - middle - 1)) << path;
    at = end + 1;
  }
  EXPECT_GT(verbs, 30);
  EXPECT_EQ(run(OPENCLOC_TENSORS, "index calibrate --help").out,
            run_binary("index calibrate --help").out);
}

TEST_F(ThinTest, VerbsWithoutTensorsLoadNoLibtorch) {
  EXPECT_FALSE(loads_libtorch("--version"));
  EXPECT_FALSE(
      loads_libtorch("data scenes --count 6 --size 32 --seed 1 --threads 2 --out " + at("scenes")));
  EXPECT_FALSE(loads_libtorch("data mosaic --count 2 --size 32 --data " + at("scenes") + " --out " +
                              at("mosaics")));
  EXPECT_FALSE(loads_libtorch("data stats --json --data " + at("scenes")));
  EXPECT_FALSE(loads_libtorch("data show --data " + at("scenes") + " --out " + at("page.html")));
  EXPECT_FALSE(
      loads_libtorch("data dialogues --data " + at("scenes") + " --out " + at("dialogues")));
  EXPECT_FALSE(loads_libtorch("inspect --json " + at("scenes") + " " + at("page.html")));
  EXPECT_THAT(read_file(at("out")), HasSubstr("\"samples\":6"));
  write_file(at("a.json"), R"({"zeroshot": {"acc1": 0.5, "acc5": 0.75, "n": 8}})");
  EXPECT_FALSE(loads_libtorch("inspect --architectures --json"));
  EXPECT_THAT(read_file(at("out")), HasSubstr("ViT-B-16"));
  EXPECT_FALSE(loads_libtorch("compare A=" + at("a.json")));
}

TEST_F(ThinTest, WrongUsageOfItLoadsNoLibtorch) {
  EXPECT_FALSE(loads_libtorch("", 2));
  EXPECT_FALSE(loads_libtorch("paint", 2));
  EXPECT_THAT(read_file(at("err")), HasSubstr("use one of data, train, eval,"));
  EXPECT_FALSE(loads_libtorch("index paint", 2));
  EXPECT_FALSE(loads_libtorch("data stats", 2));
  EXPECT_FALSE(loads_libtorch("index stats " + at("none.idx"), 2));
  EXPECT_FALSE(loads_libtorch("inspect " + at("none.safetensors"), 2));
}

TEST_F(ThinTest, WhatNeedsTensorsBecomesTheWholeProgram) {
  EXPECT_TRUE(loads_libtorch("train --paint", 2));
  EXPECT_THAT(read_file(at("err")), StartsWith("opencloc: error: "));
  // Only what lies at the path says so.
  write_file(at("x.safetensors"), std::string("\x02\0\0\0\0\0\0\0{}", 10));
  EXPECT_TRUE(loads_libtorch("inspect --json " + at("x.safetensors")));
  EXPECT_THAT(read_file(at("out")), HasSubstr("\"kind\":\"safetensors\""));
  EXPECT_TRUE(loads_libtorch("train --data x --help"));  // help among other arguments
  EXPECT_EQ(read_file(at("out")), run_binary("train --help").out);
}

TEST_F(ThinTest, LooksForTheWholeProgramBesideItAndInLibexec) {
  fs::create_directories(at("prefix/bin"));
  const std::string copy = at("prefix/bin/opencloc");
  fs::copy_file(OPENCLOC_BINARY, copy);
  EXPECT_EQ(run(copy, "--version").exit_code, 0);
  EXPECT_EQ(run(copy, "train --help").exit_code, 0);
  const auto alone = run(copy, "train --steps 1");
  EXPECT_EQ(alone.exit_code, 1);
  EXPECT_EQ(alone.out, "");
  EXPECT_THAT(
      alone.err,
      StartsWith("opencloc: error: opencloc-tensors, the program that computes, is missing"));
  EXPECT_THAT(alone.err, HasSubstr(at("prefix/bin/opencloc-tensors") + ", " +
                                   at("prefix/libexec/opencloc/opencloc-tensors")));
  EXPECT_EQ(alone.err.find('\n'), alone.err.size() - 1);

  fs::create_directories(at("prefix/libexec/opencloc"));
  fs::create_symlink(OPENCLOC_TENSORS, at("prefix/libexec/opencloc/opencloc-tensors"));
  EXPECT_THAT(run(copy, "train --steps 1").err, HasSubstr("--data is required"));
  write_file(at("prefix/bin/opencloc-tensors"), "no program");
  EXPECT_THAT(run(copy, "train --steps 1").err, HasSubstr("cannot be started"));
}

TEST_F(ThinTest, TheWholeProgramDoesAllByItself) {
  EXPECT_EQ(run(OPENCLOC_TENSORS, "--version").out, run_binary("--version").out);
  EXPECT_EQ(run(OPENCLOC_TENSORS, "data scenes --count 2 --size 32 --out " + at("s")).exit_code, 0);
  EXPECT_EQ(run(OPENCLOC_TENSORS, "inspect --json " + at("s")).out,
            run_binary("inspect --json " + at("s")).out);
}

}  // namespace
}  // namespace opencloc
