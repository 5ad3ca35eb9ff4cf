/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of requests; messages themselves are in proxy_http.c. One thread accepts, one serves
 * each connection of a client, with a connection of its own to the server, and one, the postman,
 * delivers late what is held or replayed. The lock guards what orders are and what is counted.
 */
#include "tests/support/s3/proxy_internal.h"

#include "base/hash.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RULES_MAX 16
#define SEEN_SLOTS 8192 /* of which requests were seen how often */
#define GARBAGE_BYTES 16u
#define CHANCE_LATER_MS                                                                            \
    2000u /* what is held or replayed by chance comes so much later, at most                       \
           */
#define CHANCE_DELAY_MS 300u
#define POSTMAN_US 2000u

struct client {
    struct client *next;
    struct proxy *proxy;
    pthread_t thread;
    struct stream down, up; /* the descriptors are closed with the lock */
    bool is_over;
};

struct letter {
    struct letter *next;
    struct request request;
    uint64_t due_us; /* UINT64_MAX: when it is released */
};

struct proxy {
    int fd;
    unsigned port, server_port;
    SSL_CTX *tls;
    pthread_t acceptor, postman;
    /* Guarded by lock. */
    struct crn_mutex lock;
    bool is_over;
    struct client *clients;
    struct letter *letters;
    unsigned on_their_way; /* letters that the postman has taken */
    struct proxy_rule rules[RULES_MAX];
    size_t rule_count;
    uint64_t seed;
    unsigned of_thousand, whats;
    uint8_t seen[SEEN_SLOTS];
    uint64_t counts[PROXY_WHATS], requests;
};

/* ---- orders ---- */

struct order {
    enum proxy_what what;
    uint64_t at;
    bool is_share; /* at: of the whole, in 2^-32ths */
    const char *answer;
};

static struct order order_of(const struct proxy_rule *rule)
{
    return (struct order){.what = rule->what, .at = rule->at, .answer = rule->answer};
}

static uint64_t mix(uint64_t x)
{
    return crn_hash64_of(&x, sizeof x);
}

/* Equal requests are told apart by how often they were seen; the slots may be shared, which only
 * makes another schedule of it. */
static struct order draw(struct proxy *proxy, const struct request *request)
{
    const size_t path = strcspn(request->target, "?");
    const uint64_t hash = crn_hash64_of(request->target, path) ^
                          mix(crn_hash64_of(request->method, strlen(request->method)));
    const uint64_t turn = proxy->seen[hash % SEEN_SLOTS]++;
    const uint64_t random = mix(hash ^ mix(proxy->seed * 257 + turn));
    if (random % 1000 >= proxy->of_thousand)
        return (struct order){0};
    struct order order = {.at = mix(random) >> 32, .is_share = true};
    unsigned what = (unsigned)(mix(random + 1) % PROXY_WHATS);
    while ((proxy->whats & 1u << what) == 0)
        what = (what + 1) % PROXY_WHATS;
    order.what = (enum proxy_what)what;
    if (what == PROXY_DELAY || what == PROXY_REPLAY || what == PROXY_HOLD) {
        order.at = order.at % (what == PROXY_DELAY ? CHANCE_DELAY_MS : CHANCE_LATER_MS);
        order.is_share = false;
    }
    return order;
}

static struct order decide(struct proxy *proxy, const struct request *request)
{
    struct order order = {0};
    crn_mutex_lock(&proxy->lock);
    proxy->requests++;
    size_t i = 0;
    for (; i < proxy->rule_count; i++) {
        struct proxy_rule *rule = &proxy->rules[i];
        if ((rule->method != NULL && strcmp(rule->method, request->method) != 0) ||
            (rule->in != NULL && strstr(request->target, rule->in) == NULL) || rule->times == 0)
            continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        rule->times--;
        order = order_of(rule);
        break;
    }
    if (i == proxy->rule_count && proxy->of_thousand > 0)
        order = draw(proxy, request);
    proxy->counts[order.what]++;
    crn_mutex_unlock(&proxy->lock);
    return order;
}

static size_t place_of(const struct order *order, size_t size)
{
    if (order->is_share)
        return (size_t)((order->at * (size + 1)) >> 32);
    return order->at < size ? (size_t)order->at : size;
}

/* ---- late delivery ---- */

static void deliver(const struct proxy *proxy, const struct request *request)
{
    CRN_AUTO_BUFFER struct cairn_buffer reply = {0};
    struct stream s;
    if (!stream_connect(&s, proxy->server_port))
        return;
    if (stream_write(&s, request->bytes.data, request->bytes.size))
        (void)reply_read(&s, request->method, &reply);
    stream_close(&s);
}

/* The request's bytes are taken over. */
static void keep(struct proxy *proxy, struct request *request, uint64_t later_ms)
{
    struct letter *letter = calloc(1, sizeof *letter);
    proxy_must(letter != NULL);
    letter->request = *request;
    letter->due_us = later_ms == PROXY_LATER ? UINT64_MAX : crn_now_us() + later_ms * 1000;
    request->bytes = (struct cairn_buffer){0};
    crn_mutex_lock(&proxy->lock);
    letter->next = proxy->letters;
    proxy->letters = letter;
    crn_mutex_unlock(&proxy->lock);
}

/* With the lock: one that is due, taken out; the one that came first of them. */
static struct letter *take_due(struct proxy *proxy)
{
    struct letter **found = NULL;
    const uint64_t now_us = crn_now_us();
    for (struct letter **at = &proxy->letters; *at != NULL; at = &(*at)->next)
        if ((*at)->due_us <= now_us && (found == NULL || (*at)->due_us <= (*found)->due_us))
            found = at;
    struct letter *letter = found != NULL ? *found : NULL;
    if (letter != NULL)
        *found = letter->next;
    return letter;
}

static void *deliver_all(void *arg)
{
    struct proxy *proxy = arg;
    for (bool is_over = false; !is_over;) {
        crn_mutex_lock(&proxy->lock);
        struct letter *letter = take_due(proxy);
        proxy->on_their_way = letter != NULL;
        is_over = proxy->is_over && letter == NULL;
        crn_mutex_unlock(&proxy->lock);
        if (letter != NULL) {
            deliver(proxy, &letter->request);
            request_done(&letter->request);
            free(letter);
        } else {
            crn_sleep_us(POSTMAN_US);
        }
    }
    return NULL;
}

void proxy_release(struct proxy *proxy)
{
    bool is_done = false;
    crn_mutex_lock(&proxy->lock);
    for (struct letter *letter = proxy->letters; letter != NULL; letter = letter->next)
        letter->due_us = 0;
    crn_mutex_unlock(&proxy->lock);
    while (!is_done) {
        crn_mutex_lock(&proxy->lock);
        is_done = proxy->letters == NULL && proxy->on_their_way == 0;
        crn_mutex_unlock(&proxy->lock);
        crn_sleep_us(POSTMAN_US);
    }
}

/* ---- one request ---- */

static bool reach_server(struct client *c)
{
    struct stream up;
    if (c->up.fd >= 0)
        return true;
    if (!stream_connect(&up, c->proxy->server_port))
        return false;
    crn_mutex_lock(&c->proxy->lock);
    c->up = up;
    crn_mutex_unlock(&c->proxy->lock);
    return true;
}

/* The answer of the server, over the client's own connection to it. */
static bool ask(struct client *c, const struct request *request, struct cairn_buffer *reply)
{
    return reach_server(c) && stream_write(&c->up, request->bytes.data, request->bytes.size) &&
           reply_read(&c->up, request->method, reply);
}

static void spoil(struct cairn_buffer *reply, size_t at, uint64_t random)
{
    for (size_t i = at; i < reply->size && i < at + GARBAGE_BYTES; i++)
        reply->data[i] ^= (uint8_t)(mix(random + i) | 0x80); /* nothing that XML or HTTP allows */
}

static bool swallow(struct client *c)
{
    char rest[4096];
    while (c->down.tls != NULL ? SSL_read(c->down.tls, rest, sizeof rest) > 0
                               : recv(c->down.fd, rest, sizeof rest, 0) > 0)
        ;
    return false;
}

/* What the client gets, after the server has done its part. false: the connection is over. */
static bool answer(struct client *c, const struct order *order, struct cairn_buffer *reply)
{
    const size_t at = place_of(order, reply->size);
    switch (order->what) {
    case PROXY_CUT_REPLY:
        (void)stream_write(&c->down, reply->data, at);
        /* A reset takes away what the client has not read yet. */
        crn_sleep_us(1000);
        return false;
    case PROXY_TRUNCATE:
        (void)stream_write(&c->down, reply->data, at);
        (void)shutdown(c->down.fd, SHUT_WR);
        return swallow(c);
    case PROXY_GARBAGE:
        spoil(reply, at, order->at);
        return stream_write(&c->down, reply->data, reply->size);
    default:
        return stream_write(&c->down, reply->data, reply->size);
    }
}

/* false: the connection is over. */
static bool carry(struct client *c, struct request *request)
{
    CRN_AUTO_BUFFER struct cairn_buffer reply = {0};
    const struct order order = decide(c->proxy, request);
    switch (order.what) {
    case PROXY_CUT_REQUEST:
        if (reach_server(c))
            (void)stream_write(&c->up, request->bytes.data, place_of(&order, request->bytes.size));
        crn_sleep_us(1000);
        return false;
    case PROXY_BLACK_HOLE:
        return swallow(c);
    case PROXY_HOLD:
        keep(c->proxy, request, order.at);
        return false;
    case PROXY_ANSWER:
        return stream_write(&c->down, order.answer, strlen(order.answer));
    case PROXY_DELAY:
        crn_sleep_us(order.at * 1000);
        break;
    case PROXY_DUPLICATE:
        deliver(c->proxy, request);
        break;
    default:
        break;
    }
    if (!ask(c, request, &reply))
        return false;
    if (order.what == PROXY_REPLAY)
        keep(c->proxy, request, order.at);
    return answer(c, &order, &reply);
}

/* ---- connections ---- */

static bool greet(struct client *c)
{
    if (c->proxy->tls == NULL)
        return true;
    c->down.tls = SSL_new(c->proxy->tls);
    proxy_must(c->down.tls != NULL && SSL_set_fd(c->down.tls, c->down.fd) == 1);
    return SSL_accept(c->down.tls) == 1;
}

static void *serve_client(void *arg)
{
    struct client *c = arg;
    for (bool more = greet(c); more;) {
        struct request request = {0};
        more = request_read(&c->down, &request) && carry(c, &request);
        request_done(&request);
    }
    crn_mutex_lock(&c->proxy->lock);
    stream_reset(&c->down);
    stream_reset(&c->up);
    c->is_over = true;
    crn_mutex_unlock(&c->proxy->lock);
    return NULL;
}

/* Those that are over, or all of them. */
static void forget_clients(struct proxy *proxy, bool all)
{
    struct client *gone = NULL;
    crn_mutex_lock(&proxy->lock);
    for (struct client **at = &proxy->clients; *at != NULL;) {
        struct client *c = *at;
        if (!all && !c->is_over) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        c->next = gone;
        gone = c;
    }
    crn_mutex_unlock(&proxy->lock);
    while (gone != NULL) {
        struct client *c = gone;
        gone = c->next;
        proxy_must(pthread_join(c->thread, NULL) == 0);
        free(c);
    }
}

static void *accept_all(void *arg)
{
    struct proxy *proxy = arg;
    for (int fd; (fd = accept4(proxy->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
        struct client *c = calloc(1, sizeof *c);
        const int yes = 1;
        proxy_must(c != NULL);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        *c = (struct client){.proxy = proxy, .down = {.fd = fd}, .up = {.fd = -1}};
        forget_clients(proxy, false);
        crn_mutex_lock(&proxy->lock);
        c->next = proxy->clients;
        proxy->clients = c;
        proxy_must(crn_thread_start(&c->thread, "proxy", serve_client, c, NULL) == 0);
        crn_mutex_unlock(&proxy->lock);
    }
    return NULL;
}

void proxy_cut_all(struct proxy *proxy)
{
    crn_mutex_lock(&proxy->lock);
    for (struct client *c = proxy->clients; c != NULL; c = c->next) {
        if (c->down.fd >= 0)
            (void)shutdown(c->down.fd, SHUT_RDWR);
        if (c->up.fd >= 0)
            (void)shutdown(c->up.fd, SHUT_RDWR);
    }
    crn_mutex_unlock(&proxy->lock);
}

/* ---- the ends ---- */

static SSL_CTX *make_tls(const struct proxy_tls *tls)
{
    if (tls == NULL)
        return NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    proxy_must(context != NULL);
    proxy_must(SSL_CTX_use_certificate_chain_file(context, tls->certificate_file) == 1);
    proxy_must(SSL_CTX_use_PrivateKey_file(context, tls->key_file, SSL_FILETYPE_PEM) == 1);
    return context;
}

struct proxy *proxy_start(unsigned server_port, const struct proxy_tls *tls)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct proxy *proxy = calloc(1, sizeof *proxy);
    proxy_must(proxy != NULL);
    proxy->server_port = server_port;
    proxy->tls = make_tls(tls);
    crn_mutex_init(&proxy->lock, CRN_RANK_LEAF);
    proxy->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    proxy_must(proxy->fd >= 0 && bind(proxy->fd, (struct sockaddr *)&address, size) == 0 &&
               listen(proxy->fd, 128) == 0 &&
               getsockname(proxy->fd, (struct sockaddr *)&address, &size) == 0);
    proxy->port = ntohs(address.sin_port);
    proxy_must(crn_thread_start(&proxy->acceptor, "proxy-accept", accept_all, proxy, NULL) == 0);
    proxy_must(crn_thread_start(&proxy->postman, "proxy-postman", deliver_all, proxy, NULL) == 0);
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    (void)shutdown(proxy->fd, SHUT_RDWR);
    proxy_must(pthread_join(proxy->acceptor, NULL) == 0);
    (void)close(proxy->fd);
    proxy_cut_all(proxy);
    forget_clients(proxy, true);
    crn_mutex_lock(&proxy->lock);
    proxy->is_over = true;
    crn_mutex_unlock(&proxy->lock);
    proxy_must(pthread_join(proxy->postman, NULL) == 0);
    for (struct letter *letter; (letter = proxy->letters) != NULL;) {
        proxy->letters = letter->next;
        request_done(&letter->request);
        free(letter);
    }
    SSL_CTX_free(proxy->tls);
    crn_mutex_done(&proxy->lock);
    free(proxy);
}

unsigned proxy_port(const struct proxy *proxy)
{
    return proxy->port;
}

/* ---- orders of the test ---- */

void proxy_add(struct proxy *proxy, const struct proxy_rule *rule)
{
    crn_mutex_lock(&proxy->lock);
    proxy_must(proxy->rule_count < RULES_MAX);
    proxy->rules[proxy->rule_count++] = *rule;
    crn_mutex_unlock(&proxy->lock);
}

void proxy_set_chance(struct proxy *proxy, uint64_t seed, unsigned of_thousand, unsigned whats)
{
    proxy_must(of_thousand == 0 || whats != 0);
    crn_mutex_lock(&proxy->lock);
    proxy->seed = seed;
    proxy->of_thousand = of_thousand;
    proxy->whats = whats;
    memset(proxy->seen, 0, sizeof proxy->seen);
    crn_mutex_unlock(&proxy->lock);
}

void proxy_clear(struct proxy *proxy)
{
    crn_mutex_lock(&proxy->lock);
    proxy->rule_count = 0;
    proxy->of_thousand = 0;
    crn_mutex_unlock(&proxy->lock);
}

uint64_t proxy_count(struct proxy *proxy, enum proxy_what what)
{
    crn_mutex_lock(&proxy->lock);
    const uint64_t n = proxy->counts[what];
    crn_mutex_unlock(&proxy->lock);
    return n;
}

uint64_t proxy_requests(struct proxy *proxy)
{
    crn_mutex_lock(&proxy->lock);
    const uint64_t n = proxy->requests;
    crn_mutex_unlock(&proxy->lock);
    return n;
}
