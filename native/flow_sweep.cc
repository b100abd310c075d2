#include "flow_sweep.h"

#include "flow_dump.h"

namespace dfw {
namespace {

/** Dumps the whole table, one lock of the index a portion, as an audit of the index where none is under way. */
template <typename Visit, typename AfterPortion>
Failure dumpAudited(FlowIndex& index, Visit visit, AfterPortion afterPortion) {
  bool auditing;
  {
    auto guard = index.lock();
    auditing = index.beginAudit();
  }
  FlowDump dump;
  Failure failed = dump.begin();
  std::vector<Flow> flows;
  for (bool more = !failed; more && !failed;) {
    flows.clear();
    more = dump.portion([&](const nlmsghdr* message) {
      Flow flow;
      if (parseFlow(message, flow)) flows.push_back(flow);
    });
    {
      auto guard = index.lock();
      for (const Flow& flow : flows) {
        if (auditing) index.onDumped(flow);
        visit(flow);
      }
    }
    failed = afterPortion(flows);
  }
  if (!failed) failed = dump.error();
  if (auditing) {
    auto guard = index.lock();
    index.endAudit(!failed);
  }
  return failed;
}

/** `cap` flows end the search when `limited`, and are too many to answer with when not. */
Failure queryByDump(FlowIndex& index, const Selection& selection, size_t cap, bool limited, std::vector<Flow>& flows) {
  FlowDump dump;
  Failure failed = dump.begin();
  if (failed) return failed;
  bool tooMany = false;
  while (dump.portion([&](const nlmsghdr* message) {
    Flow flow;
    if (tooMany || !parseFlow(message, flow) || !selection.matches(flow) || !index.isOurs(flow)) return;
    if (flows.size() == cap) {
      tooMany = true;
      return;
    }
    flow.tuple = flow.zone = flow.id = nullptr;  // the message ends here
    flows.push_back(flow);
  })) {
    if (tooMany) break;
  }
  if (tooMany && !limited) return {E2BIG, "query"};
  return dump.error();
}

}  // namespace

Failure sweepLabels(FlowIndex& index, const IdSet& ids, const IdSet& known, SweepResult& result) {
  LabelClearer clearer;
  Failure failed = clearer.open();
  if (failed) return failed;
  const auto stale = [&](uint32_t word) { return word != 0 && (ids.contains(word) || (index.isRule(word) && !known.contains(word))); };
  failed = dumpAudited(
      index, [](const Flow&) {},
      [&](const std::vector<Flow>& flows) -> Failure {
        // The flows' attributes point into the dump's buffer, which holds until the next portion.
        std::vector<const Flow*> swept;
        for (const Flow& flow : flows) {
          ++result.scanned;
          const bool out = stale(flow.ruleOut), in = stale(flow.ruleIn);
          if (!out && !in) continue;
          Failure refused = clearer.clear(flow, out, in);
          if (refused) return refused;
          swept.push_back(&flow);
        }
        if (swept.empty()) return {};
        Failure refused = clearer.flush();
        if (refused) return refused;
        auto guard = index.lock();
        for (const Flow* flow : swept) index.onCleared(flow->key, stale(flow->ruleOut) ? flow->ruleOut : 0, stale(flow->ruleIn) ? flow->ruleIn : 0);
        return {};
      });
  result.cleared = clearer.cleared();
  return failed;
}

Failure ruleTotals(FlowIndex& index, RuleTotals& totals) {
  const auto turn = index.totalsTurn();
  {
    auto guard = index.lock();
    index.beginTotals();
  }
  const Failure failed = dumpAudited(
      index, [&](const Flow& flow) { index.countTotals(flow); }, [](const std::vector<Flow>&) -> Failure { return {}; });
  auto guard = index.lock();
  totals = index.endTotals();
  return failed;
}

Failure queryFlows(FlowIndex& index, const Selection& selection, size_t cap, std::vector<Flow>& flows) {
  const bool limited = selection.limit != 0 && selection.limit <= cap;
  if (FlowDump::isCheap()) return queryByDump(index, selection, limited ? selection.limit : cap, limited, flows);
  std::vector<FlowKey> keys;
  {
    auto guard = index.lock();
    // With a limit, some candidates may turn out gone or relabelled: take more of them than asked, and stop when enough were read.
    const bool all = index.candidates(selection, limited ? selection.limit * 2 + 4096 : cap, keys);
    if (!all && !limited) return {E2BIG, "query"};
  }
  FlowReader reader;
  Failure failed = reader.open();
  constexpr size_t kStep = 1024;
  for (size_t at = 0; !failed && at < keys.size() && !(limited && flows.size() >= selection.limit); at += kStep) {
    const size_t part = keys.size() - at < kStep ? keys.size() - at : kStep;
    failed = reader.read(keys.data() + at, part, [&](size_t, const nlmsghdr* message) {
      Flow flow;
      if (message == nullptr || !parseFlow(message, flow) || !selection.matches(flow)) return;
      flow.tuple = flow.zone = flow.id = nullptr;  // the message ends here
      if (!limited || flows.size() < selection.limit) flows.push_back(flow);
    });
  }
  return failed;
}

}  // namespace dfw
