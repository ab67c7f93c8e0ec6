#include "config/json_rpc.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/assert.h"
#include "base/size_text.h"

namespace olio::config {
namespace {

struct TypeRow {
    std::string_view name;
    std::string_view expected;
    bool (*matches)(const Json&);
};

bool is_count(const Json& value) {
    return value.is_number_unsigned() &&
           value.get<std::uint64_t>() <= static_cast<std::uint64_t>(INT64_MAX);
}

// In the order of ParameterType.
constexpr std::array<TypeRow, 4> type_rows{{
    {"string", "a string", [](const Json& value) { return value.is_string(); }},
    {"integer", "a whole number that is not negative", is_count},
    {"boolean", "true or false", [](const Json& value) { return value.is_boolean(); }},
    {"size", "a number of bytes, or a size such as \"10G\"",
     [](const Json& value) { return is_count(value) || value.is_string(); }},
}};

const TypeRow& row_of(ParameterType type) {
    return type_rows[static_cast<std::size_t>(type)];
}

// Whether arrays and objects stand deeper in each other than we want to follow. Quotes are minded,
// all else is the parser's to judge.
bool too_deep(std::string_view text) {
    std::size_t depth = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quoted) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '[' || c == '{') {
            if (++depth > limits::control_nesting)
                return true;
        } else if ((c == ']' || c == '}') && depth != 0) {
            --depth;
        }
    }
    return false;
}

// Parameters given by position get the names of the row (JSON-RPC 2.0, 4.2).
Result<Json> by_name(const Method& method, const Json& given) {
    if (given.is_object())
        return given;
    if (given.size() > method.parameters.size())
        return fail(0, fmt::format("method '{}' takes {} parameters, not {}", method.name,
                                   method.parameters.size(), given.size()));
    Json named = Json::object();
    for (std::size_t i = 0; i < given.size(); ++i)
        named[std::string(method.parameters[i].name)] = given[i];
    return named;
}

Result<Json> check_parameters(const Method& method, const Json& given) {
    auto named = by_name(method, given);
    if (!named)
        return named;
    for (const auto& [name, value] : named->items()) {
        const auto row =
            std::ranges::find(method.parameters, std::string_view(name), &Parameter::name);
        if (row == method.parameters.end())
            return fail(0, fmt::format("method '{}' has no parameter '{}'; 'methods' lists them",
                                       method.name, name));
        const TypeRow& type = row_of(row->type);
        if (!type.matches(value))
            return fail(0, fmt::format("parameter '{}' of method '{}' must be {}", name,
                                       method.name, type.expected));
    }
    for (const Parameter& parameter : method.parameters)
        if (parameter.required && !named->contains(parameter.name))
            return fail(0, fmt::format("method '{}' needs the parameter '{}': {}", method.name,
                                       parameter.name, parameter.help));
    return named;
}

// Why a message is no request of JSON-RPC 2.0; empty: it is one.
std::string_view fault_of(const Json& request) {
    if (!request.is_object())
        return "a request is an object";
    const auto version = request.find("jsonrpc");
    if (version == request.end() || *version != "2.0")
        return "a request has the member \"jsonrpc\": \"2.0\"";
    const auto id = request.find("id");
    if (id != request.end() && !id->is_string() && !id->is_number() && !id->is_null())
        return "the id of a request is a string, a number or null";
    const auto method = request.find("method");
    if (method == request.end() || !method->is_string())
        return "a request has the member \"method\", a string";
    const auto parameters = request.find("params");
    if (parameters != request.end() && !parameters->is_structured())
        return "\"params\" is an object or an array";
    return {};
}

void answer_request(const MethodTable& table, const Json& request, Answer::Sink sink) {
    if (const std::string_view fault = fault_of(request); !fault.empty())
        return sink(error_text(RpcError::invalid_request, fault));
    const auto id = request.find("id");
    Answer answer(id == request.end() ? std::string() : to_text(*id), std::move(sink));

    const auto& name = request["method"].get_ref<const std::string&>();
    const Method* method = table.find(name);
    if (method == nullptr)
        return answer.error(
            RpcError::method_not_found,
            fmt::format("there is no method '{:.64}'; the method 'methods' lists them all", name));
    const auto given = request.find("params");
    const auto parameters =
        check_parameters(*method, given == request.end() ? Json::object() : *given);
    if (!parameters)
        return answer.error(RpcError::invalid_parameters, parameters.error().message);
    method->handler(*parameters, std::move(answer));
}

// The answers of a batch, sent as one array when the last is there (JSON-RPC 2.0, 6).
struct Batch {
    explicit Batch(Answer::Sink to) : sink(std::move(to)) {}
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch() { sink(text.empty() ? text : text + "]"); }

    void add(const std::string& answer) {
        if (!answer.empty())
            text += (text.empty() ? "[" : ",") + answer;
    }

    Answer::Sink sink;
    std::string text;
};

void answer_batch(const MethodTable& table, const Json& requests, Answer::Sink sink) {
    if (requests.empty())
        return sink(error_text(RpcError::invalid_request, "the batch is empty"));
    if (requests.size() > limits::control_batch_requests)
        return sink(error_text(
            RpcError::invalid_request,
            fmt::format("a batch holds at most {} requests", limits::control_batch_requests)));
    auto batch = std::make_shared<Batch>(std::move(sink));
    for (const Json& request : requests)
        answer_request(table, request, [batch](const std::string& answer) { batch->add(answer); });
}

Json error_value(RpcError code, std::string_view message) {
    return {{"code", static_cast<int>(code)}, {"message", message}};
}

std::string response_text(std::string_view id, std::string_view member, const Json& value) {
    return fmt::format(R"({{"jsonrpc":"2.0","id":{},"{}":{}}})", id, member, to_text(value));
}

}  // namespace

std::string to_text(const Json& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string error_text(RpcError code, std::string_view message) {
    return response_text("null", "error", error_value(code, message));
}

Result<std::uint64_t> size_of(const Json& value) {
    if (value.is_string())
        return parse_size(value.get_ref<const std::string&>());
    return parse_size(fmt::format("{}", value.get<std::uint64_t>()));
}

Answer::Answer(std::string id, Sink sink) : id_(std::move(id)), sink_(std::move(sink)) {}

Answer::Answer(Answer&& other) noexcept
    : id_(std::move(other.id_)), sink_(std::exchange(other.sink_, nullptr)) {}

Answer::~Answer() {
    if (sink_)
        error(RpcError::internal, "the daemon gave no answer; it is ending");
}

void Answer::result(const Json& value) {
    send("result", value);
}

void Answer::error(RpcError code, std::string_view message) {
    send("error", error_value(code, message));
}

void Answer::error(const Error& error) {
    Json value = error_value(RpcError::failed, error.message);
    value["data"] = {{"errno", error.code}};
    send("error", value);
}

void Answer::send(std::string_view member, const Json& value) {
    OLIO_ASSERT(sink_, "a request is answered twice");
    Sink sink = std::exchange(sink_, nullptr);
    sink(id_.empty() ? std::string() : response_text(id_, member, value));
}

MethodTable::MethodTable(std::vector<Method> methods) : methods_(std::move(methods)) {
    methods_.push_back({"methods",
                        "Describes every method and its parameters.",
                        {},
                        [this](const Json&, Answer answer) { answer.result(describe()); }});
    for (const Method& method : methods_)
        OLIO_ASSERT(std::ranges::count(methods_, method.name, &Method::name) == 1,
                    "two methods have the same name");
}

const Method* MethodTable::find(std::string_view name) const noexcept {
    const auto found = std::ranges::find(methods_, name, &Method::name);
    return found == methods_.end() ? nullptr : &*found;
}

Json MethodTable::describe() const {
    Json all = Json::array();
    for (const Method& method : methods_) {
        Json parameters = Json::array();
        for (const Parameter& parameter : method.parameters)
            parameters.push_back({{"name", parameter.name},
                                  {"type", row_of(parameter.type).name},
                                  {"required", parameter.required},
                                  {"help", parameter.help}});
        all.push_back(
            {{"name", method.name}, {"help", method.help}, {"parameters", std::move(parameters)}});
    }
    return all;
}

void answer_message(const MethodTable& table, std::string_view message, Answer::Sink sink) {
    if (too_deep(message))
        return sink(error_text(RpcError::invalid_request,
                               fmt::format("arrays and objects stand more than {} deep in each "
                                           "other",
                                           limits::control_nesting)));
    const Json parsed = Json::parse(message, nullptr, false);
    if (parsed.is_discarded())
        return sink(error_text(RpcError::parse, "the line is not JSON"));
    if (parsed.is_array())
        return answer_batch(table, parsed, std::move(sink));
    answer_request(table, parsed, std::move(sink));
}

bool LineFramer::add(Bytes bytes) {
    buffer_.append(as_text(bytes));
    for (std::size_t start = 0; start <= buffer_.size();) {
        const std::size_t end = std::min(buffer_.find('\n', start), buffer_.size());
        if (end - start > limit_bytes_)
            return false;
        start = end + 1;
    }
    return true;
}

std::optional<std::string> LineFramer::next(bool at_end) {
    while (!buffer_.empty()) {
        const std::size_t end = buffer_.find('\n');
        if (end == std::string::npos && !at_end)
            return std::nullopt;
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end == std::string::npos ? end : end + 1);
        if (line.find_first_not_of(" \t\r") != std::string::npos)
            return line;
    }
    return std::nullopt;
}

}  // namespace olio::config
