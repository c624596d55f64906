#include "worker/learn/learn_from_times.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "worker/learn/belief.h"
#include "worker/learn/dense.h"
#include "worker/learn/evidence_checks.h"

namespace perfvec::compute {
namespace {

constexpr double kNoises[] = {0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3};
// Of log σ around that of the expected noise.
constexpr double kNoiseSpread = 0.7;
// Of the mean squared error of an instruction's latency, relative to the mean
// latency, against the prior: latencies scatter by some ten times their mean,
// over 1e5 instructions.
constexpr double kInstructionWeight = 1000;
// Errors of intervals of one program go half together.
constexpr double kIntervalCorrelation = 0.5;
constexpr double kIgnored = 1e8;        // variance of what is set aside
constexpr double kOutlier = 5;          // standard deviations
constexpr size_t kLeastToSetAside = 5;  // programs
constexpr size_t kMostSetAside = 20;    // each costs a solution anew

double Median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + v.size() / 2, v.end());
  return v[v.size() / 2];
}

class Learner {
 public:
  Learner(const std::vector<Evidence>& evidence,
          const std::vector<KnownVector>& known, const LearnSettings& settings)
      : evidence_(evidence), known_(known), settings_(settings) {}

  absl::StatusOr<LearnedVector> Learn();

 private:
  // The rows of program p in `times_`.
  struct Block {
    size_t begin = 0, end = 0;
  };

  absl::Status Prepare();
  absl::Status CheckWanted() const;
  // The belief before any total, with the forms of all programs but one.
  absl::StatusOr<Belief> AbsorbForms(size_t left_out) const;
  std::vector<double> Variances(double noise) const;
  absl::StatusOr<TimesUpdate> Update(double noise);
  absl::Status SetAside();
  absl::Status ChooseNoise();
  absl::Status Fit();
  absl::Status FitWithout(size_t p);
  void Compare();
  // Relative error of program p's time by what the others say, and its
  // standard deviation.
  std::pair<double, double> LeftOut(const TimesUpdate& update, size_t p) const;

  const std::vector<Evidence>& evidence_;
  const std::vector<KnownVector>& known_;
  const LearnSettings& settings_;
  size_t h_ = 0;
  bool any_form_ = false;
  std::vector<double> mean_representation_;
  // Of each program: all its representations, all its time.
  std::vector<std::vector<double>> sums_;
  std::vector<double> total_times_;
  Belief prior_, belief_;                // before and after forms
  std::vector<double> prior_precision_;  // if there are forms
  TimesEvidence times_;
  TimesKernel kernel_;
  TimesUpdate update_;
  std::vector<Block> blocks_;
  std::vector<size_t> owner_;  // of each row: the program
  LearnedVector out_;
};

absl::Status Learner::Prepare() {
  if (known_.empty() || evidence_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected evidence of a program and known architectures, found ",
        evidence_.size(), " programs and ", known_.size(), " architectures"));
  }
  h_ = known_[0].vector.size();
  double instructions = 0;
  size_t totals = 0;
  mean_representation_.assign(h_, 0);
  for (const Evidence& e : evidence_) {
    absl::Status status = CheckEvidence(e, h_);
    if (!status.ok()) return status;
    instructions += e.instructions;
    totals += e.totals.size();
    any_form_ |= !e.gram.empty();
    sums_.push_back(SumOf(e));
    total_times_.push_back(TimeOf(e));
    for (size_t i = 0; i < h_; ++i) mean_representation_[i] += sums_.back()[i];
  }
  if (totals > kMaxTotals) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected at most ", kMaxTotals,
                     " times of runs and intervals, found ", totals));
  }
  for (double& r : mean_representation_) r /= instructions;
  std::vector<std::vector<double>> vectors;
  for (const KnownVector& k : known_) vectors.push_back(k.vector);
  auto prior = BeliefOfKnown(vectors, mean_representation_);
  if (!prior.ok()) return prior.status();
  prior_ = *std::move(prior);
  if (any_form_) {
    auto precision = PrecisionOf(prior_);
    if (!precision.ok()) return precision.status();
    prior_precision_ = *std::move(precision);
  }

  std::vector<double> scales;
  for (size_t p = 0; p < evidence_.size(); ++p) {
    const double mean = Dot(sums_[p].data(), prior_.mean.data(), h_);
    if (mean > 0) scales.push_back(total_times_[p] / mean);
  }
  if (scales.empty()) {
    return absl::InvalidArgumentError(
        "the known architectures predict no positive time of any program "
        "given: are the programs' vectors of this model?");
  }
  out_.scale = Median(scales);
  for (size_t p = 0; p < evidence_.size(); ++p) {
    blocks_.push_back({times_.values.size(), 0});
    for (const Total& t : evidence_[p].totals) {
      for (double s : t.sum) times_.rows.push_back(s * out_.scale / t.time);
      times_.values.push_back(1);
      owner_.push_back(p);
    }
    blocks_.back().end = times_.values.size();
  }
  out_.programs.resize(evidence_.size());
  return absl::OkStatus();
}

absl::Status Learner::CheckWanted() const {
  if (!settings_.stop || !settings_.stop()) return absl::OkStatus();
  return absl::CancelledError("the learning was stopped");
}

absl::StatusOr<Belief> Learner::AbsorbForms(size_t left_out) const {
  if (absl::Status wanted = CheckWanted(); !wanted.ok()) return wanted;
  std::vector<double> gram(h_ * h_), cross(h_);
  bool any = false;
  for (size_t p = 0; p < evidence_.size(); ++p) {
    const Evidence& e = evidence_[p];
    if (p == left_out || e.gram.empty() || out_.programs[p].set_aside) continue;
    any = true;
    // Squared errors relative to the architecture's scale and the program's
    // own mean latency, as in training.
    const double w = kInstructionWeight * out_.scale / total_times_[p];
    for (size_t i = 0; i < h_ * h_; ++i) gram[i] += w * e.gram[i];
    for (size_t i = 0; i < h_; ++i) cross[i] += w * e.cross[i] / out_.scale;
  }
  if (!any) return prior_;
  return AbsorbForm(prior_, prior_precision_, gram, cross);
}

std::vector<double> Learner::Variances(double noise) const {
  std::vector<double> out;
  for (size_t k = 0; k < owner_.size(); ++k) {
    const size_t p = owner_[k];
    const size_t count = blocks_[p].end - blocks_[p].begin;
    const double measured = evidence_[p].totals[k - blocks_[p].begin].noise;
    const double share =
        1 + kIntervalCorrelation * static_cast<double>(count - 1);
    out.push_back(out_.programs[p].set_aside
                      ? kIgnored
                      : noise * noise * share + measured * measured);
  }
  return out;
}

absl::StatusOr<TimesUpdate> Learner::Update(double noise) {
  if (absl::Status wanted = CheckWanted(); !wanted.ok()) return wanted;
  times_.variances = Variances(noise);
  return AbsorbTimes(belief_, kernel_, times_);
}

std::pair<double, double> Learner::LeftOut(const TimesUpdate& update,
                                           size_t p) const {
  const Block b = blocks_[p];
  const size_t n = owner_.size(), k = b.end - b.begin;
  if (k == 1) {
    return {update.left_out[b.begin] - 1, update.spread[b.begin]};
  }
  // Several rows at once: their block of the precision.
  std::vector<double> block(k * k), right(k * 2);
  const double total = total_times_[p];
  for (size_t i = 0; i < k; ++i) {
    for (size_t j = 0; j < k; ++j) {
      block[i * k + j] = update.precision[(b.begin + i) * n + b.begin + j];
    }
    right[i * 2] = update.weights[b.begin + i];
    right[i * 2 + 1] = evidence_[p].totals[i].time / total;
  }
  const std::vector<double> share = right;
  if (!CholeskySolve(std::move(block), k, right, 2)) return {0, 1};
  double error = 0, variance = 0;
  for (size_t i = 0; i < k; ++i) {
    error -= share[i * 2 + 1] * right[i * 2];
    variance += share[i * 2 + 1] * right[i * 2 + 1];
  }
  return {error, std::sqrt(variance)};
}

// One program after the other whose time the others contradict most, a fifth
// of them and kMostSetAside at most.
absl::Status Learner::SetAside() {
  const size_t most = std::min(evidence_.size() / 5, kMostSetAside);
  for (size_t round = 0; round <= most; ++round) {
    if (round == 0 || any_form_) {
      auto forms = AbsorbForms(evidence_.size());
      if (!forms.ok()) return forms.status();
      belief_ = *std::move(forms);
      kernel_ = MakeKernel(belief_, times_.rows);
    }
    if (round == most || evidence_.size() < kLeastToSetAside) break;
    auto update = Update(settings_.expected_noise);
    if (!update.ok()) return update.status();
    std::vector<double> off;
    size_t worst = evidence_.size();
    double largest = 0;
    for (size_t p = 0; p < evidence_.size(); ++p) {
      if (out_.programs[p].set_aside) continue;
      const auto [error, spread] = LeftOut(*update, p);
      off.push_back(std::fabs(error) / spread);
      if (off.back() > largest) {
        largest = off.back();
        worst = p;
      }
    }
    const double scale = std::max(1.0, 1.4826 * Median(off));
    if (!(largest > kOutlier * scale)) break;
    out_.programs[worst].set_aside = true;
  }
  return absl::OkStatus();
}

absl::Status Learner::ChooseNoise() {
  double best = -INFINITY;
  for (double noise : kNoises) {
    auto update = Update(noise);
    if (!update.ok()) return update.status();
    const double off =
        std::log(noise / settings_.expected_noise) / kNoiseSpread;
    const double score = update->log_likelihood - 0.5 * off * off;
    if (score > best) {
      best = score;
      out_.noise = noise;
      update_ = *std::move(update);
    }
  }
  times_.variances = Variances(out_.noise);
  return absl::OkStatus();
}

// Left-out time of a program with per-instruction evidence: all anew.
absl::Status Learner::FitWithout(size_t p) {
  auto belief = AbsorbForms(p);
  if (!belief.ok()) return belief.status();
  const bool set_aside = std::exchange(out_.programs[p].set_aside, true);
  times_.variances = Variances(out_.noise);
  out_.programs[p].set_aside = set_aside;
  auto update = AbsorbTimes(*belief, MakeKernel(*belief, times_.rows), times_);
  if (!update.ok()) return update.status();
  out_.programs[p].left_out =
      out_.scale * Dot(sums_[p].data(), update->mean.data(), h_);
  return absl::OkStatus();
}

absl::Status Learner::Fit() {
  out_.vector = update_.mean;
  for (double& v : out_.vector) v *= out_.scale;
  out_.determined_directions = update_.determined;
  size_t counted = 0;
  for (size_t p = 0; p < evidence_.size(); ++p) {
    const Evidence& e = evidence_[p];
    ProgramFit& fit = out_.programs[p];
    fit.time = total_times_[p];
    fit.fitted = Dot(sums_[p].data(), out_.vector.data(), h_);
    fit.left_out = fit.time * (1 + LeftOut(update_, p).first);
    if (!e.gram.empty()) {
      absl::Status status = FitWithout(p);
      if (!status.ok()) return status;
    }
    if (fit.set_aside) continue;
    ++counted;
    out_.fit_error += std::fabs(fit.fitted - fit.time) / fit.time;
    out_.left_out_error += std::fabs(fit.left_out - fit.time) / fit.time;
  }
  out_.fit_error /= static_cast<double>(counted);
  out_.left_out_error =
      evidence_.size() < 2 ? 0
                           : out_.left_out_error / static_cast<double>(counted);
  // Factors of the covariance in the directions asked for.
  const size_t k = settings_.directions.size() / h_;
  const Eigen eigen = SymmetricEigen(
      CovarianceOf(belief_, kernel_, update_, settings_.directions), k);
  out_.factors.assign(k * h_, 0);
  for (size_t r = 0; r < k; ++r) {
    const double size = out_.scale * std::sqrt(std::max(0.0, eigen.values[r]));
    for (size_t j = 0; j < k; ++j) {
      for (size_t i = 0; i < h_; ++i) {
        out_.factors[r * h_ + i] +=
            size * eigen.vectors[r * k + j] * settings_.directions[j * h_ + i];
      }
    }
  }
  return absl::OkStatus();
}

void Learner::Compare() {
  // How surprising the times are under the known architectures alone, at the
  // expected noise: a chi-square over its degrees of freedom.
  times_.variances = Variances(settings_.expected_noise);
  auto update = AbsorbTimes(
      prior_, any_form_ ? MakeKernel(prior_, times_.rows) : kernel_, times_);
  if (update.ok()) {
    double square = 0, counted = 0;
    for (size_t k = 0; k < owner_.size(); ++k) {
      if (out_.programs[owner_[k]].set_aside) continue;
      const double residual =
          1 - Dot(&times_.rows[k * h_], prior_.mean.data(), h_);
      square += residual * update->weights[k];
      counted += 1;
    }
    out_.distance = std::sqrt(std::max(0.0, square) / std::max(1.0, counted));
  }
  double least = INFINITY;
  for (size_t a = 0; a < known_.size(); ++a) {
    double mean = 0, square = 0, n = 0;
    for (size_t p = 0; p < evidence_.size(); ++p) {
      const double guess = Dot(sums_[p].data(), known_[a].vector.data(), h_);
      if (out_.programs[p].set_aside || !(guess > 0)) continue;
      const double ratio = std::log(out_.programs[p].time / guess);
      mean += ratio;
      square += ratio * ratio;
      n += 1;
    }
    if (n == 0) continue;
    mean /= n;
    const double variance = square / n - mean * mean;
    if (variance < least) {
      least = variance;
      out_.nearest = a;
      out_.nearest_ratio = std::exp(mean);
    }
  }
}

absl::StatusOr<LearnedVector> Learner::Learn() {
  for (const auto step : {&Learner::Prepare, &Learner::SetAside,
                          &Learner::ChooseNoise, &Learner::Fit}) {
    absl::Status status = (this->*step)();
    if (!status.ok()) return status;
  }
  Compare();
  out_.warnings = EvidenceWarnings(evidence_, out_, settings_.expected_noise);
  return std::move(out_);
}

}  // namespace

absl::StatusOr<LearnedVector> LearnFromTimes(
    const std::vector<Evidence>& evidence,
    const std::vector<KnownVector>& known, const LearnSettings& settings) {
  return Learner(evidence, known, settings).Learn();
}

}  // namespace perfvec::compute
