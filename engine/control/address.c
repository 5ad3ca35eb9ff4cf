/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words that say where a control endpoint listens. Pure: nothing is opened.
 *
 * TCP is for loopback, as a number: a name could mean anything tomorrow, and whoever wants to be
 * reached from elsewhere needs a proxy that knows whom it lets in. It is never without a token,
 * since every user of the machine, and every page in a browser on it, can connect there.
 */
#include "base/buffer.h"
#include "engine/control/endpoint.h"

#include <string.h>

#define TOKEN_MIN 16u
#define TOKEN_MAX 256u

void crn_endpoint_wanted_done(struct crn_endpoint_wanted *wanted)
{
    if (wanted->token != NULL)
        explicit_bzero(wanted->token, strlen(wanted->token));
    free(wanted->token);
    free(wanted->path);
    *wanted = (struct crn_endpoint_wanted){0};
}

static int take_token(const char *token, struct crn_endpoint_wanted *ret, cairn_error **reterr)
{
    if (token == NULL || token[0] == '\0')
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "control over tcp needs control_token: %u to %u visible ASCII "
                            "characters that requests have to show",
                            TOKEN_MIN, TOKEN_MAX);
    size_t n = strlen(token);
    bool is_visible = true;
    for (size_t i = 0; i < n; i++)
        is_visible = is_visible && token[i] > 0x20 && token[i] < 0x7f;
    if (n < TOKEN_MIN || n > TOKEN_MAX || !is_visible)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "control_token has %zu bytes%s; it is to be %u to %u visible ASCII "
                            "characters",
                            n, is_visible ? "" : ", some of them not visible ones", TOKEN_MIN,
                            TOKEN_MAX);
    ret->token = crn_str_dup_n(token, n);
    return ret->token == NULL ? crn_err_nomem(reterr) : 0;
}

static int take_port(const char *text, uint16_t *ret)
{
    unsigned port = 0;
    size_t n = strlen(text);
    if (n == 0 || n > 5)
        return CAIRN_EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return CAIRN_EINVAL;
        port = 10 * port + (unsigned)(text[i] - '0');
    }
    *ret = (uint16_t)port;
    return port > UINT16_MAX ? CAIRN_EINVAL : 0;
}

static int take_tcp(const char *control, const char *token, struct crn_endpoint_wanted *ret,
                    cairn_error **reterr)
{
    static const char tcp4[] = "tcp:127.0.0.1:", tcp6[] = "tcp:[::1]:";
    const char *port;
    if (strncmp(control, tcp4, sizeof tcp4 - 1) == 0) {
        ret->kind = CRN_ENDPOINT_TCP4;
        port = control + sizeof tcp4 - 1;
    } else if (strncmp(control, tcp6, sizeof tcp6 - 1) == 0) {
        ret->kind = CRN_ENDPOINT_TCP6;
        port = control + sizeof tcp6 - 1;
    } else {
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "control '%s': tcp is for loopback only, 'tcp:127.0.0.1:PORT' or "
                            "'tcp:[::1]:PORT'; put a proxy that authenticates in front of it to be "
                            "reached from elsewhere",
                            control);
    }
    if (take_port(port, &ret->port) < 0)
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "control '%s': the port is a number up to 65535, 0 for any", control);
    return take_token(token, ret, reterr);
}

int crn_endpoint_parse(const char *control, const char *token, struct crn_endpoint_wanted *ret,
                       cairn_error **reterr)
{
    CRN_CLEANUP(crn_endpoint_wanted_done) struct crn_endpoint_wanted wanted = {0};
    if (control == NULL) {
        wanted.kind = CRN_ENDPOINT_NONE;
    } else if (strcmp(control, "unix") == 0) {
        wanted.kind = CRN_ENDPOINT_RUN_DIR;
    } else if (strncmp(control, "unix:/", 6) == 0 && control[strlen(control) - 1] != '/') {
        wanted.kind = CRN_ENDPOINT_PATH;
        wanted.path = crn_str_dup_n(control + 5, strlen(control + 5));
        if (wanted.path == NULL)
            return crn_err_nomem(reterr);
    } else if (strncmp(control, "tcp:", 4) == 0) {
        CRN_TRY(take_tcp(control, token, &wanted, reterr));
    } else {
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL,
                            "control '%s' is not 'unix', 'unix:/absolute/path' or "
                            "'tcp:127.0.0.1:PORT'",
                            control);
    }
    *ret = wanted;
    wanted = (struct crn_endpoint_wanted){0};
    return 0;
}
