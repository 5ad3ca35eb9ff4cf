/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what S3 servers send, by expat's events: one small machine that knows the text of the
 * innermost element, and one set of hooks per kind of document.
 *
 * No document is trusted (P11): texts are bounded, entities of a document type are refused, and
 * whatever is not well-formed is an error that says so, never a shorter list.
 */
#include "backends/storage/s3/xml.h"

#include "base/error.h"

#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_BYTES_MAX 8192u
#define DEPTH_MAX 16u

struct reader {
    XML_Parser parser;
    struct cairn_buffer text; /* of the innermost element */
    unsigned depth;
    char names[DEPTH_MAX][48];
    bool too_long, has_doctype;
    int code; /* of a hook that ended the reading */
    int (*on_start)(void *context, const struct reader *reader, const char *element);
    int (*on_end)(void *context, const struct reader *reader, const char *element,
                  const char *text);
    void *context;
};

/* What is wrong with a well-formed document; a hook returns it. Positive codes that callers'
 * functions return are smaller. */
#define LACKING INT_MIN

static void stop(struct reader *reader, int code)
{
    reader->code = code;
    (void)XML_StopParser(reader->parser, XML_FALSE); /* it is being parsed */
}

/* Servers put elements into a namespace with or without a prefix. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

static void XMLCALL start_element(void *context, const XML_Char *name, const XML_Char **attributes)
{
    struct reader *reader = context;
    (void)attributes;
    if (reader->depth == DEPTH_MAX) {
        stop(reader, LACKING);
        return;
    }
    (void)snprintf(reader->names[reader->depth], sizeof reader->names[0], "%s", local_name(name));
    reader->depth++;
    crn_buf_clear(&reader->text);
    if (reader->on_start != NULL) {
        int r = reader->on_start(reader->context, reader, reader->names[reader->depth - 1]);
        if (r != 0)
            stop(reader, r);
    }
}

static void XMLCALL end_element(void *context, const XML_Char *name)
{
    struct reader *reader = context;
    (void)name;
    if (reader->code != 0)
        return;
    const char *text = reader->text.size > 0 ? (const char *)reader->text.data : "";
    int r = reader->on_end(reader->context, reader, reader->names[reader->depth - 1], text);
    reader->depth--;
    crn_buf_clear(&reader->text);
    if (r != 0)
        stop(reader, r);
}

static void XMLCALL take_text(void *context, const XML_Char *text, int n)
{
    struct reader *reader = context;
    if (reader->code != 0)
        return;
    if ((size_t)n > TEXT_BYTES_MAX - reader->text.size) {
        reader->too_long = true;
        stop(reader, CAIRN_ECORRUPT);
    } else if (crn_buf_append(&reader->text, text, (size_t)n) < 0) {
        stop(reader, CAIRN_ENOMEM);
    }
}

static void XMLCALL refuse_doctype(void *context, const XML_Char *name, const XML_Char *system_id,
                                   const XML_Char *public_id, int has_subset)
{
    struct reader *reader = context;
    (void)name, (void)system_id, (void)public_id, (void)has_subset;
    reader->has_doctype = true;
    stop(reader, CAIRN_ECORRUPT);
}

/* Inside of an element of that name? depth counts the element that is ending. */
static bool is_in(const struct reader *reader, const char *parent)
{
    return reader->depth >= 2 && strcmp(reader->names[reader->depth - 2], parent) == 0;
}

static int parse(struct reader *reader, const void *data, size_t size, cairn_error **reterr)
{
    /* Servers that keep a connection awake send spaces before. */
    const char *text = data;
    for (; size > 0 && strchr(" \t\r\n", *text) != NULL && *text != 0; size--)
        text++;
    if (size > INT_MAX)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "the server's reply is too large");
    reader->parser = XML_ParserCreate("UTF-8");
    if (reader->parser == NULL)
        return crn_err_nomem(reterr);
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, start_element, end_element);
    XML_SetCharacterDataHandler(reader->parser, take_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, refuse_doctype);
    enum XML_Status status = XML_Parse(reader->parser, text, (int)size, 1);
    enum XML_Error error = XML_GetErrorCode(reader->parser);
    unsigned long line = XML_GetCurrentLineNumber(reader->parser);
    XML_ParserFree(reader->parser);
    crn_buf_done(&reader->text);
    if (reader->code == LACKING)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "the server's reply is XML, but lacks what S3 has in it (line %lu): is "
                            "something else listening there?",
                            line);
    if (reader->code == CAIRN_ENOMEM || error == XML_ERROR_NO_MEMORY)
        return crn_err_nomem(reterr);
    if (reader->too_long || reader->has_doctype || (reader->code == 0 && status != XML_STATUS_OK))
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "the server's reply is not the XML of S3 (line %lu: %s): is something "
                            "else listening there, or a proxy between?",
                            line,
                            reader->has_doctype ? "a document type"
                            : reader->too_long  ? "an endless text"
                                                : XML_ErrorString(error));
    return reader->code;
}

static void copy_text(char *to, size_t size, const char *text)
{
    (void)snprintf(to, size, "%s", text);
}

/* ---- errors ---- */

static int error_start(void *context, const struct reader *reader, const char *element)
{
    struct crn_s3_error_body *body = context;
    if (reader->depth == 1)
        body->is_error = strcmp(element, "Error") == 0;
    return 0;
}

static int error_end(void *context, const struct reader *reader, const char *element,
                     const char *text)
{
    struct crn_s3_error_body *body = context;
    if (reader->depth == 2 && strcmp(element, "Code") == 0)
        copy_text(body->code, sizeof body->code, text);
    else if (reader->depth == 2 && strcmp(element, "Message") == 0)
        copy_text(body->message, sizeof body->message, text);
    return 0;
}

void crn_s3_read_error(const void *data, size_t size, struct crn_s3_error_body *ret)
{
    memset(ret, 0, sizeof *ret);
    struct reader reader = {.on_start = error_start, .on_end = error_end, .context = ret};
    if (size == 0 || parse(&reader, data, size, NULL) != 0)
        memset(ret, 0, sizeof *ret);
}

/* ---- listings ---- */

struct listing {
    cairn_list_fn fn;
    void *context;
    struct crn_s3_page *page;
    struct cairn_buffer key;
    cairn_object_stat stat;
    bool has_size;
};

static int keep(struct cairn_buffer *buffer, const char *text)
{
    crn_buf_clear(buffer);
    return crn_buf_append(buffer, text, strlen(text) + 1) < 0 ? CAIRN_ENOMEM : 0;
}

static bool parse_u64(const char *text, uint64_t *ret)
{
    char *end;
    *ret = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == 0;
}

static int list_start(void *context, const struct reader *reader, const char *element)
{
    struct listing *listing = context;
    if (reader->depth == 1 && strcmp(element, "ListBucketResult") != 0)
        return LACKING;
    if (strcmp(element, "Contents") == 0) {
        crn_buf_clear(&listing->key);
        listing->stat = (cairn_object_stat){0};
        listing->has_size = false;
    }
    return 0;
}

static int list_end(void *context, const struct reader *reader, const char *element,
                    const char *text)
{
    struct listing *listing = context;
    if (is_in(reader, "Contents")) {
        if (strcmp(element, "Key") == 0)
            return keep(&listing->key, text);
        if (strcmp(element, "Size") == 0)
            listing->has_size = parse_u64(text, &listing->stat.size);
        else if (strcmp(element, "LastModified") == 0)
            listing->stat.modified_ms = crn_s3_parse_time(text);
        return 0;
    }
    if (strcmp(element, "Contents") == 0) {
        if (listing->key.size <= 1 || !listing->has_size)
            return LACKING;
        return listing->fn(listing->context, (const char *)listing->key.data, &listing->stat);
    }
    if (is_in(reader, "CommonPrefixes") && strcmp(element, "Prefix") == 0)
        return listing->fn(listing->context, text, NULL);
    if (reader->depth == 2 && strcmp(element, "IsTruncated") == 0)
        listing->page->is_truncated = strcmp(text, "true") == 0;
    if (reader->depth == 2 && strcmp(element, "NextContinuationToken") == 0)
        return keep(&listing->page->token, text);
    return 0;
}

int crn_s3_read_list(const void *data, size_t size, cairn_list_fn fn, void *context,
                     struct crn_s3_page *ret, cairn_error **reterr)
{
    struct listing listing = {.fn = fn, .context = context, .page = ret};
    struct reader reader = {.on_start = list_start, .on_end = list_end, .context = &listing};
    ret->is_truncated = false;
    crn_buf_clear(&ret->token);
    int r = parse(&reader, data, size, reterr);
    crn_buf_done(&listing.key);
    if (r == 0 && ret->is_truncated && ret->token.size <= 1)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL,
                            "the server's listing goes on, but does not say where");
    return r;
}

/* ---- multi-delete ---- */

struct deletion {
    struct crn_s3_delete_failure now; /* being read */
    struct crn_s3_delete_failure *first;
};

static int delete_start(void *context, const struct reader *reader, const char *element)
{
    struct deletion *deletion = context;
    if (reader->depth == 1 && strcmp(element, "DeleteResult") != 0)
        return LACKING;
    if (strcmp(element, "Error") == 0)
        memset(&deletion->now, 0, sizeof deletion->now);
    return 0;
}

static int delete_end(void *context, const struct reader *reader, const char *element,
                      const char *text)
{
    struct deletion *deletion = context;
    struct crn_s3_delete_failure *failure = &deletion->now;
    /* What was not there is gone, as it should be. */
    if (strcmp(element, "Error") == 0 && deletion->first->code[0] == 0 &&
        strcmp(failure->code, "NoSuchKey") != 0) {
        if (failure->code[0] == 0)
            return LACKING;
        *deletion->first = *failure;
    }
    if (!is_in(reader, "Error"))
        return 0;
    if (strcmp(element, "Key") == 0)
        copy_text(failure->key, sizeof failure->key, text);
    else if (strcmp(element, "Code") == 0)
        copy_text(failure->code, sizeof failure->code, text);
    else if (strcmp(element, "Message") == 0)
        copy_text(failure->message, sizeof failure->message, text);
    return 0;
}

int crn_s3_read_delete(const void *data, size_t size, struct crn_s3_delete_failure *ret,
                       cairn_error **reterr)
{
    struct deletion deletion = {.first = ret};
    struct reader reader = {.on_start = delete_start, .on_end = delete_end, .context = &deletion};
    memset(ret, 0, sizeof *ret);
    return parse(&reader, data, size, reterr);
}

/* ---- single elements ---- */

struct search {
    const char *element;
    struct cairn_buffer *ret;
    bool found;
};

static int search_end(void *context, const struct reader *reader, const char *element,
                      const char *text)
{
    struct search *search = context;
    (void)reader;
    if (search->found || strcmp(element, search->element) != 0 || *text == 0)
        return 0;
    search->found = true;
    return keep(search->ret, text);
}

int crn_s3_read_element(const void *data, size_t size, const char *element,
                        struct cairn_buffer *ret, cairn_error **reterr)
{
    struct search search = {.element = element, .ret = ret};
    struct reader reader = {.on_end = search_end, .context = &search};
    int r = parse(&reader, data, size, reterr);
    if (r == 0 && !search.found)
        return crn_err_fail(reterr, CAIRN_ECORRUPT, NULL, "the server's reply has no %s", element);
    return r;
}

/* ---- unfinished uploads ---- */

struct uploads {
    crn_s3_upload_fn fn;
    void *context;
    struct crn_s3_uploads_page *page;
    struct cairn_buffer key, id;
    int64_t initiated_ms;
};

static int uploads_start(void *context, const struct reader *reader, const char *element)
{
    struct uploads *uploads = context;
    if (reader->depth == 1 && strcmp(element, "ListMultipartUploadsResult") != 0)
        return LACKING;
    if (strcmp(element, "Upload") == 0) {
        crn_buf_clear(&uploads->key);
        crn_buf_clear(&uploads->id);
        uploads->initiated_ms = 0;
    }
    return 0;
}

static int uploads_end(void *context, const struct reader *reader, const char *element,
                       const char *text)
{
    struct uploads *uploads = context;
    if (is_in(reader, "Upload")) {
        if (strcmp(element, "Key") == 0)
            return keep(&uploads->key, text);
        if (strcmp(element, "UploadId") == 0)
            return keep(&uploads->id, text);
        if (strcmp(element, "Initiated") == 0)
            uploads->initiated_ms = crn_s3_parse_time(text);
        return 0;
    }
    if (strcmp(element, "Upload") == 0) {
        if (uploads->key.size <= 1 || uploads->id.size <= 1)
            return LACKING;
        return uploads->fn(uploads->context, (const char *)uploads->key.data,
                           (const char *)uploads->id.data, uploads->initiated_ms);
    }
    if (reader->depth == 2 && strcmp(element, "IsTruncated") == 0)
        uploads->page->is_truncated = strcmp(text, "true") == 0;
    if (reader->depth == 2 && strcmp(element, "NextKeyMarker") == 0)
        return keep(&uploads->page->key_marker, text);
    if (reader->depth == 2 && strcmp(element, "NextUploadIdMarker") == 0)
        return keep(&uploads->page->id_marker, text);
    return 0;
}

int crn_s3_read_uploads(const void *data, size_t size, crn_s3_upload_fn fn, void *context,
                        struct crn_s3_uploads_page *ret, cairn_error **reterr)
{
    struct uploads uploads = {.fn = fn, .context = context, .page = ret};
    struct reader reader = {.on_start = uploads_start, .on_end = uploads_end, .context = &uploads};
    ret->is_truncated = false;
    int r = parse(&reader, data, size, reterr);
    crn_buf_done(&uploads.key);
    crn_buf_done(&uploads.id);
    return r;
}

/* ---- text ---- */

int crn_s3_xml_escape(struct cairn_buffer *out, const char *text)
{
    for (const char *p = text; *p != 0; p++) {
        const char *entity = *p == '&'   ? "&amp;"
                             : *p == '<' ? "&lt;"
                             : *p == '>' ? "&gt;"
                             : *p == '"' ? "&quot;"
                                         : NULL;
        int r = entity != NULL ? crn_buf_append(out, entity, strlen(entity))
                               : crn_buf_append(out, p, 1);
        if (r < 0)
            return r;
    }
    return 0;
}

int64_t crn_s3_parse_time(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest == NULL)
        return 0;
    int64_t ms = 0;
    if (*rest == '.')
        for (int i = 1, unit = 100; rest[i] >= '0' && rest[i] <= '9'; i++, unit /= 10)
            ms += (rest[i] - '0') * unit;
    return (int64_t)timegm(&tm) * 1000 + ms;
}
