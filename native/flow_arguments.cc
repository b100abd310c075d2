#include "flow_arguments.h"

#include <algorithm>
#include <vector>

#include "flow_napi.h"

namespace dfw {

bool selectionOf(const Napi::Value& value, Selection& selection) {
  if (!value.IsObject()) return true;
  const auto query = value.As<Napi::Object>();
  const Napi::Value addresses = query.Get("addresses"), rules = query.Get("ruleIds"), limit = query.Get("limit");
  selection.byAddress = addresses.IsArray();
  selection.byRule = rules.IsTypedArray();
  if (selection.byRule) selection.rules = IdSet(idsOf(rules));
  if (limit.IsNumber()) selection.limit = static_cast<uint64_t>(std::max(0.0, limit.As<Napi::Number>().DoubleValue()));
  return addressesOf(addresses, selection.addresses);
}

bool formatOf(const Napi::Value& value, const Selection& selection, FormatOptions& options) {
  if (!value.IsObject()) return false;
  const auto format = value.As<Napi::Object>();
  options.json = format.Get("kind").ToString().Utf8Value() == "json";
  const std::vector<uint32_t> labels = idsOf(format.Get("labelIds")), rules = idsOf(format.Get("ruleIds"));
  options.names = RuleNames(labels, rules);
  if (const Napi::Value policies = format.Get("policies"); policies.IsObject()) {
    const auto named = policies.As<Napi::Object>();
    options.names.setPolicies(bytesOf(named.Get("text")), labels, idsOf(named.Get("spans")));
  }
  options.byRule = selection.byRule;
  options.rules = selection.rules;
  const Napi::Value local = format.Get("localAddresses");
  options.byAddress = local.IsArray();
  return addressesOf(local, options.local);
}

}  // namespace dfw
