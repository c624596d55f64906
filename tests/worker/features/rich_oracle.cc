#include "tests/worker/features/rich_oracle.h"

#include <algorithm>

namespace perfvec::compute {
namespace {

using trace::Register;
using trace::StaticInstruction;

constexpr double kFirst = 1e8, kFar = 1e6;

int Latency(int op) {
  static const std::map<int, int> kCycles = {
      {2, 3},   {3, 12}, {4, 3},   {5, 2},  {6, 3},  {7, 4},   {8, 5},
      {9, 12},  {10, 3}, {11, 18}, {12, 2}, {13, 3}, {14, 2},  {15, 2},
      {16, 3},  {17, 2}, {18, 4},  {19, 4}, {20, 2}, {21, 3},  {22, 12},
      {23, 18}, {24, 3}, {25, 3},  {26, 3}, {27, 3}, {28, 12}, {29, 3},
      {30, 4},  {31, 5}, {32, 18}, {33, 4}, {34, 4}, {35, 4},  {36, 4},
      {37, 4},  {38, 3}, {39, 3},  {40, 3}, {41, 3}, {42, 3},  {43, 3},
      {44, 3},  {45, 3}, {46, 2},  {47, 3}, {49, 3}, {51, 3}};
  const auto it = kCycles.find(op);
  return it == kCycles.end() ? 1 : it->second;
}

bool Waited(Register r) {
  return r.register_class != 6 &&
         !(r.register_class == 0 && (r.index == 31 || r.index == 34));
}

bool Has(const StaticInstruction& s, uint32_t flag) {
  return (s.flags & flag) != 0;
}

bool Names(const Register* registers, int count, int index) {
  return std::any_of(registers, registers + count, [&](Register r) {
    return r.register_class == 0 && r.index == index;
  });
}

bool IsCall(const StaticInstruction& s) {
  return Has(s, trace::kUnconditionalBranch) &&
         Names(s.destinations.data(), s.destination_count, 30);
}
bool IsReturn(const StaticInstruction& s) {
  return Has(s, trace::kUnconditionalBranch) && !Has(s, trace::kDirectBranch) &&
         Names(s.sources.data(), s.source_count, 30) && !IsCall(s);
}
bool IsIndirect(const StaticInstruction& s) {
  return Has(s, trace::kUnconditionalBranch | trace::kConditionalBranch) &&
         !Has(s, trace::kDirectBranch);
}

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 27)) * 0x3c79ac492ba7b653u;
  x = (x ^ (x >> 33)) * 0x1c69b3f74ac4ae35u;
  return x ^ (x >> 27);
}

}  // namespace

const RichOracle::MachineDefinition RichOracle::kMachines[12] = {
    {"growth_w16", 16, 1, false, -1, 0, {3, 3, 3}, 0, 0},
    {"growth_w64", 64, 1, false, -1, 0, {3, 3, 3}, 0, 0},
    {"growth_w256", 256, 1, false, -1, 0, {3, 3, 3}, 0, 0},
    {"growth_w128_memory", 128, 1, false, -1, 1, {3, 12, 100}, 0, 0},
    {"growth_in_order", 16, 2, true, -1, 0, {3, 3, 3}, 0, 0},
    {"growth_w64_branches", 64, 1, false, 8, 0, {3, 3, 3}, 0, 0},
    {"growth_in_order_full", 16, 2, true, 6, 2, {2, 12, 100}, 6, 8},
    {"growth_w32_full", 32, 1, false, 8, 3, {3, 12, 150}, 10, 16},
    {"growth_w128_full", 128, 1, false, 12, 2, {3, 12, 100}, 6, 32},
    {"growth_w128_slow", 128, 1, false, 12, 3, {3, 15, 300}, 16, 32},
    {"growth_in_order_slow", 16, 2, true, 6, 3, {2, 15, 300}, 16, 8},
    {"growth_dataflow", 0, 0, false, -1, 0, {3, 3, 3}, 0, 0},
};

double RichOracle::Touch(Stack* stack, uint64_t line, double cap) {
  const auto it = std::find(stack->begin(), stack->end(), line);
  const bool first = it == stack->end();
  const double distance = first ? cap : 1.0 + (it - stack->begin());
  if (!first) stack->erase(it);
  stack->insert(stack->begin(), line);
  return std::min(distance, cap);
}

double RichOracle::TouchSet(std::map<uint64_t, Stack>* sets, uint64_t count,
                            uint64_t line) {
  return Touch(&(*sets)[line % count], line, 33);
}

std::map<std::string, double> RichOracle::Next(const StaticInstruction& s,
                                               uint64_t address, bool taken) {
  const bool has_address = Has(s, trace::kHasAddress);
  const bool load = has_address && s.op_class == 47;
  trace_.push_back({s, address, taken, load, has_address && !load, 0,
                    std::clamp<uint64_t>(s.access_size, 1, 64)});
  fetch_levels_ = data_levels_ = {};
  forwarding_.reset();
  redirected_ = false;
  std::map<std::string, double> row;
  Dependences(&row);
  Fetch(&row);
  Data(&row);
  Control(&row);
  Run(&row);
  RunCores(&row);
  return row;
}

void RichOracle::Dependences(std::map<std::string, double>* row) {
  const int64_t now = trace_.size() - 1;
  const StaticInstruction& s = trace_[now].s;
  std::vector<std::pair<double, bool>> producers;
  for (int k = 0; k < s.source_count; ++k) {
    const Register r = s.sources[k];
    if (!Waited(r)) continue;
    for (int64_t i = now - 1; i >= 0; --i) {
      const StaticInstruction& p = trace_[i].s;
      if (std::count(p.destinations.begin(),
                     p.destinations.begin() + p.destination_count, r) > 0) {
        producers.push_back({std::min<double>(now - i, kFar), trace_[i].load});
        break;
      }
    }
  }
  std::sort(producers.begin(), producers.end());
  producers.resize(3);
  for (int k = 0; k < 3; ++k) {
    (*row)["producer_" + std::to_string(k) + "_instructions"] =
        producers[k].first;
  }
  (*row)["nearest_producer_load"] = producers[0].second;
  (*row)["any_producer_load"] =
      producers[0].second || producers[1].second || producers[2].second;

  double ago = 0;
  bool full = false;
  if (trace_[now].load) {
    ago = 1000;
    const uint64_t a = trace_[now].address, n = trace_[now].bytes;
    for (int64_t i = now - 1; i >= 0 && i > now - 1000; --i) {
      const Executed& e = trace_[i];
      if (!e.store) continue;
      auto written = [&](uint64_t byte) { return byte - e.address < e.bytes; };
      uint64_t bytes = 0;
      for (uint64_t k = 0; k < n; ++k) bytes += written(a + k);
      if (bytes == 0) continue;
      ago = now - i;
      full = bytes == n;
      forwarding_ = i;
      break;
    }
  }
  (*row)["store_forward_instructions"] = ago;
  (*row)["store_forward_full"] = full;
}

void RichOracle::Fetch(std::map<std::string, double>* row) {
  const size_t now = trace_.size() - 1;
  const uint64_t pc = trace_[now].s.pc;
  double unified = 1, page = 1, set_64 = 1, set_1024 = 1;
  if (now == 0 || trace_[now - 1].s.pc / 64 != pc / 64) {
    unified = Touch(&unified_, pc / 64, kFirst);
    page = Touch(&fetch_pages_, pc / 4096, kFirst);
    set_64 = TouchSet(&fetch_64_, 64, pc / 64);
    set_1024 = TouchSet(&unified_1024_, 1024, pc / 64);
    fetch_levels_.of[2] = set_64 <= 8 ? 0 : set_1024 <= 16 ? 1 : 2;
    fetch_levels_.of[3] = set_64 <= 4 ? 0 : set_1024 <= 4 ? 1 : 2;
  }
  (*row)["unified_fetch_stack_distance"] = unified;
  (*row)["fetch_page_stack_distance"] = page;
  (*row)["fetch_set_distance_64"] = set_64;
  (*row)["unified_fetch_set_distance_1024"] = set_1024;
}

void RichOracle::Data(std::map<std::string, double>* row) {
  const int64_t now = trace_.size() - 1;
  Executed& me = trace_[now];
  // Pressure of what came before.
  double loads = 0, stores = 0, near = 0, far = 0;
  for (int64_t i = std::max<int64_t>(0, now - 64); i < now; ++i) {
    loads += trace_[i].load;
    stores += trace_[i].store;
    near += trace_[i].data_level_large > 0;
    far += trace_[i].data_level_large > 1;
  }
  (*row)["loads_in_64"] = loads;
  (*row)["stores_in_64"] = stores;
  (*row)["near_misses_in_64"] = near;
  (*row)["far_misses_in_64"] = far;
  double since_far = 1000;
  for (int64_t i = now - 1; i >= 0 && i > now - 1000; --i) {
    if (trace_[i].load && trace_[i].data_level_large == 2) {
      since_far = now - i;
      break;
    }
  }
  (*row)["instructions_since_far_load"] = since_far;
  for (const char* name :
       {"data_stack_distance", "unified_data_stack_distance",
        "data_page_stack_distance", "data_set_distance_64",
        "data_set_distance_256", "unified_data_set_distance_1024",
        "access_bytes", "crosses_line", "stride_bytes", "stride_repeats",
        "stride_backward", "instructions_since_line_before",
        "instructions_since_line_after"}) {
    (*row)[name] = 0;
  }
  if (!me.load && !me.store) return;
  const uint64_t line = me.address / 64;
  const double distance = Touch(&data_, line, kFirst);
  const double set_64 = TouchSet(&data_64_, 64, line);
  const double set_1024 = TouchSet(&unified_1024_, 1024, line);
  (*row)["data_stack_distance"] = distance;
  (*row)["unified_data_stack_distance"] = Touch(&unified_, line, kFirst);
  (*row)["data_page_stack_distance"] =
      Touch(&data_pages_, me.address / 4096, kFirst);
  (*row)["data_set_distance_64"] = set_64;
  (*row)["data_set_distance_256"] = TouchSet(&data_256_, 256, line);
  (*row)["unified_data_set_distance_1024"] = set_1024;
  data_levels_.of[1] = distance <= 512 ? 0 : distance <= 8192 ? 1 : 2;
  data_levels_.of[2] = set_64 <= 8 ? 0 : set_1024 <= 16 ? 1 : 2;
  data_levels_.of[3] = set_64 <= 4 ? 0 : set_1024 <= 4 ? 1 : 2;
  me.data_level_large = data_levels_.of[2];
  (*row)["access_bytes"] = std::min<double>(me.s.access_size, 4096);
  (*row)["crosses_line"] = me.address % 64 + me.s.access_size > 64;

  std::vector<uint64_t> before;  // addresses of this site, newest first
  double line_before = kFar, line_after = kFar;
  for (int64_t i = now - 1; i >= 0; --i) {
    const Executed& e = trace_[i];
    if (!e.load && !e.store) continue;
    if (e.s == me.s) before.push_back(e.address);
    if (line != 0 && e.address / 64 == line - 1) {
      line_before = std::min<double>(line_before, now - i);
    }
    if (e.address / 64 == line + 1) {
      line_after = std::min<double>(line_after, now - i);
    }
  }
  (*row)["instructions_since_line_before"] = line_before;
  (*row)["instructions_since_line_after"] = line_after;
  if (before.empty()) {
    (*row)["stride_bytes"] = 1099511627776.0;
    return;
  }
  const auto stride = static_cast<int64_t>(me.address - before[0]);
  (*row)["stride_backward"] = stride < 0;
  (*row)["stride_bytes"] = std::min(
      1099511627776.0,
      static_cast<double>(static_cast<float>(
          stride < 0 ? -static_cast<double>(stride) : double(stride))));
  int repeats = 0;
  for (size_t k = 0; k + 1 < before.size() && repeats < 8; ++k) {
    if (static_cast<int64_t>(before[k] - before[k + 1]) != stride) break;
    ++repeats;
  }
  (*row)["stride_repeats"] = repeats;
}

bool RichOracle::Predict(std::map<uint64_t, int>* counters, uint64_t index,
                         bool taken) {
  int& counter = (*counters)[index];  // -1 to 2, starts at 0
  const bool wrong = (counter > 0) != taken;
  counter = std::clamp(counter + (taken ? 1 : -1), -1, 2);
  return wrong;
}

void RichOracle::Control(std::map<std::string, double>* row) {
  const int64_t now = trace_.size() - 1;
  const StaticInstruction& s = trace_[now].s;
  const bool taken = trace_[now].taken;
  bool changed = false, path_wrong = false, return_wrong = false;
  redirected_ = direction_wrong_;
  const bool after_taken = now > 0 && trace_[now - 1].taken;
  if (after_taken) {
    const StaticInstruction& p = trace_[now - 1].s;
    changed = true;
    for (int64_t i = now - 2; i >= 0; --i) {
      if (trace_[i].s == p && trace_[i].taken) {
        changed = trace_[i + 1].s.pc != s.pc;
        break;
      }
    }
    const uint64_t index = Mix(Mix(p.pc) + path_) >> 48;
    const auto it = path_targets_.find(index);
    path_wrong = it == path_targets_.end() || it->second != s.pc;
    path_targets_[index] = s.pc;
    path_ = path_ << 16 | (s.pc / 4 % 65536);
    if (IsReturn(p)) {
      return_wrong = returns_.empty() || returns_.back() != s.pc;
      if (!returns_.empty()) returns_.pop_back();
      redirected_ = redirected_ || return_wrong;
    } else if (IsIndirect(p)) {
      redirected_ = redirected_ || path_wrong;
    }
  }
  target_changed_ = changed;
  for (int k = 0; k < 3; ++k) {
    core_wrong_[k] =
        next_wrong_[k] ||
        (after_taken && IsReturn(trace_[now - 1].s) && return_wrong) ||
        (after_taken && !IsReturn(trace_[now - 1].s) &&
         IsIndirect(trace_[now - 1].s) && path_wrong);
  }
  bool wrong[6] = {};
  if (Has(s, trace::kConditionalBranch)) {
    auto index = [&](uint64_t history, int bits) {
      return Mix(Mix(s.pc) + history % (uint64_t{1} << bits)) >> 44;
    };
    // A site is a static instruction: its number stands for it.
    int64_t site = now;
    for (int64_t i = 0; i < now; ++i) {
      if (trace_[i].s == s) {
        site = i;
        break;
      }
    }
    wrong[0] = Predict(&bimodal_, site, taken);
    wrong[1] = Predict(&global_[0], index(history_, 8), taken);
    wrong[2] = Predict(&global_[1], index(history_, 16), taken);
    wrong[3] = Predict(&global_[2], index(history_, 32), taken);
    wrong[4] = Predict(&local_, index(local_history_[site], 10), taken);
    wrong[5] = chooser_[site] > 0 ? wrong[2] : wrong[4];
    if (wrong[2] != wrong[4]) Predict(&chooser_, site, wrong[4]);
    history_ = history_ * 2 + taken;
    local_history_[site] = local_history_[site] * 2 + taken;
  }
  direction_wrong_ = wrong[5];
  next_wrong_[0] = wrong[5];
  next_wrong_[1] = wrong[0];
  next_wrong_[2] = wrong[2];
  if (IsCall(s) && taken) {
    returns_.push_back(s.pc + 4);
    if (returns_.size() > 32) returns_.erase(returns_.begin());
  }
  const char* names[] = {"bimodal",   "global_8", "global_16",
                         "global_32", "local_10", "tournament"};
  for (int k = 0; k < 6; ++k) {
    (*row)[std::string("mispredicted_") + names[k]] = wrong[k];
  }
  (*row)["target_changed"] = changed;
  (*row)["target_mispredicted"] = path_wrong;
  (*row)["return_mispredicted"] = return_wrong;
  double since = kFar, taken_16 = 0;
  for (int64_t i = 0; i < now; ++i) {
    if (trace_[i].s == s) since = std::min<double>(kFar, now - i);
    if (i >= now - 16) taken_16 += trace_[i].taken;
  }
  (*row)["instructions_since_executed"] = since;
  (*row)["after_taken"] = after_taken;
  (*row)["taken_in_16"] = taken_16;
  (*row)["line_offset"] = s.pc / 4 % 16;
}

void RichOracle::Run(std::map<std::string, double>* row) {
  const size_t now = trace_.size() - 1;
  const Executed& e = trace_[now];
  const StaticInstruction* before = now > 0 ? &trace_[now - 1].s : nullptr;
  const bool serialize =
      Has(e.s, trace::kSerializeBefore) ||
      (before != nullptr &&
       Has(*before, trace::kSerializeAfter | trace::kSquashAfter));
  for (int k = 0; k < 12; ++k) {
    const MachineDefinition& d = kMachines[k];
    Machine& m = machines_[k];
    const bool full = d.queue > 0, dataflow = d.step == 0;
    const int fetch_level = full ? fetch_levels_.of[d.caches] : 0;
    const int data_level = data_levels_.of[d.caches];
    auto channel = [&](int64_t from) {
      const int64_t turn = std::max(m.channel, from);
      m.channel = turn + 4 * d.channel;
      return turn;
    };
    int64_t fetch = m.fetched + d.step;
    if (now >= d.window && !dataflow) {
      fetch = std::max(fetch, m.retire[now - d.window]);
    }
    if (redirected_ && d.refill >= 0) {
      fetch = std::max(fetch, m.finish + 4 * d.refill);
    }
    if (serialize && full) fetch = std::max(fetch, m.retired);
    if (fetch_level == 2) fetch = channel(fetch);
    if (fetch_level > 0) fetch += 4 * d.latency[fetch_level];
    if (full && e.store && m.exits.size() >= size_t(d.queue)) {
      fetch = std::max(fetch, m.exits[m.exits.size() - d.queue]);
    }
    if (dataflow) fetch = 0;
    int64_t issue = fetch;
    for (int r = 0; r < e.s.source_count; ++r) {
      const Register source = e.s.sources[r];
      if (!Waited(source)) continue;
      issue =
          std::max(issue, m.registers[{source.register_class, source.index}]);
    }
    if (forwarding_) issue = std::max(issue, m.stores[*forwarding_]);
    m.fetched = d.in_order ? issue : fetch;
    int64_t start = issue;
    if (e.load && full && data_level == 2) {
      start = std::max(start, channel(fetch));
    }
    m.finish =
        start + 4 * (e.load ? d.latency[data_level] : Latency(e.s.op_class));
    for (int r = 0; r < e.s.destination_count; ++r) {
      const Register to = e.s.destinations[r];
      m.registers[{to.register_class, to.index}] = m.finish;
    }
    m.retired = std::max(m.retired + d.step, m.finish);
    m.retire.push_back(m.retired);
    int64_t out = std::max(m.out, m.retired);
    if (e.store) {
      m.stores[now] = m.finish;
      if (full) {
        int64_t left = m.retired;
        if (data_level == 2) left = std::max(left, channel(fetch));
        left += 4 * (data_level == 0 ? 1 : d.latency[data_level]);
        if (!m.exits.empty()) left = std::max(left, m.exits.back());
        m.exits.push_back(left);
        out = std::max(out, left);
      }
    }
    (*row)[d.name] = std::min<double>(out - m.out, kFar);
    m.out = out;
    const std::string name = d.name + 7;
    const double wait = std::min<double>(m.finish - fetch, kFar);
    const double slack = std::min<double>(m.retired - m.finish, kFar);
    if (name == "w64" || name == "w128_full") {
      (*row)["wait_" + name] = wait;
      (*row)["slack_" + name] = slack;
    }
    if (name == "dataflow") (*row)["slack_dataflow"] = slack;
  }
}

}  // namespace perfvec::compute
