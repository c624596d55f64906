#include "proto/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace perfvec {
namespace {

thread_local const LogScope* current_scope = nullptr;

absl::string_view View(spdlog::string_view_t text) {
  return {text.data(), text.size()};
}

std::string Escaped(absl::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&escaped, "\\x%02x", byte);
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

class Formatter final : public spdlog::formatter {
 public:
  Formatter(std::string component, LogFormat format)
      : component_(std::move(component)), format_(format) {}

  void format(const spdlog::details::log_msg& line,
              spdlog::memory_buf_t& to) override {
    const std::string time =
        absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", absl::FromChrono(line.time),
                         absl::UTCTimeZone());
    const absl::string_view level =
        View(spdlog::level::to_string_view(line.level));
    const absl::string_view request = LogScope::CurrentRequestId();
    const absl::string_view job =
        current_scope == nullptr ? "" : current_scope->job_id();
    std::string text;
    if (format_ == LogFormat::kJson) {
      nlohmann::ordered_json json = {{"time", time},
                                     {"level", level},
                                     {"component", component_},
                                     {"message", View(line.payload)}};
      if (!request.empty()) json["request_id"] = request;
      if (!job.empty()) json["job_id"] = job;
      // Bytes that are no UTF-8 become U+FFFD.
      text = json.dump(-1, ' ', false,
                       nlohmann::ordered_json::error_handler_t::replace);
    } else {
      text = absl::StrCat(time, " ");
      line.color_range_start = text.size();
      absl::StrAppend(&text, level);
      line.color_range_end = text.size();
      absl::StrAppend(&text, " ", Escaped(View(line.payload)));
      if (!request.empty()) absl::StrAppend(&text, " request_id=", request);
      if (!job.empty()) absl::StrAppend(&text, " job_id=", job);
    }
    text.push_back('\n');
    to.append(text.data(), text.data() + text.size());
  }

  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<Formatter>(component_, format_);
  }

 private:
  const std::string component_;
  const LogFormat format_;
};

}  // namespace

std::unique_ptr<spdlog::formatter> MakeLogFormatter(std::string component,
                                                    LogFormat format) {
  return std::make_unique<Formatter>(std::move(component), format);
}

void UseLog(const std::string& component, LogFormat format) {
  auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>(component, std::move(sink));
  logger->set_formatter(MakeLogFormatter(component, format));
  logger->set_level(spdlog::get_level());
  spdlog::set_default_logger(std::move(logger));
}

LogScope::LogScope(absl::string_view request_id, absl::string_view job_id)
    : request_id_(request_id), job_id_(job_id), outer_(current_scope) {
  current_scope = this;
}

absl::string_view LogScope::CurrentRequestId() {
  return current_scope == nullptr ? "" : current_scope->request_id();
}

LogScope::~LogScope() { current_scope = outer_; }

}  // namespace perfvec
