#include "tests/bench/explore_rivals.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "worker/explore/design_network.h"
#include "worker/learn/dense.h"

namespace perfvec::bench {
namespace {

using explore::DesignModel;
using explore::NetworkTask;
using explore::Study;

constexpr explore::NetworkSize kSize = {8, 1e-4};
constexpr int kIterations = 200, kMembers = 5, kRounds = 10;
constexpr double kRidge = 1e-3;

// `count` of the sampled designs, evenly spread.
std::vector<size_t> Simulated(const Study& study, size_t count) {
  const std::vector<size_t> sampled = study.folder.Sampled();
  std::vector<size_t> designs;
  for (size_t i = 0; i < count; ++i) {
    designs.push_back(
        sampled[count == 1 ? 0 : i * (sampled.size() - 1) / (count - 1)]);
  }
  return designs;
}

// Log times of a program, relative to their mean, as a task of one output.
struct LogTask {
  NetworkTask task;
  double mean = 0;
};

LogTask MakeTask(const Study& study, size_t program,
                 const std::vector<size_t>& designs) {
  LogTask out;
  const std::vector<double>& times = study.folder.programs[program].simulated;
  for (size_t d : designs) out.mean += std::log(times[d]) / designs.size();
  for (size_t d : designs) {
    out.task.x.push_back(
        study.space.Encode(study.folder.designs[d].parameters));
    out.task.targets.push_back({std::log(times[d]) - out.mean});
    out.task.metrics.push_back({1});
  }
  out.task.inputs = out.task.x[0].size();
  out.task.outputs = 1;
  return out;
}

std::vector<double> Outputs(const Study& study, const DesignModel::Network& n) {
  std::vector<double> out;
  for (const explore::StudyDesign& d : study.folder.designs) {
    out.push_back(n.Output(study.space.Encode(d.parameters))[0]);
  }
  return out;
}

}  // namespace

RivalTimes PerProgramMlp(const Study& study, size_t program,
                         size_t simulations) {
  const LogTask task = MakeTask(study, program, Simulated(study, simulations));
  RivalTimes times(study.folder.designs.size());
  for (int m = 0; m < kMembers; ++m) {
    const std::vector<double> out = Outputs(
        study, explore::TrainNetwork(task.task, kSize, kIterations, m + 1));
    for (size_t d = 0; d < out.size(); ++d) times[d] += out[d] / kMembers;
  }
  for (double& t : times) t = std::exp(t + task.mean);
  return times;
}

RivalTimes CrossProgramLinear(const Study& study, size_t program,
                              size_t simulations) {
  std::vector<RivalTimes> basis;
  for (size_t p = 0; p < study.folder.programs.size(); ++p) {
    if (!study.folder.programs[p].training) continue;
    basis.push_back(PerProgramMlp(study, p, study.folder.Sampled().size()));
    const double first = basis.back()[0];
    for (double& t : basis.back()) t /= first;
  }
  const size_t designs = study.folder.designs.size();
  basis.emplace_back(designs, 1.0);
  const size_t k = basis.size();
  const std::vector<double>& own = study.folder.programs[program].simulated;
  std::vector<double> normal(k * k), weights(k);
  const std::vector<size_t> simulated = Simulated(study, simulations);
  for (size_t d : simulated) {
    const double t = own[d] / own[simulated[0]];
    for (size_t i = 0; i < k; ++i) {
      weights[i] += basis[i][d] * t;
      for (size_t j = 0; j < k; ++j) {
        normal[i * k + j] += basis[i][d] * basis[j][d];
      }
    }
  }
  for (size_t i = 0; i < k; ++i) normal[i * k + i] += kRidge;
  compute::CholeskySolve(std::move(normal), k, weights, 1);
  RivalTimes times(designs);
  for (size_t d = 0; d < designs; ++d) {
    for (size_t i = 0; i < k; ++i) times[d] += weights[i] * basis[i][d];
  }
  return times;
}

RivalTimes AdaBoostMlp(const Study& study, size_t program, size_t simulations) {
  LogTask task = MakeTask(study, program, Simulated(study, simulations));
  const size_t n = task.task.x.size(), designs = study.folder.designs.size();
  std::vector<double> share(n, 1.0 / n);
  std::vector<std::pair<double, std::vector<double>>> members;
  for (int round = 0; round < kRounds; ++round) {
    for (size_t i = 0; i < n; ++i) task.task.metrics[i] = {share[i] * n};
    const DesignModel::Network network =
        explore::TrainNetwork(task.task, kSize, kIterations, round + 1);
    std::vector<double> loss(n);
    double largest = 0, mean = 0;
    for (size_t i = 0; i < n; ++i) {
      loss[i] = std::fabs(network.Output(task.task.x[i])[0] -
                          task.task.targets[i][0]);
      largest = std::max(largest, loss[i]);
    }
    for (size_t i = 0; i < n; ++i) {
      loss[i] = largest > 0 ? loss[i] / largest : 0;
      mean += share[i] * loss[i];
    }
    if (mean >= 0.5 && !members.empty()) break;
    const double beta = std::clamp(mean / (1 - mean), 1e-6, 0.999);
    members.emplace_back(std::log(1 / beta), Outputs(study, network));
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
      sum += share[i] *= std::pow(beta, 1 - loss[i]);
    }
    for (double& s : share) s /= sum;
  }
  // The weighted median of the members.
  RivalTimes times(designs);
  for (size_t d = 0; d < designs; ++d) {
    std::vector<std::pair<double, double>> votes;
    double total = 0, sum = 0;
    for (const auto& [weight, out] : members) {
      votes.emplace_back(out[d], weight);
      total += weight;
    }
    std::sort(votes.begin(), votes.end());
    for (const auto& [value, weight] : votes) {
      times[d] = std::exp(value + task.mean);
      if ((sum += weight) >= total / 2) break;
    }
  }
  return times;
}

}  // namespace perfvec::bench
