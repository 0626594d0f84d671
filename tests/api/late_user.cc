// A plugin that uses the library, loaded by host_program.cc after libtorch has used oneDNN.
#include <string>
#include <thread>

#include "opencloc/api/opencloc.h"

// Loads the model twice, on two threads at once; an empty text when both work and agree.
extern "C" const char* use_model_late(const char* directory) {
  static std::string said;
  opencloc::Image picture(60, 40);
  for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = (i * 37) % 251;
  float similar[2] = {};
  std::string errors[2];
  const auto use = [&](int thread) {
    try {
      const auto model = opencloc::Model::load(directory, {.device = "cpu"});
      const auto region = model.encode(picture).region({0.1f, 0.2f, 0.6f, 0.9f});
      similar[thread] = similarity(region, model.encode_text("a red car"));
    } catch (const std::exception& error) {
      errors[thread] = error.what();
    }
  };
  std::thread first(use, 0), second(use, 1);
  first.join();
  second.join();
  said = errors[0] + errors[1];
  if (said.empty() && similar[0] != similar[1]) said = "two models of one directory differ";
  return said.c_str();
}
