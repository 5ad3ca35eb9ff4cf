/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The endpoint's thread: an HTTP daemon, its connections, and the time that each of them has.
 *
 * The thread is ours and runs the daemon, not the reverse: so it takes none of the service's
 * signals, and clients that are slow can be dealt with. The daemon's own timeout counts from the
 * last byte, so that one byte now and then would hold a connection for ever; here each phase of a
 * connection has a limit as a whole. A request that is not complete by then is told so (408), past
 * the daemon, which has said nothing to it yet; then the socket is shut down, and the daemon finds
 * it closed.
 *
 * Who waits for a trigger is suspended in the daemon, and resumed by the loop when the trigger is
 * over.
 *
 * Closing: the loop goes on until the orders' threads are joined, who waits has been told, and the
 * responses are sent; for a moment longer if there is an outcome that somebody has kept asking for
 * and not heard. No client can hold it up for more than that.
 *
 * Locks: control->lock, for moments.
 */
#include "engine/control/exchange.h"

#include "engine/job/job.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECTIONS_MAX 64u
#define CONNECTION_MEMORY ((size_t)16384)

/* ------------------------------------------------------------------------------------------ *
 * Phases of the endpoint
 * ------------------------------------------------------------------------------------------ */

enum crn_control_phase crn_control_phase(struct crn_control *control)
{
    crn_mutex_lock(&control->lock);
    enum crn_control_phase phase = control->phase;
    crn_mutex_unlock(&control->lock);
    return phase;
}

bool crn_control_enter_job(struct crn_control *control)
{
    crn_mutex_lock(&control->lock);
    control->is_looking = control->phase == CRN_CONTROL_SERVING;
    bool may = control->is_looking;
    crn_mutex_unlock(&control->lock);
    return may;
}

void crn_control_leave_job(struct crn_control *control)
{
    crn_mutex_lock(&control->lock);
    control->is_looking = false;
    crn_cond_broadcast(&control->looked);
    crn_mutex_unlock(&control->lock);
}

/* ------------------------------------------------------------------------------------------ *
 * Connections
 * ------------------------------------------------------------------------------------------ */

void crn_peer_enter(struct crn_peer *peer, enum crn_peer_phase phase)
{
    peer->phase = phase;
    peer->since_us = crn_now_us();
}

static void peer_new(struct crn_control *control, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct crn_peer *peer = info == NULL ? NULL : calloc(1, sizeof *peer);
    *context = peer;
    if (peer == NULL) /* its requests are refused */
        return;
    peer->fd = info->connect_fd;
    peer->next = control->peers;
    if (peer->next != NULL)
        peer->next->previous = peer;
    control->peers = peer;
    crn_peer_enter(peer, CRN_PEER_IDLE);
}

static void peer_free(struct crn_control *control, struct crn_peer *peer)
{
    if (peer == NULL)
        return;
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        control->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    free(peer);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        peer_new(context, connection, socket_context);
    else
        peer_free(context, CRN_TAKE(*socket_context));
}

/* When the peer's present phase is over. */
static uint64_t deadline_of(const struct crn_control *control, const struct crn_peer *peer)
{
    switch (peer->phase) {
    case CRN_PEER_IDLE:
        return peer->since_us + control->limits.idle_us;
    case CRN_PEER_REQUEST:
        return peer->since_us + control->limits.request_us;
    case CRN_PEER_ANSWERING:
        return peer->since_us + control->limits.answer_us;
    case CRN_PEER_WAITING:
    case CRN_PEER_CUT:
        break;
    }
    return UINT64_MAX;
}

static void cut(struct crn_peer *peer)
{
    /* Its end is that of the connection. */
    static const char late[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: "
        "application/json\r\n\r\n"
        "{\"error\":{\"code\":\"CAIRN_ETIMEOUT\",\"message\":\"the request was not complete in "
        "time\",\"object\":null}}";
    if (peer->phase == CRN_PEER_REQUEST) /* who does not take even that has had its chance */
        (void)send(peer->fd, late, sizeof late - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(peer->fd, SHUT_RDWR); /* fails if the other side has gone: just as well */
    crn_peer_enter(peer, CRN_PEER_CUT);
}

/* Returns when the next one is due. */
static uint64_t cut_late(struct crn_control *control, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;
    for (struct crn_peer *peer = control->peers; peer != NULL; peer = peer->next) {
        uint64_t deadline_us = deadline_of(control, peer);
        if (deadline_us <= now_us)
            cut(peer);
        else if (deadline_us < next_us)
            next_us = deadline_us;
    }
    return next_us;
}

/* ------------------------------------------------------------------------------------------ *
 * Requests
 * ------------------------------------------------------------------------------------------ */

/* The first line is there. What this returns is the request's context. */
static void *on_target(void *context, const char *target, struct MHD_Connection *connection)
{
    return crn_exchange_new(context, target, connection);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **request)
{
    struct crn_exchange *exchange = *request;
    (void)context, (void)connection, (void)url, (void)version;
    if (exchange == NULL) /* there was no memory for it */
        return MHD_NO;
    if (!exchange->has_begun) {
        exchange->has_begun = true;
        return MHD_YES;
    }
    if (*size == 0)
        return crn_exchange_answer(exchange, method);
    crn_exchange_take(exchange, data, *size);
    *size = 0;
    return MHD_YES;
}

static void forget_waiting(struct crn_control *control, const struct crn_exchange *exchange)
{
    for (struct crn_exchange **p = &control->waiting; *p != NULL; p = &(*p)->next)
        if (*p == exchange) {
            *p = exchange->next;
            return;
        }
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode code)
{
    struct crn_exchange *exchange = CRN_TAKE(*request);
    (void)connection, (void)code;
    if (exchange == NULL)
        return;
    forget_waiting(context, exchange);
    if (exchange->peer->phase != CRN_PEER_CUT)
        crn_peer_enter(exchange->peer, CRN_PEER_IDLE);
    crn_exchange_free(exchange);
}

/* Whoever has waited long enough, or whose trigger is over. Returns when the next one has. */
static uint64_t resume_waiting(struct crn_control *control, bool all, uint64_t now_us)
{
    uint64_t next_us = UINT64_MAX;
    for (struct crn_exchange **p = &control->waiting; *p != NULL;) {
        struct crn_exchange *exchange = *p;
        if (!all && exchange->wait_until_us > now_us &&
            crn_triggers_is_over(&control->triggers, exchange->wait_number) == 0) {
            if (exchange->wait_until_us < next_us)
                next_us = exchange->wait_until_us;
            p = &exchange->next;
            continue;
        }
        *p = exchange->next;
        exchange->has_waited = true;
        crn_peer_enter(exchange->peer, CRN_PEER_ANSWERING);
        MHD_resume_connection(exchange->connection);
        next_us = 0; /* the daemon has something to do */
    }
    return next_us;
}

/* ------------------------------------------------------------------------------------------ *
 * The loop
 * ------------------------------------------------------------------------------------------ */

static bool is_answering(const struct crn_control *control)
{
    for (const struct crn_peer *peer = control->peers; peer != NULL; peer = peer->next)
        if (peer->phase == CRN_PEER_ANSWERING)
            return true;
    return false;
}

/* Everybody has been told, or had the time. */
static bool may_end(struct crn_control *control, uint64_t end_us, uint64_t now_us)
{
    if (control->waiting != NULL)
        return false;
    return now_us >= end_us ||
           (!crn_triggers_has_untold(&control->triggers, now_us) && !is_answering(control));
}

/* Until something happens, or it is time. */
static void await(struct crn_control *control, uint64_t until_us, uint64_t now_us)
{
    struct pollfd fds[] = {{.fd = control->event_fd, .events = POLLIN},
                           {.fd = control->wake_fd, .events = POLLIN}};
    MHD_UNSIGNED_LONG_LONG daemon_ms;
    uint64_t wait_ms = until_us <= now_us       ? 0
                       : until_us == UINT64_MAX ? INT32_MAX
                                                : (until_us - now_us + 999) / 1000;
    if (MHD_get_timeout(control->daemon, &daemon_ms) == MHD_YES && daemon_ms < wait_ms)
        wait_ms = daemon_ms;
    if (poll(fds, CRN_COUNT(fds), wait_ms < INT32_MAX ? (int)wait_ms : INT32_MAX) > 0 &&
        fds[1].revents != 0) {
        uint64_t count;
        (void)!read(control->wake_fd, &count, sizeof count); /* what has changed is looked up */
    }
}

void *crn_server_run(void *arg)
{
    struct crn_control *control = arg;
    uint64_t end_us = UINT64_MAX;
    for (;;) {
        (void)MHD_run(control->daemon); /* fails only for daemons that run by themselves */
        crn_triggers_reap(&control->triggers);
        uint64_t now_us = crn_now_us();
        bool is_over = crn_control_phase(control) == CRN_CONTROL_CLOSING &&
                       crn_triggers_are_over(&control->triggers);
        if (is_over && end_us == UINT64_MAX)
            end_us = now_us + control->limits.linger_us;
        uint64_t resume_us = resume_waiting(control, is_over, now_us);
        if (is_over && may_end(control, end_us, now_us) && resume_us == UINT64_MAX)
            return NULL;
        uint64_t cut_us = cut_late(control, now_us);
        uint64_t until_us = resume_us < cut_us ? resume_us : cut_us;
        await(control, until_us < end_us ? until_us : end_us, now_us);
    }
}

int crn_server_open(struct crn_control *control, cairn_error **reterr)
{
    control->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, control,
        MHD_OPTION_LISTEN_SOCKET, control->endpoint.fd, MHD_OPTION_CONNECTION_LIMIT,
        CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, on_target, control,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, control, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, control, MHD_OPTION_END);
    if (control->daemon == NULL)
        return crn_err_os(reterr, errno, NULL, "control endpoint at '%s'",
                          control->endpoint.address);
    control->endpoint.fd = -1; /* the daemon's from now on */
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(control->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    control->event_fd = info == NULL ? -1 : info->epoll_fd;
    return control->event_fd >= 0 ? 0
                                  : crn_err_fail(reterr, CAIRN_EINTERNAL, NULL,
                                                 "the HTTP daemon has no event descriptor");
}

void crn_server_close(struct crn_control *control)
{
    if (control->daemon != NULL)
        MHD_stop_daemon(CRN_TAKE(control->daemon));
}
