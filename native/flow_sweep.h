// Work over the whole conntrack table that ends in numbers: clearing stale label words, and sums by rule.
#pragma once
#include <cstdint>

#include "flow_index.h"
#include "failure.h"

namespace dfw {

struct SweepResult {
  uint64_t scanned = 0, cleared = 0;
};

/** Clears word 2 or 3 of every flow where it is in `ids`, or is neither 0, nor in `known`, nor a not-applicable id. Also audits the index. */
Failure sweepLabels(FlowIndex& index, const IdSet& ids, const IdSet& known, SweepResult& result);

/** Sums by rule, live (one dump) and ended. Calls wait for each other. Also audits the index. */
Failure ruleTotals(FlowIndex& index, RuleTotals& totals);

/** Fresh records of the flows that match, at most selection.limit (0 = no limit); E2BIG over `cap`. */
Failure queryFlows(FlowIndex& index, const Selection& selection, size_t cap, std::vector<Flow>& flows);

}  // namespace dfw
