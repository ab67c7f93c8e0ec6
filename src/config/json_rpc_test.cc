#include "config/json_rpc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace olio::config {
namespace {

using testing::HasSubstr;

class JsonRpc : public testing::Test {
  protected:
    JsonRpc()
        : table_({{"add",
                   "Adds.",
                   {{"first", ParameterType::integer, true, "the first number"},
                    {"second", ParameterType::integer, false, "the second number"}},
                   [this](const Json& parameters, Answer answer) {
                       ++calls_;
                       answer.result(parameters["first"].get<std::uint64_t>() +
                                     parameters.value("second", std::uint64_t{1}));
                   }},
                  {"grow",
                   "Takes a size.",
                   {{"size", ParameterType::size, true, "the size"}},
                   [](const Json& parameters, Answer answer) {
                       const auto size = size_of(parameters["size"]);
                       if (size)
                           answer.result(*size);
                       else
                           answer.error(size.error());
                   }},
                  {"later",
                   "Answers when told.",
                   {},
                   [this](const Json&, Answer answer) { kept_.push_back(std::move(answer)); }},
                  {"forget", "Never answers.", {}, [](const Json&, Answer) {}},
                  {"bytes", "Answers with what is not UTF-8.", {}, [](const Json&, Answer answer) {
                       answer.result("a\xFFz");
                   }}}) {}

    std::string ask(std::string_view message) {
        std::string text = "(no answer)";
        answer_message(table_, message, [&](std::string answer) { text = std::move(answer); });
        return text;
    }
    int error_code(std::string_view message) {
        const Json answer = Json::parse(ask(message), nullptr, false);
        return answer.is_discarded() || !answer.contains("error")
                   ? 0
                   : answer["error"]["code"].get<int>();
    }

    int calls_ = 0;
    std::vector<Answer> kept_;
    MethodTable table_;
};

TEST_F(JsonRpc, answers_a_request_with_its_id) {
    EXPECT_EQ(ask(R"({"jsonrpc":"2.0","id":7,"method":"add","params":{"first":2,"second":3}})"),
              R"({"jsonrpc":"2.0","id":7,"result":5})");
    EXPECT_EQ(ask(R"({"jsonrpc":"2.0","id":"x","method":"add","params":[2]})"),
              R"({"jsonrpc":"2.0","id":"x","result":3})");
    EXPECT_EQ(ask(R"({"jsonrpc":"2.0","id":null,"method":"add","params":[2]})"),
              R"({"jsonrpc":"2.0","id":null,"result":3})");
}

TEST_F(JsonRpc, says_nothing_to_a_notification_but_does_it) {
    EXPECT_EQ(ask(R"({"jsonrpc":"2.0","method":"add","params":[2]})"), "");
    EXPECT_EQ(calls_, 1);
    EXPECT_EQ(ask(R"({"jsonrpc":"2.0","method":"no such"})"), "");
}

TEST_F(JsonRpc, refuses_what_is_no_request_with_the_code_of_the_standard) {
    EXPECT_EQ(error_code("{"), -32700);
    EXPECT_EQ(error_code("\xFF\xFE"), -32700);
    EXPECT_EQ(error_code("7"), -32600);
    EXPECT_EQ(error_code(R"({"id":1,"method":"add"})"), -32600);
    EXPECT_EQ(error_code(R"({"jsonrpc":"1.0","id":1,"method":"add"})"), -32600);
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":[1],"method":"add"})"), -32600);
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":1,"method":5})"), -32600);
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":1,"method":"add","params":4})"), -32600);
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":1,"method":"nothing"})"), -32601);
    EXPECT_EQ(calls_, 0);
}

TEST_F(JsonRpc, checks_parameters_against_the_row) {
    const auto with = [this](const std::string& parameters) {
        return ask(R"({"jsonrpc":"2.0","id":1,"method":"add","params":)" + parameters + "}");
    };
    EXPECT_THAT(with("{}"), HasSubstr("needs the parameter 'first': the first number"));
    EXPECT_THAT(with(R"({"first":"2"})"), HasSubstr("must be a whole number"));
    EXPECT_THAT(with(R"({"first":-2})"), HasSubstr("must be a whole number"));
    EXPECT_THAT(with(R"({"first":18446744073709551615})"), HasSubstr("must be a whole number"));
    EXPECT_THAT(with(R"({"first":1,"third":1})"), HasSubstr("has no parameter 'third'"));
    EXPECT_THAT(with("[1,2,3]"), HasSubstr("takes 2 parameters, not 3"));
    EXPECT_EQ(calls_, 0);
}

TEST_F(JsonRpc, takes_sizes_as_numbers_and_as_text) {
    const auto with = [this](const std::string& size) {
        return ask(R"({"jsonrpc":"2.0","id":1,"method":"grow","params":[)" + size + "]}");
    };
    EXPECT_THAT(with("4096"), HasSubstr(R"("result":4096)"));
    EXPECT_THAT(with("\"4K\""), HasSubstr(R"("result":4096)"));
    EXPECT_THAT(with("\"4Q\""), HasSubstr(R"("errno":22)"));
    EXPECT_THAT(with("true"), HasSubstr("-32602"));
}

TEST_F(JsonRpc, answers_a_batch_with_one_array_when_all_are_done) {
    std::string text = "(no answer)";
    answer_message(table_,
                   R"([{"jsonrpc":"2.0","id":1,"method":"later"},)"
                   R"({"jsonrpc":"2.0","method":"add","params":[1]},)"
                   R"({"jsonrpc":"2.0","id":2,"method":"add","params":[1]}, 5])",
                   [&](std::string answer) { text = std::move(answer); });
    EXPECT_EQ(text, "(no answer)");
    ASSERT_EQ(kept_.size(), 1U);
    kept_.front().result("done");
    kept_.clear();
    const Json answers = Json::parse(text);
    ASSERT_EQ(answers.size(), 3U);
    EXPECT_EQ(answers[0]["id"], 2);
    EXPECT_EQ(answers[1]["error"]["code"], -32600);
    EXPECT_EQ(answers[2]["result"], "done");
}

TEST_F(JsonRpc, refuses_empty_and_oversized_batches) {
    EXPECT_EQ(error_code("[]"), -32600);
    std::string many = "[";
    for (std::size_t i = 0; i <= limits::control_batch_requests; ++i)
        many += R"({"jsonrpc":"2.0","method":"add","params":[1]},)";
    many.back() = ']';
    EXPECT_EQ(error_code(many), -32600);
    EXPECT_EQ(calls_, 0);
    EXPECT_EQ(ask(R"([{"jsonrpc":"2.0","method":"add","params":[1]}])"), "");
}

TEST_F(JsonRpc, refuses_deep_nesting_before_it_parses) {
    const std::string deep(60'000, '[');
    EXPECT_EQ(error_code(deep), -32600);
    // Brackets in a string are only text.
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":1,"method":"[[[[[[[[[[[[[[[[[[[[[\"[[[["})"),
              -32601);
}

TEST_F(JsonRpc, a_forgotten_answer_is_an_internal_error) {
    EXPECT_EQ(error_code(R"({"jsonrpc":"2.0","id":1,"method":"forget"})"), -32603);
}

TEST_F(JsonRpc, replaces_what_is_not_utf8_in_answers) {
    EXPECT_THAT(ask(R"({"jsonrpc":"2.0","id":1,"method":"bytes"})"), HasSubstr("a\uFFFDz"));
}

TEST_F(JsonRpc, describes_its_methods) {
    const Json answer = Json::parse(ask(R"({"jsonrpc":"2.0","id":1,"method":"methods"})"));
    const Json& methods = answer["result"];
    ASSERT_EQ(methods.size(), 6U);
    EXPECT_EQ(methods[0]["name"], "add");
    EXPECT_EQ(methods[0]["parameters"][1]["required"], false);
    EXPECT_EQ(methods[1]["parameters"][0]["type"], "size");
    EXPECT_EQ(methods[5]["name"], "methods");
}

TEST(LineFramer, cuts_a_stream_at_newlines_however_it_arrives) {
    LineFramer framer(8);
    EXPECT_TRUE(framer.add(as_bytes("one\ntw")));
    EXPECT_EQ(framer.next(), "one");
    EXPECT_EQ(framer.next(), std::nullopt);
    EXPECT_TRUE(framer.partial());
    EXPECT_TRUE(framer.add(as_bytes("o\n\n \r\nthree\n")));
    EXPECT_EQ(framer.next(), "two");
    EXPECT_EQ(framer.next(), "three");
    EXPECT_EQ(framer.next(), std::nullopt);
    EXPECT_FALSE(framer.partial());
}

TEST(LineFramer, gives_the_last_line_without_newline_at_the_end) {
    LineFramer framer;
    EXPECT_TRUE(framer.add(as_bytes("a\nb")));
    EXPECT_EQ(framer.next(true), "a");
    EXPECT_EQ(framer.next(true), "b");
    EXPECT_EQ(framer.next(true), std::nullopt);
}

TEST(LineFramer, refuses_a_line_beyond_the_limit) {
    LineFramer exact(4);
    EXPECT_TRUE(exact.add(as_bytes("1234\n1234")));
    EXPECT_FALSE(exact.add(as_bytes("5")));
    LineFramer at_once(4);
    EXPECT_FALSE(at_once.add(as_bytes("1\n12345\n1")));
}

}  // namespace
}  // namespace olio::config
