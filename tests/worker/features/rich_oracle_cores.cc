#include <algorithm>

#include "tests/worker/features/rich_oracle.h"
#include "worker/features/reference_core_table.h"

namespace perfvec::compute {
namespace {

constexpr int64_t kCycle = 24;
constexpr uint64_t kHash = 0x9e3779b97f4a7c15u;

int Cycles(const ReferenceCore& core, int op) {
  const int* u = kUnitLatencies[core.units];
  auto in = [op](std::initializer_list<int> all) {
    return std::count(all.begin(), all.end(), op) != 0;
  };
  if (in({2})) return u[0];
  if (in({3})) return u[1];
  if (in({4, 5, 6})) return u[2];
  if (in({7})) return u[3];
  if (in({8})) return u[4];
  if (in({9})) return u[5];
  if (in({10})) return u[6];
  if (in({11})) return u[7];
  if (in({22, 23, 28, 32})) return u[9] > 1 ? u[5] : 1;
  if (in({24, 25, 26, 27, 29, 30, 31, 36, 37})) return u[9];
  if (op >= 12 && op <= 45) return u[8];
  if (in({47, 48, 49, 50})) return u[10];
  return 1;
}

// The entry `back` places before the end; long ago: none.
int64_t Back(const std::vector<int64_t>& all, int back) {
  return back == 0 || all.size() < size_t(back) ? INT64_MIN / 2
                                                : all[all.size() - back];
}

}  // namespace

void RichOracle::RunCores(std::map<std::string, double>* row) {
  const size_t now = trace_.size() - 1;
  const Executed& e = trace_[now];
  const trace::StaticInstruction& s = e.s;
  auto has = [](const trace::StaticInstruction& x, uint32_t flag) {
    return (x.flags & flag) != 0;
  };
  const bool after_taken = now > 0 && trace_[now - 1].taken;
  const bool new_line = now == 0 || trace_[now - 1].s.pc / 64 != s.pc / 64;
  const bool serialize =
      has(s, trace::kSerializeBefore) ||
      (now > 0 &&
       has(trace_[now - 1].s, trace::kSerializeAfter | trace::kSquashAfter));
  auto waited = [](trace::Register r) {
    return r.register_class != 6 &&
           !(r.register_class == 0 && (r.index == 31 || r.index == 34));
  };
  int integers = 0, vectors = 0;
  for (int i = 0; i < s.destination_count; ++i) {
    const trace::Register r = s.destinations[i];
    if (!waited(r)) continue;
    integers += r.register_class == 0;
    vectors += r.register_class >= 1 && r.register_class <= 3;
  }
  auto physical = [this](uint64_t address) {
    const uint64_t page =
        pages_.emplace(address / 4096, pages_.size()).first->second;
    return page * 64 + address / 64 % 64;
  };

  // What is common to all cores.
  uint64_t fetch_physical = 0;
  double fetch_set[3] = {}, data_set[3] = {};
  if (new_line) {
    fetch_set[0] = (*row)["fetch_set_distance_64"];
    fetch_set[1] = TouchSet(&fetch_128_, 128, s.pc / 64);
    fetch_set[2] = TouchSet(&fetch_256_, 256, s.pc / 64);
    fetch_physical = physical(s.pc);
  }
  const bool access = e.load || e.store;
  const uint64_t line = e.address / 64;
  const uint64_t site = s.pc / 4 % 1024;
  int64_t clash = -1;
  bool written = false;
  uint64_t data_physical = 0;
  int set = -1;
  if (access) {
    data_set[0] = (*row)["data_set_distance_64"];
    data_set[1] = TouchSet(&data_128_, 128, line);
    data_set[2] = (*row)["data_set_distance_256"];
    data_physical = physical(e.address);
    written = written_.count(line) != 0;
    if (e.store) written_.insert(line);
    for (uint64_t g = e.address / 16; g <= (e.address + e.bytes - 1) / 16;
         ++g) {
      const uint64_t slot = g * kHash >> 52;
      if (e.store) {
        granules_[slot] = g;
        granule_stores_[slot] = now;
      } else if (granules_.count(slot) != 0 && granules_[slot] == g) {
        clash = std::max<int64_t>(clash, granule_stores_[slot]);
      }
    }
    if (clash >= 0 && now - clash <= 128) {
      const uint64_t other = trace_[clash].s.pc / 4 % 1024;
      const bool a = store_set_.count(site) != 0;
      const bool b = store_set_.count(other) != 0;
      const int joint = a && b ? std::min(store_set_[site], store_set_[other])
                        : a    ? store_set_[site]
                        : b    ? store_set_[other]
                               : static_cast<int>(site);
      store_set_[site] = store_set_[other] = joint;
    }
    if (store_set_.count(site) != 0) set = store_set_[site];
  }
  const uint64_t slot = line * kHash >> 56;
  std::set<int> missed;

  for (int k = 0; k < 32; ++k) {
    const ReferenceCore& c = kReferenceCores[k];
    Core& m = cores_[k];
    const int geometry = c.sets == 64 ? 0 : c.sets == 128 ? 1 : 2;
    const int64_t near = kCycle * c.near, middle = kCycle * c.middle;
    const int64_t taken = c.in_order ? near : near - kCycle;
    auto memory = [&](uint64_t at, int64_t start, int64_t from) {
      const int channel = at % c.channels;
      const int64_t turn = std::max(m.channel[channel], from);
      m.channel[channel] = turn + c.line;
      const int64_t all_row = at / c.channels / 128;
      const std::pair<int, int> bank = {channel, all_row % c.banks};
      int64_t time = std::max({start, turn, m.bank[bank]});
      if (m.row.count(bank) == 0 || m.row[bank] != all_row / c.banks) {
        m.row[bank] = all_row / c.banks;
        time += c.row;
        m.bank[bank] = time;
      }
      return time + c.far;
    };
    const bool wrong = core_wrong_[c.predictor];

    int64_t fetch = m.fetch + kCycle / c.fetch_width;
    fetch = std::max(fetch, Back(m.dispatched, c.fetch_queue));
    if (after_taken) fetch = std::max(fetch, m.fetch + kCycle);
    if (wrong) {
      fetch = std::max(fetch, m.finish + kCycle * c.refill + taken);
    } else if (target_changed_) {
      fetch += kCycle * c.retarget;
    }
    if (new_line) {
      if (after_taken && !wrong) fetch += taken;
      if (fetch_set[geometry] > c.ways) {
        if ((*row)["unified_fetch_set_distance_1024"] <= c.second_ways) {
          fetch += middle;
        } else {
          fetch = memory(fetch_physical, fetch, fetch) + middle / 2;
        }
      }
    }

    const int64_t reuse = kCycle * c.reuse;
    int64_t dispatch =
        std::max(fetch + kCycle * c.depth, m.dispatch + kCycle / c.fetch_width);
    dispatch = std::max(dispatch, Back(m.retired, c.window) + reuse);
    if (serialize) dispatch = std::max(dispatch, m.retire);
    if (e.store)
      dispatch = std::max(dispatch, Back(m.stores, c.stores) + reuse);
    if (e.load) dispatch = std::max(dispatch, Back(m.loads, c.loads) + reuse);
    if (integers != 0) {
      dispatch = std::max(dispatch, Back(m.integers, c.integers) + reuse);
    }
    if (vectors != 0) {
      dispatch = std::max(dispatch, Back(m.vectors, c.vectors) + reuse);
    }

    int64_t issue = dispatch;
    if (c.in_order) issue = std::max(issue, m.issue);
    for (int i = 0; i < s.source_count; ++i) {
      const trace::Register r = s.sources[i];
      if (waited(r)) {
        issue = std::max(issue, m.registers[{r.register_class, r.index}]);
      }
    }
    if (has(s, trace::kNonSpeculative)) issue = std::max(issue, m.retire);
    if (access) {
      issue = std::max(issue, m.barrier);
      if (clash >= 0 && now - clash < 256) {
        issue = std::max(issue, m.executed[clash]);
      }
      if (e.load && forwarding_ && now - *forwarding_ < 256) {
        issue = std::max(issue, m.executed[*forwarding_]);
      }
      if (set >= 0) issue = std::max(issue, m.store_sets[set]);
    }

    int level = 0;
    if (access && data_set[geometry] > c.ways) {
      level = (*row)["unified_data_set_distance_1024"] > c.second_ways ||
                      (c.second_excludes && !written)
                  ? 2
                  : 1;
    }
    auto load = [&](int64_t start) {
      start = std::max(start, m.blocked);
      if (lines_.count(slot) != 0 && lines_[slot] == line &&
          m.arrival.count(slot) != 0 && m.arrival[slot] > start) {
        if (++m.waiting[slot] >= c.accesses) {
          m.blocked = std::max(m.blocked, m.arrival[slot]);
        }
        return std::max(start + near, m.arrival[slot]);
      }
      if (level == 0) return start + near;
      const int64_t asked = std::max(start, Back(m.misses, c.misses)) + near;
      const int64_t there =
          level == 1 ? asked + middle
                     : memory(data_physical, asked, dispatch) + middle / 2;
      m.misses.push_back(there);
      m.arrival[slot] = there;
      m.waiting[slot] = 1;
      missed.insert(k);
      return there;
    };
    m.finish = issue + kCycle * Cycles(c, s.op_class);
    if (e.load) m.finish = load(m.finish);
    if (has(s, trace::kReadBarrier) || has(s, trace::kWriteBarrier)) {
      m.finish = std::max(m.finish, m.exit);
      m.barrier = std::max(m.barrier, m.finish);
    }
    auto write = [&](int64_t time) {
      for (int i = 0; i < s.destination_count; ++i) {
        const trace::Register r = s.destinations[i];
        m.registers[{r.register_class, r.index}] = time;
      }
    };
    write(m.finish);

    m.retire = std::max(m.retire + kCycle / c.retire_width,
                        m.finish + kCycle * c.retire);
    int64_t out = std::max(m.out, m.retire);
    m.integers.insert(m.integers.end(), integers, m.retire);
    m.vectors.insert(m.vectors.end(), vectors, m.retire);
    if (e.load) m.loads.push_back(m.retire);
    if (e.store) {
      m.executed[now] = m.finish;
      if (set >= 0) m.store_sets[set] = m.finish;
      m.drain = std::max(m.retire, m.drain + kCycle);
      m.exit = std::max(m.exit, load(m.drain));
      out = std::max(out, m.exit);
      if (has(s, trace::kStoreConditional) || has(s, trace::kAtomic)) {
        write(m.exit);
        m.retire = std::max(m.retire, m.exit);
      }
      m.stores.push_back(m.exit);
    }
    char name[32];
    std::snprintf(name, sizeof(name), "growth_core_%02d", k);
    (*row)[name] = std::min<double>(out - m.out, 1e6);
    m.fetch = fetch;
    m.dispatch = dispatch;
    m.issue = issue;
    m.out = out;
    m.retired.push_back(m.retire);
    m.dispatched.push_back(dispatch);
  }
  // A line that any core missed takes the place for all.
  if (!missed.empty() && (lines_.count(slot) == 0 || lines_[slot] != line)) {
    lines_[slot] = line;
    for (int k = 0; k < 32; ++k) {
      if (missed.count(k) == 0) cores_[k].arrival.erase(slot);
    }
  }
}

}  // namespace perfvec::compute
