/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Error objects and the tables behind the codes.
 *
 * CAIRN_ERROR_MAP in cairn.h is the only list of codes; enum, names, texts and classes are all made
 * from it. An error object is one allocation that never changes after it was made, so it may be
 * read from any thread that it was handed to. When even that allocation fails, a static object of
 * the same code stands in: cairn_error_free() knows it, and the caller never sees a failure without
 * an error.
 *
 * A message is one line. What it quotes (keys, paths, bytes of a damaged object) is not to be
 * trusted, so control characters are replaced before anybody prints them (P11).
 */

#include "base/error.h"
#include "base/cleanup.h"
#include "cairn/store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct cairn_error {
    int code;
    int os_errno;
    bool immortal;       /* static: never freed */
    const char *message; /* this and object stand right behind the struct, or are static */
    const char *object;
};

static const struct {
    int code;
    const char *name;
    const char *text;
    cairn_error_class class_of;
} codes[] = {
#define X(name, number, cls, text) {-(number), "CAIRN_" #name, text, CAIRN_CLASS_##cls},
    CAIRN_ERROR_MAP(X)
#undef X
};

static struct cairn_error immortals[] = {
#define X(name, number, cls, text) {-(number), 0, true, text, ""},
    CAIRN_ERROR_MAP(X)
#undef X
};

/* Index into both tables; -1 for an unknown code. */
static int index_of(int code)
{
    for (size_t i = 0; i < CRN_COUNT(codes); i++)
        if (codes[i].code == code)
            return (int)i;
    return -1;
}

const char *cairn_error_name(int code)
{
    int i = index_of(code);
    return i >= 0 ? codes[i].name : code == 0 ? "CAIRN_OK" : "CAIRN_E?";
}

const char *cairn_error_text(int code)
{
    int i = index_of(code);
    return i >= 0 ? codes[i].text : code == 0 ? "success" : "unknown error";
}

cairn_error_class cairn_error_class_of(int code)
{
    int i = index_of(code);
    return i >= 0 ? codes[i].class_of : code == 0 ? CAIRN_CLASS_NONE : CAIRN_CLASS_INTERNAL;
}

int cairn_error_code(const cairn_error *error)
{
    return error != NULL ? error->code : 0;
}

const char *cairn_error_message(const cairn_error *error)
{
    return error != NULL ? error->message : "";
}

const char *cairn_error_object(const cairn_error *error)
{
    return error != NULL ? error->object : "";
}

int cairn_error_errno(const cairn_error *error)
{
    return error != NULL ? error->os_errno : 0;
}

void cairn_error_free(cairn_error *error)
{
    if (error != NULL && !error->immortal)
        free(error);
}

static cairn_error *immortal(int code)
{
    int i = index_of(code);
    return &immortals[i >= 0 ? i : index_of(CAIRN_EINTERNAL)];
}

static void keep_one_line(char *text)
{
    for (; *text != 0; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* Never NULL. An empty message becomes the code's own text. */
static cairn_error *make(int code, int os_errno, const char *object, const char *message)
{
    if (message == NULL || *message == 0)
        message = cairn_error_text(code);
    if (object == NULL)
        object = "";
    size_t message_size = strlen(message) + 1, object_size = strlen(object) + 1;
    cairn_error *error = malloc(sizeof(*error) + message_size + object_size);
    if (error == NULL)
        return immortal(code);
    *error = (cairn_error){.code = code, .os_errno = os_errno};
    char *text = (char *)(error + 1);
    memcpy(text, message, message_size);
    keep_one_line(text);
    memcpy(text + message_size, object, object_size);
    error->message = text;
    error->object = text + message_size;
    return error;
}

int cairn_error_set(cairn_error **reterr, int code, const char *object, int os_errno,
                    const char *message)
{
    if (reterr != NULL && *reterr == NULL)
        *reterr = make(code, os_errno, object, message);
    return code;
}

int crn_err_fail(cairn_error **reterr, int code, const char *object, const char *format, ...)
{
    if (reterr == NULL || *reterr != NULL)
        return code;
    CRN_AUTO_FREE char *message = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&message, format, args);
    va_end(args);
    if (n < 0)
        message = NULL;
    *reterr = message != NULL ? make(code, 0, object, message) : immortal(code);
    return code;
}

static int code_of_errno(int os_errno)
{
    switch (os_errno) {
    case ENOSPC:
    case EDQUOT:
        return CAIRN_ENOSPC;
    case EACCES:
    case EPERM:
    case EROFS:
        return CAIRN_EACCES;
    case ENOMEM:
        return CAIRN_ENOMEM;
    default:
        return CAIRN_EIO;
    }
}

int crn_err_os(cairn_error **reterr, int os_errno, const char *object, const char *format, ...)
{
    int code = code_of_errno(os_errno);
    if (reterr == NULL || *reterr != NULL)
        return code;
    CRN_AUTO_FREE char *what = NULL;
    CRN_AUTO_FREE char *message = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&what, format, args);
    va_end(args);
    if (n < 0)
        what = NULL;
    const char *reason = strerrordesc_np(os_errno);
    if (what != NULL &&
        asprintf(&message, "%s: %s", what, reason != NULL ? reason : "unknown system error") < 0)
        message = NULL;
    *reterr = message != NULL ? make(code, os_errno, object, message) : immortal(code);
    return code;
}

void crn_err_prefix(cairn_error **reterr, const char *format, ...)
{
    if (reterr == NULL || *reterr == NULL)
        return;
    CRN_AUTO_FREE char *prefix = NULL;
    CRN_AUTO_FREE char *message = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&prefix, format, args);
    va_end(args);
    if (n < 0)
        prefix = NULL;
    cairn_error *old = *reterr;
    if (prefix == NULL || asprintf(&message, "%s: %s", prefix, old->message) < 0) {
        message = NULL; /* context is a courtesy: without memory the error stays as it is */
        return;
    }
    cairn_error *error = make(old->code, old->os_errno, old->object, message);
    if (error->immortal)
        return;
    cairn_error_free(old);
    *reterr = error;
}

int crn_err_move(cairn_error **to, cairn_error **from, int code)
{
    if (to != NULL && *to == NULL)
        *to = CRN_TAKE(*from);
    cairn_error_free(*from);
    *from = NULL;
    return code;
}

int crn_err_nomem(cairn_error **reterr)
{
    if (reterr != NULL && *reterr == NULL)
        *reterr = immortal(CAIRN_ENOMEM);
    return CAIRN_ENOMEM;
}

cairn_error *crn_err_copy(const cairn_error *error)
{
    return error != NULL ? make(error->code, error->os_errno, error->object, error->message) : NULL;
}
