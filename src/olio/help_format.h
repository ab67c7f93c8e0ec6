// Help that fits a terminal: descriptions are wrapped and stay in their column.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <sstream>
#include <string>

namespace olio::cli {

class HelpFormatter final : public CLI::Formatter {
  public:
    static constexpr std::size_t name_columns = 30;
    static constexpr std::size_t line_columns = 96;

    HelpFormatter() { column_width(name_columns); }

    std::string make_option(const CLI::Option* option, bool is_positional) const override {
        const std::string name = make_option_name(option, is_positional) + make_option_opts(option);
        return row(name, make_option_desc(option));
    }

    std::string make_subcommand(const CLI::App* verb) const override {
        return row(verb->get_name(), verb->get_description());
    }

    // What an option takes, without CLI11's marks for lists and the like.
    std::string make_option_opts(const CLI::Option* option) const override {
        if (option->get_type_size() == 0)
            return {};
        const std::string type = option->get_positional() ? "" : " " + option->get_type_name();
        return option->get_required() && !option->get_positional() ? type + " (required)" : type;
    }

  private:
    static std::string row(const std::string& name, const std::string& description) {
        std::string line = "  " + name;
        std::string text;
        if (line.size() + 2 > name_columns) {
            text = line + "\n";
            line.clear();
        }
        line.resize(name_columns, ' ');
        std::istringstream words(description);
        for (std::string word; words >> word;) {
            if (line.size() > name_columns && line.size() + word.size() > line_columns) {
                text += line + "\n";
                line.assign(name_columns, ' ');
            }
            line += word + " ";
        }
        line.erase(line.find_last_not_of(' ') + 1);
        return text + line + "\n";
    }
};

}  // namespace olio::cli
