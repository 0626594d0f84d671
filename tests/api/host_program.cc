// host_program PLUGIN MAKE_TINY_MODEL: a program that draws random numbers and runs a convolution
// (which libtorch gives to oneDNN) before OpenCLOC is loaded into it, and afterwards.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <dlfcn.h>
#include <torch/utils.h>

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string folder = (fs::temp_directory_path() / "opencloc-host-XXXXXX").string();
  if (::mkdtemp(folder.data()) == nullptr) return 2;
  const auto fail = [&](const std::string& what) {
    std::fprintf(stderr, "host_program: %s\n", what.c_str());
    fs::remove_all(folder);
    return 1;
  };
  if (std::system(("'" + std::string(argv[2]) + "' '" + folder + "'").c_str()) != 0)
    return fail("no model could be made");

  const auto convolve = [] {
    return torch::conv2d(torch::ones({8, 64, 32, 32}), torch::ones({64, 64, 3, 3}));
  };
  const auto before = convolve();
  torch::manual_seed(7);
  const auto drawn = torch::randn({4});

  void* plugin = ::dlopen(argv[1], RTLD_NOW);
  if (plugin == nullptr) return fail(::dlerror());
  const auto use =
      reinterpret_cast<const char* (*)(const char*)>(::dlsym(plugin, "use_model_late"));
  if (use == nullptr) return fail(::dlerror());
  torch::manual_seed(7);
  if (const std::string said = use((folder + "/model").c_str()); !said.empty()) return fail(said);
  if (!torch::randn({4}).equal(drawn)) return fail("the library drew from the host's generator");
  if (!convolve().equal(before)) return fail("the host's convolution changed");
  fs::remove_all(folder);
  return 0;
}
