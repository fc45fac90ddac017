/*
 * What the larger examples share, which has nothing to do with licenses: a member of a JSON object, a file that is
 * replaced whole, a line of the input. A product has its own.
 */
#ifndef COMMON_H
#define COMMON_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the object's own member of that name has its value, or NULL; the objects inside it are passed over. */
static inline const char *find_member(const char *json, const char *name)
{
    int depth = 0;

    for (const char *at = json ? json : ""; *at; at++) {
        if (*at == '{' || *at == '[')
            depth++;
        else if (*at == '}' || *at == ']')
            depth--;
        else if (*at == '"') {
            const char *text = ++at;

            while (*at && *at != '"')
                at += at[0] == '\\' && at[1] ? 2 : 1;
            if (!*at)
                return NULL;
            size_t length = (size_t)(at - text);
            const char *colon = at + 1 + strspn(at + 1, " \r\n\t");

            if (depth == 1 && *colon == ':' && length == strlen(name) && !strncmp(text, name, length))
                return colon + 1 + strspn(colon + 1, " \r\n\t");
        }
    }
    return NULL;
}

/* Copies that value: good enough for what is needed here, no replacement for a JSON parser. "" if there is none. */
static inline const char *member(const char *json, const char *name, char *value, size_t size)
{
    const char *from = find_member(json, name);
    const char *end = from && *from == '"' ? from++, "\"" : " ,}";
    size_t length = 0;

    for (; from && *from && !strchr(end, *from) && length + 1 < size; from++) {
        if (*from == '\\' && from[1])
            from++;
        value[length++] = *from;
    }
    value[length] = '\0';
    return value;
}

/* Writes beside the old file first: whatever goes wrong, one of the two is whole. */
static inline bool write_whole(const char *path, const char *text)
{
    char beside[1024];
    int length = snprintf(beside, sizeof beside, "%s.new", path);
    FILE *file = length < (int)sizeof beside ? fopen(beside, "wb") : NULL;

    if (!file)
        return false;
    bool written = fputs(text, file) >= 0;

    return !fclose(file) && written && !rename(beside, path);
}

/* The line that was typed within a second, "" if none was; false at the end of the input. */
static inline bool read_line(char *line, size_t size)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    size_t length = 0;

    line[0] = '\0';
    if (poll(&input, 1, 1000) <= 0)
        return true;
    while (length + 1 < size && read(STDIN_FILENO, line + length, 1) == 1)
        if (line[length++] == '\n')
            break;
    line[length] = '\0';
    return length > 0;
}

#endif
