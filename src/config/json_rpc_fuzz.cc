// The control socket's parser: any bytes, cut into lines and answered; each request once.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "config/json_rpc.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace olio;
    using namespace olio::config;
    static const MethodTable table({{"method",
                                     "Takes one of each.",
                                     {{"text", ParameterType::string, true, ""},
                                      {"number", ParameterType::integer, false, ""},
                                      {"flag", ParameterType::boolean, false, ""},
                                      {"size", ParameterType::size, false, ""}},
                                     [](const Json& parameters, Answer answer) {
                                         if (parameters.contains("size"))
                                             (void)size_of(parameters["size"]);
                                         answer.result(parameters);
                                     }}});
    LineFramer framer(4096);
    // The stream arrives in two pieces, cut where its first byte says.
    const std::size_t cut = size == 0 ? 0 : data[0] % size;
    const bool fits = framer.add({data, cut}) && framer.add({data + cut, size - cut});
    if (!fits)
        return 0;
    while (const auto line = framer.next(true)) {
        int answers = 0;
        answer_message(table, *line, [&answers](const std::string& text) {
            ++answers;
            if (!text.empty() && !Json::accept(text))
                std::abort();
        });
        if (answers != 1)
            std::abort();
    }
    return 0;
}
