// floatlease_json.hpp: what is written can be read, and what is no JSON does no harm. It is run as wrappers.cpp is.
#include "expect.hpp"

#include <string>
#include <string_view>
#include <vector>

using floatlease::json_string, floatlease::member, floatlease::number, floatlease::text;

static constexpr std::string_view json =
    R"( { "a" : -12 , "deep":{"a":[1,{"b":"}\"]"}],"b":2},"b":"x\"y\\","n":null,"t":true,)"
    R"("\u0065":"\u00e4\ud83d\ude00\ud83dx\n\/","big":9007199254740993,"u":"\u00g0\udc00","z":""} )";

static void what_is_there_is_read()
{
    HOLD(number(json, "a") == -12 && text(json, "a") == "-12" && member(json, "a") == "-12");
    HOLD(member(json, "deep") == R"({"a":[1,{"b":"}\"]"}],"b":2})" && number(member(json, "deep"), "b") == 2);
    HOLD(text(json, "b") == R"(x"y\)" && member(json, "b") == R"("x\"y\\")" && number(json, "b") == 0);
    HOLD(text(json, "n").empty() && member(json, "n") == "null" && number(json, "n") == 0);
    HOLD(text(json, "t") == "true" && number(json, "t") == 0);
    HOLD(text(json, "e") == "\u00e4\U0001f600\ufffdx\n/");
    HOLD(number(json, "big") == 9007199254740993 && text(json, "u") == "\ufffd\ufffd" && text(json, "z").empty());
    HOLD(member(json, "none").empty() && text(json, "").empty() && number(json, "none") == 0);
    for (const char *none : {"2.5", "1e3", "-", "99999999999999999999", "[7]"})
        HOLD(number(std::string("{\"a\":") + none + "}", "a") == 0);
    HOLD(member("[1]", "a").empty() && member("", "a").empty() && member({}, "a").empty());
}

static void whatever_is_cut_or_altered_nothing_beyond_the_end_is_read()
{
    std::size_t read = 0;

    for (std::size_t length = 0; length <= json.size(); ++length) {
        const std::vector<char> cut(json.begin(), json.begin() + static_cast<std::ptrdiff_t>(length));
        const std::string_view view(cut.data(), cut.size());

        for (const char *name : {"a", "b", "e", "u", "none"})
            read += text(view, name).size() + static_cast<std::size_t>(number(view, name) != 0);
    }
    for (std::size_t at = 0; at < json.size(); ++at)
        for (const char other : {'"', '\\', '{', '}', ']', ',', ':', 'u', '\0'}) {
            std::vector<char> altered(json.begin(), json.end());

            altered[at] = other;
            read += text(std::string_view(altered.data(), altered.size()), "e").size();
        }
    HOLD(read > 0);
}

static void what_is_written_is_read_again()
{
    std::string all = "\u00e4\U0001f600";

    for (int byte = 0; byte < 128; ++byte)
        all += static_cast<char>(byte);
    for (const std::string &written : {all, std::string(), std::string(1000000, '"')}) {
        const std::string object = "{\"b\":[]," + json_string(written) + ":" + json_string(written) + "}";

        HOLD(text(object, written) == written && object.find('\n') == std::string::npos);
    }
    const char *const none = nullptr;

    HOLD(json_string(none) == "null" && json_string(nullptr) == "null" && json_string("null") == "\"null\"");
    HOLD(json_string(std::string_view("\0\x1f\x7f", 3)) == "\"\\u0000\\u001f\x7f\"");
}

int main()
{
    what_is_there_is_read();
    whatever_is_cut_or_altered_nothing_beyond_the_end_is_read();
    what_is_written_is_read_again();
    std::printf("%d checks hold\n", checks);
}
