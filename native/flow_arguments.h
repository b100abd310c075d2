// What JS asks for: FlowQuery and FlowFormat of src/native/binding.ts.
#pragma once
#include <napi.h>

#include "flow_format.h"
#include "flow_index.h"

namespace dfw {

/** False when an address does not parse. Without an object, everything is asked for. */
bool selectionOf(const Napi::Value& value, Selection& selection);
/** False when it is no object or an address does not parse. */
bool formatOf(const Napi::Value& value, const Selection& selection, FormatOptions& options);

}  // namespace dfw
