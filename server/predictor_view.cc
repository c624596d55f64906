// The reading side of the predictor: look-ups and what they say when they fail.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/predictor.h"
#include "server/predictor/vector_spread.h"

namespace perfvec::server {
namespace {

const char* KindName(Kind kind) {
  return kind == Kind::kProgram ? "program" : "architecture";
}

std::string Describe(const Model& model) {
  return absl::StrCat("model \"", model.label, "\" (",
                      absl::string_view(model.model_id).substr(0, 12), ")");
}

absl::string_view NameOf(absl::string_view ref) {
  return ref.substr(0, ref.find('@'));
}

absl::Status CheckRef(absl::string_view what, absl::string_view ref) {
  if (ref.size() <= kMaxRefLength) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      what, " reference \"", ref.substr(0, 32), "...\" has ", ref.size(),
      " characters; expected at most ", kMaxRefLength));
}

const v1::JobState kQueued = v1::JOB_STATE_QUEUED;

// Starts fetching a vector while something else is looked up.
void Prefetch(const float* values, int64_t width) {
  for (int64_t k = 0; k < width; k += 16) __builtin_prefetch(values + k);
}

// What the item's vector under `model` is waiting for, and what to do.
std::string WhatToDo(Kind kind, const Item& item, const Model& model) {
  std::string text;
  std::vector<std::string> others;
  for (const ItemVector* v = item.vectors.load(std::memory_order_acquire);
       v != nullptr; v = v->next) {
    if (!v->model->removed.load(std::memory_order_relaxed)) {
      others.push_back(Describe(*v->model));
    }
  }
  if (!others.empty()) {
    absl::StrAppend(&text, "; it has one under ", absl::StrJoin(others, ", "),
                    ", and vectors of different models do not mix");
  }
  if (kind == Kind::kArchitecture) {
    return absl::StrCat(text, "; add a vector of this model to it");
  }
  for (const JobNote* job = item.jobs.load(std::memory_order_acquire);
       job != nullptr; job = job->next) {
    if (job->model_id != model.model_id) continue;
    switch (job->state) {
      case v1::JOB_STATE_QUEUED:
      case v1::JOB_STATE_RUNNING:
        return absl::StrCat(text, "; job ", job->job_id, " computes it (",
                            job->state == kQueued ? "queued" : "running",
                            "): perfvec job watch ", job->job_id);
      case v1::JOB_STATE_FAILED:
        absl::StrAppend(&text, "; job ", job->job_id,
                        " failed: ", job->error.substr(0, 200));
        break;
      case v1::JOB_STATE_CANCELLED:
        absl::StrAppend(&text, "; job ", job->job_id, " was cancelled");
        break;
      default:
        break;
    }
    break;
  }
  return absl::StrCat(text, "; compute it: perfvec program represent ",
                      item.label, " --model ", model.label);
}

}  // namespace

absl::Status TimeOutOfRange(absl::string_view program,
                            absl::string_view architecture,
                            absl::string_view model, double time_ns) {
  return absl::OutOfRangeError(absl::StrCat(
      "program ", program, " on architecture ", architecture, " under model ",
      model, ": the predicted time is ", time_ns,
      " ns; expected a positive finite time. The architecture vector does not "
      "fit this program: check how it was made"));
}

absl::StatusOr<const Model*> View::FindModel(absl::string_view ref) const {
  const Model* model = state_->models.Find(ref);
  if (model == nullptr && ref == "default") model = state_->models.Find("");
  if (model != nullptr) return model;
  if (absl::Status status = CheckRef("model", ref); !status.ok()) return status;
  if (ref.empty() || ref == "default") {
    const std::vector<std::string> known = books_->models.First(5);
    return absl::NotFoundError(absl::StrCat(
        "no model has the alias \"default\"; ",
        known.empty()
            ? "no model is registered"
            : absl::StrCat("known models: ", absl::StrJoin(known, ", "))));
  }
  const Model* latest = state_->models.Find(NameOf(ref));
  if (latest != nullptr) {
    return absl::NotFoundError(absl::StrCat(
        "model \"", ref, "\" is unknown; the latest is ", latest->label));
  }
  return absl::NotFoundError(absl::StrCat("model \"", ref, "\" is unknown",
                                          Hint(books_->models, NameOf(ref))));
}

absl::StatusOr<const Item*> View::FindItem(Kind kind,
                                           absl::string_view ref) const {
  const auto& refs = state_->refs[static_cast<int>(kind)];
  const Item* item = refs.Find(ref);
  if (item != nullptr) return item;
  const char* name = KindName(kind);
  if (ref.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "no ", name, " is named; expected name, name@version or name@alias"));
  }
  if (absl::Status status = CheckRef(name, ref); !status.ok()) return status;
  if (const Item* latest = refs.Find(NameOf(ref)); latest != nullptr) {
    return absl::NotFoundError(absl::StrCat(
        name, " \"", ref, "\" is unknown; the latest is ", latest->label));
  }
  return absl::NotFoundError(
      absl::StrCat(name, " \"", ref, "\" is unknown",
                   Hint(books_->items[static_cast<int>(kind)], NameOf(ref))));
}

absl::StatusOr<const ItemVector*> View::FindVector(Kind kind,
                                                   absl::string_view ref,
                                                   const Model& model) const {
  const absl::StatusOr<const Item*> item = FindItem(kind, ref);
  if (!item.ok()) return item.status();
  const ItemVector* vector = (*item)->FindVector(&model);
  if (vector != nullptr) return vector;
  return absl::FailedPreconditionError(
      absl::StrCat(KindName(kind), " ", (*item)->label, " has no vector under ",
                   Describe(model), WhatToDo(kind, **item, model)));
}

absl::Status View::Predict(absl::string_view program,
                           absl::string_view architecture,
                           absl::string_view model, double confidence,
                           v1::PredictResponse* response) const {
  const auto m = FindModel(model);
  if (!m.ok()) return m.status();
  const auto intervals = Intervals::Make(**m, confidence);
  if (!intervals.ok()) return intervals.status();
  const auto p = FindVector(Kind::kProgram, program, **m);
  if (!p.ok()) return p.status();
  Prefetch((*p)->values, (*m)->tables[0].width());
  const auto a = FindVector(Kind::kArchitecture, architecture, **m);
  if (!a.ok()) return a.status();
  double time_ns;
  if (!ToTimeNs(BestKernels().dot((*p)->values, (*a)->values,
                                  (*m)->tables[0].width()),
                &time_ns)) {
    return TimeOutOfRange((*p)->item->label, (*a)->item->label, (*m)->label,
                          time_ns);
  }
  response->set_time_ns(time_ns);
  response->set_instructions((*p)->instructions);
  response->set_program((*p)->item->label);
  response->set_architecture((*a)->item->label);
  response->set_model_id((*m)->model_id);
  if ((*p)->spread->panel_count > 0) {
    response->set_sampling_error(
        intervals->SamplingError(**p, **a, 10 * time_ns));
  }
  if (intervals->known()) {
    const double factor = intervals->Factor(**p, **a, 10 * time_ns);
    response->set_confidence(intervals->confidence());
    response->set_low_ns(time_ns / factor);
    response->set_high_ns(time_ns * factor);
    response->set_program_out_of_distribution(
        StrangeOn(*(*p)->spread, *(*a)->spread));
    response->set_architecture_out_of_distribution((*a)->spread->strange);
  }
  return absl::OkStatus();
}

}  // namespace perfvec::server
