#include "storage/committer.h"

#include <utility>

#include "storage/status_macros.h"

namespace perfvec::storage {

void Overlay::Merge(const Overlay& newer, uint64_t ticket) {
  for (const auto& [key, entry] : newer.entries_)
    entries_[key] = {ticket, entry.value};
}

void Overlay::DropUpTo(uint64_t ticket) {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    entry = entry->second.ticket <= ticket ? entries_.erase(entry)
                                           : std::next(entry);
  }
}

absl::StatusOr<std::optional<std::string>> Transaction::Get(
    absl::string_view key) const {
  for (const Overlay* overlay : {&own_, pending_}) {
    auto entry = overlay->entries().find(key);
    if (entry != overlay->entries().end()) return entry->second.value;
  }
  return base_->Get(key);
}

absl::Status Transaction::Scan(absl::string_view begin, absl::string_view end,
                               Visitor visit) const {
  std::map<absl::string_view, const std::optional<std::string>*> newer;
  for (const Overlay* overlay : {pending_, &own_}) {
    const auto& entries = overlay->entries();
    for (auto entry = entries.lower_bound(begin);
         entry != entries.end() && entry->first < end; ++entry)
      newer[entry->first] = &entry->second.value;
  }
  auto next = newer.begin();
  bool wanted = true;
  // Visits the newer entries before `key`.
  auto catch_up = [&](std::optional<absl::string_view> key) {
    for (; wanted && next != newer.end() && (!key || next->first < *key);
         ++next) {
      if (next->second->has_value())
        wanted = visit(next->first, **next->second);
    }
  };
  PERFVEC_RETURN_IF_ERROR(base_->Scan(
      begin, end, [&](absl::string_view key, absl::string_view value) {
        catch_up(key);
        if (!wanted) return false;
        if (next != newer.end() && next->first == key) {
          const std::optional<std::string>& replacement = *next->second;
          ++next;
          if (replacement) wanted = visit(key, *replacement);
        } else {
          wanted = visit(key, value);
        }
        return wanted;
      }));
  catch_up(std::nullopt);
  return absl::OkStatus();
}

absl::Status Committer::Run(Body body) {
  Request request;
  absl::MutexLock lock(&mutex_);
  {
    std::unique_ptr<OrderedReader> snapshot = store_->Snapshot();
    Transaction transaction(snapshot.get(), &pending_);
    PERFVEC_RETURN_IF_ERROR(body(transaction));
    // A transaction that wrote nothing may still tell what it read: it waits
    // for that to be durable like the others.
    if (transaction.writes().entries().empty() && !committing_ &&
        queue_.empty())
      return absl::OkStatus();
    pending_.Merge(transaction.writes(), ++last_ticket_);
    for (const auto& [key, entry] : transaction.writes().entries()) {
      if (entry.value) {
        request.batch.Put(key, *entry.value);
      } else {
        request.batch.Delete(key);
      }
    }
  }
  queue_.push_back(&request);
  return Wait(&request);
}

absl::Status Committer::Wait(Request* request) {
  while (!request->done) {
    if (committing_) {
      committed_.Wait(&mutex_);
    } else {
      CommitGroup();
    }
  }
  return request->status;
}

void Committer::CommitGroup() {
  const uint64_t last_of_group = last_ticket_;
  std::vector<Request*> group = std::exchange(queue_, {});
  WriteBatch batch;
  for (Request* request : group) batch.Append(std::move(request->batch));
  committing_ = true;
  mutex_.Unlock();
  absl::Status status = batch.empty() ? absl::OkStatus() : store_->Write(batch);
  mutex_.Lock();
  committing_ = false;
  if (status.ok()) {
    pending_.DropUpTo(last_of_group);
  } else {
    // What queued meanwhile may have read what was just lost.
    for (Request* request : queue_) group.push_back(request);
    queue_.clear();
    pending_.Clear();
  }
  for (Request* request : group) {
    request->status = status;
    request->done = true;
  }
  committed_.SignalAll();
}

}  // namespace perfvec::storage
