/* TOML 1.0.0 by toml++, header-only, behind the C interface of toml.h.
 *
 * Built with TOML_EXCEPTIONS=0 and NDEBUG (its assertions abort on five invalid files of the official suite). What may still throw is the allocator: caught
 * here. toml++ frees its tables recursively and knows no limit for dotted keys, so chains of dots are bounded before it sees them: at most 128
 * nested values times 32 dots, which any stack holds. */
extern "C" {
#include "toml.h"
}

#define TOML_EXCEPTIONS        0
#define TOML_HEADER_ONLY       1
#define TOML_MAX_NESTED_VALUES 128
#include <toml++/toml.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace
{

constexpr int max_dots = 32;

struct limit_reached {
};

/* Skips a string that begins at text[i] (on its quote); returns the offset behind it. */
size_t skip_string(const char *text, size_t len, size_t i)
{
    char quote = text[i];
    bool multi = len - i >= 3 && text[i + 1] == quote && text[i + 2] == quote;
    for (i += multi ? 3 : 1; i < len; i++) {
        if (text[i] == '\\' && quote == '"') {
            i++;
        } else if (!multi && (text[i] == quote || text[i] == '\n')) {
            return i + 1;
        } else if (multi && text[i] == quote && len - i >= 3 && text[i + 1] == quote && text[i + 2] == quote) {
            for (i += 3; i < len && text[i] == quote;)
                i++;
            return i;
        }
    }
    return len;
}

enum class trouble { none, dots, character };

/* Looks at what stands outside of strings and comments: the first dotted key with too many parts, or the first character that is not ASCII.
 * The latter no TOML allows there, and toml++ 3.3 meets it with undefined behaviour (an "unreachable" branch of its table of blanks). */
trouble find_trouble(const char *text, size_t len, size_t *out_at)
{
    int dots = 0;
    bool mark = len >= 3 && std::memcmp(text, "\xEF\xBB\xBF", 3) == 0;
    for (size_t i = mark ? 3 : 0; i < len;) {
        char c = text[i];
        *out_at = i;
        if (c == '"' || c == '\'') {
            i = skip_string(text, len, i);
            continue;
        }
        if (static_cast<unsigned char>(c) >= 0x80)
            return trouble::character;
        if (c == '#')
            while (i < len && text[i] != '\n')
                i++;
        else
            i++;
        if (c == '.' && ++dots > max_dots)
            return trouble::dots;
        if (c == '\n' || c == '=' || c == ',' || c == '[' || c == '{' || c == '#')
            dots = 0;
    }
    return trouble::none;
}

class converter
{
  public:
    explicit converter(rb_arena *arena) : arena_(arena)
    {
    }

    rb_doc_node *convert(const toml::node &node, unsigned depth)
    {
        if (depth > RB_DOC_MAX_DEPTH || ++count_ > RB_DOC_MAX_NODES)
            throw limit_reached();
        auto *out = static_cast<rb_doc_node *>(alloc(1, sizeof(rb_doc_node)));
        out->line = node.source().begin.line;
        out->column = node.source().begin.column;
        if (const auto *table = node.as_table())
            fill_table(out, *table, depth);
        else if (const auto *array = node.as_array())
            fill_list(out, *array, depth);
        else
            fill_scalar(out, node);
        return out;
    }

  private:
    rb_arena *arena_;
    size_t count_ = 0;

    void *alloc(size_t count, size_t size)
    {
        void *memory = rb_arena_array(arena_, count ? count : 1, size);
        if (!memory)
            throw std::bad_alloc();
        return memory;
    }

    const char *copy(const std::string &text)
    {
        const char *copied = rb_arena_strndup(arena_, text.data(), text.size());
        if (!copied)
            throw std::bad_alloc();
        return copied;
    }

    /* toml++ sorts its tables by key: put back into the order of the file. */
    void fill_table(rb_doc_node *out, const toml::table &table, unsigned depth)
    {
        std::vector<std::pair<const toml::key *, const toml::node *>> entries;
        for (auto it = table.cbegin(); it != table.cend(); ++it)
            entries.emplace_back(&it->first, &it->second);
        std::stable_sort(entries.begin(), entries.end(), [](const auto &a, const auto &b) {
            const auto &x = a.first->source().begin, &y = b.first->source().begin;
            return x.line != y.line ? x.line < y.line : x.column < y.column;
        });
        out->type = RB_DOC_TABLE;
        out->keys = static_cast<const char **>(alloc(entries.size(), sizeof(char *)));
        out->key_lens = static_cast<size_t *>(alloc(entries.size(), sizeof(size_t)));
        out->items = static_cast<rb_doc_node **>(alloc(entries.size(), sizeof(rb_doc_node *)));
        for (const auto &entry : entries) {
            out->keys[out->count] = copy(std::string(entry.first->str()));
            out->key_lens[out->count] = entry.first->str().size();
            out->items[out->count++] = convert(*entry.second, depth + 1);
        }
    }

    void fill_list(rb_doc_node *out, const toml::array &array, unsigned depth)
    {
        out->type = RB_DOC_LIST;
        out->items = static_cast<rb_doc_node **>(alloc(array.size(), sizeof(rb_doc_node *)));
        for (const auto &item : array)
            out->items[out->count++] = convert(item, depth + 1);
    }

    template <typename T> void fill_datetime(rb_doc_node *out, const T &value)
    {
        std::ostringstream text;
        text << value;
        out->type = RB_DOC_DATETIME;
        out->string = copy(text.str());
        out->string_len = text.str().size();
    }

    void fill_scalar(rb_doc_node *out, const toml::node &node)
    {
        if (const auto *text = node.as_string()) {
            out->type = RB_DOC_STRING;
            out->string = copy(text->get());
            out->string_len = text->get().size();
        } else if (const auto *integer = node.as_integer()) {
            out->type = RB_DOC_INT;
            out->integer = integer->get();
            out->number = static_cast<double>(integer->get());
        } else if (const auto *real = node.as_floating_point()) {
            out->type = RB_DOC_FLOAT;
            out->number = real->get();
        } else if (const auto *boolean = node.as_boolean()) {
            out->type = RB_DOC_BOOL;
            out->boolean = boolean->get();
        } else if (const auto *date = node.as_date()) {
            fill_datetime(out, date->get());
        } else if (const auto *time = node.as_time()) {
            fill_datetime(out, time->get());
        } else if (const auto *both = node.as_date_time()) {
            fill_datetime(out, both->get());
        }
    }
};

int failed(int code, char *out_message, size_t size, const char *message)
{
    std::snprintf(out_message, size, "%s", message);
    return code;
}

} // namespace

extern "C" int doc_parse_toml(const char *bytes, size_t len, rb_arena *arena, rb_doc_node **out_root, doc_place *out_place,
                              char *out_message, size_t message_size)
{
    *out_place = {1, 1};
    size_t at = 0;
    trouble found = find_trouble(bytes, len, &at);
    if (found != trouble::none) {
        doc_cursor cursor;
        doc_cursor_init(&cursor, bytes);
        *out_place = doc_cursor_at(&cursor, at);
        return found == trouble::dots ? failed(RB_ELIMIT, out_message, message_size, "a dotted key with more than 32 dots")
                                      : failed(RB_EPARSE, out_message, message_size, "a character outside of ASCII must stand in quotes");
    }
    try {
        toml::parse_result result = toml::parse(std::string_view(bytes, len));
        if (!result) {
            const auto &begin = result.error().source().begin;
            *out_place = {begin.line ? begin.line : 1, begin.column ? begin.column : 1};
            std::string text(result.error().description());
            if (text.find("TOML_MAX_NESTED_VALUES") != std::string::npos)
                return failed(RB_ELIMIT, out_message, message_size, "nested deeper than 128 levels");
            return failed(RB_EPARSE, out_message, message_size, text.c_str());
        }
        if (arena)
            *out_root = converter(arena).convert(result.table(), 1);
        return 0;
    } catch (const std::bad_alloc &) {
        return failed(RB_ENOMEM, out_message, message_size, "out of memory while reading the document");
    } catch (const limit_reached &) {
        return failed(RB_ELIMIT, out_message, message_size, "nested deeper than 128 levels or more than 1000000 values");
    }
}
