// Which of a few texts fits a region of a picture best, and where the model would look for each.
//
//   describe_region MODEL_DIRECTORY PICTURE X0 Y0 X1 Y1 TEXT...
//
// Coordinates are in [0, 1] of the picture. Build it against an installed OpenCLOC:
//   cmake -S . -B build -DCMAKE_PREFIX_PATH=/where/opencloc/is/installed && cmake --build build
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <opencloc/api/opencloc.h>

namespace {

void describe(const std::string& model_directory, const std::string& picture,
              const opencloc::Box& box, const std::vector<std::string>& texts) {
  const auto model = opencloc::Model::load(model_directory);
  const auto scene = model.encode(opencloc::Image::read(picture));  // one pass, any number of boxes
  const auto region = scene.region(box);

  struct Answer {
    float score;
    std::string text;
    opencloc::Box where;
  };
  std::vector<Answer> answers;
  const auto embeddings = model.encode_text(texts);
  const auto places = scene.ground(embeddings);
  for (size_t i = 0; i < texts.size(); ++i) {
    answers.push_back({similarity(region, embeddings[i]), texts[i], places[i]});
  }
  std::sort(answers.begin(), answers.end(),
            [](const Answer& a, const Answer& b) { return a.score > b.score; });
  for (const auto& [score, text, where] : answers) {
    std::printf("%6.3f  \"%s\"  at (%.2f, %.2f, %.2f, %.2f)\n", score, text.c_str(), where.x0,
                where.y0, where.x1, where.y1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) {
    std::fprintf(stderr, "usage: describe_region MODEL_DIRECTORY PICTURE X0 Y0 X1 Y1 TEXT...\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<float>(std::atof(argv[i])); };
  try {
    describe(argv[1], argv[2], {number(3), number(4), number(5), number(6)},
             {argv + 7, argv + argc});
  } catch (const opencloc::Error& error) {
    std::fprintf(stderr, "describe_region: %s\n", error.what());
    return error.exit_code();
  }
  return 0;
}
