#include "scsi/log_pages.h"

#include <algorithm>
#include <optional>

#include "scsi/background.h"
#include "scsi/logical_unit_state.h"
#include "scsi/pollable_sense.h"
#include "scsi/provisioning.h"
#include "scsi/sense_codes.h"

namespace olio::scsi {

namespace {

constexpr std::uint8_t code_mask = 0x3F;
constexpr std::uint8_t subpage_format = 0x40;  // SPF
constexpr std::uint8_t disable_save = 0x80;    // DS: values are not saved
constexpr std::uint8_t all_subpages = 0xFF;
constexpr std::size_t parameter_header_bytes = 4;
constexpr std::uint8_t resources_page = 0x0C;

bool has_wear(const LogicalUnitState& state) {
    return state.endurance_used_percent.has_value();
}

bool has_resources(const LogicalUnitState& state) {
    return state.provisioning.reports_resources;
}

// The store may fail to tell what it usually can.
bool resources_are_known(const LogicalUnitState& state) {
    return state.provisioning.resources_known;
}

// Logical Block Provisioning: the parameter code says which resource.
void put_resources(const LogParameter& parameter, const LogicalUnitState& state, const LogValues&,
                   Builder& into) {
    put_resource(state, static_cast<MappingResource>(parameter.code), into);
}

// Number 0001h is the newest.
void put_self_test(const LogParameter& parameter, const LogicalUnitState& state, const LogValues&,
                   Builder& into) {
    put_self_test_result(state.self_tests, parameter.code - 1U, into);
}

void forget_self_tests(LogChanges& changes) {
    changes.forgets_self_tests = true;
}

void put_start_stop_cycles(const LogParameter&, const LogicalUnitState& state, const LogValues&,
                           Builder& into) {
    into.be32(state.start_stop_cycles);
}

void put_power_transitions(const LogParameter& parameter, const LogicalUnitState& state,
                           const LogValues&, Builder& into) {
    into.be32(state.power_transitions[parameter.code]);
}

constexpr std::array access_statistics{LogCounter::read_commands, LogCounter::write_commands,
                                       LogCounter::blocks_received, LogCounter::blocks_transmitted};

// General access statistics: processing times are not measured, so their intervals stay zero.
void put_access_statistics(const LogParameter&, const LogicalUnitState&, const LogValues& values,
                           Builder& into) {
    for (const LogCounter counter : access_statistics)
        into.be64(values[counter]);
    into.zeros(32);
}

void reset_access_statistics(LogChanges& changes) {
    for (const LogCounter counter : access_statistics)
        changes.counters.push_back({counter, 0});
}

void put_exceptions(const LogParameter&, const LogicalUnitState& state, const LogValues&,
                    Builder& into) {
    constexpr std::uint8_t temperature_unknown = 0xFF;
    const SenseData now = informational_exception(state);
    into.u8(now.additional.code);
    into.u8(now.additional.qualifier);
    into.u8(temperature_unknown);
    into.u8(0);
}

void put_endurance(const LogParameter&, const LogicalUnitState& state, const LogValues&,
                   Builder& into) {
    into.be24(0);
    into.u8(state.endurance_used_percent.value_or(0));
}

constexpr std::array pages{
    LogPage{0x00, 0x00, "Supported Log Pages", "SPC-5 7.3.15"},
    LogPage{0x00, 0xFF, "Supported Log Pages And Subpages", "SPC-5 7.3.16"},
    LogPage{0x02, 0x00, "Write Error Counters", "SPC-5 7.3"},
    LogPage{0x03, 0x00, "Read Error Counters", "SPC-5 7.3"},
    LogPage{0x05, 0x00, "Verify Error Counters", "SPC-5 7.3"},
    LogPage{0x06, 0x00, "Non-Medium Error", "SPC-5 7.3"},
    LogPage{resources_page, 0x00, "Logical Block Provisioning", "SBC-4 6.4", has_resources},
    LogPage{0x0E, 0x00, "Start-Stop Cycle Counter", "SPC-5 7.3"},
    LogPage{0x10, 0x00, "Self-Test Results", "SPC-5 7.3"},
    LogPage{0x11, 0x00, "Solid State Media", "SBC-4 6.4", has_wear},
    LogPage{0x19, 0x00, "General Statistics And Performance", "SPC-5 7.3"},
    LogPage{0x1A, 0x00, "Power Condition Transitions", "SPC-5 7.3"},
    LogPage{0x2F, 0x00, "Informational Exceptions", "SPC-5 7.3"},
};

using enum LogCounter;

constexpr LogParameter counter(std::uint8_t page, std::uint16_t code, std::string_view name,
                               LogCounter counted) {
    return {.page = page,
            .subpage = 0,
            .code = code,
            .bytes = 8,
            .name = name,
            .format = LogFormat::bounded_counter,
            .counter = counted};
}

// Everything else is a list.
constexpr LogParameter list(std::uint8_t page, std::uint16_t code, std::uint8_t bytes,
                            std::string_view name, decltype(LogParameter::put) put,
                            decltype(LogParameter::reset) reset = nullptr) {
    return {.page = page,
            .subpage = 0,
            .code = code,
            .bytes = bytes,
            .name = name,
            .format = LogFormat::binary_list,
            .put = put,
            .reset = reset};
}

constexpr LogParameter resource(MappingResource which, std::string_view name) {
    LogParameter parameter = list(resources_page, static_cast<std::uint16_t>(which),
                                  resource_parameter_bytes, name, put_resources);
    parameter.present = resources_are_known;
    return parameter;
}

constexpr LogParameter statistics(std::uint16_t code, std::uint8_t bytes, std::string_view name,
                                  decltype(LogParameter::put) put,
                                  decltype(LogParameter::reset) reset) {
    LogParameter parameter = list(0x19, code, bytes, name, put, reset);
    parameter.format = LogFormat::unbounded_counter;
    return parameter;
}

constexpr LogParameter transitions(PowerCondition to, std::string_view name) {
    return list(0x1A, power_transition_code(to), 4, name, put_power_transitions);
}

constexpr std::array before_self_tests{
    counter(0x02, 0x0003, "Total errors corrected", always_zero),
    counter(0x02, 0x0005, "Total bytes processed", write_bytes),
    counter(0x02, 0x0006, "Total uncorrected errors", write_errors),
    counter(0x03, 0x0003, "Total errors corrected", always_zero),
    counter(0x03, 0x0005, "Total bytes processed", read_bytes),
    counter(0x03, 0x0006, "Total uncorrected errors", read_errors),
    counter(0x05, 0x0003, "Total errors corrected", always_zero),
    counter(0x05, 0x0005, "Total bytes processed", verify_bytes),
    counter(0x05, 0x0006, "Total uncorrected errors", verify_errors),
    counter(0x06, 0x0000, "Non-medium error count", non_medium_errors),
    resource(MappingResource::available, "Available LBA mapping resource count"),
    resource(MappingResource::used, "Used LBA mapping resource count"),
    list(0x0E, 0x0004, 4, "Accumulated start-stop cycles", put_start_stop_cycles),
};

constexpr std::array behind_self_tests{
    list(0x11, 0x0001, 4, "Percentage used endurance indicator", put_endurance),
    statistics(0x0001, 64, "General access statistics and performance", put_access_statistics,
               reset_access_statistics),
    transitions(PowerCondition::active, "Accumulated transitions to active"),
    transitions(PowerCondition::idle_a, "Accumulated transitions to idle_a"),
    transitions(PowerCondition::idle_b, "Accumulated transitions to idle_b"),
    transitions(PowerCondition::idle_c, "Accumulated transitions to idle_c"),
    transitions(PowerCondition::standby_z, "Accumulated transitions to standby_z"),
    transitions(PowerCondition::standby_y, "Accumulated transitions to standby_y"),
    list(0x2F, 0x0000, 4, "Informational exceptions general", put_exceptions),
};

constexpr auto parameters = [] {
    constexpr std::size_t self_tests = SelfTestLog::most;
    std::array<LogParameter, before_self_tests.size() + self_tests + behind_self_tests.size()>
        all{};
    auto next = std::ranges::copy(before_self_tests, all.begin()).out;
    for (std::size_t i = 1; i <= self_tests; ++i)
        *next++ = list(0x10, static_cast<std::uint16_t>(i), self_test_parameter_bytes,
                       "Self-test results", put_self_test, forget_self_tests);
    std::ranges::copy(behind_self_tests, next);
    return all;
}();

constexpr bool tables_are_sound() {
    for (std::size_t i = 1; i < pages.size(); ++i)
        if ((pages[i - 1].code << 8 | pages[i - 1].subpage) >=
            (pages[i].code << 8 | pages[i].subpage))
            return false;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
        const LogParameter& p = parameters[i];
        bool has_page = false;
        for (const LogPage& page : pages)
            has_page = has_page || (page.code == p.page && page.subpage == p.subpage);
        const bool bounded = p.format == LogFormat::bounded_counter;
        if (!has_page || bounded != (p.put == nullptr) || (bounded && p.bytes != 8))
            return false;
        if (i == 0)
            continue;
        const LogParameter& before = parameters[i - 1];
        const auto place = [](const LogParameter& each) {
            return std::uint64_t{each.page} << 24 | std::uint64_t{each.subpage} << 16 | each.code;
        };
        if (place(before) >= place(p))
            return false;
    }
    return true;
}
static_assert(tables_are_sound(), "pages and parameters ascend, and each parameter has a page");

bool belongs(const LogParameter& parameter, const LogPage& page) {
    return parameter.page == page.code && parameter.subpage == page.subpage;
}

bool is_counter(const LogParameter& parameter) {
    return parameter.format == LogFormat::bounded_counter;
}

bool is_shown(const LogicalUnitState& state, const LogParameter& parameter) {
    return parameter.present == nullptr || parameter.present(state);
}

bool has_page(const LogicalUnitState& state, const LogPage& page) {
    return page.present == nullptr || page.present(state);
}

// The page that the CDB names, or why not.
std::expected<const LogPage*, SenseData> find_page(const LogicalUnitState& state, std::uint8_t code,
                                                   std::uint8_t subpage) {
    bool code_known = false;
    for (const LogPage& page : pages) {
        if (page.code != code || !has_page(state, page))
            continue;
        if (page.subpage == subpage)
            return &page;
        code_known = true;
    }
    return std::unexpected(code_known ? invalid_field_in_cdb(3) : invalid_field_in_cdb(2, 5));
}

// PC, page control.
enum class LogControl : std::uint8_t {
    threshold,
    cumulative,
    default_threshold,
    default_cumulative,
};

// The largest value of a counter is also its threshold.
void put_counter(const LogParameter& parameter, LogControl control, const LogValues& values,
                 Builder& into) {
    std::uint64_t value = values[parameter.counter];
    if (control == LogControl::threshold || control == LogControl::default_threshold)
        value = ~std::uint64_t{0};
    else if (control == LogControl::default_cumulative)
        value = 0;
    into.be64(value);
}

void put_parameter(const LogParameter& parameter, LogControl control, const LogicalUnitState& state,
                   const LogValues& values, Builder& into) {
    into.be16(parameter.code);
    into.u8(static_cast<std::uint8_t>(parameter.format));
    into.u8(parameter.bytes);
    if (is_counter(parameter))
        put_counter(parameter, control, values, into);
    else
        parameter.put(parameter, state, values, into);
}

void put_list_of_pages(const LogPage& asked, const LogicalUnitState& state, Builder& into) {
    for (const LogPage& page : pages) {
        if (!has_page(state, page) || (asked.subpage == 0 && page.subpage != 0))
            continue;
        into.u8(page.code);
        if (asked.subpage != 0)
            into.u8(page.subpage);
    }
}

// ---- LOG SELECT ----

std::unexpected<SenseData> wrong_at(std::size_t byte) {
    return std::unexpected(invalid_field_in_parameter_list(static_cast<std::uint16_t>(byte)));
}

// One parameter at `at` of a page; returns where the next one begins.
std::expected<std::size_t, SenseData> select_parameter(const LogPage& page, Bytes list,
                                                       std::size_t at, std::size_t end,
                                                       bool cumulative, LogChanges& changes) {
    if (end - at < parameter_header_bytes)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const auto code = load_be<std::uint16_t>(list.data() + at);
    const auto found = std::ranges::find_if(parameters, [&](const LogParameter& parameter) {
        return belongs(parameter, page) && parameter.code == code;
    });
    if (found == parameters.end() || !is_counter(*found))
        return wrong_at(at);
    if (list[at + 2] != 0)  // DU to FORMAT AND LINKING are as LOG SENSE says
        return wrong_at(at + 2);
    if (list[at + 3] != found->bytes)
        return wrong_at(at + 3);
    const std::size_t next = at + parameter_header_bytes + found->bytes;
    if (next > end)
        return std::unexpected(make_sense(sense::parameter_list_length_error));
    const auto value = load_be<std::uint64_t>(list.data() + at + parameter_header_bytes);
    if (cumulative) {
        if (found->counter == LogCounter::always_zero && value != 0)
            return wrong_at(at + parameter_header_bytes);
        changes.counters.push_back({found->counter, value});
    } else if (value != ~std::uint64_t{0}) {
        return wrong_at(at + parameter_header_bytes);  // thresholds cannot be changed
    }
    return next;
}

std::expected<LogChanges, SenseData> select_list(const Request& request, Bytes list,
                                                 bool cumulative) {
    constexpr std::size_t page_header_bytes = 4;
    LogChanges changes;
    std::size_t at = 0;
    int before = -1;
    while (at < list.size()) {
        if (list.size() - at < page_header_bytes)
            return std::unexpected(make_sense(sense::parameter_list_length_error));
        const std::uint8_t code = list[at] & code_mask;
        const std::uint8_t subpage = (list[at] & subpage_format) != 0 ? list[at + 1] : 0;
        const int place = code << 8 | subpage;
        const auto page = find_page(*request.state, code, subpage);
        if (!page || place <= before)  // SPC-5 6.7: pages come in ascending order
            return wrong_at(at);
        if ((list[at] & subpage_format) == 0 && list[at + 1] != 0)
            return wrong_at(at + 1);
        before = place;
        const std::size_t length = load_be<std::uint16_t>(list.data() + at + 2);
        if (length > list.size() - at - page_header_bytes)
            return std::unexpected(make_sense(sense::parameter_list_length_error));
        const std::size_t end = at + page_header_bytes + length;
        at += page_header_bytes;
        while (at < end) {
            const auto next = select_parameter(**page, list, at, end, cumulative, changes);
            if (!next)
                return std::unexpected(next.error());
            at = *next;
        }
    }
    return changes;
}

// Every counter of one page, or (00h/00h and FFh) of all, back to zero, and the lists that can be
// reset.
std::expected<LogChanges, SenseData> reset(const Request& request) {
    const std::uint8_t code = request.cdb[2] & code_mask;
    const std::uint8_t subpage = request.cdb[3];
    const bool all_pages = code == 0 && (subpage == 0 || subpage == all_subpages);
    LogChanges changes;
    bool found = all_pages;
    for (const LogPage& page : pages) {
        const bool chosen = all_pages || (page.code == code &&
                                          (page.subpage == subpage || subpage == all_subpages));
        if (!chosen || !has_page(*request.state, page))
            continue;
        found = true;
        for (const LogParameter& parameter : parameters) {
            if (!belongs(parameter, page))
                continue;
            if (is_counter(parameter))
                changes.counters.push_back({parameter.counter, 0});
            else if (parameter.reset != nullptr)
                parameter.reset(changes);
        }
    }
    if (!found)
        return std::unexpected(find_page(*request.state, code, subpage).error());
    return changes;
}

}  // namespace

std::span<const LogPage> log_pages() noexcept {
    return pages;
}

std::span<const LogParameter> log_parameters() noexcept {
    return parameters;
}

std::expected<void, SenseData> log_sense(const Request& request, const LogValues& values,
                                         Builder& into) {
    const LogicalUnitState& state = *request.state;
    const auto control = static_cast<LogControl>(request.cdb[2] >> 6);
    const auto pointer = load_be<std::uint16_t>(request.cdb.data() + 5);
    const auto found = find_page(state, request.cdb[2] & code_mask, request.cdb[3]);
    if (!found)
        return std::unexpected(found.error());
    const LogPage& page = **found;
    const bool lists_pages = page.code == 0;
    std::optional<std::uint16_t> largest;
    bool counters = false;
    for (const LogParameter& parameter : parameters)
        if (belongs(parameter, page) && is_shown(state, parameter)) {
            largest = parameter.code;
            counters = counters || is_counter(parameter);
        }
    // SPC-5 6.8: a pointer beyond the last parameter.
    if (pointer != 0 && (!largest || pointer > *largest))
        return std::unexpected(invalid_field_in_cdb(5));
    into.u8(static_cast<std::uint8_t>(page.code | (page.subpage != 0 ? subpage_format : 0) |
                                      (counters ? disable_save : 0)));
    into.u8(page.subpage);
    into.be16(0);  // PAGE LENGTH, below
    if (lists_pages)
        put_list_of_pages(page, state, into);
    for (const LogParameter& parameter : parameters)
        if (belongs(parameter, page) && is_shown(state, parameter) && parameter.code >= pointer)
            put_parameter(parameter, control, state, values, into);
    into.patch(2, static_cast<std::uint16_t>(into.size() - 4));
    return {};
}

bool log_sense_shows_resources(Bytes cdb) noexcept {
    return (cdb[2] & code_mask) == resources_page;
}

std::expected<LogChanges, SenseData> log_select(const Request& request, Bytes list) {
    constexpr std::uint8_t parameter_code_reset = 0x02;  // PCR
    const bool reset_wanted = (request.cdb[1] & parameter_code_reset) != 0;
    const auto control = static_cast<LogControl>(request.cdb[2] >> 6);
    if (list.empty()) {
        if (reset_wanted || control == LogControl::default_cumulative)
            return reset(request);
        // Thresholds never change, and there is nothing to set values to.
        return LogChanges{};
    }
    if (reset_wanted)
        return std::unexpected(invalid_field_in_cdb(1, 1));
    if ((request.cdb[2] & code_mask) != 0)
        return std::unexpected(invalid_field_in_cdb(2, 5));
    if (request.cdb[3] != 0)
        return std::unexpected(invalid_field_in_cdb(3));
    if (control == LogControl::default_threshold || control == LogControl::default_cumulative)
        return std::unexpected(invalid_field_in_cdb(2, 7));
    return select_list(request, list, control == LogControl::cumulative);
}

}  // namespace olio::scsi
