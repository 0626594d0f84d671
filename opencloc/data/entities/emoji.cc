#include <algorithm>

#include <spdlog/fmt/fmt.h>

#include "opencloc/data/entities/sources.h"
#include "opencloc/data/scenes/names.h"

namespace opencloc {

// Names of the emoji that scenes draw. "apple" is an alias of "red apple" and of "green apple".
void read_emoji_entities(const EntitySink& sink) {
  WordNetNouns nouns;
  if (!sink.options.wordnet.empty()) nouns = read_wordnet_nouns(sink.options.wordnet);
  for (const EmojiName& emoji : read_emoji_names(sink.options.source)) {
    Entity entity;
    entity.id = fmt::format("U+{:04X}", static_cast<uint32_t>(emoji.code_point));
    entity.name = emoji.name;
    entity.type = emoji.group;
    entity.popularity = 1;
    std::vector<EntityAlias> aliases = {{emoji.name}, {std::string(head_noun(emoji.name))}};
    if (const auto senses = nouns.senses.find(emoji.name); senses != nouns.senses.end()) {
      const auto fits = std::ranges::find_if(senses->second, [&](const auto& sense) {
        return type_fits_group(nouns.synsets[sense.synset].type, emoji.group);
      });
      if (fits != senses->second.end()) {
        const Synset& synset = nouns.synsets[fits->synset];
        entity.description = synset.gloss;
        for (const auto& word : synset.words) aliases.push_back({word});
      } else {
        sink.leave_out("descriptions: WordNet means another kind of thing");
      }
    }
    sink.add(entity, aliases, sink.options.source.string() + " " + entity.id);
  }
}

}  // namespace opencloc
