// Helpers of the larger examples that have nothing to do with licenses. A product has its own.
#ifndef COMMON_HPP
#define COMMON_HPP

#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

/// Writes a new file beside the old one first, so that one of the two is complete whatever goes wrong.
inline bool write_whole(const std::filesystem::path &path, const std::string &text)
{
    std::filesystem::path beside = path;
    std::error_code error;

    beside += ".new";
    {
        std::ofstream file(beside, std::ios::binary);

        if (!file.write(text.data(), static_cast<std::streamsize>(text.size())).flush())
            return false;
    }
    std::filesystem::rename(beside, path, error);
    return !error;
}

/// Returns the content of a file; "" if there is none.
inline std::string read_whole(const std::filesystem::path &path)
{
    std::ifstream file(path, std::ios::binary);

    return std::string(std::istreambuf_iterator<char>(file), {});
}

#endif
