// What importers of XML share: elements by name, their text and their numbers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <libxml/tree.h>

namespace opencloc {

struct FreeXml {
  void operator()(xmlDoc* doc) const { xmlFreeDoc(doc); }
};
using XmlDocument = std::unique_ptr<xmlDoc, FreeXml>;

bool xml_is_called(const xmlNode* node, std::string_view name);
// The first element of this name in `node`; null where there is none, or no node.
const xmlNode* xml_child(const xmlNode* node, std::string_view name);
// The text of an element without the blanks around it; "" for null.
std::string xml_text(const xmlNode* node);
// False (and 0) unless the text is a number.
bool xml_number(const xmlNode* node, double& value);

}  // namespace opencloc
