/* daemon/served_text.c - a checkpoint's text files, by the names that Hugging Face gives them. */
#include "daemon/served_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/whole_file.h"
#include "text/builtin_templates.h"

#define MAX_TEMPLATE_BYTES (4U << 20)

static char *path_in(const char *folder, const char *name)
{
    struct text_buffer path = {0};
    text_buffer_append_format(&path, "%s/%s", folder, name);
    return text_buffer_release(&path);
}

// name is where the source comes from, in messages.
static enum status compile_source(const char *source, size_t n, const char *name,
                                  struct served_text *text, struct error *err)
{
    enum status st = template_compile(source, n, name, &text->template, err);
    if (st == STATUS_OK) {
        text->template_source = mem_copy(source, n);
        text->n_template_source = n;
    }
    return st;
}

static enum status compile_file(const char *path, struct served_text *text, struct error *err)
{
    char *source;
    size_t n;
    enum status st = whole_file_read(path, MAX_TEMPLATE_BYTES, &source, &n, err);
    if (st == STATUS_OK)
        st = compile_source(source, n, path, text, err);
    free(source);
    return st;
}

// The template in tokenizer_config.json: one text, or a list of named ones of which "default"
// counts. NULL: none.
static const struct json_value *find_template(const struct json_value *config)
{
    const struct json_value *value = json_get_present(config, "chat_template");
    if (value && value->type == JSON_STRING)
        return value;
    for (uint32_t i = 0; value && value->type == JSON_ARRAY && i < value->n; i++) {
        const struct json_value *named = json_get_present(&value->items[i], "template");
        if (named && named->type == JSON_STRING &&
            json_string_is(json_get_present(&value->items[i], "name"), "default"))
            return named;
    }
    return NULL;
}

static enum status compile_template(const struct daemon_config *config, const char *folder,
                                    const struct model_config *model,
                                    const struct json_value *tokenizer_config,
                                    struct served_text *text, struct error *err)
{
    if (config->chat_template)
        return compile_file(config->chat_template, text, err);
    char *path = path_in(folder, "chat_template.jinja");
    enum status st = compile_file(path, text, err);
    free(path);
    if (st != STATUS_NOT_FOUND)
        return st;
    const struct json_value *found = find_template(tokenizer_config);
    if (found)
        return compile_source(found->text, found->length, "tokenizer_config.json: chat_template",
                              text, err);
    bool small = model->hidden_size_per_layer_input > 0; // E2B, E4B
    log_info("builtin_template", "name=%s reason=\"the checkpoint has no chat template\"",
             small ? "gemma4_small" : "gemma4");
    return compile_source(small ? builtin_template_gemma4_small : builtin_template_gemma4,
                          small ? builtin_template_gemma4_small_length
                                : builtin_template_gemma4_length,
                          "built-in template", text, err);
}

// bos_token is a text, or an object whose "content" is one.
static char *read_bos_token(const struct json_value *tokenizer_config)
{
    const struct json_value *value = json_get_present(tokenizer_config, "bos_token");
    if (value && value->type == JSON_OBJECT)
        value = json_get_present(value, "content");
    if (!value || value->type != JSON_STRING)
        return mem_strdup("<bos>");
    return mem_copy(value->text, value->length);
}

static void find_ids(const struct checkpoint *checkpoint, struct served_text *text)
{
    const struct model_config *model = checkpoint_config(checkpoint);
    text->bos_id = tokenizer_id(text->tokenizer, text->bos_token, strlen(text->bos_token));
    uint32_t end_of_turn = tokenizer_id(text->tokenizer, "<turn|>", 7);
    text->n_stop_ids = model_stop_tokens(model, checkpoint_generation_config(checkpoint),
                                         end_of_turn, text->stop_ids);
    const uint32_t soft[SERVED_MAX_SOFT_TOKENS] = {model->image_token_id, model->audio_token_id,
                                                   model->video_token_id};
    for (int i = 0; i < SERVED_MAX_SOFT_TOKENS; i++) {
        if (soft[i] != MODEL_TOKEN_NONE)
            text->soft_token_ids[text->n_soft_token_ids++] = soft[i];
    }
    uint32_t n_tokens = tokenizer_n_tokens(text->tokenizer);
    if (n_tokens > model->vocab_size)
        log_warn("tokenizer", "n_tokens=%u vocab_size=%u: the last ones cannot be served", n_tokens,
                 model->vocab_size);
}

// tokenizer_config.json may be missing; *out is NULL then.
static enum status read_tokenizer_config(const char *folder, struct json_document **out,
                                         struct error *err)
{
    *out = NULL;
    char *path = path_in(folder, "tokenizer_config.json");
    enum status st = json_parse_file(path, NULL, out, err);
    free(path);
    return st == STATUS_NOT_FOUND ? STATUS_OK : st;
}

enum status served_text_load(const struct daemon_config *config, const struct serving_plan *plan,
                             struct served_text **out, struct error *err)
{
    struct served_text *text = mem_zeroed(1, sizeof *text);
    struct json_document *document = NULL;
    char *path = path_in(plan->model_dir, "tokenizer.json");
    enum status st = tokenizer_load(path, &text->tokenizer, err);
    free(path);
    if (st == STATUS_OK)
        st = read_tokenizer_config(plan->model_dir, &document, err);
    const struct json_value *root = document ? json_root(document) : NULL;
    if (st == STATUS_OK)
        st = compile_template(config, plan->model_dir, checkpoint_config(plan->checkpoint), root,
                              text, err);
    if (st == STATUS_OK) {
        text->bos_token = read_bos_token(root);
        find_ids(plan->checkpoint, text);
        text->grammars = grammar_cache_create(text->tokenizer, 0);
        text->vocabulary = vocabulary_create(text->tokenizer,
                                             checkpoint_config(plan->checkpoint)->vocab_size);
        *out = text;
    } else {
        served_text_destroy(text);
    }
    json_document_destroy(document);
    return st;
}

void served_text_destroy(struct served_text *text)
{
    if (!text)
        return;
    template_destroy(text->template);
    grammar_cache_destroy(text->grammars);
    vocabulary_destroy(text->vocabulary);
    tokenizer_destroy(text->tokenizer);
    free(text->template_source);
    free(text->bos_token);
    free(text);
}
