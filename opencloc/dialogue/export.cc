#include "opencloc/dialogue/export.h"

#include <memory>
#include <set>
#include <system_error>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/dialogue/layout.h"

namespace opencloc {
namespace {

namespace fs = std::filesystem;

const char* name_of(ExportFormat format) {
  switch (format) {
    case ExportFormat::kFerret:
      return "ferret";
    case ExportFormat::kLlava:
      return "llava";
    case ExportFormat::kQwen:
      return "qwen";
    case ExportFormat::kInternvl:
      return "internvl";
  }
  return "";
}

const char* name_of(Frame frame) {
  switch (frame) {
    case Frame::kFerret:
      return "pixels of the picture; Ferret makes thousandths of them";
    case Frame::kLlava:
      return "hundredths of the picture padded to a square";
    case Frame::kQwen25:
      return "pixels of the picture as Qwen2.5-VL resizes it";
    case Frame::kQwen2:
    case Frame::kQwen3:
    case Frame::kInternvl:
      return "thousandths of the picture";
  }
  return "";
}

// Conversations of one file: a JSON list, or a line each.
class ConversationFile {
 public:
  explicit ConversationFile(const fs::path& path)
      : file_(path), lines_(path.extension() == ".jsonl") {}
  void write(const Json& one) {
    if (!lines_) file_.write(count_ == 0 ? "[\n" : ",\n");
    file_.write(dump_json(one));
    if (lines_) file_.write("\n");
    ++count_;
  }
  int64_t commit() {
    if (!lines_) file_.write(count_ == 0 ? "[]\n" : "\n]\n");
    file_.commit();
    return count_;
  }

 private:
  AtomicFile file_;
  const bool lines_;
  int64_t count_ = 0;
};

class Exporter {
 public:
  Exporter(const std::vector<std::string>& shards, fs::path folder, const ExportOptions& options,
           SkipCounter& skips)
      : shards_(shards), folder_(std::move(folder)), options_(options), skips_(skips) {}

  void add(Pictured&& picture) {
    std::vector<Dialogue> dialogues = dialogues_of(picture);
    if (dialogues.empty()) {
      skips_.add(skip::kNoDialogue, picture.name);
      return;
    }
    ExportedPicture out{
        picture.record.key, file_name(picture.record), {picture.width, picture.height}};
    int64_t written = 0;
    if (options_.join) {
      written += write("", dialogues, out, picture.name);
    } else {
      for (size_t i = 0; i < dialogues.size(); ++i) {
        ExportedPicture one = out;
        one.id += "_" + std::to_string(i);
        written += write(dialogues[i].task, {dialogues[i]}, one, picture.name);
      }
    }
    if (written == 0) return;
    const fs::path target = folder_ / "images" / out.file;
    fs::create_directories(target.parent_path());
    AtomicFile image(target);
    image.write(picture.record.image);
    image.commit();
    taken_.insert(out.file);
    ++report_.pictures;
  }

  ExportReport finish() {
    for (auto& [name, file] : files_) report_.files[name] = file->commit();
    if (maker_) report_.made = maker_->counts();
    Json about = {
        {"format", name_of(options_.format)},
        {"coordinates",
         name_of(options_.format == ExportFormat::kFerret ? Frame::kFerret : options_.frame.frame)},
        {"pictures", report_.pictures},
        {"conversations", report_.conversations},
        {"questions", report_.questions}};
    if (options_.format == ExportFormat::kQwen && options_.frame.frame == Frame::kQwen25) {
      about["min_pixels"] = options_.frame.min_pixels;
      about["max_pixels"] = options_.frame.max_pixels;
    }
    for (const auto& [name, count] : report_.files) about["files"][name] = count;
    write_file(folder_ / "export.json", dump_json(about, 2) + "\n");
    if (options_.format == ExportFormat::kInternvl) write_meta();
    return report_;
  }

 private:
  // Those of the record; where it has none, made as `data dialogues` makes them.
  std::vector<Dialogue> dialogues_of(const Pictured& picture) {
    if (picture.record.extra.contains(kDialogues))
      return read_dialogues(picture.record, picture.name, skips_);
    if (!maker_) {
      const DialogueRun& make = options_.make;
      if (!make.templates.empty()) templates_ = Templates(make.templates);
      vocabulary_ = collect_vocabulary(shards_, make.shards);
      maker_ = std::make_unique<DialogueMaker>(vocabulary_, templates_, make.maker);
    }
    return maker_->make(picture.record, picture.place, picture.name, skips_);
  }

  // 1 when it was written, 0 when the trainer would refuse it.
  int64_t write(const std::string& task, const std::vector<Dialogue>& dialogues,
                const ExportedPicture& picture, const std::string& name) {
    Json one;
    try {
      one = conversation(dialogues, picture, options_);
    } catch (const BadSample& bad) {
      skips_.add(bad);
      return 0;
    } catch (const Error& error) {  // a picture that Qwen does not take
      skips_.add(skip::kBadImage, name, error.what());
      return 0;
    }
    const std::string file = file_of_task(options_.format, task);
    auto& out = files_[file];
    if (!out) out = std::make_unique<ConversationFile>(folder_ / file);
    out->write(one);
    ++report_.conversations;
    for (const Dialogue& dialogue : dialogues)
      report_.questions += static_cast<int64_t>(dialogue.turns.size());
    return 1;
  }

  // A name that no picture has yet: keys of different shards may be the same.
  std::string file_name(const Record& record) const {
    std::string name = record.key + "." + record.extension;
    for (int copy = 1; taken_.contains(name); ++copy)
      name = record.key + "-" + std::to_string(copy) + "." + record.extension;
    return name;
  }

  // InternVL is given a file that names the data sets.
  void write_meta() {
    Json meta = Json::object();
    for (const auto& [name, count] : report_.files) {
      meta["opencloc"] = {{"root", "images/"},
                          {"annotation", name},
                          {"data_augment", false},
                          {"repeat_time", 1},
                          {"length", count}};
    }
    write_file(folder_ / "meta.json", dump_json(meta, 2) + "\n");
  }

  const std::vector<std::string>& shards_;
  const fs::path folder_;
  const ExportOptions& options_;
  SkipCounter& skips_;
  std::map<std::string, std::unique_ptr<ConversationFile>> files_;
  std::set<std::string> taken_;
  ExportReport report_;
  Templates templates_;
  Vocabulary vocabulary_;
  std::unique_ptr<DialogueMaker> maker_;
};

}  // namespace

Frame default_frame(ExportFormat format) {
  switch (format) {
    case ExportFormat::kFerret:
      return Frame::kFerret;
    case ExportFormat::kLlava:
      return Frame::kLlava;
    case ExportFormat::kQwen:
      return Frame::kQwen25;
    case ExportFormat::kInternvl:
      return Frame::kInternvl;
  }
  return Frame::kFerret;
}

ExportReport export_dialogues(const std::vector<std::string>& shards, const fs::path& folder,
                              bool overwrite, const ExportOptions& options, SkipCounter& skips) {
  std::error_code ignored;  // what is not there is empty
  if (!overwrite && fs::exists(folder, ignored) && !fs::is_empty(folder, ignored)) {
    throw Error::input("the folder is not empty", folder.string(),
                       "name another one, or use the setting 'overwrite'");
  }
  ExportReport report;
  write_folder(folder, [&](const fs::path& inside) {
    Exporter exporter(shards, inside, options, skips);
    for_each_picture(shards, options.make.shards, options.make.threads, skips,
                     [&](Pictured&& picture) {
                       exporter.add(std::move(picture));
                       if (options.make.progress) options.make.progress();
                     });
    report = exporter.finish();
    if (report.conversations == 0) {
      throw Error::input("no sample has a dialogue that can be used", "setting 'data'",
                         "make some with 'opencloc data dialogues'");
    }
  });
  return report;
}

}  // namespace opencloc
