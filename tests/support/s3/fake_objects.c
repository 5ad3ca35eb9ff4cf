/* SPDX-License-Identifier: Apache-2.0 */
/* What the fake server does with its objects, rightly, and how it says so. Where it keeps them is
 * in fake_memory.c, or in fake_directory.c. */
#include "tests/support/s3/fake_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

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

static void drop_upload(struct upload *upload)
{
    free(upload->key);
    for (size_t i = 0; i < FAKE_PARTS_MAX; i++)
        crn_buf_done(&upload->parts[i]);
    memset(upload, 0, sizeof *upload);
}

void fake_objects_done(struct fake *fake)
{
    fake_keep_done(fake);
    for (size_t i = 0; i < CRN_COUNT(fake->uploads); i++)
        drop_upload(&fake->uploads[i]);
}

static void kept_done(struct fake_kept *kept)
{
    crn_buf_done(&kept->bytes);
}
#define AUTO_KEPT CRN_CLEANUP(kept_done)

bool fake_get(struct fake *fake, const char *key, struct cairn_buffer *ret)
{
    AUTO_KEPT struct fake_kept kept = {0};
    crn_mutex_lock(&fake->lock);
    bool is_there = fake_keep_get(fake, key, &kept);
    crn_mutex_unlock(&fake->lock);
    fake_must(crn_buf_append(ret, kept.bytes.data, kept.bytes.size) == 0);
    return is_there;
}

void fake_put(struct fake *fake, const char *key, const char *text)
{
    crn_mutex_lock(&fake->lock);
    fake_must(fake_keep_put(fake, key, text, strlen(text)));
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
    char *bucket;
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
    t.bucket = text + 1;
    if (slash != NULL)
        *slash = 0;
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

static void keep(struct fake *fake, const char *key, const struct cairn_buffer *bytes,
                 struct answer *a)
{
    if (!fake_keep_put(fake, key, bytes->data, bytes->size))
        fake_say_error(a, 400, "InvalidArgument");
}

static bool is_kept(struct fake *fake, const char *key)
{
    AUTO_KEPT struct fake_kept kept = {0};
    return fake_keep_get(fake, key, &kept);
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
        AUTO_KEPT struct fake_kept from = {0};
        decode(m->headers[H_COPY_SOURCE]);
        if (!fake_keep_get(fake, strchr(m->headers[H_COPY_SOURCE] + 1, '/') + 1, &from)) {
            fake_say_error(a, 404, "NoSuchKey");
            return;
        }
        keep(fake, t->key, &from.bytes, a);
        say(&a->body, "<CopyObjectResult><ETag>\"etag\"</ETag></CopyObjectResult>");
        return;
    } else if (m->headers[H_IF_NONE_MATCH] != NULL && !fake->is_lying && is_kept(fake, t->key)) {
        fake_say_error(a, 412, "PreconditionFailed");
        return;
    } else {
        keep(fake, t->key, &m->body, a);
    }
    say_stored(a);
}

static void get_object(struct fake *fake, const struct target *t, const struct message *m,
                       struct answer *a)
{
    AUTO_KEPT struct fake_kept kept = {0};
    unsigned long long start, end;
    char date[64];
    struct tm tm;
    if (!fake_keep_get(fake, t->key, &kept)) {
        fake_say_error(a, 404, "NoSuchKey");
        return;
    }
    say_stored(a);
    const time_t modified = (time_t)(kept.modified_ms / 1000);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&modified, &tm));
    fake_must(crn_buf_printf(&a->headers, "Last-Modified: %s\r\n", date) == 0);
    a->head_size = kept.bytes.size;
    if (m->headers[H_RANGE] == NULL ||
        sscanf(m->headers[H_RANGE], "bytes=%llu-%llu", &start, &end) != 2) {
        fake_must(crn_buf_append(&a->body, kept.bytes.data, kept.bytes.size) == 0);
        return;
    }
    if (start >= kept.bytes.size) {
        fake_say_error(a, 416, "InvalidRange");
        return;
    }
    if (end >= kept.bytes.size)
        end = kept.bytes.size - 1;
    a->status = 206;
    fake_must(crn_buf_printf(&a->headers, "Content-Range: bytes %llu-%llu/%zu\r\n", start, end,
                             kept.bytes.size) == 0);
    fake_must(crn_buf_append(&a->body, kept.bytes.data + start, (size_t)(end - start + 1)) == 0);
}

/* Text in XML. */
static void say_escaped(struct cairn_buffer *to, const char *text)
{
    for (const char *p = text; *p != 0; p++)
        fake_must((strchr("<>&'\"", *p) != NULL ? crn_buf_printf(to, "&#%d;", *p)
                                                : crn_buf_append(to, p, 1)) == 0);
}

/* A page of a listing: cut by entries; the token is the last key or prefix that was given. */
struct listing {
    struct answer *a;
    const char *prefix, *delimiter;
    struct cairn_buffer last, now;
    unsigned given, page_keys;
    bool is_truncated;
};

static bool list_object(void *context, const char *key, uint64_t size, int64_t modified_ms)
{
    struct listing *l = context;
    const size_t n = strlen(l->prefix);
    char date[64];
    struct tm tm;
    const time_t modified = (time_t)(modified_ms / 1000);
    if (strncmp(key, l->prefix, n) != 0)
        return true;
    const char *slash = l->delimiter != NULL ? strchr(key + n, '/') : NULL;
    crn_buf_clear(&l->now);
    fake_must(crn_buf_append(&l->now, key,
                             slash != NULL ? (size_t)(slash - key) + 1 : strlen(key)) == 0 &&
              crn_buf_append(&l->now, "", 1) == 0);
    if (strcmp((char *)l->now.data, (char *)l->last.data) <= 0)
        return true;
    l->is_truncated = l->given == l->page_keys;
    if (l->is_truncated)
        return false;
    l->given++;
    crn_buf_clear(&l->last);
    fake_must(crn_buf_append(&l->last, l->now.data, l->now.size) == 0);
    say(&l->a->body, slash != NULL ? "<CommonPrefixes><Prefix>" : "<Contents><Key>");
    say_escaped(&l->a->body, (const char *)l->now.data);
    if (slash != NULL) {
        say(&l->a->body, "</Prefix></CommonPrefixes>");
        return true;
    }
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", gmtime_r(&modified, &tm));
    fake_must(crn_buf_printf(&l->a->body,
                             "</Key><LastModified>%s.000Z</LastModified><Size>%" PRIu64
                             "</Size></Contents>",
                             date, size) == 0);
    return true;
}

static void list_objects(struct fake *fake, const struct target *t, struct answer *a)
{
    CRN_AUTO_FREE char *prefix = parameter(t, "prefix"),
                       *token = parameter(t, "continuation-token");
    CRN_AUTO_FREE char *delimiter = parameter(t, "delimiter");
    struct listing l = {.a = a,
                        .prefix = prefix != NULL ? prefix : "",
                        .delimiter = delimiter,
                        .page_keys = fake->page_keys};
    say(&a->body, "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3/\">");
    fake_must(crn_buf_append(&l.last, token != NULL ? token : "",
                             (token != NULL ? strlen(token) : 0) + 1) == 0);
    fake_keep_each(fake, list_object, &l);
    fake_must(crn_buf_printf(&a->body, "<IsTruncated>%s</IsTruncated>",
                             l.is_truncated ? "true" : "false") == 0);
    if (l.is_truncated) {
        say(&a->body, "<NextContinuationToken>");
        say_escaped(&a->body, (const char *)l.last.data);
        say(&a->body, "</NextContinuationToken>");
    }
    say(&a->body, "</ListBucketResult>");
    crn_buf_done(&l.last);
    crn_buf_done(&l.now);
}

/* In place: what XML has to write otherwise. */
static void unescape(char *text)
{
    static const struct {
        const char *name;
        char c;
    } names[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    char *to = text;
    for (const char *p = text; *p != 0;) {
        size_t taken = 1;
        char c = *p;
        for (size_t i = 0; i < CRN_COUNT(names); i++)
            if (strncmp(p, names[i].name, strlen(names[i].name)) == 0) {
                taken = strlen(names[i].name);
                c = names[i].c;
            }
        if (strncmp(p, "&#", 2) == 0) {
            c = (char)strtol(p + 2, NULL, 10);
            taken = strcspn(p, ";") + 1;
        }
        *to++ = c;
        p += taken;
    }
    *to = 0;
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
        unescape(key);
        fake_keep_drop(fake, key);
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
        say(&a->body, "<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag>"
                      "</CompleteMultipartUploadResult>");
        keep(fake, upload->key, &bytes, a);
        drop_upload(upload);
    } else {
        delete_objects(fake, m, a);
    }
}

void fake_do(struct fake *fake, struct message *m, struct answer *a)
{
    struct target t = split(m->target, fake->has_hosts);
    CRN_AUTO_FREE char *id = parameter(&t, "uploadId"), *uploads = parameter(&t, "uploads");
    const char *authorization = m->headers[H_AUTHORIZATION];
    if (fake->bucket != NULL && strcmp(t.bucket, fake->bucket) != 0) {
        fake_say_error(a, 404, "NoSuchBucket");
    } else if (fake->credential != NULL &&
               (authorization == NULL || strstr(authorization, fake->credential) == NULL)) {
        fake_say_error(a, 403, "InvalidAccessKeyId");
    } else if (fake_keep_is_closed(fake)) {
        fake_say_error(a, 403, "AccessDenied");
    } else if (strcmp(m->method, "PUT") == 0 && *t.key != 0) {
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
        fake_keep_drop(fake, t.key);
        a->status = 204;
    } else {
        fake_say_error(a, 501, "NotImplemented");
    }
}
