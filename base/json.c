/* base/json.c - one pass over a private copy of the text, without recursion.
 *
 * Strings are unescaped where they stand (an escape is never shorter than what it means), so a
 * string costs no allocation; the closing quote becomes its NUL. The members of open containers
 * wait on one stack of bytes and move into the arena, contiguous, when their container closes.
 * Line breaks are legal only between tokens, so the line is counted there and nowhere else. */
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json_object.h"
#include "base/mem.h"
#include "base/utf8.h"

#define DEFAULT_MAX_BYTES ((size_t)1 << 30)
#define DEFAULT_MAX_DEPTH 128
#define HIGHEST_MAX_DEPTH 1024 // json_write recurses that deep
#define MAX_CHUNK_BYTES ((size_t)1 << 20)

struct chunk {
    struct chunk *next;
    _Alignas(16) char bytes[];
};

struct json_document {
    char *text;
    struct chunk *chunks;
    char *free_bytes; // of the newest ordinary chunk
    size_t n_free;
    struct json_value root;
};

struct frame {
    size_t start; // in pending, of this container's first member
    uint32_t n;
    bool is_object;
};

struct parser {
    struct json_document *document;
    char *at;
    char *end; // a NUL stands here
    char *line_start;
    size_t line;
    char *pending; // members of open containers: json_value of arrays, json_member of objects
    size_t n_pending;
    size_t pending_capacity;
    struct frame *frames;
    size_t n_frames;
    size_t frames_capacity;
    uint32_t max_depth;
    bool unique_keys;
    uint64_t seed; // of indexes; 0 until one is needed
    struct error *err;
};

static bool fail_at(struct parser *p, const char *at, const char *what)
{
    error_set(p->err, STATUS_INVALID_ARGUMENT, "line %zu, column %zu: %s", p->line,
              (size_t)(at - p->line_start) + 1, what);
    return false;
}

static bool fail(struct parser *p, const char *what)
{
    return fail_at(p, p->at, p->at == p->end ? "the text ends too early" : what);
}

static void *arena_take(struct json_document *document, size_t n_bytes)
{
    n_bytes = n_bytes ? (n_bytes + 15) & ~(size_t)15 : 16; // nothing too has an address
    if (n_bytes <= document->n_free) {
        char *bytes = document->free_bytes;
        document->free_bytes += n_bytes;
        document->n_free -= n_bytes;
        return bytes;
    }
    bool own_chunk = n_bytes > MAX_CHUNK_BYTES / 4;
    size_t chunk_bytes = own_chunk ? n_bytes : MAX_CHUNK_BYTES;
    if (!own_chunk && !document->chunks)
        chunk_bytes = 4096 > n_bytes ? 4096 : n_bytes; // most documents are small requests
    struct chunk *chunk = mem_resized(NULL, sizeof *chunk + chunk_bytes, 1);
    chunk->next = document->chunks;
    document->chunks = chunk;
    if (!own_chunk) {
        document->free_bytes = chunk->bytes + n_bytes;
        document->n_free = chunk_bytes - n_bytes;
    }
    return chunk->bytes;
}

static void draw_seed(struct parser *p)
{
    while (p->seed == 0)
        if (getrandom(&p->seed, sizeof p->seed, 0) != (ssize_t)sizeof p->seed)
            p->seed = (uintptr_t)p ^ (uintptr_t)p->document->text; // still unknown to a client
}

static bool close_container(struct parser *p, struct json_value *out)
{
    struct frame frame = p->frames[--p->n_frames];
    *out = (struct json_value){.type = JSON_ARRAY, .n = frame.n};
    if (frame.is_object) {
        if (frame.n > JSON_SMALL_OBJECT)
            draw_seed(p);
        const char *repeated =
            json_object_build(arena_take(p->document, json_object_bytes(frame.n)),
                              (const void *)(p->pending + frame.start), frame.n, p->seed, out);
        if (repeated && p->unique_keys) {
            error_set(p->err, STATUS_INVALID_ARGUMENT, "line %zu: the key \"%.300s\" stands twice",
                      p->line, repeated);
            return false;
        }
    } else {
        struct json_value *items = arena_take(p->document, frame.n * sizeof *items);
        if (frame.n)
            memcpy(items, p->pending + frame.start, frame.n * sizeof *items);
        out->items = items;
    }
    p->n_pending = frame.start;
    return true;
}

static void *push_pending(struct parser *p, size_t n_bytes)
{
    mem_reserve(&p->pending, &p->pending_capacity, p->n_pending + n_bytes, 1);
    void *place = p->pending + p->n_pending;
    p->n_pending += n_bytes;
    return place;
}

static void skip_blanks(struct parser *p)
{
    char *at = p->at;
    for (;; at++) {
        if (*at == '\n') {
            p->line++;
            p->line_start = at + 1;
        } else if (*at != ' ' && *at != '\t' && *at != '\r') {
            break;
        }
    }
    p->at = at;
}

static bool read_hex4(struct parser *p, const char *at, uint32_t *out)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i]; // the NUL at the end is no digit
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return fail_at(p, at + i, "expected four hexadecimal digits after \\u");
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

// p->at stands on a backslash; writes what it means to *to and moves both on.
static bool read_escape(struct parser *p, char **to)
{
    static const char names[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    char *at = p->at;
    const char *name = at[1] ? strchr(names, at[1]) : NULL;
    if (name) {
        *(*to)++ = means[name - names];
        p->at = at + 2;
        return true;
    }
    if (at[1] != 'u')
        return fail(p, "unknown escape in a string");
    uint32_t code_point;
    if (!read_hex4(p, at + 2, &code_point))
        return false;
    p->at = at + 6;
    if (code_point >= 0xD800 && code_point <= 0xDFFF) {
        uint32_t low = 0;
        if (code_point > 0xDBFF || at[6] != '\\' || at[7] != 'u')
            return fail_at(p, at, "lone surrogate escape");
        if (!read_hex4(p, at + 8, &low))
            return false;
        if (low < 0xDC00 || low > 0xDFFF)
            return fail_at(p, at, "lone surrogate escape");
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
        p->at = at + 12;
    }
    *to += utf8_encode(code_point, *to);
    return true;
}

// p->at stands on a non-ASCII byte; moves one character to *to.
static bool read_character(struct parser *p, char **to)
{
    size_t bad;
    size_t n = (unsigned char)*p->at >= 0xF0 ? 4 : (unsigned char)*p->at >= 0xE0 ? 3 : 2;
    if ((size_t)(p->end - p->at) < n || !utf8_valid(p->at, n, &bad))
        return fail(p, "ill-formed UTF-8");
    memmove(*to, p->at, n);
    *to += n;
    p->at += n;
    return true;
}

// p->at stands on the opening quote.
static bool read_string(struct parser *p, const char **out, size_t *out_length)
{
    char *start = ++p->at;
    char *to = start;
    for (;;) {
        char *run = p->at;
        while ((signed char)*p->at >= ' ' && *p->at != '"' && *p->at != '\\')
            p->at++;
        if (run != to)
            memmove(to, run, (size_t)(p->at - run));
        to += p->at - run;
        char c = *p->at;
        if (c == '"')
            break;
        if (c == '\\') {
            if (!read_escape(p, &to))
                return false;
        } else if ((unsigned char)c >= 0x80) {
            if (!read_character(p, &to))
                return false;
        } else {
            return fail(p, "control character in a string");
        }
    }
    p->at++;
    *to = '\0';
    *out = start;
    *out_length = (size_t)(to - start);
    return true;
}

static bool skip_digits(struct parser *p)
{
    char *start = p->at;
    while (*p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > start || fail(p, "expected a digit");
}

// The NUL behind a number is written once the character that stands there has been read.
static bool read_number(struct parser *p, struct json_value *out)
{
    const char *start = p->at;
    if (*p->at == '-')
        p->at++;
    if (*p->at == '0')
        p->at++;
    else if (!skip_digits(p))
        return false;
    if (*p->at == '.') {
        p->at++;
        if (!skip_digits(p))
            return false;
    }
    if (*p->at == 'e' || *p->at == 'E') {
        p->at++;
        if (*p->at == '+' || *p->at == '-')
            p->at++;
        if (!skip_digits(p))
            return false;
    }
    *out = (struct json_value){JSON_NUMBER, .length = (size_t)(p->at - start), .text = start};
    return true;
}

static bool read_word(struct parser *p, const char *word, enum json_type type,
                      struct json_value *out)
{
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
        return fail(p, "expected a value");
    p->at += n;
    *out = (struct json_value){.type = type};
    return true;
}

static bool read_scalar(struct parser *p, struct json_value *out)
{
    switch (*p->at) {
    case '"':
        *out = (struct json_value){.type = JSON_STRING};
        return read_string(p, &out->text, &out->length);
    case 't':
        return read_word(p, "true", JSON_TRUE, out);
    case 'f':
        return read_word(p, "false", JSON_FALSE, out);
    case 'n':
        return read_word(p, "null", JSON_NULL, out);
    default:
        if (*p->at == '-' || (*p->at >= '0' && *p->at <= '9'))
            return read_number(p, out);
        return fail(p, "expected a value");
    }
}

// A key and its colon; the member waits for its value.
static bool read_key(struct parser *p)
{
    skip_blanks(p);
    if (*p->at != '"')
        return fail(p, "expected a key");
    struct json_member member = {0};
    if (!read_string(p, &member.key, &member.key_length))
        return false;
    skip_blanks(p);
    if (*p->at != ':')
        return fail(p, "expected ':' after a key");
    p->at++;
    memcpy(push_pending(p, sizeof member), &member, sizeof member);
    return true;
}

// Opens the container at p->at. True in *out_empty when it closes at once.
static bool open_container(struct parser *p, bool *out_empty)
{
    bool is_object = *p->at == '{';
    if (p->n_frames == p->max_depth)
        return fail(p, "nested too deeply");
    p->at++;
    mem_reserve(&p->frames, &p->frames_capacity, p->n_frames + 1, sizeof *p->frames);
    p->frames[p->n_frames++] = (struct frame){.start = p->n_pending, .is_object = is_object};
    skip_blanks(p);
    *out_empty = *p->at == (is_object ? '}' : ']');
    if (*out_empty)
        return true;
    return !is_object || read_key(p);
}

static void add_to_parent(struct parser *p, const struct json_value *value)
{
    struct frame *parent = &p->frames[p->n_frames - 1];
    parent->n++;
    if (parent->is_object) // the member was pushed with its key
        memcpy(p->pending + p->n_pending - sizeof *value, value, sizeof *value);
    else
        memcpy(push_pending(p, sizeof *value), value, sizeof *value);
}

// What may follow a value: closing brackets, as many as there are, then a comma or the end.
static bool read_after_value(struct parser *p, struct json_value *value)
{
    for (;;) {
        char *value_end = p->at;
        skip_blanks(p);
        char c = *p->at;
        if (value->type == JSON_NUMBER)
            *value_end = '\0';
        if (p->n_frames == 0) {
            p->document->root = *value;
            return p->at == p->end || fail(p, "expected nothing after the value");
        }
        add_to_parent(p, value);
        bool in_object = p->frames[p->n_frames - 1].is_object;
        if (c == ',') {
            p->at++;
            return !in_object || read_key(p);
        }
        if (c != (in_object ? '}' : ']'))
            return fail(p, in_object ? "expected ',' or '}'" : "expected ',' or ']'");
        p->at++;
        if (!close_container(p, value))
            return false;
    }
}

static bool read_document(struct parser *p)
{
    do {
        struct json_value value;
        skip_blanks(p);
        if (*p->at == '{' || *p->at == '[') {
            bool empty = false;
            if (!open_container(p, &empty))
                return false;
            if (!empty)
                continue;
            p->at++;
            if (!close_container(p, &value))
                return false;
        } else if (!read_scalar(p, &value)) {
            return false;
        }
        if (!read_after_value(p, &value))
            return false;
    } while (p->n_frames > 0);
    return true;
}

static enum status check_size(size_t n, const struct json_limits *limits, struct error *err)
{
    size_t max = limits && limits->max_bytes ? limits->max_bytes : DEFAULT_MAX_BYTES;
    if (max > DEFAULT_MAX_BYTES) // member counts are 32 bits wide
        max = DEFAULT_MAX_BYTES;
    if (n > max)
        return error_set(err, STATUS_INVALID_ARGUMENT, "%zu bytes of JSON: the limit is %zu", n,
                         max);
    return STATUS_OK;
}

// Takes text (n bytes and a NUL) over, also on failure.
static enum status parse_owned(char *text, size_t n, const struct json_limits *limits,
                               struct json_document **out, struct error *err)
{
    struct json_document *document = mem_zeroed(1, sizeof *document);
    document->text = text;
    uint32_t max_depth = limits && limits->max_depth ? limits->max_depth : DEFAULT_MAX_DEPTH;
    struct parser p = {
        .document = document,
        .at = text,
        .end = text + n,
        .line_start = text,
        .line = 1,
        .max_depth = max_depth < HIGHEST_MAX_DEPTH ? max_depth : HIGHEST_MAX_DEPTH,
        .unique_keys = limits && limits->unique_keys,
        .err = err,
    };
    mem_reserve(&p.pending, &p.pending_capacity, 1024, 1);
    bool parsed = read_document(&p);
    free(p.pending);
    free(p.frames);
    if (!parsed) {
        json_document_destroy(document);
        return STATUS_INVALID_ARGUMENT;
    }
    *out = document;
    return STATUS_OK;
}

enum status json_parse(const char *bytes, size_t n, const struct json_limits *limits,
                       struct json_document **out, struct error *err)
{
    enum status st = check_size(n, limits, err);
    return st == STATUS_OK ? parse_owned(mem_copy(bytes, n), n, limits, out, err) : st;
}

static enum status read_whole(int fd, const struct json_limits *limits, char **out, size_t *out_n,
                              struct error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return error_set(err, STATUS_INVALID_ARGUMENT, "not a regular file");
    enum status st = check_size((size_t)info.st_size, limits, err);
    if (st != STATUS_OK)
        return st;
    char *text = mem_resized(NULL, (size_t)info.st_size + 1, 1);
    size_t n = 0;
    while (n < (size_t)info.st_size) {
        ssize_t got = read(fd, text + n, (size_t)info.st_size - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            free(text);
            return error_set(err, STATUS_DATA_LOSS, "reading stopped after %zu of %lld bytes", n,
                             (long long)info.st_size);
        }
        n += (size_t)got;
    }
    text[n] = '\0';
    *out = text;
    *out_n = n;
    return STATUS_OK;
}

enum status json_parse_file(const char *path, const struct json_limits *limits,
                            struct json_document **out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe must not block: it is refused
    if (fd < 0) {
        enum status st = errno == ENOENT ? STATUS_NOT_FOUND : STATUS_INVALID_ARGUMENT;
        return error_set(err, st, "%s: %s", path, strerror(errno));
    }
    char *text = NULL;
    size_t n = 0;
    enum status st = read_whole(fd, limits, &text, &n, err);
    close(fd);
    if (st == STATUS_OK)
        st = parse_owned(text, n, limits, out, err);
    if (st != STATUS_OK)
        error_prefix(err, "%s", path);
    return st;
}

void json_document_destroy(struct json_document *document)
{
    if (!document)
        return;
    for (struct chunk *chunk = document->chunks; chunk;) {
        struct chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(document->text);
    free(document);
}

const struct json_value *json_root(const struct json_document *document)
{
    return &document->root;
}
