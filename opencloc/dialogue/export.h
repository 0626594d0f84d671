// Dialogues in the files that other trainers read, with the pictures beside them, and every box in
// the frame of coordinates that the trainer's model sees (docs/reference/dialogues.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "opencloc/dialogue/frame.h"
#include "opencloc/dialogue/make_dialogues.h"

namespace opencloc {

enum class ExportFormat { kFerret, kLlava, kQwen, kInternvl };

struct ExportOptions {
  ExportFormat format = ExportFormat::kLlava;
  FrameOptions frame = {.frame = Frame::kLlava};  // of the coordinates; kFerret's writes pixels
  // All questions about a picture are one conversation. An earlier answer may then give a later one
  // away. Otherwise each dialogue is a conversation.
  bool join = false;
  // For records that have no dialogues.
  DialogueRun make = {};
};

struct ExportReport {
  int64_t pictures = 0;
  int64_t conversations = 0;
  int64_t questions = 0;
  std::map<std::string, int64_t> files;  // name -> conversations
  std::map<std::string, int64_t> made;   // questions that were made here, by task
};

// The frame of a format; kQwen has three (Qwen2-VL, Qwen2.5-VL, Qwen3-VL), and this is the second.
Frame default_frame(ExportFormat format);

// Fills the folder, which must not exist or be empty unless `overwrite`; it appears whole or not at
// all:
//   images/KEY.jpg     the stored bytes
//   ...                the trainer's files, named in ExportReport::files
//   export.json        what was written, and with which settings
// Broken dialogues are counted by reason and left out. Error (input) when nothing came out.
ExportReport export_dialogues(const std::vector<std::string>& shards,
                              const std::filesystem::path& folder, bool overwrite,
                              const ExportOptions& options, SkipCounter& skips);

}  // namespace opencloc
