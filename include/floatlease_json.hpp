/// @file floatlease_json.hpp
/// The JSON that floatlease.hpp needs: it puts a text into a request, and reads a member of a reply, an event or an
/// error. It is no JSON library: for more, use the one of your program.

#ifndef FLOATLEASE_JSON_HPP
#define FLOATLEASE_JSON_HPP

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace floatlease {

/// Returns a text as a JSON string with its quotes. Any text is safe to put into a request by it.
///
///     client.check_feature("{\"feature\":" + floatlease::json_string(feature) + "}")
inline std::string json_string(std::string_view text)
{
    constexpr std::string_view hex = "0123456789abcdef";
    std::string json = "\"";

    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);

        if (c == '"' || c == '\\')
            json.append(1, '\\').append(1, c);
        else if (byte < 0x20)
            json.append("\\u00").append(1, hex[byte >> 4]).append(1, hex[byte & 15]);
        else
            json.append(1, c);
    }
    json.append(1, '"');
    return json;
}

/// Returns the same for a literal or a text of C, such as what getenv returns; null for nullptr, which is no text.
inline std::string json_string(const char *text)
{
    return text ? json_string(std::string_view(text)) : std::string("null");
}

/// Internals of this header. Programs do not use them.
namespace detail {

/// Returns the position after all characters of `passed` that stand at `at`.
inline std::size_t past(std::string_view json, std::size_t at, std::string_view passed) noexcept
{
    while (at < json.size() && passed.find(json[at]) != std::string_view::npos)
        ++at;
    return at;
}

/// Returns the position after the string that begins at `at`.
inline std::size_t past_string(std::string_view json, std::size_t at) noexcept
{
    for (++at; at < json.size(); ++at) {
        if (json[at] == '"')
            return at + 1;
        if (json[at] == '\\')
            ++at;
    }
    return json.size();
}

/// Returns the position after the value that begins at `at`, with all that is nested in it.
inline std::size_t past_value(std::string_view json, std::size_t at) noexcept
{
    std::size_t depth = 0;

    while (at < json.size()) {
        const char c = json[at];

        if (depth == 0 && std::string_view(",}] \t\r\n").find(c) != std::string_view::npos)
            return at;
        at = c == '"' ? past_string(json, at) : at + 1;
        if (c == '{' || c == '[')
            ++depth;
        else if (c == '}' || c == ']')
            --depth;
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            return at;
    }
    return at;
}

/// Returns the text from `at` on; "" if it ends before.
inline std::string_view from(std::string_view json, std::size_t at) noexcept
{
    return json.substr(at < json.size() ? at : json.size());
}

/// Returns the number of the four hexadecimal digits at `at`; that of the replacement character if there are none.
inline unsigned code_unit(std::string_view json, std::size_t at) noexcept
{
    const std::string_view digits = from(json, at).substr(0, 4);
    const char *const end = digits.data() + digits.size();
    unsigned unit = 0;

    return std::from_chars(digits.data(), end, unit, 16).ptr == end ? unit : 0xfffd;
}

/// Appends the character of that number.
inline void append_utf8(std::string &text, unsigned code)
{
    const auto append = [&text](unsigned byte) { text.append(1, static_cast<char>(byte)); };

    if (code < 0x80) {
        append(code);
    } else if (code < 0x800) {
        append(0xc0 | code >> 6);
        append(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        append(0xe0 | code >> 12);
        append(0x80 | (code >> 6 & 0x3f));
        append(0x80 | (code & 0x3f));
    } else {
        append(0xf0 | code >> 18);
        append(0x80 | (code >> 12 & 0x3f));
        append(0x80 | (code >> 6 & 0x3f));
        append(0x80 | (code & 0x3f));
    }
}

/// Returns the text of a JSON string that is given with its quotes.
inline std::string unquoted(std::string_view json)
{
    constexpr std::string_view letters = "bfnrt";
    constexpr std::string_view meant = "\b\f\n\r\t";
    std::string text;

    for (std::size_t at = 1; at + 1 < json.size(); ++at) {
        if (json[at] != '\\') {
            text.append(1, json[at]);
            continue;
        }
        const char escaped = json[++at];
        const std::size_t letter = letters.find(escaped);

        if (escaped == 'u') {
            unsigned code = code_unit(json, at + 1);

            at += 4;
            // A character beyond 16 bits is written as two surrogates. A single one is replaced below.
            if (code >= 0xd800 && code < 0xdc00 && from(json, at + 1).substr(0, 2) == "\\u") {
                const unsigned low = code_unit(json, at + 3);

                if (low >= 0xdc00 && low < 0xe000) {
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    at += 6;
                }
            }
            append_utf8(text, code >= 0xd800 && code < 0xe000 ? 0xfffd : code);
        } else {
            text.append(1, letter == std::string_view::npos ? escaped : meant[letter]);
        }
    }
    return text;
}

} // namespace detail

/// Returns the value of an object's own member as JSON text; "" if there is none. It lives as long as `json`.
inline std::string_view member(std::string_view json, std::string_view name)
{
    std::size_t at = detail::past(json, 0, " \t\r\n");

    if (at == json.size() || json[at] != '{')
        return {};
    for (++at;;) {
        at = detail::past(json, at, ", \t\r\n");
        if (at == json.size() || json[at] != '"')
            return {};
        const std::size_t colon = detail::past_string(json, at);
        const std::string key = detail::unquoted(json.substr(at, colon - at));

        at = detail::past(json, detail::past(json, colon, " \t\r\n"), ": \t\r\n");
        const std::size_t end = detail::past_value(json, at);

        if (key == name)
            return json.substr(at, end - at);
        at = end;
    }
}

/// Returns the value of an object's own member as a text: a string without quotes and escapes, null as "", anything
/// else as JSON text.
inline std::string text(std::string_view json, std::string_view name)
{
    const std::string_view value = member(json, name);

    if (!value.empty() && value.front() == '"')
        return detail::unquoted(value);
    return value == "null" ? std::string() : std::string(value);
}

/// Returns the value of an object's own member as an integer; 0 if it is none.
inline std::int64_t number(std::string_view json, std::string_view name)
{
    const std::string_view value = member(json, name);
    const char *const end = value.data() + value.size();
    std::int64_t number = 0;

    return std::from_chars(value.data(), end, number).ptr == end ? number : 0;
}

} // namespace floatlease

#endif
