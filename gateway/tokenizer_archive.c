/* gateway/tokenizer_archive.c - a ZIP archive of stored files: it goes to a machine nearby, once,
 * and a deflater is not worth it. APPNOTE.TXT's names in comments: local file header, central
 * directory, end of central directory. All numbers are little-endian. */
#include "gateway/tokenizer_archive.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/mem.h"

#define MAX_FILES 16
#define TEMPLATE_NAME "chat_template.jinja"

static const char *const names[] = {
    "tokenizer.json",         "tokenizer_config.json",   "config.json",
    "generation_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.model",        "processor_config.json",   "preprocessor_config.json",
};

struct archived_file {
    const char *name;
    uint32_t crc, n_bytes, offset;
};

struct writer {
    struct text_buffer *out;
    struct archived_file files[MAX_FILES];
    uint32_t n_files;
    uint32_t crc_table[256];
};

static void fill_crc_table(uint32_t *table)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320U : 0);
        table[i] = crc;
    }
}

static uint32_t crc32_of(const uint32_t *table, const char *bytes, size_t n)
{
    uint32_t crc = ~0U;
    for (size_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ (unsigned char)bytes[i]) & 0xFF];
    return ~crc;
}

static void put(struct text_buffer *out, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        text_buffer_append(out, &(unsigned char){(unsigned char)(value >> 8 * i)}, 1);
}

// What the local file header and the central directory have in common. The date is 1980-01-01, so
// that an archive depends on its contents alone.
static void put_file(struct text_buffer *out, const struct archived_file *file)
{
    put(out, 20, 2);   // version needed: 2.0
    put(out, 0, 2);    // flags
    put(out, 0, 2);    // stored
    put(out, 0, 2);    // time
    put(out, 0x21, 2); // date
    put(out, file->crc, 4);
    put(out, file->n_bytes, 4); // compressed
    put(out, file->n_bytes, 4);
    put(out, (uint32_t)strlen(file->name), 2);
    put(out, 0, 2); // extra field
}

static void add_file(struct writer *w, const char *name, const char *bytes, size_t n)
{
    CHECK(w->n_files < MAX_FILES);
    struct archived_file *file = &w->files[w->n_files++];
    *file = (struct archived_file){name, crc32_of(w->crc_table, bytes, n), (uint32_t)n,
                                   (uint32_t)w->out->length};
    text_buffer_append(w->out, "PK\3\4", 4);
    put_file(w->out, file);
    text_buffer_append_text(w->out, name);
    text_buffer_append(w->out, bytes, n);
}

static void add_directory(struct writer *w)
{
    uint32_t begin = (uint32_t)w->out->length;
    for (uint32_t i = 0; i < w->n_files; i++) {
        const struct archived_file *file = &w->files[i];
        text_buffer_append(w->out, "PK\1\2", 4);
        put(w->out, 20, 2); // made by
        put_file(w->out, file);
        put(w->out, 0, 2); // comment
        put(w->out, 0, 2); // disk
        put(w->out, 0, 2); // internal attributes
        put(w->out, 0, 4); // external attributes
        put(w->out, file->offset, 4);
        text_buffer_append_text(w->out, file->name);
    }
    uint32_t n_bytes = (uint32_t)w->out->length - begin;
    text_buffer_append(w->out, "PK\5\6", 4);
    put(w->out, 0, 4); // disks
    put(w->out, w->n_files, 2);
    put(w->out, w->n_files, 2);
    put(w->out, n_bytes, 4);
    put(w->out, begin, 4);
    put(w->out, 0, 2); // comment
}

static enum status read_open_file(FILE *file, const char *path, struct text_buffer *out,
                                  struct error *err)
{
    static const size_t piece = 1 << 20;
    char *bytes = mem_zeroed(piece, 1);
    size_t n;
    while ((n = fread(bytes, 1, piece, file)) > 0 &&
           out->length + n <= TOKENIZER_ARCHIVE_MAX_FILE_BYTES)
        text_buffer_append(out, bytes, n);
    free(bytes);
    if (n > 0)
        return error_set(err, STATUS_INTERNAL, "%s: larger than %zu MiB", path,
                         TOKENIZER_ARCHIVE_MAX_FILE_BYTES >> 20);
    if (ferror(file))
        return error_set(err, STATUS_INTERNAL, "%s: cannot be read", path);
    return STATUS_OK;
}

static enum status add_from(struct writer *w, const char *folder, const char *name,
                            struct error *err)
{
    struct text_buffer path = {0};
    struct text_buffer bytes = {0};
    text_buffer_append_format(&path, "%s/%s", folder, name);
    FILE *file = fopen(path.data, "rbe");
    enum status st = STATUS_OK;
    if (file)
        st = read_open_file(file, path.data, &bytes, err);
    else if (errno != ENOENT)
        st = error_set(err, STATUS_INTERNAL, "%s: %s", path.data, strerror(errno));
    if (file && st == STATUS_OK)
        add_file(w, name, bytes.data ? bytes.data : "", bytes.length);
    if (file)
        fclose(file);
    text_buffer_finish(&bytes);
    text_buffer_finish(&path);
    return st;
}

static void hash(struct tokenizer_archive *archive)
{
    unsigned char sum[32];
    CHECK(EVP_Digest(archive->bytes.data, archive->bytes.length, sum, NULL, EVP_sha256(), NULL) ==
          1);
    for (size_t i = 0; i < sizeof sum; i++)
        snprintf(archive->sha256 + 2 * i, 3, "%02x", sum[i]);
}

enum status tokenizer_archive_create(const char *folder, const char *chat_template,
                                     size_t n_chat_template, struct tokenizer_archive **out,
                                     struct error *err)
{
    struct tokenizer_archive *archive = mem_zeroed(1, sizeof *archive);
    struct writer writer = {.out = &archive->bytes};
    fill_crc_table(writer.crc_table);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && st == STATUS_OK; i++)
        st = add_from(&writer, folder, names[i], err);
    if (st != STATUS_OK) {
        tokenizer_archive_destroy(archive);
        return st;
    }
    if (chat_template)
        add_file(&writer, TEMPLATE_NAME, chat_template, n_chat_template);
    add_directory(&writer);
    hash(archive);
    *out = archive;
    return STATUS_OK;
}

void tokenizer_archive_destroy(struct tokenizer_archive *archive)
{
    if (!archive)
        return;
    text_buffer_finish(&archive->bytes);
    free(archive);
}
