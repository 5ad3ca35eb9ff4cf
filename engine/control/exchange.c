/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request: what it has to fulfil before it is worth a route, and its response.
 *
 * A request is judged when it is whole, whatever is wrong with it: who is still sending a body
 * would not hear an early answer, but find the connection reset. So what is read of a body that is
 * too large, or of somebody without the token, is dropped at once. How long that may take is the
 * server's to limit.
 *
 * In the endpoint's thread, without locks.
 */
#include "engine/control/exchange.h"

#include "engine/control/order.h"

#include <string.h>
#include <strings.h>

#define JSON_TYPE "application/json"

struct crn_exchange *crn_exchange_new(struct crn_control *control, const char *target,
                                      struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct crn_exchange *exchange = calloc(1, sizeof *exchange);
    size_t n = strlen(target);
    if (exchange == NULL || info == NULL || info->socket_context == NULL) {
        free(exchange);
        return NULL;
    }
    exchange->control = control;
    exchange->connection = connection;
    exchange->peer = info->socket_context;
    if (n <= CRN_TARGET_MAX)
        memcpy(exchange->target, target, n);
    crn_peer_enter(exchange->peer, CRN_PEER_REQUEST);
    return exchange;
}

void crn_exchange_free(struct crn_exchange *exchange)
{
    if (exchange == NULL)
        return;
    crn_buf_done(&exchange->body);
    free(exchange);
}

void crn_exchange_take(struct crn_exchange *exchange, const char *data, size_t size)
{
    if (exchange->body.size + size > CRN_BODY_MAX)
        exchange->is_too_large = true;
    if (exchange->is_too_large)
        crn_buf_done(&exchange->body);
    else if (crn_buf_append(&exchange->body, data, size) < 0)
        exchange->is_out_of_memory = true;
}

/* ------------------------------------------------------------------------------------------ *
 * Judging
 * ------------------------------------------------------------------------------------------ */

/* As long for any other text of the same length as for the token itself. */
static bool is_token(const char *given, const char *token)
{
    size_t given_size = strlen(given), size = strlen(token);
    unsigned difference = given_size != size;
    for (size_t i = 0; i < size; i++)
        difference |= (unsigned char)(token[i] ^ given[given_size == 0 ? 0 : i % given_size]);
    return difference == 0;
}

static int check_token(const struct crn_exchange *exchange, struct crn_reply *reply,
                       cairn_error **reterr)
{
    static const char scheme[] = "Bearer ";
    const char *token = exchange->control->wanted.token;
    if (token == NULL)
        return 0;
    const char *given = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND,
                                                    MHD_HTTP_HEADER_AUTHORIZATION);
    if (given != NULL && strncasecmp(given, scheme, sizeof scheme - 1) == 0 &&
        is_token(given + sizeof scheme - 1, token))
        return 0;
    reply->status = MHD_HTTP_UNAUTHORIZED;
    return crn_err_fail(reterr, CAIRN_EACCES, NULL,
                        given == NULL ? "the job wants its control_token: Authorization: Bearer "
                                        "TOKEN"
                                      : "this is not the job's control_token");
}

static int check_body(const struct crn_exchange *exchange, struct crn_reply *reply,
                      cairn_error **reterr)
{
    static const char json[] = JSON_TYPE;
    if (exchange->is_out_of_memory)
        return crn_err_nomem(reterr);
    if (exchange->is_too_large) {
        reply->status = MHD_HTTP_CONTENT_TOO_LARGE;
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the body has over %u bytes", CRN_BODY_MAX);
    }
    const char *type = MHD_lookup_connection_value(exchange->connection, MHD_HEADER_KIND,
                                                   MHD_HTTP_HEADER_CONTENT_TYPE);
    if (exchange->body.size == 0 ||
        (type != NULL && strncasecmp(type, json, sizeof json - 1) == 0 &&
         strchr("; \t", type[sizeof json - 1]) != NULL))
        return 0;
    reply->status = MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
    return crn_err_fail(reterr, CAIRN_EUNSUPPORTED, NULL, "a body needs Content-Type: " JSON_TYPE);
}

static int judge(struct crn_exchange *exchange, const char *method, struct crn_routed *ret,
                 struct crn_reply *reply, cairn_error **reterr)
{
    CRN_TRY(check_token(exchange, reply, reterr));
    if (exchange->target[0] == '\0') {
        reply->status = MHD_HTTP_URI_TOO_LONG;
        return crn_err_fail(reterr, CAIRN_EINVAL, NULL, "the path and query have over %u bytes",
                            CRN_TARGET_MAX);
    }
    int r = crn_router_find(method, exchange->target, ret, &reply->allow, reterr);
    if (r == CAIRN_EUNSUPPORTED)
        reply->status = MHD_HTTP_METHOD_NOT_ALLOWED;
    CRN_TRY(r);
    if (strcmp(ret->route->method, MHD_HTTP_METHOD_POST) == 0)
        CRN_TRY(check_body(exchange, reply, reterr));
    if (exchange->has_waited) /* this time it is told what there is */
        memset(ret->parameters, 0, sizeof ret->parameters);
    return 0;
}

/* ------------------------------------------------------------------------------------------ *
 * Answering
 * ------------------------------------------------------------------------------------------ */

static bool add_headers(struct MHD_Response *response, const struct crn_reply *reply)
{
    bool ok =
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                reply->content_type != NULL ? reply->content_type : JSON_TYPE) ==
            MHD_YES &&
        MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES;
    if (reply->allow != NULL)
        ok =
            ok && MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, reply->allow) == MHD_YES;
    if (reply->location[0] != '\0')
        ok = ok && MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, reply->location) ==
                       MHD_YES;
    if (reply->status == MHD_HTTP_UNAUTHORIZED)
        ok = ok && MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer") ==
                       MHD_YES;
    return ok;
}

/* MHD_NO closes the connection: all that is left to do when there is no memory. */
static enum MHD_Result send_reply(struct crn_exchange *exchange, struct crn_reply *reply)
{
    static char nothing[1];
    struct MHD_Response *response = MHD_create_response_from_buffer(
        reply->body.size, reply->body.size > 0 ? (void *)reply->body.data : nothing,
        MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    enum MHD_Result result = add_headers(response, reply)
                                 ? MHD_queue_response(exchange->connection, reply->status, response)
                                 : MHD_NO;
    MHD_destroy_response(response);
    crn_peer_enter(exchange->peer, CRN_PEER_ANSWERING);
    return result;
}

static enum MHD_Result wait_for_trigger(struct crn_exchange *exchange,
                                        const struct crn_reply *reply)
{
    struct crn_control *control = exchange->control;
    exchange->wait_number = reply->wait_number;
    exchange->wait_until_us = crn_now_us() + reply->wait_us;
    exchange->next = control->waiting;
    control->waiting = exchange;
    crn_peer_enter(exchange->peer, CRN_PEER_WAITING);
    MHD_suspend_connection(exchange->connection);
    return MHD_YES;
}

enum MHD_Result crn_exchange_answer(struct crn_exchange *exchange, const char *method)
{
    CRN_AUTO_ERROR cairn_error *error = NULL;
    struct crn_reply reply = {0};
    struct crn_routed routed;
    int r = judge(exchange, method, &routed, &reply, &error);
    if (r < 0)
        crn_reply_fail(&reply, r, error);
    else
        crn_handle(exchange->control, &routed, exchange->body.data, exchange->body.size, &reply);
    enum MHD_Result result =
        reply.wait_us > 0 ? wait_for_trigger(exchange, &reply) : send_reply(exchange, &reply);
    crn_reply_done(&reply);
    return result;
}
