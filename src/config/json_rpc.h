// JSON-RPC 2.0 without sockets: from the text of one message to the text of its answer, by way of a
// table of methods. A method is one row; the check of its parameters, the list that `olio methods`
// prints and the help all read the row.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/limits.h"
#include "base/result.h"

namespace olio::config {

using Json = nlohmann::json;

// The standard's error codes (JSON-RPC 2.0, 5.1), and ours for a request that was understood but
// failed; that one's "data" holds {"errno": N}.
enum class RpcError : int {
    parse = -32700,
    invalid_request = -32600,
    method_not_found = -32601,
    invalid_parameters = -32602,
    internal = -32603,
    failed = -32000,
};

// The one answer to one request. Must be used once; if it is destroyed unused, the asker is told
// that the daemon gave no answer, so nobody waits forever. Use on the control server's shard.
class Answer {
  public:
    using Sink = std::move_only_function<void(std::string)>;

    // `id` is JSON text; empty: a notification, which gets no answer (the sink gets "").
    Answer(std::string id, Sink sink);
    Answer(Answer&& other) noexcept;
    Answer& operator=(Answer&&) = delete;
    ~Answer();

    void result(const Json& value);
    void error(RpcError code, std::string_view message);
    void error(const Error& error);

  private:
    void send(std::string_view member, const Json& value);

    std::string id_;
    Sink sink_;
};

enum class ParameterType : std::uint8_t {
    string,
    integer,  // 0 … 2^63 - 1
    boolean,
    size,  // bytes as an integer, or text as parse_size takes it
};

struct Parameter {
    std::string_view name;
    ParameterType type = ParameterType::string;
    bool required = true;
    std::string_view help;
};

struct Method {
    std::string_view name;
    std::string_view help;  // one sentence
    std::vector<Parameter> parameters;
    // `parameters` is an object that holds only what the row names, each of its type, everything
    // required included. The handler may keep the answer and use it later.
    std::function<void(const Json& parameters, Answer answer)> handler;
};

// Names are unique (asserted). The table adds the method "methods", which describes them all.
class MethodTable {
  public:
    explicit MethodTable(std::vector<Method> methods);
    MethodTable(const MethodTable&) = delete;
    MethodTable& operator=(const MethodTable&) = delete;
    [[nodiscard]] const Method* find(std::string_view name) const noexcept;
    [[nodiscard]] Json describe() const;

  private:
    std::vector<Method> methods_;
};

// Answers one message: a request, a notification or a batch. `sink` is called exactly once, at once
// or later, with the text to send (without a newline), or "" if the standard wants nothing sent.
// The table must live until then.
void answer_message(const MethodTable& table, std::string_view message, Answer::Sink sink);

// The text of an error that belongs to no request.
[[nodiscard]] std::string error_text(RpcError code, std::string_view message);

// Bytes and text as they may stand in JSON: what is not UTF-8 is replaced.
[[nodiscard]] std::string to_text(const Json& value);

// Reads the value of a `size` parameter.
[[nodiscard]] Result<std::uint64_t> size_of(const Json& value);

// Cuts a stream into lines. A line is one message; empty ones are skipped.
class LineFramer {
  public:
    explicit LineFramer(std::size_t limit_bytes = limits::control_message_bytes)
        : limit_bytes_(limit_bytes) {}

    // False if a line grew longer than the limit; the stream is of no use after that.
    [[nodiscard]] bool add(Bytes bytes);
    // The next complete line, or with `at_end` what is left of the stream.
    [[nodiscard]] std::optional<std::string> next(bool at_end = false);
    // Something was received that is no complete line yet.
    [[nodiscard]] bool partial() const noexcept { return !buffer_.empty(); }

  private:
    std::size_t limit_bytes_;
    std::string buffer_;
};

}  // namespace olio::config
