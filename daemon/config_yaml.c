/* daemon/config_yaml.c - the file: one mapping of the table's keys to scalars, or to a list of
 * them where an option takes several. Values stay the text that was written (tags and quotes make
 * no difference), so the table's own readers check them. libyaml is seen in this file alone; its
 * loader is iterative and bounds nesting, and the file's size is bounded here. */
#include "daemon/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "daemon/options.h"
#include "daemon/whole_file.h"

struct reader {
    yaml_document_t document;
    struct daemon_config *config;
    const char *name;
    char *folder; // of name; NULL when it has none
    struct error *err;
};

// Words what is wrong at a place: "file:line:column: ".
static enum status wrong_at(const struct reader *reader, yaml_mark_t mark, const char *format, ...)
    PRINTF_LIKE(3, 4);

static enum status wrong_at(const struct reader *reader, yaml_mark_t mark, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    error_set(reader->err, STATUS_INVALID_ARGUMENT, "%s:%zu:%zu: %s", reader->name, mark.line + 1,
              mark.column + 1, what);
    return STATUS_INVALID_ARGUMENT;
}

// A scalar without NUL bytes, as C strings are; else NULL and an error.
static const char *scalar_text(const struct reader *reader, const yaml_node_t *node,
                               const char *key)
{
    const char *wrong = NULL;
    if (node->type != YAML_SCALAR_NODE) {
        wrong = "expected one value";
    } else {
        const char *text = (const char *)node->data.scalar.value;
        size_t n = node->data.scalar.length;
        bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (memchr(text, '\0', n))
            wrong = "a NUL character";
        else if (plain && (n == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
            wrong = "no value; leave the line out for the default";
        else
            return text;
    }
    wrong_at(reader, node->start_mark, "%s: %s", key, wrong);
    return NULL;
}

static enum status read_scalar(struct reader *reader, const struct option *option,
                               const yaml_node_t *node)
{
    const char *text = scalar_text(reader, node, option->name);
    if (!text)
        return STATUS_INVALID_ARGUMENT;
    struct error err = {0};
    if (option_set(option, reader->config, text, reader->folder, &err) == STATUS_OK)
        return STATUS_OK;
    return wrong_at(reader, node->start_mark, "%s: %s", option->name, err.message);
}

static enum status read_list(struct reader *reader, const struct option *option,
                             const yaml_node_t *node)
{
    option_clear(option, reader->config);
    if (node->type != YAML_SEQUENCE_NODE)
        return read_scalar(reader, option, node);
    enum status st = STATUS_OK;
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; st == STATUS_OK && item < node->data.sequence.items.top; item++)
        st = read_scalar(reader, option, yaml_document_get_node(&reader->document, *item));
    return st;
}

static enum status unknown_key(struct reader *reader, const yaml_node_t *key, const char *text)
{
    const char *nearest = option_nearest(text, strlen(text));
    if (nearest)
        return wrong_at(reader, key->start_mark, "unknown key \"%.80s\"; did you mean \"%s\"?",
                        text, nearest);
    return wrong_at(reader, key->start_mark, "unknown key \"%.80s\"; gemmad --help lists them all",
                    text);
}

static enum status read_pair(struct reader *reader, const yaml_node_pair_t *pair, bool *seen)
{
    const yaml_node_t *key = yaml_document_get_node(&reader->document, pair->key);
    const yaml_node_t *value = yaml_document_get_node(&reader->document, pair->value);
    const char *text = scalar_text(reader, key, "key");
    if (!text)
        return STATUS_INVALID_ARGUMENT;
    const struct option *option = option_find(text, strlen(text));
    if (!option || strchr(text, '-')) // a key has one spelling
        return unknown_key(reader, key, text);
    if (seen[option - options])
        return wrong_at(reader, key->start_mark, "%s is there twice", text);
    seen[option - options] = true;
    if (option->type == OPTION_ADDRESSES)
        return read_list(reader, option, value);
    return read_scalar(reader, option, value);
}

static enum status read_document(struct reader *reader)
{
    const yaml_node_t *root = yaml_document_get_root_node(&reader->document);
    if (!root)
        return STATUS_OK; // an empty file: all defaults
    if (root->type != YAML_MAPPING_NODE)
        return wrong_at(reader, root->start_mark, "expected lines \"key: value\"");
    bool *seen = mem_zeroed(n_options, sizeof *seen);
    enum status st = STATUS_OK;
    const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
    for (; st == STATUS_OK && pair < root->data.mapping.pairs.top; pair++)
        st = read_pair(reader, pair, seen);
    free(seen);
    return st;
}

static enum status syntax_error(const struct reader *reader, const yaml_parser_t *parser)
{
    return wrong_at(reader, parser->problem_mark, "%s",
                    parser->problem ? parser->problem : "this is no YAML");
}

// There must be nothing behind the document: a second one would be silently ignored.
static enum status read_end(struct reader *reader, yaml_parser_t *parser)
{
    yaml_document_t next;
    if (!yaml_parser_load(parser, &next))
        return syntax_error(reader, parser);
    const yaml_node_t *root = yaml_document_get_root_node(&next);
    enum status st = STATUS_OK;
    if (root)
        st = wrong_at(reader, root->start_mark, "a second document in the file");
    yaml_document_delete(&next);
    return st;
}

static char *folder_of(const char *name)
{
    const char *slash = strrchr(name, '/');
    if (!slash)
        return NULL;
    return mem_copy(name, slash == name ? 1 : (size_t)(slash - name));
}

enum status daemon_config_read_yaml(struct daemon_config *config, const char *text, size_t n,
                                    const char *name, struct error *err)
{
    struct reader reader = {.config = config, .name = name, .err = err};
    yaml_parser_t parser;
    CHECK(yaml_parser_initialize(&parser));
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, n);
    enum status st;
    if (!yaml_parser_load(&parser, &reader.document)) {
        st = syntax_error(&reader, &parser);
    } else {
        reader.folder = folder_of(name);
        bool empty = !yaml_document_get_root_node(&reader.document);
        st = read_document(&reader);
        if (st == STATUS_OK && !empty)
            st = read_end(&reader, &parser);
        yaml_document_delete(&reader.document);
        free(reader.folder);
    }
    yaml_parser_delete(&parser);
    return st;
}

enum status daemon_config_read_file(struct daemon_config *config, const char *path,
                                    struct error *err)
{
    char *text;
    size_t n;
    enum status st = whole_file_read(path, CONFIG_MAX_FILE_BYTES, &text, &n, err);
    if (st == STATUS_OK)
        st = daemon_config_read_yaml(config, text, n, path, err);
    free(text);
    return st;
}
