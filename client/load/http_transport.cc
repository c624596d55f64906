#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/optional.hpp>
#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/load/load_transport.h"

namespace perfvec::client {
namespace {

namespace net = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using Error = boost::system::error_code;
using nlohmann::json;

constexpr uint64_t kMaxAnswerBytes = 256 << 20;

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.') {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

// The status that the server names in its answer.
absl::Status OutcomeOf(unsigned http_status, const std::string& body) {
  if (http_status == 200) return absl::OkStatus();
  const json error = json::parse(body, nullptr, false);
  if (error.is_object() && error.contains("error") &&
      error["error"].is_object()) {
    const std::string name = error["error"].value("status", "");
    for (int code = 1; code <= 16; ++code) {
      const auto candidate = static_cast<absl::StatusCode>(code);
      if (absl::StatusCodeToString(candidate) == name) {
        return absl::Status(candidate, error["error"].value("message", ""));
      }
    }
  }
  return absl::UnknownError(absl::StrCat("HTTP ", http_status));
}

struct Pending {
  http::request<http::string_body> request;
  absl::Time deadline;
  LoadTransport::Done done;
};

// All but Send and the ends run on the one thread of `io_`.
class HttpTransport final : public LoadTransport {
 public:
  HttpTransport(HttpTransportOptions options,
                net::ip::tcp::resolver::results_type endpoints)
      : options_(std::move(options)),
        endpoints_(std::move(endpoints)),
        work_(net::make_work_guard(io_)),
        thread_([this] { io_.run(); }) {}
  ~HttpTransport() override {
    net::post(io_, [this] {
      for (const auto& link : idle_) link->stream.close();
      idle_.clear();
      work_.reset();
    });
    thread_.join();
  }

  void Send(const LoadRequest& from, absl::Time deadline, Done done) override {
    auto call = std::make_shared<Pending>();
    call->request = MakeRequest(from);
    call->deadline = deadline;
    call->done = std::move(done);
    net::post(io_, [this, call] {
      waiting_.push_back(call);
      Next();
    });
  }

 private:
  struct Link {
    explicit Link(net::io_context& io) : stream(io) {}
    beast::tcp_stream stream;
    beast::flat_buffer buffer;
    boost::optional<http::response_parser<http::string_body>> parser;
    std::shared_ptr<Pending> call;
    bool connected = false;
    bool used = false;  // it has carried an answer before
  };
  using LinkPtr = std::shared_ptr<Link>;

  http::request<http::string_body> MakeRequest(const LoadRequest& from) const {
    http::request<http::string_body> request;
    request.version(11);
    request.set(http::field::host, options_.address);
    if (!options_.token.empty()) {
      request.set(http::field::authorization,
                  absl::StrCat("Bearer ", options_.token));
    }
    std::string target;
    switch (from.call) {
      case LoadCall::kPredict:
        target = absl::StrCat("/v1/predict?program=", Escaped(from.programs[0]),
                              "&architecture=", Escaped(from.architecture));
        break;
      case LoadCall::kRank:
        target = absl::StrCat("/v1/rank?program=", Escaped(from.programs[0]),
                              "&limit=", from.rank_limit);
        break;
      case LoadCall::kMatrix:
        request.method(http::verb::post);
        request.target("/v1/predict:matrix");
        request.set(http::field::content_type, "application/json");
        request.body() =
            json{{"programs", from.programs}, {"model", from.model}}.dump();
        request.prepare_payload();
        return request;
    }
    if (!from.model.empty()) {
      absl::StrAppend(&target, "&model=", Escaped(from.model));
    }
    request.method(http::verb::get);
    request.target(target);
    return request;
  }

  // Gives calls that wait to connections that are free or may be opened.
  void Next() {
    while (!waiting_.empty()) {
      std::shared_ptr<Pending> call = waiting_.front();
      if (absl::Now() >= call->deadline) {
        waiting_.pop_front();
        call->done(absl::DeadlineExceededError("no connection became free"));
        continue;
      }
      LinkPtr link;
      if (!idle_.empty()) {
        link = std::move(idle_.back());
        idle_.pop_back();
      } else if (links_ < options_.connections) {
        ++links_;
        link = std::make_shared<Link>(io_);
      } else {
        return;
      }
      waiting_.pop_front();
      link->call = std::move(call);
      Begin(link);
    }
  }

  void Begin(const LinkPtr& link) {
    link->parser.emplace();
    link->parser->body_limit(kMaxAnswerBytes);
    link->stream.expires_after(absl::ToChronoNanoseconds(
        std::max(absl::ZeroDuration(), link->call->deadline - absl::Now())));
    if (link->connected) {
      Write(link);
      return;
    }
    link->stream.async_connect(endpoints_, [this, link](
                                               const Error& error,
                                               const net::ip::tcp::endpoint&) {
      if (error) {
        End(link, error);
        return;
      }
      link->connected = true;
      Error ignored;
      link->stream.socket().set_option(net::ip::tcp::no_delay(true), ignored);
      Write(link);
    });
  }

  void Write(const LinkPtr& link) {
    http::async_write(link->stream, link->call->request,
                      [this, link](const Error& error, size_t) {
                        error ? End(link, error) : Read(link);
                      });
  }

  void Read(const LinkPtr& link) {
    http::async_read(
        link->stream, link->buffer, *link->parser,
        [this, link](const Error& error, size_t) { End(link, error); });
  }

  void Reopen(const LinkPtr& link) {
    auto fresh = std::make_shared<Link>(io_);
    fresh->call = std::move(link->call);
    link->stream.close();
    Begin(fresh);
  }

  void End(const LinkPtr& link, const Error& error) {
    absl::Status outcome;
    if (error == beast::error::timeout) {
      outcome = absl::DeadlineExceededError("no answer in time");
    } else if (error && link->used && !link->parser->got_some()) {
      // The server closes idle connections; what it has not answered a byte of
      // is sent again, once.
      Reopen(link);
      return;
    } else if (error) {
      outcome = absl::UnavailableError(
          absl::StrCat(options_.address, ": ", error.message()));
    } else {
      outcome = OutcomeOf(link->parser->get().result_int(),
                          link->parser->get().body());
    }
    const std::shared_ptr<Pending> call = std::move(link->call);
    if (error || !link->parser->get().keep_alive()) {
      --links_;  // the next call opens another
    } else {
      link->used = true;
      link->stream.expires_never();
      idle_.push_back(link);
    }
    call->done(outcome);
    Next();
  }

  const HttpTransportOptions options_;
  const net::ip::tcp::resolver::results_type endpoints_;
  net::io_context io_{1};
  net::executor_work_guard<net::io_context::executor_type> work_;
  std::deque<std::shared_ptr<Pending>> waiting_;
  std::vector<LinkPtr> idle_;
  int links_ = 0;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LoadTransport>> MakeHttpTransport(
    HttpTransportOptions options) {
  const size_t colon = options.address.rfind(':');
  net::io_context io;
  Error error = net::error::invalid_argument;
  net::ip::tcp::resolver::results_type endpoints;
  if (colon != std::string::npos) {
    std::string host = options.address.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    }
    endpoints = net::ip::tcp::resolver(io).resolve(
        host, options.address.substr(colon + 1), error);
  }
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", options.address,
        "\": expected HOST:PORT of the server's HTTP: ", error.message()));
  }
  return std::make_unique<HttpTransport>(std::move(options),
                                         std::move(endpoints));
}

}  // namespace perfvec::client
