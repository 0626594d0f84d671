#include "opencloc/dialogue/make_dialogues.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/parallel_for.h"
#include "opencloc/base/text_file.h"
#include "opencloc/image/image.h"

namespace opencloc {

void for_each_picture(const std::vector<std::string>& shards, const ShardOptions& options,
                      int threads, SkipCounter& skips,
                      const std::function<void(Pictured&&)>& visit) {
  const auto chunk = static_cast<size_t>(16 * std::max(1, threads));
  uint64_t place = 0;
  for (const std::string& path : shards) {
    ShardReader reader(path, skips, options);
    for (bool more = true; more;) {
      std::vector<Pictured> batch;
      while (batch.size() < chunk) {
        Record record;
        more = reader.next(record);
        if (!more) break;
        batch.push_back({std::move(record), reader.name(), 0, 0, 0});
      }
      std::vector<ImageInfo> infos(batch.size());
      parallel_for(static_cast<int64_t>(batch.size()), threads, [&](int64_t i) {
        const auto at = static_cast<size_t>(i);
        infos[at] = probe_image(batch[at].record.image);
      });
      for (size_t i = 0; i < batch.size(); ++i) {
        if (!infos[i].ok) {
          skips.add(skip::kBadImage, batch[i].name, infos[i].error);
          continue;
        }
        batch[i].place = place++;
        batch[i].width = infos[i].width;
        batch[i].height = infos[i].height;
        visit(std::move(batch[i]));
      }
    }
  }
}

std::map<std::string, int64_t> make_dialogues(const std::vector<std::string>& shards,
                                              const DialogueRun& run, ShardSetWriter& out,
                                              SkipCounter& skips) {
  const Templates templates = run.templates.empty() ? Templates() : Templates(run.templates);
  const Vocabulary vocabulary = collect_vocabulary(shards, run.shards);
  DialogueMaker maker(vocabulary, templates, run.maker);
  ShardOptions options = run.shards;
  options.keep_other_members = true;
  for_each_picture(shards, options, run.threads, skips, [&](Pictured&& picture) {
    const auto dialogues = maker.make(picture.record, picture.place, picture.name, skips);
    if (dialogues.empty()) {
      skips.add(skip::kNoDialogue, picture.name);
    } else {
      set_dialogues(dialogues, picture.record);
      out.write(picture.record);
    }
    if (run.progress) run.progress();
  });
  if (out.samples() == 0) {
    throw Error::input("no sample has anything to ask about", "setting 'data'",
                       "label the pictures first ('opencloc label'), or import their boxes");
  }
  return maker.counts();
}

std::map<std::string, double> parse_mix(const std::vector<std::string>& tasks) {
  std::map<std::string, double> mix;
  for (const std::string& entry : tasks) {
    const size_t colon = entry.find(':');
    const std::string task(trimmed(entry.substr(0, colon)));
    if (std::ranges::find(dialogue_tasks(), task) == dialogue_tasks().end()) {
      std::string names;
      for (const std::string& name : dialogue_tasks()) names += (names.empty() ? "" : ", ") + name;
      throw Error::input("unknown task '" + task + "'", "setting 'tasks'", "use some of " + names);
    }
    const auto weight = colon == std::string::npos ? std::optional<double>(1)
                                                   : parse_number(entry.substr(colon + 1));
    if (!weight || !(*weight > 0)) {
      throw Error::input("the weight of '" + task + "' is no number above 0", "setting 'tasks'",
                         "write it as refer:20");
    }
    mix[task] = *weight;
  }
  return mix;
}

}  // namespace opencloc
