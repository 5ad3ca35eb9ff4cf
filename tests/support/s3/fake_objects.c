/* SPDX-License-Identifier: Apache-2.0 */
/* What the fake server does with its objects, rightly, and how it says so. */
#include "tests/support/s3/fake_internal.h"

#include <stdio.h>
#include <string.h>

static void say(struct cairn_buffer *to, const char *text)
{
    fake_must(crn_buf_append(to, text, strlen(text)) == 0);
}

void fake_say_error(struct answer *a, unsigned status, const char *code)
{
    a->status = status;
    crn_buf_clear(&a->body);
    fake_must(crn_buf_printf(&a->body,
                             "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>so it "
                             "is</Message></Error>",
                             code) == 0);
}

/* ---- objects ---- */

/* Where the key is, or would be. */
static size_t position(const struct fake *fake, const char *key)
{
    size_t i = 0;
    while (i < fake->object_count && strcmp(fake->objects[i].key, key) < 0)
        i++;
    return i;
}

static struct object *find(struct fake *fake, const char *key)
{
    size_t i = position(fake, key);
    return i < fake->object_count && strcmp(fake->objects[i].key, key) == 0 ? &fake->objects[i]
                                                                            : NULL;
}

static void store(struct fake *fake, const char *key, const void *data, size_t n)
{
    struct object *object = find(fake, key);
    if (object == NULL) {
        size_t i = position(fake, key);
        fake_must(fake->object_count < FAKE_OBJECTS_MAX);
        memmove(&fake->objects[i + 1], &fake->objects[i],
                (fake->object_count - i) * sizeof *fake->objects);
        fake->object_count++;
        object = &fake->objects[i];
        *object = (struct object){.key = strdup(key)};
        fake_must(object->key != NULL);
    }
    crn_buf_clear(&object->bytes);
    fake_must(crn_buf_append(&object->bytes, data, n) == 0);
}

static void drop(struct fake *fake, const char *key)
{
    struct object *object = find(fake, key);
    if (object == NULL)
        return;
    size_t i = (size_t)(object - fake->objects);
    free(object->key);
    crn_buf_done(&object->bytes);
    fake->object_count--;
    memmove(object, object + 1, (fake->object_count - i) * sizeof *object);
}

static void drop_upload(struct upload *upload)
{
    free(upload->key);
    for (size_t i = 0; i < FAKE_PARTS_MAX; i++)
        crn_buf_done(&upload->parts[i]);
    memset(upload, 0, sizeof *upload);
}

void fake_objects_done(struct fake *fake)
{
    while (fake->object_count > 0)
        drop(fake, fake->objects[0].key);
    for (size_t i = 0; i < CRN_COUNT(fake->uploads); i++)
        drop_upload(&fake->uploads[i]);
}

bool fake_get(struct fake *fake, const char *key, struct cairn_buffer *ret)
{
    crn_mutex_lock(&fake->lock);
    const struct object *object = find(fake, key);
    if (object != NULL)
        fake_must(crn_buf_append(ret, object->bytes.data, object->bytes.size) == 0);
    crn_mutex_unlock(&fake->lock);
    return object != NULL;
}

void fake_put(struct fake *fake, const char *key, const char *text)
{
    crn_mutex_lock(&fake->lock);
    store(fake, key, text, strlen(text));
    crn_mutex_unlock(&fake->lock);
}

unsigned fake_uploads(struct fake *fake)
{
    unsigned n = 0;
    crn_mutex_lock(&fake->lock);
    for (size_t i = 0; i < CRN_COUNT(fake->uploads); i++)
        n += fake->uploads[i].key != NULL;
    crn_mutex_unlock(&fake->lock);
    return n;
}

/* ---- the target ---- */

static unsigned digit(char c)
{
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

static void decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p != 0; p++) {
        bool is_coded = *p == '%';
        *to++ = is_coded ? (char)(digit(p[1]) * 16 + digit(p[2])) : *p;
        p += is_coded ? 2 : 0;
    }
    *to = 0;
}

struct target {
    char *key; /* "": the bucket */
    char *query;
};

/* "/bucket/key?query", or "/key?query" */
static struct target split(char *text, bool has_hosts)
{
    struct target t = {.query = strchr(text, '?')};
    if (t.query != NULL)
        *t.query++ = 0;
    char *slash = has_hosts ? text : strchr(text + 1, '/');
    t.key = slash != NULL ? slash + 1 : text + strlen(text);
    decode(t.key);
    return t;
}

/* The value of a parameter, decoded; NULL: it is not there. Free it. */
static char *parameter(const struct target *t, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = t->query; p != NULL; p = strchr(p, '&')) {
        p += *p == '&';
        if (strncmp(p, name, n) != 0 || p[n] != '=')
            continue;
        char *value = strndup(p + n + 1, strcspn(p + n + 1, "&"));
        fake_must(value != NULL);
        decode(value);
        return value;
    }
    return NULL;
}

/* ---- requests ---- */

static void say_stored(struct answer *a)
{
    say(&a->headers, "ETag: \"etag\"\r\n");
}

static void put_object(struct fake *fake, const struct target *t, const struct message *m,
                       struct answer *a)
{
    CRN_AUTO_FREE char *number = parameter(t, "partNumber"), *id = parameter(t, "uploadId");
    if (number != NULL && id != NULL) {
        struct upload *upload = &fake->uploads[strtoul(id, NULL, 10) % CRN_COUNT(fake->uploads)];
        if (upload->key == NULL || strcmp(upload->key, t->key) != 0) {
            fake_say_error(a, 404, "NoSuchUpload");
            return;
        }
        struct cairn_buffer *part = &upload->parts[strtoul(number, NULL, 10) % FAKE_PARTS_MAX];
        crn_buf_clear(part);
        fake_must(crn_buf_append(part, m->body.data, m->body.size) == 0);
    } else if (m->headers[H_COPY_SOURCE] != NULL) {
        decode(m->headers[H_COPY_SOURCE]);
        const struct object *from = find(fake, strchr(m->headers[H_COPY_SOURCE] + 1, '/') + 1);
        if (from == NULL) {
            fake_say_error(a, 404, "NoSuchKey");
            return;
        }
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
        fake_must(crn_buf_append(&bytes, from->bytes.data, from->bytes.size) == 0);
        store(fake, t->key, bytes.data, bytes.size);
        say(&a->body, "<CopyObjectResult><ETag>\"etag\"</ETag></CopyObjectResult>");
        return;
    } else if (m->headers[H_IF_NONE_MATCH] != NULL && !fake->is_lying &&
               find(fake, t->key) != NULL) {
        fake_say_error(a, 412, "PreconditionFailed");
        return;
    } else {
        store(fake, t->key, m->body.data, m->body.size);
    }
    say_stored(a);
}

static void get_object(struct fake *fake, const struct target *t, const struct message *m,
                       struct answer *a)
{
    const struct object *object = find(fake, t->key);
    unsigned long long start, end;
    if (object == NULL) {
        fake_say_error(a, 404, "NoSuchKey");
        return;
    }
    say_stored(a);
    say(&a->headers, "Last-Modified: Fri, 24 May 2013 00:00:00 GMT\r\n");
    a->head_size = object->bytes.size;
    if (m->headers[H_RANGE] == NULL ||
        sscanf(m->headers[H_RANGE], "bytes=%llu-%llu", &start, &end) != 2) {
        fake_must(crn_buf_append(&a->body, object->bytes.data, object->bytes.size) == 0);
        return;
    }
    if (start >= object->bytes.size) {
        fake_say_error(a, 416, "InvalidRange");
        return;
    }
    if (end >= object->bytes.size)
        end = object->bytes.size - 1;
    a->status = 206;
    fake_must(crn_buf_printf(&a->headers, "Content-Range: bytes %llu-%llu/%zu\r\n", start, end,
                             object->bytes.size) == 0);
    fake_must(crn_buf_append(&a->body, object->bytes.data + start, (size_t)(end - start + 1)) == 0);
}

/* Pages are cut by entries; the token is the last key or prefix that was given. */
static void list_objects(struct fake *fake, const struct target *t, struct answer *a)
{
    CRN_AUTO_FREE char *prefix = parameter(t, "prefix"),
                       *token = parameter(t, "continuation-token");
    CRN_AUTO_FREE char *delimiter = parameter(t, "delimiter");
    CRN_AUTO_BUFFER struct cairn_buffer last = {0}, now = {0};
    unsigned given = 0;
    bool is_truncated = false;
    size_t n = prefix != NULL ? strlen(prefix) : 0;
    say(&a->body, "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3/\">");
    fake_must(crn_buf_append(&last, token != NULL ? token : "",
                             (token != NULL ? strlen(token) : 0) + 1) == 0);
    for (size_t i = 0; i < fake->object_count && !is_truncated; i++) {
        const char *key = fake->objects[i].key;
        if (n > 0 && strncmp(key, prefix, n) != 0)
            continue;
        const char *slash = delimiter != NULL ? strchr(key + n, '/') : NULL;
        size_t size = slash != NULL ? (size_t)(slash - key) + 1 : strlen(key);
        crn_buf_clear(&now);
        fake_must(crn_buf_append(&now, key, size) == 0 && crn_buf_append(&now, "", 1) == 0);
        if (strcmp((char *)now.data, (char *)last.data) <= 0)
            continue;
        is_truncated = given == fake->page_keys;
        if (is_truncated)
            break;
        given++;
        crn_buf_clear(&last);
        fake_must(crn_buf_append(&last, now.data, now.size) == 0);
        fake_must(
            crn_buf_printf(&a->body,
                           slash != NULL
                               ? "<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>"
                               : "<Contents><Key>%s</Key><LastModified>2013-05-24T00:00:00.000Z"
                                 "</LastModified>",
                           (const char *)now.data) == 0);
        if (slash == NULL)
            fake_must(crn_buf_printf(&a->body, "<Size>%zu</Size></Contents>",
                                     fake->objects[i].bytes.size) == 0);
    }
    fake_must(crn_buf_printf(&a->body, "<IsTruncated>%s</IsTruncated>",
                             is_truncated ? "true" : "false") == 0);
    if (is_truncated)
        fake_must(crn_buf_printf(&a->body, "<NextContinuationToken>%s</NextContinuationToken>",
                                 (const char *)last.data) == 0);
    say(&a->body, "</ListBucketResult>");
}

/* All in one page; whose parts are how old is not kept. */
static void list_uploads(const struct fake *fake, const struct target *t, struct answer *a)
{
    CRN_AUTO_FREE char *prefix = parameter(t, "prefix");
    say(&a->body, "<ListMultipartUploadsResult>");
    for (size_t i = 0; i < CRN_COUNT(fake->uploads); i++) {
        const char *key = fake->uploads[i].key;
        if (key != NULL && (prefix == NULL || strncmp(key, prefix, strlen(prefix)) == 0))
            fake_must(crn_buf_printf(&a->body,
                                     "<Upload><Key>%s</Key><UploadId>%zu</UploadId><Initiated>"
                                     "2013-05-24T00:00:00.000Z</Initiated></Upload>",
                                     key, i) == 0);
    }
    say(&a->body, "<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>");
}

static void delete_objects(struct fake *fake, const struct message *m, struct answer *a)
{
    fake_must(crn_buf_append(&((struct message *)(uintptr_t)m)->body, "", 1) == 0);
    for (const char *p = (const char *)m->body.data; (p = strstr(p, "<Key>")) != NULL;) {
        p += 5;
        CRN_AUTO_FREE char *key = strndup(p, strcspn(p, "<"));
        fake_must(key != NULL);
        drop(fake, key);
    }
    say(&a->body, "<DeleteResult/>");
}

static void post(struct fake *fake, const struct target *t, const struct message *m,
                 struct answer *a)
{
    CRN_AUTO_FREE char *begins = parameter(t, "uploads"), *id = parameter(t, "uploadId");
    if (begins != NULL) {
        unsigned i = 0;
        while (i + 1 < CRN_COUNT(fake->uploads) && fake->uploads[i].key != NULL)
            i++;
        fake_must(fake->uploads[i].key == NULL);
        fake->uploads[i].key = strdup(t->key);
        fake_must(crn_buf_printf(&a->body,
                                 "<InitiateMultipartUploadResult><UploadId>%u</UploadId>"
                                 "</InitiateMultipartUploadResult>",
                                 i) == 0);
    } else if (id != NULL) {
        struct upload *upload = &fake->uploads[strtoul(id, NULL, 10) % CRN_COUNT(fake->uploads)];
        if (upload->key == NULL) {
            fake_say_error(a, 404, "NoSuchUpload");
            return;
        }
        CRN_AUTO_BUFFER struct cairn_buffer bytes = {0};
        for (size_t i = 1; i < FAKE_PARTS_MAX; i++)
            fake_must(crn_buf_append(&bytes, upload->parts[i].data, upload->parts[i].size) == 0);
        store(fake, upload->key, bytes.data, bytes.size);
        drop_upload(upload);
        say(&a->body, "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag>"
                      "</CompleteMultipartUploadResult>");
    } else {
        delete_objects(fake, m, a);
    }
}

void fake_do(struct fake *fake, struct message *m, struct answer *a)
{
    struct target t = split(m->target, fake->has_hosts);
    CRN_AUTO_FREE char *id = parameter(&t, "uploadId"), *uploads = parameter(&t, "uploads");
    if (strcmp(m->method, "PUT") == 0 && *t.key != 0) {
        put_object(fake, &t, m, a);
    } else if (strcmp(m->method, "POST") == 0) {
        post(fake, &t, m, a);
    } else if (strcmp(m->method, "GET") == 0 && uploads != NULL) {
        list_uploads(fake, &t, a);
    } else if (strcmp(m->method, "GET") == 0 && *t.key == 0) {
        list_objects(fake, &t, a);
    } else if (strcmp(m->method, "GET") == 0 || strcmp(m->method, "HEAD") == 0) {
        get_object(fake, &t, m, a);
    } else if (strcmp(m->method, "DELETE") == 0 && id != NULL) {
        drop_upload(&fake->uploads[strtoul(id, NULL, 10) % CRN_COUNT(fake->uploads)]);
        a->status = 204;
    } else if (strcmp(m->method, "DELETE") == 0) {
        drop(fake, t.key);
        a->status = 204;
    } else {
        fake_say_error(a, 501, "NotImplemented");
    }
}
